//! One client's connection: codec, stream, and the actor between them and the shards.

pub mod actor;
pub mod codec;
pub mod ends;
pub mod stream;
