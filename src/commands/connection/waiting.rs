//! Waiting for copies of what a client has written: WAIT, WAITAOF.
//!
//! What replicas and the journal have, the client's connection says (`crate::connection`), since no
//! shard alone knows. Inside EXEC nobody asks for it: there are no copies then.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Categories, Command, Flags, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::run::{Blocking, Copies, MayWait, Nil, Wait};
use crate::commands::time::end_of_wait;
use crate::keyspace::interest::Awaited;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

const WITHOUT_JOURNAL: CommandError = CommandError::Text(
    "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
);

const REPLICAS: Arg = Arg::integer("numreplicas");

const TIMEOUT: Arg = Arg::integer("timeout");

/// What both share.
const WAIT: Command = Command {
    flags: Flags::BLOCKING,
    categories: Categories::CONNECTION,
    tips: &["request_policy:all_shards", "response_policy:agg_min"],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("wait"),
        since: "3.0.0",
        summary: "Waits until so many replicas have what the client has written.",
        arity: Arity::Exactly(3),
        args: &[REPLICAS, TIMEOUT],
        run: Run::Blocking(without_keys(wait)),
        ..WAIT
    },
    Command {
        name: Name("waitaof"),
        since: "7.2.0",
        summary: "Waits until the journals of this server and of so many replicas have on disk \
                  what the client has written.",
        arity: Arity::Exactly(4),
        args: &[Arg::integer("numlocal"), REPLICAS, TIMEOUT],
        run: Run::Blocking(without_keys(waitaof)),
        ..WAIT
    },
];

/// No key ends the wait.
const fn without_keys(run: MayWait) -> Blocking {
    Blocking { awaited: Awaited::List, on_first_key: false, is_ready: |_, _, _| false, run }
}

fn wait(
    call: &Call<'_>,
    _: &mut Keys<'_>,
    _: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    let replicas = u64::try_from(call.integer(1)?).unwrap_or(0);
    let until = end_of_wait(call.arg(2), call.now)?;
    let until = Some(until).filter(|until| *until != call.now);
    Ok(Some(Wait::new(until, Nil::Replicas(replicas))))
}

fn waitaof(
    call: &Call<'_>,
    _: &mut Keys<'_>,
    _: &mut Reply<'_>,
) -> Result<Option<Wait>, CommandError> {
    let out_of_range = CommandError::Text("ERR value is out of range, value must between 0 and 1");
    let here = match call.integer(1)? {
        0 => false,
        1 => true,
        _ => return Err(out_of_range),
    };
    let replicas = integer::parse(call.arg(2)).and_then(|replicas| u64::try_from(replicas).ok());
    let replicas = replicas.ok_or(CommandError::NotPositive)?;
    let until = end_of_wait(call.arg(3), call.now)?;
    if here && !call.settings.appendonly {
        return Err(WITHOUT_JOURNAL);
    }
    let until = Some(until).filter(|until| *until != call.now);
    Ok(Some(Wait::new(until, Nil::Journals(Copies { here, replicas }))))
}

#[cfg(test)]
mod tests {
    use crate::testing::Store;

    #[test]
    fn in_a_transaction_nobody_waits() {
        let mut store = Store::new();
        store.run("MULTI");
        store.run("WAIT 1 0");
        store.run("WAITAOF 0 1 0");
        assert_eq!(store.run("EXEC"), "1) (integer) 0\n2) 1) (integer) 0\n   2) (integer) 0");
    }

    #[test]
    fn wrong_calls_are_refused_in_the_words_of_valkey() {
        let mut store = Store::new();
        for (line, reply) in [
            ("WAIT a 10", "(error) ERR value is not an integer or out of range"),
            ("WAIT 1 a", "(error) ERR timeout is not an integer or out of range"),
            ("WAIT 1 -1", "(error) ERR timeout is negative"),
            ("WAIT 1 9223372036854775807", "(error) ERR timeout is out of range"),
            ("WAITAOF 2 0 0", "(error) ERR value is out of range, value must between 0 and 1"),
            ("WAITAOF a 0 0", "(error) ERR value is not an integer or out of range"),
            ("WAITAOF 0 -1 0", "(error) ERR value is out of range, must be positive"),
            ("WAITAOF 0 a 0", "(error) ERR value is out of range, must be positive"),
            ("WAITAOF 1 0 a", "(error) ERR timeout is not an integer or out of range"),
            (
                "WAITAOF 1 0 10",
                "(error) ERR WAITAOF cannot be used when numlocal is set but appendonly is \
                 disabled.",
            ),
        ] {
            assert_eq!(store.run(line), reply, "{line}");
        }
    }
}
