//! Fields set, read or deleted together with their deadlines: HGETDEL, HGETEX, HSETEX.
//!
//! All look at the form of their options first, then at the number of fields, then at the key, and
//! at a time last. A time that has passed deletes the fields, whether HGETEX or HSETEX says it, and
//! that is what is journaled.

use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::element_expiry::{Expiring, listed, record_deadline, record_removal};
use crate::commands::error::CommandError;
use crate::commands::hash::expiry::FIELDS;
use crate::commands::hash::limits;
use crate::commands::string::expiry::{self, Expiry};
use crate::commands::string::reply_value;
use crate::data::hash::Hash;
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Deadline, Keys};
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("hgetdel"),
        group: Group::Hash,
        since: "9.1.0",
        complexity: "O(N) with N fields named.",
        summary: "Gives the values of fields and deletes them.",
        arity: Arity::AtLeast(5),
        keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::DELETE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), FIELDS],
        run: Run::Keys(hgetdel),
        ..Command::BASE
    },
    Command {
        name: Name("hgetex"),
        group: Group::Hash,
        since: "9.0.0",
        complexity: "O(N) with N fields named.",
        summary: "Gives the values of fields and sets or takes away their deadlines.",
        arity: Arity::AtLeast(5),
        keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::UPDATE))],
        flags: Flags::WRITE.and(Flags::FAST),
        args: &[Arg::key("key"), expiry::OR_PERSIST, FIELDS],
        run: Run::Keys(hgetex),
        ..Command::BASE
    },
    Command {
        name: Name("hsetex"),
        group: Group::Hash,
        since: "9.0.0",
        complexity: "O(N) with N fields.",
        summary: "Sets fields to values with a deadline.",
        arity: Arity::AtLeast(6),
        keys: &[KeySpec::one(1, Access::RW.and(Access::INSERT))],
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
        args: &[
            Arg::key("key"),
            Arg::one_of("key-condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")])
                .optional(),
            Arg::one_of("fields-condition", &[Arg::word("fnx", "FNX"), Arg::word("fxx", "FXX")])
                .optional(),
            expiry::OR_KEEPTTL,
            Arg::block(
                "fields",
                &[
                    Arg::integer("numfields"),
                    Arg::block("data", &[Arg::string("field"), Arg::string("value")]).multiple(),
                ],
            )
            .token("FIELDS"),
        ],
        run: Run::Keys(hsetex),
        ..Command::BASE
    },
];

/// The call as far as its options go, and where the number of fields stands; the options are all
/// that is before the word `FIELDS`.
fn head_of<'a>(call: &Call<'a>) -> Result<(Call<'a>, usize), CommandError> {
    // The word at the very end, without a number, is as good as none.
    let mut words = 2..call.len() - 1;
    let at = words.find(|at| call.is(*at, Hash::WORD)).ok_or(Hash::WRONG_NUMBER)?;
    Ok((Call { spans: &call.spans[..at], ..*call }, at + 1))
}

/// The words of the fields behind their number at `at`, each field having `width` of them.
fn fields<'a>(
    call: &Call<'a>,
    at: usize,
    width: usize,
    keys: &Keys<'_>,
) -> Result<impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a>, CommandError> {
    let number = if at < call.len() { call.integer(at)? } else { 0 };
    let words = call.args_from(at + 1);
    // Valkey cuts the product to 64 bits, and journals what it has done with a number below zero.
    let is_right =
        number.wrapping_mul(width as i64) == words.len() as i64 && (number > 0 || keys.is_replay());
    if is_right { Ok(words) } else { Err(Hash::WRONG_NUMBER) }
}

fn hgetdel(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let names = listed::<Hash>(call, Hash::WRONG_NUMBER)?;
    let key = call.key(1);
    reply.array(names.len());
    let edited = keys.edit_as(key, |hash: &mut Hash, _| {
        let mut gone = Vec::new();
        for name in names.clone() {
            let item = hash.get(name);
            reply_value(reply, item.map(|item| item.value));
            if item.is_some() {
                hash.remove(name);
                gone.push(name);
            }
        }
        gone
    })?;
    match edited {
        None => names.for_each(|_| reply.null()),
        Some(gone) => {
            keys.changed_fields(key, Event::HDEL, gone.len(), gone.iter().copied());
            record_removal::<Hash>(keys, key, &gone);
        }
    }
    Ok(())
}

