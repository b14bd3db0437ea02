//! A batch's visit: its calls run here while they may, then it goes on.
//!
//! A visit ends when the batch is done, when its next call belongs elsewhere or has to wait, when
//! its replies pass a mark, or when the slice is over. Where a call runs follows from its command's
//! `Run` and the slots of its keys alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use crate::base::millis::Millis;
use crate::batch::{Batch, Everywhere, Routed};
use crate::commands::command::{Command, Run};
use crate::commands::error::CommandError;
use crate::hook::Phase;
use crate::lending::Post;
use crate::lending::errand::{Errand, Need, Stop};
use crate::question::KillKind;
use crate::route::Map;
use crate::shard::execute::Engine;
use crate::shard::lend::is_met;
use crate::shard::letter::Letter;
use crate::shard::waiting::TURNED_BACK_MAX;
use crate::shard::{REPLIES_MARK, SLICE_NS, Shard, Ticks};

/// Slots beside those of its keys that a call takes one by one; with more of them, it takes all.
pub(super) const WIDER_MAX: usize = 1_024;

/// Batches that run in one turn at most. The replies of all of them are written at its end, and
/// nothing else on the thread has its turn meanwhile.
pub(super) const TURN_BATCHES: usize = 64;

/// Where the next call of a batch runs.
pub(super) enum RunsAt {
    /// Here and now.
    Here,
    /// On another shard.
    Shard(u16),
    /// Here, when these slots are back.
    Wait(Need),
    /// Here again, when no loan of the shard lasts.
    Patient,
    /// Here, when writes have credit or a pause is over.
    Aside,
    /// Nowhere: a script keeps what it needs for long.
    Busy(KillKind),
}

impl Shard {
    /// Runs the batch for as long as it belongs here. Returns it when it goes home; otherwise it is
    /// in the outbox or waits.
    pub fn visit(&mut self, batch: Box<Batch>, clock: &mut dyn Ticks) -> Option<Box<Batch>> {
        let start = clock.nanos();
        self.run(batch, start, &mut start.clone(), clock)
    }

    /// As [`Shard::visit`], in a slice that began at `start`. `now` is the time, in nanoseconds.
    fn run(
        &mut self,
        mut batch: Box<Batch>,
        start: u64,
        now: &mut u64,
        clock: &mut dyn Ticks,
    ) -> Option<Box<Batch>> {
        if self.broken.any() {
            self.break_promises(&mut batch);
        }
        if batch.began == 0 {
            batch.began = self.turns;
        }
        // What a command holds that runs in steps must not leave with a batch that goes home.
        while !batch.is_done()
            && batch.action.is_none()
            && batch.parked.is_none()
            && (batch.replies.len() < REPLIES_MARK
                || batch.errand.is_some()
                || batch.scattered.is_some())
        {
            if *now - start > SLICE_NS {
                self.end_keeping(&mut batch);
                self.ready.push_back(batch);
                return None;
            }
            if self.eviction.has_limit() && self.lacks_memory(&mut batch, clock) {
                self.set_aside.push_back(batch);
                return None;
            }
            // What has come back may have somebody served, ahead of a script that changes it and
            // stands still, and before it leaves again.
            self.engine.serve(&self.env, batch.now, clock);
            self.warm(&mut batch);
            match self.runs_at(&mut batch) {
                RunsAt::Here => {
                    let (slot, began) = (batch.first_slot(), *now);
                    let over_several = batch.holds();
                    *now = self.call(&mut batch, began, clock);
                    self.load.ran(slot, *now - began);
                    batch.note_ran(self.id, slot, over_several);
                    if batch.walk.as_ref().is_some_and(|walk| walk.asked > 0) {
                        self.keep_fetching(batch);
                        return None;
                    }
                    if self.engine.register.was_stirred() {
                        batch = self.tell_others(batch)?;
                    }
                }
                RunsAt::Shard(shard) => {
                    batch.note_warmed(0);
                    self.outbox.letters.push((shard, Letter::Visit(batch)));
                    return None;
                }
                RunsAt::Wait(need) => {
                    self.waiting.push(batch, need);
                    return None;
                }
                RunsAt::Patient => {
                    self.waiting.push_patient(batch);
                    return None;
                }
                RunsAt::Aside => {
                    self.set_aside.push_back(batch);
                    return None;
                }
                RunsAt::Busy(kind) => {
                    self.turn_back(&mut batch);
                    batch.refused = Some(CommandError::Busy(kind.container()));
                }
            }
        }
        if batch.exec.is_some() || batch.errand.is_some() {
            self.tell_lenders(&mut batch);
            self.outbox.performs.push(batch);
            return None;
        }
        if let Some(scattered) = batch.scattered.take() {
            batch.gather(*scattered);
        }
        Some(batch)
    }

