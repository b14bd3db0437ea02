//! A journal that begins, and one that ends, while the server runs: which step follows which.
//!
//! A journal begins with a base, which the shards write piece by piece as commands
//! (`crate::shard::new_base`). The journal is on when the base is whole, durable and listed in the
//! manifest: from then on replies wait for it as `appendfsync` says. Whatever fails on the way
//! leaves the server without a journal, as it was. A journal that ends is written out and synced
//! first.
//!
//! The shell carries out each step that `next_step` gives, and hands `hear` what comes of it.
//! Nothing is asked for twice, and nothing is waited for but events. Each slot is written once, by
//! whichever shard has it then. So the base is whole when as many slots are reported as there are.
//! A change does not depend on the client that asked for it: it goes to its end without that.
//!
//! A shard that panics before its slots are written goes on with what it holds. That may differ
//! from what it has written, so the base is given up.

use crate::base::slot::SLOTS;
use crate::route::ShardId;
use crate::stream::Policy;

/// What the shell has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start a writer over the file of a new base, which reports its faults: `Started`.
    Start,
    /// Tell every shard that there is a journal, which is empty: `Heard`.
    BeginBase,
    /// Tell every shard to write its slots to the base: `SlotsWritten`, `Panicked`.
    WriteBase,
    /// Tell the writer that the base is whole: `Switched`.
    Switch,
    /// Tell the writer and every shard that there is a journal that holds the data set: `Heard`.
    Take(Policy),
    /// Ask the writer when all that came before is durable: `Synced`.
    Sync,
    /// Ask every shard whether it serves: `Serving`.
    AskPhases,
    /// Tell every shard that there is no journal any more: `Heard`.
    Leave,
    /// Tell the writer to write out everything and to end: `Closed`.
    Close,
}

/// What came of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// There is a writer.
    Started,
    /// Every shard has taken up what this step told it.
    Heard(Step),
    /// A shard has written so many slots more. The last of them are on their way to the writer.
    SlotsWritten(u32),
    /// A shard has panicked.
    Panicked(ShardId),
    /// The base is durable and listed.
    Switched,
    /// All is durable.
    Synced,
    /// Whether every shard serves.
    Serving(bool),
    /// The writer has ended.
    Closed,
    /// Something failed: why.
    Failed(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    BeginningBase,
    /// So many slots are written.
    WritingBase(u32),
    Switching,
    Taking,
    Syncing,
    AskingPhases,
    Leaving,
    Closing,
    Over,
}

/// A change on its way.
#[derive(Debug)]
pub struct Change {
    state: State,
    step: Option<Step>,
    policy: Policy,
    result: Result<(), String>,
}

impl Change {
    /// A journal begins.
    pub fn begin(policy: Policy) -> Change {
        Change { state: State::Starting, step: Some(Step::Start), policy, result: Ok(()) }
    }

    /// The journal ends, unless a shard is being rebuilt from it.
    pub fn end() -> Change {
        let (state, step) = (State::AskingPhases, Some(Step::AskPhases));
        Change { state, step, policy: Policy::default(), result: Ok(()) }
    }

    /// The step to be carried out now, if there is one; it is given once.
    pub fn next_step(&mut self) -> Option<Step> {
        self.step.take()
    }

    /// How it ended, once it has ended: done, or why all is as it was.
    pub fn outcome(&self) -> Option<&Result<(), String>> {
        (self.state == State::Over).then_some(&self.result)
    }

    /// Takes what came of a step. What comes late, when it is not waited for any more, is passed
    /// over.
    pub fn hear(&mut self, event: Event) {
        match (self.state, event) {
            (State::Starting, Event::Started) => self.go(State::BeginningBase, Step::BeginBase),
            (State::BeginningBase, Event::Heard(Step::BeginBase)) => {
                self.go(State::WritingBase(0), Step::WriteBase);
            }
            (State::WritingBase(written), Event::SlotsWritten(more)) => {
                self.state = State::WritingBase(written + more);
                if written + more >= u32::from(SLOTS) {
                    self.go(State::Switching, Step::Switch);
                }
            }
            (State::Switching, Event::Switched) => self.go(State::Taking, Step::Take(self.policy)),
            // What was answered since the base was whole did not wait for the journal.
            (State::Taking, Event::Heard(Step::Take(Policy::Always))) => {
                self.go(State::Syncing, Step::Sync);
            }
            (State::Taking, Event::Heard(Step::Take(_))) | (State::Syncing, Event::Synced) => {
                self.state = State::Over;
            }
            (State::AskingPhases, Event::Serving(true)) => self.go(State::Leaving, Step::Leave),
            (State::AskingPhases, Event::Serving(false)) => {
                self.refuse("a shard is being rebuilt from it".to_owned());
            }
            (State::Leaving, Event::Heard(Step::Leave)) => self.go(State::Closing, Step::Close),
            // A journal that ends with a fault is left as it is, and has ended.
            (State::Closing, Event::Closed | Event::Failed(_)) => self.state = State::Over,
            (State::Starting, Event::Failed(why)) => self.refuse(why),
            (state, Event::Failed(why)) if state.can_fail() => self.fail(why),
            (state, Event::Panicked(shard)) if state.can_fail() => {
                self.fail(format!("shard {shard} has panicked meanwhile"));
            }
            _ => {}
        }
    }

    fn go(&mut self, state: State, step: Step) {
        (self.state, self.step) = (state, Some(step));
    }

