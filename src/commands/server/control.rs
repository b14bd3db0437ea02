//! SHUTDOWN and MONITOR.
//!
//! SHUTDOWN checks its options here; ending the server, and refusing to, is the shell's.

use crate::commands::action::{Action, Shutdown};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::session::Session;

const ADMIN: Flags = Flags::ADMIN.and(Flags::NO_SCRIPT).and(Flags::LOADING).and(Flags::STALE);

const SAVE: Arg =
    Arg::one_of("save-selector", &[Arg::word("nosave", "NOSAVE"), Arg::word("save", "SAVE")]);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("monitor"),
        group: Group::Server,
        complexity: "",
        summary: "Shows every command that the server runs, as it runs.",
        arity: Arity::Exactly(1),
        flags: ADMIN,
        run: Run::Server(monitor),
        ..Command::BASE
    },
    Command {
        name: Name("shutdown"),
        group: Group::Server,
        complexity: "O(N) where N is the number of keys to save, O(1) without saving",
        summary: "Makes the data set durable and ends the server.",
        history: &[
            ("7.0.0", "The `NOW`, `FORCE` and `ABORT` modifiers."),
            ("9.0.0", "The `SAFE` and `FAILOVER` modifiers."),
        ],
        arity: Arity::AtLeast(1),
        flags: ADMIN.and(Flags::NO_MULTI).and(Flags::ALLOW_BUSY),
        args: &[Arg::one_of(
            "abort-selector",
            &[
                Arg::block(
                    "save-selector-block",
                    &[
                        SAVE.optional(),
                        Arg::word("now", "NOW").since("7.0.0").optional(),
                        Arg::word("force", "FORCE").since("7.0.0").optional(),
                        Arg::word("safe", "SAFE").since("9.0.0").optional(),
                        Arg::word("failover", "FAILOVER").since("9.0.0").optional(),
                    ],
                ),
                Arg::word("abort", "ABORT").since("7.0.0"),
            ],
        )
        .optional()],
        run: Run::Server(shutdown),
        ..Command::BASE
    },
];

fn monitor(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::Monitor)
}

fn shutdown(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    let mut asked = Shutdown::default();
    let mut saves = [false, false];
    for index in 1..call.len() {
        let option = match () {
            () if call.is(index, "NOSAVE") => &mut saves[0],
            () if call.is(index, "SAVE") => &mut saves[1],
            () if call.is(index, "NOW") => &mut asked.now,
            () if call.is(index, "FORCE") => &mut asked.force,
            () if call.is(index, "SAFE") => &mut asked.safe,
            () if call.is(index, "FAILOVER") => &mut asked.failover,
            () if call.is(index, "ABORT") => &mut asked.abort,
            () => return Err(CommandError::Syntax),
        };
        *option = true;
    }
    let aborts_and_more = asked.abort && call.len() > 2;
    if aborts_and_more || saves == [true, true] {
        return Err(CommandError::Syntax);
    }
    asked.save = match saves {
        [true, _] => Some(false),
        [_, true] => Some(true),
        _ => None,
    };
    Ok(Action::Shutdown(asked))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Store, dialogue};

    #[test]
    fn options_that_contradict_are_refused() {
        dialogue(
            &mut Store::new(),
            "
            > shutdown foo
            (error) ERR syntax error
            > shutdown save nosave
            (error) ERR syntax error
            > shutdown abort now
            (error) ERR syntax error
            > monitor
            (action) Monitor
            ",
        );
    }

    #[test]
    fn options_are_taken_in_any_order() {
        let asked = Shutdown { save: Some(false), now: true, force: true, ..Shutdown::default() };
        let said = Store::new().run("shutdown force now NOSAVE");
        assert_eq!(said, format!("(action) {:?}", Action::Shutdown(asked)));
    }
}
