//! Replication: PSYNC and SYNC, by which a replica comes, REPLCONF, by which it says what it is and
//! how far it has come, REPLICAOF and ROLE.
//!
//! What follows PSYNC is no reply: the client gets the stream from then on, outside of its batches.
//! A word of REPLCONF that is not known is refused, and harms nothing.

use crate::base::integer;
use crate::commands::action::{Action, Gathered, SyncRequest};
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Categories, Command, Flags, Group, Name, Run};
use crate::commands::error::{CommandError, quoting};
use crate::commands::walk::Walk;
use crate::pubsub::Register;
use crate::question::Question;
use crate::resp::Reply;
use crate::session::{Presented, Session};

const FOR_CLIENTS: CommandError =
    CommandError::Text("ERR Command is not valid when client is a replica.");
const NOT_A_REPLICA: CommandError =
    CommandError::Text("ERR PSYNC FAILOVER can't be sent to a primary.");
const WRONG_PORT: CommandError = CommandError::Text("ERR Invalid master port");
const ZERO_OR_ONE: CommandError =
    CommandError::Text("ERR value is out of range, value must between 0 and 1");

/// Bytes of an address at most, as Valkey has them.
const ADDRESS_MAX: usize = 255;

const OF_REPLICAS: Command = Command {
    group: Group::Server,
    flags: Flags::ADMIN.and(Flags::NO_SCRIPT).and(Flags::NO_ASYNC_LOADING),
    ..Command::BASE
};

const REPLICAOF: Command = Command {
    since: "5.0.0",
    summary: "Makes the server a replica of another one, or a primary.",
    arity: Arity::Exactly(3),
    flags: OF_REPLICAS.flags.and(Flags::STALE),
    args: &[Arg::one_of(
        "args",
        &[
            Arg::block("host-port", &[Arg::string("host"), Arg::integer("port")]),
            Arg::block("no-one", &[Arg::word("no", "NO"), Arg::word("one", "ONE")]),
        ],
    )],
    run: Run::Server(replicaof),
    ..OF_REPLICAS
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("psync"),
        since: "2.8.0",
        complexity: "",
        summary: "Asks for the stream of replication, from a place on.",
        arity: Arity::AtLeast(3),
        flags: OF_REPLICAS.flags.and(Flags::NO_MULTI),
        args: &[Arg::string("replicationid"), Arg::integer("offset")],
        run: Run::Server(psync),
        ..OF_REPLICAS
    },
    Command {
        name: Name("replconf"),
        since: "3.0.0",
        summary: "Tells what a replica is, and how far it has come.",
        arity: Arity::AtLeast(1),
        flags: Flags::ADMIN
            .and(Flags::NO_SCRIPT)
            .and(Flags::LOADING)
            .and(Flags::STALE)
            .and(Flags::ALLOW_BUSY),
        run: Run::Asks(replconf),
        ..OF_REPLICAS
    },
    Command { name: Name("replicaof"), ..REPLICAOF },
    Command {
        name: Name("role"),
        since: "2.8.12",
        summary: "Tells the part of the server in replication.",
        arity: Arity::Exactly(1),
        flags: Flags::NO_SCRIPT.and(Flags::LOADING).and(Flags::STALE).and(Flags::FAST),
        categories: Categories::ADMIN.and(Categories::DANGEROUS),
        run: Run::Server(|_, _| Ok(Action::Gather(Question::Nothing, Gathered::Role))),
        ..OF_REPLICAS
    },
    Command {
        name: Name("slaveof"),
        since: "1.0.0",
        deprecated: Some(("5.0.0", "`REPLICAOF`")),
        ..REPLICAOF
    },
    Command {
        name: Name("sync"),
        since: "1.0.0",
        complexity: "",
        summary: "Asks for the stream of replication, in the form of old replicas.",
        arity: Arity::Exactly(1),
        flags: OF_REPLICAS.flags.and(Flags::NO_MULTI),
        run: Run::Server(|_, _| Ok(Action::Replicate(SyncRequest::All))),
        ..OF_REPLICAS
    },
];

