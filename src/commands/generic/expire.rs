//! Deadlines of keys: EXPIRE and its relatives, TTL and its relatives, PERSIST.
//!
//! Whatever form a client uses, a deadline is stored and journaled as milliseconds of unix time
//! (PEXPIREAT), so that a replay does not depend on when it happens. A deadline that has passed
//! deletes the key, and that is what is journaled; but while the journal is loaded it is kept as
//! any other, because what follows in the journal was written when it had not passed.

use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Categories, Command, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::{CommandError, as_text};
use crate::keyspace::entry::Entry;
use crate::keyspace::keys::Keys;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    setter("expire", "1.0.0", "Lets a key expire after some seconds.", SECONDS, Run::Keys(expire)),
    setter(
        "expireat",
        "1.2.0",
        "Lets a key expire at a unix time in seconds.",
        UNIX_SECONDS,
        Run::Keys(expireat),
    ),
    getter(
        "expiretime",
        "7.0.0",
        "Gives the unix time in seconds at which a key expires.",
        Run::Keys(expiretime),
    ),
    Command {
        name: Name("persist"),
        group: Group::Generic,
        since: "2.2.0",
        summary: "Takes the deadline of a key away.",
        arity: Arity::Exactly(2),
        keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::FAST),
        categories: Categories::KEYSPACE,
        args: &[Arg::key("key")],
        run: Run::Keys(persist),
        ..Command::BASE
    },
    setter(
        "pexpire",
        "2.6.0",
        "Lets a key expire after some milliseconds.",
        MILLISECONDS,
        Run::Keys(pexpire),
    ),
    setter(
        "pexpireat",
        "2.6.0",
        "Lets a key expire at a unix time in milliseconds.",
        UNIX_MILLISECONDS,
        Run::Keys(pexpireat),
    ),
    getter(
        "pexpiretime",
        "7.0.0",
        "Gives the unix time in milliseconds at which a key expires.",
        Run::Keys(pexpiretime),
    ),
    Command {
        tips: CHANGES_WITH_TIME,
        history: CAN_TELL_ABSENCE,
        ..getter(
            "pttl",
            "2.6.0",
            "Gives the milliseconds after which a key expires.",
            Run::Keys(pttl),
        )
    },
    Command {
        tips: CHANGES_WITH_TIME,
        history: CAN_TELL_ABSENCE,
        ..getter("ttl", "1.0.0", "Gives the seconds after which a key expires.", Run::Keys(ttl))
    },
];

const CHANGES_WITH_TIME: &[&str] = &["nondeterministic_output"];
const CAN_TELL_ABSENCE: &[(&str, &str)] = &[("2.8.0", "The reply -2 for a key that is not there.")];

const SECONDS: &[Arg] = &[Arg::key("key"), Arg::integer("seconds"), CONDITION];
const MILLISECONDS: &[Arg] = &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION];
const UNIX_SECONDS: &[Arg] = &[Arg::key("key"), Arg::unix_time("unix-time-seconds"), CONDITION];
const UNIX_MILLISECONDS: &[Arg] =
    &[Arg::key("key"), Arg::unix_time("unix-time-milliseconds"), CONDITION];
const CONDITION: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional()
.since("7.0.0");

const KEY: &[Arg] = &[Arg::key("key")];
const CHANGED: &[KeySpec] = &[KeySpec::one(1, Access::RW.and(Access::UPDATE))];
const SHOWN: &[KeySpec] = &[KeySpec::one(1, Access::RO.and(Access::READS))];

const fn setter(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    args: &'static [Arg],
    run: Run,
) -> Command {
    Command {
        name: Name(name),
        group: Group::Generic,
        since,
        summary,
        arity: Arity::AtLeast(3),
        keys: CHANGED,
        flags: Flags::WRITE.and(Flags::FAST),
        categories: Categories::KEYSPACE,
        args,
        history: &[("7.0.0", "The conditions `NX`, `XX`, `GT` and `LT`.")],
        run,
        ..Command::BASE
    }
}

