//! Members chosen at random, several at a time: whoever has to let something go compares them.
//! None of them is blessed.

use std::ops::Range;

use super::{BUCKET_MAX, GROUP, Member, Table};
use crate::data::NEVER;

/// Buckets that are looked at for members that are wanted before the bounds of the groups are.
const BUCKETS_TRIED: usize = 4;

/// Groups with a bound that are looked through at a time. A bound may be that of a member that has
/// gone, or of something inside a member.
const GROUPS_TRIED: usize = 4;

impl<T: Member> Table<T> {
    /// Calls `found` with some members, `most` of them at the most. Where none is blessed it finds
    /// some; else it may find none where the others are few among many. Called again and again, it
    /// finds them.
    ///
    /// They are those of one bucket, so that their waits for memory overlap. A bucket is as likely
    /// as another, and a member of it too.
    pub fn sample(&self, random: &mut fastrand::Rng, most: usize, mut found: impl FnMut(&T)) {
        if self.len == 0 {
            return;
        }
        if self.counts().blessed > 0 {
            self.sample_near(random, most, |member| !member.is_blessed(), &mut found);
            return;
        }
        let buckets = self.buckets.len();
        let start = random.usize(0..buckets);
        let filled = (start..buckets).chain(0..start).find(|at| self.has_members(*at));
        let members = filled.into_iter().flat_map(|at| self.buckets.members(at));
        choose(random, most, members, found);
    }

    /// As [`Table::sample`], of the members with a deadline. It may find none where they are few
    /// among many; called again and again, it finds them.
    pub fn sample_timed(&self, random: &mut fastrand::Rng, most: usize, mut found: impl FnMut(&T)) {
        if self.counts().expires == 0 || self.sample_near(random, most, may_go_timed, &mut found) {
            return;
        }
        let groups = self.groups.count();
        let start = random.usize(0..groups.max(1));
        let bounded =
            (start..groups).chain(0..start).filter(|group| self.groups.bound(*group) != NEVER);
        for group in bounded.take(GROUPS_TRIED) {
            let end = usize::min((group + 1) * GROUP, self.buckets.len());
            if self.choose_of(group * GROUP..end, random, most, may_go_timed, &mut found) {
                return;
            }
        }
    }

    fn has_members(&self, bucket: usize) -> bool {
        self.buckets.members(bucket).next().is_some()
    }

    /// Calls `found` with members that are wanted, of a few buckets behind one chosen at random.
    /// Returns true where there are any.
    fn sample_near(
        &self,
        random: &mut fastrand::Rng,
        most: usize,
        is_wanted: impl Fn(&T) -> bool,
        mut found: impl FnMut(&T),
    ) -> bool {
        let buckets = self.buckets.len();
        let start = random.usize(0..buckets.max(1));
        let mut near = (start..buckets).chain(0..start).take(BUCKETS_TRIED);
        near.any(|at| self.choose_of(at..at + 1, random, most, &is_wanted, &mut found))
    }

    /// Calls `found` with members of these buckets that are wanted. Returns true where there are
    /// any.
    fn choose_of(
        &self,
        buckets: Range<usize>,
        random: &mut fastrand::Rng,
        most: usize,
        is_wanted: impl Fn(&T) -> bool,
        found: impl FnMut(&T),
    ) -> bool {
        let members = buckets.flat_map(|at| self.buckets.members(at));
        choose(random, most, members.filter(|member| is_wanted(member)), found)
    }
}

fn may_go_timed<T: Member>(member: &T) -> bool {
    member.deadline().is_some() && !member.is_blessed()
}

/// Calls `found` with `most` of some members, each as likely as another. Returns true where there
/// are any.
fn choose<'a, T: Member + 'a>(
    random: &mut fastrand::Rng,
    most: usize,
    members: impl Iterator<Item = &'a T>,
    mut found: impl FnMut(&T),
) -> bool {
    let mut there = [None; BUCKET_MAX];
    let mut len = 0;
    for (place, member) in there.iter_mut().zip(members) {
        member.prefetch();
        *place = Some(member);
        len += 1;
    }
    let start = random.usize(0..len.max(1));
    let chosen = (start..len).chain(0..start).take(most);
    chosen.filter_map(|at| there[at]).for_each(&mut found);
    len > 0
}
