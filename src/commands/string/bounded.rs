//! Counters with bounds and a deadline in one step: INCREX, of Redis 8.8, with NX and XX as Valkey
//! 9.2 has them.
//!
//! The reply is the number and by how much it has changed. What would leave the bounds (those of
//! the type, where none are given) changes nothing, or, with SATURATE, stops there. Every option
//! may be given once. What happened is journaled as SET or DEL, which every server knows.

use crate::base::integer;
use crate::base::long_double::LongDouble;
use crate::commands::call::Call;
use crate::commands::command::{Access, Arg, Arity, Command, Flags, Group, KeySpec, Name, Run};
use crate::commands::error::CommandError;
use crate::commands::string::effect::{Record, digits_of};
use crate::commands::string::expiry::{self, Expiry};
use crate::commands::string::with_bytes;
use crate::data::value::Value;
use crate::keyspace::entry::{Entry, NewValue};
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Deadline, Keys};
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[Command {
    name: Name("increx"),
    group: Group::String,
    since: "8.8.0",
    complexity: "O(1)",
    summary: "Adds to a number within bounds and sets its deadline; a missing key counts as 0.",
    arity: Arity::AtLeast(2),
    keys: &[KeySpec::one(1, Access::RW.and(Access::READS).and(Access::UPDATE))],
    flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
    args: &[
        Arg::key("key"),
        Arg::one_of(
            "increment",
            &[Arg::double("float").token("BYFLOAT"), Arg::integer("integer").token("BYINT")],
        )
        .optional(),
        Arg::one_of("condition", &[Arg::word("nx", "NX"), Arg::word("xx", "XX")]).optional(),
        Arg::word("saturate", "SATURATE").optional(),
        Arg::string("lowerbound").token("LBOUND").optional(),
        Arg::string("upperbound").token("UBOUND").optional(),
        expiry::OR_PERSIST,
        Arg::word("enx", "ENX").optional(),
    ],
    run: Run::Keys(increx),
    ..Command::BASE
}];

fn increx(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let asked = Asked::parse(call)?;
    match asked.by_float {
        Some(by) => increx_float(asked, by, call, keys, reply),
        None => increx_integer(asked, call, keys, reply),
    }
}

fn increx_integer(
    asked: Asked<'_>,
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let read = |text: Option<&[u8]>, default, error| match text {
        Some(text) => integer::parse(text).ok_or(CommandError::Text(error)),
        None => Ok(default),
    };
    let by = read(asked.by_integer, 1, "ERR Increment is not an integer or out of range")?;
    let least = read(asked.least, i64::MIN, "ERR LBOUND is not an integer or out of range")?;
    let most = read(asked.most, i64::MAX, "ERR UBOUND is not an integer or out of range")?;
    if least > most {
        return Err(CROSSED);
    }
    let deadline = asked.deadline(call)?;
    let key = call.key(1);
    let old = match keys.look_string(key)? {
        None => 0,
        Some(Value::Integer(number)) => number,
        Some(Value::Bytes(text)) => integer::parse(text).ok_or(CommandError::NotAnInteger)?,
    };
    let sum = i128::from(old) + i128::from(by);
    let new = sum.clamp(i128::from(least), i128::from(most)) as i64;
    let is_kept = (i128::from(new) != sum && !asked.saturates) || !asked.allows(keys, key);
    let new = if is_kept { old } else { new };
    let applied = new.checked_sub(old);
    let applied = applied.ok_or(CommandError::Text("ERR applied increment would overflow"))?;
    if !is_kept {
        let text = itoa::Buffer::new().format(new).to_owned();
        asked.store(keys, key, NewValue::Integer(new), text.as_bytes(), deadline);
    }
    reply.array(2);
    reply.int(new);
    reply.int(applied);
    Ok(())
}

fn increx_float(
    asked: Asked<'_>,
    by: &[u8],
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let read = |text: Option<&[u8]>, default, error| match text {
        Some(text) => LongDouble::parse(text).ok_or(CommandError::Text(error)),
        None => Ok(default),
    };
    let by = read(Some(by), LongDouble::ZERO, "ERR Increment is not a valid float")?;
    if !by.is_finite() {
        return Err(CommandError::Text("ERR BYFLOAT increment cannot be Infinity"));
    }
    let lowest = LongDouble::MAX.negated();
    let least = read(asked.least, lowest, "ERR LBOUND is not a valid float")?;
    let most = read(asked.most, LongDouble::MAX, "ERR UBOUND is not a valid float")?;
    if most.is_less(least) {
        return Err(CROSSED);
    }
    let deadline = asked.deadline(call)?;
    let key = call.key(1);
    let old = match keys.look_string(key)? {
        None => LongDouble::ZERO,
        there => with_bytes(there, LongDouble::parse).ok_or(CommandError::NotAFloat)?,
    };
    if !old.is_finite() {
        return Err(CommandError::Text("ERR value cannot be Infinity"));
    }
    let sum = old.add(by);
    let bounded = match (sum.is_less(least), most.is_less(sum)) {
        (true, _) => least,
        (_, true) => most,
        _ => sum,
    };
    let is_kept = (bounded != sum && !asked.saturates) || !asked.allows(keys, key);
    let new = if is_kept { old } else { bounded };
    let applied = new.add(old.negated());
    if !applied.is_finite() {
        return Err(CommandError::Text("ERR applied increment would be Infinity"));
    }
    if !is_kept {
        let mut text = Vec::new();
        new.write(&mut text);
        asked.store(keys, key, NewValue::Bytes(&text), &text, deadline);
    }
    reply.array(2);
    reply_float(reply, new);
    reply_float(reply, applied);
    Ok(())
}

