//! Who subscribes to what, as one thread knows it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::base::glob;
use crate::base::hash::Hasher;
use crate::pubsub::subscriptions::Subscriptions;
use crate::pubsub::{Change, Farewell, Kind, Message, NAMED, Name, News, Subscribed};
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

/// Who subscribes to a name: never nobody. Most names have one client, so that takes least room.
#[derive(Debug)]
enum Audience {
    /// One client of the own thread, with its connection's place.
    One { client: u64, connection: u32 },
    /// So many clients of one other thread.
    Elsewhere { thread: ShardId, count: u32 },
    /// Any.
    Several(Box<Several>),
}

#[derive(Debug, Default)]
struct Several {
    /// Clients of the own thread, by number.
    own: Vec<Receiver>,
    /// How many clients other threads have. The news of one client may overtake those of another,
    /// never its own.
    others: Vec<(ShardId, u32)>,
}

impl Audience {
    /// The first client of a name: one of the own thread, or of another.
    fn first(own: ShardId, client: u64, home: Home) -> Audience {
        match home.thread {
            thread if thread == own => Audience::One { client, connection: home.connection },
            thread => Audience::Elsewhere { thread, count: 1 },
        }
    }

    /// Clients of the own thread, by number.
    fn own(&self) -> impl Iterator<Item = Receiver> {
        let (one, several) = match *self {
            Audience::One { client, connection } => (Some(Receiver { client, connection }), None),
            Audience::Elsewhere { .. } => (None, None),
            Audience::Several(ref several) => (None, Some(&several.own)),
        };
        one.into_iter().chain(several.into_iter().flatten().copied())
    }

    /// How many clients other threads have.
    fn others(&self) -> impl Iterator<Item = (ShardId, u32)> {
        let (one, several) = match *self {
            Audience::One { .. } => (None, None),
            Audience::Elsewhere { thread, count } => (Some((thread, count)), None),
            Audience::Several(ref several) => (None, Some(&several.others)),
        };
        one.into_iter().chain(several.into_iter().flatten().copied())
    }

    fn count(&self) -> u64 {
        self.own().count() as u64 + self.others().map(|(_, count)| u64::from(count)).sum::<u64>()
    }

    fn is_empty(&self) -> bool {
        self.own().next().is_none() && self.others().next().is_none()
    }

    /// Room for any number of clients.
    fn several(&mut self) -> &mut Several {
        if !matches!(self, Audience::Several(_)) {
            let several = Several { own: self.own().collect(), others: self.others().collect() };
            *self = Audience::Several(Box::new(several));
        }
        match self {
            Audience::Several(several) => several,
            Audience::One { .. } | Audience::Elsewhere { .. } => {
                unreachable!("it has just been made room for several")
            }
        }
    }

    fn change_own(&mut self, receiver: Receiver, begins: bool) {
        let own = &mut self.several().own;
        let at = own.binary_search_by_key(&receiver.client, |own| own.client);
        match (at, begins) {
            (Err(at), true) => own.insert(at, receiver),
            (Ok(at), false) => drop(own.remove(at)),
            (Ok(_), true) | (Err(_), false) => {}
        }
    }

