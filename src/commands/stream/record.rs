//! What deliveries leave in the journal: XCLAIM with absolute times and counts, XGROUP SETID.
//!
//! They replace commands that depend on the clock or on what was there. Every server since Redis
//! 7.0 understands them, and one record has several ids where Redis writes a record for each.

use crate::data::stream::{Group, Id, NOBODY, Pending};
use crate::keyspace::effect::Effects;

/// Ids in one record.
const IDS_A_RECORD: usize = 256;

/// The records of one call.
#[derive(Debug)]
pub(crate) struct Records {
    is_wanted: bool,
    list: Vec<Vec<Vec<u8>>>,
}

impl Records {
    /// None yet. Nothing is put together while nobody listens.
    pub(crate) fn new(effects: &Effects) -> Records {
        Records { is_wanted: effects.is_listened_to(), list: Vec::new() }
    }

    /// Adds a command.
    pub(crate) fn add(&mut self, words: &[&[u8]]) {
        if self.is_wanted {
            self.list.push(words.iter().map(|word| word.to_vec()).collect());
        }
    }

    /// A consumer is there.
    pub(crate) fn consumer(&mut self, key: &[u8], group: &[u8], name: &[u8]) {
        self.add(&[b"XGROUP", b"CREATECONSUMER", key, group, name]);
    }

    /// What a group read last.
    pub(crate) fn read_up_to(&mut self, key: &[u8], name: &[u8], group: &Group) {
        let read = group.entries_read.unwrap_or(-1).to_string();
        let last = group.last_id.text();
        self.add(&[b"XGROUP", b"SETID", key, name, &last, b"ENTRIESREAD", read.as_bytes()]);
    }

    /// Entries that are pending, each with its owner, in the group `name`.
    pub(crate) fn deliveries(
        &mut self,
        key: &[u8],
        name: &[u8],
        group: &Group,
        deliveries: &[(Id, Pending)],
    ) {
        if !self.is_wanted {
            return;
        }
        let last = group.last_id.text();
        let alike = deliveries.chunk_by(|(_, one), (_, other)| one == other);
        for part in alike.flat_map(|run| run.chunks(IDS_A_RECORD)) {
            let Some((_, pending)) = part.first() else { continue };
            let (time, count) = (pending.delivered.to_string(), pending.count.to_string());
            let ids: Vec<_> = part.iter().map(|(id, _)| id.text()).collect();
            let ids = ids.iter().map(|id| &**id);
            let mut words: Vec<&[u8]>;
            if pending.owner == NOBODY {
                let len = part.len().to_string();
                words = vec![b"XNACK", key, name, b"FAIL", b"IDS", len.as_bytes()];
                words.extend(ids);
                words.extend::<[&[u8]; 3]>([b"RETRYCOUNT", count.as_bytes(), b"FORCE"]);
                self.add(&words);
            } else {
                words = vec![b"XCLAIM", key, name, group.name_of(pending.owner), b"0"];
                words.extend(ids);
                words.extend::<[&[u8]; 4]>([
                    b"TIME",
                    time.as_bytes(),
                    b"RETRYCOUNT",
                    count.as_bytes(),
                ]);
                words.extend::<[&[u8]; 4]>([b"FORCE", b"JUSTID", b"LASTID", &last]);
                self.add(&words);
            }
        }
    }

    /// Entries that are no longer pending.
    pub(crate) fn acknowledged(&mut self, key: &[u8], group: &[u8], ids: &[Id]) {
        for part in ids.chunks(IDS_A_RECORD) {
            let ids: Vec<_> = part.iter().map(|id| id.text()).collect();
            let mut words = vec![&b"XACK"[..], key, group];
            words.extend(ids.iter().map(|id| &**id));
            self.add(&words);
        }
    }

    /// Puts the records in the place of the call that runs.
    pub(super) fn replace_call(self, effects: &mut Effects, db: u32) {
        effects.suppress();
        let words: Vec<Vec<&[u8]>> =
            self.list.iter().map(|record| record.iter().map(Vec::as_slice).collect()).collect();
        match &words[..] {
            [] => {}
            [record] => effects.rewrite(db, record),
            records => {
                let together: Vec<_> = records.iter().map(|record| (db, &record[..])).collect();
                effects.rewrite_together(&together);
            }
        }
    }

    /// Puts the records beside what was recorded already.
    pub(crate) fn put_aside(self, effects: &mut Effects, db: u32) {
        for record in &self.list {
            effects.aside(db, &record.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
