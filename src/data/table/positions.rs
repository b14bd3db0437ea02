//! What of a table stands at given positions of a scan.

use std::ops::Range;

use crate::base::hash::Hasher;
use crate::data::table::{Member, Name, SCAN_BITS, Table, position_of};

/// All positions of a scan.
pub const ALL: Range<u64> = 0..1 << SCAN_BITS;

impl Name<'_> {
    /// The position at which a scan meets the name: the same in every table, however large.
    pub fn position(self) -> u64 {
        position_of(self.hash)
    }
}

impl<T: Member> Table<T> {
    /// The positions of what is in the same bucket as this one; [`ALL`] where there is no bucket.
    pub fn positions_around(&self, position: u64) -> Range<u64> {
        let Some((index, _)) = self.at(position) else { return ALL };
        let width = SCAN_BITS - self.level_of(index);
        let start = position >> width << width;
        start..start + (1 << width)
    }

    /// Asks for the members in the bucket at this position.
    pub(crate) fn warm_around(&self, position: u64) {
        let bucket = self.at(position).map(|(index, _)| index).into_iter();
        bucket.flat_map(|index| self.buckets.members(index)).for_each(Member::prefetch);
    }

    /// The members at these positions, which are those of one bucket or fewer, in no order.
    pub fn within<'a>(
        &'a self,
        positions: &'a Range<u64>,
        hasher: &'a Hasher,
    ) -> impl Iterator<Item = &'a T> {
        let bucket = self.at(positions.start).map(|(index, _)| index).into_iter();
        let is_whole = self.positions_around(positions.start) == *positions;
        let is_in = move |member: &&T| {
            is_whole || positions.contains(&position_of(hasher.hash(member.name())))
        };
        bucket.flat_map(|index| self.buckets.members(index)).filter(is_in)
    }
}
