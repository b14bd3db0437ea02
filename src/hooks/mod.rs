//! The layers around commands: each file is one gate or one sink of [`crate::hook`].
//!
//! None knows another, and nothing below them names one: the shell lists them in order where it
//! wires the server. Gates, in this order: [`auth`], [`permission`], [`loading`],
//! [`memory_limit`], [`journal`], [`snapshot`], [`replicas`], [`following`], [`subscriber`],
//! [`pause`].
//! Sinks, in any order: [`slowlog`], [`spikes`], [`logging`], [`monitor`],
//! [`payloads`], [`silence`], [`hotkeys`].

pub mod auth;
pub mod following;
pub mod hotkeys;
pub mod journal;
pub mod loading;
pub mod logging;
pub mod memory_limit;
pub mod monitor;
pub mod pause;
pub mod payloads;
pub mod permission;
pub mod replicas;
pub mod silence;
pub mod slowlog;
pub mod snapshot;
pub mod spikes;
pub mod subscriber;

#[cfg(test)]
pub(crate) mod sample;
