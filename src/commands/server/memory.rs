//! MEMORY: what a key takes, and what the process takes.

use crate::base::integer;
use crate::commands::action::{Action, Gathered};
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::help;
use crate::keyspace::entry::Entry;
use crate::keyspace::keys::Keys;
use crate::question::{Detail, Question};
use crate::resp::Reply;
use crate::session::Session;

const ALL_SHARDS: &[&str] =
    &["nondeterministic_output", "request_policy:all_shards", "response_policy:special"];

/// What the subcommands share.
const MEMORY: Command = Command {
    group: Group::Server,
    since: "4.0.0",
    arity: Arity::Exactly(2),
    tips: ALL_SHARDS,
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("memory"),
    complexity: "Depends on subcommand.",
    summary: "Groups the commands about memory.",
    arity: Arity::AtLeast(2),
    tips: &[],
    subcommands: &[
        Command {
            name: Name("memory|doctor"),
            summary: "Says what is wrong with the use of memory.",
            run: Run::Server(doctor),
            ..MEMORY
        },
        Command {
            name: Name("memory|help"),
            group: Group::Server,
            since: "4.0.0",
            run: Run::Session(|call, _, reply| help::of_lines(call, HELP, reply)),
            ..help::BASE
        },
        Command {
            name: Name("memory|malloc-stats"),
            complexity: "Depends on how much memory is allocated, could be slow",
            summary: "Gives the report of the allocator.",
            flags: Flags::LOADING,
            run: Run::Server(malloc_stats),
            ..MEMORY
        },
        Command {
            name: Name("memory|purge"),
            complexity: "Depends on how much memory is allocated, could be slow",
            summary: "Makes the allocator give back what it does not need.",
            flags: Flags::LOADING,
            tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
            run: Run::Server(purge),
            ..MEMORY
        },
        Command {
            name: Name("memory|stats"),
            summary: "Gives what takes how much memory.",
            run: Run::Server(stats),
            ..MEMORY
        },
        Command {
            name: Name("memory|usage"),
            complexity: "O(N) where N is the number of samples.",
            summary: "Gives the bytes that a key and its value take.",
            arity: Arity::AtLeast(3),
            keys: &[KeySpec::one(2, Access::RO)],
            flags: Flags::READONLY,
            tips: &[],
            args: &[Arg::key("key"), Arg::integer("count").token("SAMPLES").optional()],
            run: Run::Keys(usage),
            ..MEMORY
        },
    ],
    ..MEMORY
}];

fn doctor(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::Gather(Question::Report(Detail::Sums), Gathered::MemoryDoctor))
}

const HELP: &[(&str, &str)] = &[
    ("DOCTOR", "Show what is wrong with the use of memory."),
    ("MALLOC-STATS", "Show the report of the allocator."),
    ("PURGE", "Make the allocator give back what it does not need."),
    ("STATS", "Show what takes how much memory."),
    ("USAGE <key> [SAMPLES <count>]", "Show the bytes that a key and its value take."),
];

fn malloc_stats(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::MallocStats)
}

fn purge(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::MemoryPurge)
}

fn stats(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::Gather(Question::Report(Detail::Sums), Gathered::MemoryStats))
}

/// Strings have no parts, so the number of samples is checked and not used.
fn usage(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let mut options = call.options(3);
    while options.left() > 0 {
        if !options.take_word("SAMPLES") {
            return Err(CommandError::Syntax);
        }
        let samples = integer::parse(options.value()?).ok_or(CommandError::NotAnInteger)?;
        if samples < 0 {
            return Err(CommandError::Syntax);
        }
    }
    match keys.look(call.key(2)).map(Entry::memory) {
        Some(bytes) => reply.int((bytes + size_of::<Entry>()) as i64),
        None => reply.null(),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn a_key_takes_memory() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            "
            > set k v
            OK
            > memory usage nokey
            (nil)
            > memory usage k samples -1
            (error) ERR syntax error
            > memory usage k samples
            (error) ERR syntax error
            > memory usage k foo 1
            (error) ERR syntax error
            > memory usage k samples x
            (error) ERR value is not an integer or out of range
            > memory stats
            (action) Gather(Report(Sums), MemoryStats)
            > memory foo
            (error) ERR unknown subcommand 'foo'. Try MEMORY HELP.
            ",
        );
        let small = store.run("memory usage k samples 0");
        store.run_words(&[b"set", b"k", &[b'x'; 1_000]]);
        assert_ne!(store.run("memory usage k"), small);
    }
}
