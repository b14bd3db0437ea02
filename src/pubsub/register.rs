//! Who subscribes to what, as one thread knows it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::glob;
use crate::base::hash::Hasher;
use crate::pubsub::subscriptions::Subscriptions;
use crate::pubsub::{Change, Farewell, Kind, Message, Name, News, Subscribed};
use crate::route::{Home, ShardId};

/// Bytes that may be on their way to the clients of a thread until it has said that they are
/// there: what each client gets is counted.
const ON_THE_WAY_MAX: u64 = 4 * 1024 * 1024;

/// A client of the register's own thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its number.
    pub client: u64,
    /// Its connection's place.
    pub connection: u32,
}

/// Who subscribes to a name: never nobody.
#[derive(Debug, Default)]
struct Audience {
    /// Clients of the own thread, by number.
    own: Vec<Receiver>,
    /// How many clients other threads have. The news of one client may overtake those of another,
    /// never its own.
    others: Vec<(ShardId, u32)>,
}

impl Audience {
    fn count(&self) -> u64 {
        let others = self.others.iter().map(|(_, count)| u64::from(*count));
        self.own.len() as u64 + others.sum::<u64>()
    }

    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.others.is_empty()
    }

    fn change_own(&mut self, receiver: Receiver, begins: bool) {
        let at = self.own.binary_search_by_key(&receiver.client, |own| own.client);
        match (at, begins) {
            (Err(at), true) => {
                // Most names have one client.
                self.own.reserve_exact(usize::from(self.own.is_empty()));
                self.own.insert(at, receiver);
            }
            (Ok(at), false) => drop(self.own.remove(at)),
            (Ok(_), true) | (Err(_), false) => {}
        }
    }

    fn change_of(&mut self, thread: ShardId, begins: bool) {
        let at = self.others.iter().position(|(other, _)| *other == thread);
        match (at, begins) {
            (Some(at), true) => self.others[at].1 += 1,
            (None, true) => {
                self.others.reserve_exact(usize::from(self.others.is_empty()));
                self.others.push((thread, 1));
            }
            (Some(at), false) => {
                self.others[at].1 -= 1;
                if self.others[at].1 == 0 {
                    self.others.swap_remove(at);
                }
            }
            (None, false) => {}
        }
    }
}

/// Bytes to the clients of one thread, since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    sent: u64,
    arrived: u64,
}

/// Who subscribes to what. Each shard has one.
pub struct Register {
    own: ShardId,
    shards: ShardId,
    farewell: Arc<dyn Farewell>,
    /// By kind, by name.
    audiences: [HashMap<Name, Audience, Hasher>; 3],
    /// Somebody may have to wait for others.
    is_stirred: bool,
    /// What a call has changed, of which others have to be told.
    changes: Vec<Change>,
    /// What was published in this turn, by thread.
    published: Vec<(ShardId, Arc<Message>)>,
    /// By thread.
    ways: Vec<Way>,
}

impl Register {
    /// An empty register of the thread with the number `own`, of so many.
    pub fn new(
        own: ShardId,
        shards: ShardId,
        hasher: &Hasher,
        farewell: Arc<dyn Farewell>,
    ) -> Register {
        Register {
            own,
            shards,
            farewell,
            audiences: std::array::from_fn(|_| HashMap::with_hasher(hasher.clone())),
            is_stirred: false,
            changes: Vec::new(),
            published: Vec::new(),
            ways: vec![Way::default(); usize::from(shards)],
        }
    }

    /// How many names of a kind somebody subscribes to.
    pub fn len(&self, kind: Kind) -> usize {
        self.audiences[kind as usize].len()
    }

    /// How many clients subscribe to a name.
    pub fn count(&self, kind: Kind, name: &[u8]) -> u64 {
        self.audiences[kind as usize].get(name).map_or(0, Audience::count)
    }

    /// The names of a kind that match a pattern, in their order.
    pub fn names(&self, kind: Kind, pattern: Option<&[u8]>) -> Vec<Name> {
        let matches = |name: &&Name| pattern.is_none_or(|glob| glob::matches(glob, name, false));
        let mut names: Vec<Name> =
            self.audiences[kind as usize].keys().filter(matches).cloned().collect();
        names.sort_unstable();
        names
    }

    /// A client subscribes to a name from now on, or does so already.
    pub fn subscribe(
        &mut self,
        client: u64,
        home: Home,
        subscribed: &mut Subscribed,
        kind: Kind,
        name: &[u8],
    ) {
        if subscribed.has(kind, name) {
            return;
        }
        let known = self.audiences[kind as usize].get_key_value(name);
        let name = known.map_or_else(|| Name::from(name), |(name, _)| Arc::clone(name));
        let new = || Subscriptions::new(home, client, self.shards, Arc::clone(&self.farewell));
        let all = subscribed.0.get_or_insert_with(|| Box::new(new()));
        all.add(kind, Arc::clone(&name));
        self.note(client, home, Change { kind, name, begins: true });
    }

    /// A client subscribes to a name no longer. Returns whether it did.
    pub fn unsubscribe(&mut self, subscribed: &mut Subscribed, kind: Kind, name: &[u8]) -> bool {
        let Some(all) = &mut subscribed.0 else { return false };
        let Some(name) = all.take(kind, name) else { return false };
        let (client, home) = (all.client, all.home);
        self.note(client, home, Change { kind, name, begins: false });
        true
    }

    /// A client subscribes to nothing any more.
    pub fn unsubscribe_all(&mut self, subscribed: &mut Subscribed) {
        for kind in Kind::ALL {
            for name in subscribed.names(kind) {
                self.unsubscribe(subscribed, kind, &name);
            }
        }
    }

