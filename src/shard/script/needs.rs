//! Which slots scripts have turned out to need, so that they begin with them the next time.
//!
//! A script is known by what its call names it by, and by its first key, or else its first
//! argument: scripts of a queue, say, build the names of all their keys from one prefix. It is a
//! guess and no more. A run with a slot too many holds it for nothing, one that lacks some asks for
//! them. What is known are not slots but how names are made: those that are always the same, those
//! that are a key of the call with something behind it, as `job:7` and `job:7:lock`, and those that
//! end in a number which counts up from run to run.

use std::collections::HashMap;

use crate::base::hash::Hasher;
use crate::base::integer;
use crate::base::slot::{self, SLOTS};
use crate::batch::Batch;
use crate::commands::call::Call;
use crate::commands::command::Run;
use crate::commands::positions;
use crate::keyspace::key::KeyAt;
use crate::resp::Span;
use crate::route::ShardId;
use crate::shard::Shard;
use crate::shard::execute::{Around, Engine};
use crate::shard::letter::Letter;
use crate::shard::script::Running;

/// Scripts that are known by their needs. Beyond that all are forgotten.
const SCRIPTS_MAX: usize = 1_024;

/// Slots, and names, that are kept of a script. One that needs more is not known.
const SLOTS_MAX: usize = 64;

/// Bytes of a name that is kept. The slots of longer ones are asked for each time.
pub(super) const NAME_MAX: usize = 256;

/// How often a script is taken to need everything, until it has to show that again.
const ALL_TIMES: u8 = 100;

/// Runs from which it is learnt that a script does not need what it has needed before.
const RUNS_LEARNT: u32 = 8;

/// Scripts of a batch, the one that sets out among them, for which slots are brought together, and
/// about how many slots.
const FOLLOWERS_MAX: usize = 16;
const FOLLOWERS_SLOTS_MAX: usize = 256;

/// The word of a call that runs a script behind the number of keys.
const FIRST: usize = 3;

/// A script with its first word, by hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ScriptOfWord {
    script: u64,
    word: u64,
}

impl ScriptOfWord {
    fn of(call: &Call<'_>) -> ScriptOfWord {
        let first = if call.len() > FIRST { call.arg(FIRST) } else { &[] };
        ScriptOfWord { script: call.hasher.hash(call.arg(1)), word: call.hasher.hash(first) }
    }

    /// None where the words run no script.
    fn of_words(words: &[&[u8]], hasher: &Hasher) -> Option<ScriptOfWord> {
        let first = words.get(FIRST).copied().unwrap_or_default();
        Some(ScriptOfWord { script: hasher.hash(words.get(1)?), word: hasher.hash(first) })
    }
}

/// What a run has needed.
#[derive(Clone, Debug)]
pub struct Needs {
    of: ScriptOfWord,
    needed: Needed,
}

/// What a script needs beside the keys that its call declares.
#[derive(Clone, Debug, PartialEq)]
enum Needed {
    These(Pattern),
    /// Every slot, for so many times more.
    All(u8),
}

/// A key that a run has named and its call has not.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct KeyName {
    name: Box<[u8]>,
    slot: u16,
}

/// Undeclared keys of a script.
#[derive(Clone, Debug, Default, PartialEq)]
struct Pattern {
    /// Keys with the same name each time.
    fixed: Vec<KeyName>,
    /// Others of the last run: those that come again are fixed.
    last: Vec<KeyName>,
    /// Names that are a word of the call, at this position, and this behind it.
    behind_words: Vec<(u32, Box<[u8]>)>,
    /// What stands behind names that are known only when the script comes to them.
    behind_others: Vec<Box<[u8]>>,
    /// Such names end in numbers, each one more than that of the run before.
    counts: bool,
    /// Runs from which it was learnt.
    runs: u32,
}

