//! Strings.
//!
//! A family a file; `expiry` and `effect` are what several families share: the options that set a
//! deadline, and what a stored string leaves in the journal. What the other groups that live in
//! strings need of them stands here.

pub(super) mod basic;
pub(super) mod bounded;
pub(super) mod compare;
pub(super) mod conditional;
pub(super) mod counter;
mod effect;
pub(super) mod expiry;
pub(super) mod many;
pub(super) mod range;
pub(super) mod set;

use crate::commands::call::Call;
use crate::data::value::Value;
use crate::resp::Reply;

/// Replies with a value, or with its absence.
#[inline]
pub(super) fn reply_value(reply: &mut Reply<'_>, value: Option<Value<'_>>) {
    match value {
        Some(Value::Integer(number)) => reply.bulk_int(number),
        Some(Value::Bytes(bytes)) => reply.bulk(bytes),
        None => reply.null(),
    }
}

/// Hands a string to `read`; a missing one is empty.
#[inline]
pub(super) fn with_bytes<R>(value: Option<Value<'_>>, read: impl FnOnce(&[u8]) -> R) -> R {
    match value {
        Some(value) => value.with(read),
        None => read(b""),
    }
}

/// True when the keys at these arguments lie in one slot, so that a record of the call can be
/// replayed there.
pub(super) fn is_in_one_slot(call: &Call<'_>, mut indexes: std::ops::Range<usize>) -> bool {
    let first = indexes.next().map(|index| call.key(index).slot);
    indexes.all(|index| Some(call.key(index).slot) == first)
}
