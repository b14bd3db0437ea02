//! The layers around a command, as three traits. No layer is an `if` in the shard.
//!
//! A [`Gate`] runs before a command and may refuse it (authentication, loading, a failed journal)
//! or hold it back (a pause, a journal that does not keep up). A [`Sink`] sees it afterwards,
//! refused or not, and cannot refuse: slow log, logging, MONITOR. A [`Listener`] hears
//! of every change of a key, ahead of it and after it; it is declared with the keys. All are listed
//! in order in one place, where the server is wired. A shard owns its own copies, so they need no
//! lock.

pub mod answer;
pub mod push;

use std::sync::Arc;

use crate::base::millis::Millis;
use crate::clients::{MonitorClient, Pause};
use crate::commands::call::Call;
use crate::commands::command::{Flags, Run};
use crate::commands::error::CommandError;
use crate::counted::hotkeys::HotKeySession;
use crate::hook::answer::Answer;
use crate::hook::push::Push;
pub use crate::keyspace::listener::Listener;
use crate::question::Question;
use crate::script::Level;
use crate::session::Session;
use crate::settings::Settings;
use crate::transaction::Transaction;

/// What a shard can do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The data set is being loaded for the first time.
    Loading,
    /// It serves.
    Serving,
    /// A command panicked: what its tables hold is not trusted.
    Suspect,
    /// Its tables are being rebuilt from the journal.
    Rebuilding,
}

/// Whether there is room under `maxmemory` for what commands may add.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Room {
    /// There is, or there is no limit.
    #[default]
    Enough,
    /// Some is being made.
    Soon,
    /// None can be made.
    Never,
}

/// The part of a server in replication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Part {
    /// It follows nobody.
    #[default]
    Primary,
    /// It follows another server.
    Replica {
        /// It gets that one's stream now.
        is_linked: bool,
    },
}

/// What gates may ask about the shard.
#[derive(Clone, Copy, Debug)]
pub struct Standing<'a> {
    /// What it can do.
    pub phase: Phase,
    /// Why the journal takes no writes.
    pub journal_failed: Option<&'a str>,
    /// Whether the last snapshot failed.
    pub snapshot_failed: bool,
    /// Whether the journal keeps up with the writes.
    pub has_credit: bool,
    /// The pause in force.
    pub pause: Option<Pause>,
    /// Whether there is room for what commands may add.
    pub room: Room,
    /// Fewer replicas keep up than writes need.
    pub lacks_replicas: bool,
    /// The part of the server in replication.
    pub part: Part,
    /// The call was queued, and EXEC runs it; or a script runs it that may go on without memory.
    pub is_in_exec: bool,
    /// The call was queued, and EXEC runs it, which was let in for it.
    pub was_let_in: bool,
    /// While there is a pause: replicas may hear of the call, or of one that it runs.
    pub replicates: bool,
}

impl Standing<'_> {
    /// All is well: the shard serves, its journal and replicas keep up, nobody pauses it, and there
    /// is room.
    pub const WELL: Standing<'static> = Standing {
        phase: Phase::Serving,
        journal_failed: None,
        snapshot_failed: false,
        has_credit: true,
        pause: None,
        room: Room::Enough,
        lacks_replicas: false,
        part: Part::Primary,
        is_in_exec: false,
        was_let_in: false,
        replicates: false,
    };
}

/// True for a call that is nothing special: its client has logged in and may do more than
/// subscribe, and its command needs no permission.
#[inline]
pub fn is_plain(call: &Call<'_>, session: &Session) -> bool {
    session.authenticated && call.command.permission.is_none() && !session.only_subscribes()
}

/// True for a call that changes the data set: a transaction does if one of its commands does.
pub fn is_write(call: &Call<'_>, session: &Session) -> bool {
    let queued = session.transaction.as_deref();
    call.command.writes()
        || matches!(call.command.run, Run::Exec) && queued.is_some_and(Transaction::writes)
}

/// True for a call of which it shows only while it runs whether it changes the data set: a script
/// that may write, or a transaction with one.
pub fn may_write(call: &Call<'_>, session: &Session) -> bool {
    let queued = session.transaction.as_deref();
    call.command.may_write()
        || matches!(call.command.run, Run::Exec) && queued.is_some_and(Transaction::may_write)
}

/// True for a call that is not for a replica whose data may be old: so is a transaction if one of
/// its commands is.
pub fn needs_link(call: &Call<'_>, session: &Session) -> bool {
    let queued = session.transaction.as_deref();
    !call.command.flags.has(Flags::STALE)
        || matches!(call.command.run, Run::Exec) && queued.is_some_and(Transaction::needs_link)
}

/// True for a call that may need memory: a transaction does if one of its commands does.
pub fn may_add(call: &Call<'_>, session: &Session) -> bool {
    let queued = session.transaction.as_deref();
    call.command.flags.has(Flags::DENY_OOM)
        || matches!(call.command.run, Run::Exec) && queued.is_some_and(Transaction::may_add)
}

