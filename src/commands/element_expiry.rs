//! Deadlines of elements: what HEXPIRE, SEXPIRE, ZEXPIRE and their relatives share.
//!
//! All have one form: a key, where one is set a time and conditions, then a word, the number of
//! elements and their names. As with keys, a deadline is stored and journaled as milliseconds of
//! unix time, one that has passed deletes the element, and while the journal is loaded none has.

use crate::base::hash::Hasher;
use crate::base::integer;
use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::generic::expire::{CONDITIONS, Conditions};
use crate::commands::time::Clock;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::keyspace::object::Typed;
use crate::resp::Reply;

const GONE: i64 = -2;
const NO_DEADLINE: i64 = -1;
const NOT_ALLOWED: i64 = 0;
const SET: i64 = 1;
const DELETED: i64 = 2;

/// What happens to a key when deadlines of its elements are set, are taken away, or have passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Events {
    pub(crate) expire: Event,
    pub(crate) persist: Event,
    pub(crate) expired: Event,
}

/// A collection whose elements can have deadlines.
pub(crate) trait Expiring: Typed {
    /// What its nine commands have in common.
    const BASE: Command;
    /// The word, the number of elements and their names, as an argument.
    const NAMED: Arg;
    /// The word before the number of elements, such as `FIELDS`.
    const WORD: &'static str;
    /// The error where that number is not the number of elements that follow.
    const WRONG_NUMBER: CommandError;
    /// The command that sets a deadline in milliseconds of unix time.
    const SETTER: &'static str;
    /// The command that takes elements out.
    const REMOVAL: &'static str;
    /// What happens to a key when its elements are given deadlines.
    const EVENTS: Events;

    /// The deadline of an element; none where there is no such element.
    fn deadline_of(&self, name: &[u8], hasher: &Hasher) -> Option<Option<Millis>>;

    /// Sets or takes away the deadline of an element that is there.
    fn set_deadline_of(&mut self, name: &[u8], deadline: Option<Millis>, hasher: &Hasher);

    /// Takes an element out.
    fn take_out(&mut self, name: &[u8], hasher: &Hasher);
}

/// The elements of a set or sorted set, as an argument.
pub(crate) const MEMBERS: Arg =
    Arg::block("members", &[Arg::integer("nummembers"), Arg::string("member").multiple()])
        .token("MEMBERS");

const KEY: Arg = Arg::key("key");

