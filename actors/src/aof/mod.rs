//! The journal's actor and threads.
//!
//! The calls block; they are made on the AOF writer's own thread and on the threads that load, so
//! that no shard ever waits for a disk. What is called, and in which order, is decided in
//! `troupe::aof`.

pub mod loader;
pub mod writer;
