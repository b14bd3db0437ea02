//! Which rare states runs have met, and how often.
//!
//! A state that no run of a large batch meets is one that nothing is known of: it fails the batch.

use std::fmt;

macro_rules! rare {
    ($($name:ident $words:literal,)*) => {
        /// A state that is seldom met.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Rare { $(#[doc = $words] $name,)* }
        const WORDS: &[&str] = &[$($words,)*];
    };
}

rare! {
    TornLoan "a loan came back torn",
    MovedWhileHolding "a visitor that held slots met one that had moved",
    LentInRebuild "a rebuild began with slots lent",
    CreditOut "writes were held back because the journal did not keep up",
    CrashBeforeDirectorySync "power went before a directory was synced",
    CrashBeforeRound "the process ended with appends that waited for the writer's round",
    TornTail "power went in the middle of a write, and a torn tail was cut",
    HoleInTail "power left a hole in what was not synced",
    TurnedBack "a visitor was turned back",
    MovesHeld "slots stayed for a command over everything that had to start again",
    Misconf "a write was refused because the journal had failed",
    JournalLost "a sync failed",
    BatchDropped "a batch was dropped on its way",
    SlowReaderCut "a slow reader was cut off",
    CommandPanic "a command panicked half way",
    ShardPanic "a shard panicked outside of a command",
    WriterPanic "the writer panicked",
    RouterPanic "the router panicked",
    PanicInRebuild "a shard panicked while it was rebuilt",
    SlotMoved "a slot moved",
    MovedByLoad "slots were told to move from a busy shard to an idle one",
    Followed "a client went to the thread where its commands ran",
    ActedOnTheWay "a client sent something or ended while it went to another thread",
    HalfClosed "a client ended its half, and was answered all the same",
    ClosedUnanswered "a connection closed with calls unanswered",
    Killed "the process was killed with calls under way",
    PowerCut "the machine lost power with calls under way",
    UnackedKept "a write that nobody was told of outlived a crash",
    UnackedLost "a write that nobody was told of did not outlive a crash",
    Expired "a key expired",
    Evicted "a key was evicted",
    OutOfMemory "a write was refused because no key could be evicted",
    Loading "a call met a shard in rebuild",
    WatchFailed "EXEC ran nothing because a watched key had changed",
    ExecAborted "EXEC ran nothing because a command was not queued",
    ExecOverShards "EXEC ran over several shards",
    ExecPanicked "EXEC panicked half way",
    ServedElsewhere "a wait was served on another shard than its client's",
    ServedChain "a wait was served with what another wait had moved",
    ServePanicked "serving a wait panicked",
    TimedOut "a wait timed out",
    EndedWhileWaiting "a client ended while it waited",
    WaitedAgain "a wait was registered again at a shard that was rebuilt",
    Rewritten "the journal was rewritten",
    RewriteFailed "a rewrite of the journal failed",
    Healing "a journal that had failed was rewritten",
    BaseAtCrash "the process ended while the journal was rewritten",
    PushHeld "an invalidation was held while its client's batch was away",
    MovedSinceRead "a key was told of whose slot had moved since it was read",
    CachesFlushed "caches were flushed because a shard was rebuilt",
    ScriptRanAgain "a script ran again, where more slots were",
    ScriptStoodStill "a script stood still",
    ScriptFailed "a script failed in the middle",
    ScriptKilled "a script that had only read was ended",
    ScriptUndone "a script that had written was ended and undone",
    ScriptPanicked "a command of a script panicked",
    NoScript "a script was called by its digest that nobody knew",
    Busy "a call met a script that had run too long",
    GaveUp "the process ended because a shard could not be rebuilt",
    StreamEnded "the stream was not recorded any more",
    SyncFailed "the snapshot of a full sync failed",
    FullSync "a replica had a full sync",
    PartialSync "a replica went on from where it was",
    ReplicaKilled "a replica was killed",
    ReplicaReadBack "a replica came back with what its journal had",
    ReplicaKnewItsPlace "a replica came back and knew its place in the stream",
    Promoted "a replica was made a primary",
    WentOnRenamed "a replica went on with a stream that had another id before",
    Demoted "a primary was made a replica",
    LinkCut "a link was cut while the stream came",
    LinkBroken "a link broke off in the midst of what came",
    SyncCut "a link was cut in a full sync",
}

/// How often each was met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; WORDS.len()]);

impl Default for Counts {
    fn default() -> Counts {
        Counts([0; WORDS.len()])
    }
}

impl Counts {
    /// It was met once more.
    pub fn met(&mut self, rare: Rare) {
        self.0[rare as usize] += 1;
    }

    /// Adds those of another run.
    pub fn add(&mut self, other: &Counts) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }

    /// What was never met.
    pub fn never(&self) -> Vec<&'static str> {
        let counts = self.0.iter().zip(WORDS);
        counts.filter(|(count, _)| **count == 0).map(|(_, words)| *words).collect()
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().zip(WORDS).try_for_each(|(count, words)| writeln!(f, "{count:>9}  {words}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_run_met_is_named() {
        let (mut counts, mut other) = (Counts::default(), Counts::default());
        counts.met(Rare::TornLoan);
        other.met(Rare::Expired);
        counts.add(&other);
        let never = counts.never();
        assert_eq!(never.len(), WORDS.len() - 2);
        assert!(!never.contains(&"a key expired") && never.contains(&"a slot moved"));
    }
}
