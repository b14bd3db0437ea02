//! How a shard tells the others who subscribes to what, and what its batches wait for meanwhile.
//!
//! A batch whose call has changed something about subscriptions waits until every other thread
//! knows. A batch that has published waits while a thread has not taken in what it was sent. One
//! that has changed keys waits until clients that have cached them have passed that on to those
//! that they have named: so these learn of two changes in their order. All waits end whatever
//! becomes of slots, since letters are taken in at once: so a batch may hold slots meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::Batch;
use crate::hook::push::Push;
use crate::keyspace::notices::{Classes, Notice};
use crate::pubsub::{Kind, Message, News, Register, ReplyEnd};
use crate::session::Session;
use crate::shard::Shard;
use crate::shard::execute::Engine;
use crate::shard::letter::{Letter, Wait};

/// Batches that wait for other threads.
#[derive(Debug, Default)]
pub(super) struct Telling {
    last: u64,
    waits: BTreeMap<u64, Told>,
}

/// What has to be heard before a batch goes on.
#[derive(Debug)]
struct Told {
    /// Threads that have not heard.
    left: usize,
    batch: Box<Batch>,
    /// A thread that has to take in what it was sent, and how much that is.
    way: Option<(u16, u64)>,
}

impl Engine {
    /// Publishes the events of keys and fields that were noted. The copies of the client that has
    /// caused them, if that is one, follow the reply to its command.
    #[cold]
    pub(super) fn publish_notices(&mut self, mut client: Option<&mut Session>) {
        let Engine { tools, register, .. } = self;
        let asked = tools.notices.asked();
        let notices = tools.notices.take();
        if !register.has_receivers() {
            return;
        }
        let (from, resp3) =
            client.as_ref().map_or((0, false), |client| (client.id, client.client_has_resp3()));
        let mut publish = |channel: &[u8], message: &[u8]| {
            let message = Message::new(Kind::Channel, channel, message, from);
            register.publish(message, resp3, client.as_mut().map(|client| &mut client.subscribed));
        };
        for notice in notices {
            if notice.fields.is_empty() {
                publish_of_key(&notice, asked, &mut publish);
            } else {
                publish_of_fields(&notice, asked, &mut publish);
            }
        }
    }
}

/// Publishes an event of a key to the channels that were asked for.
fn publish_of_key(notice: &Notice, asked: Classes, publish: &mut impl FnMut(&[u8], &[u8])) {
    let Notice { db, key, event, .. } = notice;
    if asked.has(Classes::BY_KEY) {
        let channel = [format!("__keyspace@{db}__:").as_bytes(), key].concat();
        publish(&channel, event.as_bytes());
    }
    if asked.has(Classes::BY_EVENT) {
        publish(format!("__keyevent@{db}__:{event}").as_bytes(), key);
    }
}

/// Publishes an event of fields to the channels that were asked for.
///
/// Fields stand behind their lengths, so they may hold anything. A bar ends the name of an event,
/// which has none. A line break ends the key in a channel of one field, so a key that has a line
/// break has no such channels.
fn publish_of_fields(notice: &Notice, asked: Classes, publish: &mut impl FnMut(&[u8], &[u8])) {
    let Notice { db, key, event, fields } = notice;
    debug_assert!(!event.contains('|'), "{event} would end early");
    let measured = |name: &[u8]| [format!("{}:", name.len()).as_bytes(), name].concat();
    let listed = fields.iter().map(|field| measured(field)).collect::<Vec<_>>().join(&b',');
    if asked.has(Classes::FIELDS_BY_KEY) {
        let channel = [format!("__subkeyspace@{db}__:").as_bytes(), key].concat();
        publish(&channel, &[event.as_bytes(), b"|", &listed].concat());
    }
    if asked.has(Classes::FIELDS_BY_EVENT) {
        let channel = format!("__subkeyevent@{db}__:{event}");
        publish(channel.as_bytes(), &[&measured(key)[..], b"|", &listed].concat());
    }
    if asked.has(Classes::FIELDS_BY_FIELD) && !key.contains(&b'\n') {
        let before = [format!("__subkeyspaceitem@{db}__:").as_bytes(), key, b"\n"].concat();
        for field in fields {
            publish(&[&before[..], field].concat(), event.as_bytes());
        }
    }
    if asked.has(Classes::FIELDS_BY_BOTH) {
        let channel = [format!("__subkeyspaceevent@{db}__:{event}|").as_bytes(), key].concat();
        publish(&channel, &listed);
    }
}

