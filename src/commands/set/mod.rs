//! Sets.
//!
//! A family a file: `basic` for single sets, `random` for members that nobody named, `algebra` for
//! what several sets have in common, `expiry` for deadlines of members.

pub(super) mod algebra;
pub(super) mod basic;
pub(super) mod expiry;
pub(super) mod random;

use crate::commands::call::Call;
use crate::data::set::Rules;
use crate::data::value::Value;
use crate::resp::Reply;

/// The rules for the forms of sets that are in force.
fn rules<'a>(call: &Call<'a>) -> Rules<'a> {
    let number = |setting| usize::try_from(setting).unwrap_or(usize::MAX);
    Rules {
        ints: number(call.settings.set_max_intset_entries),
        entries: number(call.settings.set_max_listpack_entries),
        value_bytes: number(call.settings.set_max_listpack_value),
        hasher: call.hasher,
    }
}

#[inline]
fn reply_member(reply: &mut Reply<'_>, member: Value<'_>) {
    match member {
        Value::Integer(number) => reply.bulk_int(number),
        Value::Bytes(bytes) => reply.bulk(bytes),
    }
}
