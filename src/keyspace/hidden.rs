//! Elements that have expired and are there, since another server says when they go: hidden from
//! whoever reads, as those of hashes are on a replica of Valkey.
//!
//! A [`Ref`] has methods of its own for what names elements; they go ahead of those of the
//! collection behind it and leave out what is hidden. What counts elements or ranks them counts the
//! hidden ones, as HLEN does in Valkey. While a collection hides some, a choice at random looks at
//! all of them.

use crate::base::millis::Millis;
use crate::data::Collection;
use crate::data::hash::{Hash, Item};
use crate::data::set::Set;
use crate::data::value::Value;
use crate::data::zset::Zset;
use crate::keyspace::object::{Ref, Typed};

impl<T: Typed> Ref<'_, T> {
    /// True when some elements may be hidden.
    #[inline]
    pub fn hides(&self) -> bool {
        self.hidden_at.is_some()
    }

    /// True when an element with this deadline is not hidden.
    #[inline]
    pub fn shows(&self, deadline: Option<Millis>) -> bool {
        match (self.hidden_at, deadline) {
            (Some(now), Some(deadline)) => deadline > now,
            _ => true,
        }
    }
}

impl Ref<'_, Hash> {
    /// As [`Hash::get`].
    #[inline]
    pub fn get(&self, name: &[u8]) -> Option<Item<'_>> {
        self.whole().get(name).filter(|item| self.shows(item.deadline))
    }

    /// As [`Hash::each`].
    pub fn each<'s>(&'s self, mut found: impl FnMut(Item<'s>)) {
        self.whole().each(|item| {
            if self.shows(item.deadline) {
                found(item);
            }
        });
    }

    /// All fields.
    pub fn items(&self) -> Vec<Item<'_>> {
        let mut items = Vec::with_capacity(self.len());
        self.each(|item| items.push(item));
        items
    }

    /// How many fields there are.
    pub fn shown(&self) -> usize {
        if !self.hides() {
            return self.len();
        }
        let mut count = 0;
        self.each(|_| count += 1);
        count
    }

    /// As [`Hash::random`].
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<Item<'_>> {
        if self.hides() { random.choice(self.items()) } else { self.whole().random(random) }
    }
}

impl Ref<'_, Set> {
    /// As [`Set::contains`].
    #[inline]
    pub fn contains(&self, member: &[u8]) -> bool {
        match self.hides() {
            true => self.deadline_of(member).is_some(),
            false => self.whole().contains(member),
        }
    }

    /// As [`Set::has`].
    #[inline]
    pub fn has(&self, member: Value<'_>) -> bool {
        match self.hides() {
            true => member.with(|member| self.contains(member)),
            false => self.whole().has(member),
        }
    }

    /// As [`Set::deadline_of`].
    pub fn deadline_of(&self, member: &[u8]) -> Option<Option<Millis>> {
        self.whole().deadline_of(member).filter(|deadline| self.shows(*deadline))
    }

    /// As [`Set::iter`].
    pub fn iter(&self) -> impl Iterator<Item = Value<'_>> {
        self.whole().iter().filter(|member| !self.hides() || self.has(*member))
    }

    /// How many members there are.
    pub fn shown(&self) -> usize {
        if self.hides() { self.iter().count() } else { self.len() }
    }

    /// As [`Set::random`].
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<Value<'_>> {
        match self.hides() {
            true => random.choice(self.iter().collect::<Vec<_>>()),
            false => self.whole().random(random),
        }
    }

    /// As [`Set::sample`].
    pub fn sample(&self, count: usize, random: &mut fastrand::Rng, found: impl FnMut(Value<'_>)) {
        match self.hides() {
            true => random.choose_multiple(self.iter(), count).into_iter().for_each(found),
            false => self.whole().sample(count, random, found),
        }
    }
}

