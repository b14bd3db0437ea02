//! The sink that tells the server's own log what is wrong with a payload that RESTORE refuses: a
//! client is told no more than that it is damaged.
//!
//! It sees no calls, and hears of those that fail.

use std::fmt;

use crate::commands::error::CommandError;
use crate::hook::{Published, Sees, Sink};
use crate::session::Session;

/// Where it goes: the client, and what is wrong.
pub type Log = fn(u64, &dyn fmt::Display);

/// Logs the payloads that a shard refuses.
#[derive(Debug)]
pub struct RefusedPayloads {
    log: Log,
}

impl RefusedPayloads {
    /// What is wrong goes to `log`.
    pub fn new(log: Log) -> RefusedPayloads {
        RefusedPayloads { log }
    }
}

impl Sink for RefusedPayloads {
    fn adapt(&mut self, _published: &Published<'_>) -> Sees {
        Sees::NONE
    }

    fn failed(&mut self, session: &Session, error: &CommandError) {
        if let CommandError::BadPayload(error) = error {
            (self.log)(session.id, error);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::testing::Store;

    static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

    #[test]
    fn what_is_wrong_with_a_payload_is_said_and_of_other_failures_nothing() {
        let log: Log = |client, error| {
            SAID.lock().expect("no test has panicked").push(format!("{client}: {error}"));
        };
        let mut store = Store::with_layers(Vec::new(), vec![Box::new(RefusedPayloads::new(log))]);
        // A hash with one field twice, and a zipmap without any.
        let twice = r#""\x04\x02\x01f\x01v\x01f\x01v\n\x00\x1c\x93 u&\x92\xef3""#;
        let empty = r#""\t\x02\x00\xff\t\x00\xc0\xf1\xb8gL\x16\xac\xe3""#;
        let refused = "(error) ERR Bad data format";
        assert_eq!(store.run(&format!("RESTORE k 0 {twice}")), refused);
        store.run("MULTI");
        store.run(&format!("RESTORE k 0 {empty}"));
        assert_eq!(store.run("EXEC"), format!("1) {refused}"));
        store.run("RESTORE k 0 nonsense");
        store.run("RPUSH l a");
        store.run("GET l");
        assert_eq!(
            *SAID.lock().expect("no test has panicked"),
            [
                "1: offset 6: a field of a hash stands there twice",
                "1: offset 1: Zipmap integrity check failed: its head or its end is damaged",
            ]
        );
    }
}
