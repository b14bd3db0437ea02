//! Where a command runs and what it is given there: its handler, and what routing goes by.

use std::fmt;

use crate::commands::action::Action;
use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::commands::walk::{Step, Walk};
use crate::keyspace::keys::Keys;
use crate::resp::encode::Reply;
use crate::session::Session;

/// Where a command runs. Router and connection know commands by this alone.
#[derive(Clone, Copy)]
pub enum Run {
    /// Only its subcommands run.
    Container,
    /// On the session, wherever the batch stands.
    Session(fn(&Call<'_>, &mut Session, &mut Reply<'_>) -> Result<(), CommandError>),
    /// On the slots of its keys: on one shard, or lent.
    Keys(fn(&Call<'_>, &mut Keys<'_>, &mut Reply<'_>) -> Result<(), CommandError>),
    /// The same, on the session as well.
    SessionAndKeys(
        fn(&Call<'_>, &mut Session, &mut Keys<'_>, &mut Reply<'_>) -> Result<(), CommandError>,
    ),
    /// On every slot of every shard, all lent, at one point in time.
    All(fn(&Call<'_>, &mut Keys<'_>, &mut Reply<'_>) -> Result<(), CommandError>),
    /// As [`Run::All`], in steps: all stays lent, and the threads of the shards go on meanwhile.
    Steps(fn(&Call<'_>, &mut Keys<'_>, &mut Walk, &mut Reply<'_>) -> Result<Step, CommandError>),
    /// From slot to slot, where no client can tell a walk from one point in time.
    Walk(fn(&Call<'_>, &mut Keys<'_>, &mut Walk, &mut Reply<'_>) -> Result<Step, CommandError>),
    /// The queued commands of its session, on the slots of the keys of all
    /// (`crate::shard::transaction`).
    Exec,
    /// At home: the connection performs the action that comes back.
    Server(fn(&Call<'_>, &Session) -> Result<Action, CommandError>),
}

impl Run {
    /// True when it runs on the slots of its keys.
    #[inline]
    pub const fn is_on_keys(self) -> bool {
        matches!(self, Run::Keys(_) | Run::SessionAndKeys(_))
    }

    /// True when it looks at tables of a shard: at those of its keys, or at all.
    pub const fn needs_tables(self) -> bool {
        !matches!(self, Run::Container | Run::Session(_) | Run::Exec | Run::Server(_))
    }
}

impl fmt::Debug for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Run::Container => "Container",
            Run::Session(_) => "Session",
            Run::Keys(_) => "Keys",
            Run::SessionAndKeys(_) => "SessionAndKeys",
            Run::All(_) => "All",
            Run::Steps(_) => "Steps",
            Run::Walk(_) => "Walk",
            Run::Exec => "Exec",
            Run::Server(_) => "Server",
        })
    }
}
