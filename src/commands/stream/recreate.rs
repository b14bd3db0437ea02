//! A stream as the commands that make it: entries, groups, consumers and deliveries.
//!
//! A delivery can be claimed only of an entry that is there, so entries that are pending and gone
//! are added for that, and deleted or trimmed again. Left out are the times at which consumers were
//! heard of, and what is pending behind the last id, which only XSETID can leave behind.

use crate::commands::stream::record::Records;
use crate::data::stream::{Id, Pending, Stream};
use crate::data::value::Value;
use crate::keyspace::effect::Effects;
use crate::keyspace::saving::StreamPoint;

/// Entries or consumers of a piece.
const ENTRIES_A_PIECE: usize = 64;

/// Bytes after which a piece has no more entries.
const BYTES_A_PIECE: usize = 16 * 1024;

/// Deliveries of a piece, and ids that one command deletes.
const IDS_A_PIECE: usize = 256;

/// The fields of an entry that is added to be deleted.
const FILLER: [&[u8]; 2] = [b"x", b"y"];

/// Records the next of the commands that make `stream` under the key `name`, which is free at
/// first. Returns where to go on; nothing at the end.
pub(in crate::commands) fn record_piece(
    effects: &mut Effects,
    db: u32,
    name: &[u8],
    stream: &Stream,
    from: StreamPoint,
) -> Option<StreamPoint> {
    let mut records = Records::new(effects);
    let next = match from {
        StreamPoint::Entries(from) => entries(&mut records, name, stream, from),
        StreamPoint::Group(group) => begin_group(&mut records, name, stream, &group),
        StreamPoint::Consumers(group, from) => consumers(&mut records, name, stream, group, &from),
        StreamPoint::Pending(group, from) => pending(&mut records, name, stream, group, from),
        StreamPoint::Gone(group, from) => gone(&mut records, name, stream, &group, from),
        StreamPoint::Owned(..) | StreamPoint::Released(..) => None,
    };
    if next.is_none() {
        trim(&mut records, name, stream);
        let (last, deleted) = (stream.last_id.text(), stream.max_deleted_id.text());
        let added = stream.entries_added.to_string();
        let words: [&[u8]; 7] =
            [b"XSETID", name, &last, b"ENTRIESADDED", added.as_bytes(), b"MAXDELETEDID", &deleted];
        records.add(&words);
    }
    records.put_aside(effects, db);
    next
}

/// Entries from an id on, with fillers in the place of those that are only pending.
fn entries(records: &mut Records, key: &[u8], stream: &Stream, from: Id) -> Option<StreamPoint> {
    let there: Vec<_> = stream.range(from, Id::MAX).take(ENTRIES_A_PIECE).collect();
    let end = match there.last() {
        Some(last) if there.len() == ENTRIES_A_PIECE => last.id,
        _ => stream.last_id,
    };
    let ids: Vec<Id> = there.iter().map(|entry| entry.id).collect();
    let mut all: Vec<(Id, Option<_>)> = there.into_iter().map(|e| (e.id, Some(e.pairs))).collect();
    if from <= end {
        for (_, group) in stream.groups() {
            let gone = group.pending(from..=end).filter(|(id, _)| ids.binary_search(id).is_err());
            all.extend(gone.take(ENTRIES_A_PIECE).map(|(id, _)| (id, None)));
        }
        all.sort_unstable_by_key(|(id, _)| *id);
        all.dedup_by_key(|(id, _)| *id);
    }
    if all.is_empty() && from == Id::MIN {
        let [field, value] = FILLER;
        records.add(&[b"XADD", key, b"MAXLEN", b"0", b"0-1", field, value]);
    }
    let (mut last, mut bytes) = (end, 0);
    for (number, (id, pairs)) in all.into_iter().enumerate() {
        if number == ENTRIES_A_PIECE || bytes > BYTES_A_PIECE {
            return last.next().map(StreamPoint::Entries);
        }
        let words = pairs.map(|pairs| pairs.flat_map(|(name, value)| [name, value]));
        let words: Vec<Vec<u8>> = match words {
            Some(words) => words.map(Value::to_vec).collect(),
            None => FILLER.map(<[u8]>::to_vec).to_vec(),
        };
        bytes += words.iter().map(Vec::len).sum::<usize>();
        let text = id.text();
        let mut record: Vec<&[u8]> = vec![b"XADD", key, &text];
        record.extend(words.iter().map(Vec::as_slice));
        records.add(&record);
        last = id;
    }
    match end.next() {
        Some(next) if end < stream.last_id => Some(StreamPoint::Entries(next)),
        _ => stream.group_from(b"").map(|(name, _)| StreamPoint::Group(name.into())),
    }
}

