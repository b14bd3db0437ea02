//! One client's connection: the socket, and the actor between it and what the connection decides.

pub mod actor;
pub mod stream;
