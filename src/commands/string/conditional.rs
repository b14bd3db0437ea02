//! Strings compared with what is there: DELEX, DELIFEQ, DIGEST, and the conditions IFEQ, IFNE,
//! IFDEQ and IFDNE, which SET has too.
//!
//! A digest is the 64-bit XXH3 of the string in 16 lower-case hexadecimal digits; it is compared as
//! text, in any case. SET takes a missing key for different from everything, DELEX has nothing to
//! delete then. What is deleted is journaled as DEL, which every server knows.

use twox_hash::XxHash3_64;

use crate::commands::call::{Call, Options};
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::string::with_bytes;
use crate::data::value::Value;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The conditions, for COMMAND DOCS.
pub(super) const ARGS: [Arg; 4] = [
    Arg::string("ifeq-value").token("IFEQ"),
    Arg::string("ifne-value").token("IFNE"),
    Arg::string("ifdeq-digest").token("IFDEQ"),
    Arg::string("ifdne-digest").token("IFDNE"),
];

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("delex"),
        group: Group::String,
        since: "8.4.0",
        complexity: "O(1) by value, O(N) by digest with N the length of the string.",
        summary: "Deletes a key, on a condition on its string value if asked.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec::one(1, Access::RW.and(Access::DELETE).and(Access::VARIABLE_FLAGS))],
        varying_access: Some(delex_access),
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), Arg::one_of("condition", &ARGS).optional()],
        run: Run::Keys(delex),
        ..Command::BASE
    },
    Command {
        name: Name("delifeq"),
        group: Group::String,
        since: "9.0.0",
        complexity: "O(1)",
        summary: "Deletes a key if its string value is the given one.",
        arity: Arity::Exactly(3),
        keys: &[KeySpec::one(1, Access::RM.and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("value")],
        run: Run::Keys(delifeq),
        ..Command::BASE
    },
    Command {
        name: Name("digest"),
        group: Group::String,
        since: "8.4.0",
        complexity: "O(N) with N the length of the string.",
        summary: "Gives the XXH3 hash of a string.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
        flags: Flags::READONLY.and(Flags::FAST),
        args: &[Arg::key("key")],
        run: Run::Keys(digest),
        ..Command::BASE
    },
];

/// DELEX looks at the value only where it has a condition.
fn delex_access(words: &[&[u8]]) -> Access {
    let access = if words.len() > 2 { Access::RW } else { Access::RM };
    access.and(Access::DELETE)
}

fn delex(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let holds = match call.len() {
        2 => true,
        4 => delex_holds(call, keys, key)?,
        _ => return Err(CommandError::WrongArity(call.command.name.as_str())),
    };
    let deleted = holds && delete(keys, key);
    reply.int(i64::from(deleted));
    Ok(())
}

fn delex_holds(call: &Call<'_>, keys: &mut Keys<'_>, key: Key<'_>) -> Result<bool, CommandError> {
    let there = keys.look_string(key).map_err(|_| {
        CommandError::Text("ERR Key should be of string type if conditions are specified")
    })?;
    if there.is_none() {
        return Ok(false);
    }
    let comparison = Comparison::take(&mut call.options(2))?;
    let comparison = comparison
        .ok_or(CommandError::Text("ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE"))?;
    comparison.holds(there)
}

fn delifeq(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let key = call.key(1);
    let is_equal = keys.look_string(key)?.is_some_and(|there| there.is(call.arg(2)));
    let deleted = is_equal && delete(keys, key);
    reply.int(i64::from(deleted));
    Ok(())
}

fn digest(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    match keys.read_string(call.key(1))? {
        None => reply.null(),
        value => reply.bulk(with_bytes(value, digest_of).as_bytes()),
    }
    Ok(())
}

fn digest_of(bytes: &[u8]) -> String {
    format!("{:016x}", XxHash3_64::oneshot(bytes))
}

/// Deletes a key and records that; tells whether it was there.
fn delete(keys: &mut Keys<'_>, key: Key<'_>) -> bool {
    let deleted = keys.delete(key, Event::DEL);
    if deleted {
        keys.tools.effects.rewrite(keys.db, &[b"DEL", key.name]);
    }
    deleted
}

/// A condition on a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Comparison<'a> {
    wants_equal: bool,
    by_digest: bool,
    with: &'a [u8],
}

