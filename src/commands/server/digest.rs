//! Digests of keys as Redis and Valkey compute them, so that the data sets of both can be compared.
//!
//! A digest is mixed from parts in order, or joined from parts in no order, by exclusive or; keys
//! of one database are joined, so that neither their order nor their shards matter. Of a deadline
//! only its presence counts. That a key is blessed counts as well, in the digest of the key, not in
//! that of its value.

use std::fmt;

use crate::base::float;
use crate::base::sha1::{LEN, sha1};
use crate::data::stream::{Id, Stream};
use crate::keyspace::entry::Entry;
use crate::keyspace::object::Object;

/// A digest in 160 bits. Nothing at all is zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Digest([u8; LEN]);

impl Digest {
    /// Of a value with its type.
    pub(super) fn of_value(entry: &Entry) -> Digest {
        Digest::default().with_value(entry)
    }

    /// Of a key with its value.
    pub(super) fn of_key(entry: &Entry) -> Digest {
        let mut digest = Digest::default();
        digest.mix(entry.key());
        if entry.is_blessed() {
            digest.join_bytes(b"!!bless!!");
        }
        digest.with_value(entry)
    }

    /// The keys of another database follow.
    pub(super) fn begin_database(&mut self, db: u32) {
        self.mix(&db.to_be_bytes());
    }

    /// Joins another digest in, in no order.
    pub(super) fn join(&mut self, other: Digest) {
        self.join_bytes(&other.0);
    }

    fn with_value(mut self, entry: &Entry) -> Digest {
        if let Some(string) = entry.string() {
            self.mix(&0u32.to_be_bytes());
            string.with(|bytes| self.mix(bytes));
        }
        if let Some(object) = entry.object() {
            self.mix_object(&object);
        }
        if entry.deadline().is_some() {
            self.join_bytes(b"!!expire!!");
        }
        self
    }

    fn mix_object(&mut self, object: &Object) {
        match object {
            Object::List(list) => {
                self.mix(&1u32.to_be_bytes());
                list.iter().for_each(|item| item.with(|bytes| self.mix(bytes)));
            }
            Object::Hash(hash) => {
                self.mix(&4u32.to_be_bytes());
                hash.each(|item| {
                    let mut pair = Digest::default();
                    item.name.with(|bytes| pair.mix(bytes));
                    item.value.with(|bytes| pair.mix(bytes));
                    self.join(pair);
                });
            }
            Object::Set(set) => {
                self.mix(&2u32.to_be_bytes());
                set.iter().for_each(|member| member.with(|bytes| self.join_bytes(bytes)));
                for (member, _) in set.deadlines() {
                    let mut timed = Digest::default();
                    timed.mix(member);
                    timed.mix(b"!!expire!!");
                    self.join(timed);
                }
            }
            Object::Zset(zset) => {
                self.mix(&3u32.to_be_bytes());
                zset.each(|name, score| {
                    let mut member = Digest::default();
                    member.mix(name);
                    member.mix(float::Text::with_few_digits(score).as_bytes());
                    if zset.deadline(name).flatten().is_some() {
                        member.mix(b"!!expire!!");
                    }
                    self.join(member);
                });
            }
            Object::Stream(stream) => self.mix_stream(stream),
        }
    }

    /// Of a stream only its entries count.
    fn mix_stream(&mut self, stream: &Stream) {
        self.mix(&6u32.to_be_bytes());
        for entry in stream.range(Id::MIN, Id::MAX) {
            self.mix(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
            for (name, value) in entry.pairs {
                name.with(|bytes| self.mix(bytes));
                value.with(|bytes| self.mix(bytes));
            }
        }
    }

    fn mix(&mut self, part: &[u8]) {
        self.join_bytes(part);
        self.0 = sha1(&self.0);
    }

    fn join_bytes(&mut self, part: &[u8]) {
        self.0.iter_mut().zip(sha1(part)).for_each(|(byte, other)| *byte ^= other);
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
