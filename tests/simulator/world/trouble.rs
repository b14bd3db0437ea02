//! What goes wrong in a run: trouble by chance, and the end of a process, behind which the server
//! starts again over what is left on the disk.

use std::sync::{Arc, PoisonError};

use troupe::aof::error::AofError;
use troupe::balance::Window;
use troupe::route::Map;
use troupe::shard::letter::Letter;

use super::World;
use crate::checks::Broken;
use crate::checks::history::History;
use crate::context::Context;
use crate::disk::{Cut, Disk, Plan as DiskPlan};
use crate::follower::Follower;
use crate::plan::{Fault, Promotes};
use crate::post::Mail;
use crate::rare::Rare;
use crate::router::Router;
use crate::saver::Saver;
use crate::start::{self, Started};
use crate::tender::Tender;
use crate::thread::Thread;
use crate::witness::Lit;

/// Processes that a run goes through, at most.
const KILLS_MAX: u32 = 4;

/// Starts that a crash cuts short one after the other, at most.
const STARTS_CUT_MAX: u32 = 3;

/// What goes wrong.
impl World {
    /// Some trouble of a kind that the run has.
    pub(super) fn trouble(&mut self) {
        let thread = self.context.rng.usize(..self.threads.len());
        let kind = self.context.rng.u32(..40);
        let plan = self.context.plan.clone();
        let has = |fault| plan.has(fault);
        match kind {
            0..8 if has(Fault::Moves) => self.router.order(&mut self.context),
            12..14 if has(Fault::Moves) => self.balance(),
            8..12 if has(Fault::CommandPanics) => {
                self.context.met(Rare::CommandPanic);
                let left = self.context.rng.u32(..4);
                self.threads[thread].fuse.set(Lit::InChange(left));
            }
            14..16 if has(Fault::ShardPanics) => self.threads[thread].fuse.set(Lit::AfterCall),
            16 if has(Fault::ShardPanics) => self.threads[thread].spoil(&mut self.context),
            17 if has(Fault::WriterPanics) && self.context.one_in(4) => {
                self.writer.panic(&mut self.context);
            }
            18..20 if has(Fault::RouterPanics) => self.router.panic(&mut self.context),
            20..22 if has(Fault::Kills) && self.kills < KILLS_MAX => {
                self.kills += 1;
                let is_power = self.context.rng.bool();
                self.crash(is_power);
            }
            30..34 if has(Fault::Cuts) && plan.replicas > 0 => {
                self.trouble_replica(Fault::Cuts);
            }
            37 if has(Fault::ShardPanics) && plan.replicas > 0 => {
                self.trouble_replica(Fault::ShardPanics);
            }
            36 | 39 if has(Fault::Kills) && plan.replicas > 0 => self.trouble_replica(Fault::Kills),
            34..36 if has(Fault::Moves) && plan.replicas > 0 => {
                self.trouble_replica(Fault::Moves);
            }
            38 if plan.promotes == Promotes::Midway && plan.replicas > 0 => self.hand_over_more(),
            22..30 if has(Fault::Squeezes) => match self.context.rng.bool() {
                true => self.context.memory.squeeze(self.context.rng.u32(1..1_000)),
                false => self.context.memory.ease(),
            },
            _ => {}
        }
    }

    /// Some trouble of a replica. One that leads is neither killed nor panics: what it would lose
    /// is nowhere else.
    pub(super) fn trouble_replica(&mut self, fault: Fault) {
        let number = self.context.rng.usize(..self.followers.len());
        let leads = self.followers[number].leads();
        let is_power = self.context.rng.bool();
        match fault {
            Fault::Cuts => self.with_follower(number, Follower::cut),
            Fault::ShardPanics if !leads => self.followers[number].panic(),
            Fault::Kills if !leads => {
                self.with_follower(number, |it, server| it.restart(server, is_power))
            }
            Fault::Moves => self.followers[number].move_slots(),
            _ => {}
        }
    }

    /// The router learns with which slots each shard was busy; for how long, chance says.
    fn balance(&mut self) {
        let World { threads, context, router, .. } = self;
        let window = |thread: &mut Thread| {
            let (busy, slots) = (context.rng.f64(), thread.shard().measure());
            let all: u64 = slots.iter().map(|(_, nanos)| nanos).sum();
            let share = |nanos| busy * nanos as f64 / all as f64;
            let slots = slots.into_iter().map(|(slot, nanos)| (slot, share(nanos))).collect();
            Window { busy, slots }
        };
        let windows: Vec<Window> = threads.iter_mut().map(window).collect();
        router.balance(&windows, context);
    }

    /// Whether mail gets lost where it arrives, as a batch on its way to a shard may, and a request
    /// for slots.
    pub(super) fn is_lost(&mut self, thread: u16, mail: &Mail) -> bool {
        let may_lose = self.context.plan.has(Fault::ShardPanics) && !self.is_quiet;
        let lost = match mail {
            Mail::Letter(Letter::Visit(_)) => "a batch",
            Mail::Letter(Letter::Fetch(_)) => "a request for slots",
            _ => return false,
        };
        let is_lost = may_lose && self.context.one_in(400);
        if is_lost {
            self.context.note(format_args!("{lost} is lost ahead of shard {thread}"));
        }
        is_lost
    }

