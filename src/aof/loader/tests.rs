//! Journals that are loaded by real shards, which answer when the test lets them.

use super::*;
use crate::aof::scan::Scanner;
use crate::lending::{Lent, Returned};
use crate::rdb::{Cutter, Piece, Rules};
use crate::resp::inline::Words;
use crate::resp::{Span, encode};
use crate::settings::Settings;
use crate::shard::Shard;
use crate::shard::letter::Letter;
use crate::testing::{START, Shards};

/// A block of these lines.
fn block(lines: &[&str]) -> FromFile {
    let mut bytes = Vec::new();
    for line in lines {
        let mut words = Words::default();
        words.split(line.as_bytes()).unwrap();
        encode::command(&mut bytes, &words.iter().collect::<Vec<_>>());
    }
    let mut scanner = Scanner::new(0);
    scanner.feed(&bytes);
    let block = scanner.next_block().unwrap().unwrap();
    FromFile { path: Path::new("x.aof").into(), content: Content::Records(block) }
}

/// The records of a parcel, or the names of its keys, each with its database.
fn told(parcel: &Parcel) -> String {
    let mut told = String::new();
    match parcel {
        Parcel::Records(records) => {
            let mut first = 0;
            for (_, end) in &records.ends {
                let spans = &records.spans[first as usize..*end as usize];
                let word = |span: &Span| String::from_utf8_lossy(span.of(&records.bytes));
                let words: Vec<_> = spans.iter().map(word).collect();
                told += &format!(" {};", words.join(" "));
                first = *end;
            }
        }
        Parcel::Keys(raw) => {
            for key in &raw.keys {
                told += &format!(" {}@{}", String::from_utf8_lossy(&raw.name_of(key)), key.db);
            }
        }
    }
    told
}

/// A load on these shards.
struct Load {
    loader: Loader,
    store: Shards,
    blocks: VecDeque<FromFile>,
    /// Parcels that the shards have not looked at.
    mail: Vec<VecDeque<Parcel>>,
    /// Steps so far, a line each.
    story: String,
    left_out: Vec<String>,
}

/// Of two shards, the first has `b`, and the second `a` and `c`.
impl Load {
    fn new(loader: Loader, shards: ShardId, blocks: &[&[&str]]) -> Load {
        Load {
            loader,
            store: Shards::new(shards),
            blocks: blocks.iter().map(|lines| block(lines)).collect(),
            mail: (0..shards).map(|_| VecDeque::new()).collect(),
            story: String::new(),
            left_out: Vec::new(),
        }
    }

    /// On two shards.
    fn of(blocks: &[&[&str]]) -> Load {
        Load::with(blocks, false)
    }

    fn with(blocks: &[&[&str]], skips: bool) -> Load {
        let loader = Loader::of_all(Arc::new(Map::new(2)), Renames::default(), skips);
        let mut load = Load::new(loader, 2, blocks);
        let mut settings = Settings::default();
        settings.aof_load_skip_refused = skips;
        let settings = Arc::new(settings);
        let each = |shard: &mut Shard| shard.receive(Letter::Settings(settings.clone()));
        load.store.shards.iter_mut().for_each(each);
        load
    }

    /// Takes steps up to one that waits, or the end. Returns for whom it waits.
    fn go_on(&mut self) -> Option<ShardId> {
        loop {
            match self.loader.next_step() {
                Step::Read => match self.blocks.pop_front() {
                    Some(block) => self.loader.take(block),
                    None => self.loader.end(),
                },
                Step::Apply { shard, parcel } => {
                    self.story += &format!("{shard}:{}\n", told(&parcel));
                    self.mail[usize::from(shard)].push_back(parcel);
                }
                Step::Bring { slots, from, to } => {
                    assert!(self.mail.iter().all(VecDeque::is_empty), "{}", self.story);
                    self.story += &format!("{from} to {to}\n");
                    let slots = self.store.shards[usize::from(from)].give(&slots).unwrap();
                    let returned = Returned { slots: Lent::Slots(slots), torn: false };
                    self.store.shards[usize::from(to)].receive(Letter::Return(returned));
                }
                Step::Wait(shard) => return Some(shard),
                Step::Done => return None,
            }
        }
    }

