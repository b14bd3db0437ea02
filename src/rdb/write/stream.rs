//! Streams as they are written: as Redis 7.0 does it, of which `read/stream.rs` tells the form.

use crate::data::pack::Pack;
use crate::data::stream::{Entry, Group, Id, NOBODY, Stream};
use crate::data::value::Value;
use crate::keyspace::saving::StreamPoint;
use crate::rdb::beside::Released;
use crate::rdb::listpack;
use crate::rdb::read::{SAME_NAMES, UNKNOWN_READ};
use crate::rdb::sink::put_length;
use crate::rdb::write::Writer;

/// Writes the next of what a stream is, as much as a piece takes. Returns where to go on; nothing
/// at the end.
pub(super) fn go_on(
    writer: &mut Writer<'_>,
    stream: &Stream,
    from: StreamPoint,
) -> Option<StreamPoint> {
    match from {
        StreamPoint::Entries(from) => Some(nodes(writer, stream, from)),
        StreamPoint::Group(from) => begin_group(writer, stream, &from),
        StreamPoint::Pending(name, from) => pending(writer, stream.group(&name)?, name, from),
        StreamPoint::Consumers(name, from) => consumer(writer, stream.group(&name)?, name, &from),
        StreamPoint::Owned(name, consumer, from) => {
            owned(writer, stream.group(&name)?, name, consumer, from)
        }
        StreamPoint::Released(name, from) => released(writer, stream, &name, from),
        StreamPoint::Gone(..) => None,
    }
}

/// Whether entries are pending that nobody has any more.
pub(super) fn has_released(stream: &Stream) -> bool {
    stream.groups().any(|(_, group)| released_len(group) > 0)
}

fn released_len(group: &Group) -> usize {
    let owned: usize = group.consumers().map(|(_, consumer)| consumer.pending_len()).sum();
    group.pending_len() - owned
}

/// The nodes from an id on, and behind the last what is told of the stream.
fn nodes(writer: &mut Writer<'_>, stream: &Stream, from: Id) -> StreamPoint {
    for (base, entries) in stream.nodes_from(from) {
        if writer.is_full() {
            return StreamPoint::Entries(base);
        }
        writer.string(&raw_id(base));
        writer.string(&node(base, &entries.collect::<Vec<_>>()));
    }
    put_length(writer.out, stream.entries());
    put_id(writer.out, stream.last_id);
    if writer.timed.is_of_redis_7() {
        put_id(writer.out, stream.first_id());
        put_id(writer.out, stream.max_deleted_id);
        put_length(writer.out, stream.entries_added as u64);
    }
    writer.length(stream.groups().len());
    StreamPoint::Group(Box::default())
}

fn begin_group(writer: &mut Writer<'_>, stream: &Stream, from: &[u8]) -> Option<StreamPoint> {
    let Some((name, group)) = stream.group_from(from) else {
        let begins = || StreamPoint::Released(Box::default(), Id::MIN);
        return has_released(stream).then(begins);
    };
    writer.string(name);
    put_id(writer.out, group.last_id);
    if writer.timed.is_of_redis_7() {
        put_length(writer.out, group.entries_read.unwrap_or(UNKNOWN_READ) as u64);
    }
    writer.length(group.pending_len() - released_len(group));
    Some(StreamPoint::Pending(name.into(), Id::MIN))
}

fn pending(
    writer: &mut Writer<'_>,
    group: &Group,
    name: Box<[u8]>,
    from: Id,
) -> Option<StreamPoint> {
    for (id, pending) in group.pending(from..).filter(|(_, pending)| pending.owner != NOBODY) {
        if writer.is_full() {
            return Some(StreamPoint::Pending(name, id));
        }
        writer.out.extend(raw_id(id));
        writer.out.extend(pending.delivered.0.to_le_bytes());
        put_length(writer.out, pending.count as u64);
    }
    writer.length(group.consumers().len());
    Some(StreamPoint::Consumers(name, Box::default()))
}

