//! The servers that are right by definition, Valkey 9.1 and Redis 7.0.15, and Redis 8.0 beside
//! them, started as processes.
//!
//! Valkey is the command `TROUPE_VALKEY` (words separated by blanks), or else the wrapper that
//! `tests/peers.sh install` leaves in `target/peers/valkey-server`, or `valkey-server` from PATH.
//! Redis is `redis-server` from PATH; Redis 8 is the wrapper `target/peers/redis8-server`.
//!
//! On a developer's machine a missing oracle is said and passed over; in CI (`CI=true`) it fails
//! the test: a comparison that did not happen is no comparison.

use std::path::Path;

use super::server::{Options, Server};

/// Which server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oracle {
    /// The one whose replies ours are.
    Valkey,
    /// Debian's redis-server 7.0.15.
    Redis,
    /// Redis 8.0, whose files are to be loaded.
    Redis8,
}

impl Oracle {
    /// The command line, if that server is on this machine.
    fn command(self) -> Option<Vec<String>> {
        let installed = |program: &str| {
            let path = super::tests_folder().join("../target/peers").join(program);
            path.exists().then(|| vec![path.to_string_lossy().into_owned()])
        };
        let from_path = |program| on_path(program).map(|path| vec![path]);
        match self {
            Oracle::Redis => from_path("redis-server"),
            Oracle::Redis8 => installed("redis8-server"),
            Oracle::Valkey => match std::env::var("TROUPE_VALKEY") {
                Ok(command) => Some(command.split_whitespace().map(String::from).collect()),
                Err(_) => installed("valkey-server").or_else(|| from_path("valkey-server")),
            },
        }
    }

    /// How it is started, or says that it is missing. Panics in CI when it is.
    pub fn options(self) -> Option<Options> {
        let Some(command) = self.command() else {
            assert!(!super::in_ci(), "{self:?} is missing, and CI must compare");
            println!("{self:?} is not on this machine: not compared (tests/peers.sh install)");
            return None;
        };
        Some(Options::program(&command).debug())
    }

    /// Starts it, if it is there.
    pub fn start(self) -> Option<Server> {
        self.options().map(|options| options.start())
    }
}

/// A program of this machine.
pub fn on_path(program: &str) -> Option<String> {
    let path = std::env::var("PATH").ok()?;
    let found = path.split(':').map(|folder| Path::new(folder).join(program));
    found.into_iter().find(|file| file.exists()).map(|file| file.to_string_lossy().into_owned())
}
