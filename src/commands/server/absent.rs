//! What this server does not have, but clients and test suites ask about: cluster mode, modules.
//!
//! Each is answered as a Valkey answers that has it switched off, or has nothing of the kind
//! loaded, so that a client goes on without it. What changes something is refused.

use crate::base::slot;
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Categories, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::help;
use crate::resp::Reply;
use crate::session::Session;

const NO_CLUSTER: CommandError =
    CommandError::Text("ERR This instance has cluster support disabled");
const NO_MODULES: CommandError = CommandError::Text("ERR modules are not supported by Troupe");
const CLUSTER: Command = Command {
    group: Group::Cluster,
    since: "3.0.0",
    arity: Arity::Exactly(2),
    flags: Flags::LOADING.and(Flags::STALE),
    run: Run::Session(no_cluster),
    ..Command::BASE
};

const MODULE: Command = Command {
    group: Group::Server,
    since: "4.0.0",
    arity: Arity::AtLeast(3),
    flags: Flags::ADMIN.and(Flags::NO_SCRIPT).and(Flags::NO_ASYNC_LOADING),
    run: Run::Session(no_modules),
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("asking"),
        group: Group::Cluster,
        since: "3.0.0",
        summary: "Says that the next command follows a redirection.",
        arity: Arity::Exactly(1),
        flags: Flags::FAST,
        categories: Categories::CONNECTION,
        run: Run::Session(no_cluster),
        ..Command::BASE
    },
    Command {
        name: Name("cluster"),
        group: Group::Cluster,
        since: "3.0.0",
        complexity: "That of the subcommand",
        summary: "Looks at and steers a cluster.",
        arity: Arity::AtLeast(2),
        subcommands: &[
            Command {
                name: Name("cluster|help"),
                since: "5.0.0",
                summary: "Shows this text.",
                ..CLUSTER
            },
            Command {
                name: Name("cluster|info"),
                summary: "Tells the state of the node.",
                tips: &["nondeterministic_output"],
                ..CLUSTER
            },
            Command {
                name: Name("cluster|keyslot"),
                complexity: "O(N), N being the length of the key",
                summary: "Gives the slot of a key.",
                arity: Arity::Exactly(3),
                flags: Flags::STALE,
                args: &[Arg::string("key")],
                run: Run::Session(keyslot),
                ..CLUSTER
            },
            Command { name: Name("cluster|myid"), summary: "Gives the id of the node.", ..CLUSTER },
            Command {
                name: Name("cluster|nodes"),
                complexity: "O(N), N being the number of nodes",
                summary: "Describes the nodes as this one sees them.",
                tips: &["nondeterministic_output"],
                ..CLUSTER
            },
            Command {
                name: Name("cluster|shards"),
                since: "7.0.0",
                complexity: "O(N), N being the number of nodes",
                summary: "Tells which slots are served by which nodes, by shard.",
                tips: &["nondeterministic_output"],
                history: &[("9.1.0", "Shards have an id, nodes an availability zone.")],
                ..CLUSTER
            },
            Command {
                name: Name("cluster|slots"),
                complexity: "O(N), N being the number of nodes",
                summary: "Tells which slots are served by which nodes, by range.",
                tips: &["nondeterministic_output"],
                history: &[
                    ("4.0.0", "Nodes have ids."),
                    ("7.0.0", "Nodes have more addresses."),
                    ("9.1.0", "Nodes have an availability zone."),
                ],
                ..CLUSTER
            },
        ],
        // Whatever else is asked of a cluster is refused alike.
        run: Run::Session(no_cluster),
        ..Command::BASE
    },
    Command {
        name: Name("module"),
        group: Group::Server,
        since: "4.0.0",
        complexity: "That of the subcommand",
        summary: "Looks at and changes the modules that are loaded.",
        arity: Arity::AtLeast(2),
        subcommands: &[
            Command { name: Name("module|help"), group: Group::Server, ..help::BASE },
            Command {
                name: Name("module|list"),
                complexity: "O(N), N being the number of modules",
                summary: "Lists the modules, of which there are none.",
                arity: Arity::Exactly(2),
                flags: Flags::ADMIN.and(Flags::NO_SCRIPT),
                tips: &["nondeterministic_output_order"],
                run: Run::Session(module_list),
                ..MODULE
            },
            Command {
                name: Name("module|load"),
                summary: "Loads a module, where there are modules.",
                args: &[Arg::string("path"), Arg::string("arg").optional().multiple()],
                ..MODULE
            },
            Command {
                name: Name("module|loadex"),
                since: "7.0.0",
                summary: "Loads a module with settings, where there are modules.",
                args: &[
                    Arg::string("path"),
                    Arg::block("configs", &[Arg::string("name"), Arg::string("value")])
                        .token("CONFIG")
                        .optional()
                        .multiple_token(),
                    Arg::string("args").token("ARGS").optional().multiple(),
                ],
                ..MODULE
            },
            Command {
                name: Name("module|unload"),
                summary: "Unloads a module, where there are modules.",
                arity: Arity::Exactly(3),
                args: &[Arg::string("name")],
                ..MODULE
            },
        ],
        ..Command::BASE
    },
    Command {
        name: Name("readonly"),
        group: Group::Cluster,
        since: "3.0.0",
        summary: "Allows reads from a replica of a cluster.",
        arity: Arity::Exactly(1),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        categories: Categories::CONNECTION,
        run: Run::Session(readonly),
        ..Command::BASE
    },
    Command {
        name: Name("readwrite"),
        group: Group::Cluster,
        since: "3.0.0",
        summary: "Ends what READONLY began.",
        arity: Arity::Exactly(1),
        flags: Flags::LOADING.and(Flags::STALE).and(Flags::FAST),
        categories: Categories::CONNECTION,
        run: Run::Session(readwrite),
        ..Command::BASE
    },
];