impl Shard {
    /// The next call of the batch was run. Keeps the batch where it has to wait for others; returns
    /// it where it goes on.
    pub(super) fn tell_others(&mut self, mut batch: Box<Batch>) -> Option<Box<Batch>> {
        // Nothing stands inside the reply to EXEC.
        if batch.exec.is_none() {
            let end = ReplyEnd { at: batch.replies.len(), resp3: batch.session.resp3 };
            batch.session.subscribed.called(end);
        }
        let changes = batch.session.subscribed.take_untold();
        if !changes.is_empty() {
            let (home, client) = (batch.home, batch.session.id);
            let news = Arc::new(News { home, client, changes });
            let others = (0..self.env.map.shards()).filter(|shard| *shard != self.id);
            let others: Vec<u16> = others.collect();
            let wait = self.begin_to_wait(batch, others.len(), None);
            let letter = |shard| (shard, Letter::Subscribers(Arc::clone(&news), Some(wait)));
            self.outbox.letters.extend(others.into_iter().map(letter));
            return None;
        }
        let behind = self.engine.register.behind();
        let way = behind.filter(|(thread, _)| *thread != self.id);
        let mut threads = self.engine.register.take_told();
        threads.extend(way.map(|(thread, _)| thread).filter(|thread| !threads.contains(thread)));
        if !threads.is_empty() {
            let wait = self.begin_to_wait(batch, threads.len(), way);
            let letter = |thread| (thread, Letter::Pushed(wait));
            self.outbox.letters.extend(threads.into_iter().map(letter));
        } else if behind.is_some() {
            // Its own clients get theirs at the end of the turn.
            self.ready.push_back(batch);
        } else {
            return Some(batch);
        }
        None
    }

    fn begin_to_wait(&mut self, batch: Box<Batch>, left: usize, way: Option<(u16, u64)>) -> Wait {
        self.telling.last += 1;
        let number = self.telling.last;
        self.telling.waits.insert(number, Told { left, batch, way });
        Wait { at: self.id, number }
    }

    /// Another thread has changed something about the subscriptions of a client.
    pub(super) fn hear_of_subscribers(&mut self, news: &News, wait: Option<Wait>) {
        self.engine.register.hear(news);
        self.engine.listen_to_prefixes();
        self.has_heard(wait);
    }

    /// Says so, at the end of the turn: behind the pushes that have come until now.
    pub(super) fn has_heard(&mut self, wait: Option<Wait>) {
        let heard = wait.map(|Wait { at, number }| (at, Letter::Heard(number)));
        self.outbox.letters.extend(heard);
    }

    /// Another thread has heard what a batch waits for.
    pub(super) fn was_heard(&mut self, number: u64) {
        let Some(told) = self.telling.waits.get_mut(&number) else { return };
        told.left -= 1;
        if told.left > 0 {
            return;
        }
        if let Some(Told { batch, way, .. }) = self.telling.waits.remove(&number) {
            if let Some((thread, sent)) = way {
                self.engine.register.arrived(thread, sent);
            }
            self.ready.push_back(batch);
        }
    }

    /// Who subscribes to what.
    pub fn register(&self) -> &Register {
        &self.engine.register
    }

