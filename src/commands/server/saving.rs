//! Snapshots and the journal's rewrite: SAVE, BGSAVE and BGREWRITEAOF. LASTSAVE is with what the
//! server says of itself.
//!
//! A divergence: SAVE holds nobody up but its client, since no process is forked for BGSAVE either.

use crate::commands::action::{Action, Begins, Save};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::session::Session;

const ADMIN: Flags = Flags::ADMIN.and(Flags::NO_SCRIPT).and(Flags::NO_ASYNC_LOADING);

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("bgrewriteaof"),
        group: Group::Server,
        since: "1.0.0",
        summary: "Writes the journal anew while others go on.",
        arity: Arity::Exactly(1),
        flags: ADMIN,
        run: Run::Server(|_, _| Ok(Action::RewriteJournal(Begins::Now))),
        ..Command::BASE
    },
    Command {
        name: Name("bgsave"),
        group: Group::Server,
        since: "1.0.0",
        summary: "Writes a snapshot of the data set while others go on.",
        history: &[("3.2.2", "The `SCHEDULE` option."), ("8.1.0", "The `CANCEL` option.")],
        arity: Arity::AtLeast(1),
        flags: ADMIN,
        args: &[Arg::one_of(
            "operation",
            &[
                Arg::word("schedule", "SCHEDULE").since("3.2.2"),
                Arg::word("cancel", "CANCEL").since("8.1.0"),
            ],
        )
        .optional()],
        run: Run::Server(bgsave),
        ..Command::BASE
    },
    Command {
        name: Name("save"),
        group: Group::Server,
        since: "1.0.0",
        complexity: "O(N) where N is the total number of keys in all databases",
        summary: "Writes a snapshot of the data set, and answers when it is in its place.",
        arity: Arity::Exactly(1),
        flags: ADMIN.and(Flags::NO_MULTI),
        run: Run::Server(save),
        ..Command::BASE
    },
];

fn bgsave(call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    let is_word = |word| call.len() == 2 && call.is(1, word);
    let asked = match () {
        () if call.len() == 1 => Save::Background,
        () if is_word("SCHEDULE") => Save::Scheduled,
        () if is_word("CANCEL") => Save::Cancel,
        () => return Err(CommandError::Syntax),
    };
    Ok(Action::Save(asked))
}

fn save(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::Save(Save::Now))
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn one_word_says_what_is_asked_for() {
        dialogue(
            &mut Store::new(),
            "
            > save
            (action) Save(Now)
            > bgsave
            (action) Save(Background)
            > bgsave schedule
            (action) Save(Scheduled)
            > bgsave Cancel
            (action) Save(Cancel)
            > bgsave now
            (error) ERR syntax error
            > bgsave schedule now
            (error) ERR syntax error
            > save now
            (error) ERR wrong number of arguments for 'save' command
            ",
        );
    }
}
