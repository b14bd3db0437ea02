//! What is known of a value: OBJECT.
//!
//! The encodings are names that Redis's clients and tests know; they follow from how the value came
//! about and how long it is, as in Valkey 9.1, not from how it is stored here. The reference count
//! is always 1: nothing is shared.

use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Categories, Command, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::help;
use crate::data::value::Value;
use crate::keyspace::access::AccessClock;
use crate::keyspace::entry::Entry;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// What the subcommands share.
const ON_KEY: Command = Command {
    group: Group::Generic,
    since: "2.2.3",
    arity: Arity::Exactly(3),
    keys: &[KeySpec::one(2, Access::RO)],
    flags: Flags::READONLY,
    categories: Categories::KEYSPACE,
    tips: &["nondeterministic_output"],
    args: &[Arg::key("key")],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("object"),
    group: Group::Generic,
    since: "2.2.3",
    complexity: "That of the subcommand.",
    summary: "Tells what is known of the value of a key.",
    arity: Arity::AtLeast(2),
    subcommands: &[
        Command {
            name: Name("object|encoding"),
            summary: "Names the form in which a value is kept.",
            run: Run::Keys(object_encoding),
            ..ON_KEY
        },
        Command {
            name: Name("object|freq"),
            since: "4.0.0",
            summary: "Gives the logarithmic counter of accesses to a key.",
            run: Run::Keys(freq),
            ..ON_KEY
        },
        Command {
            name: Name("object|help"),
            group: Group::Generic,
            since: "6.2.0",
            categories: Categories::KEYSPACE,
            run: Run::Session(|call, _, reply| help::of_lines(call, HELP, reply)),
            ..help::BASE
        },
        Command {
            name: Name("object|idletime"),
            summary: "Gives the seconds since the last access to a key.",
            run: Run::Keys(idletime),
            ..ON_KEY
        },
        Command {
            name: Name("object|refcount"),
            summary: "Gives the number of references to a value.",
            run: Run::Keys(refcount),
            ..ON_KEY
        },
    ],
    ..Command::BASE
}];

const HELP: &[(&str, &str)] = &[
    ("ENCODING <key>", "Name the form in which the value of the key is kept."),
    ("FREQ <key>", "Show the logarithmic access counter of the key, under an LFU policy."),
    ("IDLETIME <key>", "Show how many seconds ago the key was accessed, under any other policy."),
    ("REFCOUNT <key>", "Show the number of references to the value of the key."),
];

fn object_encoding(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    keys.untouched = true;
    match keys.read(call.key(2)) {
        Some(entry) => reply.bulk(encoding(entry).as_bytes()),
        None => reply.null(),
    }
    Ok(())
}

fn freq(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    show_access(call, keys, reply, |clock, entry, now| {
        clock.frequency(entry, now).map(i64::from).ok_or(CommandError::Text(
            "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please \
             note that when switching between policies at runtime LRU and LFU data will take some \
             time to adjust.",
        ))
    })
}

fn idletime(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show_access(call, keys, reply, |clock, entry, now| {
        clock.idle_seconds(entry, now).map(i64::from).ok_or(CommandError::Text(
            "ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when \
             switching between policies at runtime LRU and LFU data will take some time to adjust.",
        ))
    })
}

fn refcount(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show_access(call, keys, reply, |_, _, _| Ok(1))
}

/// A number about an entry, read without a trace; null where there is no key.
fn show_access(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    number: impl FnOnce(AccessClock, &Entry, Millis) -> Result<i64, CommandError>,
) -> Result<(), CommandError> {
    keys.untouched = true;
    let (clock, now) = (keys.tools.clock, keys.now);
    match keys.read(call.key(2)) {
        Some(entry) => reply.int(number(clock, entry, now)?),
        None => reply.null(),
    }
    Ok(())
}

/// Two cache lines: what Valkey keeps together in one block, with key, deadline and string.
const EMBEDDED_MAX: usize = 128;

/// The name of the form in which Redis would keep the value.
pub(crate) fn encoding(entry: &Entry) -> &'static str {
    let Some(string) = entry.string() else {
        return entry.object().map_or("", |object| object.collection().encoding());
    };
    match string {
        Value::Integer(_) => "int",
        Value::Bytes(bytes) if !entry.is_raw() && block(entry, bytes) <= EMBEDDED_MAX => "embstr",
        Value::Bytes(_) => "raw",
    }
}

/// Bytes of Valkey's block for a short string: its head, the deadline, and two strings of which
/// each has a head of its own (one byte for keys under 32 bytes, else three) and a zero at its end.
fn block(entry: &Entry, bytes: &[u8]) -> usize {
    let deadline = if entry.deadline().is_some() { 8 } else { 0 };
    let key = entry.key().len();
    let key_head = if key < 32 { 1 } else { 3 };
    8 + deadline + 1 + (key_head + key + 1) + (3 + bytes.len() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::entry::NewValue;
    use crate::testing::{Store, dialogue};

    #[test]
    fn encodings_change_at_the_lengths_of_valkey() {
        // Lengths of key and of the longest embedded value, as Valkey 9.1.2 answered.
        for (key, longest) in [(1, 112), (30, 83), (31, 82), (32, 79), (60, 51), (110, 1)] {
            let name = vec![b'k'; key];
            let of = |len: usize, deadline| {
                let value = vec![b'x'; len];
                encoding(&Entry::new(&name, NewValue::Bytes(&value), deadline, 0))
            };
            assert_eq!((of(longest, None), of(longest + 1, None)), ("embstr", "raw"), "{key}");
            if longest > 8 {
                assert_eq!(of(longest - 7, Some(Millis(1))), "raw");
            }
        }
        assert_eq!(encoding(&Entry::new(&[b'k'; 115], NewValue::Bytes(b""), None, 0)), "raw");
        assert_eq!(encoding(&Entry::new(b"k", NewValue::Built(b"x".to_vec()), None, 0)), "raw");
        assert_eq!(encoding(&Entry::new(b"k", NewValue::Integer(1), None, 0)), "int");
    }

    #[test]
    fn an_object_is_described_without_touching_it() {
        let mut store = Store::new();
        store.run("SET k 1");
        store.tick(5_000);
        dialogue(
            &mut store,
            r#"
            > OBJECT IDLETIME k
            (integer) 5
            > OBJECT ENCODING k
            "int"
            > OBJECT REFCOUNT k
            (integer) 1
            > TTL k
            (integer) -1
            > TYPE k
            string
            > EXISTS k
            (integer) 1
            > OBJECT IDLETIME k
            (integer) 5
            > TOUCH k
            (integer) 1
            > OBJECT IDLETIME k
            (integer) 0
            > OBJECT IDLETIME nothing
            (nil)
            > OBJECT ENCODING
            (error) ERR wrong number of arguments for 'object|encoding' command
            > OBJECT foo
            (error) ERR unknown subcommand 'foo'. Try OBJECT HELP.
            "#,
        );
        assert!(
            store.run("OBJECT FREQ k").starts_with("(error) ERR An LFU maxmemory policy is not")
        );
    }
}