fn psync(call: &Call<'_>, session: &Session) -> Result<Action, CommandError> {
    if !session.is_replica && call.len() > 3 && call.is(3, "failover") {
        return Err(NOT_A_REPLICA);
    }
    let (id, number) = (call.arg(1).to_vec(), call.integer(2)?);
    Ok(Action::Replicate(SyncRequest::From { id, number }))
}

fn replicaof(call: &Call<'_>, session: &Session) -> Result<Action, CommandError> {
    if call.is(1, "no") && call.is(2, "one") {
        return Ok(Action::Follow(None));
    }
    if session.is_replica {
        return Err(FOR_CLIENTS);
    }
    let port = integer::parse(call.arg(2)).and_then(|port| u16::try_from(port).ok());
    // Nobody listens on port 0, which may be named all the same.
    let port = port.ok_or(WRONG_PORT)?;
    Ok(Action::Follow(Some((String::from_utf8_lossy(call.arg(1)).into_owned(), port))))
}

/// How far a replica has come is not answered.
fn replconf(
    call: &Call<'_>,
    session: &mut Session,
    _: &mut Register,
    walk: &mut Walk,
    reply: &mut Reply<'_>,
) -> Result<Option<Action>, CommandError> {
    if let Some(answer) = walk.answer.take() {
        return answer.map(|_| None);
    }
    if call.len().is_multiple_of(2) {
        return Err(CommandError::Syntax);
    }
    for at in (1..call.len()).step_by(2) {
        if call.is(at, "ack") {
            return acknowledge(call, at, session);
        }
        if call.is(at, "getack") {
            // Its primary's connection answers, behind what it has carried out.
            return Ok(None);
        }
        let presented = session.presented.get_or_insert_default();
        present(presented, call.arg(at), call.arg(at + 1))?;
    }
    reply.ok();
    Ok(None)
}

/// What a replica has, and what of that is in its journal.
fn acknowledge(
    call: &Call<'_>,
    at: usize,
    session: &Session,
) -> Result<Option<Action>, CommandError> {
    let offset = |at| integer::parse(call.arg(at)).and_then(|offset| u64::try_from(offset).ok());
    let Some(applied) = offset(at + 1).filter(|_| session.is_replica) else { return Ok(None) };
    let journaled = offset(at + 3).filter(|_| call.is(at + 2, "fack"));
    Ok(Some(Action::Acknowledge { applied, journaled }))
}

/// Notes what a replica says of itself.
fn present(presented: &mut Presented, option: &[u8], value: &[u8]) -> Result<(), CommandError> {
    let flag = || match integer::parse(value) {
        None => Err(CommandError::NotAnInteger),
        Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(_) => Err(ZERO_OR_ONE),
    };
    match &option.to_ascii_lowercase()[..] {
        b"listening-port" => {
            let port = integer::parse(value).ok_or(CommandError::NotAnInteger)?;
            presented.port = u16::try_from(port).unwrap_or(0);
        }
        b"ip-address" if value.len() > ADDRESS_MAX => {
            let length = value.len().to_string();
            let text = "ERR REPLCONF ip-address provided by replica instance is too long: {} bytes";
            return Err(quoting(text, &[length.as_bytes()]));
        }
        b"ip-address" => presented.address = value.to_vec(),
        b"capa" => match &value.to_ascii_lowercase()[..] {
            b"eof" => presented.takes_mark = true,
            b"psync2" => presented.takes_new_ids = true,
            b"rdb-channel-repl" => presented.is_redis_8 = true,
            // What is not offered need not be known.
            _ => {}
        },
        b"version" => {
            presented.version = version(value)
                .ok_or_else(|| quoting("ERR Unrecognized version format: {}", &[value]))?;
        }
        b"rdb-only" => presented.is_rdb_only = flag()?,
        b"rdb-filter-only" => {
            (presented.is_without_data, presented.is_without_functions) = (true, true);
            for filter in value.split(|byte| byte.is_ascii_whitespace()) {
                if filter.eq_ignore_ascii_case(b"functions") {
                    presented.is_without_functions = false;
                } else if !filter.is_empty() {
                    let text = "ERR Unsupported rdb-filter-only option: {}";
                    return Err(quoting(text, &[filter]));
                }
            }
        }
        _ => return Err(quoting("ERR Unrecognized REPLCONF option: {}", &[option])),
    }
    Ok(())
}

