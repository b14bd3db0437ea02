//! What a client has queued between MULTI and EXEC.
//!
//! The commands are copied, one behind the other, since the buffer that they came in goes back to
//! its thread. They count against the query buffer of their client. Their keys are found when they
//! are queued, so that EXEC knows its slots.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::base::hash::Hasher;
use crate::commands::command::{Command, Flags};
use crate::commands::positions;
use crate::commands::run::Run;
use crate::keyspace::effect::Suspended;
use crate::keyspace::key::KeyAt;
use crate::keyspace::keys::AwaitedKey;
use crate::keyspace::tracked::Invalidations;
use crate::pubsub::Message;
use crate::resp::Span;
use crate::route::ShardId;

/// Bytes that spans can tell apart.
const BYTES_MAX: usize = u32::MAX as usize;

/// One command that waits for EXEC.
#[derive(Clone, Debug)]
struct Queued {
    command: &'static Command,
    raw: Span,
    words: Range<usize>,
    keys: Range<usize>,
}

/// The commands between MULTI and EXEC.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    queued: Vec<Queued>,
    words: Vec<Span>,
    bytes: Vec<u8>,
    keys: Vec<KeyAt>,
    is_aborted: bool,
    writes: bool,
    may_write: bool,
    may_add: bool,
    needs_link: bool,
    replicates: bool,
    needs_tables: bool,
    needs_all: bool,
    needs_server: bool,
}

/// A transaction that runs, and how far it has come.
#[derive(Debug)]
pub(crate) struct Exec {
    pub(crate) transaction: Transaction,
    /// The next command to run.
    pub(crate) next: usize,
    /// Where the reply of EXEC begins in that of the batch.
    pub(crate) reply: usize,
    /// How long the commands before took, in nanoseconds.
    pub(crate) nanos: u64,
    /// The databases on which they ran.
    pub(crate) databases: Vec<u32>,
    /// What they have changed, while a server command is performed.
    pub(crate) effects: Suspended,
    /// Keys that they have changed, and for which somebody waits.
    pub(crate) awaited: VecDeque<AwaitedKey>,
    /// Keys that they have changed, and that clients have cached.
    pub(crate) invalidations: Invalidations,
    /// What they have published, and what of that is the client's own.
    pub(crate) published: Vec<(ShardId, Arc<Message>)>,
    pub(crate) own: Vec<u8>,
}

impl Exec {
    /// The transaction begins; its reply stands from `reply` on.
    pub(crate) fn new(transaction: Transaction, reply: usize) -> Exec {
        Exec {
            transaction,
            next: 0,
            reply,
            nanos: 0,
            databases: Vec::new(),
            effects: Suspended::default(),
            awaited: VecDeque::new(),
            invalidations: Invalidations::default(),
            published: Vec::new(),
            own: Vec::new(),
        }
    }
}

/// A queued command with its words, as a [`Call`](crate::commands::call::Call) has them.
pub(crate) struct Queue<'a> {
    pub(crate) command: &'static Command,
    pub(crate) input: &'a [u8],
    pub(crate) spans: &'a [Span],
    pub(crate) raw: &'a [u8],
    pub(crate) keys: &'a [KeyAt],
}

impl Transaction {
    /// Queues a command: `raw` is all of it in `input`, where `spans` stand too. Returns false
    /// where it is too much.
    pub(crate) fn push(
        &mut self,
        command: &'static Command,
        input: &[u8],
        spans: &[Span],
        raw: Span,
        hasher: &Hasher,
    ) -> bool {
        let start = self.bytes.len();
        if start + raw.len as usize > BYTES_MAX {
            return false;
        }
        self.bytes.extend_from_slice(raw.of(input));
        let (words, keys) = (self.words.len(), self.keys.len());
        let moved = |span: &Span| Span { start: span.start - raw.start + start as u32, ..*span };
        self.words.extend(spans.iter().map(moved));
        let (spans, bytes) = (&self.words[words..], &self.bytes);
        match command.only_key(spans.len()) {
            Some(at) => {
                self.keys.extend(spans.get(at).map(|span| KeyAt::new(at, span.of(bytes), hasher)))
            }
            None => {
                let mut found = Vec::new();
                positions::keys_at(command, spans, bytes, hasher, &mut found);
                self.keys.append(&mut found);
            }
        }
        self.writes |= command.writes();
        self.may_write |= command.may_write();
        self.may_add |= command.flags.has(Flags::DENY_OOM);
        self.needs_link |= !command.flags.has(Flags::STALE);
        self.needs_tables |= command.run.needs_tables();
        self.needs_server |= matches!(command.run, Run::Server(_)) || command.run.may_ask();
        // What a script touches is known when it runs, and EXEC cannot begin again.
        let runs_on_all = matches!(
            command.run,
            Run::All(_) | Run::Steps(_) | Run::Walk(_) | Run::Script(_) | Run::Libraries(_)
        );
        self.needs_all |= runs_on_all || positions::are_anywhere(command, spans, bytes);
        self.queued.push(Queued {
            command,
            raw: Span { start: start as u32, len: raw.len },
            words: words..self.words.len(),
            keys: keys..self.keys.len(),
        });
        true
    }

    /// A command could not be queued: EXEC runs none.
    pub(crate) fn abort(&mut self) {
        self.is_aborted = true;
    }

    /// A command could not be queued.
    pub(crate) fn is_aborted(&self) -> bool {
        self.is_aborted
    }

    /// How many commands are queued.
    pub fn len(&self) -> usize {
        self.queued.len()
    }

    /// True when none is queued.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty()
    }

    /// What it holds, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.len()
            + self.queued.len() * size_of::<Queued>()
            + self.words.len() * size_of::<Span>()
            + self.keys.len() * size_of::<KeyAt>()
    }

    /// One of them changes the data set.
    pub fn writes(&self) -> bool {
        self.writes
    }

    /// One of them may change the data set by what it calls.
    pub fn may_write(&self) -> bool {
        self.may_write
    }

    /// One of them has been queued that replicas may hear of.
    pub(crate) fn queued_for_replicas(&mut self) {
        self.replicates = true;
    }

    /// Replicas may hear of one of them.
    pub(crate) fn replicates(&self) -> bool {
        self.replicates
    }

    /// One of them may need memory.
    pub fn may_add(&self) -> bool {
        self.may_add
    }

    /// One of them is not for a replica whose data may be old.
    pub fn needs_link(&self) -> bool {
        self.needs_link
    }

    /// One of them looks at tables of a shard.
    pub fn needs_tables(&self) -> bool {
        self.needs_tables
    }

    /// One of them is over every slot, or may meet any.
    pub(crate) fn needs_all(&self) -> bool {
        self.needs_all
    }

    /// One of them is performed by the server.
    pub(crate) fn needs_server(&self) -> bool {
        self.needs_server
    }

    /// The keys of all commands.
    pub(crate) fn keys(&self) -> &[KeyAt] {
        &self.keys
    }

    /// The command at `index`.
    pub(crate) fn get(&self, index: usize) -> Option<Queue<'_>> {
        let Queued { command, raw, words, keys } = self.queued.get(index)?;
        Some(Queue {
            command,
            input: &self.bytes,
            spans: &self.words[words.clone()],
            raw: raw.of(&self.bytes),
            keys: &self.keys[keys.clone()],
        })
    }
}
