//! Whether a client goes to another thread: the one of the shard where its commands run.
//!
//! A command whose keys are on another thread than its client costs a hop there and back. Where
//! nearly all commands of a window ran at one other shard, the connection wants to go there. It is
//! slow to: the window has to be long and to have enough commands, and a client that has moved
//! stays for a while, whatever it calls. Time is that of the batches, so a wall clock that is set
//! forward may cut a rest short; a move is right at any time.
//!
//! It goes between two batches, when all that was answered is written: so nothing is under way for
//! it, and nothing that is sent to where it was is missed. A client that others reach where it is
//! stays there: a replica, the primary, a monitor, one that has ever subscribed or had keys
//! tracked, and one that another client has named. So does one that waits, since its batch is not
//! done. MULTI and WATCH stand in the session, which goes along.

use std::any::Any;
use std::cell::RefCell;
use std::mem::take;
use std::rc::Rc;

use super::ends::Ends;
use super::input::Input;
use super::output::Output;
use super::{Connection, Step};
use crate::base::millis::Millis;
use crate::batch::{Batch, Home, RanAt};
use crate::clients::Row;
use crate::commands::run::Copies;
use crate::route::ShardId;
use crate::session::Session;
use crate::settings::Settings;

/// How fast clients follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// For how long it is counted where commands run, in milliseconds.
    pub window_ms: i64,
    /// How many have to be counted.
    pub calls: u32,
    /// For how long a client stays that has moved, in milliseconds.
    pub rest_ms: i64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { window_ms: 2_000, calls: 100, rest_ms: 10_000 }
    }
}

/// Where a client wants to be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Following {
    pace: Pace,
    /// When the window began; none before the first batch came home.
    began: Option<Millis>,
    /// When the last batch came home.
    now: Millis,
    /// Until when it stays where it is; none where it has not moved.
    rests_until: Option<Millis>,
    /// The shard to whose thread it wants to go.
    wish: Option<ShardId>,
    /// Somebody reaches it where it is, and does so for as long as it lives.
    pub(super) stays: bool,
}

impl Following {
    /// A batch is home at `now`, on the thread of the shard `own`. Where the window is over, what
    /// was counted begins anew.
    #[inline]
    pub(super) fn came_home(&mut self, own: ShardId, ran: &mut RanAt, now: Millis) {
        self.now = now;
        let began = *self.began.get_or_insert(now);
        if now < began {
            self.began = Some(now);
        } else if now.since(began) >= self.pace.window_ms {
            self.began = Some(now);
            let nearly_all = take(ran).nearly_all(self.pace.calls);
            self.wish = nearly_all.filter(|shard| *shard != own && !self.rests());
        }
    }

    fn rests(&self) -> bool {
        self.rests_until.is_some_and(|until| self.now < until)
    }

    /// It goes now.
    fn goes(&mut self) {
        self.rests_until = Some(self.now.saturating_add(self.pace.rest_ms));
        (self.began, self.wish) = (None, None);
    }
}

/// What of a connection goes to another thread: all that it has but its socket, and what takes
/// requests off its input. Nothing is under way for it.
#[derive(Debug)]
pub struct Leaving {
    batch: Box<Batch>,
    input: Input,
    before_login: usize,
    output: Output,
    ends: Ends,
    copies: Copies,
    following: Following,
    row: Row,
}

impl Connection {
    /// Follows its keys at another pace than usual.
    pub fn follow_at(&mut self, pace: Pace) {
        self.following.pace = pace;
    }

    /// Somebody reaches it where it is: it stays there from now on.
    pub fn stay(&mut self) {
        self.following.stays = true;
    }

    /// The step of a connection with nothing under way that wants to go, and may. Where the driver
    /// does not let it, it stays for another window.
    #[inline]
    pub(super) fn leaves(&mut self, session: &Session, settings: &Settings) -> Option<Step> {
        let shard = self.following.wish.take()?;
        let is_reached = self.following.stays
            || session.is_primary()
            || session.is_replica
            || session.presented.is_some()
            || session.monitors
            || session.tracking.is_some()
            || session.subscribed.is_known_elsewhere();
        let may_go = settings.rebalancing.clients && !is_reached;
        let is_whole = self.ends == Ends::Open && !session.closing && !self.holds_pushes();
        (may_go && is_whole).then_some(Step::GoTo(shard))
    }

