//! Actors, sockets, files and clocks.

pub mod aof;
