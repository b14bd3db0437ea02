//! The layers around a command, as two traits. No layer is an `if` in the shard.
//!
//! A [`Gate`] runs before a command and may refuse it: authentication, loading, a failed journal. A
//! [`Sink`] sees it afterwards, refused or not, and cannot refuse: statistics, slow log, logging.
//! Gates and sinks are listed in order in one place, where the server is wired. A shard owns its
//! own copies, so they need no lock.

use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::session::Session;
use crate::shard::Standing;
use crate::shard::question::{Answer, Question};

/// A layer that may refuse a command.
pub trait Gate {
    /// Whether `call` may run now.
    ///
    /// # Errors
    /// The reply that the client gets in its place.
    fn admit(
        &mut self,
        call: &Call<'_>,
        session: &Session,
        standing: &Standing<'_>,
    ) -> Result<(), CommandError>;
}

/// A layer that sees what happened.
pub trait Sink {
    /// A command ended, or was refused.
    fn called(&mut self, called: &Called<'_>);

    /// A request asked for a command that is not there, or with a wrong number of words.
    fn unknown(&mut self, _error: &CommandError) {}

    /// A question about what the sink has seen; an answer where it is this sink's to give.
    fn answer(&mut self, _question: &Question) -> Option<Answer> {
        None
    }
}

/// A command that ended.
#[derive(Clone, Copy)]
pub struct Called<'a> {
    /// The command and its arguments.
    pub call: &'a Call<'a>,
    /// Who called.
    pub session: &'a Session,
    /// The time of the batch, in milliseconds of unix time.
    pub now: Millis,
    /// How long it ran.
    pub nanos: u64,
    /// What came of it.
    pub outcome: Outcome<'a>,
    /// What it changed, in RESP.
    pub effects: &'a [u8],
}

/// What came of a command.
#[derive(Clone, Copy, Debug)]
pub enum Outcome<'a> {
    /// It ran; the size of its reply in bytes.
    Ran(usize),
    /// It ran and failed.
    Failed(&'a CommandError),
    /// A gate refused it, or its form was wrong.
    Refused(&'a CommandError),
}

impl Outcome<'_> {
    /// The error, if it is one.
    pub fn error(&self) -> Option<&CommandError> {
        match self {
            Outcome::Ran(_) => None,
            Outcome::Failed(error) | Outcome::Refused(error) => Some(error),
        }
    }
}
