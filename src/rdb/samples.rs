//! Values of every type for the tests here, and all that is in a value, as text.

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::hash::{self, Hash};
use crate::data::list::{self, End, List};
use crate::data::set::{self, Set};
use crate::data::stream::{self, Group, Id, Pending, Stream};
use crate::data::zset::{self, Zset};
use crate::keyspace::entry::{Entry, NewValue};
use crate::keyspace::object::{Object, Typed};
use crate::keyspace::saving::Format as _;
use crate::rdb::decoder::END;
use crate::rdb::dialect::Dialect;
use crate::rdb::encoder::{Checksum, Records, head, put_end};
use crate::rdb::payload::tests::{FOREIGN, unhex};
use crate::rdb::read::Forms;

/// Forms that change with a few elements.
pub(super) fn forms(hasher: &Hasher) -> Forms<'_> {
    Forms {
        list: list::Limits::of(4),
        set: set::Rules { ints: 8, entries: 6, value_bytes: 20, hasher },
        zset: zset::Limits { entries: 6, value_bytes: 20 },
        hash: hash::Limits { entries: 6, value_bytes: 20 },
        hasher,
    }
}

pub(super) fn hasher() -> Hasher {
    Hasher::with_seeds([1, 2, 3, 4])
}

/// A string of some kind: a number, text, noise, or what repeats.
pub(super) fn string(random: &mut fastrand::Rng) -> Vec<u8> {
    match random.u8(..8) {
        0 => random.i8(..).to_string().into_bytes(),
        1 => random.i32(..).to_string().into_bytes(),
        2 => random.i64(..).to_string().into_bytes(),
        3 => Vec::new(),
        4 => b"abc".repeat(random.usize(..200)),
        5 => (0..random.usize(..100)).map(|_| random.u8(..)).collect(),
        _ => (0..random.usize(1..15)).map(|_| random.lowercase() as u8).collect(),
    }
}

/// A value of the type with this number, of [`KINDS`], with about `count` elements.
pub(crate) fn value(kind: u8, count: usize, random: &mut fastrand::Rng) -> Object {
    let hasher = hasher();
    let forms = forms(&hasher);
    match kind {
        0 => {
            let mut list = List::default();
            for _ in 0..count {
                let item = string(random);
                list.make_room(item.len(), 1, forms.list);
                list.push(End::Back, &item, forms.list);
            }
            list.pack_if_within(forms.list);
            list.into_object()
        }
        1 | 2 => {
            let mut set = Set::default();
            for _ in 0..count {
                let shift = random.u32(..64);
                let number = (random.i64(..) >> shift).to_string().into_bytes();
                set.add(&if kind == 1 { number } else { string(random) }, forms.set);
            }
            set.into_object()
        }
        3 => {
            let mut zset = Zset::default();
            for _ in 0..count {
                let score = match random.u8(..6) {
                    0 => f64::INFINITY,
                    1 => f64::NEG_INFINITY,
                    2 => random.f64() * 1e300,
                    3 => random.f64() - 0.5,
                    _ => f64::from(random.i8(..)),
                };
                zset.put(&string(random), score, forms.zset, &hasher);
            }
            zset.into_object()
        }
        4 | 5 => {
            let mut hash = Hash::default();
            for _ in 0..count {
                let deadline = (kind == 5 && random.bool()).then(|| Millis(random.i64(0..1 << 50)));
                let (name, value) = (string(random), string(random));
                hash.set(&name, &value, deadline, forms.hash, &hasher);
            }
            if kind == 5 {
                hash.set(b"last", b"", Some(Millis(i64::MAX)), forms.hash, &hasher);
            }
            hash.into_object()
        }
        _ => stream(count, random).into_object(),
    }
}

/// Types of [`value`].
pub(crate) const KINDS: u8 = 7;

