//! Streams.
//!
//! A family a file. Here is what several share: ids as clients write them, entries as they are
//! answered, and the errors about groups; `record` is what deliveries leave in the journal.

pub(super) mod adding;
pub(super) mod claim;
pub(super) mod deleting;
pub(super) mod group;
pub(super) mod info;
pub(super) mod pending;
pub(super) mod range;
pub(super) mod read;
mod record;
pub(super) mod recreate;
#[cfg(test)]
mod tests;
pub(super) mod trimming;

use crate::base::integer;
use crate::commands::call::Options;
use crate::commands::error::{CommandError, quoting};
use crate::data::stream::{Entry, Id, Limits};
use crate::data::value::Value;
use crate::resp::Reply;
use crate::settings::Settings;

const INVALID_ID: CommandError =
    CommandError::Text("ERR Invalid stream ID specified as stream command argument");

/// How large the nodes of streams grow.
fn limits(settings: &Settings) -> Limits {
    Limits {
        node_bytes: settings.stream_node_max_bytes,
        node_entries: settings.stream_node_max_entries,
    }
}

/// An id; where its number is missing it is `missing`.
fn id(text: &[u8], missing: u64) -> Result<Id, CommandError> {
    Id::parse(text, missing).ok_or(INVALID_ID)
}

/// An id, or `-` and `+` for the ends of the stream.
fn id_or_end(text: &[u8], missing: u64) -> Result<Id, CommandError> {
    match text {
        b"-" => Ok(Id::MIN),
        b"+" => Ok(Id::MAX),
        _ => id(text, missing),
    }
}

/// The start of an interval; with a bracket before it the id itself is left out.
fn interval_start(text: &[u8]) -> Result<Id, CommandError> {
    match text.strip_prefix(b"(") {
        None => id_or_end(text, 0),
        Some(open) => {
            id(open, 0)?.next().ok_or(CommandError::Text("ERR invalid start ID for the interval"))
        }
    }
}

/// The end of an interval; with a bracket before it the id itself is left out.
fn interval_end(text: &[u8]) -> Result<Id, CommandError> {
    match text.strip_prefix(b"(") {
        None => id_or_end(text, u64::MAX),
        Some(open) => id(open, u64::MAX)?
            .previous()
            .ok_or(CommandError::Text("ERR invalid end ID for the interval")),
    }
}

fn reply_id(reply: &mut Reply<'_>, id: Id) {
    reply.bulk(&id.text());
}

fn reply_value(reply: &mut Reply<'_>, value: Value<'_>) {
    match value {
        Value::Integer(number) => reply.bulk_int(number),
        Value::Bytes(bytes) => reply.bulk(bytes),
    }
}

fn reply_entry(reply: &mut Reply<'_>, entry: Entry<'_>) {
    reply.array(2);
    reply_id(reply, entry.id);
    reply_pairs(reply, entry);
}

fn reply_pairs(reply: &mut Reply<'_>, entry: Entry<'_>) {
    reply.array(2 * entry.pairs.len());
    for (name, value) in entry.pairs {
        reply_value(reply, name);
        reply_value(reply, value);
    }
}

/// Replies with entries as an array; returns how many.
fn reply_entries<'a>(reply: &mut Reply<'_>, entries: impl Iterator<Item = Entry<'a>>) -> usize {
    let (later, mut count) = (reply.array_later(0), 0);
    for entry in entries {
        reply_entry(reply, entry);
        count += 1;
    }
    reply.set_len(later, count);
    count
}

/// A limit on the number of results; nothing and all below 1 is no limit.
fn no_limit_below_one(count: i64) -> usize {
    if count > 0 { usize::try_from(count).unwrap_or(usize::MAX) } else { usize::MAX }
}

fn no_such_group(key: &[u8], group: &[u8]) -> CommandError {
    quoting("NOGROUP No such key '{}' or consumer group '{}'", &[key, group])
}

fn no_such_group_of_key(key: &[u8], group: &[u8]) -> CommandError {
    quoting("NOGROUP No such consumer group '{}' for key name '{}'", &[group, key])
}

/// How many ids there are, and the ids: what follows IDS.
fn counted_ids(options: &mut Options<'_>) -> Result<Vec<Id>, CommandError> {
    let count = integer::parse(options.value()?).and_then(|count| usize::try_from(count).ok());
    let count = count
        .filter(|count| *count > 0)
        .ok_or(CommandError::Text("ERR Number of IDs must be a positive integer"))?;
    if count > options.left() {
        return Err(CommandError::Text(
            "ERR The `numids` parameter must match the number of arguments",
        ));
    }
    (0..count).map(|_| id(options.value()?, 0)).collect()
}