fn no_cluster(_: &Call<'_>, _: &mut Session, _: &mut Reply<'_>) -> Result<(), CommandError> {
    Err(NO_CLUSTER)
}

fn keyslot(call: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.int(slot::of(call.arg(2)).into());
    Ok(())
}

fn module_list(_: &Call<'_>, _: &mut Session, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    reply.array(0);
    Ok(())
}

fn no_modules(_: &Call<'_>, _: &mut Session, _: &mut Reply<'_>) -> Result<(), CommandError> {
    Err(NO_MODULES)
}

/// Without a cluster it only shows in CLIENT LIST.
fn readonly(
    _: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    session.reads_replicas = true;
    reply.ok();
    Ok(())
}

fn readwrite(
    _: &Call<'_>,
    session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    session.reads_replicas = false;
    reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn there_is_no_cluster() {
        let mut store = Store::new();
        for line in [
            "CLUSTER INFO",
            "CLUSTER ADDSLOTS 1",
            "CLUSTER NODES",
            "CLUSTER SLOTS",
            "CLUSTER HELP",
            "ASKING",
        ] {
            let disabled = "(error) ERR This instance has cluster support disabled";
            assert_eq!(store.run(line), disabled, "{line}");
        }
        assert_eq!(store.run("CLUSTER KEYSLOT a"), "(integer) 15495");
        assert_eq!(store.run("READONLY"), "OK");
        assert_eq!(store.run("READWRITE"), "OK");
    }

    #[test]
    fn there_are_no_modules() {
        let mut store = Store::new();
        assert_eq!(store.run("MODULE LIST"), "(empty array)");
        assert!(store.run("MODULE HELP").contains("LOAD <path> [<arg> [<arg> ...]]"));
        for line in ["MODULE LOAD x", "MODULE LOADEX x CONFIG a b", "MODULE UNLOAD x"] {
            assert_eq!(store.run(line), "(error) ERR modules are not supported by Troupe");
        }
    }
}
