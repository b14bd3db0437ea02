//! Sorted sets: strings with a score each, in the order of the scores, equal ones in the order of
//! their bytes.
//!
//! A small one is one pack, as long as [`Limits`] allow it; then it is a table and a tree for good,
//! and also from the first deadline of a member on. All questions of order are asked in ranks: an
//! [`Edge`] has a rank, a range is two of them, and [`Zset::visit`] goes from one rank to another.

pub mod edge;
mod large;
mod member;
mod packed;
mod tree;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::own::Own;
use crate::data::pack::Pack;
use crate::data::table::{Link, Table};
use crate::data::{Collection, NEVER};

pub use edge::Edge;
pub use large::Large;
pub use member::Member;

/// A sorted set.
#[derive(Clone, Debug)]
pub enum Zset {
    /// All in one pack.
    Packed(Pack),
    /// A table and a tree.
    Large(Own<Large>),
}

/// Up to where a sorted set is packed.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Members.
    pub entries: usize,
    /// Bytes of a member.
    pub value_bytes: usize,
}

/// What an update found, and what it left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// The score of the member before; none for a new one.
    pub old: Option<f64>,
    /// The score that was decided on; none where it was decided to leave it.
    pub new: Option<f64>,
}

impl Update {
    /// True when there is a new member.
    pub fn added(self) -> bool {
        self.old.is_none() && self.new.is_some()
    }

    /// True when a member has another score.
    pub fn changed(self) -> bool {
        matches!((self.old, self.new), (Some(old), Some(new)) if old != new)
    }
}

/// A pack has at most so many bytes, whatever the limits say, as with Redis.
const PACK_BYTES_MAX: usize = 1 << 30;

impl Default for Zset {
    fn default() -> Zset {
        Zset::Packed(Pack::default())
    }
}

impl Zset {
    /// The score of a member.
    pub fn score(&self, name: &[u8]) -> Option<f64> {
        match self {
            Zset::Packed(pack) => packed::score(pack, name),
            Zset::Large(large) => large.score(name),
        }
    }

