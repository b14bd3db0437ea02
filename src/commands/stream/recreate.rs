//! A stream as the commands that make it: entries, groups, consumers and deliveries.
//!
//! A delivery can be claimed only of an entry that is there, so entries that are pending and gone
//! are added for that, and deleted again. Left out are the times at which consumers were heard of,
//! and what is pending behind the last id, which only XSETID can leave behind.

use std::collections::BTreeSet;

use crate::commands::stream::record::Records;
use crate::data::stream::{Group, Id, Pending, Stream};
use crate::keyspace::effect::Effects;

/// Ids that one command deletes.
const IDS_A_RECORD: usize = 256;

/// The fields of an entry that is added to be deleted.
const FILLER: [&[u8]; 2] = [b"x", b"y"];

/// Records the commands that make `stream` under the key `name`, which is free.
pub(in crate::commands) fn record(effects: &mut Effects, db: u32, name: &[u8], stream: &Stream) {
    let gone = gone_but_pending(stream);
    let mut missing = gone.iter().copied().peekable();
    let add = |effects: &mut Effects, id: Id, words: &[&[u8]]| {
        let id = id.text();
        let mut record: Vec<&[u8]> = vec![b"XADD", name, &id];
        record.extend_from_slice(words);
        effects.aside(db, &record);
    };
    for entry in stream.range(Id::MIN, Id::MAX) {
        while let Some(id) = missing.next_if(|id| *id < entry.id) {
            add(effects, id, &FILLER);
        }
        let words: Vec<Vec<u8>> =
            entry.pairs.flat_map(|(name, value)| [name.to_vec(), value.to_vec()]).collect();
        add(effects, entry.id, &words.iter().map(Vec::as_slice).collect::<Vec<_>>());
    }
    missing.for_each(|id| add(effects, id, &FILLER));
    if stream.entries() == 0 && gone.is_empty() {
        let [field, value] = FILLER;
        effects.aside(db, &[b"XADD", name, b"MAXLEN", b"0", b"0-1", field, value]);
    }
    let mut records = Records::new(effects);
    for (group_name, group) in stream.groups() {
        record_group(&mut records, name, group_name, group, stream.last_id);
    }
    let gone: Vec<Id> = gone.into_iter().collect();
    for part in gone.chunks(IDS_A_RECORD) {
        let ids: Vec<_> = part.iter().map(|id| id.text()).collect();
        let mut words = vec![&b"XDEL"[..], name];
        words.extend(ids.iter().map(|id| &**id));
        records.add(&words);
    }
    let (last, deleted) = (stream.last_id.text(), stream.max_deleted_id.text());
    let added = stream.entries_added.to_string();
    records.add(&[
        b"XSETID",
        name,
        &last,
        b"ENTRIESADDED",
        added.as_bytes(),
        b"MAXDELETEDID",
        &deleted,
    ]);
    records.put_aside(effects, db);
}

/// Entries that are pending somewhere and in the stream no more.
fn gone_but_pending(stream: &Stream) -> BTreeSet<Id> {
    let pending = stream.groups().flat_map(|(_, group)| group.pending(..=stream.last_id));
    pending.map(|(id, _)| id).filter(|id| stream.get(*id).is_none()).collect()
}

fn record_group(records: &mut Records, key: &[u8], name: &[u8], group: &Group, last: Id) {
    let (id, read) = (group.last_id.text(), group.entries_read.unwrap_or(-1).to_string());
    records.add(&[b"XGROUP", b"CREATE", key, name, &id, b"ENTRIESREAD", read.as_bytes()]);
    group.consumers().for_each(|(_, consumer)| records.consumer(key, name, &consumer.name));
    let pending: Vec<(Id, Pending)> = group.pending(..=last).collect();
    records.deliveries(key, name, group, &pending);
}
