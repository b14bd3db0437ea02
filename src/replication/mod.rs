//! Replication, as the primary: which part of the stream each replica has, and what it gets next.
//!
//! - `tap`: the stream as replicas get it.
//! - `backlog`: its last part, for replicas that lag or come back.
//! - `replica`: one replica, from its PSYNC on.
//! - `bulk`: the snapshot of a full sync on its way.
//! - `primary`: all of them: who gets what, and when.
//! - `figures`: what INFO and ROLE say of it.
//!
//! The stream has what the journal has, in the same order, and beside it what is published, signs
//! of life, and questions how far replicas have come. Offsets count its bytes. It is recorded while
//! there are replicas, and for some time after the last one has gone.
//!
//! Nothing here reads a clock or a socket: whoever runs it feeds the stream, asks for what a
//! replica gets next, and says what time it is.

mod backlog;
mod bulk;
mod figures;
mod primary;
mod replica;
mod tap;

pub use figures::{Figures, ReplicaRow};
pub use primary::{FullSync, Limits, Primary, Pulled, Pushed, Tick};
pub use replica::Arrival;
pub use tap::{Fed, Tap};