const fn getter(
    name: &'static str,
    since: &'static str,
    summary: &'static str,
    run: Run,
) -> Command {
    Command {
        name: Name(name),
        group: Group::Generic,
        since,
        summary,
        arity: Arity::Exactly(2),
        keys: SHOWN,
        flags: Flags::READONLY.and(Flags::FAST),
        categories: Categories::KEYSPACE,
        args: KEY,
        run,
        ..Command::BASE
    }
}

fn expire(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    set_deadline(call, keys, reply, 1000, keys.now)
}

fn pexpire(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    set_deadline(call, keys, reply, 1, keys.now)
}

fn expireat(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    set_deadline(call, keys, reply, 1000, Millis(0))
}

fn pexpireat(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    set_deadline(call, keys, reply, 1, Millis(0))
}

/// Sets the deadline `unit` milliseconds times the argument after `base`, if the conditions hold.
fn set_deadline(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    unit: i64,
    base: Millis,
) -> Result<(), CommandError> {
    let conditions = Conditions::of(call.args_from(3))?;
    let span = call.integer(2)?;
    let deadline = span.checked_mul(unit).and_then(|span| base.checked_add(span));
    let deadline = deadline.ok_or(CommandError::InvalidExpireTime(call.command.name.as_str()))?;
    let key = call.key(1);
    let allowed = keys.look(key).is_some_and(|entry| conditions.allow(entry.deadline(), deadline));
    if allowed && keys.is_past(deadline) {
        keys.delete_past(key);
        keys.tools.effects.rewrite(keys.db, &[b"DEL", key.name]);
    } else if allowed {
        keys.set_deadline(key, Some(deadline));
        let text = itoa::Buffer::new().format(deadline.0).to_owned();
        keys.tools.effects.rewrite(keys.db, &[b"PEXPIREAT", key.name, text.as_bytes()]);
    }
    reply.int(i64::from(allowed));
    Ok(())
}

/// When a deadline is set at all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Conditions {
    /// Only where there is none.
    nx: bool,
    /// Only where there is one.
    xx: bool,
    /// Only where the new one is later; none is the latest.
    gt: bool,
    /// Only where the new one is earlier.
    lt: bool,
}

impl Conditions {
    /// Reads `words`, all of them.
    ///
    /// # Errors
    /// What is no condition, and conditions that exclude each other.
    pub(crate) fn of<'a>(
        words: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Conditions, CommandError> {
        let mut conditions = Conditions::default();
        for word in words {
            match &word.to_ascii_lowercase()[..] {
                b"nx" => conditions.nx = true,
                b"xx" => conditions.xx = true,
                b"gt" => conditions.gt = true,
                b"lt" => conditions.lt = true,
                _ => {
                    let word = as_text(word);
                    return Err(CommandError::Quoted(format!("ERR Unsupported option {word}")));
                }
            }
        }
        let Conditions { nx, xx, gt, lt } = conditions;
        if nx && (xx || gt || lt) {
            return Err(CommandError::Text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if gt && lt {
            return Err(CommandError::Text(
                "ERR GT and LT options at the same time are not compatible",
            ));
        }
        Ok(conditions)
    }

    /// True when the deadline `new` may take the place of `old`.
    pub(crate) fn allow(self, old: Option<Millis>, new: Millis) -> bool {
        let Conditions { nx, xx, gt, lt } = self;
        match old {
            None => !xx && !gt,
            Some(old) => !nx && (!gt || new > old) && (!lt || new < old),
        }
    }
}

fn persist(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let key = call.key(1);
    let has_deadline = keys.look(key).is_some_and(|entry| entry.deadline().is_some());
    if has_deadline {
        keys.set_deadline(key, None);
    }
    reply.int(i64::from(has_deadline));
    Ok(())
}

fn ttl(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let now = keys.now;
    show_deadline(call, keys, reply, |deadline| in_seconds(deadline.since(now)))
}

fn pttl(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let now = keys.now;
    show_deadline(call, keys, reply, |deadline| deadline.since(now))
}

fn expiretime(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show_deadline(call, keys, reply, |deadline| in_seconds(deadline.0))
}

fn pexpiretime(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    show_deadline(call, keys, reply, |deadline| deadline.0)
}

/// The deadline as `shown`; -1 where there is none, -2 where there is no key.
fn show_deadline(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    shown: impl FnOnce(Millis) -> i64,
) -> Result<(), CommandError> {
    keys.untouched = true;
    reply.int(match keys.read(call.key(1)).map(Entry::deadline) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => shown(deadline).max(0),
    });
    Ok(())
}

/// Milliseconds as seconds, to the nearest, half a second up.
pub(crate) fn in_seconds(milliseconds: i64) -> i64 {
    milliseconds.saturating_add(500) / 1000
}

#[cfg(test)]
mod tests {
    use crate::testing::{START, Store, dialogue};