    /// Runs the next call, with the slots of its errand in place, and sends those home after it,
    /// whatever panics: their shards wait for them.
    fn call(&mut self, batch: &mut Batch, now: u64, clock: &mut dyn Ticks) -> u64 {
        if let Some(everywhere) = batch.everywhere.take() {
            match everywhere {
                Everywhere::Moment(moment) => self.take_moment(batch, moment),
                Everywhere::Arrival(coming, libraries) => {
                    self.take_arrival(batch, *coming, libraries, clock);
                    self.tell_of_scripts();
                }
            }
            self.turn_back(batch);
            batch.next = batch.routed.len();
            return clock.nanos();
        }
        let Shard { engine, env, .. } = self;
        let Some(mut errand) = batch.errand.take() else {
            engine.warm_keys(batch);
            let ran = engine.call(env, batch, now, clock);
            engine.serve_behind(env, batch, clock);
            match batch.stands_still() {
                true if ran.lacks => self.fetch(batch),
                true => self.hold(batch),
                false => {}
            }
            self.tell_of_scripts();
            return ran.end;
        };
        let next = batch.next;
        let ran = catch_unwind(AssertUnwindSafe(|| {
            let mut engine = errand.loan.install(engine);
            engine.warm_keys(batch);
            let ran = engine.call(env, batch, now, clock);
            engine.serve_behind(env, batch, clock);
            ran
        }));
        // Whoever was served behind it may have panicked too.
        let is_suspect = self.engine.phase == Phase::Suspect;
        let torn = is_suspect || ran.as_ref().map_or(true, |ran| ran.panicked);
        let lacks = ran.as_ref().is_ok_and(|ran| ran.lacks);
        if lacks && !torn && batch.stands_still() {
            batch.errand = Some(errand);
            self.fetch(batch);
        } else if lacks && !torn && batch.walk.is_none() && self.go_on(batch, &mut errand) {
            batch.errand = Some(errand);
        } else if batch.next == next && batch.parked.is_none() && !torn && !lacks {
            batch.errand = Some(errand);
            if batch.stands_still() {
                self.hold(batch);
            }
        } else {
            self.tell_of_scripts();
            if !lacks && !torn && self.keeps_loan(batch, &errand) {
                errand.keep();
                batch.errand = Some(errand);
            } else {
                self.give_back(*errand, torn);
            }
        }
        ran.unwrap_or_else(|panic| resume_unwind(panic)).end
    }

    /// Files a batch of one of the thread's own clients; it runs in the next turn.
    #[inline]
    pub fn file(&mut self, batch: Box<Batch>) {
        self.ready.push_back(batch);
    }

    /// Works off what is ready at `now`, for one slice. Returns true when there is more.
    pub fn work(&mut self, now: Millis, clock: &mut dyn Ticks) -> bool {
        self.turns += 1;
        if self.engine.pause.is_some_and(|pause| pause.until <= now) {
            self.engine.pause = None;
            self.ready.append(&mut self.set_aside);
        }
        self.keep_limit(now, clock);
        self.engine.serve(&self.env, now, clock);
        self.move_out();
        let start = clock.nanos();
        let mut at = start;
        self.snapshots.is_beside_commands = !self.ready.is_empty();
        for _ in 0..TURN_BATCHES {
            self.warm_ready();
            let Some(batch) = self.ready.pop_front() else { break };
            if let Some(batch) = self.run(batch, start, &mut at, clock) {
                self.outbox.homes.push(batch);
            }
            if at - start > SLICE_NS || self.engine.register.is_behind_here() {
                break;
            }
        }
        self.count_tracked();
        self.look_at_limit();
        !self.ready.is_empty() || self.eviction.goes_on()
    }

    fn runs_at(&mut self, batch: &mut Batch) -> RunsAt {
        let routed = batch.routed[batch.next];
        let Some(command) = routed.command.filter(|_| batch.refused.is_none()) else {
            return RunsAt::Here;
        };
        if self.is_held_back(batch) {
            return RunsAt::Aside;
        }
        if batch.session.queues(command) {
            return RunsAt::Here;
        }
        match (command.run, routed.key) {
            (Run::Keys(_) | Run::SessionAndKeys(_) | Run::Blocking(_), Some(key)) => {
                self.slot_runs_at(key.slot)
            }
            (Run::Keys(_) | Run::SessionAndKeys(_) | Run::Blocking(_), None) => {
                self.keys_run_at(command, batch)
            }
            (Run::Script(_), _) => {
                self.add_known_needs(batch);
                batch.find_keys(command, &self.env.hasher);
                let sets_out = batch.errand.is_none() && !self.has_free(batch);
                if sets_out {
                    self.add_needs_of_followers(batch);
                }
                self.slots_run_at(batch)
            }
            (Run::All(_) | Run::Libraries(_), _) => self.errand_runs_at(batch, Errand::for_all),
            (Run::Steps(_), _) => self.errand_runs_at(batch, Errand::for_steps),
            (Run::Walk(_), _) => match batch.walk.as_ref().and_then(|walk| walk.at) {
                Some(slot) => self.slot_runs_at(slot),
                None => RunsAt::Here,
            },
            (Run::Held(_), _) => self.held_runs_at(command, batch),
            (Run::Exec, _) => self.exec_runs_at(command, batch),
            (
                Run::Session(_)
                | Run::PubSub(_)
                | Run::Asks(_)
                | Run::Scripts(_)
                | Run::Server(_)
                | Run::Container,
                _,
            ) => RunsAt::Here,
        }
    }

