//! Strings.
//!
//! A family a file; `expiry` and `effect` are what several families share: the options that set a
//! deadline, and what a stored string leaves in the journal.

pub(super) mod basic;
pub(super) mod compare;
pub(super) mod counter;
mod effect;
pub(super) mod expiry;
pub(super) mod many;
pub(super) mod range;
pub(super) mod set;

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
