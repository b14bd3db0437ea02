//! Nothing acknowledged is lost, and what is on the disk is a prefix of what was journaled.
//!
//! Every change is noted when it happens, once more when its shard appends it to the stream of
//! effects, and once more when the writer takes that in. The last order is the journal's. After a
//! crash the data set must be what a prefix of the journal makes of the data set before, whole
//! calls at a time; that one walk along the prefixes also shows that no call is half there. Under
//! `always` the prefix has to hold every change that a reply has shown: that of the call itself,
//! and those that it saw. Under `everysec` what is missing of a shard, each of which has its own
//! credit, was acknowledged within two seconds.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use troupe::stream::Policy;

use super::Broken;
use crate::model::Model;
use crate::workload::Call;

/// How far apart two acknowledged writes may be that are lost under `everysec`, in milliseconds:
/// the bound of the credit, and what one turn may take.
const LOST_WITHIN_MS: i64 = 2_500;

/// The number of a change, in the order in which they happened.
pub type ChangeId = usize;

/// Something that changed the data set.
#[derive(Clone, Debug)]
pub enum What {
    /// A call, at the time of its batch.
    Call(Call, i64),
    /// A key that expired, at a time when its deadline had passed.
    Expired(String, i64),
    /// A key that was evicted.
    Evicted(String),
    /// A transaction, with all that changed in it.
    Transaction(Vec<What>),
    /// Nothing: it was taken back before its turn ended.
    Nothing,
}

impl What {
    fn apply(&self, model: &mut Model) {
        match self {
            What::Call(call, now) => drop(model.run(call, *now)),
            What::Expired(key, now) => drop(model.expire(key, *now)),
            What::Evicted(key) => drop(model.entries.remove(key)),
            What::Transaction(all) => all.iter().for_each(|what| what.apply(model)),
            What::Nothing => {}
        }
    }
}

#[derive(Clone, Debug)]
struct Change {
    what: What,
    /// Where it happened.
    shard: u16,
    /// When it happened, in milliseconds of unix time: its batch may have waited.
    at: i64,
    /// Place in the journal.
    journaled: Option<usize>,
    /// A reply has shown it.
    is_shown: bool,
}

/// What has changed since the process started.
#[derive(Debug, Default)]
pub struct Durability {
    base: Model,
    changes: Vec<Change>,
    /// Changes of the turn under way, by shard.
    turns: Vec<Vec<ChangeId>>,
    /// Changes of turns that were appended and not taken in yet, by shard.
    appended: Vec<VecDeque<Vec<ChangeId>>>,
    journal: Vec<ChangeId>,
    /// The last change of each key that ever was.
    last: BTreeMap<String, ChangeId>,
    /// The time, in milliseconds of unix time.
    pub now: i64,
    /// The last change of everything.
    last_of_all: Option<ChangeId>,
    /// A transaction is under way: what changes is a part of it.
    transaction: Option<Transaction>,
}

/// A transaction under way.
#[derive(Debug, Default)]
struct Transaction {
    /// Its change, once it has changed something.
    id: Option<ChangeId>,
}

/// What a crash came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Survived {
    /// Changes that are there though nobody was told of them.
    pub unshown_kept: usize,
    /// Changes that are not there.
    pub lost: usize,
}

impl Durability {
    /// The data set as a process of so many shards finds it.
    pub fn new(base: Model, shards: u16) -> Durability {
        let shards = usize::from(shards);
        Durability {
            base,
            turns: vec![Vec::new(); shards],
            appended: vec![VecDeque::new(); shards],
            ..Durability::default()
        }
    }

    /// A call, or time, changed these keys on a shard; none given: all there are.
    pub fn changed(&mut self, shard: u16, what: What, keys: Option<&[&str]>) -> ChangeId {
        let id = match self.transaction.as_ref().map(|transaction| transaction.id) {
            None => self.add(shard, what),
            Some(None) => {
                let id = self.add(shard, What::Transaction(vec![what]));
                self.transaction = Some(Transaction { id: Some(id) });
                id
            }
            Some(Some(id)) => {
                if let What::Transaction(all) = &mut self.changes[id].what {
                    all.push(what);
                }
                id
            }
        };
        match keys {
            Some(keys) => keys.iter().for_each(|key| {
                self.last.insert((*key).to_owned(), id);
            }),
            None => {
                self.last.clear();
                self.last_of_all = Some(id);
            }
        }
        id
    }

    fn add(&mut self, shard: u16, what: What) -> ChangeId {
        let id = self.changes.len();
        self.changes.push(Change { what, shard, at: self.now, journaled: None, is_shown: false });
        self.turns[usize::from(shard)].push(id);
        id
    }