    /// Gives a member the score that `decide` says, told the one that it has; adds it where it has
    /// none. No score may be NaN.
    pub fn update(
        &mut self,
        name: &[u8],
        limits: Limits,
        hasher: &Hasher,
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Update {
        match self {
            Zset::Large(large) => large.update(name, decide),
            Zset::Packed(pack) => {
                if let Some(at) = pack.find(pack.first(), name, 2) {
                    return packed::update(pack, at, name, decide);
                }
                let Some(new) = decide(None) else { return Update { old: None, new: None } };
                let fits = packed::len(pack) < limits.entries
                    && name.len() <= limits.value_bytes
                    && pack.byte_len() + name.len() < PACK_BYTES_MAX;
                if fits {
                    packed::insert(pack, name, new);
                } else {
                    self.unpack(hasher).update(name, |_| Some(new));
                }
                Update { old: None, new: Some(new) }
            }
        }
    }

    /// So many members are about to be added, the longest with `longest` bytes: more than a pack
    /// takes make it large at once, whatever becomes of them.
    pub fn expect(&mut self, count: usize, longest: usize, limits: Limits, hasher: &Hasher) {
        if count > limits.entries || longest > limits.value_bytes {
            self.unpack(hasher);
        }
    }

    /// Gives a member a score.
    pub fn put(&mut self, name: &[u8], score: f64, limits: Limits, hasher: &Hasher) -> Update {
        self.update(name, limits, hasher, |_| Some(score))
    }

    /// Takes a member out; returns its score.
    pub fn remove(&mut self, name: &[u8]) -> Option<f64> {
        match self {
            Zset::Packed(pack) => packed::remove(pack, name),
            Zset::Large(large) => large.remove(name),
        }
    }

    /// How many members stand before the edge.
    pub fn rank(&self, edge: Edge<'_>) -> usize {
        match self {
            Zset::Packed(pack) => packed::rank(pack, edge),
            Zset::Large(large) => large.rank(edge),
        }
    }

    /// Calls `found` with `count` members from the one at rank `start` on, forwards or backwards,
    /// until it says no.
    pub fn visit(
        &self,
        start: usize,
        count: usize,
        backwards: bool,
        found: &mut dyn FnMut(&[u8], f64) -> bool,
    ) {
        match self {
            Zset::Packed(pack) => packed::visit(pack, start, count, backwards, found),
            Zset::Large(large) => large.visit(start, count, backwards, found),
        }
    }

    /// Calls `found` with each member, in order.
    pub fn each(&self, mut found: impl FnMut(&[u8], f64)) {
        self.visit(0, usize::MAX, false, &mut |name, score| {
            found(name, score);
            true
        });
    }

    /// Takes the member at a rank out and tells it.
    pub fn remove_at(&mut self, rank: usize, gone: &mut dyn FnMut(&[u8], f64)) {
        match self {
            Zset::Packed(pack) => packed::remove_at(pack, rank, gone),
            Zset::Large(large) => large.remove_at(rank, gone),
        }
    }

    /// The members in no order, as a table to be scanned; none where they are packed.
    pub fn table(&self) -> Option<&Table<Member>> {
        match self {
            Zset::Packed(_) => None,
            Zset::Large(large) => Some(large.table()),
        }
    }

    /// The deadline of a member, if it is there and if it has one.
    pub fn deadline(&self, name: &[u8]) -> Option<Option<Millis>> {
        match self {
            Zset::Packed(pack) => packed::score(pack, name).map(|_| None),
            Zset::Large(large) => large.deadline(name),
        }
    }

    /// Gives a member that is there another deadline, or none.
    pub fn set_deadline(&mut self, name: &[u8], deadline: Option<Millis>, hasher: &Hasher) {
        match self {
            Zset::Packed(_) if deadline.is_none() => {}
            Zset::Packed(_) => self.unpack(hasher).set_deadline(name, deadline),
            Zset::Large(large) => large.set_deadline(name, deadline),
        }
    }

    /// Packs a large set that the limits allow to be packed: the end of what was built large.
    pub fn pack(&mut self, limits: Limits) {
        let Zset::Large(large) = self else { return };
        let mut longest = 0;
        if large.len() <= limits.entries && large.next_deadline() == NEVER {
            self.each(|name, _| longest = longest.max(name.len()));
            if longest <= limits.value_bytes {
                let mut pack = Pack::default();
                self.each(|name, score| packed::append(&mut pack, name, score));
                *self = Zset::Packed(pack);
            }
        }
    }

    /// Turns a packed set into a large one: what is wanted of it is known to need it.
    pub fn unpack(&mut self, hasher: &Hasher) -> &mut Large {
        if let Zset::Packed(_) = self {
            let mut large = Own::new(Large::new(hasher));
            self.each(|name, score| {
                large.update(name, |_| Some(score));
            });
            *self = Zset::Large(large);
        }
        match self {
            Zset::Large(large) => large,
            Zset::Packed(_) => unreachable!("it was just made large"),
        }
    }
}

impl Collection for Zset {
    fn len(&self) -> usize {
        match self {
            Zset::Packed(pack) => packed::len(pack),
            Zset::Large(large) => large.len(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Zset::Packed(_) => "listpack",
            Zset::Large(_) => "skiplist",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Zset::Packed(pack) => pack.memory(),
            Zset::Large(large) => large.memory(),
        }
    }

    fn warm(&self, hash: u64, link: Link) {
        if let Zset::Large(large) = self {
            large.table().warm(hash, link);
        }
    }

    fn next_deadline(&self) -> Millis {
        match self {
            Zset::Packed(_) => NEVER,
            Zset::Large(large) => large.next_deadline(),
        }
    }

    fn is_timed(&self) -> bool {
        matches!(self, Zset::Large(large) if large.table().counts().expires > 0)
    }

    fn expire(&mut self, now: Millis, most: usize, gone: &mut dyn FnMut(&[u8])) {
        if let Zset::Large(large) = self {
            large.expire(now, most, gone);
        }
    }

    fn drop_some(&mut self) -> bool {
        match self {
            Zset::Packed(_) => false,
            Zset::Large(large) => large.drop_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::edge::order;
    use super::*;

    const LIMITS: Limits = Limits { entries: 8, value_bytes: 20 };

    fn hasher() -> Hasher {
        Hasher::with_seeds([1, 2, 3, 4])
    }

    fn all(zset: &Zset) -> Vec<(Vec<u8>, f64)> {
        let mut all = Vec::new();
        zset.each(|name, score| all.push((name.to_vec(), score)));
        all
    }

    #[test]
    fn random_operations_agree_with_a_sorted_vector() {
        let seed = 3;
        let (mut random, hasher) = (fastrand::Rng::with_seed(seed), hasher());
        let scores = [0.0, -0.0, 1.0, 2.5, -1e300, f64::INFINITY, f64::NEG_INFINITY, 1e17, 0.1];
        for limit in [0, 8, 400] {
            let limits = Limits { entries: limit, ..LIMITS };
            let (mut zset, mut model) = (Zset::default(), Vec::<(Vec<u8>, f64)>::new());
            for _ in 0..if cfg!(miri) { 40 } else { 4_000 } {
                let name = random.i32(-90..90).to_string().into_bytes();
                let score = scores[random.usize(..scores.len())];
                let there = model.iter().position(|(other, _)| *other == name);
                match random.u8(..6) {
                    0..4 => {
                        let update = zset.put(&name, score, limits, &hasher);
                        assert_eq!(update.added(), there.is_none());
                        match there {
                            Some(at) if model[at].1 != score => model[at].1 = score,
                            Some(_) => {}
                            None => model.push((name.clone(), score)),
                        }
                        model.sort_by(|a, b| order((a.1, &a.0), (b.1, &b.0)));
                    }
                    4 => {
                        let removed = there.map(|at| model.remove(at).1);
                        assert_eq!(zset.remove(&name), removed);
                    }
                    _ if !model.is_empty() => {
                        let (rank, mut gone) = (random.usize(..model.len()), None);
                        zset.remove_at(rank, &mut |name, score| {
                            gone = Some((name.to_vec(), score))
                        });
                        assert_eq!(gone, Some(model.remove(rank)));
                    }
                    _ => {}
                }
                assert_eq!(zset.len(), model.len(), "seed {seed}");
                let edge = Edge::BeforeScore(score);
                assert_eq!(zset.rank(edge), model.iter().filter(|there| there.1 < score).count());
            }
            assert_eq!(all(&zset), model, "seed {seed}, limit {limit}");
            assert_eq!(all(&zset.clone()), model);
        }
    }

    #[test]
    fn a_set_that_outgrows_its_limits_is_large_for_good() {
        let (mut zset, hasher) = (Zset::default(), hasher());
        for number in 0..8 {
            zset.put(number.to_string().as_bytes(), 1.5, LIMITS, &hasher);
        }
        assert_eq!(zset.encoding(), "listpack");
        zset.put(b"8", 1.5, LIMITS, &hasher);
        assert_eq!((zset.encoding(), zset.len()), ("skiplist", 9));
        zset.remove(b"8");
        assert_eq!(zset.encoding(), "skiplist");
        let before = all(&zset);
        zset.pack(Limits { entries: 7, ..LIMITS });
        assert_eq!(zset.encoding(), "skiplist");
        zset.pack(LIMITS);
        assert_eq!((zset.encoding(), all(&zset)), ("listpack", before));
        let mut zset = Zset::default();
        zset.put(&[b'x'; 21], 1.0, LIMITS, &hasher);
        assert_eq!(zset.encoding(), "skiplist");
    }

    #[test]
    fn members_go_when_they_are_due_and_a_new_score_leaves_the_deadline() {
        let (mut zset, hasher) = (Zset::default(), hasher());
        for name in [b"a", b"b", b"c"] {
            zset.put(name, 1.0, LIMITS, &hasher);
        }
        zset.set_deadline(b"b", None, &hasher);
        assert_eq!((zset.encoding(), zset.next_deadline()), ("listpack", NEVER));
        zset.set_deadline(b"b", Some(Millis(50)), &hasher);
        zset.set_deadline(b"c", Some(Millis(90)), &hasher);
        zset.put(b"b", 7.0, LIMITS, &hasher);
        assert_eq!(zset.next_deadline(), Millis(50));
        assert_eq!(zset.deadline(b"b"), Some(Some(Millis(50))));
        assert_eq!((zset.deadline(b"a"), zset.deadline(b"x")), (Some(None), None));
        let mut gone = Vec::new();
        zset.expire(Millis(60), 10, &mut |name| gone.push(name.to_vec()));
        assert_eq!((gone, zset.next_deadline()), (vec![b"b".to_vec()], Millis(90)));
        zset.set_deadline(b"c", None, &hasher);
        assert_eq!((zset.next_deadline(), zset.len()), (NEVER, 2));
    }

    #[test]
    fn a_large_set_is_dropped_in_pieces() {
        let (mut zset, hasher) = (Zset::default(), hasher());
        let count: u16 = if cfg!(miri) { 300 } else { 5_000 };
        for number in 0..count {
            zset.put(number.to_string().as_bytes(), f64::from(number), LIMITS, &hasher);
        }
        assert!(zset.memory() > usize::from(count) * 48);
        let mut pieces = 1;
        while zset.drop_some() {
            pieces += 1;
        }
        assert!(pieces > usize::from(count) / 500, "{pieces}");
    }
}
