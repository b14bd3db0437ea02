//! COMMAND and its subcommands: the table of commands as clients see it.
//!
//! Everything is read off the declarations. `describing` writes the fields of COMMAND INFO,
//! `documenting` those of COMMAND DOCS. The order of the commands is that of the registry, where
//! Valkey's is that of a hash table.

use crate::base::glob;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Categories, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::help;
use crate::commands::server::describing::{describe, statuses};
use crate::commands::server::documenting::document;
use crate::commands::{positions, registry};
use crate::resp::{Reply, Span};
use crate::session::Session;
use crate::settings::Renames;

const FLAGS: Flags = Flags::LOADING.and(Flags::STALE);
const UNORDERED: &[&str] = &["nondeterministic_output_order"];
const NAMES: &[Arg] = &[Arg::string("command-name").optional().multiple()];
const WHOLE_COMMAND: &[Arg] = &[Arg::string("command"), Arg::string("arg").optional().multiple()];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("command"),
    since: "2.8.13",
    complexity: "O(N), N being the number of commands",
    summary: "Describes all commands.",
    tips: UNORDERED,
    subcommands: &[
        Command {
            name: Name("command|count"),
            since: "2.8.13",
            summary: "Counts the commands.",
            arity: Arity::Exactly(2),
            run: Run::Session(count),
            ..BASE
        },
        Command {
            name: Name("command|docs"),
            since: "7.0.0",
            complexity: "O(N), N being the number of commands asked for",
            summary: "Documents some commands, or all.",
            arity: Arity::AtLeast(2),
            tips: UNORDERED,
            args: NAMES,
            run: Run::Session(docs),
            ..BASE
        },
        Command {
            name: Name("command|getkeys"),
            since: "2.8.13",
            complexity: "O(N), N being the number of words",
            summary: "Picks the keys out of a whole command.",
            arity: Arity::AtLeast(3),
            args: WHOLE_COMMAND,
            run: Run::Session(getkeys),
            ..BASE
        },
        Command {
            name: Name("command|getkeysandflags"),
            since: "7.0.0",
            complexity: "O(N), N being the number of words",
            summary: "Picks the keys out of a whole command, and says what happens to them.",
            arity: Arity::AtLeast(3),
            args: WHOLE_COMMAND,
            run: Run::Session(getkeysandflags),
            ..BASE
        },
        Command {
            name: Name("command|help"),
            group: Group::Server,
            categories: Categories::CONNECTION,
            ..help::BASE
        },
        Command {
            name: Name("command|info"),
            since: "2.8.13",
            complexity: "O(N), N being the number of commands asked for",
            summary: "Describes some commands, or all.",
            arity: Arity::AtLeast(2),
            tips: UNORDERED,
            args: NAMES,
            history: &[("7.0.0", "Without a name it describes all commands.")],
            run: Run::Session(info),
            ..BASE
        },
        Command {
            name: Name("command|list"),
            since: "7.0.0",
            complexity: "O(N), N being the number of commands",
            summary: "Names the commands that match.",
            arity: Arity::AtLeast(2),
            tips: UNORDERED,
            args: &[Arg::one_of(
                "filterby",
                &[
                    Arg::string("module-name").token("MODULE"),
                    Arg::string("category").token("ACLCAT"),
                    Arg::pattern("pattern").token("PATTERN"),
                ],
            )
            .token("FILTERBY")
            .optional()],
            run: Run::Session(list),
            ..BASE
        },
    ],
    run: Run::Session(command),
    ..BASE
}];

const BASE: Command = Command {
    group: Group::Server,
    flags: FLAGS,
    categories: Categories::CONNECTION,
    ..Command::BASE
};

fn command(call: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if call.len() > 1 {
        return Err(registry::refusal(call.input, call.spans, renames(call)));
    }
    describe_all(call, reply);
    Ok(())
}

fn renames<'a>(call: &Call<'a>) -> &'a Renames {
    &call.settings.rename_command
}

