//! Bytes and numbers: the leaves that everything else stands on.
//!
//! Pure functions over slices and integers, each with Redis's exact idea of what is a number or a
//! match. Nothing here allocates in proportion to what a client announces, reads a clock, or knows
//! the protocol.

pub mod crc16;
pub mod float;
pub mod glob;
mod grisu;
pub mod hash;
pub mod integer;
pub mod long_double;
pub mod millis;
pub mod murmur;
mod natural;
pub mod prefetch;
pub mod quotes;
pub mod sha1;
pub mod slot;
