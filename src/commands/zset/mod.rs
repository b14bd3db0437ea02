//! Sorted sets.

pub(super) mod add;
pub(super) mod blocking;
pub(super) mod combine;
pub(super) mod count;
pub(super) mod expire;
pub(super) mod member;
pub(super) mod pop;
pub(super) mod random;
pub(super) mod range;
pub(super) mod scan;

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::data::zset::{Edge, Limits, Zset};
use crate::keyspace::object::Ref;
use crate::resp::Reply;

/// Up to where the settings have sorted sets packed.
pub(super) fn limits(call: &Call<'_>) -> Limits {
    let at_most = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    Limits {
        entries: at_most(call.settings.zset_max_listpack_entries),
        value_bytes: at_most(call.settings.zset_max_listpack_value),
    }
}

/// Members in a row, as a reply gives them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// The rank of the first.
    pub(super) start: usize,
    /// How many.
    pub(super) count: usize,
    /// From there down.
    pub(super) backwards: bool,
}

impl Row {
    pub(super) const EMPTY: Row = Row { start: 0, count: 0, backwards: false };
}

/// Replies with members, each with its score if that is wanted.
pub(super) fn reply_row(reply: &mut Reply<'_>, zset: &Ref<'_, Zset>, row: Row, with_scores: bool) {
    let Row { start, count, backwards } = row;
    let shown = if zset.hides() { zset.shown_in(start, count, backwards) } else { count };
    reply_members(reply, shown, with_scores, |found| zset.visit(start, count, backwards, found));
}

/// Replies with the `count` members that `visit` comes upon.
pub(super) fn reply_members(
    reply: &mut Reply<'_>,
    count: usize,
    with_scores: bool,
    visit: impl FnOnce(&mut dyn FnMut(&[u8], f64) -> bool),
) {
    let nested = with_scores && reply.is_resp3();
    begin_members(reply, count, with_scores, nested);
    visit(&mut |name, score| {
        reply_member(reply, name, with_scores.then_some(score), nested);
        true
    });
}

/// The head of a reply with `count` members; `nested`: a member with its score is an array.
pub(super) fn begin_members(reply: &mut Reply<'_>, count: usize, with_scores: bool, nested: bool) {
    reply.array(if with_scores && !nested { 2 * count } else { count });
}

/// A member and its score, where it is wanted.
pub(super) fn reply_member(reply: &mut Reply<'_>, name: &[u8], score: Option<f64>, nested: bool) {
    if nested {
        reply.array(2);
    }
    reply.bulk(name);
    if let Some(score) = score {
        reply.double(score);
    }
}

/// What a range goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    Rank,
    Score,
    Name,
}

/// The ends of a range by score or name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends<'a> {
    low: Edge<'a>,
    high: Edge<'a>,
}

impl<'a> Ends<'a> {
    /// Reads both ends, in the form that `by` has.
    pub(super) fn of(by: By, min: &'a [u8], max: &'a [u8]) -> Result<Ends<'a>, CommandError> {
        let ends = match by {
            By::Name => name_edge(min, true).zip(name_edge(max, false)),
            _ => score_edge(min, true).zip(score_edge(max, false)),
        };
        let refusal = match by {
            By::Name => "ERR min or max not valid string range item",
            _ => "ERR min or max is not a float",
        };
        let (low, high) = ends.ok_or(CommandError::Text(refusal))?;
        Ok(Ends { low, high })
    }

    /// The rank of the first member in the range, and how many there are.
    pub(super) fn find(self, zset: &Zset) -> (usize, usize) {
        let (low, high) = (zset.rank(self.low), zset.rank(self.high));
        (low, high.saturating_sub(low))
    }
}

/// `(1.5` leaves the score itself out. As in Redis, no digits at all are zero, a number that is too
/// large is an infinity, and a zero byte ends the text.
fn score_edge(text: &[u8], is_low: bool) -> Option<Edge<'static>> {
    let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
    let number = text.strip_prefix(b"(");
    let digits = number.unwrap_or(text);
    let score: f64 =
        if digits.is_empty() { 0.0 } else { std::str::from_utf8(digits).ok()?.parse().ok()? };
    if score.is_nan() {
        return None;
    }
    let is_before = is_low == number.is_none();
    Some(if is_before { Edge::BeforeScore(score) } else { Edge::BehindScore(score) })
}

/// `[name` with the name, `(name` without, `-` and `+` for the ends of all names.
fn name_edge(text: &[u8], is_low: bool) -> Option<Edge<'_>> {
    match text {
        b"-" => Some(Edge::Start),
        b"+" => Some(Edge::End),
        [b'[', name @ ..] if is_low => Some(Edge::BeforeName(name)),
        [b'[', name @ ..] => Some(Edge::BehindName(name)),
        [b'(', name @ ..] if is_low => Some(Edge::BehindName(name)),
        [b'(', name @ ..] => Some(Edge::BeforeName(name)),
        _ => None,
    }
}