    #[inline]
    fn slot_runs_at(&mut self, slot: u16) -> RunsAt {
        if self.engine.space.has(slot) && !self.waiting.wants(slot) {
            return RunsAt::Here;
        }
        match self.env.map.owner(slot) {
            owner if owner == self.id => self.waits_for(Need::Slots(vec![slot])),
            owner => RunsAt::Shard(owner),
        }
    }

    /// What a batch does that needs this from here, and some of it is away: it waits, unless a
    /// script keeps it for long.
    fn waits_for(&self, need: Need) -> RunsAt {
        let kind = match &need {
            Need::Slots(slots) => slots.iter().find_map(|slot| self.held_long.get(slot)),
            Need::Whole => self.held_long.values().next(),
        };
        kind.map_or(RunsAt::Wait(need), |kind| RunsAt::Busy(*kind))
    }

    /// A command whose keys may lie in several slots, and in those that it met when it ran before.
    fn keys_run_at(&mut self, command: &'static Command, batch: &mut Batch) -> RunsAt {
        batch.find_keys(command, &self.env.hasher);
        self.slots_run_at(batch)
    }

    /// A command that keeps the slots of its keys while something is performed. Nobody else may see
    /// them meanwhile.
    fn held_runs_at(&mut self, command: &'static Command, batch: &mut Batch) -> RunsAt {
        batch.find_keys(command, &self.env.hasher);
        let slots = batch.ascending_slots();
        self.errand_runs_at(batch, |map, post| Errand::for_slots(&slots, map, post).takes_last())
    }

    /// EXEC, over the keys of all that is queued and watched. What the server performs takes time,
    /// in which nobody else may see what it holds.
    fn exec_runs_at(&mut self, command: &'static Command, batch: &mut Batch) -> RunsAt {
        let Some(queued) = batch.session.transaction.as_deref() else { return RunsAt::Here };
        if queued.is_aborted() || batch.session.watches.have_failed() {
            return RunsAt::Here;
        }
        let (needs_all, needs_server) = (queued.needs_all(), queued.needs_server());
        batch.find_keys(command, &self.env.hasher);
        match (needs_all, needs_server) {
            (true, true) => self.errand_runs_at(batch, Errand::for_steps),
            (true, false) => self.errand_runs_at(batch, Errand::for_all),
            (false, true) if batch.keys.is_empty() => RunsAt::Here,
            (false, true) => {
                let slots = batch.ascending_slots();
                self.errand_runs_at(batch, |map, post| {
                    Errand::for_slots(&slots, map, post).takes_last()
                })
            }
            (false, false) => self.slots_run_at(batch),
        }
    }

    /// Whether all slots of the next call of a batch are here, and nobody waits for one of them.
    fn has_free(&self, batch: &Batch) -> bool {
        batch.slots().all(|slot| self.engine.space.has(slot) && !self.waiting.wants(slot))
    }

    /// The next call of a batch, whose keys were found, on their slots.
    fn slots_run_at(&mut self, batch: &mut Batch) -> RunsAt {
        if batch.errand.is_some() || batch.wider.len() > WIDER_MAX {
            return self.errand_runs_at(batch, Errand::for_all);
        }
        if self.has_free(batch) {
            return RunsAt::Here;
        }
        let slots = batch.ascending_slots();
        if slots.iter().all(|slot| self.env.map.owner(*slot) == self.id) {
            return self.waits_for(Need::Slots(slots));
        }
        self.errand_runs_at(batch, |map, post| Errand::for_slots(&slots, map, post))
    }

