//! The store without concurrency: bytes in, replies and effects out.
//!
//! Layers, bottom first; each may use those above it in this list and never one below.

pub mod base;
pub mod resp;
