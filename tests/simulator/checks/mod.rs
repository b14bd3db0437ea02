//! What must hold in every run: each promise in a file of its own, with tests that show that it can
//! fail.

pub mod bounds;
pub mod caches;
pub mod cycles;
pub mod durability;
pub mod history;
pub mod pushes;
pub mod quiet;
pub mod streams;
pub mod waits;
pub mod watched;

/// A promise that was broken, in words.
pub type Broken = String;