/// True for a call that looks at tables of a shard: a transaction does if one of its commands does,
/// unless a watch has failed, since none of them runs then.
pub fn needs_tables(call: &Call<'_>, session: &Session) -> bool {
    let queued = session.transaction.as_deref();
    call.command.run.needs_tables()
        || matches!(call.command.run, Run::Exec)
            && queued.is_some_and(Transaction::needs_tables)
            && !session.watches.have_failed()
}

/// A layer that may refuse a command, or hold it back.
pub trait Gate {
    /// True when it lets every plain call ([`is_plain`]) pass while all is well
    /// ([`Standing::WELL`]): while all gates rest, none is asked of it.
    fn rests_while_well(&self) -> bool {
        false
    }

    /// Whether `call` may run now.
    ///
    /// # Errors
    /// The reply that the client gets in its place.
    fn admit(
        &mut self,
        _call: &Call<'_>,
        _session: &Session,
        _standing: &Standing<'_>,
    ) -> Result<(), CommandError> {
        Ok(())
    }

    /// Whether `call` has to wait for now, its batch with it. Only a batch that holds nothing is
    /// asked, ahead of a call that nothing has been done for; and asked again when the shard's
    /// standing changes.
    fn holds_back(
        &mut self,
        _call: &Call<'_>,
        _session: &Session,
        _standing: &Standing<'_>,
    ) -> bool {
        false
    }
}

/// What the server publishes to all shards and sinks go by.
#[derive(Clone, Copy, Debug)]
pub struct Published<'a> {
    /// The settings in force.
    pub settings: &'a Settings,
    /// Clients that have called MONITOR.
    pub monitors: &'a Arc<[MonitorClient]>,
    /// The session of HOTKEYS, if there is one.
    pub hotkeys: Option<&'a HotKeySession>,
}

/// Which calls a sink has to see: those that reach one of these amounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sees {
    /// How long they ran, in nanoseconds.
    pub nanos: u64,
    /// Bytes of the request.
    pub request: u64,
    /// Bytes of the reply.
    pub reply: u64,
}

impl Sees {
    /// All calls.
    pub const ALL: Sees = Sees { nanos: 0, request: 0, reply: 0 };

    /// No call.
    pub const NONE: Sees = Sees { nanos: u64::MAX, request: u64::MAX, reply: u64::MAX };

    /// Those that one of two sinks has to see.
    pub fn or(self, other: Sees) -> Sees {
        Sees {
            nanos: self.nanos.min(other.nanos),
            request: self.request.min(other.request),
            reply: self.reply.min(other.reply),
        }
    }

    /// Whether a call with these amounts is among them.
    #[inline]
    pub fn include(self, nanos: u64, request: usize, reply: usize) -> bool {
        nanos >= self.nanos || request as u64 >= self.request || reply as u64 >= self.reply
    }
}

/// A layer that sees what happened.
pub trait Sink {
    /// Something else is published than before. Returns which calls the sink has to see from now
    /// on; [`Sink::called`] is not called for others, and they cost the sink nothing.
    fn adapt(&mut self, _published: &Published<'_>) -> Sees {
        Sees::ALL
    }

    /// A command ended, or was refused. What clients have to hear of it that did not ask goes to
    /// `pushes`.
    fn called(&mut self, _called: &Called<'_>, _pushes: &mut Vec<Push>) {}

    /// A command ran and failed. The sink is told of each, whichever calls it has to see.
    fn failed(&mut self, _session: &Session, _error: &CommandError) {}

    /// A command begins to wait for its keys. It is told of as one that has ended when the wait is
    /// over; no outcome, time nor effects of it are known here.
    fn waits(&mut self, _called: &Called<'_>, _pushes: &mut Vec<Push>) {}

    /// A script begins. It is told of as a command that has ended when it is over.
    fn begins(&mut self, _called: &Called<'_>, _pushes: &mut Vec<Push>) {}

    /// A script has written a line for the log.
    fn logged(&mut self, _level: Level, _message: &[u8]) {}

    /// A command was queued behind MULTI. It is told of as one that has ended when EXEC has run it.
    fn queued(&mut self, _call: &Call<'_>, _session: &Session) {}

    /// The reply of a command stands, from `mark` on, where the client does not want every reply.
    /// Whatever the sink takes away is not sent.
    fn replied(&mut self, _session: &mut Session, _replies: &mut Vec<u8>, _mark: usize) {}

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
    /// It has waited for its keys before, as the sink was told then.
    pub has_waited: bool,
    /// A script has called it.
    pub in_script: bool,
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
    /// Bytes of its reply; 0 for an error.
    #[inline]
    pub fn reply_bytes(&self) -> usize {
        match self {
            Outcome::Ran(size) => *size,
            Outcome::Failed(_) | Outcome::Refused(_) => 0,
        }
    }

    /// The error, if it is one.
    pub fn error(&self) -> Option<&CommandError> {
        match self {
            Outcome::Ran(_) => None,
            Outcome::Failed(error) | Outcome::Refused(error) => Some(error),
        }
    }
}
