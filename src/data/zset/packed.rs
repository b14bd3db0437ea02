//! The form of small sorted sets: name and score in turn, in order, in one pack.
//!
//! A score is kept as its text, which for a whole number is the number itself. So zero has no sign
//! here, as in Redis.

use crate::base::float;
use crate::data::pack::{At, Pack};
use crate::data::value::Value;
use crate::data::zset::Update;
use crate::data::zset::edge::Edge;

fn score_in(value: Value<'_>) -> f64 {
    match value {
        Value::Integer(number) => number as f64,
        Value::Bytes(text) => float::parse(text).expect("a score was written here"),
    }
}

fn score_at(pack: &Pack, name: At) -> f64 {
    score_in(pack.get(pack.next(name).expect("a score follows each name")))
}

/// The name behind the one at `at`.
fn after(pack: &Pack, at: At) -> Option<At> {
    pack.next(pack.next(at)?)
}

fn passes(pack: &Pack, at: At, edge: Edge<'_>) -> bool {
    let score = score_at(pack, at);
    match (pack.get(at), edge) {
        (Value::Bytes(name), _) => edge.passes(score, || name),
        (Value::Integer(number), _) => {
            let mut text = itoa::Buffer::new();
            let name = text.format(number).as_bytes();
            // The name lives no longer than this: so the edge is asked in its own terms.
            match edge {
                Edge::BeforeName(other) => name < other,
                Edge::BehindName(other) => name <= other,
                Edge::Before(edge, other) => score < edge || (score == edge && name < other),
                _ => edge.passes(score, || &[]),
            }
        }
    }
}

pub(super) fn len(pack: &Pack) -> usize {
    pack.len() / 2
}

pub(super) fn score(pack: &Pack, name: &[u8]) -> Option<f64> {
    Some(score_at(pack, pack.find(pack.first(), name, 2)?))
}

/// Members before the edge, and the first that is not.
fn seek(pack: &Pack, edge: Edge<'_>) -> (usize, Option<At>) {
    let (mut rank, mut place) = (0, pack.first());
    while let Some(at) = place
        && passes(pack, at, edge)
    {
        rank += 1;
        place = after(pack, at);
    }
    (rank, place)
}

pub(super) fn rank(pack: &Pack, edge: Edge<'_>) -> usize {
    seek(pack, edge).0
}

/// Adds a member behind all others.
pub(super) fn append(pack: &mut Pack, name: &[u8], score: f64) {
    pack.push_back(name);
    pack.push_back(text_of(score).as_bytes());
}

fn text_of(score: f64) -> float::Text {
    float::Text::of(if score == 0.0 { 0.0 } else { score })
}

pub(super) fn insert(pack: &mut Pack, name: &[u8], score: f64) {
    let text = text_of(score);
    match seek(pack, Edge::Before(score, name)).1 {
        Some(at) => {
            let at = pack.insert(at, text.as_bytes());
            pack.insert(at, name);
        }
        None => append(pack, name, score),
    }
}

/// Changes the score of a member that is there.
pub(super) fn update(
    pack: &mut Pack,
    at: At,
    name: &[u8],
    decide: impl FnOnce(Option<f64>) -> Option<f64>,
) -> Update {
    let old = score_at(pack, at);
    let new = decide(Some(old));
    if let Some(new) = new
        && new != old
    {
        pack.remove(at, 2);
        insert(pack, name, new);
    }
    Update { old: Some(old), new }
}

pub(super) fn remove(pack: &mut Pack, name: &[u8]) -> Option<f64> {
    let at = pack.find(pack.first(), name, 2)?;
    let score = score_at(pack, at);
    pack.remove(at, 2);
    Some(score)
}

pub(super) fn remove_at(pack: &mut Pack, rank: usize, gone: &mut dyn FnMut(&[u8], f64)) {
    if let Some(at) = pack.seek(2 * rank) {
        let score = score_at(pack, at);
        pack.get(at).with(|name| gone(name, score));
        pack.remove(at, 2);
    }
}

pub(super) fn visit(
    pack: &Pack,
    start: usize,
    count: usize,
    backwards: bool,
    found: &mut dyn FnMut(&[u8], f64) -> bool,
) {
    let mut place = pack.seek(2 * start);
    for _ in 0..count {
        let Some(at) = place else { return };
        let score = score_at(pack, at);
        if !pack.get(at).with(|name| found(name, score)) {
            return;
        }
        place = if backwards {
            pack.previous(at).and_then(|at| pack.previous(at))
        } else {
            after(pack, at)
        };
    }
}
