//! Which shard owns which slot, and how that is decided.
//!
//! Slots go to shards by jump consistent hashing (J. Lamping and E. Veach, 2014): with one shard
//! more, only about 1/(N+1) of the slots move, all of them to the new one. A map is an immutable
//! value with an epoch; whoever routes holds a copy.

use std::sync::Arc;

use crate::base::slot::SLOTS;

/// Where a batch goes when it is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Home {
    /// The thread of the connection; it has the number of its shard.
    pub thread: u16,
    /// The connection's place on its thread.
    pub connection: u32,
}

impl Home {
    /// As bytes, for an answer between threads.
    pub fn to_bytes(self) -> Vec<u8> {
        [&self.thread.to_be_bytes()[..], &self.connection.to_be_bytes()].concat()
    }

    /// From such bytes.
    pub fn from_bytes(bytes: &[u8]) -> Option<Home> {
        let (thread, connection) = bytes.split_at_checked(2)?;
        Some(Home {
            thread: u16::from_be_bytes(thread.try_into().ok()?),
            connection: u32::from_be_bytes(connection.try_into().ok()?),
        })
    }
}

/// The number of a shard, from 0.
pub type ShardId = u16;

/// Where the calls of a client ran that needed keys: a vote (R. Boyer and J S. Moore, 1981), in
/// which every call that ran elsewhere takes one from the shard that leads. So the lead tells
/// little of a small majority, and much of a large one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RanAt {
    leads: ShardId,
    lead: u32,
    calls: u32,
}

impl RanAt {
    /// A call ran at a shard that had all its keys.
    #[inline]
    pub fn one(&mut self, shard: ShardId) {
        self.calls = self.calls.saturating_add(1);
        if self.leads == shard {
            self.lead = self.lead.saturating_add(1);
        } else if self.lead > 0 {
            self.lead -= 1;
        } else {
            (self.leads, self.lead) = (shard, 1);
        }
    }

    /// A call took slots of several shards along.
    pub fn several(&mut self) {
        self.calls = self.calls.saturating_add(1);
        self.lead = self.lead.saturating_sub(1);
    }

    /// The shard where nearly all of them ran, of `least` calls or more: nineteen of twenty for
    /// certain, and at least nine of ten.
    pub fn nearly_all(&self, least: u32) -> Option<ShardId> {
        let (lead, calls) = (u64::from(self.lead), u64::from(self.calls));
        (self.calls >= least && lead > 0 && lead * 10 >= calls * 9).then_some(self.leads)
    }
}

/// The most shards that a process can have.
pub const SHARDS_MAX: ShardId = 1024;

/// Cores of the machine for each shard where `shards` is 0. A command whose key is on another
/// thread than its client costs a hop. That pays where the other thread has a core to itself.
const CORES_A_SHARD: usize = 4;

/// How many shards a server has: `wanted`, or, for 0, what suits this many cores.
pub fn count_shards(wanted: u32, cores: usize) -> ShardId {
    let count = if wanted > 0 { wanted as usize } else { cores / CORES_A_SHARD };
    count.clamp(1, usize::from(SHARDS_MAX)) as ShardId
}

/// Which shard owns which slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Map {
    epoch: u64,
    shards: ShardId,
    owners: Vec<ShardId>,
    scan: Arc<ScanOrder>,
}

/// The order in which slots are scanned, fixed while the process lives: shard by shard as they were
/// at the start, so that a scan changes threads seldom, and never loses its way when slots move.
#[derive(Debug, PartialEq, Eq)]
struct ScanOrder {
    slots: Vec<u16>,
    ranks: Vec<u16>,
}

impl Map {
    /// The first map of a process with `shards` shards.
    ///
    /// # Panics
    /// When there is no shard.
    pub fn new(shards: ShardId) -> Map {
        assert!(shards > 0, "a server has at least one shard");
        let owners: Vec<ShardId> = (0..SLOTS).map(|slot| owner_by_hash(slot, shards)).collect();
        let mut slots: Vec<u16> = (0..SLOTS).collect();
        slots.sort_by_key(|slot| (owners[usize::from(*slot)], *slot));
        let mut ranks = vec![0; usize::from(SLOTS)];
        for (rank, slot) in (0..).zip(&slots) {
            ranks[usize::from(*slot)] = rank;
        }
        Map { epoch: 1, shards, owners, scan: Arc::new(ScanOrder { slots, ranks }) }
    }

    /// Grows by one with each change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Number of shards.
    pub fn shards(&self) -> ShardId {
        self.shards
    }

    /// The shard that owns a slot.
    #[inline]
    pub fn owner(&self, slot: u16) -> ShardId {
        self.owners[usize::from(slot)]
    }

