//! The gate of clients that subscribe to something and speak version 2 of the protocol: nothing
//! there tells a message from a reply, so they may do little else.
//!
//! What EXEC runs was queued before; as in Redis it is not asked for again.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Standing};
use crate::session::Session;

/// Refuses commands of clients that subscribe.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscriber;

impl Gate for Subscriber {
    fn rests_while_well(&self) -> bool {
        true
    }

    #[inline]
    fn admit(
        &mut self,
        call: &Call<'_>,
        session: &Session,
        standing: &Standing<'_>,
    ) -> Result<(), CommandError> {
        let is_free = standing.is_in_exec || call.command.is_for_subscribers;
        if is_free || !session.only_subscribes() { Ok(()) } else { Err(refusal(call)) }
    }
}

#[cold]
fn refusal(call: &Call<'_>) -> CommandError {
    CommandError::Quoted(format!(
        "ERR Can't execute '{}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are \
         allowed in this context",
        call.command.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Store, dialogue};

    #[test]
    fn who_subscribes_may_do_little_else_but_in_version_3() {
        let mut store = Store::with_layers(vec![Box::new(Subscriber)], Vec::new());
        dialogue(
            &mut store,
            r#"
            > SUBSCRIBE a
            1) "subscribe"
            2) "a"
            3) (integer) 1
            > GET k
            (error) ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
            > CLIENT ID
            (error) ERR Can't execute 'client|id': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context
            > PING
            1) "pong"
            2) ""
            > PING x
            1) "pong"
            2) "x"
            > RESET
            RESET
            > GET k
            (nil)
            > MULTI
            OK
            > PSUBSCRIBE a*
            QUEUED
            > GET k
            QUEUED
            > EXEC
            1) 1) "psubscribe"
               2) "a*"
               3) (integer) 1
            2) (nil)
            > QUIT
            OK
            "#,
        );
        store.session.resp3 = true;
        assert_eq!(store.run("GET k"), "(nil)");
    }
}