    /// A transaction begins: what changes up to its end is one change.
    pub fn begin(&mut self) {
        self.transaction = Some(Transaction::default());
    }

    /// The transaction is over, and has left nothing behind where it is not whole. Returns whether
    /// it has changed anything.
    pub fn end(&mut self, is_whole: bool) -> bool {
        let id = self.transaction.take().and_then(|transaction| transaction.id);
        id.filter(|_| !is_whole).into_iter().for_each(|id| self.take_back(id));
        id.is_some() && is_whole
    }

    /// A change of the turn under way was taken back.
    pub fn take_back(&mut self, id: ChangeId) {
        self.changes[id].what = What::Nothing;
    }

    /// The changes that one sees who looks at these keys.
    pub fn seen(&self, keys: Option<&[&str]>) -> Vec<ChangeId> {
        let own: Vec<ChangeId> = match keys {
            Some(keys) => keys.iter().filter_map(|key| self.last.get(*key).copied()).collect(),
            None => self.last.values().copied().collect(),
        };
        own.into_iter().chain(self.last_of_all).collect()
    }

    /// A shard sent the effects of its turn.
    pub fn appended(&mut self, shard: u16) {
        let turn = std::mem::take(&mut self.turns[usize::from(shard)]);
        self.appended[usize::from(shard)].push_back(turn);
    }

    /// The writer took the effects of a shard's turn in.
    pub fn taken(&mut self, shard: u16) {
        for id in self.appended[usize::from(shard)].pop_front().unwrap_or_default() {
            self.changes[id].journaled = Some(self.journal.len());
            self.journal.push(id);
        }
    }

    /// A reply left that shows these changes.
    pub fn shown(&mut self, ids: &[ChangeId]) {
        ids.iter().for_each(|id| self.changes[*id].is_shown = true);
    }

    /// Replicas may have all that the writer has taken in.
    pub fn shown_to_replicas(&mut self) {
        self.journal.iter().for_each(|id| self.changes[*id].is_shown = true);
    }

    /// The process ended, and the next one has found `there`. Returns what became of the changes.
    ///
    /// # Errors
    /// What is there is no prefix, or too short a one.
    pub fn recovered(&mut self, there: &Model, policy: Policy) -> Result<Survived, Broken> {
        let mut model = self.base.clone();
        let mut kept = (model == *there).then_some(0);
        let mut nearest = (different(&model, there).len(), 0);
        for (place, id) in self.journal.iter().enumerate() {
            self.changes[*id].what.apply(&mut model);
            if model == *there {
                kept = Some(place + 1);
            }
            nearest = nearest.min((different(&model, there).len(), place + 1));
        }
        let kept = kept.ok_or_else(|| self.explain(nearest.1, there))?;
        let is_lost = |change: &&Change| {
            let is_one = !matches!(change.what, What::Nothing);
            is_one && change.journaled.is_none_or(|place| place >= kept)
        };
        let lost: Vec<&Change> = self.changes.iter().filter(is_lost).collect();
        let shown = || lost.iter().filter(|change| change.is_shown);
        let is_broken = match policy {
            Policy::Always => shown().next().is_some(),
            Policy::EverySecond => {
                longest(shown().map(|change| (change.shard, change.at))) > LOST_WITHIN_MS
            }
            Policy::Never => false,
        };
        if is_broken {
            let first = lost.iter().find(|change| change.is_shown);
            return Err(format!("lost, though a reply showed it: {first:?}; {kept} were kept"));
        }
        let is_unshown = |id: &&ChangeId| !self.changes[**id].is_shown;
        let unshown_kept = self.journal[..kept].iter().filter(is_unshown).count();
        Ok(Survived { unshown_kept, lost: lost.len() })
    }

    /// How what is there differs from the prefix of so many changes.
    fn explain(&self, nearest: usize, there: &Model) -> Broken {
        let mut model = self.base.clone();
        let changes = |place: usize| self.journal.get(place).map(|id| &self.changes[*id]);
        (0..nearest).filter_map(changes).for_each(|change| change.what.apply(&mut model));
        let keys = different(&model, there).into_iter().map(|key| {
            let (expected, there) = (model.entries.get(key), there.entries.get(key));
            format!("{key} should be {expected:?} and is {there:?}")
        });
        let keys: Vec<String> = keys.collect();
        let last = nearest.checked_sub(1).and_then(changes);
        let (keys, length) = (keys.join(", "), self.journal.len());
        format!(
            "no prefix of the journal is on the disk; up to {nearest} of {length}, {last:?}: {keys}"
        )
    }
}

