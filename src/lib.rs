//! The store without concurrency: bytes in, replies and effects out.
//!
//! Layers, bottom first; each may use those above it in this list and never one below, but for a
//! session, which knows the last command of its client. The last eight stand side by side.

pub mod base;
pub mod filesystem;

pub mod resp;

pub mod settings;

pub mod data;

pub mod place;

pub mod keyspace;

pub mod rdb;

pub mod route;

pub mod balance;

pub mod pubsub;

pub mod script;

pub mod question;

pub mod commands;

pub mod session;
pub mod transaction;

pub mod stream;

pub mod lending;

pub mod batch;
pub mod parked;

pub mod clients;

pub mod counted;

pub mod hook;

pub mod shard;

pub mod aof;

pub mod snapshot;

pub mod check;
pub mod connection;
pub mod convert;
pub mod hooks;
pub mod replication;
pub mod restarts;
pub mod router;
pub mod stats;

/// The simulator's disk, which tests here use too, knows this package by its name.
#[cfg(test)]
extern crate self as troupe;

#[cfg(test)]
mod testing;
