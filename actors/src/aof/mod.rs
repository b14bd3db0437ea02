//! The journal's disk: the directory and its files, and reading them back.
//!
//! Synchronous calls of std, made on the AOF writer's own thread and on the threads that load, so
//! that no shard ever waits for a disk. What they are for is decided in `troupe::aof`.

pub mod disk;
pub mod error;
pub mod filesystem;
pub mod increment;
pub mod load;
pub mod loader;
pub mod writer;
