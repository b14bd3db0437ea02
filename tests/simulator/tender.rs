//! Who tends the replicas of a node, as its shell does: the stream is recorded while there are any,
//! and snapshots are made for those that need one.

use troupe::replication::Fed;

use crate::context::Context;
use crate::post::{Address, Mail};
use crate::rare::Rare;
use crate::saver::Saver;

/// How often replicas are looked after, in microseconds.
const EVERY_US: u64 = 100_000;

/// How often is looked whether the stream of the primary stands still, in microseconds.
const LOOK_US: u64 = 2_000;

/// Who tends replicas.
#[derive(Debug, Default)]
pub struct Tender {
    next_us: u64,
    /// The stream is about to be recorded, or not any more.
    is_switching: bool,
    /// Shards that do not know of that.
    left: u16,
}

impl Tender {
    /// When there is something to do, in microseconds.
    pub fn wake_us(&self, context: &Context) -> Option<u64> {
        let replicas = &context.replicas;
        let (is_any, needs_care) = (replicas.are_any() || replicas.is_on(), replicas.need_care());
        let wakes = !self.is_switching && (is_any || needs_care);
        wakes.then_some(if needs_care { 0 } else { self.next_us })
    }

    /// Does what is due.
    pub fn tend(&mut self, saver: &mut Saver, context: &mut Context) {
        self.next_us = context.now_us + EVERY_US;
        if context.replicas.are_any() && !context.replicas.is_on() {
            return self.record(true, context);
        }
        let now_ms = context.steady_ms();
        let tick = context.replicas.tick(now_ms);
        if tick.is_ping_due {
            context.send(Address::Saver, Address::Writer, Mail::Put(Fed::Ping));
        }
        if tick.ends {
            return self.record(false, context);
        }
        let settings = context.settings.clone();
        if saver.is_free() && context.replicas.is_sync_due(&settings, now_ms) {
            saver.prepare_sync(context);
        }
        if saver.is_prepared() {
            self.next_us = context.now_us + LOOK_US;
            saver.begin_sync(context);
        }
    }

    /// Whether the stream is not about to be recorded, nor to be no more.
    pub fn rests(&self) -> bool {
        !self.is_switching
    }

    /// Has effects recorded for replicas, or no more: all shards do so while the writer reads.
    pub fn record(&mut self, on: bool, context: &mut Context) {
        context.note(format_args!("the stream is recorded: {on}"));
        (self.is_switching, self.left) = (true, 0);
        match on {
            true => {
                self.left = context.plan.shards;
                tell_shards(true, context);
            }
            false => context.send(Address::Saver, Address::Writer, Mail::Listen(false)),
        }
    }

    /// Mail has come.
    pub fn receive(&mut self, mail: &Mail, context: &mut Context) {
        match mail {
            Mail::Recorded => {
                self.left -= 1;
                if self.left == 0 {
                    context.send(Address::Saver, Address::Writer, Mail::Listen(true));
                }
            }
            Mail::Listens(on) => {
                self.is_switching = false;
                if !on {
                    tell_shards(false, context);
                    context.met(Rare::StreamEnded);
                }
            }
            other => context.fail(format!("who tends replicas has no use for {other:?}")),
        }
    }
}

fn tell_shards(on: bool, context: &mut Context) {
    for shard in 0..context.plan.shards {
        context.send(Address::Saver, Address::Thread(shard), Mail::Record(on));
    }
}
