//! Strings, stored whole: SET, SETEX, PSETEX, SETNX.
//!
//! SET without options takes a short path. With options, everything is read first, then the old
//! value is given, then the condition is asked, then the value is stored; each step in this order
//! because the errors of one hide those of the next.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::string::conditional::{self, Comparison};
use crate::commands::string::effect::store_and_record;
use crate::commands::string::expiry::{self, Expiry};
use crate::commands::string::reply_value;
use crate::commands::time::Clock;
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Deadline, Keys};
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("psetex"),
        group: Group::String,
        since: "2.6.0",
        complexity: "O(1)",
        summary: "Stores a string for a number of milliseconds.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::OW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[Arg::key("key"), Arg::integer("milliseconds"), Arg::string("value")],
        run: Run::Keys(psetex),
        ..Command::BASE
    },
    Command {
        name: Name("set"),
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Stores a string under a key, whatever the key held before.",
        arity: Arity::AtLeast(3),
        keys: &[KeySpec {
            notes: "Reads the old value too where GET is given.",
            ..KeySpec::one(
                1,
                Access::RW.and(Access::READS).and(Access::UPDATE).and(Access::VARIABLE_FLAGS),
            )
        }],
        varying_access: Some(set_access),
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: SET_ARGS,
        history: &[
            ("2.6.12", "The options `EX`, `PX`, `NX` and `XX`."),
            ("6.0.0", "The option `KEEPTTL`."),
            ("6.2.0", "The options `GET`, `EXAT` and `PXAT`."),
            ("7.0.0", "`NX` and `GET` go together."),
            ("8.1.0", "The option `IFEQ`."),
            ("8.4.0", "The options `IFNE`, `IFDEQ` and `IFDNE`."),
        ],
        run: Run::Keys(set),
        ..Command::BASE
    },
    Command {
        name: Name("setex"),
        group: Group::String,
        since: "2.0.0",
        complexity: "O(1)",
        summary: "Stores a string for a number of seconds.",
        arity: Arity::Exactly(4),
        keys: &[KeySpec::one(1, Access::OW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[Arg::key("key"), Arg::integer("seconds"), Arg::string("value")],
        run: Run::Keys(setex),
        ..Command::BASE
    },
    Command {
        name: Name("setnx"),
        group: Group::String,
        since: "1.0.0",
        complexity: "O(1)",
        summary: "Stores a string under a key that is not there yet.",
        arity: Arity::Exactly(3),
        keys: &[KeySpec::one(1, Access::OW.and(Access::INSERT))],
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("value")],
        run: Run::Keys(setnx),
        ..Command::BASE
    },
];

const SET_ARGS: &[Arg] = &[
    Arg::key("key"),
    Arg::string("value"),
    Arg::one_of(
        "condition",
        &[
            Arg::word("nx", "NX").since("2.6.12"),
            Arg::word("xx", "XX").since("2.6.12"),
            conditional::ARGS[0].since("8.1.0"),
            conditional::ARGS[1].since("8.4.0"),
            conditional::ARGS[2].since("8.4.0"),
            conditional::ARGS[3].since("8.4.0"),
        ],
    )
    .optional(),
    Arg::word("get", "GET").since("6.2.0").optional(),
    Arg::one_of(
        "expiration",
        &[
            expiry::ARGS[0].since("2.6.12"),
            expiry::ARGS[1].since("2.6.12"),
            expiry::ARGS[2].since("6.2.0"),
            expiry::ARGS[3].since("6.2.0"),
            Arg::word("keepttl", "KEEPTTL").since("6.0.0"),
        ],
    )
    .optional(),
];

fn psetex(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let deadline = Deadline::At(Clock::MILLISECONDS.deadline(call.arg(2), 1, call)?);
    store_and_record(keys, call.key(1), call.arg(3), deadline);
    reply.ok();
    Ok(())
}

/// SET reads the old value only where it has to give it back.
fn set_access(words: &[&[u8]]) -> Access {
    let gets = words.iter().skip(3).any(|word| word.eq_ignore_ascii_case(b"get"));
    let reads = Access::RW.and(Access::READS).and(Access::UPDATE);
    if gets { reads } else { Access::OW.and(Access::UPDATE) }
}

fn set(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    if call.len() > 3 {
        return set_with_options(call, keys, reply);
    }
    keys.set_string(call.key(1), call.arg(2), Deadline::Clear);
    reply.ok();
    Ok(())
}

