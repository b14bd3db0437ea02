//! The servers that are right by definition: Valkey 9.1 and Redis 7.0.15, started as processes.
//!
//! Valkey is the command `TROUPE_VALKEY` (words separated by blanks), or else the wrapper that
//! `tests/peers.sh install` leaves in `target/peers/valkey-server`, or `valkey-server` from PATH.
//! Redis is `redis-server` from PATH. On a developer's machine a missing oracle is said and passed
//! over; in CI (`CI=true`) it fails the test: a comparison that did not happen is no comparison.

use std::path::Path;

use super::server::{Options, Server};

/// Which server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// The one whose replies ours are.
    Valkey,
    /// Debian's redis-server 7.0.15.
    Redis,
}

impl Oracle {
    /// The command line, if that server is on this machine.
    fn command(self) -> Option<Vec<String>> {
        if self == Oracle::Redis {
            return on_path("redis-server").map(|path| vec![path]);
        }
        if let Ok(command) = std::env::var("TROUPE_VALKEY") {
            return Some(command.split_whitespace().map(String::from).collect());
        }
        let installed = super::tests_folder().join("../target/peers/valkey-server");
        if installed.exists() {
            return Some(vec![installed.to_string_lossy().into_owned()]);
        }
        on_path("valkey-server").map(|path| vec![path])
    }

    /// Starts it, or says that it is missing. Panics in CI when it is.
    pub fn start(self) -> Option<Server> {
        let Some(command) = self.command() else {
            assert!(!super::in_ci(), "{self:?} is missing, and CI must compare");
            println!("{self:?} is not on this machine: not compared (tests/peers.sh install)");
            return None;
        };
        Some(Options::program(&command).debug().start())
    }
}

/// A program of this machine.
pub fn on_path(program: &str) -> Option<String> {
    let path = std::env::var("PATH").ok()?;
    let found = path.split(':').map(|folder| Path::new(folder).join(program));
    found.into_iter().find(|file| file.exists()).map(|file| file.to_string_lossy().into_owned())
}
