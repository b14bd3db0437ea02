//! Lists.
//!
//! A family a file. What changes a list reads the limits of its packs from the settings, makes room
//! before it adds and lets the list settle after it took something out: so the encoding changes
//! when Valkey's does.

pub(super) mod blocking;
pub(super) mod edit;
pub(super) mod moving;
pub(super) mod pop;
pub(super) mod push;
pub(super) mod read;

use crate::commands::call::Call;
use crate::commands::command::Arg;
use crate::commands::error::CommandError;
use crate::data::list::{End, Limits};
use crate::data::value::Value;
use crate::keyspace::listener::Event;
use crate::resp::Reply;

/// The ends of a list as words, for COMMAND DOCS.
const ENDS: &[Arg] = &[Arg::word("left", "LEFT"), Arg::word("right", "RIGHT")];

/// The limits in force.
fn limits(call: &Call<'_>) -> Limits {
    Limits::of(call.settings.list_max_listpack_size)
}

/// The end that the argument at `index` names.
fn end(call: &Call<'_>, index: usize) -> Result<End, CommandError> {
    if call.is(index, "LEFT") {
        Ok(End::Front)
    } else if call.is(index, "RIGHT") {
        Ok(End::Back)
    } else {
        Err(CommandError::Syntax)
    }
}

/// Replies with an item.
#[inline]
fn reply_item(reply: &mut Reply<'_>, item: Value<'_>) {
    match item {
        Value::Integer(number) => reply.bulk_int(number),
        Value::Bytes(bytes) => reply.bulk(bytes),
    }
}

/// The items from `start` to `end`, both included and both counted from the end where negative: the
/// first of them and how many there are.
fn range(len: usize, start: i64, end: i64) -> (usize, usize) {
    let len = len as i64;
    let from_front = |at: i64| if at < 0 { (len + at).max(0) } else { at };
    let end = if end < 0 { len + end } else { end.min(len - 1) };
    let start = from_front(start);
    if start > end { (0, 0) } else { (start as usize, (end - start + 1) as usize) }
}

/// The index in a list of `len` items that `index`, counted from the end where negative, names.
fn place(len: usize, index: i64) -> Option<usize> {
    let at = if index < 0 { index.checked_add(len as i64)? } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}

/// What happens to a list of which items are taken at an end.
fn popped_at(end: End) -> Event {
    if end == End::Front { Event::LPOP } else { Event::RPOP }
}

/// What happens to a list to which items are added at an end.
fn pushed_at(end: End) -> Event {
    if end == End::Front { Event::LPUSH } else { Event::RPUSH }
}
