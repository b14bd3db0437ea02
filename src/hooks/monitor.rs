//! The sink behind MONITOR: every command as a line, while somebody watches.
//!
//! A shard has this sink only while there is a client to show lines to; otherwise MONITOR costs
//! nothing. Not shown, as in Redis: administration, what says `skip_monitor`, and what was refused.
//! A divergence: the time is that of the batch, in milliseconds.

use std::fmt;

use crate::commands::command::Flags;
use crate::counted::log::shown;
use crate::hook::{Called, Outcome, Sink};

/// Takes a line, whole as clients get it.
pub type Feed = Box<dyn FnMut(&[u8])>;

/// Shows the commands of a shard.
pub struct Monitor {
    feed: Feed,
    line: Vec<u8>,
}

impl fmt::Debug for Monitor {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Monitor").finish_non_exhaustive()
    }
}

impl Monitor {
    /// Lines go to `feed`.
    pub fn new(feed: Feed) -> Monitor {
        Monitor { feed, line: Vec::new() }
    }
}

impl Sink for Monitor {
    fn called(&mut self, called: &Called<'_>) {
        let flags = called.call.command.flags;
        let is_hidden = flags.has(Flags::SKIP_MONITOR) || flags.has(Flags::ADMIN);
        if is_hidden || matches!(called.outcome, Outcome::Refused(_)) {
            return;
        }
        self.line.clear();
        write_line(called, &mut self.line);
        (self.feed)(&self.line);
    }
}

fn write_line(called: &Called<'_>, line: &mut Vec<u8>) {
    let (call, session) = (called.call, called.session);
    let (seconds, millis) = (called.now.as_secs(), called.now.0.rem_euclid(1_000));
    let unix = if session.peer.unix { "unix:" } else { "" };
    let address = session.peer.address.as_str();
    let head = format!("+{seconds}.{millis:03}000 [{} {unix}{address}]", session.db);
    line.extend_from_slice(head.as_bytes());
    for index in 0..call.len() {
        line.extend_from_slice(b" \"");
        shown(call, index).iter().for_each(|byte| escape(*byte, line));
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
}

fn escape(byte: u8, line: &mut Vec<u8>) {
    match byte {
        b'\\' | b'"' => line.extend_from_slice(&[b'\\', byte]),
        b'\n' => line.extend_from_slice(b"\\n"),
        b'\r' => line.extend_from_slice(b"\\r"),
        b'\t' => line.extend_from_slice(b"\\t"),
        0x07 => line.extend_from_slice(b"\\a"),
        0x08 => line.extend_from_slice(b"\\b"),
        b' '..=b'~' => line.push(byte),
        _ => line.extend_from_slice(format!("\\x{byte:02x}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::hooks::sample;

    fn lines(words: &[&str]) -> String {
        let shown = Rc::new(RefCell::new(Vec::new()));
        let feed = Rc::clone(&shown);
        let mut monitor =
            Monitor::new(Box::new(move |line| feed.borrow_mut().extend_from_slice(line)));
        let (session, call) = (sample::session(), sample::words(words));
        monitor.called(&sample::ran(&call, &session, 3));
        String::from_utf8(shown.take()).unwrap()
    }

    #[test]
    fn a_line_is_quoted_and_one_line() {
        assert_eq!(
            lines(&["get", "a\u{1}\"\\b\r\n\té"]),
            "+1700000000.000000 [0 127.0.0.1:5000] \"get\" \
             \"a\\x01\\\"\\\\b\\r\\n\\t\\xc3\\xa9\"\r\n"
        );
    }

    #[test]
    fn administration_is_not_shown() {
        assert_eq!(lines(&["config", "set", "requirepass", "x"]), "");
        assert_eq!(lines(&["monitor"]), "");
    }
}