/// A float with all the digits that it is stored with; a string in version 2 of the protocol.
fn reply_float(reply: &mut Reply<'_>, number: LongDouble) {
    let mut text = Vec::new();
    number.write(&mut text);
    if reply.is_resp3() {
        reply.raw(&[b",", &text[..], b"\r\n"].concat());
    } else {
        reply.bulk(&text);
    }
}

const CROSSED: CommandError = CommandError::Text("ERR LBOUND can't be greater than UBOUND");

/// The options, read but for their numbers.
struct Asked<'a> {
    by_float: Option<&'a [u8]>,
    by_integer: Option<&'a [u8]>,
    least: Option<&'a [u8]>,
    most: Option<&'a [u8]>,
    saturates: bool,
    /// What the key must be: there (XX) or not (NX).
    wants_there: Option<bool>,
    persists: bool,
    expiry: Option<Expiry<'a>>,
    /// ENX: a deadline that is there stays.
    only_new_deadline: bool,
}

impl<'a> Asked<'a> {
    fn parse(call: &Call<'a>) -> Result<Asked<'a>, CommandError> {
        let mut options = call.options(2);
        let mut asked = Asked {
            by_float: None,
            by_integer: None,
            least: None,
            most: None,
            saturates: false,
            wants_there: None,
            persists: false,
            expiry: None,
            only_new_deadline: false,
        };
        while options.left() > 0 {
            let mut expiry = Expiry::or_persist();
            let is_repeated = if options.take_word("BYFLOAT") {
                asked.by_float.replace(options.value()?).is_some()
            } else if options.take_word("BYINT") {
                asked.by_integer.replace(options.value()?).is_some()
            } else if options.take_word("LBOUND") {
                asked.least.replace(options.value()?).is_some()
            } else if options.take_word("UBOUND") {
                asked.most.replace(options.value()?).is_some()
            } else if options.take_word("SATURATE") {
                std::mem::replace(&mut asked.saturates, true)
            } else if options.take_word("ENX") {
                std::mem::replace(&mut asked.only_new_deadline, true)
            } else if options.take_word("PERSIST") {
                std::mem::replace(&mut asked.persists, true)
            } else if options.take_word("NX") {
                asked.wants_there.replace(false).is_some()
            } else if options.take_word("XX") {
                asked.wants_there.replace(true).is_some()
            } else if expiry.take(&mut options)? {
                asked.expiry.replace(expiry).is_some()
            } else {
                true
            };
            if is_repeated || asked.contradicts() {
                return Err(CommandError::Syntax);
            }
        }
        if asked.only_new_deadline && asked.expiry.is_none() {
            return Err(CommandError::Text("ERR ENX flag requires an expiration"));
        }
        Ok(asked)
    }

    fn contradicts(&self) -> bool {
        let both = self.by_float.is_some() && self.by_integer.is_some();
        both || (self.persists && (self.expiry.is_some() || self.only_new_deadline))
    }

    /// The deadline that was asked for.
    fn deadline(&self, call: &Call<'_>) -> Result<Deadline, CommandError> {
        match self.expiry {
            Some(expiry) => Ok(expiry.resolve(call)?.unwrap_or(Deadline::Keep)),
            None if self.persists => Ok(Deadline::Clear),
            None => Ok(Deadline::Keep),
        }
    }

    /// Whether the key is what it must be.
    fn allows(&self, keys: &mut Keys<'_>, key: Key<'_>) -> bool {
        self.wants_there.is_none_or(|wanted| keys.look(key).is_some() == wanted)
    }

    /// Stores the number, whose text is `text`, and records that; with a deadline that has passed,
    /// the key goes instead.
    fn store(
        &self,
        keys: &mut Keys<'_>,
        key: Key<'_>,
        value: NewValue<'_>,
        text: &[u8],
        deadline: Deadline,
    ) {
        let has_deadline = keys.look(key).and_then(Entry::deadline).is_some();
        let stays = self.only_new_deadline && has_deadline;
        let deadline = if stays { Deadline::Keep } else { deadline };
        let event = match value {
            NewValue::Integer(_) => Event::INCRBY,
            _ => Event::INCRBYFLOAT,
        };
        let before = keys.changes;
        match deadline {
            Deadline::At(time) if keys.is_past(time) => keys.delete_past(key),
            _ => {
                keys.set_sum(key, value, deadline, event);
                if let Deadline::At(_) = deadline {
                    keys.touch(key, Event::EXPIRE);
                }
            }
        }
        if keys.changes > before {
            let mut digits = itoa::Buffer::new();
            let digits = digits_of(deadline, &mut digits);
            let record = Record::of(keys, key.name, text, deadline, digits);
            keys.tools.effects.rewrite(keys.db, record.words());
        }
    }
}

#[cfg(test)]
mod tests;
