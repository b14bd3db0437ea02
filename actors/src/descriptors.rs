//! The limit of open files: what the server needs of it, and how many clients that leaves.
//!
//! Keeps true: a client that `maxclients` lets in gets its descriptor, and beside all of them the
//! server opens whatever it has to. So each part is counted with the most that it ever holds at
//! once. The numbers of the event loop are those that `/proc/PID/fd` shows for each thread.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use troupe::settings::Settings;

/// The event loop of a thread: its epoll, a copy of that, its eventfd, its end of the pipe below.
const EVENT_LOOP: u64 = 4;

/// The pipe by which signals reach the event loops: two sockets.
const SIGNAL_PIPE: u64 = 2;

/// A shard: its thread's event loop, a file that a command of a client reads (INFO does), and the
/// file of the journal that it is rebuilt from.
const SHARD: u64 = EVENT_LOOP + 1 + 1;

/// The journal: one that begins while the thread and the file of the one before still end. The one
/// that begins holds its base, its first increment, the new manifest and the directory.
const JOURNAL: u64 = 2 * EVENT_LOOP + 1 + 4;

/// An address that is listened on: its socket, and the one that CONFIG SET opens beside it.
const DOOR: u64 = 2;

/// What comes and goes: the client that is turned away, the log under its new name, the file and
/// folder of CONFIG REWRITE, a message to the service manager, the clock's time zone, what it takes
/// to look up a name, and the program's own file for the backtrace of a panic.
const PASSING: u64 = 8;

/// What a process has open that begins: standard input, output and error.
const AT_START: u64 = 3;

/// The settings that decide how many descriptors are needed.
pub const DECIDING: &[&str] = &["maxclients", "bind", "port"];

/// The descriptors that the server needs whatever the settings say that can be changed.
#[derive(Clone, Copy, Debug)]
pub struct Descriptors {
    fixed: u64,
}

/// The limit is too low, and cannot be raised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The limit.
    pub limit: u64,
    /// Descriptors needed beside those of the clients.
    pub reserve: u64,
}

impl Descriptors {
    /// Counts for so many shards, and with all that is open by now. To be called before any thread
    /// is started.
    pub fn count(shards: usize) -> Descriptors {
        // One of them is that of the folder while it is being read.
        let open = |folder: fs::ReadDir| (folder.count() as u64).saturating_sub(1);
        let open = fs::read_dir("/proc/self/fd").map_or(AT_START, open);
        let parts = EVENT_LOOP + SIGNAL_PIPE + shards as u64 * SHARD + JOURNAL;
        Descriptors { fixed: open + parts + PASSING }
    }

    /// Raises the limit of open files as far as the settings need.
    ///
    /// # Errors
    /// Where the system does not allow that. The limit is then as high as it can be.
    pub fn make_room(self, settings: &Settings) -> Result<(), Shortage> {
        let reserve = self.fixed + doors(settings) * DOOR;
        let wanted = reserve + u64::from(settings.maxclients);
        let limit = raise(wanted);
        if limit < wanted { Err(Shortage { limit, reserve }) } else { Ok(()) }
    }
}

impl Shortage {
    /// How many clients there is room for.
    pub fn clients(self) -> u64 {
        self.limit.saturating_sub(self.reserve)
    }
}

fn doors(settings: &Settings) -> u64 {
    let tcp = if settings.port > 0 { settings.bind.len() as u64 } else { 0 };
    tcp + u64::from(!settings.unixsocket.as_os_str().is_empty())
}

/// Raises the limit to what is wanted, or as far as it goes. Returns what it is.
fn raise(wanted: u64) -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(current) = current.filter(|current| *current < wanted) else { return wanted };
    // With privileges the maximum is raised as well.
    let higher = maximum.map(|maximum| maximum.max(wanted));
    let most = maximum.map_or(wanted, |maximum| maximum.min(wanted));
    for (limit, maximum) in [(wanted, higher), (most, maximum)] {
        if setrlimit(Resource::Nofile, Rlimit { current: Some(limit), maximum }).is_ok() {
            return limit;
        }
    }
    current
}