    fn change_of(&mut self, thread: ShardId, begins: bool) {
        let others = &mut self.several().others;
        let at = others.iter().position(|(other, _)| *other == thread);
        match (at, begins) {
            (Some(at), true) => others[at].1 += 1,
            (None, true) => others.push((thread, 1)),
            (Some(at), false) => {
                others[at].1 -= 1;
                if others[at].1 == 0 {
                    others.swap_remove(at);
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
    audiences: [HashMap<Name, Audience, Hasher>; Kind::ALL.len()],
    /// Somebody may have to wait for others.
    is_stirred: bool,
    /// Clients that have named others were told of keys.
    has_told_named: bool,
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
            has_told_named: false,
            published: Vec::new(),
            ways: vec![Way::default(); usize::from(shards)],
        }
    }

    /// The number of its thread.
    pub(crate) fn own(&self) -> ShardId {
        self.own
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
        self.note(all, Change { kind, name, begins: true });
    }

    /// A client subscribes to a name no longer. Returns whether it did.
    pub fn unsubscribe(&mut self, subscribed: &mut Subscribed, kind: Kind, name: &[u8]) -> bool {
        let Some(all) = &mut subscribed.0 else { return false };
        let Some(name) = all.take(kind, name) else { return false };
        self.note(all, Change { kind, name, begins: false });
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
    fn note(&mut self, of: &mut Subscriptions, change: Change) {
        self.change(of.client, of.home, &change);
        if self.shards > 1 {
            of.note_untold(self.own, change);
        }
        self.is_stirred = true;
    }

    /// Takes up what another thread has told.
    pub fn hear(&mut self, news: &News) {
        news.changes.iter().for_each(|change| self.change(news.client, news.home, change));
    }

    fn change(&mut self, client: u64, home: Home, change: &Change) {
        let audiences = &mut self.audiences[change.kind as usize];
        let Some(audience) = audiences.get_mut(&change.name) else {
            if change.begins {
                let first = Audience::first(self.own, client, home);
                audiences.insert(Arc::clone(&change.name), first);
            }
            return;
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

    /// Publishes a message. Returns how many clients receive it. The copy of the publisher itself
    /// follows the reply to its command.
    pub fn publish(
        &mut self,
        message: Message,
        resp3: bool,
        publisher: Option<&mut Subscribed>,
    ) -> u64 {
        let Register { own, audiences, published, ways, .. } = self;
        let mut publisher = publisher.and_then(|subscribed| subscribed.0.as_deref_mut());
        let (mut count, mut threads) = (0, Vec::new());
        let mut add = |audience: &Audience, pattern: Option<&[u8]>| {
            count += audience.count();
            let clients = (*own, audience.own().count() as u64);
            let others = audience.others().map(|(thread, count)| (thread, u64::from(count)));
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
        if let Some(audience) = audiences[message.kind() as usize].get(message.channel()) {
            add(audience, None);
        }
        if message.kind() == Kind::Channel {
            for (pattern, audience) in &audiences[Kind::Pattern as usize] {
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
        !self.audiences[Kind::Channel as usize].is_empty()
            || !self.audiences[Kind::Pattern as usize].is_empty()
    }

    /// Something was published in this turn.
    #[inline]
    pub fn has_published(&self) -> bool {
        !self.published.is_empty()
    }

    /// How much was published in this turn.
    pub(crate) fn published_len(&self) -> usize {
        self.published.len()
    }

    /// Takes what was published in this turn behind so much.
    pub(crate) fn take_published_from(&mut self, from: usize) -> Vec<(ShardId, Arc<Message>)> {
        self.published.split_off(from)
    }

    /// What was taken is published after all, in this turn.
    pub(crate) fn publish_again(&mut self, mut taken: Vec<(ShardId, Arc<Message>)>) {
        self.is_stirred |= !taken.is_empty();
        self.published.append(&mut taken);
    }

    /// Takes what was published in this turn, with the threads that it goes to.
    pub fn take_published(&mut self) -> impl Iterator<Item = (ShardId, Arc<Message>)> {
        self.published.drain(..)
    }

    /// Calls `each` with every client of the own thread that receives a message, and the pattern
    /// that it receives it for. Whoever has published it has its own copy.
    pub fn receivers(&self, message: &Message, mut each: impl FnMut(Receiver, Option<&Name>)) {
        let mut tell = |audience: &Audience, pattern: Option<&Name>| {
            let others = audience.own().filter(|own| own.client != message.from());
            others.for_each(|own| each(own, pattern));
        };
        if let Some(audience) = self.audiences[message.kind() as usize].get(message.channel()) {
            tell(audience, None);
        }
        if message.kind() == Kind::Channel {
            for (pattern, audience) in &self.audiences[Kind::Pattern as usize] {
                if audience.own().next().is_some()
                    && glob::matches(pattern, message.channel(), false)
                {
                    tell(audience, Some(pattern));
                }
            }
        }
    }

    /// Clients are told of keys: those too that have named others who are told in their place.
    pub(crate) fn tell_named(&mut self) {
        if self.count(Kind::Cached, NAMED) > 0 {
            self.has_told_named = true;
            self.is_stirred = true;
        }
    }

    /// Takes the other threads that have passed on, when all of this arrives, what clients were
    /// told of keys since the last question.
    pub(crate) fn take_told(&mut self) -> Vec<ShardId> {
        if !std::mem::take(&mut self.has_told_named) {
            return Vec::new();
        }
        let named = self.audiences[Kind::Cached as usize].get(NAMED);
        named.into_iter().flat_map(Audience::others).map(|(thread, _)| thread).collect()
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

const _: () =
    assert!(size_of::<Audience>() == 16, "a hundred thousand of them stand in each shard");

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Keeps the news of clients that have gone.
    #[derive(Default)]
    struct Kept(Mutex<Vec<(ShardId, Arc<News>)>>);

    impl Farewell for Kept {
        fn farewell(&self, to: ShardId, news: Arc<News>) {
            self.0.lock().expect("nobody panics while it holds the lock").push((to, news));
        }
    }

    const HOME: Home = Home { thread: 1, connection: 5 };

    fn register(own: ShardId, kept: &Arc<Kept>) -> Register {
        Register::new(own, 2, &Hasher::with_seeds([1, 2, 3, 4]), Arc::clone(kept) as _)
    }

    fn news(subscribed: &mut Subscribed, client: u64) -> News {
        News { home: HOME, client, changes: subscribed.take_untold() }
    }

    fn received(register: &Register, message: &Message) -> Vec<(u64, Option<Name>)> {
        let mut all = Vec::new();
        register.receivers(message, |to, pattern| all.push((to.client, pattern.cloned())));
        all
    }

    #[test]
    fn each_thread_counts_all_and_knows_its_own() {
        let kept = Arc::default();
        let (mut here, mut home) = (register(0, &kept), register(1, &kept));
        let mut subscribed = Subscribed::default();
        here.subscribe(7, HOME, &mut subscribed, Kind::Channel, b"c");
        here.subscribe(7, HOME, &mut subscribed, Kind::Channel, b"c");
        here.subscribe(7, HOME, &mut subscribed, Kind::Pattern, b"c*");
        assert!(here.was_stirred() && !here.was_stirred());
        let news = news(&mut subscribed, 7);
        assert_eq!(news.changes.len(), 2, "each once");
        home.hear(&news);
        let message = || Message::new(Kind::Channel, b"c", b"m", 9);
        for register in [&mut here, &mut home] {
            assert_eq!(register.publish(message(), false, None), 2);
            let to: Vec<ShardId> = register.take_published().map(|(thread, _)| thread).collect();
            assert_eq!(to, [1], "one for all who are there");
            assert_eq!(register.count(Kind::Channel, b"c"), 1);
            assert_eq!(register.names(Kind::Pattern, None), [Name::from(&b"c*"[..])]);
            assert_eq!(register.publish(Message::new(Kind::Shard, b"c", b"m", 9), false, None), 0);
        }
        assert_eq!(received(&here, &message()), []);
        let expected = [(7, None), (7, Some(Name::from(&b"c*"[..])))];
        assert_eq!(received(&home, &message()), expected);
        assert_eq!(received(&home, &Message::new(Kind::Channel, b"c", b"m", 7)), [], "its own");
    }

    #[test]
    fn who_goes_is_taken_out_everywhere() {
        let kept = Arc::<Kept>::default();
        let mut registers = [register(0, &kept), register(1, &kept)];
        let mut subscribed = Subscribed::default();
        registers[1].subscribe(7, HOME, &mut subscribed, Kind::Channel, b"c");
        registers[1].subscribe(7, HOME, &mut subscribed, Kind::Shard, b"c");
        assert!(registers[1].unsubscribe(&mut subscribed, Kind::Shard, b"c"));
        assert!(!registers[1].unsubscribe(&mut subscribed, Kind::Shard, b"c"));
        let news = news(&mut subscribed, 7);
        registers[0].hear(&news);
        assert!(subscribed.clone().is_empty(), "a copy is nobody's");
        assert_eq!((subscribed.count(Kind::Channel), subscribed.memory() > 0), (1, true));
        drop(subscribed);
        for (to, news) in kept.0.lock().expect("nobody panics").drain(..) {
            registers[usize::from(to)].hear(&news);
        }
        let left = registers.map(|register| Kind::ALL.map(|kind| register.len(kind)));
        assert_eq!(left, [[0; 5]; 2]);
    }

    #[test]
    fn who_goes_before_others_are_told_is_taken_out_only_where_he_is_known() {
        let kept = Arc::<Kept>::default();
        let mut registers = [register(0, &kept), register(1, &kept)];
        let mut all = [Subscribed::default(), Subscribed::default()];
        for (client, subscribed) in (7..).zip(&mut all) {
            registers[1].subscribe(client, HOME, subscribed, Kind::Channel, b"told");
            registers[0].hear(&news(subscribed, client));
        }
        let [mut goes, stays] = all;
        registers[1].unsubscribe(&mut goes, Kind::Channel, b"told");
        registers[1].subscribe(7, HOME, &mut goes, Kind::Channel, b"untold");
        registers[0].subscribe(9, HOME, &mut Subscribed::default(), Kind::Channel, b"untold");
        kept.0.lock().expect("nobody panics").clear();
        drop(goes);
        for (to, news) in kept.0.lock().expect("nobody panics").drain(..) {
            registers[usize::from(to)].hear(&news);
        }
        let counts = |register: &Register| {
            [&b"told"[..], b"untold"].map(|name| register.count(Kind::Channel, name))
        };
        assert_eq!(registers.each_ref().map(counts), [[1, 1], [1, 0]]);
        drop(stays);
    }

    #[test]
    fn who_publishes_to_itself_has_its_copy_behind_its_reply() {
        let mut register = register(1, &Arc::default());
        let mut subscribed = Subscribed::default();
        register.subscribe(7, HOME, &mut subscribed, Kind::Channel, b"c");
        let message = Message::new(Kind::Channel, b"c", b"m", 7);
        assert_eq!(register.publish(message, true, Some(&mut subscribed)), 1);
        let mut replies = b":1\r\n".to_vec();
        subscribed.append_own(&mut replies);
        subscribed.append_own(&mut replies);
        let expected = b":1\r\n>3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n";
        assert_eq!(replies, expected);
    }

    #[test]
    fn a_thread_that_does_not_keep_up_is_behind_until_it_says_so() {
        let mut register = register(0, &Arc::default());
        let mut subscribed = Subscribed::default();
        register.subscribe(7, HOME, &mut subscribed, Kind::Channel, b"c");
        let half = vec![b'x'; ON_THE_WAY_MAX as usize / 2];
        let mut publish = || {
            register.publish(Message::new(Kind::Channel, b"c", &half, 9), false, None);
            register.behind()
        };
        assert_eq!(publish(), None);
        let (thread, sent) = publish().expect("two halves and their heads");
        assert_eq!(thread, 1);
        assert!(!register.is_behind_here());
        register.arrived(1, sent);
        assert_eq!(register.behind(), None);
    }
}