impl Ref<'_, Zset> {
    /// As [`Zset::score`].
    #[inline]
    pub fn score(&self, name: &[u8]) -> Option<f64> {
        self.whole().score(name).filter(|_| self.has(name))
    }

    /// As [`Zset::visit`]: `count` members with the hidden ones, of which `found` hears nothing.
    pub fn visit(
        &self,
        start: usize,
        count: usize,
        backwards: bool,
        found: &mut dyn FnMut(&[u8], f64) -> bool,
    ) {
        if !self.hides() {
            return self.whole().visit(start, count, backwards, found);
        }
        self.whole().visit(start, count, backwards, &mut |name, score| {
            !self.has(name) || found(name, score)
        });
    }

    /// As [`Zset::each`].
    pub fn each(&self, mut found: impl FnMut(&[u8], f64)) {
        self.visit(0, usize::MAX, false, &mut |name, score| {
            found(name, score);
            true
        });
    }

    /// How many members [`Ref::visit`] tells of.
    pub fn shown_in(&self, start: usize, count: usize, backwards: bool) -> usize {
        let mut shown = 0;
        self.visit(start, count, backwards, &mut |_, _| {
            shown += 1;
            true
        });
        shown
    }

    /// The ranks of all members; none where nothing is hidden, so that they are all ranks.
    pub fn shown_ranks(&self) -> Option<Vec<usize>> {
        if !self.hides() {
            return None;
        }
        let (mut ranks, mut rank) = (Vec::new(), 0);
        self.whole().each(|name, _| {
            ranks.extend(self.has(name).then_some(rank));
            rank += 1;
        });
        Some(ranks)
    }

    fn has(&self, name: &[u8]) -> bool {
        !self.hides() || self.whole().deadline(name).is_some_and(|deadline| self.shows(deadline))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Still, Store};

    /// A replica with collections of which all elements but the third have expired, or all.
    fn replica() -> Store {
        let mut store = Store::new();
        for number in 1..4 {
            store.run(&format!("HSET h f{number} v{number}"));
            store.run(&format!("SADD s m{number}"));
            store.run(&format!("ZADD z {number} m{number}"));
        }
        store.run("SADD other m1 m3");
        store.run("GEOADD g 1 1 m1 1 1 m3");
        for line in [
            "HPEXPIRE h 10 FIELDS 2 f1 f2",
            "SPEXPIRE s 10 MEMBERS 2 m1 m2",
            "ZPEXPIRE z 10 MEMBERS 2 m1 m2",
            "ZPEXPIRE g 10 MEMBERS 1 m1",
            "HSETEX hgone PX 10 FIELDS 1 f v",
            "SADD sgone m",
            "SPEXPIRE sgone 10 MEMBERS 1 m",
            "ZADD zgone 1 m",
            "ZPEXPIRE zgone 10 MEMBERS 1 m",
        ] {
            store.run(line);
        }
        store.configure("replicaof", "127.0.0.1 1");
        store.tick(20);
        store.effects();
        store
    }

    fn says(store: &mut Store, dialogue: &[(&str, &str)]) {
        for (line, wanted) in dialogue {
            assert_eq!(store.run(line), *wanted, "{line}");
        }
    }

    #[test]
    fn reads_see_no_element_that_has_expired_and_lengths_count_it() {
        let mut store = replica();
        store.shard.expire(store.now, &mut Still);
        let one = |text: &str| format!("1) \"{text}\"");
        let two = |text: &str| format!("1) \"{text}\"\n2) \"{text}\"");
        let hash = [
            ("HGET h f1", "(nil)"),
            ("HGET h f3", "\"v3\""),
            ("HMGET h f1 f3", "1) (nil)\n2) \"v3\""),
            ("HEXISTS h f1", "(integer) 0"),
            ("HSTRLEN h f1", "(integer) 0"),
            ("HTTL h FIELDS 2 f1 f3", "1) (integer) -2\n2) (integer) -1"),
            ("HLEN h", "(integer) 3"),
            ("HGETALL h", "1) \"f3\"\n2) \"v3\""),
            ("HKEYS h", &one("f3")),
            ("HVALS h", &one("v3")),
            ("HSCAN h 0", "1) \"0\"\n2) 1) \"f3\"\n   2) \"v3\""),
            ("HRANDFIELD h", "\"f3\""),
            ("HRANDFIELD h 2", &one("f3")),
            ("HRANDFIELD h -2", &two("f3")),
            ("HLEN hgone", "(integer) 1"),
            ("HGETALL hgone", "(empty array)"),
            ("HRANDFIELD hgone", "(nil)"),
            ("HRANDFIELD hgone 2", "(empty array)"),
            ("HRANDFIELD hgone -2", "(empty array)"),
            ("EXISTS hgone", "(integer) 1"),
            ("SCAN 0 MATCH hg*", "1) \"0\"\n2) 1) \"hgone\""),
        ];
        let set = [
            ("SISMEMBER s m1", "(integer) 0"),
            ("SMISMEMBER s m1 m3", "1) (integer) 0\n2) (integer) 1"),
            ("STTL s MEMBERS 2 m1 m3", "1) (integer) -2\n2) (integer) -1"),
            ("SCARD s", "(integer) 3"),
            ("SMEMBERS s", &one("m3")),
            ("SSCAN s 0", "1) \"0\"\n2) 1) \"m3\""),
            ("SRANDMEMBER s", "\"m3\""),
            ("SRANDMEMBER s 2", &one("m3")),
            ("SRANDMEMBER s -2", &two("m3")),
            ("SRANDMEMBER sgone", "(nil)"),
            ("SRANDMEMBER sgone 2", "(empty array)"),
            ("SRANDMEMBER sgone -2", "(empty array)"),
            ("SINTER s other", &one("m3")),
            ("SUNION s sgone", &one("m3")),
            ("SDIFF other s", &one("m1")),
            ("SINTERCARD 2 s other", "(integer) 1"),
            ("SORT_RO s ALPHA", &one("m3")),
        ];
        let zset = [
            ("ZSCORE z m1", "(nil)"),
            ("ZMSCORE z m1 m3", "1) (nil)\n2) \"3\""),
            ("ZTTL z MEMBERS 2 m1 m3", "1) (integer) -2\n2) (integer) -1"),
            ("ZCARD z", "(integer) 3"),
            ("ZCOUNT z 0 9", "(integer) 3"),
            ("ZRANK z m1", "(nil)"),
            ("ZRANK z m3", "(integer) 2"),
            ("ZRANGE z 0 -1", &one("m3")),
            ("ZRANGE z 0 0", "(empty array)"),
            ("ZREVRANGEBYSCORE z 9 0", &one("m3")),
            ("ZSCAN z 0", "1) \"0\"\n2) 1) \"m3\"\n   2) \"3\""),
            ("ZRANDMEMBER z", "\"m3\""),
            ("ZRANDMEMBER z 2", &one("m3")),
            ("ZRANDMEMBER z 5", &one("m3")),
            ("ZRANDMEMBER z -2", &two("m3")),
            ("ZRANDMEMBER zgone", "(nil)"),
            ("ZRANDMEMBER zgone 2", "(empty array)"),
            ("ZRANDMEMBER zgone -2", "(empty array)"),
            ("ZUNION 2 z s WITHSCORES", "1) \"m3\"\n2) \"4\""),
            ("ZDIFF 2 other z", &one("m1")),
            ("ZINTERCARD 2 z s", "(integer) 1"),
            ("SORT_RO z ALPHA", &one("m3")),
            ("GEOHASH g m1", "1) (nil)"),
            ("GEOSEARCH g FROMLONLAT 1 1 BYRADIUS 9 km", &one("m3")),
        ];
        says(&mut store, &hash);
        says(&mut store, &set);
        says(&mut store, &zset);
        assert_eq!(store.effects(), "", "nothing is deleted");
    }

    #[test]
    fn what_clients_write_on_a_replica_goes_without_its_expired_elements() {
        let mut store = replica();
        store.configure("replica-read-only", "no");
        says(
            &mut store,
            &[
                ("HINCRBY h f1 5", "(integer) 5"),
                ("HTTL h FIELDS 1 f1", "1) (integer) -1"),
                ("HLEN h", "(integer) 2"),
                ("SADD s m1", "(integer) 1"),
                ("ZINCRBY z 5 m1", "\"5\""),
                ("HSETNX hgone f w", "(integer) 1"),
                ("SPOP sgone", "(nil)"),
                ("EXISTS sgone", "(integer) 0"),
            ],
        );
        assert_eq!(
            store.effects(),
            "HDEL h f1 f2\nHINCRBY h f1 5\nSREM s m1 m2\nSADD s m1\nZREM z m1 m2\n\
             ZINCRBY z 5 m1\nHDEL hgone f\nHSETNX hgone f w\nSREM sgone m"
        );
    }
}
