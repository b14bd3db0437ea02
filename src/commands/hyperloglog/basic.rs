//! Counting different elements: PFADD, PFCOUNT, PFMERGE.
//!
//! PFCOUNT of one key is a read that keeps its estimate in the value: that is a change of the data
//! set, and journaled. PFADD and PFMERGE are journaled as they came, since what they do follows
//! from words and values; PFMERGE over several slots by its result.
//!
//! A deliberate difference: a PFADD that finds the value corrupted changes nothing. Redis keeps
//! what it added before it noticed, and tells neither journal nor replicas.

use crate::commands::call::Call;
use crate::commands::command::{
    Access, Arg, Arity, Command, Find, Flags, Group, KeySpec, Name, Run,
};
use crate::commands::error::CommandError;
use crate::commands::hyperloglog::{CORRUPTED, encoding};
use crate::commands::string::{is_in_one_slot, with_bytes};
use crate::data::hyperloglog::{self as hll, Encoding, REGISTERS, Registers};
use crate::data::value::Value;
use crate::keyspace::keys::Keys;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The commands of this family.
pub(crate) const COMMANDS: &[Command] = &[
    Command {
        name: Name("pfadd"),
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(1) for each element.",
        summary: "Adds elements to a HyperLogLog; a missing key has seen nothing.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec::one(1, Access::RW.and(Access::INSERT))],
        flags: Flags::WRITE.and(Flags::DENY_OOM).and(Flags::FAST),
        args: &[Arg::key("key"), Arg::string("element").multiple().optional()],
        run: Run::Keys(pfadd),
        ..Command::BASE
    },
    Command {
        name: Name("pfcount"),
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(1) for one key, with a very small constant; O(N) for N keys.",
        summary: "Estimates how many different elements one or several HyperLogLogs have seen.",
        arity: Arity::AtLeast(2),
        keys: &[KeySpec {
            notes: "A change of the value, since the estimate is kept in it.",
            ..KeySpec::rest(1, 1, Access::RW.and(Access::READS))
        }],
        flags: Flags::READONLY.and(Flags::MAY_REPLICATE),
        args: &[Arg::key("key").multiple()],
        run: Run::Keys(pfcount),
        ..Command::BASE
    },
    Command {
        name: Name("pfmerge"),
        group: Group::HyperLogLog,
        since: "2.8.9",
        complexity: "O(N) with N the number of keys, with a high constant.",
        summary: "Makes a HyperLogLog that has seen what several others have, and it itself.",
        arity: Arity::AtLeast(2),
        keys: &[
            KeySpec::one(1, Access::RW.and(Access::READS).and(Access::INSERT)),
            KeySpec {
                find: Find::Range { last: -1, step: 1, limit: 0 },
                ..KeySpec::one(2, Access::RO.and(Access::READS))
            },
        ],
        flags: Flags::WRITE.and(Flags::DENY_OOM),
        args: &[Arg::key("destkey"), Arg::key_of("sourcekey", 1).multiple().optional()],
        run: Run::Keys(pfmerge),
        ..Command::BASE
    },
];

fn pfadd(call: &Call<'_>, keys: &mut Keys<'_>, reply: &mut Reply<'_>) -> Result<(), CommandError> {
    let key = call.key(1);
    let there = keys.look_string(key)?;
    let is_new = there.is_none();
    if !is_new {
        with_bytes(there, encoding)?;
    }
    let changed = keys.edit_string(key, Event::PFADD, |value| {
        if is_new {
            *value = hll::empty();
        }
        let raised = add_all(value, call);
        let changed = is_new || raised == Ok(true);
        if changed {
            hll::forget_cached(value);
        }
        (raised.map(|_| changed), changed)
    })?;
    reply.int(i64::from(changed));
    Ok(())
}

