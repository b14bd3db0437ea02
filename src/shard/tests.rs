//! Tests of a shard as a whole, and of several that exchange letters.

mod migrate;
mod regressions;
mod remake;
