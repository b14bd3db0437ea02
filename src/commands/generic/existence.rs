//! Whether keys are there, and their end: DEL, UNLINK, EXISTS, TOUCH, TYPE.
//!
//! What is deleted is gone from the key space at once. A string and a small collection are dropped
//! at once too; a large one is handed to the shard, which drops it bit by bit. So UNLINK is DEL.

use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Categories, Command, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::keyspace::entry::Entry;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// What the commands share that count keys: each is looked for on its shard, and the numbers are
/// added up.
const COUNT: Command = Command {
    group: Group::Generic,
    complexity: "O(N) with N keys.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::rest(1, 1, Access::RO)],
    flags: Flags::READONLY.and(Flags::FAST),
    categories: Categories::KEYSPACE,
    tips: &["request_policy:multi_shard", "response_policy:agg_sum"],
    args: &[Arg::key("key").multiple()],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("del"),
        since: "1.0.0",
        complexity: "O(N) with N keys, and O(M) for each that holds M elements.",
        summary: "Removes keys.",
        keys: &[KeySpec::rest(1, 1, Access::RM.and(Access::DELETE))],
        flags: Flags::WRITE,
        run: Run::Keys(del),
        ..COUNT
    },
    Command {
        name: Name("exists"),
        since: "1.0.0",
        summary: "Counts how many of the keys are there.",
        history: &[("3.0.3", "Several keys at once.")],
        run: Run::Keys(exists),
        ..COUNT
    },
    Command {
        name: Name("touch"),
        since: "3.2.1",
        summary: "Marks keys as accessed now and counts those that are there.",
        run: Run::Keys(touch),
        ..COUNT
    },
    Command {
        name: Name("type"),
        group: Group::Generic,
        since: "1.0.0",
        summary: "Names the type of the value of a key.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO)],
        flags: Flags::READONLY.and(Flags::FAST),
        categories: Categories::KEYSPACE,
        args: &[Arg::key("key")],
        run: Run::Keys(type_of_key),
        ..Command::BASE
    },
    Command {
        name: Name("unlink"),
        since: "4.0.0",
        complexity: "O(1) for each key; the memory of large values comes back later.",
        summary: "Removes keys and gives the memory of large values back later.",
        keys: &[KeySpec::rest(1, 1, Access::RM.and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        run: Run::Keys(del),
        ..COUNT
    },
];

fn del(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let removed = (1..call.len()).filter(|at| keys.delete(call.key(*at), Event::DEL)).count();
    reply.int(removed as i64);
    Ok(())
}

fn exists(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    keys.untouched = true;
    count_there(call, keys, reply)
}

/// Touches even for a client that asked for its reads to leave no trace.
fn touch(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    keys.untouched = false;
    count_there(call, keys, reply)
}

fn count_there(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let there = (1..call.len()).filter(|at| keys.exists(call.key(*at))).count();
    reply.int(there as i64);
    Ok(())
}

fn type_of_key(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    keys.untouched = true;
    reply.simple(keys.read(call.key(1)).map_or("none", Entry::type_name));
    Ok(())
}

/// The names of all types of Redis, whether there are values of them here or not.
pub(super) const TYPES: &[&str] = &["string", "list", "set", "zset", "hash", "stream"];

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn keys_are_counted_removed_and_typed() {
        let mut store = Store::new();
        store.run("SET a 1");
        store.run("SET b x");
        store.effects();
        dialogue(
            &mut store,
            r#"
            > EXISTS a a b c
            (integer) 3
            > TOUCH a c
            (integer) 1
            > TYPE a
            string
            > TYPE c
            none
            > UNLINK a a
            (integer) 1
            > DEL b c
            (integer) 1
            > EXISTS a b
            (integer) 0
            "#,
        );
        assert_eq!(store.effects(), "UNLINK a a\nDEL b c");
        assert_eq!(store.run("DEL a"), "(integer) 0");
        assert_eq!(store.effects(), "");
    }

    #[test]
    fn a_key_that_is_due_is_not_there_and_its_end_is_journaled() {
        let mut store = Store::new();
        store.run("SET a 1");
        store.run("PEXPIRE a 10");
        store.effects();
        store.tick(10);
        dialogue(&mut store, "> EXISTS a\n(integer) 0\n> TYPE a\nnone\n> DEL a\n(integer) 0");
        assert_eq!(store.effects(), "DEL a");
    }
}