fn hgetex(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (head, at) = head_of(call)?;
    let (mut options, mut expiry) = (head.options(2), Expiry::or_persist());
    while options.left() > 0 {
        if !expiry.take(&mut options)? {
            return Err(CommandError::Syntax);
        }
    }
    let names = fields(call, at, 1, keys)?;
    let key = call.key(1);
    keys.look_as::<Hash>(key)?;
    let deadline = expiry.resolve_of_elements(call)?;
    let deletes = is_past(deadline, keys);
    reply.array(names.len());
    let edited = keys.edit_as(key, |hash: &mut Hash, _| {
        let mut changed = Vec::new();
        for name in names.clone() {
            let item = hash.get(name);
            reply_value(reply, item.map(|item| item.value));
            let Some(old) = item.map(|item| item.deadline) else { continue };
            match deadline {
                Some(Deadline::At(_)) if deletes => drop(hash.remove(name)),
                Some(Deadline::At(time)) => hash.set_deadline(name, Some(time), call.hasher),
                Some(Deadline::Clear) if old.is_some() => {
                    hash.set_deadline(name, None, call.hasher);
                }
                _ => continue,
            }
            changed.push(name);
        }
        changed
    })?;
    let Some(changed) = edited else {
        names.for_each(|_| reply.null());
        return Ok(());
    };
    let event = match deadline {
        Some(Deadline::At(_)) if deletes => Event::HEXPIRED,
        Some(Deadline::At(_)) => Event::HEXPIRE,
        _ => Event::HPERSIST,
    };
    keys.changed_fields(key, event, changed.len(), changed.iter().copied());
    match deadline {
        Some(Deadline::At(_)) if deletes => {
            keys.tools.figures.expired_elements += changed.len() as u64;
            record_removal::<Hash>(keys, key, &changed);
        }
        Some(Deadline::At(time)) => record_deadline::<Hash>(keys, key, time, &changed),
        _ => record_persist(keys, key, &changed),
    }
    Ok(())
}

fn is_past(deadline: Option<Deadline>, keys: &Keys<'_>) -> bool {
    matches!(deadline, Some(Deadline::At(time)) if keys.is_past(time))
}

fn record_persist(keys: &mut Keys<'_>, key: Key<'_>, names: &[&[u8]]) {
    if !names.is_empty() {
        let number = names.len().to_string();
        let head: [&[u8]; 4] = [b"HPERSIST", key.name, b"FIELDS", number.as_bytes()];
        keys.tools.effects.rewrite(keys.db, &[&head, names].concat());
    }
}

/// When HSETEX sets anything at all: true for what has to be there, false for what may not.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    key: Option<bool>,
    fields: Option<bool>,
}

impl Conditions {
    /// Takes the next option when it is a condition.
    fn take(&mut self, head: &Call<'_>, at: usize) -> Result<bool, CommandError> {
        let (place, wanted) = if head.is(at, "NX") {
            (&mut self.key, false)
        } else if head.is(at, "XX") {
            (&mut self.key, true)
        } else if head.is(at, "FNX") {
            (&mut self.fields, false)
        } else if head.is(at, "FXX") {
            (&mut self.fields, true)
        } else {
            return Ok(false);
        };
        if place.is_some_and(|earlier| earlier != wanted) {
            return Err(CommandError::Syntax);
        }
        *place = Some(wanted);
        Ok(true)
    }
}

fn hsetex(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let (head, at) = head_of(call)?;
    let (mut options, mut expiry) = (head.options(2), Expiry::or_keepttl());
    let mut conditions = Conditions::default();
    while options.left() > 0 {
        if conditions.take(&head, options.position())? {
            options.take();
        } else if !expiry.take(&mut options)? {
            return Err(CommandError::Syntax);
        }
    }
    let words = fields(call, at, 2, keys)?;
    let (key, names) = (call.key(1), words.clone().step_by(2));
    let is_there = keys.look_as::<Hash>(key)?.is_some();
    if conditions.key.is_some_and(|wanted| wanted != is_there) {
        reply.int(0);
        return Ok(());
    }
    let deadline = expiry.resolve_of_elements(call)?;
    if let Some(wanted) = conditions.fields {
        let hash = keys.look_as::<Hash>(key)?;
        let has = |name| hash.as_ref().is_some_and(|hash| hash.get(name).is_some());
        if names.clone().any(|name| has(name) != wanted) {
            reply.int(0);
            return Ok(());
        }
    }
    if is_past(deadline, keys) {
        delete(call, keys, names)?;
    } else {
        store(call, keys, words, deadline)?;
    }
    reply.int(1);
    Ok(())
}

/// Deletes fields, in the place of a call that would have set them. All its events name those that
/// were there.
fn delete<'a>(
    call: &Call<'a>,
    keys: &mut Keys<'_>,
    names: impl Iterator<Item = &'a [u8]>,
) -> Result<(), CommandError> {
    let key = call.key(1);
    let mut given = 0;
    let names = names.inspect(|_| given += 1);
    let gone = keys.edit_as(key, |hash: &mut Hash, _| {
        names.filter(|name| hash.remove(name)).collect::<Vec<_>>()
    })?;
    let gone = gone.unwrap_or_default();
    if !gone.is_empty() {
        keys.touch_fields(key, Event::HSET, gone.iter().copied());
        keys.touch_fields(key, Event::HEXPIRE, gone.iter().copied());
    }
    keys.changed_fields(key, Event::HEXPIRED, gone.len(), gone.iter().copied());
    // As Valkey counts: each field that would have been set is one that expired.
    keys.tools.figures.expired_elements += given;
    record_removal::<Hash>(keys, key, &gone);
    Ok(())
}