    /// Has a shard apply its oldest parcel.
    fn answer(&mut self, shard: ShardId) -> Result<(), LoadError> {
        let parcel = self.mail[usize::from(shard)].pop_front().expect("a parcel is on its way");
        let applied = self.store.shards[usize::from(shard)].load(&parcel, START);
        let left_out = self.loader.applied(shard, Some(applied))?;
        self.left_out.extend(left_out.iter().map(ToString::to_string));
        Ok(())
    }

    /// Loads all; each shard answers when it is waited for.
    fn run(&mut self) -> Result<(), LoadError> {
        while let Some(shard) = self.go_on() {
            self.answer(shard)?;
        }
        assert!(self.mail.iter().all(VecDeque::is_empty), "all is applied: {}", self.story);
        Ok(())
    }
}

#[test]
fn records_go_where_their_slots_are_and_those_that_split_go_everywhere() {
    let mut load = Load::of(&[&["SET a 1", "SET b 2", "MSET a 3 b 4", "SET c 5"], &["INCR b"]]);
    load.run().unwrap();
    assert_eq!(
        load.story,
        "0: SET b 2; MSET a 3 b 4;\n1: SET a 1; MSET a 3 b 4; SET c 5;\n0: INCR b;\n"
    );
    assert!(!load.loader.is_foreign());
    assert_eq!(load.store.run("MGET a b c"), "1) \"3\"\n2) \"5\"\n3) \"5\"");
}

#[test]
fn all_slots_are_at_one_shard_from_the_record_that_needs_them_to_the_end_of_its_block() {
    let block: &[&str] = &["SET a 1", "SET b 2", "RENAME a b", "SET a 3", "COPY b c", "DEL a b"];
    let mut load = Load::of(&[block, &["SET a 4"]]);
    load.run().unwrap();
    assert_eq!(
        load.story,
        "0: SET b 2;\n1: SET a 1;\n1 to 0\n0: RENAME a b; SET a 3; COPY b c; DEL a b;\n0 to 1\n\
         1: SET a 4;\n"
    );
    assert!(load.loader.is_foreign());
    assert_eq!(load.store.run("MGET a b c"), "1) \"4\"\n2) (nil)\n3) \"1\"");
}

#[test]
fn a_record_over_slots_of_one_shard_moves_nothing_and_is_foreign() {
    let mut load = Load::of(&[&["SET a 1", "RENAME a c"]]);
    load.run().unwrap();
    assert_eq!(load.story, "1: SET a 1; RENAME a c;\n");
    assert!(load.loader.is_foreign());
}

#[test]
fn a_shard_has_four_parcels_on_their_way_and_others_go_on_meanwhile() {
    let both: &[&str] = &["SET a 1", "SET b 1"];
    let mut load = Load::of(&[both, both, both, both, both, both, both]);
    assert_eq!(load.go_on(), Some(0));
    assert_eq!([0, 1].map(|shard: usize| load.mail[shard].len()), [4, 4]);
    load.answer(0).unwrap();
    // The parcel for shard 0 leaves at once; the one for shard 1 waits, and no block is read.
    assert_eq!(load.go_on(), Some(1));
    assert_eq!([0, 1].map(|shard: usize| load.mail[shard].len()), [4, 4]);
    assert_eq!(load.blocks.len(), 2);
    load.answer(0).unwrap();
    assert_eq!(load.go_on(), Some(1));
    load.answer(1).unwrap();
    assert_eq!(load.go_on(), Some(1));
    assert_eq!([0, 1].map(|shard: usize| load.mail[shard].len()), [4, 4]);
    assert_eq!(load.blocks.len(), 1);
    load.run().unwrap();
}