fn begin_group(
    records: &mut Records,
    key: &[u8],
    stream: &Stream,
    from: &[u8],
) -> Option<StreamPoint> {
    let Some((name, group)) = stream.group_from(from) else {
        return stream.group_from(b"").map(|(name, _)| StreamPoint::Gone(name.into(), Id::MIN));
    };
    let (id, read) = (group.last_id.text(), group.entries_read.unwrap_or(-1).to_string());
    records.add(&[b"XGROUP", b"CREATE", key, name, &id, b"ENTRIESREAD", read.as_bytes()]);
    Some(StreamPoint::Consumers(name.into(), Box::default()))
}

fn consumers(
    records: &mut Records,
    key: &[u8],
    stream: &Stream,
    name: Box<[u8]>,
    from: &[u8],
) -> Option<StreamPoint> {
    let mut consumers = stream.group(&name)?.consumers_from(from);
    for consumer in consumers.by_ref().take(ENTRIES_A_PIECE) {
        records.consumer(key, &name, &consumer.name);
    }
    let next = consumers.next().map(|consumer| consumer.name.clone());
    Some(match next {
        Some(next) => StreamPoint::Consumers(name, next),
        None => StreamPoint::Pending(name, Id::MIN),
    })
}

fn pending(
    records: &mut Records,
    key: &[u8],
    stream: &Stream,
    name: Box<[u8]>,
    from: Id,
) -> Option<StreamPoint> {
    let group = stream.group(&name)?;
    let mut pending = group.pending(from..=stream.last_id);
    let piece: Vec<(Id, Pending)> = pending.by_ref().take(IDS_A_PIECE).collect();
    records.deliveries(key, &name, group, &piece);
    Some(match pending.next() {
        Some((next, _)) => StreamPoint::Pending(name, next),
        None => StreamPoint::Group(behind(&name)),
    })
}

/// Takes the fillers of a group out again whose entries were deleted, and not trimmed.
fn gone(
    records: &mut Records,
    key: &[u8],
    stream: &Stream,
    from_name: &[u8],
    from: Id,
) -> Option<StreamPoint> {
    let (name, group) = stream.group_from(from_name)?;
    let mut pending = group.pending(from..=stream.last_id).map(|(id, _)| id);
    let gone = pending.by_ref().take(IDS_A_PIECE);
    let gone = gone.filter(|id| *id <= stream.max_deleted_id && stream.get(*id).is_none());
    let ids: Vec<_> = gone.map(Id::text).collect();
    if !ids.is_empty() {
        let mut words = vec![&b"XDEL"[..], key];
        words.extend(ids.iter().map(|id| &**id));
        records.add(&words);
    }
    match pending.next() {
        Some(next) => Some(StreamPoint::Gone(name.into(), next)),
        None => {
            let (name, _) = stream.group_from(&behind(name))?;
            Some(StreamPoint::Gone(name.into(), Id::MIN))
        }
    }
}

/// Takes the fillers out again whose entries were trimmed: they stand before all entries. XDEL
/// would move the largest id that was deleted, and XSETID cannot set that to none.
fn trim(records: &mut Records, key: &[u8], stream: &Stream) {
    let first = if stream.entries() > 0 { stream.first_id() } else { Id::MAX };
    let end = stream.last_id.min(first);
    let mut pending = stream.groups().flat_map(|(_, group)| group.pending(..=end));
    if pending.any(|(id, _)| id < first) {
        records.add(&[b"XTRIM", key, b"MINID", b"=", &first.text()]);
    }
}

/// The first name behind this one.
fn behind(name: &[u8]) -> Box<[u8]> {
    [name, &[0]].concat().into()
}
