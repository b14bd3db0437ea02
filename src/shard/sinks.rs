//! The sinks of a shard: those that have something to see in calls apart from those that have not,
//! so that a layer that is switched off costs a call nothing.

use crate::commands::error::CommandError;
use crate::hook::{Called, Published, Sink};
use crate::session::{Replies, Session};
use crate::shard::turn::Push;

/// What sees commands.
pub(super) struct Sinks {
    seeing: Vec<Box<dyn Sink>>,
    idle: Vec<Box<dyn Sink>>,
}

impl Sinks {
    /// These; all see calls until something is published.
    pub(super) fn new(sinks: Vec<Box<dyn Sink>>) -> Sinks {
        Sinks { seeing: sinks, idle: Vec::new() }
    }

    /// All of them.
    pub(super) fn all(&mut self) -> impl Iterator<Item = &mut Box<dyn Sink>> {
        self.seeing.iter_mut().chain(&mut self.idle)
    }

    /// Something else is published than before.
    pub(super) fn adapt(&mut self, published: &Published<'_>) {
        let mut sinks = std::mem::take(&mut self.seeing);
        sinks.append(&mut self.idle);
        for mut sink in sinks {
            let sees = sink.adapt(published);
            if sees { &mut self.seeing } else { &mut self.idle }.push(sink);
        }
    }

    /// A command ended, or was refused.
    #[inline]
    pub(super) fn called(&mut self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        self.seeing.iter_mut().for_each(|sink| sink.called(called, pushes));
    }

    /// A reply stands, from `mark` on. Nearly every client wants all replies.
    #[inline]
    pub(super) fn replied(&mut self, session: &mut Session, replies: &mut Vec<u8>, mark: usize) {
        if session.replies != Replies::On {
            self.all().for_each(|sink| sink.replied(session, replies, mark));
        }
    }

    /// A request named no command, or had a wrong number of words.
    pub(super) fn unknown(&mut self, error: &CommandError) {
        self.all().for_each(|sink| sink.unknown(error));
    }
}