#[test]
fn the_load_is_over_when_the_last_shard_has_applied_its_last_parcel() {
    let mut load = Load::of(&[&["SET a 1", "SET b 1"]]);
    assert_eq!(load.go_on(), Some(0));
    load.answer(1).unwrap();
    assert_eq!(load.go_on(), Some(0));
    load.answer(0).unwrap();
    assert_eq!(load.go_on(), None);
}

#[test]
fn a_refused_record_ends_the_load_with_its_place() {
    let mut load = Load::of(&[&["SET a 1"], &["SET a 2", "LPUSH a x", "SET a 3"]]);
    let error = load.run().unwrap_err();
    assert!(matches!(error, LoadError::Record { offset: 27, .. }), "{error}");
    assert!(error.to_string().starts_with("x.aof: the record at offset 27: LPUSH a cannot be"));
}

#[test]
fn a_split_record_that_two_shards_refuse_is_left_out_and_counted_once() {
    let refused: &[&str] = &["MSET a 1 b 2", "SET a 1", "LPUSH a x"];
    let mut load = Load::with(&[refused, refused], true);
    for from in &mut load.blocks {
        let Content::Records(block) = &mut from.content else { panic!("these are records") };
        block.records[0].db = 99;
    }
    load.run().unwrap();
    assert_eq!(load.loader.left_out(), 4);
    let is_named = |text: &String| text.starts_with("x.aof: the record at offset 0 is left out: ");
    assert_eq!(load.left_out.iter().filter(|text| is_named(text)).count(), 2);
    assert_eq!(load.loader.refused.split.len(), 1, "of the last block alone");
    assert_eq!(load.store.run("GET a"), "\"1\"");
}

#[test]
fn the_log_names_the_first_twenty_that_are_left_out() {
    let lines: Vec<&str> = std::iter::once("SET a 1").chain([("LPUSH a x"); 30]).collect();
    let mut load = Load::with(&[&lines], true);
    load.run().unwrap();
    assert_eq!((load.left_out.len(), load.loader.left_out()), (20, 30));
}

#[test]
fn a_shard_that_goes_away_ends_the_load() {
    let mut load = Load::of(&[&["SET a 1", "SET b 1"]]);
    assert_eq!(load.go_on(), Some(0));
    assert!(matches!(load.loader.applied(0, None), Err(LoadError::Gone)));
    // An answer that nobody asked for comes from a shard that was started anew.
    let mut load = Load::of(&[&["SET a 1"]]);
    load.go_on();
    let nothing = Applied::Records(Vec::new());
    assert!(matches!(load.loader.applied(0, Some(nothing)), Err(LoadError::Gone)));
}

#[test]
fn one_shard_alone_gets_all_records_and_takes_what_is_its_own() {
    let loader = Loader::of_one(1, false);
    let mut load = Load::new(loader, 2, &[&["SET a 1", "SET b 2", "MSET a 3 b 4"], &["SET c 5"]]);
    load.run().unwrap();
    assert_eq!(load.story, "1: SET a 1; SET b 2; MSET a 3 b 4;\n1: SET c 5;\n");
    assert!(!load.loader.is_foreign());
    assert_eq!(load.store.run("MGET a b c"), "1) \"3\"\n2) (nil)\n3) \"5\"");
}

/// The keys of an RDB file of these records.
fn rdb_keys(records: &[&[u8]]) -> FromFile {
    let mut cutter = Cutter::new(Rules { databases: 16, checks: false, expired_by: None });
    cutter.feed(&[b"REDIS0010", &records.concat()[..], b"\xff", &[0; 8]].concat());
    let Ok(Some(Piece::Keys(raw))) = cutter.next_piece(0) else { panic!("there are keys") };
    FromFile { path: Path::new("x.rdb").into(), content: Content::Keys(raw) }
}