/// The nine commands of a type, told their names, which are sorted.
pub(crate) const fn commands<T: Expiring>(names: [&'static str; 9]) -> [Command; 9] {
    let [expire, expireat, expiretime, persist, pexpire, pexpireat, pexpiretime, pttl, ttl] = names;
    [
        Command {
            name: Name(expire),
            summary: "Lets elements expire after some seconds.",
            args: const { &[KEY, Arg::integer("seconds"), CONDITIONS, T::NAMED] },
            run: Run::Keys(|call, keys, reply| set::<T>(call, keys, reply, Clock::SECONDS)),
            ..setter::<T>()
        },
        Command {
            name: Name(expireat),
            summary: "Lets elements expire at a unix time in seconds.",
            args: const { &[KEY, Arg::unix_time("unix-time-seconds"), CONDITIONS, T::NAMED] },
            run: Run::Keys(|call, keys, reply| set::<T>(call, keys, reply, Clock::UNIX_SECONDS)),
            ..setter::<T>()
        },
        Command {
            name: Name(expiretime),
            summary: "Gives the unix times in seconds at which elements expire.",
            run: Run::Keys(|call, keys, reply| show::<T>(call, keys, reply, Clock::UNIX_SECONDS)),
            ..getter::<T>()
        },
        Command {
            name: Name(persist),
            summary: "Takes the deadlines of elements away.",
            arity: Arity::AtLeast(5),
            args: const { &[KEY, T::NAMED] },
            run: Run::Keys(persist_elements::<T>),
            ..setter::<T>()
        },
        Command {
            name: Name(pexpire),
            summary: "Lets elements expire after some milliseconds.",
            args: const { &[KEY, Arg::integer("milliseconds"), CONDITIONS, T::NAMED] },
            run: Run::Keys(|call, keys, reply| set::<T>(call, keys, reply, Clock::MILLISECONDS)),
            ..setter::<T>()
        },
        Command {
            name: Name(pexpireat),
            summary: "Lets elements expire at a unix time in milliseconds.",
            args: const { &[KEY, Arg::unix_time("unix-time-milliseconds"), CONDITIONS, T::NAMED] },
            run: Run::Keys(|call, keys, reply| {
                set::<T>(call, keys, reply, Clock::UNIX_MILLISECONDS)
            }),
            ..setter::<T>()
        },
        Command {
            name: Name(pexpiretime),
            summary: "Gives the unix times in milliseconds at which elements expire.",
            run: Run::Keys(|call, keys, reply| {
                show::<T>(call, keys, reply, Clock::UNIX_MILLISECONDS)
            }),
            ..getter::<T>()
        },
        Command {
            name: Name(pttl),
            summary: "Gives the milliseconds after which elements expire.",
            run: Run::Keys(|call, keys, reply| show::<T>(call, keys, reply, Clock::MILLISECONDS)),
            ..getter::<T>()
        },
        Command {
            name: Name(ttl),
            summary: "Gives the seconds after which elements expire.",
            run: Run::Keys(|call, keys, reply| show::<T>(call, keys, reply, Clock::SECONDS)),
            ..getter::<T>()
        },
    ]
}

const fn setter<T: Expiring>() -> Command {
    Command {
        arity: Arity::AtLeast(6),
        keys: const { &[KeySpec::one(1, Access::RW.and(Access::UPDATE))] },
        flags: Flags::WRITE.and(Flags::FAST),
        ..T::BASE
    }
}

const fn getter<T: Expiring>() -> Command {
    Command {
        complexity: "O(N) with N elements named.",
        arity: Arity::AtLeast(5),
        keys: const { &[KeySpec::one(1, Access::RO.and(Access::READS))] },
        flags: Flags::READONLY.and(Flags::FAST),
        args: const { &[KEY, T::NAMED] },
        ..T::BASE
    }
}

/// Sets deadlines: `key time [NX | XX | GT | LT] WORD number element ...`.
fn set<T: Expiring>(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    clock: Clock,
) -> Result<(), CommandError> {
    // The word at the very end, without a number, is as good as none.
    let mut words = 3..call.len() - 1;
    let at = words.find(|at| call.is(*at, T::WORD)).ok_or(T::WRONG_NUMBER)?;
    let conditions = Conditions::of(call.args_from(3).take(at - 3))?;
    let names = names::<T>(call, at + 1, T::WRONG_NUMBER)?;
    let deadline = clock.deadline(call.arg(2), 0, call)?;
    let (key, deletes) = (call.key(1), keys.is_past(deadline));
    let (mut answers, mut changed) = (Vec::with_capacity(names.len()), Vec::new());
    let edited = keys.edit_as(key, |value: &mut T, _| {
        for name in names.clone() {
            let answer = match value.deadline_of(name, call.hasher) {
                None => GONE,
                Some(old) if !conditions.allow(old, deadline) => NOT_ALLOWED,
                Some(_) if deletes => {
                    value.take_out(name, call.hasher);
                    DELETED
                }
                Some(_) => {
                    value.set_deadline_of(name, Some(deadline), call.hasher);
                    SET
                }
            };
            if answer > 0 {
                changed.push(name);
            }
            answers.push(answer);
        }
    })?;
    if edited.is_none() {
        answers.resize(names.len(), GONE);
    }
    let event = if deletes { T::EVENTS.expired } else { T::EVENTS.expire };
    keys.changed_fields(key, event, changed.len(), changed.iter().copied());
    if deletes {
        keys.tools.figures.expired_elements += changed.len() as u64;
        record_removal::<T>(keys, key, &changed);
    } else {
        record_deadline::<T>(keys, key, deadline, &changed);
    }
    reply_all(reply, &answers);
    Ok(())
}

/// Takes deadlines away: `key WORD number element ...`.
fn persist_elements<T: Expiring>(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let names = listed::<T>(call, T::WRONG_NUMBER)?;
    let (key, mut answers) = (call.key(1), Vec::with_capacity(names.len()));
    let edited = keys.edit_as(key, |value: &mut T, _| {
        for name in names.clone() {
            answers.push(match value.deadline_of(name, call.hasher) {
                None => GONE,
                Some(None) => NO_DEADLINE,
                Some(Some(_)) => {
                    value.set_deadline_of(name, None, call.hasher);
                    SET
                }
            });
        }
    })?;
    if edited.is_none() {
        answers.resize(names.len(), GONE);
    }
    let persisted = answers.iter().filter(|answer| **answer == SET).count();
    let persisted_names =
        names.zip(&answers).filter(|(_, answer)| **answer == SET).map(|(name, _)| name);
    keys.changed_fields(key, T::EVENTS.persist, persisted, persisted_names);
    reply_all(reply, &answers);
    Ok(())
}

/// Shows deadlines: `key WORD number element ...`.
fn show<T: Expiring>(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
    clock: Clock,
) -> Result<(), CommandError> {
    let names = listed::<T>(call, CommandError::Syntax)?;
    let now = keys.now;
    let value = keys.read_as::<T>(call.key(1))?;
    reply.array(names.len());
    for name in names {
        let deadline = value.as_ref().and_then(|value| {
            let deadline = value.deadline_of(name, call.hasher);
            deadline.filter(|deadline| value.shows(*deadline))
        });
        reply.int(match deadline {
            None => GONE,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline)) => clock.shown(deadline, now),
        });
    }
    Ok(())
}