impl Pattern {
    /// That of one run, with the undeclared keys in the order in which it came to them.
    fn of(undeclared: &[KeyName], call: &Call<'_>) -> Pattern {
        let mut pattern = Pattern::default();
        for key in undeclared {
            if let Some((position, rest)) = behind_word(&key.name, call) {
                pattern.behind_words.push((position, rest.into()));
            } else if let Some(rest) =
                pattern.last.iter().find_map(|it| behind(&key.name, &it.name))
            {
                pattern.behind_others.push(rest.into());
            } else {
                pattern.last.push(key.clone());
            }
        }
        pattern
    }

    /// What is known after one more run.
    fn with(mut self, new: Pattern) -> Pattern {
        let follows = |key: &KeyName| {
            let next = numbered(&key.name, 1);
            next.is_some_and(|next| new.last.iter().any(|key| *key.name == *next))
        };
        self.runs += 1;
        self.counts |= self.fixed.iter().chain(&self.last).any(follows);
        let Pattern { fixed, last, behind_words, behind_others, .. } = &mut self;
        let comes_again = |key: &KeyName| new.last.contains(key);
        fixed.retain(comes_again);
        fixed.extend(last.drain(..).filter(comes_again));
        let is_new = |key: &KeyName| !fixed.contains(key);
        *last = new.last.into_iter().filter(is_new).collect();
        join(behind_words, new.behind_words);
        join(behind_others, new.behind_others);
        self
    }

    /// That of a script after its first run: what it has named, it is taken to name again.
    fn first(mut self) -> Pattern {
        self.fixed = std::mem::take(&mut self.last);
        self
    }

    /// Whether a run of this pattern teaches nothing.
    fn explains(&self, new: &Pattern) -> bool {
        let has_all = || self.fixed.iter().all(|key| new.last.contains(key));
        (self.runs >= RUNS_LEARNT || has_all())
            && !self.last.iter().any(|key| new.last.contains(key))
            && new.behind_words.iter().all(|rule| self.behind_words.contains(rule))
            && new.behind_others.iter().all(|rule| self.behind_others.contains(rule))
    }

    /// Adds the slots that a call will need by what is known ahead of it.
    fn add_ahead(&self, words: &dyn Fn(usize) -> Option<Vec<u8>>, slots: &mut Vec<u16>) {
        slots.extend(self.fixed.iter().map(|key| key.slot));
        for (position, rest) in &self.behind_words {
            if let Some(mut name) = words(*position as usize) {
                name.extend_from_slice(rest);
                slots.push(slot::of(&name));
            }
        }
    }
}

/// The name that ends in a number so much higher, where this one ends in a number.
fn numbered(name: &[u8], more: u64) -> Option<Vec<u8>> {
    let digits = name.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let (rest, number) = name.split_at(name.len() - digits);
    let number = integer::parse(number)?.checked_add_unsigned(more)?;
    Some([rest, number.to_string().as_bytes()].concat())
}

/// What stands in a name behind another one.
fn behind<'a>(name: &'a [u8], other: &[u8]) -> Option<&'a [u8]> {
    let rest = name.strip_prefix(other).filter(|rest| !rest.is_empty())?;
    // One number that happens to begin with another.
    let is_number = [rest.first(), other.last()].iter().flatten().all(|byte| byte.is_ascii_digit());
    (!is_number).then_some(rest)
}

/// The longest key of a call that a name begins with, and what stands behind it.
fn behind_word<'a>(name: &'a [u8], call: &Call<'_>) -> Option<(u32, &'a [u8])> {
    let rests = call
        .keys
        .iter()
        .filter_map(|key| Some((key.position, behind(name, call.arg(key.position as usize))?)));
    rests.min_by_key(|(_, rest)| rest.len())
}

/// Adds what is new, as long as there is room.
fn join<T: PartialEq>(known: &mut Vec<T>, new: Vec<T>) {
    for one in new {
        if known.len() < SLOTS_MAX && !known.contains(&one) {
            known.push(one);
        }
    }
}

