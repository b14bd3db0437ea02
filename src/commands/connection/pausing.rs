//! CLIENT PAUSE, UNPAUSE and UNBLOCK: commands of other clients held back and let go.

use crate::commands::action::{Action, PauseMode};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::connection::client::ANY_TIME;
use crate::commands::error::CommandError;
use crate::commands::time::end_of_wait;
use crate::session::Session;

const BAD_MODE: CommandError = CommandError::Text("ERR CLIENT PAUSE mode must be WRITE or ALL");
const BAD_REASON: CommandError =
    CommandError::Text("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");

pub(super) const PAUSE: Command = Command {
    name: Name("client|pause"),
    group: Group::Connection,
    since: "3.0.0",
    summary: "Holds the commands of all clients back for a while.",
    arity: Arity::AtLeast(3),
    flags: ANY_TIME.and(Flags::ADMIN),
    args: &[
        Arg::integer("timeout"),
        Arg::one_of("mode", &[Arg::word("write", "WRITE"), Arg::word("all", "ALL")])
            .optional()
            .since("6.2.0"),
    ],
    history: &[("6.2.0", "The mode `WRITE`, and the option for it.")],
    run: Run::Server(pause),
    ..Command::BASE
};

pub(super) const UNBLOCK: Command = Command {
    name: Name("client|unblock"),
    group: Group::Connection,
    since: "5.0.0",
    complexity: "O(log N), N being the number of clients",
    summary: "Releases a client from the command that it is blocked in.",
    arity: Arity::AtLeast(3),
    flags: ANY_TIME.and(Flags::ADMIN),
    args: &[
        Arg::integer("client-id"),
        Arg::one_of(
            "unblock-type",
            &[Arg::word("timeout", "TIMEOUT"), Arg::word("error", "ERROR")],
        )
        .optional(),
    ],
    run: Run::Server(unblock),
    ..Command::BASE
};

pub(super) const UNPAUSE: Command = Command {
    name: Name("client|unpause"),
    group: Group::Connection,
    since: "6.2.0",
    complexity: "O(N), N being the number of clients that are held back",
    summary: "Ends the pause of clients.",
    arity: Arity::Exactly(2),
    flags: ANY_TIME.and(Flags::ADMIN),
    run: Run::Server(unpause),
    ..Command::BASE
};

fn pause(call: &Call<'_>, _: &Session) -> Result<Action, CommandError> {
    // More words than four are not looked at, as in Valkey.
    let mode = match call.len() {
        4 if call.is(3, "write") => PauseMode::Write,
        4 if !call.is(3, "all") => return Err(BAD_MODE),
        _ => PauseMode::All,
    };
    Ok(Action::ClientPause { until: end_of_wait(call.arg(2), call.now)?, mode })
}

fn unpause(_: &Call<'_>, _: &Session) -> Result<Action, CommandError> {
    Ok(Action::ClientUnpause)
}

fn unblock(call: &Call<'_>, _: &Session) -> Result<Action, CommandError> {
    let with_error = match call.len() {
        4 if call.is(3, "error") => true,
        4 if !call.is(3, "timeout") => return Err(BAD_REASON),
        _ => false,
    };
    // No client has number 0, which stands for those that cannot be.
    let id = u64::try_from(call.integer(2)?).unwrap_or(0);
    Ok(Action::ClientUnblock { id, with_error })
}

#[cfg(test)]
mod tests {
    use crate::testing::{START, Store};

    #[test]
    fn a_pause_has_a_time_and_a_mode() {
        let mut store = Store::new();
        let until = START.0 + 100;
        let action =
            |mode| format!("(action) ClientPause {{ until: Millis({until}), mode: {mode} }}");
        assert_eq!(store.run("CLIENT PAUSE 100"), action("All"));
        assert_eq!(store.run("CLIENT PAUSE 100 all"), action("All"));
        assert_eq!(store.run("CLIENT PAUSE 100 WRITE"), action("Write"));
        assert_eq!(store.run("CLIENT UNPAUSE"), "(action) ClientUnpause");
        let bad_mode = "(error) ERR CLIENT PAUSE mode must be WRITE or ALL";
        assert_eq!(store.run("CLIENT PAUSE x foo"), bad_mode);
        let bad_timeout = "(error) ERR timeout is not an integer or out of range";
        assert_eq!(store.run("CLIENT PAUSE 1.5"), bad_timeout);
        assert_eq!(store.run("CLIENT PAUSE -1 write"), "(error) ERR timeout is negative");
    }

    #[test]
    fn a_pause_ends_where_time_does() {
        let mut store = Store::new();
        let longest = i64::MAX - START.0;
        let until = format!("Millis({})", i64::MAX);
        assert!(store.run(&format!("CLIENT PAUSE {longest}")).contains(&until));
        for longer in [longest + 1, i64::MAX] {
            let reply = store.run(&format!("CLIENT PAUSE {longer} WRITE"));
            assert_eq!(reply, "(error) ERR timeout is out of range");
        }
    }

    #[test]
    fn a_client_is_unblocked_by_its_number() {
        let mut store = Store::new();
        let action =
            |with_error| format!("(action) ClientUnblock {{ id: 7, with_error: {with_error} }}");
        assert_eq!(store.run("CLIENT UNBLOCK 7"), action(false));
        assert_eq!(store.run("CLIENT UNBLOCK 7 TIMEOUT"), action(false));
        assert_eq!(store.run("CLIENT UNBLOCK 7 error"), action(true));
        let bad_reason = "(error) ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR";
        assert_eq!(store.run("CLIENT UNBLOCK x foo"), bad_reason);
        let bad_id = "(error) ERR value is not an integer or out of range";
        assert_eq!(store.run("CLIENT UNBLOCK x"), bad_id);
    }
}