    /// The slots of a shard, in ascending order.
    pub fn slots_of(&self, shard: ShardId) -> impl Iterator<Item = u16> {
        (0..SLOTS).filter(move |slot| self.owner(*slot) == shard)
    }

    /// The map after these slots went to `shard`.
    pub fn with_moves(&self, slots: &[u16], shard: ShardId) -> Map {
        let mut map = self.clone();
        map.epoch += 1;
        slots.iter().for_each(|slot| map.owners[usize::from(*slot)] = shard);
        map
    }

    /// The slot at a rank of the scan order.
    pub fn scan_slot(&self, rank: u16) -> Option<u16> {
        self.scan.slots.get(usize::from(rank)).copied()
    }

    /// The rank of a slot in the scan order.
    pub fn scan_rank(&self, slot: u16) -> u16 {
        self.scan.ranks[usize::from(slot)]
    }
}

fn owner_by_hash(slot: u16, shards: ShardId) -> ShardId {
    let mut key = scatter(u64::from(slot));
    let (mut owner, mut next) = (0_i64, 0_i64);
    while next < i64::from(shards) {
        owner = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = ((owner + 1) as f64 * ((1_u64 << 31) as f64 / ((key >> 33) + 1) as f64)) as i64;
    }
    owner as ShardId
}

/// The finaliser of SplitMix64 (G. Steele, D. Lea, C. Flood, 2014).
fn scatter(number: u64) -> u64 {
    let mut x = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ x >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_shard_for_each_four_cores_unless_told_otherwise() {
        let by_cores = [(1, 1), (2, 1), (4, 1), (7, 1), (8, 2), (64, 16), (100_000, SHARDS_MAX)];
        for (cores, shards) in by_cores {
            assert_eq!(count_shards(0, cores), shards, "{cores} cores");
            assert_eq!(count_shards(3, cores), 3);
        }
    }

    #[test]
    fn no_shard_has_more_than_a_tenth_over_its_share() {
        for shards in 1..=16 {
            let map = Map::new(shards);
            let share = f64::from(SLOTS) / f64::from(shards);
            for shard in 0..shards {
                let slots = map.slots_of(shard).count() as f64;
                assert!(slots <= share * 1.1, "{shards} shards: {shard} has {slots}");
            }
        }
    }

    #[test]
    fn one_shard_more_moves_only_its_share_of_the_slots() {
        for shards in 1..16 {
            let (old, new) = (Map::new(shards), Map::new(shards + 1));
            let moved = (0..SLOTS).filter(|slot| old.owner(*slot) != new.owner(*slot)).count();
            let most = f64::from(SLOTS) * 1.1 / f64::from(shards + 1);
            assert!(moved as f64 <= most, "{shards} to {}: {moved} moved", shards + 1);
            assert!((0..SLOTS).all(|s| old.owner(s) == new.owner(s) || new.owner(s) == shards));
        }
    }

    #[test]
    fn nearly_all_calls_are_most_of_them_and_enough() {
        let ran = |calls: &[(u32, Option<ShardId>)]| {
            let mut ran = RanAt::default();
            for (count, shard) in calls {
                for _ in 0..*count {
                    match shard {
                        Some(shard) => ran.one(*shard),
                        None => ran.several(),
                    }
                }
            }
            ran.nearly_all(100)
        };
        assert_eq!(ran(&[]), None);
        assert_eq!(ran(&[(99, Some(3))]), None, "few");
        assert_eq!(ran(&[(100, Some(3))]), Some(3));
        assert_eq!(ran(&[(5, Some(0)), (95, Some(3))]), Some(3));
        assert_eq!(ran(&[(95, Some(3)), (5, Some(0))]), Some(3));
        assert_eq!(ran(&[(11, Some(0)), (89, Some(3))]), None);
        assert_eq!(ran(&[(50, Some(0)), (50, Some(3))]), None);
        assert_eq!(ran(&[(11, None), (89, Some(3))]), None, "over several");
        assert_eq!(RanAt::default().nearly_all(0), None, "none");
    }

    #[test]
    fn the_scan_order_goes_shard_by_shard_over_all_slots() {
        let map = Map::new(3);
        let owners: Vec<_> =
            (0..SLOTS).filter_map(|rank| map.scan_slot(rank)).map(|slot| map.owner(slot)).collect();
        assert!(owners.is_sorted() && owners.len() == usize::from(SLOTS));
        assert!((0..SLOTS).all(|slot| map.scan_slot(map.scan_rank(slot)) == Some(slot)));
        assert_eq!(map.with_moves(&[5], 2).scan_rank(5), map.scan_rank(5));
    }
}
