//! What is known of faults: what a panic said, how often each actor was restarted, and the end of a
//! process that is no longer worth keeping.
//!
//! Actors report here without knowing the guardian, which counts and decides.

use std::any::Any;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tracing::error;

/// Exit status of a process that gave up.
const EXIT_GAVE_UP: i32 = 70;

/// What INFO says of an actor.
#[derive(Clone, Debug, Default)]
pub struct ActorRecord {
    /// Restarts so far.
    pub restarts: u64,
    /// What the last panic said.
    pub last_panic: String,
}

/// Restarts by name of the actor, for INFO.
pub type Records = Arc<Mutex<BTreeMap<String, ActorRecord>>>;

/// Ends the process with a report: what it holds is no longer worth more than a fresh start.
pub fn give_up(why: &str) -> ! {
    error!("Troupe gives up: {why}. Start it again: the journal holds all that was acknowledged");
    std::process::exit(EXIT_GAVE_UP)
}

/// Belongs to an actor without which the server is none, and ends the process when that actor is
/// dropped by a panic that it did not catch: nothing would answer in its place.
#[derive(Debug)]
pub struct Vital(pub &'static str);

impl Drop for Vital {
    fn drop(&mut self) {
        if std::thread::panicking() {
            give_up(&format!("a panic has ended {}", self.0));
        }
    }
}

/// What a panic said.
pub fn panic_text(panic: &(dyn Any + Send)) -> String {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => (*text).to_owned(),
        (_, Some(text)) => text.clone(),
        _ => "a panic without words".to_owned(),
    }
}