/// The names behind the word, which stands right behind the key.
pub(crate) fn listed<'a, T: Expiring>(
    call: &Call<'a>,
    wrong_number: CommandError,
) -> Result<impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a, T>, CommandError> {
    if !call.is(2, T::WORD) {
        return Err(CommandError::Syntax);
    }
    names::<T>(call, 3, wrong_number)
}

/// The names behind their number, which stands at `at`.
fn names<'a, T: Expiring>(
    call: &Call<'a>,
    at: usize,
    wrong_number: CommandError,
) -> Result<impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a, T>, CommandError> {
    let number = integer::parse(call.arg(at)).ok_or(CommandError::NotAnInteger)?;
    let names = call.args_from(at + 1);
    let is_right = number > 0 && usize::try_from(number) == Ok(names.len());
    if is_right { Ok(names) } else { Err(wrong_number) }
}

/// Records, in the place of the call that runs, that elements have a deadline.
pub(crate) fn record_deadline<T: Expiring>(
    keys: &mut Keys<'_>,
    key: Key<'_>,
    deadline: Millis,
    names: &[&[u8]],
) {
    let (time, number) = (deadline.to_string(), names.len().to_string());
    let mut words = vec![T::SETTER.as_bytes(), key.name, time.as_bytes()];
    words.extend([T::WORD.as_bytes(), number.as_bytes()]);
    words.extend(names);
    record(keys, names, &words);
}

/// Records, in the place of the call that runs, that elements are gone.
pub(crate) fn record_removal<T: Expiring>(keys: &mut Keys<'_>, key: Key<'_>, names: &[&[u8]]) {
    let words = [&[T::REMOVAL.as_bytes(), key.name], names].concat();
    record(keys, names, &words);
}

/// Nothing is recorded where nothing changed.
fn record(keys: &mut Keys<'_>, names: &[&[u8]], words: &[&[u8]]) {
    if !names.is_empty() {
        keys.tools.effects.rewrite(keys.db, words);
    }
}

fn reply_all(reply: &mut Reply<'_>, answers: &[i64]) {
    reply.array(answers.len());
    answers.iter().for_each(|answer| reply.int(*answer));
}
