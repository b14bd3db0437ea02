//! Replication: as the primary, which part of the stream each replica has, and what it gets next;
//! as a replica, how the stream of a primary comes.
//!
//! - `tap`: the stream as replicas get it.
//! - `backlog`: its last part, for replicas that lag or come back.
//! - `replica`: one replica of this server, from its PSYNC on.
//! - `bulk`: the snapshot of a full sync on its way to replicas.
//! - `primary`: all of them: who gets what, and when.
//! - `handshake`: how this server presents itself to a primary.
//! - `transfer`: the snapshot of a full sync on its way from there.
//! - `following`: what of the primary's stream is carried out.
//! - `together`: as what transactions it is carried out.
//! - `figures`: what INFO and ROLE say of it.
//!
//! The stream has what the journal has, in the same order, and beside it what is published, signs
//! of life, and questions how far replicas have come. Offsets count its bytes. It is recorded while
//! there are replicas, and for some time after the last one has gone. While this server is a
//! replica itself, its stream is that of its primary, byte for byte, under the same offsets.
//!
//! Nothing here reads a clock or a socket: whoever runs it feeds the stream, asks for what a
//! replica gets next, and says what time it is.

mod backlog;
mod bulk;
mod figures;
mod following;
mod handshake;
mod limits;
mod primary;
mod replica;
mod tap;
mod together;
mod transfer;

pub use figures::{Figures, ReplicaRow};
pub use following::{Following, Settled};
pub use handshake::{Granted, Handshake, Introduction, Refused, Turn};
pub use limits::Limits;
pub use primary::{Cut, FullSync, Primary, Pulled, Pushed, Tick};
pub use replica::Arrival;
pub use tap::{Fed, Tap};
pub use transfer::Transfer;
