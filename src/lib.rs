//! The store without concurrency.

pub mod aof;
