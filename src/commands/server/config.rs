//! CONFIG and its subcommands.
//!
//! GET reads the settings that travel with the call. SET is checked in full here, so that bad input
//! changes nothing; the connection then publishes the same pairs to all shards.

use crate::commands::action::{Action, Gathered};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::help;
use crate::question::Question;
use crate::resp::Reply;
use crate::session::Session;
use crate::settings;

const ADMIN: Flags = Flags::ADMIN.and(Flags::NO_SCRIPT).and(Flags::LOADING).and(Flags::STALE);

const ALL_NODES: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("config"),
    group: Group::Server,
    since: "2.0.0",
    complexity: "Depends on subcommand.",
    summary: "Groups the commands that read and change the configuration.",
    arity: Arity::AtLeast(2),
    subcommands: &[
        Command {
            name: Name("config|get"),
            group: Group::Server,
            since: "2.0.0",
            complexity: "O(N) where N is the number of parameters asked for",
            summary: "Gives the parameters that match, with their values.",
            history: &[("7.0.0", "Several patterns in one call.")],
            arity: Arity::AtLeast(3),
            flags: ADMIN,
            args: &[Arg::string("parameter").multiple()],
            run: Run::Session(config_get),
            ..Command::BASE
        },
        Command {
            name: Name("config|help"),
            group: Group::Server,
            run: Run::Session(|call, _, reply| help::of_lines(call, HELP, reply)),
            ..help::BASE
        },
        Command {
            name: Name("config|resetstat"),
            group: Group::Server,
            since: "2.0.0",
            summary: "Sets the statistics of INFO back to zero.",
            arity: Arity::Exactly(2),
            flags: ADMIN,
            tips: ALL_NODES,
            run: Run::Server(config_resetstat),
            ..Command::BASE
        },
        Command {
            name: Name("config|rewrite"),
            group: Group::Server,
            since: "2.8.0",
            summary: "Writes the configuration in force to its file.",
            arity: Arity::Exactly(2),
            flags: ADMIN,
            tips: ALL_NODES,
            run: Run::Server(config_rewrite),
            ..Command::BASE
        },
        Command {
            name: Name("config|set"),
            group: Group::Server,
            since: "2.0.0",
            complexity: "O(N) where N is the number of parameters given",
            summary: "Changes parameters while the server runs, all or none.",
            history: &[("7.0.0", "Several parameters in one call.")],
            arity: Arity::AtLeast(4),
            flags: ADMIN,
            tips: ALL_NODES,
            args: &[
                Arg::block("data", &[Arg::string("parameter"), Arg::string("value")]).multiple()
            ],
            secret: Some(is_password),
            run: Run::Server(config_set),
            ..Command::BASE
        },
    ],
    ..Command::BASE
}];

fn config_get(
    call: &Call<'_>,
    _session: &mut Session,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let patterns: Vec<&[u8]> = call.args_from(2).collect();
    let found = call.settings.matching(&patterns);
    reply.map(found.len());
    for (name, value) in found {
        reply.bulk(name);
        reply.bulk(value);
    }
    Ok(())
}

const HELP: &[(&str, &str)] = &[
    ("GET <pattern>", "List the parameters that match the pattern, with their values."),
    ("SET <directive> <value>", "Give a parameter another value."),
    ("RESETSTAT", "Set the statistics of INFO back to zero."),
    ("REWRITE", "Write the configuration in force to its file."),
];

fn config_resetstat(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::Gather(Question::ResetStatistics, Gathered::Ok))
}

fn config_rewrite(_call: &Call<'_>, _session: &Session) -> Result<Action, CommandError> {
    Ok(Action::ConfigRewrite)
}

fn config_set(call: &Call<'_>, session: &Session) -> Result<Action, CommandError> {
    if !call.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    let words: Vec<&[u8]> = call.args_from(2).collect();
    let pairs: Vec<(&[u8], &[u8])> = words.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
    call.settings.apply(&pairs, session.peer.is_local())?;
    Ok(Action::ConfigSet(
        pairs.into_iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect(),
    ))
}

/// The value of a setting that is a secret.
fn is_password(call: &Call<'_>, index: usize) -> bool {
    let is_value = index >= 3 && index % 2 == 1;
    let name = std::str::from_utf8(call.arg(index - usize::from(is_value))).ok();
    is_value && name.and_then(settings::find).is_some_and(|setting| setting.secret)
}

#[cfg(test)]
mod tests {
    use crate::hooks::sample;
    use crate::testing::{Store, dialogue};

    #[test]
    fn get_and_set_as_clients_see_them() {
        dialogue(
            &mut Store::new(),
            r#"
            > config get maxmemory nosuch MAXCLIENTS
            1) "MAXCLIENTS"
            2) "10000"
            3) "maxmemory"
            4) "0"
            > config get nosuch
            (empty array)
            > config get
            (error) ERR wrong number of arguments for 'config|get' command
            > config set maxmemory
            (error) ERR wrong number of arguments for 'config|set' command
            > config set maxmemory 1 maxclients
            (error) ERR syntax error
            > config set maxmemory x
            (error) ERR CONFIG SET failed (possibly related to argument 'maxmemory') - argument must be a memory value
            > config set maxmemory 1 nosuch 1
            (error) ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'
            > config set maxmemory 1 maxmemory 2
            (error) ERR CONFIG SET failed (possibly related to argument 'maxmemory') - duplicate parameter
            > config set timeout 3 maxmemory 1
            (action) ConfigSet([([116, 105, 109, 101, 111, 117, 116], [51]), ([109, 97, 120, 109, 101, 109, 111, 114, 121], [49])])
            > config resetstat
            (action) Gather(ResetStatistics, Ok)
            > config rewrite
            (action) ConfigRewrite
            > config foo
            (error) ERR unknown subcommand 'foo'. Try CONFIG HELP.
            "#,
        );
    }

    #[test]
    fn only_values_of_secrets_are_hidden() {
        let call = sample::words(&["CONFIG", "SET", "maxmemory", "1", "RequirePass", "x"]);
        let hidden: Vec<usize> =
            (0..call.len()).filter(|index| call.command.hides(&call, *index)).collect();
        assert_eq!(hidden, [5]);
    }
}
