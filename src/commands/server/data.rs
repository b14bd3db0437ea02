//! The data set as a whole: DBSIZE, FLUSHALL, FLUSHDB, SWAPDB.
//!
//! All of them run over every shard at one point in time. What is emptied is gone at once and its
//! memory comes back bit by bit, whether ASYNC or SYNC was asked for: no client can tell.

use crate::base::integer;
use crate::commands::call::Call;
use crate::commands::command::{Arg, Arity, Categories, Command, Flags, Group, Name, Run};
use crate::commands::error::CommandError;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// What FLUSHALL and FLUSHDB share.
const FLUSH: Command = Command {
    group: Group::Server,
    since: "1.0.0",
    arity: Arity::AtLeast(1),
    flags: Flags::WRITE,
    categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
    tips: &["request_policy:all_shards", "response_policy:all_succeeded"],
    args: &[Arg::one_of(
        "flush-type",
        &[Arg::word("async", "ASYNC").since("4.0.0"), Arg::word("sync", "SYNC").since("6.2.0")],
    )
    .optional()],
    history: &[("4.0.0", "The mode `ASYNC`."), ("6.2.0", "The mode `SYNC`.")],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("dbsize"),
        group: Group::Server,
        since: "1.0.0",
        summary: "Counts the keys of the selected database.",
        arity: Arity::Exactly(1),
        flags: Flags::READONLY.and(Flags::FAST),
        categories: Categories::KEYSPACE,
        tips: &["request_policy:all_shards", "response_policy:agg_sum"],
        run: Run::All(dbsize),
        ..Command::BASE
    },
    Command {
        name: Name("flushall"),
        complexity: "O(N) with N keys in all databases.",
        summary: "Empties all databases.",
        run: Run::All(flushall),
        ..FLUSH
    },
    Command {
        name: Name("flushdb"),
        complexity: "O(N) with N keys in the selected database.",
        summary: "Empties the selected database.",
        run: Run::All(flushdb),
        ..FLUSH
    },
    Command {
        name: Name("swapdb"),
        group: Group::Server,
        since: "4.0.0",
        complexity: "O(N) with N slots.",
        summary: "Exchanges the contents of two databases.",
        arity: Arity::Exactly(3),
        flags: Flags::WRITE.and(Flags::FAST),
        categories: Categories::KEYSPACE.and(Categories::DANGEROUS),
        args: &[Arg::integer("index1"), Arg::integer("index2")],
        run: Run::All(swapdb),
        ..Command::BASE
    },
];

fn dbsize(
    _call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    reply.int(keys.count() as i64);
    Ok(())
}

fn flushall(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    check_how_to_flush(call)?;
    keys.clear_all();
    journal_anyhow(keys);
    reply.ok();
    Ok(())
}

fn flushdb(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    check_how_to_flush(call)?;
    keys.clear();
    journal_anyhow(keys);
    reply.ok();
    Ok(())
}

/// Emptying is journaled even where there was nothing to empty, as in Redis.
fn journal_anyhow(keys: &mut Keys<'_>) {
    keys.changes = keys.changes.max(1);
}

fn check_how_to_flush(call: &Call<'_>) -> Result<(), CommandError> {
    match call.len() {
        1 => Ok(()),
        2 if call.is(1, "ASYNC") || call.is(1, "SYNC") => Ok(()),
        _ => Err(CommandError::Syntax),
    }
}

fn swapdb(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let number = |at, error| {
        let number = integer::parse(call.arg(at)).and_then(|number| i32::try_from(number).ok());
        number.ok_or(error)
    };
    let a = number(1, CommandError::InvalidFirstDbIndex)?;
    let b = number(2, CommandError::InvalidSecondDbIndex)?;
    let database = |number: i32| {
        let number = u32::try_from(number).ok().filter(|db| *db < call.settings.databases);
        number.ok_or(CommandError::DbIndexOutOfRange)
    };
    let (a, b) = (database(a)?, database(b)?);
    if a != b {
        keys.swap(a, b);
    }
    reply.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Shards, Store, dialogue};

    #[test]
    fn databases_are_counted_swapped_and_emptied_over_all_shards() {
        let mut shards = Shards::new(3);
        for number in 0..100 {
            shards.run(&format!("SET key:{number} x"));
        }
        assert_eq!(shards.run("DBSIZE"), "(integer) 100");
        assert_eq!(shards.run("SWAPDB 0 3"), "OK");
        assert_eq!(shards.run("DBSIZE"), "(integer) 0");
        shards.run("SET a 1");
        assert_eq!(shards.run("FLUSHDB"), "OK");
        shards.session.db = 3;
        assert_eq!(shards.run("DBSIZE"), "(integer) 100");
        assert_eq!(shards.run("FLUSHALL async"), "OK");
        assert_eq!(shards.run("DBSIZE"), "(integer) 0");
        assert_eq!(shards.run("SET a 1"), "OK");
    }

    #[test]
    fn emptying_is_journaled_even_where_nothing_was() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > FLUSHALL
            OK
            > FLUSHDB SYNC
            OK
            > SWAPDB 1 1
            OK
            > FLUSHDB foo
            (error) ERR syntax error
            > FLUSHALL ASYNC SYNC
            (error) ERR syntax error
            > SWAPDB a b
            (error) ERR invalid first DB index
            > SWAPDB 0 99999999999
            (error) ERR invalid second DB index
            > SWAPDB -1 0
            (error) ERR DB index is out of range
            "#,
        );
        assert_eq!(store.effects(), "FLUSHALL\nFLUSHDB SYNC");
        store.run("SWAPDB 0 1");
        assert_eq!(store.effects(), "SWAPDB 0 1");
    }
}