/// A byte for each of the three numbers of a version.
fn version(text: &[u8]) -> Option<u32> {
    let mut numbers = text.split(|byte| *byte == b'.').map(|number| {
        integer::parse(number).and_then(|number| u8::try_from(number).ok()).map(u32::from)
    });
    let mut next = || numbers.next().flatten();
    let version = next()? << 16 | next()? << 8 | next()?;
    numbers.next().is_none().then_some(version)
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn a_replica_says_what_it_is() {
        let mut store = Store::new();
        for line in [
            "REPLCONF listening-port 7001",
            "REPLCONF ip-address 10.0.0.7",
            "REPLCONF capa eof capa psync2 capa dual-channel capa what-will-be",
            "REPLCONF version 9.1.2",
            "REPLCONF rdb-only 1",
            "REPLCONF rdb-filter-only functions",
            "REPLCONF",
        ] {
            assert_eq!(store.run(line), "OK", "{line}");
        }
        let presented = store.session.presented.as_ref().expect("it has said something");
        assert_eq!((presented.port, &presented.address[..]), (7001, &b"10.0.0.7"[..]));
        assert!(presented.takes_mark && presented.takes_new_ids && !presented.is_redis_8);
        assert_eq!(presented.version, 0x09_01_02);
        assert!(presented.is_rdb_only && presented.is_without_data);
        assert!(!presented.is_without_functions);
    }

    #[test]
    fn what_is_wrong_is_refused_in_the_words_of_valkey() {
        let mut store = Store::new();
        for (line, error) in [
            ("REPLCONF capa", "ERR syntax error"),
            (
                "REPLCONF set-cluster-node-id x",
                "ERR Unrecognized REPLCONF option: set-cluster-node-id",
            ),
            ("REPLCONF version 9", "ERR Unrecognized version format: 9"),
            ("REPLCONF rdb-only 2", "ERR value is out of range, value must between 0 and 1"),
            ("REPLCONF listening-port x", "ERR value is not an integer or out of range"),
            ("REPLCONF rdb-filter-only keys", "ERR Unsupported rdb-filter-only option: keys"),
            ("PSYNC ? x", "ERR value is not an integer or out of range"),
            ("PSYNC ? -1 FAILOVER", "ERR PSYNC FAILOVER can't be sent to a primary."),
            ("REPLICAOF host port", "ERR Invalid master port"),
        ] {
            assert_eq!(store.run(line), format!("(error) {error}"), "{line}");
        }
        assert_eq!(store.run("REPLICAOF no one"), "(action) Follow(None)");
        assert_eq!(store.run("REPLICAOF host 0"), "(action) Follow(Some((\"host\", 0)))");
        let asked = store.run("SLAVEOF host 6379");
        assert_eq!(asked, "(action) Follow(Some((\"host\", 6379)))");
    }

    #[test]
    fn who_is_no_replica_cannot_say_how_far_it_has_come() {
        let mut store = Store::new();
        assert_eq!(store.run("REPLCONF ACK 5"), "");
        assert_eq!(store.run("REPLCONF GETACK *"), "");
        store.session.is_replica = true;
        let asked = store.run("REPLCONF ACK 5 FACK 3");
        assert_eq!(asked, "(action) Acknowledge { applied: 5, journaled: Some(3) }");
    }
}
