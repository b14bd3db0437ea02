//! What one client subscribes to: part of its session.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::pubsub::{Change, Farewell, Kind, Message, Name, News};
use crate::route::{Home, ShardId};

/// The subscriptions of a client, where it has or had any. A copy of a session has none: it is
/// nobody's.
#[derive(Debug, Default)]
pub struct Subscribed(pub(super) Option<Box<Subscriptions>>);

impl Clone for Subscribed {
    fn clone(&self) -> Subscribed {
        Subscribed::default()
    }
}

impl Subscribed {
    /// How many names of a kind the client subscribes to.
    pub fn count(&self, kind: Kind) -> usize {
        self.0.as_ref().map_or(0, |all| all.of(kind).len())
    }

    /// It listens to nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        let is_empty =
            |all: &Subscriptions| Kind::LISTENED.iter().all(|kind| all.of(*kind).is_empty());
        self.0.as_deref().is_none_or(is_empty)
    }

    /// Other threads know where the client is: it subscribes to something, or did.
    #[inline]
    pub fn is_known_elsewhere(&self) -> bool {
        self.0.is_some()
    }

    /// Whether the client subscribes to a name.
    pub fn has(&self, kind: Kind, name: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|all| all.of(kind).contains(name))
    }

    /// All names of a kind, in their order.
    pub fn names(&self, kind: Kind) -> Vec<Name> {
        self.0.as_ref().map_or_else(Vec::new, |all| all.of(kind).iter().cloned().collect())
    }

    /// Where a message may stand that the client was sent for this pattern, or else for its
    /// channel: behind the reply that confirms the subscription, and ahead of the one that confirms
    /// its end.
    pub fn room(&self, message: &Message, pattern: Option<&[u8]>) -> Room {
        let (kind, name) = match pattern {
            Some(pattern) => (Kind::Pattern, pattern),
            None => (message.kind(), message.channel()),
        };
        let Some(all) = &self.0 else { return Room::default() };
        let changed = all.lately.changed.get(&(kind as usize, Name::from(name)));
        let Lasts { begun, ended } = changed.copied().unwrap_or_default();
        Room { from: begun, until: (!self.has(kind, name)).then(|| ended.saturating_sub(1)) }
    }

    /// A call is over that may have changed something; its replies end at this place.
    pub fn called(&mut self, end: ReplyEnd) {
        if let Some(all) = &mut self.0
            && std::mem::take(&mut all.lately.changes)
        {
            all.lately.calls.push(end);
        }
    }

    /// Where the replies ended to the calls that have changed something since the client was last
    /// at home.
    pub fn calls(&self) -> &[ReplyEnd] {
        self.0.as_ref().map_or(&[], |all| &all.lately.calls)
    }

    /// It is at home.
    #[inline]
    pub fn is_known(&mut self) {
        if let Some(all) = &mut self.0 {
            all.lately = Lately::default();
        }
    }

    /// Bytes that the client has published to itself and that have not followed a reply yet.
    pub(crate) fn own_len(&self) -> usize {
        self.0.as_ref().map_or(0, |all| all.own.len())
    }

    /// Takes those behind so many.
    pub(crate) fn take_own_from(&mut self, len: usize) -> Vec<u8> {
        self.0.as_mut().map_or_else(Vec::new, |all| all.own.split_off(len))
    }

    /// What was taken follows its reply after all.
    pub(crate) fn give_own(&mut self, own: &[u8]) {
        self.0.iter_mut().for_each(|all| all.own.extend_from_slice(own));
    }

    /// What the client has published to itself follows the reply to its command.
    #[inline]
    pub fn append_own(&mut self, replies: &mut Vec<u8>) {
        if let Some(all) = &mut self.0 {
            replies.append(&mut all.own);
        }
    }

    /// Takes what the last call has changed and others have to be told.
    pub fn take_untold(&mut self) -> Vec<Change> {
        self.0.as_mut().map_or_else(Vec::new, |all| std::mem::take(&mut all.untold))
    }

    /// What the names take in memory, in bytes, about.
    pub fn memory(&self) -> usize {
        self.0.as_ref().map_or(0, |all| all.bytes)
    }
}

/// A place among the replies of a batch, behind a whole one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReplyEnd {
    /// Bytes ahead of it.
    pub at: usize,
    /// The client speaks RESP3 there.
    pub resp3: bool,
}