fn set_with_options(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let asked = SetOptions::parse(call)?;
    let deadline = asked.expiry.resolve(call)?.unwrap_or(Deadline::Clear);
    let key = call.key(1);
    if asked.get {
        reply_value(reply, keys.read_string(key)?);
    }
    let holds = asked.condition.holds(keys, key)?;
    if holds {
        store_and_record(keys, key, call.arg(2), deadline);
    }
    match (asked.get, holds) {
        (true, _) => {}
        (false, true) => reply.ok(),
        (false, false) => reply.null(),
    }
    Ok(())
}

fn setex(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let deadline = Deadline::At(Clock::SECONDS.deadline(call.arg(2), 1, call)?);
    store_and_record(keys, call.key(1), call.arg(3), deadline);
    reply.ok();
    Ok(())
}

fn setnx(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let is_free = keys.look(key).is_none();
    if is_free {
        keys.set_string(key, call.arg(2), Deadline::Clear);
    }
    reply.int(i64::from(is_free));
    Ok(())
}

/// When SET stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition<'a> {
    Always,
    /// NX.
    Missing,
    /// XX.
    Present,
    /// IFEQ, IFNE, IFDEQ or IFDNE.
    Compared(Comparison<'a>),
}

impl Condition<'_> {
    fn holds(self, keys: &mut Keys<'_>, key: Key<'_>) -> Result<bool, CommandError> {
        Ok(match self {
            Condition::Always => true,
            Condition::Missing => keys.look(key).is_none(),
            Condition::Present => keys.look(key).is_some(),
            Condition::Compared(comparison) => comparison.holds(keys.look_string(key)?)?,
        })
    }
}

/// The options of SET, read but not resolved.
struct SetOptions<'a> {
    condition: Condition<'a>,
    get: bool,
    expiry: Expiry<'a>,
}

