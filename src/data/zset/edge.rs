//! Where ranges begin and end in the order of a sorted set.

use std::cmp::Ordering;

/// A place between two members: everything before it passes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Edge<'a> {
    /// Before the first member.
    Start,
    /// Behind the last member.
    End,
    /// Before all members of this score.
    BeforeScore(f64),
    /// Behind all members of this score.
    BehindScore(f64),
    /// Before this name, where all scores are the same.
    BeforeName(&'a [u8]),
    /// Behind this name, where all scores are the same.
    BehindName(&'a [u8]),
    /// Before this score and name.
    Before(f64, &'a [u8]),
}

impl Edge<'_> {
    /// True when a member with this score and name stands before the edge. The name is asked for
    /// only where it decides.
    #[inline]
    pub(super) fn passes<'n>(self, score: f64, name: impl FnOnce() -> &'n [u8]) -> bool {
        match self {
            Edge::Start => false,
            Edge::End => true,
            Edge::BeforeScore(edge) => score < edge,
            Edge::BehindScore(edge) => score <= edge,
            Edge::BeforeName(edge) => name() < edge,
            Edge::BehindName(edge) => name() <= edge,
            Edge::Before(edge, other) => score < edge || (score == edge && name() < other),
        }
    }
}

/// The order of sorted sets: by score, among equal ones by name. Zero has no sign here.
#[must_use]
pub fn order(a: (f64, &[u8]), b: (f64, &[u8])) -> Ordering {
    a.0.partial_cmp(&b.0).unwrap_or(Ordering::Equal).then_with(|| a.1.cmp(b.1))
}