    /// What was published in this turn leaves ahead of other pushes.
    pub(super) fn push_published(&mut self) {
        let Engine { register, pushes, .. } = &mut self.engine;
        register.arrived_here();
        let published = register.take_published();
        let published = published.map(|(thread, message)| Push::Message { thread, message });
        pushes.splice(..0, published).for_each(drop);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::batch::Home;
    use crate::hook::push::Push;
    use crate::pubsub::{Kind, Subscribed};
    use crate::shard::letter::Letter;
    use crate::shard::turn::Ready;
    use crate::testing::{Shards, Store, printed};

    #[test]
    fn a_subscription_is_confirmed_when_all_threads_know_of_it() {
        let mut store = Shards::new(3);
        store.send(&["SUBSCRIBE a b", "PUBLISH a x"]);
        let letters = store.letters_of(0);
        assert_eq!(letters.len(), 2, "one for each other thread: {letters:?}");
        assert!(store.shards[0].outbox.homes.is_empty());
        let [(_, to_1), last] = letters.try_into().expect("two");
        store.deliver(vec![(1, to_1)]);
        let heard = store.letters_of(1);
        store.deliver(heard);
        assert!(store.letters_of(0).is_empty() && store.shards[0].outbox.homes.is_empty());
        store.deliver(vec![last]);
        let home = store.settle().expect("it is answered");
        let replies = printed(&home.replies);
        let numbers: Vec<&str> = replies.lines().filter(|l| l.contains("(integer)")).collect();
        assert_eq!(numbers, ["3) (integer) 1", "3) (integer) 2", "(integer) 1"], "{replies}");
        store.session = home.session;
        for shard in &store.shards {
            assert_eq!(shard.register().len(Kind::Channel), 2);
        }
        store.session.subscribed = Subscribed::default();
        store.settle();
        for shard in &store.shards {
            assert_eq!(shard.register().len(Kind::Channel), 0, "it has gone");
        }
    }

    #[test]
    fn who_publishes_waits_for_a_thread_that_does_not_keep_up() {
        let mut store = Shards::new(2);
        let home = Home { thread: 1, connection: 3 };
        let register = &mut store.shards[0].engine.register;
        let mut subscribe = |client| {
            let mut subscribed = Subscribed::default();
            register.subscribe(client, home, &mut subscribed, Kind::Channel, b"c");
            subscribed.take_untold();
            subscribed
        };
        let subscribed: Vec<Subscribed> = (10..110).map(&mut subscribe).collect();
        let publish = format!("PUBLISH c {}", "x".repeat(50_000));
        store.send(&[&publish[..]; 3]);
        for _ in 0..3 {
            let letters = store.letters_of(0);
            assert!(matches!(&letters[..], [(1, Letter::Pushed(_))]), "{letters:?}");
            store.deliver(letters);
            let heard = store.letters_of(1);
            store.deliver(heard);
        }
        let home = store.settle().expect("it goes on");
        assert_eq!(printed(&home.replies), ["(integer) 100"; 3].join("\n"));
        drop(subscribed);
    }

    #[test]
    fn events_of_keys_are_published_as_they_are_asked_for() {
        let mut store = Store::new();
        store.configure("notify-keyspace-events", "KEg$x");
        store.run("PSUBSCRIBE __key*");
        let said = |store: &mut Store, line: &str| {
            // Somebody else's.
            let own = std::mem::take(&mut store.session.subscribed);
            store.run(line);
            store.tick(10);
            store.shard.expire(store.now, &mut crate::testing::Still);
            let mut ready = Ready::default();
            store.shard.end_turn(0, true, &mut ready);
            store.session.subscribed = own;
            let text = |push| {
                let Push::Message { message, .. } = push else { panic!("it is a message") };
                let message = Arc::into_inner(message).expect("there is one thread");
                let mut out = Vec::new();
                message.write(None, false, &mut out);
                let text = printed(&out);
                let words = text.lines().skip(1).map(|line| line[3..].trim_matches('"').to_owned());
                words.collect::<Vec<_>>().join(" ")
            };
            ready.pushes.into_iter().map(text).collect::<Vec<_>>()
        };
        let expected = ["__keyspace@0__:k set", "__keyevent@0__:set k"];
        assert_eq!(said(&mut store, "SET k v"), expected);
        assert_eq!(said(&mut store, "LPUSH l a"), [] as [&str; 0]);
        let expected = ["__keyspace@0__:k expire", "__keyevent@0__:expire k"];
        let expired = ["__keyspace@0__:k expired", "__keyevent@0__:expired k"];
        assert_eq!(said(&mut store, "PEXPIRE k 10"), [expected, expired].concat());
        assert_eq!(said(&mut store, "GET nothing"), [] as [&str; 0]);
        store.configure("notify-keyspace-events", "");
        assert_eq!(said(&mut store, "SET k v"), [] as [&str; 0]);
    }

    #[test]
    fn replay_of_the_journal_tells_nobody() {
        let mut store = Store::new();
        for line in ["HSET h f v g w", "HDEL h f", "HPEXPIRE h 100 FIELDS 1 g", "SET k v"] {
            store.run(line);
        }
        store.run("RENAME k h");
        store.configure("notify-keyspace-events", "KEAmnocSTIV");
        store.shard.effects().listen(true);
        store.shard.remake(store.now);
        assert_eq!(store.shard.engine.tools.notices.len(), 0);
        assert_eq!(store.run("GET h"), "\"v\"");
    }
}