    fn refuse(&mut self, why: String) {
        (self.state, self.step, self.result) = (State::Over, None, Err(why));
    }

    fn fail(&mut self, why: String) {
        self.result = Err(why);
        self.go(State::Leaving, Step::Leave);
    }
}

impl State {
    /// True while a journal begins and there is something to be left.
    fn can_fail(self) -> bool {
        use State::{BeginningBase, Switching, Syncing, Taking, WritingBase};
        matches!(self, BeginningBase | WritingBase(_) | Switching | Taking | Syncing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: u32 = SLOTS as u32;

    /// What comes of a step where nothing fails.
    fn success(step: Step) -> Event {
        match step {
            Step::Start => Event::Started,
            Step::BeginBase | Step::Take(_) | Step::Leave => Event::Heard(step),
            Step::WriteBase => Event::SlotsWritten(ALL),
            Step::Switch => Event::Switched,
            Step::Sync => Event::Synced,
            Step::AskPhases => Event::Serving(true),
            Step::Close => Event::Closed,
        }
    }

    /// Carries a change out; returns its steps and how it ended.
    fn carry_out(
        mut change: Change,
        event: impl Fn(Step) -> Event,
    ) -> (Vec<Step>, Result<(), String>) {
        let mut steps = Vec::new();
        while let Some(step) = change.next_step() {
            assert_eq!(change.outcome(), None);
            steps.push(step);
            change.hear(event(step));
        }
        (steps, change.outcome().expect("it has ended").clone())
    }

    fn way(policy: Policy) -> Vec<Step> {
        let mut steps = vec![Step::Start, Step::BeginBase, Step::WriteBase, Step::Switch];
        steps.push(Step::Take(policy));
        steps.extend((policy == Policy::Always).then_some(Step::Sync));
        steps
    }

    #[test]
    fn a_journal_begins_under_each_policy() {
        for policy in [Policy::Always, Policy::EverySecond, Policy::Never] {
            assert_eq!(carry_out(Change::begin(policy), success), (way(policy), Ok(())));
        }
    }

    #[test]
    fn a_fault_at_any_step_leaves_the_server_without_a_journal() {
        let steps = way(Policy::Always);
        for (count, at) in (1..).zip(&steps) {
            let event = |step| match step == *at {
                true => Event::Failed(format!("{at:?}")),
                false => success(step),
            };
            let (taken, result) = carry_out(Change::begin(Policy::Always), event);
            let mut expected = steps[..count].to_vec();
            if *at != Step::Start {
                expected.extend([Step::Leave, Step::Close]);
            }
            assert_eq!(taken, expected);
            assert_eq!(result, Err(format!("{at:?}")));
        }
    }

    #[test]
    fn a_shard_that_panics_meanwhile_ends_the_try() {
        let steps = way(Policy::Always);
        for (count, at) in (2..).zip(&steps[1..]) {
            let event = |step| if step == *at { Event::Panicked(3) } else { success(step) };
            let (taken, result) = carry_out(Change::begin(Policy::Always), event);
            assert_eq!(taken[..count], steps[..count]);
            assert_eq!(taken[count..], [Step::Leave, Step::Close]);
            assert_eq!(result, Err("shard 3 has panicked meanwhile".to_owned()));
        }
    }

    fn writing_base() -> Change {
        let mut change = Change::begin(Policy::Never);
        for _ in 0..2 {
            let step = change.next_step().expect("it goes on");
            change.hear(success(step));
        }
        assert_eq!(change.next_step(), Some(Step::WriteBase));
        change
    }

    #[test]
    fn a_base_is_whole_when_every_slot_is_written() {
        let mut change = writing_base();
        for written in [ALL / 2, 1, ALL / 2 - 2] {
            change.hear(Event::SlotsWritten(written));
            assert_eq!(change.next_step(), None);
        }
        change.hear(Event::SlotsWritten(1));
        assert_eq!((change.next_step(), change.next_step()), (Some(Step::Switch), None));
    }

    #[test]
    fn what_comes_late_changes_nothing() {
        let mut change = writing_base();
        change.hear(Event::Failed("the disk is full".to_owned()));
        assert_eq!(change.next_step(), Some(Step::Leave));
        for late in [
            Event::SlotsWritten(ALL),
            Event::Heard(Step::BeginBase),
            Event::Panicked(0),
            Event::Failed("later".to_owned()),
            Event::Switched,
        ] {
            change.hear(late);
            assert_eq!((change.next_step(), change.outcome()), (None, None));
        }
        change.hear(Event::Heard(Step::Leave));
        assert_eq!(change.next_step(), Some(Step::Close));
        // Whatever the writer says of a file that is given up.
        change.hear(Event::Failed("it cannot be removed".to_owned()));
        assert_eq!(change.outcome(), Some(&Err("the disk is full".to_owned())));
    }

    #[test]
    fn a_journal_ends_when_every_shard_serves() {
        let way = vec![Step::AskPhases, Step::Leave, Step::Close];
        assert_eq!(carry_out(Change::end(), success), (way.clone(), Ok(())));
        let event = |step| match step {
            Step::AskPhases => Event::Serving(false),
            step => success(step),
        };
        let (steps, result) = carry_out(Change::end(), event);
        assert_eq!((&steps[..], result.is_err()), (&way[..1], true));
        let event = |step| match step {
            Step::Close => Event::Failed("a failed sync".to_owned()),
            step => success(step),
        };
        assert_eq!(carry_out(Change::end(), event), (way, Ok(())));
    }
}