impl<'a> Comparison<'a> {
    /// Takes the next option when it is a condition on a string.
    ///
    /// # Errors
    /// [`CommandError::Syntax`] when nothing follows it.
    pub(super) fn take(options: &mut Options<'a>) -> Result<Option<Comparison<'a>>, CommandError> {
        let kinds = [("IFEQ", true, false), ("IFNE", false, false)]
            .into_iter()
            .chain([("IFDEQ", true, true), ("IFDNE", false, true)]);
        for (word, wants_equal, by_digest) in kinds {
            if options.take_word(word) {
                return Ok(Some(Comparison { wants_equal, by_digest, with: options.value()? }));
            }
        }
        Ok(None)
    }

    /// Whether it holds for a string. A missing one is different from everything.
    ///
    /// # Errors
    /// When a digest does not have the length of one; nobody looks at it where there is no string.
    pub(super) fn holds(self, there: Option<Value<'_>>) -> Result<bool, CommandError> {
        let Some(there) = there else { return Ok(!self.wants_equal) };
        let is_equal = if self.by_digest {
            let digest = with_bytes(Some(there), digest_of);
            if self.with.len() != digest.len() {
                return Err(CommandError::Text("ERR must be exactly 16 hexadecimal characters"));
            }
            digest.as_bytes().eq_ignore_ascii_case(self.with)
        } else {
            there.is(self.with)
        };
        Ok(is_equal == self.wants_equal)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn delifeq_deletes_only_what_is_equal() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > DELIFEQ k 10
            (integer) 0
            > SET k 10
            OK
            > DELIFEQ k 010
            (integer) 0
            > DELIFEQ k 10
            (integer) 1
            > GET k
            (nil)
            "#,
        );
        assert_eq!(store.effects(), "SET k 10\nDEL k");
    }

    #[test]
    fn digests_are_what_redis_says() {
        let mut store = Store::new();
        for (value, digest) in [
            ("hello", "9555e8555c62dcfd"),
            ("\"Hello world\"", "b6acb9d84a38ff74"),
            ("\"\"", "2d06800538d394c2"),
            ("123", "404a763b3f4c8c9a"),
            ("v8", "0cc76dbb41381419"),
        ] {
            store.run(&format!("SET k {value}"));
            assert_eq!(store.run("DIGEST k"), format!("\"{digest}\""), "{value}");
        }
        assert_eq!(store.run("DIGEST nothing"), "(nil)");
    }

    #[test]
    fn delex_deletes_on_a_condition() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > MSET {t}a hello {t}b hello {t}c hello {t}d hello {t}e hello
            OK
            > DELEX {t}a IFEQ other
            (integer) 0
            > DELEX {t}a ifeq hello
            (integer) 1
            > DELEX {t}b IFNE hello
            (integer) 0
            > DELEX {t}b IFNE other
            (integer) 1
            > DELEX {t}c IFDEQ 0000000000000000
            (integer) 0
            > DELEX {t}c IFDEQ 9555E8555c62dcfd
            (integer) 1
            > DELEX {t}d IFDNE 9555e8555c62dcfd
            (integer) 0
            > DELEX {t}d IFDNE zzzzzzzzzzzzzzzz
            (integer) 1
            > DELEX {t}e IFDNE 9555e8555c62dcf
            (error) ERR must be exactly 16 hexadecimal characters
            > DELEX {t}e IF hello
            (error) ERR Invalid condition. Use IFEQ, IFNE, IFDEQ, or IFDNE
            > DELEX {t}e IFEQ
            (error) ERR wrong number of arguments for 'delex' command
            > DELEX {t}e IFEQ hello IFEQ
            (error) ERR wrong number of arguments for 'delex' command
            > DELEX {t}e
            (integer) 1
            > DELEX {t}e
            (integer) 0
            > DELEX {t}e IFNE x
            (integer) 0
            > DELEX {t}e IFDEQ short
            (integer) 0
            > DELEX {t}e IF x
            (integer) 0
            "#,
        );
        store.effects();
        store.run("SET k 1");
        store.run("DELEX k IFEQ 2");
        store.run("DELEX k IFNE 2");
        assert_eq!(store.effects(), "SET k 1\nDEL k");
    }

    #[test]
    fn set_takes_a_missing_key_for_different() {
        dialogue(
            &mut Store::new(),
            r#"
            > SET k v IFNE v
            OK
            > SET k w IFNE v
            (nil)
            > SET k w IFNE v GET
            "v"
            > SET k w IFNE x GET
            "v"
            > SET other v IFDNE short
            OK
            > SET k v IFDEQ short
            (error) ERR must be exactly 16 hexadecimal characters
            > SET new v IFDEQ 9555e8555c62dcfd
            (nil)
            > SET k hello
            OK
            > SET k v IFDNE 9555e8555c62dcfd
            (nil)
            > SET k v IFDEQ 9555E8555C62DCFD EX 100
            OK
            > TTL k
            (integer) 100
            > SET k v IFEQ v IFNE v
            (error) ERR syntax error
            > SET k v IFNE v NX
            (error) ERR syntax error
            > SET k v IFDEQ
            (error) ERR syntax error
            "#,
        );
    }
}
