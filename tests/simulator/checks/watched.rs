//! WATCH, independently of how the server does it: each watched key is compared with what the model
//! holds, after everything that happens.
//!
//! EXEC must fail where the value, the existence or the deadline of a key has changed, also where
//! the key has expired. It must not fail where nobody has touched the key. In between, as after a
//! SET of the same value or the rebuild of a shard, it may do either.

use crate::model::{Entry, Model};

/// A key that is watched.
#[derive(Debug)]
struct Watch {
    key: String,
    /// It was not there when the watch began, or past its deadline.
    was_absent: bool,
    /// What was there when last looked at.
    last: Option<Entry>,
    /// When it had changed.
    changed: Option<u64>,
    is_touched: bool,
}

/// The keys that a client watches.
#[derive(Debug, Default)]
pub struct Watches(Vec<Watch>);

fn is_expired(entry: &Entry, now: i64) -> bool {
    entry.deadline.is_some_and(|deadline| deadline <= now)
}

impl Watches {
    /// Begins to watch a key at `now`.
    pub fn begin(&mut self, key: &str, model: &Model, now: i64) {
        if self.0.iter().any(|watch| watch.key == key) {
            return;
        }
        let last = model.entries.get(key).cloned();
        let was_absent = last.as_ref().is_none_or(|entry| is_expired(entry, now));
        let (key, changed) = (key.to_owned(), None);
        self.0.push(Watch { key, was_absent, last, changed, is_touched: false });
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Something has happened, as the `tick`th thing.
    pub fn look(&mut self, model: &Model, tick: u64) {
        for watch in &mut self.0 {
            let there = model.entries.get(&watch.key);
            if there == watch.last.as_ref() {
                continue;
            }
            // One that was past its deadline was only taken out.
            if there.is_some() || !watch.was_absent {
                watch.changed.get_or_insert(tick);
            }
            watch.last = there.cloned();
        }
    }

    /// Somebody has written to these keys, or to any.
    pub fn touched(&mut self, keys: Option<&[&str]>) {
        for watch in &mut self.0 {
            watch.is_touched |= keys.is_none_or(|keys| keys.contains(&watch.key.as_str()));
        }
    }

    /// What has changed from the `tick`th thing on was taken back.
    pub fn taken_back(&mut self, tick: u64, model: &Model) {
        for watch in &mut self.0 {
            watch.is_touched = true;
            watch.last = model.entries.get(&watch.key).cloned();
            watch.changed = watch.changed.filter(|changed| *changed < tick);
        }
    }

    /// The key for which EXEC must fail at `now`, if there is one.
    pub fn must_fail(&self, now: i64) -> Option<&str> {
        let has_expired = |watch: &Watch| {
            let last = watch.last.as_ref();
            !watch.was_absent && last.is_some_and(|entry| is_expired(entry, now))
        };
        let is_one = |watch: &&Watch| watch.changed.is_some() || has_expired(watch);
        self.0.iter().find(is_one).map(|watch| watch.key.as_str())
    }

    /// Whether EXEC may fail at `now`.
    pub fn may_fail(&self, now: i64) -> bool {
        self.must_fail(now).is_some() || self.0.iter().any(|watch| watch.is_touched)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Call;

    /// Watches of `k` from the time 10 on, over what these lines do before and after that.
    fn watched(before: &[&str], after: &[&str]) -> Watches {
        let (mut model, mut watches) = (Model::default(), Watches::default());
        before.iter().for_each(|line| drop(model.run(&Call::of(line), 0)));
        watches.begin("k", &model, 10);
        for line in after {
            model.run(&Call::of(line), 10);
            watches.look(&model, 1);
        }
        watches
    }

    #[test]
    fn exec_must_fail_when_the_key_is_another_one() {
        for (before, after) in [
            (&["SET k 1"][..], &["SET k 2"][..]),
            (&["SET k 1"], &["DEL k"]),
            (&[], &["SET k 1"]),
            (&["SET k 1"], &["PEXPIRE k 100"]),
            (&["SET k 1"], &["SET k 2", "SET k 1"]),
            (&[], &["SET k 1", "DEL k"]),
        ] {
            assert!(watched(before, after).must_fail(10).is_some(), "{before:?} {after:?}");
        }
        assert!(watched(&["SET k 1"], &["SET j 2"]).must_fail(10).is_none());
        assert!(!watched(&["SET k 1"], &["SET j 2"]).may_fail(10));
    }

    #[test]
    fn exec_must_fail_when_the_key_has_expired_since() {
        let watches = watched(&["SET k 1 PX 50"], &[]);
        assert!(watches.must_fail(49).is_none() && watches.must_fail(50).is_some());
        let watches = watched(&["SET k 1 PX 5"], &[]);
        assert!(watches.must_fail(50).is_none(), "it had expired before");
        let watches = watched(&["SET k 1 PX 5"], &["DEL k"]);
        assert!(!watches.may_fail(50), "what had expired was taken out");
        let (mut model, mut watches) = (Model::default(), Watches::default());
        model.run(&Call::of("SET k 1 PX 5"), 0);
        watches.begin("k", &model, 10);
        watches.touched(None);
        watches.look(&Model::default(), 1);
        assert!(watches.must_fail(50).is_none(), "a shard was rebuilt, and so it was taken out");
    }

    #[test]
    fn in_between_both_are_allowed() {
        let mut watches = watched(&["SET k 1"], &["SET k 1"]);
        watches.touched(Some(&["k"]));
        assert!(watches.must_fail(10).is_none() && watches.may_fail(10));
        let mut watches = watched(&["SET k 1"], &["SET k 2"]);
        watches.taken_back(1, &Model::default());
        assert!(watches.must_fail(10).is_none() && watches.may_fail(10));
    }
}