impl<'a> SetOptions<'a> {
    fn parse(call: &Call<'a>) -> Result<SetOptions<'a>, CommandError> {
        let mut options = call.options(3);
        let mut asked =
            SetOptions { condition: Condition::Always, get: false, expiry: Expiry::or_keepttl() };
        while options.left() > 0 {
            if options.take_word("NX") {
                asked.restrict(Condition::Missing)?;
            } else if options.take_word("XX") {
                asked.restrict(Condition::Present)?;
            } else if let Some(comparison) = Comparison::take(&mut options)? {
                if asked.condition != Condition::Always {
                    return Err(CommandError::Syntax);
                }
                asked.condition = Condition::Compared(comparison);
            } else if options.take_word("GET") {
                asked.get = true;
            } else if !asked.expiry.take(&mut options)? {
                return Err(CommandError::Syntax);
            }
        }
        Ok(asked)
    }

    /// NX and XX may be repeated, but nothing else may stand beside them.
    fn restrict(&mut self, condition: Condition<'a>) -> Result<(), CommandError> {
        if self.condition != Condition::Always && self.condition != condition {
            return Err(CommandError::Syntax);
        }
        self.condition = condition;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{START, Store, dialogue};

    #[test]
    fn set_reads_its_options_then_the_time_then_the_condition() {
        dialogue(
            &mut Store::new(),
            r#"
            > SET k v EX abc nonsense
            (error) ERR syntax error
            > SET k v XX EX abc
            (error) ERR value is not an integer or out of range
            > SET k v XX EX 0
            (error) ERR invalid expire time in 'set' command
            > SET k v XX
            (nil)
            > SET k v nx
            OK
            > SET k w NX GET
            "v"
            > SET k w IFEQ nothing GET
            "v"
            > SET k w IFEQ nothing
            (nil)
            > SET k w IFEQ v
            OK
            > SET k w2 XX GET
            "w"
            > GET k
            "w2"
            > SET new v XX GET
            (nil)
            > SET new v IFEQ ""
            (nil)
            > SET number 5
            OK
            > SET number 6 IFEQ 05
            (nil)
            > SET number 6 IFEQ 5 GET
            "5"
            > SET empty ""
            OK
            > GET empty
            ""
            "#,
        );
    }

    #[test]
    fn options_may_be_repeated_but_not_contradict() {
        let mut store = Store::new();
        for options in [
            "NX XX",
            "XX NX",
            "NX IFEQ v",
            "IFEQ v XX",
            "IFEQ v IFEQ v",
            "IFEQ",
            "EX",
            "EX 1 PX 1",
            "EXAT 1 EX 1",
            "PXAT 1 KEEPTTL",
            "KEEPTTL EX 1",
            "PERSIST",
            "PX 1 nonsense",
            "\"\"",
        ] {
            let line = format!("SET k v {options}");
            assert_eq!(store.run(&line), "(error) ERR syntax error", "{line}");
        }
        for options in ["EX 1 ex 2", "KEEPTTL keepttl", "XX XX", "PXAT 9223372036854775807"] {
            store.run("SET k v");
            assert_eq!(store.run(&format!("SET k v {options}")), "OK", "{options}");
        }
        assert_eq!(store.run("SET k v GET GET"), "\"v\"");
    }

    #[test]
    fn times_are_positive_and_end_where_milliseconds_do() {
        let mut store = Store::new();
        for (line, name) in [
            ("SET k v PX -1", "set"),
            ("SET k v PXAT 0", "set"),
            ("SET k v EX 9223372036854775", "set"),
            ("SET k v EXAT 9223372036854776", "set"),
            ("SET k v PX 9223372036854775807", "set"),
            ("SETEX k 0 v", "setex"),
            ("SETEX k 9223372036854775807 v", "setex"),
            ("PSETEX k -5 v", "psetex"),
        ] {
            let error = format!("(error) ERR invalid expire time in '{name}' command");
            assert_eq!(store.run(line), error, "{line}");
        }
        assert_eq!(store.run("SET k v EXAT 9223372036854775"), "OK");
        assert_eq!(
            store.run("SETEX k soon v"),
            "(error) ERR value is not an integer or out of range"
        );
    }

    #[test]
    fn a_key_is_gone_at_its_deadline() {
        let mut store = Store::new();
        store.run("SET k v PX 100");
        store.tick(99);
        assert_eq!(store.run("GET k"), "\"v\"");
        store.tick(1);
        assert_eq!(store.run("GET k"), "(nil)");
        store.run("SET k v EX 1");
        store.run("SET k w KEEPTTL");
        store.tick(1_000);
        assert_eq!(store.run("GET k"), "(nil)");
        store.run("SET k v EX 1");
        store.run("SET k w");
        store.tick(1_000);
        assert_eq!(store.run("GET k"), "\"w\"");
    }

    #[test]
    fn a_deadline_in_the_past_deletes_and_leaves_no_value_in_the_journal() {
        let mut store = Store::new();
        assert_eq!(store.run("SET k v PXAT 1"), "OK");
        assert_eq!(store.effects(), "");
        store.run("SET k v");
        assert_eq!(store.run("SET k w EXAT 1 GET"), "\"v\"");
        assert_eq!(store.run("GET k"), "(nil)");
        assert_eq!(store.effects(), "SET k v\nDEL k");
    }

    #[test]
    fn records_are_absolute_and_unconditional() {
        let mut store = Store::new();
        for (line, record) in [
            ("set k v", "set k v"),
            ("SET k v EX 10 GET", "SET k v PXAT 1700000010000"),
            ("SET k v PX 10 XX", "SET k v PXAT 1700000000010"),
            ("SET k w IFEQ v KEEPTTL", "SET k w KEEPTTL"),
            ("SET k v GET", "SET k v"),
            ("SET k v NX", ""),
            ("SETEX k 1 v", "SET k v PXAT 1700000001000"),
            ("PSETEX k 1 v", "SET k v PXAT 1700000000001"),
            ("SETNX k 2", ""),
            ("SETNX k2 2", "SETNX k2 2"),
        ] {
            store.run(line);
            assert_eq!(store.effects(), record, "{line}");
        }
    }

    #[test]
    fn a_journal_that_is_loaded_late_finds_its_keys_until_its_end() {
        let mut store = Store::new();
        store.run("SET k a PX 100");
        store.run("APPEND k b");
        store.run("SET other 1 PX 200");
        store.run("INCR other");
        let journal = store.effects();
        let mut late = Store::loaded(&journal, START.saturating_add(150));
        assert_eq!(late.run("GET k"), "(nil)");
        assert_eq!(late.run("GET other"), "\"2\"");
        late.tick(50);
        assert_eq!(late.run("GET other"), "(nil)");
    }
}
