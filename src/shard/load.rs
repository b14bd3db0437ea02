//! What a load hands to a shard: records of a journal, or keys of an RDB file whose values are
//! still to be made.
//!
//! Keys go straight into their slots. That is no change of the data set: nobody hears of it, and
//! nobody watches a key or waits for one where a shard loads.

use std::borrow::Cow;
use std::fmt;

use crate::base::millis::Millis;
use crate::keyspace::contents::Contents;
use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::space::{WARMED, Warm};
use crate::rdb::{Fault, Forms, RawKey, RawKeys};
use crate::shard::Shard;
use crate::shard::refusal::Refusal;
use crate::shard::replay::Records;

/// How much of a key is shown, in bytes.
const SHOWN_MAX: usize = 128;

/// What a shard is to load.
#[derive(Clone, Debug)]
pub enum Parcel {
    /// Records of a journal.
    Records(Records),
    /// Keys of a file.
    Keys(RawKeys),
}

/// What of a parcel is not loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// These records, by their positions.
    Records(Vec<(usize, Refusal)>),
    /// These keys. What follows one that [`KeyFault::ends_load`] is not loaded either.
    Keys(Vec<KeyFault>),
}

/// A key of a file that is not loaded. `Display` says it all, save the file and what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFault {
    offset: usize,
    db: u32,
    name: Vec<u8>,
    fault: Fault,
}

const TWICE: Fault = Fault::Damaged("a key with this name stands there twice");

/// A key with its value, to be put in.
struct Made<'a> {
    at: &'a RawKey,
    name: Cow<'a, [u8]>,
    hash: u64,
    entry: Entry,
}

impl KeyFault {
    /// This is wrong at an offset of the file, in the record of this key.
    pub fn new(raw: &RawKeys, at: &RawKey, offset: usize, fault: Fault) -> KeyFault {
        KeyFault { offset, db: at.db, name: raw.name_of(at), fault }
    }

    /// Whether the file is not to be loaded because of it. Servers of old have written keys without
    /// elements, which are left out.
    pub fn ends_load(&self) -> bool {
        self.fault != Fault::Empty
    }

    /// Its key, and where that stands.
    pub fn key(&self) -> String {
        let KeyFault { offset, db, name, .. } = self;
        format!("{} of database {db}, at offset {offset}", shown(name))
    }

    /// Where the file stops making sense.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What helps.
    pub fn remedy(&self) -> &'static str {
        self.fault.remedy()
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let KeyFault { offset, db, name, fault } = self;
        write!(f, "offset {offset}: key '{}' of database {db}: {fault}", shown(name))
    }
}

/// So much of the name of a key as the log has room for.
fn shown(name: &[u8]) -> std::slice::EscapeAscii<'_> {
    name.get(..SHOWN_MAX).unwrap_or(name).escape_ascii()
}

impl Shard {
    /// Loads what is this shard's own of a parcel. `now` is the time of the load.
    pub fn load(&mut self, parcel: &Parcel, now: Millis) -> Applied {
        match parcel {
            Parcel::Records(records) => Applied::Records(self.replay(records, now)),
            Parcel::Keys(keys) => Applied::Keys(self.put_keys(keys, now)),
        }
    }

    /// All that it has loaded.
    pub fn into_contents(self) -> Contents {
        let mut space = self.engine.space;
        let here: Vec<u16> = space.here().collect();
        let slots = here.into_iter().filter_map(|number| Some((number, space.take(number)?)));
        Contents::new(slots.collect())
    }

    /// Makes the values of some keys and puts them in. What many keys need of their tables is
    /// fetched into the cache together, since a load finds none of it there.
    fn put_keys(&mut self, raw: &RawKeys, now: Millis) -> Vec<KeyFault> {
        let (mut faults, mut made) = (Vec::new(), Vec::with_capacity(WARMED));
        for some in raw.keys.chunks(WARMED) {
            for key in some.iter().filter(|key| self.is_own(key.slot)) {
                match self.make(raw, key, now) {
                    Ok(one) => made.push(one),
                    Err(fault) => faults.push(fault),
                }
                if faults.last().is_some_and(KeyFault::ends_load) {
                    return faults;
                }
            }
            self.warm_for(&made);
            for one in made.drain(..) {
                if let Err(at) = self.put(one) {
                    faults.push(KeyFault::new(raw, at, raw.offset_of(at), TWICE));
                    return faults;
                }
            }
        }
        faults
    }