    fn store() -> Store {
        let mut store = Store::new();
        store.run("SET k v");
        store.effects();
        store
    }

    #[test]
    fn deadlines_are_set_shown_and_taken_away() {
        let mut store = store();
        dialogue(
            &mut store,
            r#"
            > TTL k
            (integer) -1
            > TTL nothing
            (integer) -2
            > EXPIRE k 100
            (integer) 1
            > TTL k
            (integer) 100
            > PTTL k
            (integer) 100000
            > EXPIRETIME k
            (integer) 1700000100
            > PEXPIRETIME k
            (integer) 1700000100000
            > PERSIST k
            (integer) 1
            > PERSIST k
            (integer) 0
            > PTTL k
            (integer) -1
            > EXPIRE nothing 10
            (integer) 0
            "#,
        );
        assert_eq!(store.effects(), "PEXPIREAT k 1700000100000\nPERSIST k");
    }

    #[test]
    fn every_form_is_journaled_as_a_point_in_time() {
        let at = START.0 + 5000;
        for line in ["EXPIRE k 5", "PEXPIRE k 5000", "EXPIREAT k 1700000005"] {
            let mut store = store();
            store.run(line);
            assert_eq!(store.effects(), format!("PEXPIREAT k {at}"), "{line}");
        }
    }

    #[test]
    fn conditions_hold_back() {
        let mut store = store();
        dialogue(
            &mut store,
            r#"
            > EXPIRE k 100 XX
            (integer) 0
            > EXPIRE k 100 GT
            (integer) 0
            > EXPIRE k 100 LT
            (integer) 1
            > EXPIRE k 200 LT
            (integer) 0
            > EXPIRE k 200 NX
            (integer) 0
            > EXPIRE k 200 gt xx
            (integer) 1
            > EXPIRE k 200 GT
            (integer) 0
            > EXPIRE k 10 NX GT
            (error) ERR NX and XX, GT or LT options at the same time are not compatible
            > EXPIRE k 10 GT LT
            (error) ERR GT and LT options at the same time are not compatible
            > EXPIRE k abc FOO
            (error) ERR Unsupported option FOO
            > EXPIRE k abc
            (error) ERR value is not an integer or out of range
            > TTL k
            (integer) 200
            "#,
        );
    }

    #[test]
    fn a_deadline_that_cannot_be_is_an_error_even_without_a_key() {
        dialogue(
            &mut store(),
            r#"
            > EXPIRE nothing 9223372036854775807
            (error) ERR invalid expire time in 'expire' command
            > PEXPIRE k 9223372036854775807
            (error) ERR invalid expire time in 'pexpire' command
            > EXPIREAT nothing 9223372036854775
            (integer) 0
            > EXPIREAT nothing 9223372036854776
            (error) ERR invalid expire time in 'expireat' command
            > EXPIRE k -9223372036854775808
            (error) ERR invalid expire time in 'expire' command
            "#,
        );
    }

    #[test]
    fn a_deadline_that_has_passed_deletes() {
        for line in ["EXPIRE k 0", "PEXPIRE k -9223372036854775808", "PEXPIREAT k 1700000000000"] {
            let mut store = store();
            assert_eq!(store.run(line), "(integer) 1", "{line}");
            assert_eq!(store.run("EXISTS k"), "(integer) 0");
            assert_eq!(store.effects(), "DEL k");
        }
    }

    #[test]
    fn seconds_are_rounded_half_up() {
        let mut store = store();
        for (span, seconds) in [(1, 0), (499, 0), (500, 1), (1499, 1), (1500, 2)] {
            store.run(&format!("PEXPIRE k {span}"));
            assert_eq!(store.run("TTL k"), format!("(integer) {seconds}"), "{span}");
        }
    }
}
