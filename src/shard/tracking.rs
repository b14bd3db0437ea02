//! Client-side caching where commands run: which keys a call has read, and who is told of those
//! that have changed.
//!
//! What a call changes is told of when it is over, and EXEC when all of it is over, by pushes of
//! the turn; who wants to hear of all keys with a prefix gets one push for the whole turn. So
//! nobody who learns of a change, from whomever, can still find the old value in a cache that was
//! told. The client that has changed a key has its push behind its replies.

use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::batch::Home;
use crate::commands::call::Call;
use crate::commands::command::Flags;
use crate::hook::push::Push;
use crate::keyspace::tracked::{Invalidation, Tracker};
use crate::pubsub::{Author, Kind, Message};
use crate::session::Session;
use crate::shard::Shard;
use crate::shard::execute::Engine;

/// Keys of which it is forgotten at a time who has cached them.
const FORGOTTEN_MAX: usize = 1_000;

impl Engine {
    /// A call of this client was run, in part perhaps: notes the keys that it has read.
    #[cold]
    pub(super) fn note_reads(&mut self, call: &Call<'_>, session: &Session) {
        let notes = session.tracking.as_ref().is_some_and(|tracking| tracking.notes_reads());
        // What a script reads is noted where it calls a command.
        let reads = call.command.flags.has(Flags::READONLY) && !call.command.run.is_on_scripts();
        if !notes || !reads {
            return;
        }
        let Home { thread, connection } = session.home;
        let tracker = Tracker { client: session.id, thread, connection };
        call.declared_keys().for_each(|key| self.space.track(session.db, key, tracker));
    }

    /// Whether keys are noted that nobody has cached.
    pub(super) fn listen_to_prefixes(&mut self) {
        let has_any = self.register.len(Kind::Prefix) > 0;
        self.tools.invalidations.note_all(has_any);
    }

    /// Tells those that have cached them of the keys that have changed, by this client unless it
    /// was nobody.
    #[cold]
    pub(super) fn tell_outdated(&mut self, by: Author) {
        let mut taken = self.tools.invalidations.take();
        self.register.tell_named();
        if taken.has_flushed() && self.register.len(Kind::Cached) > 0 {
            self.register.publish(Message::flushed(), false, None);
        }
        for Invalidation { key, is_nobodys, trackers } in taken.noted() {
            if trackers.is_empty() {
                continue;
            }
            let from = if *is_nobodys { Author::NOBODY } else { by };
            let message = Arc::new(Message::outdated(key, from));
            self.pushes.extend(trackers.drain(..).map(|tracker| Push::Outdated {
                to: Home { thread: tracker.thread, connection: tracker.connection },
                client: tracker.client,
                message: Arc::clone(&message),
            }));
        }
        if self.register.len(Kind::Prefix) > 0 {
            for Invalidation { key, is_nobodys, .. } in taken.noted().drain(..) {
                let from = if is_nobodys { Author::NOBODY } else { by };
                let before = self.changed.entry(key).or_insert(from);
                if *before != from {
                    *before = Author::NOBODY;
                }
            }
        }
    }

    /// Tells those that want to hear of all keys with a prefix of those that have changed in this
    /// turn.
    #[cold]
    pub(super) fn publish_changed(&mut self) {
        let changed = std::mem::take(&mut self.changed);
        for prefix in self.register.names(Kind::Prefix, None) {
            let keys = changed.range::<[u8], _>((Bound::Included(&*prefix), Bound::Unbounded));
            let keys = keys.take_while(|(key, _)| key.starts_with(&prefix));
            let keys: Vec<(&[u8], Author)> = keys.map(|(key, from)| (&**key, *from)).collect();
            if !keys.is_empty() {
                self.register.publish(Message::changed(&prefix, &keys), false, None);
            }
        }
    }
}

/// How many keys clients have cached, over all shards: each adds up its own. No shard waits for
/// another.
#[derive(Clone, Debug, Default)]
pub struct Tracked(Arc<AtomicUsize>);