    /// Makes the entry of a key.
    fn make<'a>(
        &self,
        raw: &'a RawKeys,
        at: &'a RawKey,
        now: Millis,
    ) -> Result<Made<'a>, KeyFault> {
        let forms = Forms::of(&self.env.settings, &self.env.hasher);
        let read = raw.read(at, forms);
        let (key, value) =
            read.map_err(|error| KeyFault::new(raw, at, error.offset, error.fault))?;
        let mut entry = key.with(value);
        self.engine.tools.clock.start_as(&mut entry, now, key.idle, key.frequency);
        Ok(Made { at, hash: self.env.hasher.hash(&key.name), name: key.name, entry })
    }

    fn warm_for(&self, made: &[Made<'_>]) {
        let mut keys = [Warm::default(); WARMED];
        let Some(db) = made.first().map(|first| first.at.db) else { return };
        let same = made.iter().filter(|one| one.at.db == db);
        let mut count = 0;
        for (key, one) in keys.iter_mut().zip(same) {
            *key = Warm { slot: one.at.slot, hash: one.hash, ..Warm::default() };
            count += 1;
        }
        self.engine.space.warm(db, &keys[..count]);
    }

    /// Puts an entry in; the key, where one of its name is there.
    fn put<'a>(&mut self, made: Made<'a>) -> Result<(), &'a RawKey> {
        let Made { at, hash, name, entry } = made;
        let key = Key { name: &name, slot: at.slot, hash };
        let is_new = self.engine.space.change(at.db, key, |table, hasher| {
            table.upsert(key.in_table(), hasher, |there| there.is_none().then_some(entry))
        });
        if is_new == Some(false) { Err(at) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rdb::{Cutter, Piece, Rules};
    use crate::testing::{START, Still, Store};

    /// The keys of a file of these records.
    fn keys(records: &[&[u8]]) -> RawKeys {
        let mut cutter = Cutter::new(Rules { databases: 16, checks: false, expired_by: None });
        cutter.feed(b"REDIS0010");
        records.iter().for_each(|record| cutter.feed(record));
        cutter.feed(&[0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
        match cutter.next_piece(0) {
            Ok(Some(Piece::Keys(keys))) => keys,
            other => panic!("there are keys: {other:?}"),
        }
    }

    fn load(store: &mut Store, records: &[&[u8]]) -> Vec<String> {
        match store.shard.load(&Parcel::Keys(keys(records)), START) {
            Applied::Keys(faults) => faults.iter().map(ToString::to_string).collect(),
            other => panic!("these are keys: {other:?}"),
        }
    }

    #[test]
    fn keys_are_put_in_with_what_is_known_of_them_and_nobody_hears_of_it() {
        let mut store = Store::new();
        let deadline = (START.0 + 5_000).to_le_bytes();
        let records: [&[u8]; 6] = [
            b"\x00\x01k\x01v",
            b"\xfe\x03",
            b"\xfc",
            &deadline,
            b"\xf8\x07\x00\x01k\xc0\x05",
            b"\x02\x01s\x02\x01a\x01b",
        ];
        assert_eq!(load(&mut store, &records), [""; 0]);
        assert_eq!(store.effects(), "");
        assert_eq!(store.run("GET k"), "\"v\"");
        store.run("SELECT 3");
        assert_eq!(store.run("OBJECT IDLETIME k"), "(integer) 7");
        assert_eq!(store.run("PTTL k"), "(integer) 5000");
        assert_eq!(
            (store.run("INCR k"), store.run("SCARD s")),
            ("(integer) 6".into(), "(integer) 2".into())
        );
        store.tick(5_000);
        assert_eq!(store.run("EXISTS k"), "(integer) 0");
    }

    /// More keys than are fetched together, of several databases in turn.
    #[test]
    fn many_keys_are_put_in() {
        let (mut store, mut records) = (Store::new(), Vec::new());
        for number in 0..100_u8 {
            records.push(vec![0xfe, number / 3 % 4]);
            records.push(vec![0x00, 2, b'k', number, 0xc0, number]);
        }
        let records: Vec<&[u8]> = records.iter().map(Vec::as_slice).collect();
        assert_eq!(load(&mut store, &records), [""; 0]);
        for number in 0..100_u8 {
            store.session.db = u32::from(number / 3 % 4);
            let value = store.run(&format!("GET \"k\\x{number:02x}\""));
            assert_eq!(value, format!("\"{number}\""));
        }
    }

    #[test]
    fn a_key_that_is_there_twice_or_damaged_ends_the_load_with_its_place() {
        let mut store = Store::new();
        let records: [&[u8]; 3] = [b"\x00\x01k\x01v", b"\x00\x01k\x01w", b"\x00\x01l\x01v"];
        let said = load(&mut store, &records);
        assert_eq!(
            said,
            ["offset 14: key 'k' of database 0: a key with this name stands there twice"]
        );
        assert_eq!(
            (store.run("GET k"), store.run("EXISTS l")),
            ("\"v\"".into(), "(integer) 0".into())
        );
        let said = load(&mut Store::new(), &[b"\x0b\x01s\x02xx", b"\x00\x01k\x01v"]);
        let wanted = "offset 12: key 's' of database 0: Intset integrity check failed: \
                      its head or its numbers are damaged";
        assert_eq!(said, [wanted]);
    }

    /// The deadlines of a key, of fields and of members: a file may say any number.
    #[test]
    fn no_deadline_is_too_far_or_too_long_ago() {
        for deadline in [i64::MIN, -1, 0, 1, i64::MAX - 1, i64::MAX] {
            let bytes = deadline.to_le_bytes();
            let hash = [b"\x16\x01h\x01\x01f\x01v", &bytes[..]].concat();
            let set = b"\x02\x01s\x02\x01a\x01b\xfa\x10troupe-deadlines\x0a\x01a";
            let set = [&set[..], &bytes].concat();
            let key = [b"\xfc", &bytes[..], b"\x00\x01k\x01v"].concat();
            let mut cutter = Cutter::new(Rules { databases: 16, checks: false, expired_by: None });
            cutter.feed(b"VALKEY080");
            [&hash, &set, &key].iter().for_each(|record| cutter.feed(record));
            cutter.feed(&[0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
            let Ok(Some(Piece::Keys(keys))) = cutter.next_piece(0) else { panic!("{deadline}") };
            let mut store = Store::new();
            let Applied::Keys(faults) = store.shard.load(&Parcel::Keys(keys), START) else {
                panic!("these are keys");
            };
            if let [fault] = &faults[..] {
                assert!(fault.to_string().contains("key 'h'"), "{deadline}: {fault}");
                continue;
            }
            assert_eq!(faults, [], "{deadline}");
            while store.shard.expire(START, &mut Still) {}
            let is_over = deadline <= START.0;
            let lives = if is_over { "(integer) 0" } else { "(integer) 1" };
            assert_eq!(store.run("EXISTS k"), lives, "{deadline}");
            // In a hash -1 says that there is none.
            let fields = if deadline == -1 { "(integer) 1" } else { lives };
            assert_eq!(store.run("HLEN h"), fields, "{deadline}");
            assert_eq!(store.run("SCARD s") == "(integer) 1", is_over, "{deadline}");
        }
    }

    #[test]
    fn keys_without_elements_are_left_out_and_named() {
        let mut store = Store::new();
        let records: [&[u8]; 3] = [b"\x02\x01s\x00", b"\x00\x01k\x01v", b"\x04\x01h\x00"];
        let said = load(&mut store, &records);
        assert_eq!(said.len(), 2, "{said:?}");
        assert_eq!(said[0], "offset 13: key 's' of database 0: a collection without elements");
        assert_eq!(store.run("DBSIZE"), "(integer) 1");
    }
}
