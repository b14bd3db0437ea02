//! What becomes of the journal while the server runs: which step follows which.
//!
//! A base is a snapshot, and the journal goes on with another increment at its moment. A journal
//! that is on is rewritten so. One that begins has no increment until then: what shards record
//! ahead of the moment goes nowhere. It is on when its base is durable and listed in the manifest:
//! from then on replies wait for it as `appendfsync` says. Where no journal is on, a base can be
//! written all the same, for the next start. Whatever fails on the way leaves all as it was. A
//! journal that ends is written out and synced first.
//!
//! The shell carries out each step that `next_step` gives, and hands `hear` what comes of it.
//! Nothing is asked for twice, and nothing is waited for but events. A change does not depend on
//! the client that asked for it: it goes to its end without that.
//!
//! A shard that panics before a journal that begins is on goes on with what it holds. That may
//! differ from what it has recorded, so the base is given up.

use crate::route::ShardId;
use crate::stream::Policy;

/// What the shell has to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Start a writer that has no file yet: `Started`.
    Start,
    /// Tell every shard that there is a journal, whose base is to be: `Heard`.
    BeginBase,
    /// Have a snapshot written that is a base: `Saved`, `Panicked`.
    Save,
    /// Tell the writer that the base is whole: `Listed`.
    List,
    /// Tell the writer that there is none: `Forgotten`.
    Forget,
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
    /// The base is whole and durable.
    Saved,
    /// A shard has panicked.
    Panicked(ShardId),
    /// The base is listed.
    Listed,
    /// What there was of the base is gone.
    Forgotten,
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
    Saving,
    Listing,
    Forgetting,
    Taking,
    Syncing,
    AskingPhases,
    Leaving,
    Closing,
    Over,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A journal begins.
    Begin(Policy),
    /// The journal that is on gets a new base.
    Rewrite,
    /// No journal is on.
    OnlyBase,
    /// The journal ends.
    End,
}

/// A change on its way.
#[derive(Debug)]
pub struct Change {
    kind: Kind,
    state: State,
    step: Option<Step>,
    under_way: Option<Step>,
    result: Result<(), String>,
}

impl Change {
    /// A journal begins.
    pub fn begin(policy: Policy) -> Change {
        Change::of(Kind::Begin(policy), State::Starting, Step::Start)
    }

    /// The journal that is on is rewritten.
    pub fn rewrite() -> Change {
        Change::of(Kind::Rewrite, State::Saving, Step::Save)
    }

    /// A base is written where no journal is on.
    pub fn only_base() -> Change {
        Change::of(Kind::OnlyBase, State::Starting, Step::Start)
    }

    /// The journal ends, unless a shard is being rebuilt from it.
    pub fn end() -> Change {
        Change::of(Kind::End, State::AskingPhases, Step::AskPhases)
    }

    fn of(kind: Kind, state: State, step: Step) -> Change {
        Change { kind, state, step: Some(step), under_way: None, result: Ok(()) }
    }

    /// Whether there is a journal, which goes on from the moment of the base.
    pub fn is_with_journal(&self) -> bool {
        self.kind != Kind::OnlyBase
    }

    /// The step to be carried out now, if there is one; it is given once.
    pub fn next_step(&mut self) -> Option<Step> {
        let step = self.step.take();
        self.under_way = step.or(self.under_way);
        step
    }

    /// The step that was given last.
    pub fn under_way(&self) -> Option<Step> {
        self.under_way
    }

    /// How it ended, once it has ended: done, or why all is as it was.
    pub fn outcome(&self) -> Option<&Result<(), String>> {
        (self.state == State::Over).then_some(&self.result)
    }