/// The needs of scripts, as far as a shard knows.
#[derive(Debug, Default)]
pub(in crate::shard) struct KnownNeeds {
    known: HashMap<ScriptOfWord, Needed>,
    /// What another shard is to know.
    learnt: Vec<(ShardId, Needs)>,
}

impl KnownNeeds {
    fn learn(&mut self, needs: Needs) {
        if self.known.len() >= SCRIPTS_MAX {
            self.known.clear();
        }
        self.known.insert(needs.of, needs.needed);
    }

    /// How many scripts are known to need everything.
    #[cfg(test)]
    pub(super) fn needing_all(&self) -> usize {
        self.known.values().filter(|needed| matches!(needed, Needed::All(_))).count()
    }

    /// Adds to `slots` what a script is known to need.
    fn add_to(
        &mut self,
        slots: &mut Vec<u16>,
        of: ScriptOfWord,
        words: &dyn Fn(usize) -> Option<Vec<u8>>,
    ) {
        match self.known.get_mut(&of) {
            None => {}
            Some(Needed::These(pattern)) => pattern.add_ahead(words, slots),
            Some(Needed::All(0)) => drop(self.known.remove(&of)),
            Some(Needed::All(times)) => {
                *times -= 1;
                slots.extend(0..SLOTS);
            }
        }
    }
}

impl Running {
    /// The key that a run asks for, where its name is not that of a key of the call with something
    /// behind it.
    pub(super) fn lacked(&self, call: &Call<'_>) -> Option<Box<[u8]>> {
        let last = self.undeclared.last().map(|key| &key.name);
        last.filter(|name| behind_word(name, call).is_none()).cloned()
    }

    /// Notes the keys of a command that the call of the script does not declare.
    pub(super) fn note_undeclared(
        &mut self,
        keys: &[KeyAt],
        bytes: &[u8],
        spans: &[Span],
        outer: &Call<'_>,
    ) {
        for key in keys {
            let Some(name) = spans.get(key.position as usize).map(|span| span.of(bytes)) else {
                continue;
            };
            if name.len() > NAME_MAX {
                continue;
            }
            let is_declared = outer.keys.iter().any(|declared| declared.hash == key.hash);
            let is_noted = || self.undeclared.iter().any(|noted| *noted.name == *name);
            if self.undeclared.len() < SLOTS_MAX && !is_declared && !is_noted() {
                self.undeclared.push(KeyName { name: name.into(), slot: key.slot });
            }
        }
    }
}

impl Engine {
    /// A run has ended that lacked slots, for the first time at the shard of the walk. Where it has
    /// taught something, all shards learn of it: calls of the script begin at any.
    pub(super) fn note_needs(&mut self, running: &Running, call: &Call<'_>, around: &Around<'_>) {
        let Some(first) = around.walk.as_ref().and_then(|walk| walk.first) else { return };
        let of = ScriptOfWord::of(call);
        let needed = if running.changes_large {
            Needed::All(ALL_TIMES)
        } else if running.met.len() > SLOTS_MAX {
            return;
        } else {
            let new = Pattern::of(&running.undeclared, call);
            Needed::These(match self.known_needs.known.remove(&of) {
                Some(Needed::These(known)) if known.explains(&new) => {
                    self.known_needs.known.insert(of, Needed::These(known));
                    return;
                }
                Some(Needed::These(known)) => known.with(new),
                _ => new.first(),
            })
        };
        let needs = Needs { of, needed };
        // What needs everything goes the same way each time; other batches begin anywhere.
        let learners = if running.changes_large { first..first + 1 } else { 0..call.map.shards() };
        self.known_needs.learnt.extend(learners.map(|shard| (shard, needs.clone())));
    }
}