    /// The process is killed, or the machine loses power; then the server starts again.
    pub(super) fn crash(&mut self, is_power: bool) {
        if self.context.history.borrow().broken.is_some() {
            return;
        }
        let is_under_way = !self.context.history.borrow().is_idle();
        self.context.note(format_args!("crash, power {is_power}"));
        self.context.crashes += 1;
        if is_under_way {
            self.context.met(if is_power { Rare::PowerCut } else { Rare::Killed });
        }
        if self.writer.has_waiting() {
            self.context.met(Rare::CrashBeforeRound);
        }
        if self.saver.is_saving() {
            self.context.met(Rare::BaseAtCrash);
        }
        self.context.post.clear();
        self.context.under_way.clear();
        self.threads.clear();
        self.sockets.clear();
        let World { clients, context, .. } = self;
        clients.iter_mut().for_each(|client| client.disconnected(context));
        self.writer.die();
        self.tender = Tender::default();
        self.context.replicas = self.context.replicas.restarted(&self.context.settings);
        let World { disk, context, map, .. } = self;
        let cut = leave(disk, is_power, context);
        let started = start_again(disk, cut, is_power, map, context);
        // What it removes as it goes is gone with the old disk.
        self.saver = Saver::new(disk.clone(), true, context);
        match started {
            Ok(started) => self.go_on(started),
            Err(broken) => self.context.fail(broken),
        }
    }

    /// The server is there again: what it found must be what it may have lost nothing of.
    fn go_on(&mut self, started: Started) {
        let Started { threads, writer, found, torn, .. } = started;
        if torn.is_some() {
            self.context.met(Rare::TornTail);
        }
        let recovered = self
            .context
            .history
            .borrow_mut()
            .durability
            .recovered(&found, self.context.plan.policy);
        match recovered {
            Ok(survived) => {
                if survived.unshown_kept > 0 {
                    self.context.met(Rare::UnackedKept);
                }
                if survived.lost > 0 {
                    self.context.met(Rare::UnackedLost);
                }
            }
            Err(broken) => self.context.fail(broken),
        }
        let mut history = self.context.history.borrow_mut();
        self.calls += history.calls;
        let plan = &self.context.plan;
        let next = History::new(found, plan.shards).with_caches(plan.pushes);
        let before = std::mem::replace(&mut *history, next);
        (history.now, history.durability.now) = (before.now, before.now);
        history.broken = before.broken;
        drop(history);
        self.threads = threads;
        self.counted_before = self.counted();
        self.writer = writer;
        self.router = Router::new(self.map.clone());
        // What was dropped with the process told nobody.
        drop(self.context.lost.take());
        self.context.dropped.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.context.batches = 0;
    }
}

/// Starts the server over what a crash has left. Where the power may go again, it does.
pub fn start_again(
    disk: &mut Disk,
    mut cut: Cut,
    may_go: bool,
    map: &Arc<Map>,
    context: &mut Context,
) -> Result<Started, Broken> {
    let mut attempts = 0;
    loop {
        let is_cut_short = may_go && attempts < STARTS_CUT_MAX && context.one_in(2);
        if is_cut_short {
            let calls = context.rng.usize(1..30);
            disk.set(DiskPlan::StopAfter(calls));
        }
        attempts += 1;
        let started = start::start(disk, map, context);
        disk.set(DiskPlan::Work);
        match started {
            Ok(started) if !is_cut_short => return Ok(started),
            _ if is_cut_short => cut = leave(disk, true, context).after(&cut),
            Ok(_) => {}
            Err(AofError::Damaged { path, damage, .. }) => {
                let number = disk.number(&path).unwrap_or(usize::MAX);
                let durable = cut.durable.get(number).copied().unwrap_or(usize::MAX);
                let offset = damage.offset as usize;
                if !cut.has_hole || offset < durable {
                    return Err(format!("the journal is damaged: {damage}, {durable} synced"));
                }
                context.met(Rare::HoleInTail);
                // As redis-check-aof does it: nothing behind the damage was acknowledged.
                let bytes = disk.bytes(&path).unwrap_or_default();
                disk.put(&path, &bytes[..offset]);
            }
            Err(error) => return Err(format!("the server does not start: {error}")),
        }
    }
}

/// What a crash leaves on the disk.
pub fn leave(disk: &mut Disk, is_power: bool, context: &mut Context) -> Cut {
    let (left, cut) = match is_power {
        true => disk.power_cut(&mut context.rng),
        false => (disk.killed(), Cut::none()),
    };
    if cut.is_naming {
        context.met(Rare::CrashBeforeDirectorySync);
    }
    *disk = left;
    cut
}