impl Tracked {
    /// A shard has so many now, which had so many before.
    fn update(&self, before: usize, now: usize) {
        match now.checked_sub(before) {
            Some(more) => self.0.fetch_add(more, Ordering::Relaxed),
            None => self.0.fetch_sub(before - now, Ordering::Relaxed),
        };
    }

    /// How many there are over `most`.
    fn over(&self, most: usize) -> usize {
        self.0.load(Ordering::Relaxed).saturating_sub(most)
    }

    /// Takes away what is over `most`, so much of it at the most as a shard has. Returns how much:
    /// whatever shards do at the same time, `most` stay.
    fn take_over(&self, most: usize, own: usize) -> usize {
        let mut taken = 0;
        let take = |all: usize| {
            taken = all.saturating_sub(most).min(own);
            (taken > 0).then(|| all - taken)
        };
        match self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take) {
            Ok(_) => taken,
            Err(_) => 0,
        }
    }
}

impl Shard {
    /// How many keys are remembered that somebody has cached, in the whole server.
    fn tracked_max(&self) -> usize {
        match self.env.settings.tracking_table_max_keys as usize {
            0 => usize::MAX,
            most => most,
        }
    }

    /// More keys are remembered than there is room for, and some of them are here.
    #[inline]
    pub(super) fn tracks_too_many(&self) -> bool {
        self.own_tracked > 0 && self.tracked.over(self.tracked_max()) > 0
    }

    /// Adds up how many keys somebody has cached, and forgets some where there are too many.
    #[inline]
    pub(super) fn count_tracked(&mut self) {
        let tracked = self.engine.space.tracked();
        if tracked != self.own_tracked {
            self.tracked.update(self.own_tracked, tracked);
            self.own_tracked = tracked;
        }
        if self.tracks_too_many() {
            self.forget_tracked();
        }
    }

    #[cold]
    fn forget_tracked(&mut self) {
        let most = self.own_tracked.min(FORGOTTEN_MAX);
        let count = self.tracked.take_over(self.tracked_max(), most);
        self.own_tracked -= count;
        let first = self.engine.tools.random.u16(..);
        let Engine { space, tools, .. } = &mut self.engine;
        space.forget_trackers(count, first, &mut tools.invalidations);
        self.engine.tell_outdated(Author::NOBODY);
    }

