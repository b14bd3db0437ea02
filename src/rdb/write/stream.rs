//! Streams as they are written: as Redis 7.0 does it, of which `read/stream.rs` tells the form.

use crate::data::pack::Pack;
use crate::data::stream::{Entry, Group, Id, Stream};
use crate::data::value::Value;
use crate::rdb::listpack;
use crate::rdb::read::{SAME_NAMES, UNKNOWN_READ};
use crate::rdb::sink::put_length;
use crate::rdb::write::Writer;

pub(super) fn write(writer: &mut Writer<'_>, stream: &Stream) {
    writer.length(stream.nodes());
    for (base, entries) in stream.each_node() {
        writer.string(&raw_id(base));
        writer.string(&node(base, &entries.collect::<Vec<_>>()));
    }
    put_length(writer.out, stream.entries());
    for id in [stream.last_id, stream.first_id(), stream.max_deleted_id] {
        put_id(writer.out, id);
    }
    put_length(writer.out, stream.entries_added as u64);
    writer.length(stream.groups().len());
    for (name, group) in stream.groups() {
        writer.string(name);
        write_group(writer, group);
    }
}

fn put_id(out: &mut Vec<u8>, id: Id) {
    put_length(out, id.ms);
    put_length(out, id.seq);
}

fn raw_id(id: Id) -> [u8; 16] {
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

fn write_group(writer: &mut Writer<'_>, group: &Group) {
    put_id(writer.out, group.last_id);
    put_length(writer.out, group.entries_read.unwrap_or(UNKNOWN_READ) as u64);
    writer.length(group.pending_len());
    for (id, pending) in group.pending(..) {
        writer.out.extend(raw_id(id));
        writer.out.extend(pending.delivered.0.to_le_bytes());
        put_length(writer.out, pending.count as u64);
    }
    writer.length(group.consumers().len());
    for (number, consumer) in group.consumers() {
        writer.string(&consumer.name);
        writer.out.extend(consumer.seen.0.to_le_bytes());
        writer.length(consumer.pending_len());
        for (id, _) in group.pending_of(number, ..) {
            writer.out.extend(raw_id(id));
        }
    }
}
