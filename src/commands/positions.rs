//! Where the keys of a request stand: from the declarations alone, for routing, COMMAND GETKEYS,
//! access control and replay.

use crate::base::hash::Hasher;
use crate::base::integer;
use crate::base::slot;
use crate::commands::command::{Begin, Command, Find, KeySpec};
use crate::keyspace::key::KeyAt;
use crate::resp::Span;

/// Positions of the keys, in order of the specifications. What is malformed has no keys: the
/// command itself will say what is wrong.
pub fn keys(command: &Command, spans: &[Span], bytes: &[u8]) -> Vec<usize> {
    let mut positions = Vec::new();
    for spec in certain(command) {
        let Some(first) = begin(spec, spans, bytes) else { continue };
        add(spec, first, spans, bytes, &mut positions);
    }
    positions.extend(further(command, spans, bytes));
    positions
}

/// The keys by position, with slot and hash, into `found`.
pub fn keys_at(
    command: &Command,
    spans: &[Span],
    bytes: &[u8],
    hasher: &Hasher,
    found: &mut Vec<KeyAt>,
) {
    found.clear();
    let keys = keys(command, spans, bytes);
    found.extend(keys.iter().map(|at| KeyAt::new(*at, spans[*at].of(bytes), hasher)));
    found.sort_unstable_by_key(|key| key.position);
}

/// The specifications that can be trusted. The word that begins keys may stand for something else
/// before, or come again: a command that reads it so finds the keys behind words itself.
fn certain(command: &Command) -> impl Iterator<Item = &'static KeySpec> + use<'_> {
    let finds_itself = command.further.is_some();
    command
        .keys
        .iter()
        .filter(move |spec| !finds_itself || !matches!(spec.begin, Begin::Keyword(..)))
        .filter(|_| !command.finds_all_keys)
}

/// Keys that the command finds itself.
fn further(command: &Command, spans: &[Span], bytes: &[u8]) -> Vec<usize> {
    command.further.map_or_else(Vec::new, |further| further(&words(spans, bytes)))
}

/// Whether the command has keys whose names follow from values.
pub fn are_anywhere(command: &Command, spans: &[Span], bytes: &[u8]) -> bool {
    command.anywhere.is_some_and(|anywhere| anywhere(&words(spans, bytes)))
}

fn words<'a>(spans: &[Span], bytes: &'a [u8]) -> Vec<&'a [u8]> {
    spans.iter().map(|span| span.of(bytes)).collect()
}

/// Positions of the keys, each with its specification; none where a number of keys is wrong.
pub fn keys_with_specs(
    command: &'static Command,
    spans: &[Span],
    bytes: &[u8],
) -> Vec<(usize, &'static KeySpec)> {
    let mut found = Vec::new();
    for spec in certain(command) {
        let Some(first) = begin(spec, spans, bytes) else { continue };
        let mut positions = Vec::new();
        add(spec, first, spans, bytes, &mut positions);
        if positions.is_empty() && matches!(spec.find, Find::KeyNum { .. }) {
            return Vec::new();
        }
        found.extend(positions.into_iter().map(|at| (at, spec)));
    }
    let further = further(command, spans, bytes).into_iter();
    found.extend(further.filter_map(|at| Some((at, command.keys.last()?))));
    found
}

/// The slots of the keys, ascending, none twice, into `slots`.
pub fn slots(command: &Command, spans: &[Span], bytes: &[u8], slots: &mut Vec<u16>) {
    slots.clear();
    slots.extend(keys(command, spans, bytes).iter().map(|at| slot::of(spans[*at].of(bytes))));
    slots.sort_unstable();
    slots.dedup();
}

/// First key, last key and step as COMMAND INFO has them, for clients that know no specifications:
/// the ranges that follow one another from the first on. Zeros where there is none.
pub fn range(command: &Command) -> (i64, i64, i64) {
    let mut found: Option<(i64, i64, i64)> = None;
    for spec in command.keys {
        let (Begin::Index(first), Find::Range { last, step, .. }) = (spec.begin, spec.find) else {
            continue;
        };
        let (first, step) = (i64::from(first), i64::from(step));
        let last = if last < 0 { i64::from(last) } else { first + i64::from(last) };
        found = match found {
            None => Some((first, last, step)),
            Some((begin, end, 1)) if end + 1 == first && step == 1 => Some((begin, last, 1)),
            found => found,
        };
    }
    found.unwrap_or_default()
}

/// For a command whose arguments are one list of keys (with values) to the end: where the list
/// begins and how long one part is. Such a command splits by key.
pub fn step_of_rest(command: &Command) -> Option<(usize, usize)> {
    match command.keys {
        [
            KeySpec {
                begin: Begin::Index(first),
                find: Find::Range { last: -1, step, limit: 0 },
                ..
            },
        ] => Some((usize::from(*first), usize::from(*step))),
        _ => None,
    }
}

fn begin(spec: &KeySpec, spans: &[Span], bytes: &[u8]) -> Option<usize> {
    match spec.begin {
        Begin::Index(index) => Some(usize::from(index)),
        Begin::Keyword(word, from) => {
            let is_word = |at: &usize| {
                spans.get(*at).is_some_and(|s| s.of(bytes).eq_ignore_ascii_case(word.as_bytes()))
            };
            let found = if from >= 0 {
                (from as usize..spans.len()).find(is_word)
            } else {
                let last = spans.len().checked_sub(usize::from(from.unsigned_abs()))?;
                (1..=last).rev().find(is_word)
            };
            found.map(|at| at + 1)
        }
        Begin::Unknown => None,
    }
}

fn add(spec: &KeySpec, first: usize, spans: &[Span], bytes: &[u8], positions: &mut Vec<usize>) {
    let argc = spans.len();
    match spec.find {
        Find::Range { last, step, limit } => {
            let last = match last {
                0.. => first + last as usize,
                _ if limit <= 1 => argc.saturating_sub(usize::from(last.unsigned_abs())),
                _ => first + argc.saturating_sub(first) / usize::from(limit) - 1,
            };
            if last < argc {
                positions.extend((first..last + 1).step_by(usize::from(step.max(1))));
            }
        }
        Find::KeyNum { at, first: offset, step } => {
            let count = spans.get(first + usize::from(at)).map(|span| span.of(bytes));
            let Some(count) = count.and_then(integer::parse) else { return };
            let (from, step) = (first + usize::from(offset), usize::from(step.max(1)));
            let room = argc.saturating_sub(from).div_ceil(step);
            if let Some(count) = usize::try_from(count).ok().filter(|count| *count <= room) {
                positions.extend((0..count).map(|number| from + number * step));
            }
        }
        Find::Unknown => {}
    }
}
