//! Actors, sockets, files and clocks around the store.
//!
//! ```text
//!             accepts                 batches                effects
//!  Listener ----------> Connection <----------> Shard ------------------> AofWriter
//!                           |       (own thread:  |  ^                        |
//!                           |        each turn)   |  | letters                | finished batches,
//!                        actions                  v  |                        | news
//!                           v                    Shard  <---------------------'
//!                         Admin ---- asks ------->
//!  Router ---- maps ----> Shard       Guardian <---- restarts ---- all
//! ```
//!
//! N threads, each with one `Shard` and its share of the `Connection`s; `AofWriter` has a thread of
//! its own, with a journal or without, since the stream of effects has its order there: those
//! `Connection`s that are replicas take from it (`replicas`); `Listener`, `Router` and `Guardian`
//! share the main thread. A client whose keys are on another thread goes there with all that it has
//! (`connection`), between two batches and never while somebody asks for clients (`moves`). Start
//! and stop order are in `boot`; what a panic means for each is in `supervise`, what they do about
//! it in `guard`. An actor never imports another actor's module: it holds a `Recipient`. Only
//! `boot` knows them all.

pub mod actions;
pub mod admin;
pub mod allocator;
pub mod aof;
pub mod balancer;
pub mod boot;
pub mod clock;
pub mod connection;
pub mod daemon;
pub mod descriptors;
pub mod doors;
pub mod fault;
pub mod filesystem;
pub mod guard;
pub mod huge_pages;
pub mod inbox;
pub mod layers;
pub mod listener;
pub mod logging;
pub mod memory;
pub mod message;
pub mod moves;
pub mod pace;
pub mod post;
pub mod replicas;
pub mod router;
pub mod settings;
pub mod shard;
pub mod shared;
pub mod snapshot;
pub mod supervise;
pub mod thread;
pub mod tools;
pub mod upstream;
pub mod watched;
