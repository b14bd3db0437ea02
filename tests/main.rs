//! The whole server, tested from outside: one test binary that starts the real `troupe` and talks
//! to it over sockets, files and signals, as a user's machine would.
//!
//! Nothing here links the server's code: a test that passes says something about the program that
//! is shipped. Invariant: no test waits for a length of time, each waits for a state (see
//! `support::wait`), and each has a deadline. What runs inside one process (unit tests, the bare
//! core) is beside the code that it tests.
//!
//! Environment: `TROUPE_SEED`, `TROUPE_SCRIPTS`, `TROUPE_BLESS`, `TROUPE_VALKEY`,
//! `TROUPE_STAND_IN`, `TROUPE_DIFF_COMMANDS`, `TROUPE_DIFF_SCRIPTS`, `TROUPE_ORDER_SECONDS`,
//! `TROUPE_KILL_ROUNDS`, `TROUPE_PANIC_ROUNDS`, `TROUPE_GROW_KEYS`, `TROUPE_FILE_KEYS`,
//! `TROUPE_MATRIX_KEYS`, `TROUPE_MATRIX_CUTS`: each is explained where it is read.

// The lints of the workspace are about a server that must not die. A test dies to say something,
// and waits for real time, because it stands outside.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]
#![allow(unreachable_pub)]

mod blocking;
mod bounds;
mod changes;
mod client_eviction;
mod clients;
mod configuration;
mod daemon;
mod descriptors;
mod differential;
mod dump;
mod durability;
mod edges;
mod ends;
mod events;
mod eviction;
mod faults;
mod files;
mod following;
mod foreign;
mod hotkeys;
mod kills;
mod loading;
mod matrix;
mod memory;
mod migrate;
mod monitor;
mod order;
mod pauses;
mod pubsub;
mod readers;
mod rebalancing;
mod regressions;
mod reload;
mod replica;
mod replication;
mod rewrite;
mod scripting;
mod scripts;
mod snapshots;
mod supervision;
mod support;
mod sync_tools;
mod tidy;
mod tools;
mod tracking;