fn consumer(
    writer: &mut Writer<'_>,
    group: &Group,
    name: Box<[u8]>,
    from: &[u8],
) -> Option<StreamPoint> {
    let Some(consumer) = group.consumers_from(from).next() else {
        return Some(StreamPoint::Group(behind(&name)));
    };
    writer.string(&consumer.name);
    writer.out.extend(consumer.seen.0.to_le_bytes());
    writer.length(consumer.pending_len());
    Some(StreamPoint::Owned(name, consumer.name.clone(), Id::MIN))
}

fn owned(
    writer: &mut Writer<'_>,
    group: &Group,
    name: Box<[u8]>,
    consumer: Box<[u8]>,
    from: Id,
) -> Option<StreamPoint> {
    for (id, _) in group.pending_of(group.number(&consumer)?, from..) {
        if writer.is_full() {
            return Some(StreamPoint::Owned(name, consumer, id));
        }
        writer.out.extend(raw_id(id));
    }
    Some(StreamPoint::Consumers(name, behind(&consumer)))
}

fn released(
    writer: &mut Writer<'_>,
    stream: &Stream,
    from_name: &[u8],
    from: Id,
) -> Option<StreamPoint> {
    let (name, group) = stream.group_from(from_name)?;
    let mut released = Released::default();
    let mut pending = group.pending(from..).filter(|(_, pending)| pending.owner == NOBODY);
    for (id, pending) in pending.by_ref() {
        released.add(name, id, pending);
        if released.is_full() {
            break;
        }
    }
    released.write(writer.out);
    Some(match pending.next() {
        Some((next, _)) => StreamPoint::Released(name.into(), next),
        None => StreamPoint::Released(behind(name), Id::MIN),
    })
}

/// The first name behind this one.
fn behind(name: &[u8]) -> Box<[u8]> {
    [name, &[0]].concat().into()
}

fn put_id(out: &mut Vec<u8>, id: Id) {
    put_length(out, id.ms);
    put_length(out, id.seq);
}

/// An id as 16 bytes, so that ids in order are bytes in order.
pub(in crate::rdb) fn raw_id(id: Id) -> [u8; 16] {
    (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes()
}

/// Adds a number to a listpack.
fn put_number(pack: &mut Pack, number: i64) {
    pack.push_back(itoa::Buffer::new().format(number).as_bytes());
}

fn put_value(pack: &mut Pack, value: Value<'_>) {
    value.with(|value| pack.push_back(value));
}

/// The listpack of neighbouring entries, their ids counted from `base`.
fn node(base: Id, entries: &[Entry<'_>]) -> Vec<u8> {
    let mut pack = Pack::default();
    let names: Vec<Value<'_>> = entries
        .iter()
        .take(1)
        .flat_map(|first| first.pairs.clone())
        .map(|(name, _)| name)
        .collect();
    put_number(&mut pack, entries.len() as i64);
    put_number(&mut pack, 0);
    put_number(&mut pack, names.len() as i64);
    names.iter().for_each(|name| put_value(&mut pack, *name));
    put_number(&mut pack, 0);
    for entry in entries {
        let is_same = entry.pairs.clone().map(|(name, _)| name).eq(names.iter().copied());
        let count = entry.pairs.len() as i64;
        put_number(&mut pack, if is_same { SAME_NAMES } else { 0 });
        put_number(&mut pack, entry.id.ms.wrapping_sub(base.ms) as i64);
        put_number(&mut pack, entry.id.seq.wrapping_sub(base.seq) as i64);
        if !is_same {
            put_number(&mut pack, count);
        }
        for (name, value) in entry.pairs.clone() {
            if !is_same {
                put_value(&mut pack, name);
            }
            put_value(&mut pack, value);
        }
        put_number(&mut pack, if is_same { count + 3 } else { 2 * count + 4 });
    }
    listpack::of_pack(&pack)
}