fn stream(count: usize, random: &mut fastrand::Rng) -> Stream {
    let (mut stream, mut id) = (Stream::default(), Id::new(random.u64(..5), 1));
    let limits = stream::Limits { node_bytes: 0, node_entries: 5 };
    for _ in 0..count {
        let fields = random.usize(1..4);
        let words: Vec<Vec<u8>> = (0..2 * fields)
            .map(|at| if at % 2 == 0 && random.bool() { vec![b'f'] } else { string(random) })
            .collect();
        stream.push(id, &words.iter().map(Vec::as_slice).collect::<Vec<_>>(), limits);
        id = if random.bool() { Id::new(id.ms, id.seq + 1) } else { Id::new(id.ms + 900, 0) };
    }
    let ids: Vec<Id> = stream.range(Id::MIN, Id::MAX).map(|entry| entry.id).collect();
    for id in ids.iter().filter(|_| random.u8(..4) == 0) {
        stream.delete(*id, stream::References::Keep);
    }
    for number in 0..random.usize(..4) {
        let last = ids.last().copied().unwrap_or_default();
        let read = random.bool().then(|| random.i64(0..100));
        let mut group = Group::new(last, read);
        for consumer in 0..random.usize(..4) {
            let name = format!("consumer {consumer}");
            let (owner, _) = group.hear(name.as_bytes(), Millis(random.i64(0..1 << 40)));
            let taken: Vec<&Id> = ids.iter().filter(|_| random.u8(..3) == 0).collect();
            for id in taken {
                let (delivered, count) = (Millis(random.i64(0..1 << 40)), random.i64(0..1 << 20));
                group.deliver(*id, Pending { owner, delivered, count });
            }
        }
        stream.add_group(format!("group {number}").as_bytes(), group);
    }
    stream
}

/// A file with its end.
pub(crate) fn ended(mut file: Vec<u8>) -> Vec<u8> {
    put_end(&mut file);
    let mut checksum = Checksum::default();
    checksum.add(&file);
    file.extend(checksum.bytes());
    file
}

/// About 64 KiB with values of every type of every dialect, each with its own name; their
/// checksums are not looked at. The first is as we write it, the others as other servers do.
pub(crate) fn files() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(4);
    let (records, mut file) = (Records::new(true, Dialect::TIMED), head(Dialect::TIMED).to_vec());
    for round in 0.. {
        let object = value(round % KINDS, [3, 30, 200][usize::from(round) % 3], &mut random);
        let name = format!("key:{round}").into_bytes();
        let entry = Entry::new(&name, NewValue::Object(object), Some(Millis(1 << 42)), 0);
        records.key(&mut file, &entry);
        if file.len() > 64 << 10 {
            break;
        }
    }
    let mut files = vec![ended(file)];
    for (number, (hex, version, _)) in FOREIGN.iter().enumerate() {
        let word = if *version < 80 { "REDIS0" } else { "VALKEY" };
        let mut file = format!("{word}{version:03}").into_bytes();
        let value = unhex(hex);
        file.extend([value[0], 1, number as u8]);
        file.extend(&value[1..]);
        file.extend([END, 0, 0, 0, 0, 0, 0, 0, 0]);
        files.push(file);
    }
    files
}

/// All that is in a value but when consumers were active.
pub(crate) fn contents(entry: &Entry) -> Vec<String> {
    let mut said = vec![format!("{:?} {:?}", entry.deadline(), entry.string())];
    let Some(object) = entry.object() else { return said };
    said[0] = format!("{:?} {}", entry.deadline(), object.collection().encoding());
    match &*object {
        Object::List(list) => said.extend(list.iter().map(|item| format!("{item:?}"))),
        Object::Set(set) => said.extend(set.iter().map(|it| {
            let member = it.to_vec();
            format!("{member:?} {:?}", set.deadline_of(&member))
        })),
        Object::Zset(zset) => zset.each(|name, score| {
            said.push(format!("{score} {name:?} {:?}", zset.deadline(name)));
        }),
        Object::Hash(hash) => hash.each(|item| {
            let pair = (item.name.to_vec(), item.value.to_vec(), item.deadline);
            said.push(format!("{pair:?}"));
        }),
        Object::Stream(stream) => {
            said.push(format!("{} {}", stream.last_id, stream.max_deleted_id));
            said.push(format!("{} {}", stream.entries_added, stream.entries()));
            for (_, entries) in stream.nodes_from(Id::MIN) {
                for entry in entries {
                    let pairs: Vec<_> = entry.pairs.collect();
                    said.push(format!("{} {pairs:?}", entry.id));
                }
            }
            for (name, group) in stream.groups() {
                said.push(format!("{name:?} {} {:?}", group.last_id, group.entries_read));
                for (id, pending) in group.pending(..) {
                    let owner = group.name_of(pending.owner);
                    said.push(format!("{id} {owner:?} {} {}", pending.delivered, pending.count));
                }
                for (number, consumer) in group.consumers() {
                    let ids: Vec<_> = group.pending_of(number, ..).collect();
                    said.push(format!("{:?} {} {}", consumer.name, consumer.seen, ids.len()));
                }
            }
        }
    }
    if !matches!(&*object, Object::List(_) | Object::Stream(_)) {
        said.sort();
    }
    said
}

/// A value under the key `k`.
pub(super) fn entry(object: Object) -> Entry {
    Entry::new(b"k", NewValue::Object(object), None, 0)
}
