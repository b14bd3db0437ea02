//! Keys that nobody named: those at a position of a scan, and one chosen at random.
//!
//! A key whose elements have all expired is not there. Whether they have is not looked up, they are
//! taken out, as for every command: some at a time, since they may be very many. The caller comes
//! again until there are none.

use crate::keyspace::entry::Entry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;

/// Choices at the most where what has expired is hidden and stays.
const CHOICES_OF_HIDDEN: usize = 100;

/// What [`Keys::choose`] came upon.
#[derive(Debug)]
pub enum Choice {
    /// The name of a key.
    Name(Vec<u8>),
    /// Something that had expired and is taken out now, at least in part: choose again.
    Expired,
    /// There is no key.
    Nothing,
}

impl Keys<'_> {
    /// Takes out expired elements of the keys at a position of a slot's table that are wanted, some
    /// of each key. Returns how many; none when there are no more.
    pub fn expire_elements_at(
        &mut self,
        slot: u16,
        position: u64,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> usize {
        let (now, mut names) = (self.now, Vec::new());
        let Some(table) = self.table(slot).filter(|table| table.next_deadline() <= now) else {
            return 0;
        };
        table.scan(position, |entry| {
            if entry.next_element_deadline() <= now && is_wanted(entry) {
                names.push(entry.key().to_vec());
            }
        });
        let before = self.tools.figures.expired_elements;
        for name in names {
            self.expire_some_elements(Key::new(&name, self.space.hasher()));
        }
        (self.tools.figures.expired_elements - before) as usize
    }

    /// Chooses a key of this shard, any as likely as another. A read in import mode may get one
    /// that has expired, where it comes upon no other, as in Valkey.
    pub fn choose(&mut self) -> Choice {
        let mut left = if self.expiry.hides() { CHOICES_OF_HIDDEN } else { 1 };
        loop {
            let (now, expiry) = (self.now, self.expiry);
            let Some(entry) = self.any_entry() else { return Choice::Nothing };
            left -= 1;
            let (name, is_expired) = (entry.key().to_vec(), entry.is_expired(now));
            let are_elements = entry.next_element_deadline() <= now;
            if expiry.hides() && is_expired && left > 0 {
                continue;
            }
            if is_expired && !expiry.keeps() && !expiry.hides() {
                self.expire(Key::new(&name, self.space.hasher()));
                return Choice::Expired;
            }
            if are_elements && expiry.ends_elements() {
                self.expire_elements(Key::new(&name, self.space.hasher()));
                return Choice::Expired;
            }
            return Choice::Name(name);
        }
    }

    /// An entry chosen at random, whether it has expired or not.
    fn any_entry(&mut self) -> Option<&Entry> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let mut place = self.tools.random.usize(0..count);
        let table = self.space.tables(self.db).find(|table| {
            let keys = table.counts().len;
            let is_in = place < keys;
            place = place.saturating_sub(keys);
            is_in
        });
        table?.random(&mut self.tools.random)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::testing::{Hasty, Shards, Store, printed};

    /// Keys whose elements expire in ten milliseconds, all of them or all but one, and a string.
    fn with_timed_elements(shards: u16) -> Shards {
        let mut shards = Shards::new(shards);
        for key in ["gone", "stays"] {
            for number in 0..200 {
                shards.run(&format!("HSETEX {key}:h PX 10 FIELDS 1 f{number} v"));
                shards.run(&format!("SADD {key}:s m{number}"));
                shards.run(&format!("ZADD {key}:z {number} m{number}"));
                shards.run(&format!("SPEXPIRE {key}:s 10 MEMBERS 1 m{number}"));
                shards.run(&format!("ZPEXPIRE {key}:z 10 MEMBERS 1 m{number}"));
            }
        }
        stays(&mut shards);
        shards
    }

    fn stays(shards: &mut Shards) {
        for line in ["HSET stays:h f v", "SADD stays:s m", "ZADD stays:z 1 m", "SET string v"] {
            shards.run(line);
        }
    }

    fn names(reply: &str) -> BTreeSet<String> {
        let quoted = reply.lines().filter_map(|line| line.split('"').nth(1));
        quoted.filter(|name| *name != "0").map(String::from).collect()
    }

    #[test]
    fn a_key_whose_elements_have_all_expired_is_not_shown() {
        let expected: BTreeSet<String> =
            ["stays:h", "stays:s", "stays:z", "string"].map(String::from).into();
        for count in [1, 2, 4] {
            for line in ["KEYS *", "SCAN 0 COUNT 1000", "SCAN 0 COUNT 1", "RANDOMKEY"] {
                let mut shards = with_timed_elements(count);
                assert_eq!(names(&shards.run("KEYS *")).len(), 7);
                shards.now = shards.now.saturating_add(10);
                let mut found = BTreeSet::new();
                let (mut cursor, mut calls) = ("0".to_owned(), 0);
                while calls == 0 || (line == "RANDOMKEY" && calls < 100) || cursor != "0" {
                    let reply = shards.run(&line.replacen("SCAN 0", &format!("SCAN {cursor}"), 1));
                    if line.starts_with("SCAN") {
                        cursor = reply.split('"').nth(1).expect("there is a cursor").to_owned();
                        found.extend(names(reply.split_once('\n').expect("there are keys").1));
                    } else {
                        found.extend(names(&reply));
                    }
                    calls += 1;
                }
                assert_eq!(found, expected, "{line} on {count} shards");
            }
            let (mut expired, mut never) = (with_timed_elements(count), Shards::new(count));
            expired.now = expired.now.saturating_add(10);
            stays(&mut never);
            assert_eq!(expired.run("DEBUG DIGEST"), never.run("DEBUG DIGEST"));
        }
    }

    #[test]
    fn only_what_a_scan_asks_for_is_taken_out() {
        let mut shards = with_timed_elements(2);
        shards.now = shards.now.saturating_add(10);
        shards.run("SCAN 0 TYPE set COUNT 1000");
        shards.run("SCAN 0 MATCH *:h COUNT 1000");
        assert_eq!(shards.run("DBSIZE"), "(integer) 5");
        shards.run("KEYS *z");
        assert_eq!(shards.run("DBSIZE"), "(integer) 4");
    }

    #[test]
    fn a_scan_over_very_many_expired_elements_lets_others_in() {
        for asked in [&[&b"KEYS"[..], b"*"][..], &[b"SCAN", b"0"], &[b"RANDOMKEY"]] {
            let mut store = Store::new();
            for number in 0..20_000 {
                store.run(&format!("HSETEX h PX 10 FIELDS 1 f{number} v"));
            }
            store.run("SET string v");
            store.effects();
            store.tick(10);
            let clock = &mut Hasty(0);
            let asking = store.batch(asked);
            let mut home = store.shard.visit(asking, clock);
            let mut turns = 0;
            while home.is_none() {
                store.shard.work(store.now, clock);
                home = store.shard.outbox.homes.pop();
                turns += 1;
            }
            let reply = printed(&home.expect("it came home").replies);
            assert_eq!(names(&reply), BTreeSet::from(["string".to_owned()]), "{reply}");
            if asked[0] != b"RANDOMKEY" {
                assert!(turns > 1, "{turns} turns");
                let effects = store.effects();
                assert_eq!(effects.matches(" f").count(), 20_000);
            }
        }
    }
}
