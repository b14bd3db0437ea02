//! Where a command runs and what it is given there: its handler, and what routing goes by.

use std::fmt;

use crate::base::millis::Millis;
use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::commands::scripting::{Named, Scripting};
use crate::commands::walk::{Step, Walk};
use crate::keyspace::interest::Awaited;
use crate::keyspace::keys::Keys;
use crate::keyspace::object::Typed;
use crate::pubsub::Register;
use crate::resp::encode::Reply;
use crate::session::Session;

/// Where a command runs. Router and connection know commands by this alone.
#[derive(Clone, Copy)]
pub enum Run {
    /// Only its subcommands run.
    Container,
    /// On the session, wherever the batch stands.
    Session(fn(&Call<'_>, &mut Session, &mut Reply<'_>) -> Result<(), CommandError>),
    /// The same, and on the register of who subscribes to what.
    PubSub(fn(&Call<'_>, &mut Session, &mut Register, &mut Reply<'_>) -> Result<(), CommandError>),
    /// The same. It may ask for an action, and runs again when the answer is in the walk.
    Asks(MayAskAtHome),
    /// On the slots of its keys: on one shard, or lent.
    Keys(fn(&Call<'_>, &mut Keys<'_>, &mut Reply<'_>) -> Result<(), CommandError>),
    /// The same, on the session as well.
    SessionAndKeys(
        fn(&Call<'_>, &mut Session, &mut Keys<'_>, &mut Reply<'_>) -> Result<(), CommandError>,
    ),
    /// On the slots of its keys, and where they have nothing for it, it waits for them.
    Blocking(Blocking),
    /// On every slot of every shard, all lent, at one point in time.
    All(fn(&Call<'_>, &mut Keys<'_>, &mut Reply<'_>) -> Result<(), CommandError>),
    /// As [`Run::All`], in steps: all stays lent, and the threads of the shards go on meanwhile.
    Steps(fn(&Call<'_>, &mut Keys<'_>, &mut Walk, &mut Reply<'_>) -> Result<Step, CommandError>),
    /// From slot to slot, where no client can tell a walk from one point in time.
    Walk(fn(&Call<'_>, &mut Keys<'_>, &mut Walk, &mut Reply<'_>) -> Result<Step, CommandError>),
    /// The queued commands of its session, on the slots of the keys of all
    /// (`crate::shard::transaction`).
    Exec,
    /// On the slots of its keys, which it keeps while the action is performed that it asks for. It
    /// runs again when the answer is in the walk.
    Held(MayAsk),
    /// A script or a function, on the slots of its keys and on those that it touches beside them
    /// (`crate::shard::script`).
    Script(Named),
    /// On what its thread knows of scripts, wherever the batch stands. It may ask for an action,
    /// and runs again when the answer is in the walk.
    Scripts(OnScripts),
    /// On every slot, and on the libraries of functions, which every thread has.
    Libraries(ChangesLibraries),
    /// At home: the connection performs the action that comes back.
    Server(fn(&Call<'_>, &Session) -> Result<Action, CommandError>),
}

/// The handler of a command about the scripts that are known.
pub(crate) type OnScripts = fn(
    &Call<'_>,
    &mut Scripting,
    &mut Walk,
    &mut Reply<'_>,
) -> Result<Option<Action>, CommandError>;

/// The handler of a command that changes libraries. It is told when loading one has taken too long.
pub(crate) type ChangesLibraries =
    fn(&Call<'_>, &mut Scripting, &dyn Fn() -> bool, &mut Reply<'_>) -> Result<(), CommandError>;

/// The handler of a command that may ask for something while it keeps its slots.
pub(crate) type MayAsk =
    fn(&Call<'_>, &mut Keys<'_>, &mut Walk, &mut Reply<'_>) -> Result<Option<Action>, CommandError>;

/// The handler of a command that may ask for something and keeps nothing meanwhile.
pub(crate) type MayAskAtHome = fn(
    &Call<'_>,
    &mut Session,
    &mut Register,
    &mut Walk,
    &mut Reply<'_>,
) -> Result<Option<Action>, CommandError>;

/// A command that waits for its keys.
#[derive(Clone, Copy)]
pub struct Blocking {
    /// What it waits for.
    pub awaited: Awaited,
    /// It waits for its first key; the others are needed to serve it.
    pub on_first_key: bool,
    /// Whether the key at a position of the call has something for it.
    pub is_ready: fn(&Call<'_>, &mut Keys<'_>, usize) -> bool,
    /// Runs it: an answer, or a wait.
    pub run: MayWait,
}

/// The handler of a command that waits for its keys.
pub(crate) type MayWait =
    fn(&Call<'_>, &mut Keys<'_>, &mut Reply<'_>) -> Result<Option<Wait>, CommandError>;

impl Blocking {
    /// Waits until any of the keys is there, as a collection of this type.
    pub const fn on_any<T: Typed>(awaited: Awaited, run: MayWait) -> Blocking {
        Blocking { awaited, on_first_key: false, is_ready: is_there::<T>, run }
    }
}

fn is_there<T: Typed>(call: &Call<'_>, keys: &mut Keys<'_>, at: usize) -> bool {
    keys.look_as::<T>(call.key(at)).is_ok_and(|there| there.is_some())
}

/// A wait of a client.
#[derive(Clone, Debug)]
pub struct Wait {
    /// When it ends; none for one that does not end by itself.
    pub until: Option<Millis>,
    /// The answer where it ends with nothing.
    pub nil: Nil,
    /// Words that mean something else later, by position, with what they mean now.
    pub fixed: Vec<(usize, Vec<u8>)>,
}

impl Wait {
    /// A wait whose words all mean later what they mean now.
    pub fn new(until: Option<Millis>, nil: Nil) -> Wait {
        Wait { until, nil, fixed: Vec::new() }
    }
}

/// An answer without anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nil {
    /// In the place of a string.
    One,
    /// In the place of an array.
    Array,
    /// Of replicas that have something; so many of them end the wait.
    Replicas(u64),
    /// Of journals that have something on disk; these end the wait.
    Journals(Copies),
}

/// Where there is a copy of what a client has written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copies {
    /// In the journal of this server, on disk.
    pub here: bool,
    /// At so many replicas.
    pub replicas: u64,
}

impl Copies {
    /// Whether these are all that are wanted.
    pub fn have(self, wanted: Copies) -> bool {
        (self.here || !wanted.here) && self.replicas >= wanted.replicas
    }
}

impl Nil {
    /// Answers with it.
    pub fn reply(self, reply: &mut Reply<'_>) {
        match self {
            Nil::One => reply.null(),
            Nil::Array => reply.null_array(),
            Nil::Replicas(_) | Nil::Journals(_) => self.reply_copies(Copies::default(), reply),
        }
    }

    /// The copies that end a wait for them.
    pub fn wanted(self) -> Option<Copies> {
        match self {
            Nil::Replicas(replicas) => Some(Copies { here: false, replicas }),
            Nil::Journals(copies) => Some(copies),
            Nil::One | Nil::Array => None,
        }
    }

    /// Answers a wait for copies with those that there are.
    pub fn reply_copies(self, copies: Copies, reply: &mut Reply<'_>) {
        let replicas = i64::try_from(copies.replicas).unwrap_or(i64::MAX);
        if let Nil::Journals(_) = self {
            reply.array(2);
            reply.int(i64::from(copies.here));
        }
        reply.int(replicas);
    }
}

impl Run {
    /// True when it runs on the slots of its keys.
    #[inline]
    pub const fn is_on_keys(self) -> bool {
        matches!(self, Run::Keys(_) | Run::SessionAndKeys(_) | Run::Blocking(_) | Run::Held(_))
    }

    /// True when it runs a script, or is about those that are known.
    #[inline]
    pub const fn is_on_scripts(self) -> bool {
        matches!(self, Run::Script(_) | Run::Scripts(_) | Run::Libraries(_))
    }

    /// True when it may run again, with the answer to what it has asked for.
    pub const fn may_ask(self) -> bool {
        matches!(self, Run::Asks(_) | Run::Held(_) | Run::Script(_) | Run::Scripts(_))
    }

    /// True when it looks at tables of a shard: at those of its keys, or at all.
    pub const fn needs_tables(self) -> bool {
        !matches!(
            self,
            Run::Container
                | Run::Session(_)
                | Run::PubSub(_)
                | Run::Asks(_)
                | Run::Exec
                | Run::Scripts(_)
                | Run::Server(_)
        )
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Run::Container => "Container",
            Run::Session(_) => "Session",
            Run::PubSub(_) => "PubSub",
            Run::Asks(_) => "Asks",
            Run::Keys(_) => "Keys",
            Run::SessionAndKeys(_) => "SessionAndKeys",
            Run::Blocking(_) => "Blocking",
            Run::All(_) => "All",
            Run::Steps(_) => "Steps",
            Run::Walk(_) => "Walk",
            Run::Exec => "Exec",
            Run::Held(_) => "Held",
            Run::Script(_) => "Script",
            Run::Scripts(_) => "Scripts",
            Run::Libraries(_) => "Libraries",
            Run::Server(_) => "Server",
        })
    }
}
