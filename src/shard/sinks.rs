//! The sinks of a shard, and which calls each of them has to see: a call that none has to see costs
//! three comparisons.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::hook::answer::Answer;
use crate::hook::push::Push;
use crate::hook::{Called, Published, Sees, Sink};
use crate::question::Question;
use crate::script::Level;
use crate::session::{Replies, Session};

/// What sees commands.
pub(super) struct Sinks {
    each: Vec<(Sees, Box<dyn Sink>)>,
    /// What any of them has to see.
    any: Sees,
}

impl Sinks {
    /// These; all see all calls until something is published.
    pub(super) fn new(sinks: Vec<Box<dyn Sink>>) -> Sinks {
        let each = sinks.into_iter().map(|sink| (Sees::ALL, sink)).collect();
        Sinks { each, any: Sees::ALL }
    }

    /// Something else is published than before.
    pub(super) fn adapt(&mut self, published: &Published<'_>) {
        self.any = Sees::NONE;
        for (sees, sink) in &mut self.each {
            *sees = sink.adapt(published);
            self.any = self.any.or(*sees);
        }
    }

    /// Whether one of them has to see a call with these amounts.
    #[inline]
    pub(super) fn see(&self, nanos: u64, request: usize, reply: usize) -> bool {
        self.any.include(nanos, request, reply)
    }

    /// A command ended, or was refused.
    #[cold]
    pub(super) fn called(&mut self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        let reply = called.outcome.reply_bytes();
        for (sees, sink) in &mut self.each {
            if sees.include(called.nanos, called.call.raw.len(), reply) {
                sink.called(called, pushes);
            }
        }
    }

    /// A command ran and failed.
    #[cold]
    pub(super) fn failed(&mut self, session: &Session, error: &CommandError) {
        self.each.iter_mut().for_each(|(_, sink)| sink.failed(session, error));
    }

    /// A command begins to wait.
    #[cold]
    pub(super) fn waits(&mut self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        for (sees, sink) in &mut self.each {
            if sees.include(0, called.call.raw.len(), 0) {
                sink.waits(called, pushes);
            }
        }
    }

    /// A script begins.
    #[cold]
    pub(super) fn begins(&mut self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        for (sees, sink) in &mut self.each {
            if sees.include(0, called.call.raw.len(), 0) {
                sink.begins(called, pushes);
            }
        }
    }

    /// A script has written a line for the log.
    #[cold]
    pub(super) fn logged(&mut self, level: Level, message: &[u8]) {
        self.each.iter_mut().for_each(|(_, sink)| sink.logged(level, message));
    }

    /// A command was queued behind MULTI.
    #[cold]
    pub(super) fn queued(&mut self, call: &Call<'_>, session: &Session) {
        for (sees, sink) in &mut self.each {
            if sees.include(0, call.raw.len(), 0) {
                sink.queued(call, session);
            }
        }
    }

    /// A reply stands, from `mark` on. Nearly every client wants all replies.
    #[inline]
    pub(super) fn replied(&mut self, session: &mut Session, replies: &mut Vec<u8>, mark: usize) {
        if session.replies != Replies::On {
            self.each.iter_mut().for_each(|(_, sink)| sink.replied(session, replies, mark));
        }
    }

    /// The answer of the sink whose it is to give.
    pub(super) fn answer(&mut self, question: &Question) -> Option<Answer> {
        self.each.iter_mut().find_map(|(_, sink)| sink.answer(question))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::testing::Store;

    /// Counts the calls that it sees.
    struct Counting(Sees, Rc<Cell<u32>>);

    impl Sink for Counting {
        fn adapt(&mut self, _published: &Published<'_>) -> Sees {
            self.0
        }

        fn called(&mut self, _called: &Called<'_>, _pushes: &mut Vec<Push>) {
            self.1.set(self.1.get() + 1);
        }
    }

    #[test]
    fn each_sees_what_it_has_to_see_and_no_more() {
        let seen: [Rc<Cell<u32>>; 4] = Default::default();
        let sees = [
            Sees::NONE,
            Sees { reply: 100, ..Sees::NONE },
            Sees { request: 100, ..Sees::NONE },
            Sees { nanos: 1, ..Sees::NONE },
        ];
        let sinks = sees.into_iter().zip(&seen);
        let sinks = sinks.map(|(sees, seen)| Box::new(Counting(sees, Rc::clone(seen))) as _);
        let mut store = Store::with_layers(Vec::new(), sinks.collect());
        store.run(&format!("SET k {}", "x".repeat(100)));
        store.run("GET k");
        store.run("GET nothing");
        store.run("NOSUCH");
        assert_eq!(seen.map(|seen| seen.get()), [0, 1, 1, 0], "the clock stands still");
    }
}