impl Shard {
    /// Adds to what the next call of a batch needs, which runs a script, what its script is known
    /// to need.
    pub(in crate::shard) fn add_known_needs(&mut self, batch: &mut Batch) {
        let is_first = batch.walk.is_none() && batch.errand.is_none() && batch.wider.is_empty();
        if !is_first || self.engine.known_needs.known.is_empty() {
            return;
        }
        self.add_known_needs_of(batch, batch.next);
    }

    /// The same of one of its calls.
    fn add_known_needs_of(&mut self, batch: &mut Batch, number: usize) {
        let words = batch.words_of(number);
        let Some(of) = ScriptOfWord::of_words(&words, &self.env.hasher) else { return };
        let word = |at: usize| words.get(at).map(|word| word.to_vec());
        let mut slots = Vec::new();
        self.engine.known_needs.add_to(&mut slots, of, &word);
        batch.wider.append(&mut slots);
    }

    /// The next call of a batch, which runs a script, sets out for its slots: it takes along what
    /// the scripts behind it need, which will run with it.
    pub(in crate::shard) fn add_needs_of_followers(&mut self, batch: &mut Batch) {
        let mut keys = Vec::new();
        for number in batch.next + 1..batch.routed.len().min(batch.next + FOLLOWERS_MAX) {
            let command = batch.routed[number].command;
            let Some(command) = command.filter(|command| matches!(command.run, Run::Script(_)))
            else {
                return;
            };
            let frame = &batch.frames.frames[number];
            let (bytes, spans) =
                (batch.frames.bytes_of(frame, &batch.input), batch.frames.args_of(frame));
            positions::keys_at(command, spans, bytes, &self.env.hasher, &mut keys);
            batch.wider.extend(keys.iter().map(|key| key.slot));
            self.add_known_needs_of(batch, number);
            if batch.wider.len() > FOLLOWERS_SLOTS_MAX {
                return;
            }
        }
    }

    /// Adds what a batch will need whose script asks for slots, as far as can be guessed: what it
    /// needs itself, and what the calls of the same script behind it will, which run with it.
    pub(in crate::shard) fn add_guesses(&mut self, batch: &mut Batch, followers: usize) {
        let words = batch.words_of(batch.next);
        let Some(of) = ScriptOfWord::of_words(&words, &self.env.hasher) else { return };
        let Some(Needed::These(pattern)) = self.engine.known_needs.known.get(&of) else { return };
        let mut slots = Vec::new();
        pattern.add_ahead(&|at| words.get(at).map(|word| word.to_vec()), &mut slots);
        if let Some(lacked) = batch.walk.as_ref().and_then(|walk| walk.lacked.as_deref()) {
            let is_same = |number: &usize| {
                let words = batch.words_of(*number);
                ScriptOfWord::of_words(&words, &self.env.hasher) == Some(of)
            };
            let behind = batch.next + 1..batch.routed.len().min(batch.next + 1 + followers);
            let most = if pattern.counts { behind.take_while(is_same).count() as u64 } else { 0 };
            for name in (0..=most).filter_map(|more| match more {
                0 => Some(lacked.to_vec()),
                more => numbered(lacked, more),
            }) {
                slots.push(slot::of(&name));
                let others = pattern.behind_others.iter().map(|rest| [&name[..], rest].concat());
                slots.extend(others.map(|name| slot::of(&name)));
            }
        }
        batch.wider.append(&mut slots);
    }

    /// Tells shards what they are to know of the needs of scripts.
    #[inline]
    pub(in crate::shard) fn tell_needs(&mut self) {
        if self.engine.known_needs.learnt.is_empty() {
            return;
        }
        for (to, needs) in std::mem::take(&mut self.engine.known_needs.learnt) {
            match to == self.id {
                true => self.learn_needs(needs),
                false => self.outbox.letters.push((to, Letter::Needs(needs))),
            }
        }
    }

    /// A script that began here has turned out to need this.
    pub(in crate::shard) fn learn_needs(&mut self, needs: Needs) {
        self.engine.known_needs.learn(needs);
    }
}
