//! What a client has asked for with CLIENT TRACKING: part of its session.

use std::sync::Arc;

use crate::pubsub::{Kind, Message};
use crate::route::Home;

/// Which keys a client is told of when they change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Those that it has read.
    Read,
    /// Those that a command read which stood behind CLIENT CACHING YES.
    OptIn,
    /// Those that it has read, but for those of a command behind CLIENT CACHING NO.
    OptOut,
    /// All whose names begin with its prefixes.
    Broadcast,
}

/// The client that is told in the place of another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Redirect {
    /// Its number.
    pub client: u64,
    /// Where it is.
    pub home: Home,
}

/// A message about keys, for the client that another one has named for that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redirected {
    /// Who gets it.
    pub to: Redirect,
    /// Where the other one is, and its number.
    pub of: (Home, u64),
    /// The message.
    pub message: Arc<Message>,
}

/// How keys are tracked for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tracking {
    /// Which keys it is told of.
    pub mode: Mode,
    /// It is not told of what it has changed itself.
    pub skips_own: bool,
    /// Who is told in its place.
    pub redirect: Option<Redirect>,
    /// Whoever that was has gone.
    pub is_broken: bool,
    /// CLIENT CACHING was said for the next command.
    pub is_said: bool,
}

/// What becomes of a message about keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// Nobody gets it.
    Nobody,
    /// The client itself gets this of it.
    Itself(Arc<Message>),
    /// Somebody else gets this of it.
    Other(Redirect, Arc<Message>),
}

impl Tracking {
    /// Whether the keys are noted that a command reads which runs now.
    pub fn notes_reads(&self) -> bool {
        match self.mode {
            Mode::Read => true,
            Mode::OptIn => self.is_said,
            Mode::OptOut => !self.is_said,
            Mode::Broadcast => false,
        }
    }

    /// The number of the client that is told: 0 for the client itself.
    pub fn told_client(&self) -> u64 {
        self.redirect.map_or(0, |to| to.client)
    }

    /// Who gets a message that is for the client with this number, which speaks that version of the
    /// protocol: in version 2 nothing tells a message from a reply.
    pub fn told(&self, message: &Arc<Message>, client: u64, resp3: bool) -> Told {
        let is_late =
            self.mode == Mode::Broadcast && message.kind() == Kind::Cached && !message.is_of_all();
        let wanted = match self.skips_own {
            _ if is_late => None,
            true => message.without(client),
            false => Some(Arc::clone(message)),
        };
        match (wanted, self.redirect) {
            (Some(message), Some(redirect)) => Told::Other(redirect, message),
            (Some(message), None) if resp3 => Told::Itself(message),
            (Some(_) | None, _) => Told::Nobody,
        }
    }
}