/// Adds the elements of PFADD to a value; tells whether any register was raised. A value that turns
/// out to be corrupted stays as it is.
fn add_all(value: &mut Vec<u8>, call: &Call<'_>) -> Result<bool, CommandError> {
    // Only runs can be corrupted; they are short.
    let is_sparse = hll::encoding(value) == Some(Encoding::Sparse);
    let before = is_sparse.then(|| value.clone());
    let mut changed = false;
    for element in call.args_from(2) {
        let (index, rank) = hll::place(element);
        match hll::raise(value, index, rank, call.settings.hll_sparse_max_bytes) {
            Ok(raised) => changed |= raised,
            Err(hll::Corrupted) => {
                *value = before.unwrap_or_default();
                return Err(CORRUPTED);
            }
        }
    }
    Ok(changed)
}

fn pfcount(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let number = if call.len() == 2 { count_one(call, keys)? } else { count_all(call, keys)? };
    reply.int(number as i64);
    Ok(())
}

/// The estimate of one value: the one that it keeps, or a new one, which it keeps from now on.
fn count_one(call: &Call<'_>, keys: &mut Keys<'_>) -> Result<u64, CommandError> {
    let key = call.key(1);
    let Some(value) = keys.read_string(key)? else { return Ok(0) };
    let (number, is_new) = with_bytes(Some(value), |value| {
        encoding(value)?;
        match hll::cached(value) {
            Some(number) => Ok((number, false)),
            None => hll::count(value).map(|number| (number, true)).map_err(|_| CORRUPTED),
        }
    })?;
    if is_new {
        keys.edit_string(key, Event::SILENT, |value| (hll::set_cached(value, number), true));
    }
    Ok(number)
}

fn count_all(call: &Call<'_>, keys: &mut Keys<'_>) -> Result<u64, CommandError> {
    let mut registers = [0; REGISTERS];
    for index in 1..call.len() {
        if let Some(value) = keys.read_string(call.key(index))? {
            take_highest(value, &mut registers)?;
        }
    }
    Ok(hll::count_registers(&registers))
}

/// Raises each of `registers` to what it is in a value; the encoding of the value.
fn take_highest(value: Value<'_>, registers: &mut Registers) -> Result<Encoding, CommandError> {
    with_bytes(Some(value), |value| {
        let encoding = encoding(value)?;
        hll::take_highest(value, registers).map_err(|_| CORRUPTED)?;
        Ok(encoding)
    })
}

fn pfmerge(
    call: &Call<'_>,
    keys: &mut Keys<'_>,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let mut registers = [0; REGISTERS];
    let mut becomes_dense = false;
    for index in 1..call.len() {
        // The target counts as one of the others.
        if let Some(value) = keys.read_string(call.key(index))? {
            becomes_dense |= take_highest(value, &mut registers)? == Encoding::Dense;
        }
    }
    let key = call.key(1);
    let sparse_bytes_max = call.settings.hll_sparse_max_bytes;
    let by_value = !is_in_one_slot(call, 1..call.len());
    let result = keys.edit_string(key, Event::PFADD, |value| {
        if value.is_empty() {
            *value = hll::empty();
        }
        raise_all(value, &registers, becomes_dense, sparse_bytes_max)
            .expect("a new value is sound, and this one was just read");
        (by_value.then(|| value.clone()), true)
    });
    if let Some(result) = result {
        keys.tools.effects.rewrite(keys.db, &[b"SET", key.name, &result, b"KEEPTTL"]);
    }
    reply.ok();
    Ok(())
}

fn raise_all(
    value: &mut Vec<u8>,
    registers: &Registers,
    becomes_dense: bool,
    sparse_bytes_max: u64,
) -> Result<(), hll::Corrupted> {
    if becomes_dense && hll::encoding(value) == Some(Encoding::Sparse) {
        hll::make_dense(value)?;
    }
    for (index, rank) in registers.iter().enumerate().filter(|(_, rank)| **rank > 0) {
        hll::raise(value, index, *rank, sparse_bytes_max)?;
    }
    hll::forget_cached(value);
    Ok(())
}

#[cfg(test)]
mod tests;
