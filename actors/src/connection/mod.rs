//! One client's connection: its socket, and the actor between that and what the connection decides.

pub mod actor;
mod codec;
mod followed;
mod line;
mod moving;
mod steps;
pub mod stream;
