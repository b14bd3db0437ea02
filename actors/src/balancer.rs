//! Measures how busy the shards are and says which slots are to move: a thin shell around
//! `troupe::balance`, on the router's thread.
//!
//! Once a window all shards are asked. It is decided when all have answered; one that is held up
//! holds up nothing but that.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::Recipient;
use tokio::sync::oneshot;
use tracing::info;
use troupe::balance::{Balance, Gap, Verdict, Window};
use troupe::route::{Map, ShardId};
use troupe::settings::Rebalance;

use crate::message::shard::{Measure, Measured};
use crate::settings::InForce;
use crate::shared::Shared;

/// The router looks at the clock each second, but not to the millisecond: a window that is shorter
/// by so much is whole.
const SLACK_NS: u64 = 100_000_000;

/// Slots, and where they are to go.
pub type Moves = BTreeMap<u16, ShardId>;

/// Who decides which slots move.
pub struct Balancer {
    core: Balance,
    shards: Vec<Recipient<Measure>>,
    settings: InForce,
    shared: Arc<Shared>,
    /// When the window began, in nanoseconds, and for how long each thread had been busy then.
    begin: Option<(u64, Vec<u64>)>,
    /// The shards are asked, or slots are on their way.
    is_at_work: bool,
}

impl Balancer {
    /// One for these shards.
    pub fn new(
        shards: Vec<Recipient<Measure>>,
        settings: InForce,
        shared: Arc<Shared>,
    ) -> Balancer {
        let core = Balance::default();
        Balancer { core, shards, settings, shared, begin: None, is_at_work: false }
    }

    /// Asks the shards where a window is over. None of what they answer where one has ended.
    pub fn measure(
        &mut self,
        now_ns: u64,
    ) -> Option<impl Future<Output = Option<Vec<Measured>>> + use<>> {
        let rules = (self.settings)().rebalancing.clone();
        if rules.mode == Rebalance::No || self.shards.len() < 2 {
            self.forget();
            return None;
        }
        let window_ns = u64::from(rules.window_s) * 1_000_000_000 - SLACK_NS;
        let is_over = self.begin.as_ref().is_none_or(|(begin, _)| now_ns >= begin + window_ns);
        if self.is_at_work || !is_over {
            return None;
        }
        self.is_at_work = true;
        let ask = |shard: &Recipient<Measure>| {
            let (answer, answered) = oneshot::channel();
            shard.do_send(Measure(answer));
            answered
        };
        let answers: Vec<_> = self.shards.iter().map(ask).collect();
        Some(async {
            let mut measured = Vec::with_capacity(answers.len());
            for answer in answers {
                measured.push(answer.await.ok()?);
            }
            Some(measured)
        })
    }

    /// The shards have answered: returns what is to move.
    pub fn measured(
        &mut self,
        measured: Option<Vec<Measured>>,
        map: &Map,
        now_ns: u64,
    ) -> Option<Moves> {
        self.is_at_work = false;
        let measured = measured?;
        let busy = measured.iter().map(|shard| shard.busy_ns).collect();
        let (began, before) = self.begin.replace((now_ns, busy))?;
        let length = now_ns.saturating_sub(began).max(1) as f64;
        let windows = measured.into_iter().zip(before).map(|(shard, before)| Window {
            busy: (shard.busy_ns.saturating_sub(before) as f64 / length).min(1.0),
            slots: shard.slots.iter().map(|(slot, ns)| (*slot, *ns as f64 / length)).collect(),
        });
        let windows: Vec<Window> = windows.collect();
        let rules = (self.settings)().rebalancing.clone();
        let verdict = self.core.decide(map, &windows, &rules, now_ns / 1_000_000);
        let moves = rules.mode == Rebalance::Yes;
        self.tell(map, &windows, &verdict, moves);
        match verdict {
            Verdict::Move(Gap { to, .. }, slots, _) if moves => {
                self.core.moves(&slots, &rules, now_ns / 1_000_000);
                self.is_at_work = true;
                Some(slots.into_iter().map(|slot| (slot, to)).collect())
            }
            _ => None,
        }
    }

    /// What was to move has moved, or will not.
    pub fn moved(&mut self) {
        self.is_at_work = false;
    }

    /// It begins anew: nobody asks, or the router has panicked.
    pub fn forget(&mut self) {
        self.core.forget();
        (self.begin, self.is_at_work) = (None, false);
    }

    /// Logs what is new, and notes it for INFO. What is to move does so where `moves`.
    fn tell(&self, map: &Map, windows: &[Window], verdict: &Verdict, moves: bool) {
        let mut shown = self.shared.balance();
        let is_news = match verdict {
            Verdict::Move(..) => true,
            Verdict::Stuck(..) => shown.last.word() != verdict.word(),
            Verdict::None | Verdict::Calm(_) | Verdict::Uneven(..) => false,
        };
        if is_news {
            let how = if moves { "" } else { " (dry run: nothing moves)" };
            info!("Rebalancing{how}: {verdict}");
        }
        shown.note(&self.core, map, windows, verdict, moves);
    }
}