/// Sets fields, given by `words`, and says in the journal when they expire.
fn store<'a>(
    call: &Call<'a>,
    keys: &mut Keys<'_>,
    words: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
    deadline: Option<Deadline>,
) -> Result<(), CommandError> {
    let (key, limits) = (call.key(1), limits(call));
    let (names, pairs) = (words.clone().step_by(2), words.len() / 2);
    keys.edit_or_new(key, |hash: &mut Hash, _| {
        let mut words = words.clone();
        while let (Some(name), Some(value)) = (words.next(), words.next()) {
            let time = match deadline {
                Some(Deadline::At(time)) => Some(time),
                Some(Deadline::Keep) => hash.get(name).and_then(|item| item.deadline),
                Some(Deadline::Clear) | None => None,
            };
            hash.set(name, value, time, limits, call.hasher);
        }
    })?;
    keys.changed_fields(key, Event::HSET, pairs, names.clone());
    if let Some(Deadline::At(time)) = deadline {
        keys.touch_fields(key, Event::HEXPIRE, names);
        let (time, number) = (time.to_string(), pairs.to_string());
        let head: [&[u8]; 6] =
            [b"HSETEX", key.name, b"PXAT", time.as_bytes(), b"FIELDS", number.as_bytes()];
        let words: Vec<&[u8]> = words.collect();
        keys.tools.effects.rewrite(keys.db, &[&head, &words[..]].concat());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{Store, dialogue};

    #[test]
    fn fields_are_set_with_a_deadline_and_on_conditions() {
        let mut store = Store::new();
        dialogue(
            &mut store,
            r#"
            > HSETEX h XX FIELDS 1 a 1
            (integer) 0
            > HSETEX h NX EX 10 FIELDS 2 a 1 b 2
            (integer) 1
            > HSETEX h KEEPTTL FXX FIELDS 1 a 3
            (integer) 1
            > HSETEX h FNX FIELDS 2 a 1 c 2
            (integer) 0
            > HSETEX h FIELDS 1 b 4
            (integer) 1
            > HTTL h FIELDS 2 a b
            1) (integer) 10
            2) (integer) -1
            > HSETEX h EX 0 FIELDS 2 a 1 x 1
            (integer) 1
            > HGETALL h
            1) "b"
            2) "4"
            > HSETEX h EX FIELDS 1 a 1
            (error) ERR syntax error
            > HSETEX h EX 1 KEEPTTL FIELDS 1 a 1
            (error) ERR syntax error
            > HSETEX h EX x FIELDS 2 a 1
            (error) ERR numfields should be greater than 0 and match the provided number of fields
            > HSETEX h EX -1 FIELDS 1 a 1
            (error) ERR invalid expire time in 'hsetex' command
            "#,
        );
        assert_eq!(
            store.effects(),
            "HSETEX h PXAT 1700000010000 FIELDS 2 a 1 b 2\nHSETEX h KEEPTTL FXX FIELDS 1 a 3\n\
             HSETEX h FIELDS 1 b 4\nHDEL h a"
        );
    }

    #[test]
    fn values_are_read_while_their_deadlines_change() {
        let mut store = Store::new();
        store.run("HSET h a 1 b 2 c 3");
        store.effects();
        dialogue(
            &mut store,
            r#"
            > HGETEX h FIELDS 2 a x
            1) "1"
            2) (nil)
            > HGETEX h PX 5 FIELDS 2 a x
            1) "1"
            2) (nil)
            > HGETEX h PERSIST FIELDS 2 a b
            1) "1"
            2) "2"
            > HGETEX h EXAT 0 FIELDS 2 b b
            1) "2"
            2) (nil)
            > HGETDEL h FIELDS 2 a a
            1) "1"
            2) (nil)
            > HGETDEL none FIELDS 1 a
            1) (nil)
            > HGETEX h PERSIST EX 1 FIELDS 1 a
            (error) ERR syntax error
            > HGETEX h EX 10 FIELDS
            (error) ERR numfields should be greater than 0 and match the provided number of fields
            "#,
        );
        assert_eq!(
            store.effects(),
            "HPEXPIREAT h 1700000000005 FIELDS 1 a\nHPERSIST h FIELDS 1 a\nHDEL h b\nHDEL h a"
        );
    }
}
