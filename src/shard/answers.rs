//! What a shard answers when it is asked about itself.

use std::sync::Arc;

use crate::hook::answer::{Answer, Report};
use crate::keyspace::keys::Figures;
use crate::pubsub::Kind;
use crate::question::Question;
use crate::shard::Shard;
use crate::shard::execute::Engine;

/// What a shard reports of who subscribes to what: names of these kinds.
const SUBSCRIBED: [Kind; 4] = [Kind::Channel, Kind::Pattern, Kind::Shard, Kind::Prefix];

impl Shard {
    /// What its calls took since this was asked last, by slot, in nanoseconds.
    pub fn measure(&mut self) -> Vec<(u16, u64)> {
        self.load.take()
    }

    /// Answers a question.
    pub fn answer(&mut self, question: &Question) -> Answer {
        if let Some(answer) = self.engine.sinks.answer(question) {
            return answer;
        }
        let Engine { space, tools, phase, panics, counters, register, scripting, .. } =
            &mut self.engine;
        match question {
            Question::Report(detail) => Answer::Report(Box::new(Report {
                phase: *phase,
                slots: space.slots_here(),
                databases: space.databases().iter().map(|db| (*db, space.counts(*db))).collect(),
                figures: tools.figures,
                cares: space.cared_for(),
                subscribed: SUBSCRIBED.map(|kind| register.len(kind)),
                statistics: counters.counted(*detail),
                waiting: self.waiting.len()
                    + self.ready.len()
                    + self.set_aside.len()
                    + self.fetching.len(),
                held_back: self.set_aside.len(),
                discarded: tools.discarded.len(),
                freed: tools.discarded.freed(),
                exceeded: self.eviction.exceeded(),
                scripts: scripting.figures(),
                panics: *panics,
                longest_slice_ns: self.longest_slice_ns,
            })),
            Question::Script(sha) => match self.engine.scripting.scripts.get(*sha) {
                Some(script) => Answer::Script(Arc::clone(script)),
                None => Answer::Done,
            },
            Question::RunningScript => {
                Answer::Running(self.engine.runs.running(), self.engine.scripting.figures())
            }
            Question::KillScripts(kind) => {
                Answer::Killed(self.engine.kill_slow(*kind, &self.env.settings))
            }
            Question::ResetStatistics => {
                // What has changed since the last snapshot is no statistic.
                let changes = tools.figures.changes;
                tools.figures = Figures { changes, ..Figures::default() };
                tools.discarded.reset();
                self.eviction.reset();
                counters.reset();
                self.longest_slice_ns = 0;
                Answer::Done
            }
            _ => Answer::Done,
        }
    }
}