    /// Takes what came of a step. What comes late, when it is not waited for any more, is passed
    /// over.
    pub fn hear(&mut self, event: Event) {
        match (self.state, event) {
            (State::Starting, Event::Started) if self.kind == Kind::OnlyBase => {
                self.go(State::Saving, Step::Save);
            }
            (State::Starting, Event::Started) => self.go(State::BeginningBase, Step::BeginBase),
            (State::BeginningBase, Event::Heard(Step::BeginBase)) => {
                self.go(State::Saving, Step::Save);
            }
            (State::Saving, Event::Saved) => self.go(State::Listing, Step::List),
            (State::Listing, Event::Listed) => match self.kind {
                Kind::Begin(policy) => self.go(State::Taking, Step::Take(policy)),
                Kind::OnlyBase => self.go(State::Closing, Step::Close),
                Kind::Rewrite | Kind::End => self.state = State::Over,
            },
            // What was answered since the base was listed did not wait for the journal.
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
            // What was to end with a fault is left as it is, and has ended.
            (State::Closing, Event::Closed | Event::Failed(_))
            | (State::Forgetting, Event::Forgotten | Event::Failed(_)) => self.state = State::Over,
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
        match self.kind {
            Kind::Rewrite => self.go(State::Forgetting, Step::Forget),
            Kind::OnlyBase => self.go(State::Closing, Step::Close),
            Kind::Begin(_) | Kind::End => self.go(State::Leaving, Step::Leave),
        }
    }
}

impl State {
    /// True while there is something to be left.
    fn can_fail(self) -> bool {
        use State::{BeginningBase, Listing, Saving, Syncing, Taking};
        matches!(self, BeginningBase | Saving | Listing | Taking | Syncing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of a step where nothing fails.
    fn success(step: Step) -> Event {
        match step {
            Step::Start => Event::Started,
            Step::BeginBase | Step::Take(_) | Step::Leave => Event::Heard(step),
            Step::Save => Event::Saved,
            Step::List => Event::Listed,
            Step::Forget => Event::Forgotten,
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

    /// How a change begins, its steps, and those that end it where it fails.
    type Way = (fn() -> Change, Vec<Step>, Vec<Step>);

    /// Each kind of change that writes a base.
    fn ways() -> Vec<Way> {
        use Step::{BeginBase, Close, Forget, Leave, List, Save, Start, Sync, Take};
        let begin = [Start, BeginBase, Save, List];
        let way = |last: &[Step]| [&begin, last].concat();
        vec![
            (
                || Change::begin(Policy::Always),
                way(&[Take(Policy::Always), Sync]),
                vec![Leave, Close],
            ),
            (
                || Change::begin(Policy::EverySecond),
                way(&[Take(Policy::EverySecond)]),
                vec![Leave, Close],
            ),
            (|| Change::begin(Policy::Never), way(&[Take(Policy::Never)]), vec![Leave, Close]),
            (Change::rewrite, vec![Save, List], vec![Forget]),
            (Change::only_base, vec![Start, Save, List, Close], vec![Close]),
        ]
    }

    #[test]
    fn a_base_is_written_and_listed() {
        for (change, steps, _) in ways() {
            assert_eq!(carry_out(change(), success), (steps, Ok(())));
        }
    }

    #[test]
    fn a_fault_at_any_step_leaves_all_as_it_was() {
        for (change, steps, end) in ways() {
            for (count, at) in (1..).zip(&steps).filter(|(_, at)| **at != Step::Close) {
                let event = |step| match step == *at {
                    true => Event::Failed(format!("{at:?}")),
                    false => success(step),
                };
                let (taken, result) = carry_out(change(), event);
                let mut expected = steps[..count].to_vec();
                if *at != Step::Start {
                    expected.extend(&end);
                }
                assert_eq!((taken, result), (expected, Err(format!("{at:?}"))));
            }
        }
    }

    #[test]
    fn a_shard_that_panics_meanwhile_ends_the_try() {
        let (change, steps, end) = ways().swap_remove(0);
        for (count, at) in (2..).zip(&steps[1..]) {
            let event = |step| if step == *at { Event::Panicked(3) } else { success(step) };
            let (taken, result) = carry_out(change(), event);
            assert_eq!((&taken[..count], &taken[count..]), (&steps[..count], &end[..]));
            assert_eq!(result, Err("shard 3 has panicked meanwhile".to_owned()));
        }
    }

    #[test]
    fn what_comes_late_changes_nothing() {
        let mut change = Change::rewrite();
        assert_eq!(change.next_step(), Some(Step::Save));
        change.hear(Event::Failed("the disk is full".to_owned()));
        assert_eq!(change.next_step(), Some(Step::Forget));
        for late in [
            Event::Saved,
            Event::Heard(Step::BeginBase),
            Event::Panicked(0),
            Event::Listed,
            Event::Synced,
        ] {
            change.hear(late);
            assert_eq!((change.next_step(), change.outcome()), (None, None));
        }
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
