//! Slots that come to a script, and what the script keeps for the next one of its batch.
//!
//! A run that meets a slot of another shard stands still, with its slots out of the array, and asks
//! for what it lacks; its batch is kept by the number of the run. When all that was asked have
//! answered it goes on. Where something was not to be had, it is undone and starts again, by an
//! errand in ascending order, which waits.

use std::collections::HashMap;
use std::sync::Arc;

use crate::batch::Batch;
use crate::commands::command::Run;
use crate::hook::Phase;
use crate::lending::errand::{Errand, Need};
use crate::lending::fetch::{Fetch, Fetched};
use crate::lending::loan::Loan;
use crate::shard::Shard;
use crate::shard::letter::Letter;

/// Scripts of a batch that run, one behind the other, with what the first one has brought together:
/// so often others wait for it.
pub(super) const KEPT_MAX: u32 = 16;

/// Batches whose scripts stand still, by the number of the run, and how many answers each lacks.
pub(super) type Fetching = HashMap<u64, (Box<Batch>, usize)>;

impl Shard {
    /// The script of the batch's next call has met slots that are not here: asks for them. Its
    /// batch has to be kept ([`Shard::keep_fetching`]).
    pub(super) fn fetch(&mut self, batch: &mut Batch) {
        let Some(run) = batch.walk.as_ref().and_then(|walk| walk.run) else { return };
        let kept = batch.errand.as_ref().map_or(0, |errand| errand.kept);
        self.add_guesses(batch, KEPT_MAX.saturating_sub(kept) as usize);
        let held = self.take_along(batch).loan.numbers();
        let mut missing = batch.ascending_slots();
        missing.retain(|slot| held.binary_search(slot).is_err());
        let mut stops = Errand::stops_for(&missing, &self.env.map);
        stops.retain(|stop| stop.shard != self.id);
        let asked = stops.len();
        for stop in stops {
            let Need::Slots(slots) = stop.need else { continue };
            let fetch = Fetch::new(self.id, run, slots, Arc::clone(&self.post));
            self.outbox.letters.push((stop.shard, Letter::Fetch(fetch)));
        }
        if let Some(walk) = &mut batch.walk {
            walk.asked = asked;
        }
    }

    /// Keeps a batch whose script has asked for slots, until they come.
    pub(super) fn keep_fetching(&mut self, mut batch: Box<Batch>) {
        let Some(walk) = &mut batch.walk else { return self.ready.push_back(batch) };
        match (walk.run, std::mem::take(&mut walk.asked)) {
            (Some(run), asked) if asked > 0 => drop(self.fetching.insert(run, (batch, asked))),
            _ => self.ready.push_back(batch),
        }
    }

    /// A script of another shard asks for slots. It gets those that are here and that nobody waits
    /// for.
    pub(super) fn answer_fetch(&mut self, fetch: Fetch) {
        let Shard { engine, waiting, snapshots, post, .. } = self;
        let mut loan = Loan::new(Arc::clone(post));
        // Somebody is served first where a key that he waits for is back.
        if engine.phase == Phase::Serving && engine.tools.awaited.is_empty() {
            let is_free = |slot: &u16| engine.space.has(*slot) && !waiting.wants(*slot);
            let free: Vec<u16> = fetch.slots().iter().copied().filter(is_free).collect();
            if !free.is_empty() {
                loan.take_slots(self.id, &free, &mut engine.space);
            }
        }
        let moment = snapshots.last.filter(|_| engine.tools.saving.is_some());
        let (asker, fetched) = fetch.answered(loan, moment);
        self.outbox.letters.push((asker, Letter::Fetched(fetched)));
    }

    /// A shard has answered a script that stands still here: it goes on when all have.
    pub(super) fn has_fetched(&mut self, fetched: Fetched) {
        let Fetched { run, loan, moment } = fetched;
        if let Some(moment) = moment {
            self.begin_snapshot(moment);
        }
        let Some((batch, left)) = self.fetching.get_mut(&run) else {
            // Whoever asked is lost, and nobody has touched what comes.
            loan.into_iter().for_each(|mut loan| self.give_back_loan(&mut loan, false));
            return;
        };
        if let (Some(errand), Some(loan)) = (&mut batch.errand, loan) {
            errand.loan.absorb(loan);
        }
        *left -= 1;
        if *left == 0
            && let Some((batch, _)) = self.fetching.remove(&run)
        {
            self.ready.push_front(batch);
        }
    }

    /// Whether the next call of a batch runs with what the last one has brought together.
    pub(super) fn keeps_loan(&self, batch: &Batch, errand: &Errand) -> bool {
        let next = batch.routed.get(batch.next).and_then(|routed| routed.command);
        let is_script = next.is_some_and(|command| matches!(command.run, Run::Script(_)));
        let is_free = batch.refused.is_none() && batch.action.is_none() && batch.parked.is_none();
        let engine = &self.engine;
        let is_open = engine.has_credit && engine.pause.is_none() && !self.eviction.has_limit();
        let is_well = engine.phase == Phase::Serving && is_open && !errand.loan.has_wholes();
        is_script && is_free && is_well && batch.exec.is_none() && errand.kept < KEPT_MAX
    }

    /// Gives back what a batch has kept for its next call, which has not begun.
    pub(super) fn end_keeping(&mut self, batch: &mut Batch) {
        let is_kept = batch.errand.as_ref().is_some_and(|errand| errand.kept > 0);
        if is_kept && batch.walk.is_none() {
            self.turn_back(batch);
        }
    }
}
