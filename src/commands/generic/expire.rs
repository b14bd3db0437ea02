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
use crate::commands::error::{CommandError, quoting};
use crate::commands::time::Clock;
use crate::keyspace::entry::Entry;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// What the commands share that set a deadline.
const EXPIRE: Command = Command {
    group: Group::Generic,
    since: "2.6.0",
    arity: Arity::AtLeast(3),
    keys: &[KeySpec::one(1, Access::RW.and(Access::UPDATE))],
    flags: Flags::WRITE.and(Flags::FAST),
    categories: Categories::KEYSPACE,
    history: &[("7.0.0", "The conditions `NX`, `XX`, `GT` and `LT`.")],
    ..Command::BASE
};

/// What those share that show one.
const TTL: Command = Command {
    group: Group::Generic,
    since: "7.0.0",
    arity: Arity::Exactly(2),
    keys: &[KeySpec::one(1, Access::RO.and(Access::READS))],
    flags: Flags::READONLY.and(Flags::FAST),
    categories: Categories::KEYSPACE,
    args: &[Arg::key("key")],
    ..Command::BASE
};

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("expire"),
        since: "1.0.0",
        summary: "Lets a key expire after some seconds.",
        args: &[Arg::key("key"), Arg::integer("seconds"), CONDITION],
        run: Run::Keys(|call, keys, reply| set(call, keys, reply, Clock::SECONDS)),
        ..EXPIRE
    },
    Command {
        name: Name("expireat"),
        since: "1.2.0",
        summary: "Lets a key expire at a unix time in seconds.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-seconds"), CONDITION],
        run: Run::Keys(|call, keys, reply| set(call, keys, reply, Clock::UNIX_SECONDS)),
        ..EXPIRE
    },
    Command {
        name: Name("expiretime"),
        summary: "Gives the unix time in seconds at which a key expires.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::UNIX_SECONDS)),
        ..TTL
    },
    Command {
        name: Name("persist"),
        since: "2.2.0",
        summary: "Takes the deadline of a key away.",
        arity: Arity::Exactly(2),
        args: &[Arg::key("key")],
        history: &[],
        run: Run::Keys(persist),
        ..EXPIRE
    },
    Command {
        name: Name("pexpire"),
        summary: "Lets a key expire after some milliseconds.",
        args: &[Arg::key("key"), Arg::integer("milliseconds"), CONDITION],
        run: Run::Keys(|call, keys, reply| set(call, keys, reply, Clock::MILLISECONDS)),
        ..EXPIRE
    },
    Command {
        name: Name("pexpireat"),
        summary: "Lets a key expire at a unix time in milliseconds.",
        args: &[Arg::key("key"), Arg::unix_time("unix-time-milliseconds"), CONDITION],
        run: Run::Keys(|call, keys, reply| set(call, keys, reply, Clock::UNIX_MILLISECONDS)),
        ..EXPIRE
    },
    Command {
        name: Name("pexpiretime"),
        summary: "Gives the unix time in milliseconds at which a key expires.",
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::UNIX_MILLISECONDS)),
        ..TTL
    },
    Command {
        name: Name("pttl"),
        since: "2.6.0",
        summary: "Gives the milliseconds after which a key expires.",
        tips: CHANGES_WITH_TIME,
        history: CAN_TELL_ABSENCE,
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::MILLISECONDS)),
        ..TTL
    },
    Command {
        name: Name("ttl"),
        since: "1.0.0",
        summary: "Gives the seconds after which a key expires.",
        tips: CHANGES_WITH_TIME,
        history: CAN_TELL_ABSENCE,
        run: Run::Keys(|call, keys, reply| show(call, keys, reply, Clock::SECONDS)),
        ..TTL
    },
];

const CHANGES_WITH_TIME: &[&str] = &["nondeterministic_output"];
const CAN_TELL_ABSENCE: &[(&str, &str)] = &[("2.8.0", "The reply -2 for a key that is not there.")];

const CONDITION: Arg = CONDITIONS.since("7.0.0");

/// When a deadline is set at all, as an argument.
pub(crate) const CONDITIONS: Arg = Arg::one_of(
    "condition",
    &[Arg::word("nx", "NX"), Arg::word("xx", "XX"), Arg::word("gt", "GT"), Arg::word("lt", "LT")],
)
.optional();

/// Sets a deadline, if the conditions hold.
fn set(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    clock: Clock,
) -> Result<(), CommandError> {
    let conditions = Conditions::of(call.args_from(3))?;
    let deadline = clock.deadline(call.arg(2), i64::MIN, call)?;
    let key = call.key(1);
    let allowed = keys.look(key).is_some_and(|entry| conditions.allow(entry.deadline(), deadline));
    if allowed && keys.is_past(deadline) {
        keys.delete_past(key);
        keys.tools.effects.rewrite(keys.db, &[b"DEL", key.name]);
    } else if allowed {
        keys.set_deadline(key, Some(deadline), Event::EXPIRE);
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
                _ => return Err(quoting("ERR Unsupported option {}", &[word])),
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
        keys.set_deadline(key, None, Event::PERSIST);
    }
    reply.int(i64::from(has_deadline));
    Ok(())
}

/// Shows the deadline; -1 where there is none, -2 where there is no key.
fn show(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    clock: Clock,
) -> Result<(), CommandError> {
    keys.untouched = true;
    let now = keys.now;
    reply.int(match keys.read(call.key(1)).map(Entry::deadline) {
        None => -2,
        Some(None) => -1,
        Some(Some(deadline)) => clock.shown(deadline, now),
    });
    Ok(())
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