/// Between which calls of a batch that change subscriptions a message may stand: behind `from` of
/// them, and behind `until` at most where its subscription has ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// So many calls are ahead of it at least.
    pub from: usize,
    /// So many at most.
    pub until: Option<usize>,
}

/// The last calls that have begun and ended a subscription, counted from 1.
#[derive(Clone, Copy, Debug, Default)]
struct Lasts {
    begun: usize,
    ended: usize,
}

/// What has changed since a client was last at home.
#[derive(Debug, Default)]
struct Lately {
    /// The calls that have changed something.
    calls: Vec<ReplyEnd>,
    /// The next one of them has begun.
    changes: bool,
    /// By kind.
    changed: BTreeMap<(usize, Name), Lasts>,
}

impl Lately {
    fn change(&mut self, kind: Kind, name: &Name, begins: bool) {
        self.changes = true;
        let number = self.calls.len() + 1;
        let lasts = self.changed.entry((kind as usize, Arc::clone(name))).or_default();
        *(if begins { &mut lasts.begun } else { &mut lasts.ended }) = number;
    }
}

/// What a client subscribes to. When it is dropped every thread is told.
pub struct Subscriptions {
    pub(super) home: Home,
    pub(super) client: u64,
    /// By kind.
    names: [BTreeSet<Name>; Kind::ALL.len()],
    /// What they take in memory, about.
    bytes: usize,
    lately: Lately,
    /// What has changed and only this thread knows: the client may go before others are told.
    untold: Vec<Change>,
    untold_at: ShardId,
    /// Messages of the client itself that follow the reply to its command.
    pub(super) own: Vec<u8>,
    shards: ShardId,
    farewell: Arc<dyn Farewell>,
}

impl Subscriptions {
    /// None yet, of a client in a process with so many shards.
    pub(super) fn new(
        home: Home,
        client: u64,
        shards: ShardId,
        farewell: Arc<dyn Farewell>,
    ) -> Subscriptions {
        Subscriptions {
            home,
            client,
            names: Default::default(),
            bytes: 0,
            lately: Lately::default(),
            untold: Vec::new(),
            untold_at: 0,
            own: Vec::new(),
            shards,
            farewell,
        }
    }

    /// The names of a kind.
    pub(super) fn of(&self, kind: Kind) -> &BTreeSet<Name> {
        &self.names[kind as usize]
    }

    /// Adds a name that is not there.
    pub(super) fn add(&mut self, kind: Kind, name: Name) {
        self.bytes += memory_of(&name);
        self.lately.change(kind, &name, true);
        self.names[kind as usize].insert(name);
    }

    /// Something has changed, and only this thread knows.
    pub(super) fn note_untold(&mut self, at: ShardId, change: Change) {
        self.untold.push(change);
        self.untold_at = at;
    }

    /// That all which a thread knows of has ended.
    fn end(&self) -> Arc<News> {
        let all =
            Kind::ALL.into_iter().flat_map(|kind| self.of(kind).iter().map(move |n| (kind, n)));
        let changes =
            all.map(|(kind, name)| Change { kind, name: Arc::clone(name), begins: false });
        Arc::new(News { home: self.home, client: self.client, changes: changes.collect() })
    }

    /// Takes a name away, if it is there.
    pub(super) fn take(&mut self, kind: Kind, name: &[u8]) -> Option<Name> {
        let name = self.names[kind as usize].take(name)?;
        self.bytes -= memory_of(&name);
        self.lately.change(kind, &name, false);
        Some(name)
    }
}

/// Its bytes, how often it is held, and where it stands among the others.
fn memory_of(name: &Name) -> usize {
    name.len() + 2 * size_of::<usize>() + size_of::<Name>()
}

impl fmt::Debug for Subscriptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriptions").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Drop for Subscriptions {
    /// The client has gone, or its batch was lost.
    fn drop(&mut self) {
        let known_here = self.end();
        for Change { kind, name, begins } in std::mem::take(&mut self.untold).into_iter().rev() {
            match begins {
                true => drop(self.take(kind, &name)),
                false => self.add(kind, name),
            }
        }
        let known = self.end();
        for shard in 0..self.shards {
            let news = if shard == self.untold_at { &known_here } else { &known };
            if !news.changes.is_empty() {
                self.farewell.farewell(shard, Arc::clone(news));
            }
        }
    }
}
