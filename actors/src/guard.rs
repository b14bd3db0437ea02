//! What an actor does about its own panics: it catches them, says so, and asks for a restart.
//!
//! The supervisor of actix restarts an actor that stops its context, with its value and its mail
//! kept; a panic that nobody catches would drop both.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use actix::{Actor, ActorContext, Context, Recipient};
use tracing::error;

use crate::fault::panic_text;
use crate::message::control::Restarted;

/// An actor's name, and its way to the guardian.
pub struct Guard {
    name: &'static str,
    guardian: Recipient<Restarted>,
    last_panic: String,
}

impl Guard {
    /// The guard of the actor of this name.
    pub fn new(name: &'static str, guardian: Recipient<Restarted>) -> Guard {
        Guard { name, guardian, last_panic: String::new() }
    }

    fn caught(&mut self, panic: &(dyn Any + Send)) {
        self.last_panic = panic_text(panic);
        error!("panic in the {}: {}", self.name, self.last_panic);
    }

    /// Tells the guardian that the actor was restarted.
    pub fn restarted(&self) {
        let why = self.last_panic.clone();
        self.guardian.do_send(Restarted { name: self.name.to_owned(), why });
    }
}

/// An actor that is restarted after a panic.
pub trait Guarded: Actor<Context = Context<Self>> {
    /// Its guard.
    fn guard(&mut self) -> &mut Guard;

    /// Does `work`; after a panic there is no result, and the actor is restarted.
    fn guarded<R>(
        &mut self,
        ctx: &mut Context<Self>,
        work: impl FnOnce(&mut Self) -> R,
    ) -> Option<R> {
        let done = catch_unwind(AssertUnwindSafe(|| work(self)));
        if let Err(panic) = &done {
            self.guard().caught(&**panic);
            ctx.stop();
        }
        done.ok()
    }
}