/// The commands that clients can call.
fn commands(call: &Call<'_>) -> Vec<&'static Command> {
    let renames = renames(call);
    registry::commands().filter(|command| renames.calls(command.name.as_str().as_bytes())).collect()
}

fn describe_all(call: &Call<'_>, reply: &mut Reply<'_>) {
    let commands = commands(call);
    reply.array(commands.len());
    commands.iter().for_each(|command| describe(command, reply));
}

fn count(call: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(commands(call).len() as i64);
    Ok(())
}

fn docs(call: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let commands: Vec<&Command> = match call.len() {
        2 => commands(call),
        _ => {
            let names = call.args_from(2);
            names.filter_map(|name| registry::called(name, renames(call))).collect()
        }
    };
    reply.map(commands.len());
    for command in commands {
        reply.bulk(command.name.as_str().as_bytes());
        document(command, reply);
    }
    Ok(())
}

fn info(call: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if call.len() == 2 {
        describe_all(call, reply);
        return Ok(());
    }
    reply.array(call.len() - 2);
    for name in call.args_from(2) {
        match registry::called(name, renames(call)) {
            Some(command) => describe(command, reply),
            None => reply.null(),
        }
    }
    Ok(())
}

fn list(call: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let value = call.arg(4);
    let names: Vec<&str> = match call.len() {
        2 => named(call, |_| true),
        5 if !call.is(2, "filterby") => return Err(CommandError::Syntax),
        // No command comes from a module.
        5 if call.is(3, "module") => Vec::new(),
        5 if call.is(3, "aclcat") => named(call, |command| {
            let is_meant = |name: &str| name.as_bytes()[1..].eq_ignore_ascii_case(value);
            command.acl_categories().names().any(is_meant)
        }),
        5 if call.is(3, "pattern") => {
            named(call, |command| glob::matches(value, command.name.as_str().as_bytes(), true))
        }
        _ => return Err(CommandError::Syntax),
    };
    reply.array(names.len());
    names.iter().for_each(|name| reply.bulk(name.as_bytes()));
    Ok(())
}

fn named(call: &Call<'_>, is_meant: impl Fn(&Command) -> bool) -> Vec<&'static str> {
    commands(call)
        .into_iter()
        .flat_map(|command| std::iter::once(command).chain(command.shown_subcommands()))
        .filter(|command| is_meant(command))
        .map(|command| command.name.as_str())
        .collect()
}

fn getkeys(call: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let keys = keys_of(call)?;
    reply.array(keys.len());
    keys.iter().for_each(|(key, _)| reply.bulk(key));
    Ok(())
}

fn getkeysandflags(
    call: &Call<'_>,
    _: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let keys = keys_of(call)?;
    reply.array(keys.len());
    for (key, access) in keys {
        reply.array(2);
        reply.bulk(key);
        statuses(access.names(), reply);
    }
    Ok(())
}

/// The keys of the command that the call quotes, each with what would happen to it.
fn keys_of<'a>(call: &Call<'a>) -> Result<Vec<(&'a [u8], Access)>, CommandError> {
    let spans: &[Span] = &call.spans[2..];
    let word = |at: usize| spans.get(at).map_or(&[][..], |span| span.of(call.input));
    let command = match registry::called(word(0), renames(call)) {
        Some(container) if !container.subcommands.is_empty() && spans.len() > 1 => {
            registry::subcommand(container, word(1))
        }
        found => found,
    };
    let command = command.ok_or(CommandError::Text("ERR Invalid command specified"))?;
    if command.keys.is_empty() {
        return Err(CommandError::Text("ERR The command has no key arguments"));
    }
    if !command.accepts(spans.len()) {
        return Err(CommandError::Text("ERR Invalid number of arguments specified for command"));
    }
    let keys = positions::keys_with_specs(command, spans, call.input);
    if keys.is_empty() && !command.flags.has(Flags::NO_MANDATORY_KEYS) {
        return Err(CommandError::Text("ERR Invalid arguments specified for command"));
    }
    let words: Vec<&[u8]> = spans.iter().map(|span| span.of(call.input)).collect();
    let access = |declared: Access| match command.varying_access {
        Some(told) if declared.has(Access::VARIABLE_FLAGS) => told(&words),
        _ => declared,
    };
    Ok(keys.into_iter().map(|(at, spec)| (words[at], access(spec.access))).collect())
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn commands_are_counted_and_listed() {
        let mut store = Store::new();
        let count = crate::commands::registry::commands().count();
        assert_eq!(store.run("COMMAND COUNT"), format!("(integer) {count}"));
        assert!(store.run("COMMAND").contains("\"client|getname\""));
        assert_eq!(store.run("COMMAND LIST FILTERBY PATTERN client?i*d"), "1) \"client|id\"");
        assert_eq!(store.run("COMMAND LIST FILTERBY MODULE x"), "(empty array)");
        assert_eq!(store.run("COMMAND LIST FILTERBY ACLCAT foo"), "(empty array)");
        assert!(store.run("COMMAND LIST FILTERBY ACLCAT string").contains("\"get\""));
        for line in ["COMMAND LIST FILTERBY", "COMMAND LIST foo", "COMMAND LIST FILTERBY x y"] {
            assert_eq!(store.run(line), "(error) ERR syntax error");
        }
        assert_eq!(
            store.run("COMMAND foo"),
            "(error) ERR unknown subcommand 'foo'. Try COMMAND HELP."
        );
    }

    #[test]
    fn a_command_is_described() {
        let mut store = Store::new();
        let get = "1)  1) \"get\"\n    2) (integer) 2\n    3) 1) readonly\n       2) fast\n    \
                   4) (integer) 1\n    5) (integer) 1\n    6) (integer) 1\n    7) 1) @read\n       \
                   2) @string\n       3) @fast\n    8) (empty array)\n    9) 1) 1) \"flags\"\n";
        let reply = store.run("COMMAND INFO GET nosuch get|x");
        assert!(reply.starts_with(get), "{reply}");
        assert!(reply.ends_with("2) (nil)\n3) (nil)"), "{reply}");
    }

    #[test]
    fn a_command_is_documented() {
        let mut store = Store::new();
        let reply = store.run("COMMAND DOCS nosuch client|id");
        let id = "1) \"client|id\"\n2) 1) \"summary\"";
        assert!(reply.starts_with(id) && reply.ends_with("\"O(1)\""), "{reply}");
    }

    #[test]
    fn keys_are_picked_out() {
        let mut store = Store::new();
        assert_eq!(store.run("COMMAND GETKEYS GET a"), "1) \"a\"");
        assert_eq!(store.run("COMMAND GETKEYS MSET a 1 b 2"), "1) \"a\"\n2) \"b\"");
        assert_eq!(store.run("COMMAND GETKEYS EVAL x 2 a b c"), "1) \"a\"\n2) \"b\"");
        assert_eq!(store.run("COMMAND GETKEYS EVAL x 0 c"), "(empty array)");
        assert_eq!(
            store.run("COMMAND GETKEYSANDFLAGS GET a"),
            "1) 1) \"a\"\n   2) 1) RO\n      2) access"
        );
        for (line, error) in [
            ("foo", "Invalid command specified"),
            ("client foo", "Invalid command specified"),
            ("ping", "The command has no key arguments"),
            ("client", "The command has no key arguments"),
            ("get", "Invalid number of arguments specified for command"),
            ("get a b", "Invalid number of arguments specified for command"),
        ] {
            let reply = store.run(&format!("COMMAND GETKEYS {line}"));
            assert_eq!(reply, format!("(error) ERR {error}"));
        }
    }

    #[test]
    fn what_set_does_to_its_key_depends_on_its_words() {
        let mut store = Store::new();
        let overwrites = "1) 1) \"a\"\n   2) 1) OW\n      2) update";
        assert_eq!(store.run("COMMAND GETKEYSANDFLAGS SET a b"), overwrites);
        let reads = "1) 1) \"a\"\n   2) 1) RW\n      2) access\n      3) update";
        assert_eq!(store.run("COMMAND GETKEYSANDFLAGS SET a b EX 3 get"), reads);
    }
}
