//! A client that waits for a key: BLPOP and its kin.
//!
//! Its batch is parked at home. In the slots of its keys stand waiters, which know the call. Who
//! changes such a key serves the waiter there and then, and sends home what came of it. The wait
//! ends once: whoever wants to end it (a change of a key, the deadline, CLIENT UNBLOCK, the end of
//! the client) takes it first. So nothing is popped for a client that has gone, and nothing is ever
//! put back.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::millis::Millis;
use crate::commands::command::Command;
pub use crate::commands::run::Copies;
use crate::commands::run::Nil;
use crate::keyspace::interest::{Rank, Waiter};
use crate::keyspace::key::{Key, KeyAt};
use crate::resp::{Span, encode};
use crate::route::Home;
use crate::session::{Replies, Session};

/// A wait.
#[derive(Debug)]
pub struct Parked {
    is_taken: AtomicBool,
    pub(crate) rank: Rank,
    pub(crate) home: Home,
    /// As it was when the wait began.
    pub(crate) session: Session,
    pub(crate) command: &'static Command,
    pub(crate) request: Vec<u8>,
    pub(crate) spans: Vec<Span>,
    pub(crate) keys: Vec<KeyAt>,
    /// It waits for its first key, and needs the others.
    on_first_key: bool,
    /// When it ends without having been served, if ever.
    pub until: Option<Millis>,
    pub(crate) nil: Nil,
    /// What the call took to find nothing, in nanoseconds. It is counted when the wait is over.
    pub(crate) nanos: u64,
}

/// What a wait goes by: the call with its words, and where its client is.
pub(crate) struct Waits<'a> {
    pub(crate) rank: Rank,
    pub(crate) home: Home,
    pub(crate) session: &'a Session,
    pub(crate) command: &'static Command,
    pub(crate) words: Vec<&'a [u8]>,
    pub(crate) keys: &'a [KeyAt],
    pub(crate) on_first_key: bool,
    pub(crate) until: Option<Millis>,
    pub(crate) nil: Nil,
    pub(crate) nanos: u64,
}

impl Parked {
    /// A wait begins.
    pub(crate) fn new(waits: Waits<'_>) -> Arc<Parked> {
        let mut request = Vec::new();
        encode::command(&mut request, &waits.words);
        let mut session = waits.session.clone();
        // What its client does not want to see is taken away at home.
        session.replies = Replies::On;
        session.watches.clear();
        Arc::new(Parked {
            is_taken: AtomicBool::new(false),
            rank: waits.rank,
            home: waits.home,
            session,
            command: waits.command,
            spans: spans_of(&request, &waits.words),
            request,
            keys: waits.keys.to_vec(),
            on_first_key: waits.on_first_key,
            until: waits.until,
            nil: waits.nil,
            nanos: waits.nanos,
        })
    }

    /// The keys that it waits for.
    pub(crate) fn awaited(&self) -> impl Iterator<Item = Key<'_>> {
        let number = if self.on_first_key { 1 } else { self.keys.len() };
        self.keys.iter().take(number).map(|key| self.key(key))
    }

    fn key(&self, at: &KeyAt) -> Key<'_> {
        let span = self.spans.get(at.position as usize);
        let name = span.map_or(&[][..], |span| span.of(&self.request));
        Key { name, slot: at.slot, hash: at.hash }
    }

    /// Ends the wait, for whoever is the first to do so. Returns whether that is the caller.
    pub fn take(&self) -> bool {
        !self.is_taken.swap(true, Ordering::AcqRel)
    }
}

impl Parked {
    /// The copies of what its client has written that end the wait, where it waits for some.
    pub fn wanted(&self) -> Option<Copies> {
        self.nil.wanted()
    }

    /// It waits for copies on disk.
    pub fn is_on_journals(&self) -> bool {
        matches!(self.nil, Nil::Journals(_))
    }
}

impl Waiter for Parked {
    fn is_over(&self) -> bool {
        self.is_taken.load(Ordering::Acquire)
    }

    fn needs(&self) -> Vec<Key<'_>> {
        let others = if self.on_first_key { self.keys.get(1..) } else { None };
        others.unwrap_or_default().iter().map(|key| self.key(key)).collect()
    }
}

/// Where the words stand in a request that was made of them.
fn spans_of(request: &[u8], words: &[&[u8]]) -> Vec<Span> {
    let mut at = header(request, 0);
    let span = |word: &&[u8]| {
        let start = header(request, at);
        at = start + word.len() + 2;
        Span { start: start as u32, len: word.len() as u32 }
    };
    words.iter().map(span).collect()
}

/// Where the line that begins at `at` has ended.
fn header(request: &[u8], at: usize) -> usize {
    let line = request[at..].iter().position(|byte| *byte == b'\n');
    line.map_or(request.len(), |end| at + end + 1)
}

/// How a wait ended.
#[derive(Debug)]
pub enum Outcome {
    /// The client was served.
    Served(Vec<u8>),
    /// The call runs again, since not all that it needs was there.
    Again,
    /// What it was served with must not be shown: its connection closes.
    Lost,
    /// Its time is over.
    TimedOut,
    /// There are these copies of what the client has written, enough or not.
    Copied(Copies),
    /// Somebody has ended it, for this reason.
    Unblocked(Why),
}

/// Why somebody ends a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// CLIENT UNBLOCK with TIMEOUT: as if its time were over.
    TimedOut,
    /// CLIENT UNBLOCK with ERROR.
    Asked,
    /// The server is a replica from now on.
    IsReplica,
}

impl Outcome {
    /// Whether its client sees it. Who runs again has seen nothing so far.
    pub fn is_shown(&self) -> bool {
        !matches!(self, Outcome::Again)
    }
}

/// What has become, somewhere else, of the wait of a client.
#[derive(Debug)]
pub struct Served {
    /// Where the client is.
    pub to: Home,
    /// Its number; another client may have come to its place meanwhile.
    pub client: u64,
    /// How its wait has ended.
    pub outcome: Outcome,
    /// Something was changed for it.
    pub has_written: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_in_the_request_that_was_made_of_them() {
        let long = vec![b'\n'; 100_000];
        let words: Vec<&[u8]> = vec![b"BLPOP", b"", b"a\r\n$3\r\nb", &long, b"\0", b"0"];
        let mut request = Vec::new();
        encode::command(&mut request, &words);
        let spans = spans_of(&request, &words);
        let found: Vec<&[u8]> = spans.iter().map(|span| span.of(&request)).collect();
        assert_eq!(found, words);
    }
}