/// The longest time between two changes of one shard.
fn longest(changes: impl Iterator<Item = (u16, i64)>) -> i64 {
    let mut times: BTreeMap<u16, (i64, i64)> = BTreeMap::new();
    for (shard, at) in changes {
        let (first, last) = times.entry(shard).or_insert((at, at));
        (*first, *last) = (at.min(*first), at.max(*last));
    }
    times.values().map(|(first, last)| last - first).max().unwrap_or(0)
}

/// The keys that two data sets do not agree on.
fn different<'a>(expected: &'a Model, there: &'a Model) -> BTreeSet<&'a String> {
    let keys = expected.entries.keys().chain(there.entries.keys());
    keys.filter(|key| expected.entries.get(*key) != there.entries.get(*key)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is there after these calls.
    fn model(lines: &[&str]) -> Model {
        let mut model = Model::default();
        lines.iter().for_each(|line| drop(model.run(&Call::of(line), 0)));
        model
    }

    /// These calls ran on the first of two shards, a turn each, and are in the journal.
    fn journaled(lines: &[&str]) -> Durability {
        let mut durability = Durability::new(Model::default(), 2);
        for line in lines {
            change(&mut durability, 0, line);
            durability.appended(0);
            durability.taken(0);
        }
        durability
    }

    fn change(durability: &mut Durability, shard: u16, line: &str) {
        let call = Call::of(line);
        let keys = call.keys();
        durability.changed(shard, What::Call(call.clone(), 0), keys.as_deref());
    }

    #[test]
    fn what_a_reply_showed_must_be_there_under_always() {
        let mut durability = journaled(&["SET a 1", "SET b 2"]);
        assert!(durability.recovered(&model(&["SET a 1"]), Policy::Always).is_ok());
        let seen = durability.seen(Some(&["b"]));
        durability.shown(&seen);
        assert!(durability.recovered(&model(&["SET a 1"]), Policy::Always).is_err());
        assert!(durability.recovered(&model(&["SET a 1"]), Policy::Never).is_ok());
        assert!(durability.recovered(&model(&["SET a 1", "SET b 2"]), Policy::Always).is_ok());
    }

    #[test]
    fn what_is_there_must_be_a_prefix_of_whole_calls() {
        let mut durability = journaled(&["SET a 1", "MSET b 2 c 2"]);
        for there in [&["SET b 2"][..], &["SET a 1", "SET b 2"], &["SET a 2"]] {
            let recovered = durability.recovered(&model(there), Policy::Never);
            assert!(recovered.is_err(), "{there:?}");
        }
    }

    #[test]
    fn a_transaction_is_one_change_or_none() {
        for is_whole in [true, false] {
            let mut durability = Durability::new(Model::default(), 1);
            durability.begin();
            change(&mut durability, 0, "SET a 1");
            change(&mut durability, 0, "SET b 1");
            assert_eq!(durability.end(is_whole), is_whole);
            durability.appended(0);
            durability.taken(0);
            let mut is_there =
                |lines: &[&str]| durability.recovered(&model(lines), Policy::Never).is_ok();
            assert!(is_there(&[]) && !is_there(&["SET a 1"]), "half of it is there");
            assert_eq!(is_there(&["SET a 1", "SET b 1"]), is_whole);
        }
    }

    #[test]
    fn the_order_is_that_in_which_the_writer_takes_turns_in() {
        let mut durability = Durability::new(Model::default(), 2);
        change(&mut durability, 0, "SET a 1");
        change(&mut durability, 1, "SET b 1");
        durability.appended(0);
        durability.appended(1);
        durability.taken(1);
        durability.taken(0);
        assert!(durability.recovered(&model(&["SET a 1"]), Policy::Never).is_err());
        assert!(durability.recovered(&model(&["SET b 1"]), Policy::Never).is_ok());
    }

    #[test]
    fn under_everysec_what_is_lost_was_acknowledged_within_two_seconds() {
        for (apart, is_fine) in [(1_000, true), (6_000, false)] {
            let mut durability = Durability::new(Model::default(), 1);
            for (line, at) in [("SET a 1", 1_000), ("SET b 1", 1_000 + apart)] {
                durability.now = at;
                let id = durability.changed(0, What::Call(Call::of(line), 0), Some(&["a"]));
                durability.shown(&[id]);
            }
            let recovered = durability.recovered(&Model::default(), Policy::EverySecond);
            assert_eq!(recovered.is_ok(), is_fine, "{apart} ms apart");
        }
    }

    #[test]
    fn who_looks_at_everything_sees_the_last_change_of_each_key() {
        let mut durability = journaled(&["SET a 1", "SET b 1", "SET a 2"]);
        assert_eq!(durability.seen(None), [2, 1]);
        change(&mut durability, 0, "FLUSHALL");
        assert_eq!((durability.seen(None), durability.seen(Some(&["a"]))), (vec![3], vec![3]));
    }
}