    /// What the shard holds from now on is not what clients have cached.
    pub(super) fn flush_cached(&mut self) {
        self.engine.tools.invalidations.flush();
        self.engine.tell_outdated(Author::NOBODY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Peer, Session};
    use crate::shard::turn::Ready;
    use crate::stream::Policy;
    use crate::testing::{START, Store};

    /// What is pushed about keys, client by client: `1: a b`, or the prefix in the place of the
    /// client.
    fn told(store: &mut Store) -> Vec<String> {
        let mut ready = Ready::default();
        store.shard.end_turn(0, true, &mut ready);
        let text = |push: &Push| {
            let (to, message) = match push {
                Push::Outdated { client, message, .. } => (client.to_string(), message),
                Push::Message { message, .. } => {
                    (String::from_utf8_lossy(message.channel()).into_owned(), message)
                }
                push => panic!("{push:?}"),
            };
            let mut out = Vec::new();
            message.write(None, true, &mut out);
            let out = String::from_utf8(out).expect("it is text");
            let words = out.split("\r\n").filter(|word| !word.starts_with(['>', '$', '*']));
            let words: Vec<&str> = words.skip(1).filter(|word| !word.is_empty()).collect();
            format!("{to}: {}", words.join(" "))
        };
        ready.pushes.iter().map(text).collect()
    }

    /// Runs a line of another client than that of the store.
    fn of_another(store: &mut Store, line: &str) {
        let other = Session::new(9, Peer::default(), START, true);
        let own = std::mem::replace(&mut store.session, other);
        store.run(line);
        store.session = own;
    }

    #[test]
    fn a_key_that_was_read_is_told_of_once() {
        let mut store = Store::new();
        store.run("CLIENT TRACKING on");
        for line in ["GET a", "GET a", "MGET a b", "SET unread 1", "LPUSH l x", "OBJECT HELP"] {
            store.run(line);
        }
        assert_eq!(store.shard.engine.space.tracked(), 2);
        of_another(&mut store, "SET a 1");
        of_another(&mut store, "MSET a 2 b 2");
        assert_eq!(told(&mut store), ["1: a", "1: b"]);
        assert_eq!(store.shard.engine.space.tracked(), 0);
        store.run("GET a");
        store.run("SET a 3");
        assert_eq!(told(&mut store), ["1: a"], "its own connection decides");
        store.run("GET a");
        of_another(&mut store, "FLUSHALL");
        assert_eq!(told(&mut store), [": _"]);
        of_another(&mut store, "SET a 1");
        assert_eq!(told(&mut store), [""; 0]);
    }

    #[test]
    fn who_has_cached_a_key_does_not_wait_for_the_disk() {
        let mut store = Store::new();
        store.run("CLIENT TRACKING on");
        store.run("GET a");
        store.shard.begin_journal(Policy::Always);
        of_another(&mut store, "SET a 1");
        assert_eq!(told(&mut store), ["1: a"]);
    }

    #[test]
    fn which_reads_are_noted_is_said_ahead_of_them() {
        let mut store = Store::new();
        store.run("CLIENT TRACKING on OPTIN");
        for line in ["GET a", "CLIENT CACHING yes", "GET b", "GET c"] {
            store.run(line);
        }
        for line in ["CLIENT CACHING yes", "MULTI", "GET d", "GET e", "EXEC", "GET f"] {
            store.run(line);
        }
        of_another(&mut store, "MSET a 1 b 1 c 1 d 1 e 1 f 1");
        assert_eq!(told(&mut store), ["1: b", "1: d", "1: e"]);
        store.run("CLIENT TRACKING off");
        store.run("CLIENT TRACKING on OPTOUT");
        for line in ["GET a", "CLIENT CACHING no", "GET b", "GET c"] {
            store.run(line);
        }
        of_another(&mut store, "MSET a 1 b 1 c 1");
        assert_eq!(told(&mut store), ["1: a", "1: c"]);
    }

    #[test]
    fn a_prefix_is_told_of_all_that_a_call_or_a_transaction_changes() {
        let mut store = Store::new();
        store.run("CLIENT TRACKING on BCAST PREFIX a PREFIX b");
        of_another(&mut store, "MSET a1 1 a2 1 c 1 b1 1");
        assert_eq!(told(&mut store), ["a: a1 a2", "b: b1"]);
        for line in ["MULTI", "SET a1 1 PX 1", "SET c 2", "INCR a2", "EXEC"] {
            store.run(line);
        }
        assert_eq!(told(&mut store), ["a: a1 a2"]);
        store.tick(10);
        store.run("MGET a1 a2");
        assert_eq!(told(&mut store), ["a: a1"], "its time was over");
        store.run("CLIENT TRACKING off");
        of_another(&mut store, "SET a1 1");
        assert_eq!(told(&mut store), [""; 0]);
    }

    #[test]
    fn there_is_room_for_so_many_keys() {
        let mut store = Store::new();
        store.configure("tracking-table-max-keys", "3");
        store.run("CLIENT TRACKING on");
        (0..10).for_each(|number| drop(store.run(&format!("GET k{number}"))));
        store.shard.work(store.now, &mut crate::testing::Still);
        assert_eq!((told(&mut store).len(), store.shard.engine.space.tracked()), (7, 3));
        assert!(!store.shard.has_leftovers());
        let tracked = Tracked::default();
        tracked.update(0, 250);
        assert_eq!((tracked.take_over(1, 120), tracked.take_over(1, 130)), (120, 129));
        assert_eq!((tracked.over(1), tracked.take_over(1, 1)), (0, 0));
    }
}
