//! The store without concurrency: bytes in, replies and effects out.
//!
//! Layers, bottom first; each may use those above it in this list and never one below.

pub mod base;
pub mod resp;

pub mod settings;

pub mod data;

pub mod keyspace;

pub mod question;
pub mod route;

pub mod commands;
pub mod session;

pub mod batch;
pub mod clients;
pub mod counted;
pub mod hook;
pub mod hooks;
pub mod lending;
pub mod restarts;
pub mod router;
pub mod shard;
pub mod stream;

pub mod aof;
pub mod connection;
pub mod stats;

/// The simulator's disk, which tests here use too, knows this package by its name.
#[cfg(test)]
extern crate self as troupe;

#[cfg(test)]
mod testing;