    /// Gives up all that it has, after [`Step::GoTo`]; it is to be dropped. None where something is
    /// under way for it.
    pub fn leave(&mut self) -> Option<Box<Leaving>> {
        let is_whole = |batch: &mut Box<Batch>| {
            batch.is_done() && batch.action.is_none() && batch.parked.is_none()
        };
        let mut batch = self.batch.take_if(is_whole)?;
        batch.clear();
        self.following.goes();
        Some(Box::new(Leaving {
            batch,
            input: take(&mut self.input),
            before_login: self.before_login,
            output: take(&mut self.output),
            ends: self.ends,
            copies: self.copies,
            following: self.following,
            row: self.row.borrow().clone(),
        }))
    }
}

impl Leaving {
    /// The number of its client.
    pub fn client(&self) -> u64 {
        self.row.id
    }

    /// What its batch was given to take along.
    pub fn take_companion(&mut self) -> Option<Box<dyn Any + Send>> {
        self.batch.companion.take()
    }

    /// The connection at its new place, and its client's row, which it keeps up to date.
    pub fn arrive(
        self,
        home: Home,
        companion: Option<Box<dyn Any + Send>>,
    ) -> (Connection, Rc<RefCell<Row>>) {
        let Leaving { mut batch, input, before_login, output, ends, copies, following, row } = self;
        (batch.home, batch.session.home, batch.companion) = (home, home, companion);
        let row = Rc::new(RefCell::new(row));
        let mut connection = Connection::with_batch(batch, row.clone());
        (connection.input, connection.before_login) = (input, before_login);
        (connection.output, connection.ends) = (output, ends);
        (connection.copies, connection.following) = (copies, following);
        (connection, row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wished for when a batch of so many calls, which ran at a shard, comes home to the
    /// first thread.
    fn after(
        following: &mut Following,
        ran: &mut RanAt,
        calls: &[(u32, ShardId)],
        now: i64,
    ) -> Option<ShardId> {
        for (count, shard) in calls {
            (0..*count).for_each(|_| ran.one(*shard));
        }
        following.came_home(0, ran, Millis(now));
        following.wish.take()
    }

    #[test]
    fn a_client_goes_where_nearly_all_of_a_window_ran() {
        let (mut following, mut ran) = (Following::default(), RanAt::default());
        let mut home = |calls: &[(u32, ShardId)], now| after(&mut following, &mut ran, calls, now);
        assert_eq!(home(&[(500, 3)], 1_000), None, "the window has just begun");
        assert_eq!(home(&[(500, 3)], 2_999), None, "it is not over");
        assert_eq!(home(&[(1, 3)], 3_000), Some(3));
        assert_eq!(home(&[(99, 3)], 5_000), None, "the next one has few commands");
        assert_eq!(home(&[(200, 3), (40, 0)], 7_000), None, "too many of it ran elsewhere");
        assert_eq!(home(&[(10, 0), (300, 3)], 9_000), Some(3));
        assert_eq!(home(&[(300, 0)], 11_000), None, "it is there");
    }

    #[test]
    fn who_has_moved_rests() {
        let (mut following, mut ran) = (Following::default(), RanAt::default());
        assert_eq!(after(&mut following, &mut ran, &[(1, 1)], 0), None);
        assert_eq!(after(&mut following, &mut ran, &[(500, 1)], 2_000), Some(1));
        following.goes();
        for now in (2_001..12_000).step_by(7) {
            assert_eq!(after(&mut following, &mut ran, &[(100, 1)], now), None, "{now}");
        }
        let moved = (12_000..15_000)
            .step_by(7)
            .find(|now| after(&mut following, &mut ran, &[(100, 1)], *now).is_some());
        assert!(moved.is_some(), "it may move again");
    }

    #[test]
    fn a_clock_that_is_set_back_begins_a_window() {
        let (mut following, mut ran) = (Following::default(), RanAt::default());
        assert_eq!(after(&mut following, &mut ran, &[(500, 1)], 1_000_000), None);
        assert_eq!(after(&mut following, &mut ran, &[(500, 1)], 5_000), None);
        assert_eq!(after(&mut following, &mut ran, &[(500, 1)], 7_000), Some(1));
    }
}