#[test]
fn keys_go_where_their_slots_are_ahead_of_the_records_behind_them() {
    let keys = rdb_keys(&[b"\x00\x01a\x015", b"\x00\x01b\x016", b"\xfe\x02\x00\x01c\x017"]);
    let mut load = Load::of(&[&["INCR a", "INCR b"]]);
    load.blocks.push_front(keys);
    load.run().unwrap();
    assert_eq!(load.story, "0: b@0\n1: a@0 c@2\n0: INCR b;\n1: INCR a;\n");
    assert!(!load.loader.is_foreign());
    assert_eq!(load.store.run("MGET a b c"), "1) \"6\"\n2) \"7\"\n3) (nil)");
    load.store.run("SELECT 2");
    assert_eq!(load.store.run("GET c"), "\"7\"");
}

#[test]
fn one_shard_alone_gets_all_keys_and_takes_what_is_its_own() {
    let mut load = Load::new(Loader::of_one(1, false), 2, &[]);
    load.blocks.push_front(rdb_keys(&[b"\x00\x01a\x015", b"\x00\x01b\x016"]));
    load.run().unwrap();
    assert_eq!(load.story, "1: a@0 b@0\n");
    assert_eq!(load.store.run("MGET a b"), "1) \"5\"\n2) (nil)");
}

#[test]
fn a_key_that_is_there_twice_ends_the_load_and_one_without_elements_does_not() {
    let mut load = Load::of(&[]);
    load.blocks.push_back(rdb_keys(&[b"\x00\x01a\x015", b"\x02\x01c\x00"]));
    load.blocks.push_back(rdb_keys(&[b"\x00\x01b\x015", b"\x00\x01a\x016"]));
    let error = load.run().unwrap_err();
    assert_eq!(
        error.to_string(),
        "x.rdb: offset 14: key 'a' of database 0: a key with this name stands there twice; \
         restore it from a backup"
    );
    let named = ["x.rdb: skipping empty key: c of database 0, at offset 18"];
    assert_eq!((load.left_out, load.loader.empty_keys()), (named.map(String::from).into(), 1));
}

/// A journal of another server, in blocks.
fn foreign(random: &mut fastrand::Rng) -> Vec<Vec<String>> {
    let mut line = || {
        let mut key = || format!("key:{}", random.u8(..12));
        let (one, two, three) = (key(), key(), key());
        match random.u8(..20) {
            0..8 => format!("SET {one} {}", random.u16(..)),
            8..11 => format!("MSET {one} {} {two} {}", random.u16(..), random.u16(..)),
            11..14 => format!("APPEND {one} x"),
            14..16 => format!("COPY {one} copy:{two} REPLACE"),
            16 => format!("BITOP OR {one} {two} {three}"),
            17..19 => format!("DEL {one} copy:{two}"),
            _ => "FLUSHDB".to_owned(),
        }
    };
    (0..20).map(|_| (0..10).map(|_| line()).collect()).collect()
}

#[test]
fn however_many_shards_answer_in_whichever_order_the_same_is_loaded() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let blocks = foreign(&mut random);
        let lines: Vec<Vec<&str>> =
            blocks.iter().map(|block| block.iter().map(String::as_str).collect()).collect();
        let lines: Vec<&[&str]> = lines.iter().map(Vec::as_slice).collect();
        let mut digests = BTreeSet::new();
        for shards in [1, 3] {
            let loader = Loader::of_all(Arc::new(Map::new(shards)), Renames::default(), false);
            let mut load = Load::new(loader, shards, &lines);
            while load.go_on().is_some() {
                let waiting: Vec<ShardId> = (0..shards)
                    .filter(|shard| !load.mail[usize::from(*shard)].is_empty())
                    .collect();
                load.answer(waiting[random.usize(..waiting.len())]).unwrap();
            }
            digests.insert(load.store.run("DEBUG DIGEST"));
        }
        assert_eq!(digests.len(), 1, "seed {seed}");
    }
}