    /// Notes a change of a client, to be told to others.
    fn note(&mut self, client: u64, home: Home, change: Change) {
        self.change(client, home, &change);
        if self.shards > 1 {
            self.changes.push(change);
            self.is_stirred = true;
        }
    }

    /// Takes up what another thread has told.
    pub fn hear(&mut self, news: &News) {
        news.changes.iter().for_each(|change| self.change(news.client, news.home, change));
    }

    fn change(&mut self, client: u64, home: Home, change: &Change) {
        let audiences = &mut self.audiences[change.kind as usize];
        let audience = match audiences.get_mut(&change.name) {
            Some(audience) => audience,
            None if !change.begins => return,
            None => audiences.entry(Arc::clone(&change.name)).or_default(),
        };
        if home.thread == self.own {
            audience.change_own(Receiver { client, connection: home.connection }, change.begins);
        } else {
            audience.change_of(home.thread, change.begins);
        }
        if audience.is_empty() {
            audiences.remove(&change.name);
            if audiences.capacity() > 64 && audiences.len() * 8 < audiences.capacity() {
                audiences.shrink_to_fit();
            }
        }
    }

    /// Takes what the last call has changed and others have to be told.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Publishes a message. Returns how many clients receive it. The copy of the publisher itself
    /// follows the reply to its command.
    pub fn publish(
        &mut self,
        message: Message,
        resp3: bool,
        publisher: Option<&mut Subscribed>,
    ) -> u64 {
        let Register { own, audiences, published, ways, .. } = self;
        let [channels, patterns, of_shards] = audiences;
        let by_name = if message.kind() == Kind::Shard { of_shards } else { channels };
        let mut publisher = publisher.and_then(|subscribed| subscribed.0.as_deref_mut());
        let (mut count, mut threads) = (0, Vec::new());
        let mut add = |audience: &Audience, pattern: Option<&[u8]>| {
            count += audience.count();
            let clients = (*own, audience.own.len() as u64);
            let others = audience.others.iter().map(|(thread, count)| (*thread, u64::from(*count)));
            for (thread, clients) in others.chain([clients]).filter(|(_, clients)| *clients > 0) {
                ways[usize::from(thread)].sent += clients * message.size(pattern) as u64;
                if !threads.contains(&thread) {
                    threads.push(thread);
                }
            }
            let Some(publisher) = &mut publisher else { return };
            let name = pattern.unwrap_or(message.channel());
            let kind = if pattern.is_some() { Kind::Pattern } else { message.kind() };
            if publisher.of(kind).contains(name) {
                message.write(pattern, resp3, &mut publisher.own);
            }
        };
        if let Some(audience) = by_name.get(message.channel()) {
            add(audience, None);
        }
        if message.kind() == Kind::Channel {
            for (pattern, audience) in patterns {
                if glob::matches(pattern, message.channel(), false) {
                    add(audience, Some(pattern));
                }
            }
        }
        self.is_stirred |= count > 0;
        let message = Arc::new(message);
        published.extend(threads.into_iter().map(|thread| (thread, Arc::clone(&message))));
        count
    }

    /// Whether anybody subscribes to channels, by name or by pattern.
    #[inline]
    pub fn has_receivers(&self) -> bool {
        let [channels, patterns, _] = &self.audiences;
        !channels.is_empty() || !patterns.is_empty()
    }

    /// Something was published in this turn.
    #[inline]
    pub fn has_published(&self) -> bool {
        !self.published.is_empty()
    }

    /// Takes what was published in this turn, with the threads that it goes to.
    pub fn take_published(&mut self) -> impl Iterator<Item = (ShardId, Arc<Message>)> {
        self.published.drain(..)
    }

    /// Calls `each` with every client of the own thread that receives a message, and the pattern
    /// that it receives it for.
    pub fn receivers(&self, message: &Message, mut each: impl FnMut(Receiver, Option<&Name>)) {
        let mut tell = |audience: &Audience, pattern: Option<&Name>| {
            let others = audience.own.iter().filter(|own| own.client != message.from());
            others.for_each(|own| each(*own, pattern));
        };
        if let Some(audience) = self.audiences[message.kind() as usize].get(message.channel()) {
            tell(audience, None);
        }
        if message.kind() == Kind::Channel {
            for (pattern, audience) in &self.audiences[Kind::Pattern as usize] {
                if !audience.own.is_empty() && glob::matches(pattern, message.channel(), false) {
                    tell(audience, Some(pattern));
                }
            }
        }
    }

    /// A thread of which so much has not arrived that nobody may publish more; and how much it was
    /// ever sent.
    pub fn behind(&self) -> Option<(ShardId, u64)> {
        let (thread, way) = (0..).zip(&self.ways).find(|(_, way)| way.is_behind())?;
        Some((thread, way.sent))
    }

    /// Whether the own thread is one.
    #[inline]
    pub fn is_behind_here(&self) -> bool {
        self.ways[usize::from(self.own)].is_behind()
    }

    /// Whether a call since the last question has published something, or changed something that
    /// others have to be told.
    #[inline]
    pub fn was_stirred(&mut self) -> bool {
        std::mem::take(&mut self.is_stirred)
    }

    /// So many bytes, of all that was ever sent there, have arrived at a thread.
    pub fn arrived(&mut self, thread: ShardId, bytes: u64) {
        if let Some(way) = self.ways.get_mut(usize::from(thread)) {
            way.arrived = way.arrived.max(bytes);
        }
    }

    /// All that was published has arrived at the own thread.
    pub fn arrived_here(&mut self) {
        let way = &mut self.ways[usize::from(self.own)];
        way.arrived = way.sent;
    }
}

impl Way {
    fn is_behind(&self) -> bool {
        self.sent - self.arrived > ON_THE_WAY_MAX
    }
}