    /// A command over several shards: makes its errand on the first look, then goes by it.
    fn errand_runs_at(
        &mut self,
        batch: &mut Batch,
        make: impl FnOnce(&Map, Arc<dyn Post>) -> Errand,
    ) -> RunsAt {
        if batch.errand.is_none() {
            if self.engine.ask_of_next(&self.env, batch, Engine::refuses) {
                return RunsAt::Here;
            }
            let mut errand = make(&self.env.map, Arc::clone(&self.post));
            if batch.starts_again {
                self.hold_moves(&mut errand.loan);
            }
            batch.errand = Some(Box::new(errand));
        }
        let is_nobodys = batch.is_nobodys();
        loop {
            let errand = batch.errand.as_deref_mut().expect("it was there or was just made");
            let stop = errand.stop().filter(|stop| stop.shard != self.id);
            if let Some(stop) = stop {
                return RunsAt::Shard(stop.shard);
            }
            if self.engine.phase != Phase::Serving {
                // What a script has changed is taken back ahead of its slots' way home.
                if !batch.stands_still() {
                    self.turn_back(batch);
                }
                return RunsAt::Here;
            }
            if !errand.is_on_its_way(&self.env.map) {
                batch.starts_again |= errand.takes_last && errand.loan.holds();
                self.turn_back(batch);
                return self.runs_at(batch);
            }
            let Some(Stop { need, .. }) = errand.stop() else { return RunsAt::Here };
            let is_here = is_met(need, &self.engine.space, &self.env.map, self.id);
            if errand.waits_nowhere && (!is_here || self.waiting.wants_any(need)) {
                self.turn_back(batch);
                return self.runs_at(batch);
            }
            if !is_here
                && !is_nobodys
                && let RunsAt::Busy(kind) = self.waits_for(need.clone())
            {
                return RunsAt::Busy(kind);
            }
            let is_away = !is_here && *need == Need::Whole && self.waiting.has_lasting();
            if is_away && batch.turned_back < TURNED_BACK_MAX {
                batch.turned_back += 1;
                self.turn_back(batch);
                return RunsAt::Patient;
            }
            if !is_here || self.waiting.wants_any(need) {
                return RunsAt::Wait(need.clone());
            }
            if errand.is_last() && !errand.takes_last {
                return RunsAt::Here;
            }
            self.lend(errand);
        }
    }

    /// Gives back what the batch carries; its call starts again, or is refused.
    pub(super) fn turn_back(&mut self, batch: &mut Batch) {
        if let Some(errand) = batch.errand.take() {
            self.give_back(*errand, false);
        }
    }

    /// Whether the next call has to wait outside. What holds slots of other shards never does,
    /// since they would stay away for as long, nor does what has begun.
    #[inline]
    fn is_held_back(&mut self, batch: &mut Batch) -> bool {
        let is_full = self.engine.is_full();
        let Engine { has_credit, pause, .. } = &self.engine;
        if *has_credit && pause.is_none() && !is_full {
            return false;
        }
        if batch.holds() || batch.exec.is_some() || batch.is_nobodys() {
            return false;
        }
        if self.engine.ask_of_next(&self.env, batch, Engine::holds_back) {
            return true;
        }
        if !is_full {
            return false;
        }
        if let Some(Routed { command: Some(command), key: None }) = batch.routed.get(batch.next) {
            batch.find_keys(command, &self.env.hasher);
        }
        self.engine.ask_of_next(&self.env, batch, Engine::lacks_room)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Hasty, Store, printed};

    #[test]
    fn a_command_in_steps_lets_others_in_and_sees_one_moment() {
        let mut store = Store::new();
        for number in 0..9_000 {
            store.run(&format!("SET key:{number} {number}"));
        }
        let listing = store.batch(&[b"KEYS", b"key:*"]);
        let clock = &mut Hasty(0);
        assert!(store.shard.visit(listing, clock).is_none(), "it is over a slice long");
        let writing = store.batch(&[b"SET", b"key:new", b"1"]);
        assert!(store.shard.visit(writing, clock).is_none(), "all slots are held");
        let asking = store.batch(&[b"PING"]);
        assert!(store.shard.visit(asking, clock).is_some(), "a session needs no slots");
        let mut turns = 0;
        while store.shard.work(store.now, clock) {
            turns += 1;
        }
        assert!(turns > 5, "{turns} turns");
        let homes = std::mem::take(&mut store.shard.outbox.homes);
        let replies: Vec<String> = homes.iter().map(|batch| printed(&batch.replies)).collect();
        assert_eq!((replies[0].lines().count(), replies[1].as_str()), (9_000, "OK"));
        let named = replies[0].lines().filter(|line| line.contains("key:new")).count();
        assert_eq!((named, store.run("DBSIZE").as_str()), (0, "(integer) 9001"));
        let room = homes[0].replies.capacity() - homes[0].replies.len();
        assert!(room < 64, "room was made for the whole reply: {room} to spare");
    }
}
