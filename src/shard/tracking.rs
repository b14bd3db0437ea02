//! Client-side caching where commands run: which keys a call has read, and who is told of those
//! that have changed.
//!
//! What a call changes is told of when it is over, and EXEC when all of it is over, by pushes of
//! the turn. So nobody who learns of a change, from whomever, can still find the old value in a
//! cache that was told. The client that has changed a key has its push behind its replies.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::batch::Home;
use crate::commands::call::Call;
use crate::commands::command::Flags;
use crate::hook::push::Push;
use crate::keyspace::tracked::{Invalidation, Tracker};
use crate::pubsub::{Kind, Message};
use crate::session::Session;
use crate::settings::Settings;
use crate::shard::Shard;
use crate::shard::execute::Engine;

impl Engine {
    /// A call of this client was run, in part perhaps: notes the keys that it has read.
    #[cold]
    pub(super) fn note_reads(&mut self, call: &Call<'_>, session: &Session) {
        let notes = session.tracking.as_ref().is_some_and(|tracking| tracking.notes_reads());
        if !notes || !call.command.flags.has(Flags::READONLY) {
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

    /// Tells those that have cached them of the keys that have changed, by the client with this
    /// number if one has changed them.
    #[cold]
    pub(super) fn tell_outdated(&mut self, by: u64) {
        let mut taken = self.tools.invalidations.take();
        if taken.has_flushed() && self.register.len(Kind::Cached) > 0 {
            self.register.publish(Message::flushed(), false, None);
        }
        for Invalidation { key, is_nobodys, trackers } in taken.noted() {
            if trackers.is_empty() {
                continue;
            }
            let from = if *is_nobodys { 0 } else { by };
            let message = Arc::new(Message::outdated([&key[..]].into_iter(), from));
            self.pushes.extend(trackers.drain(..).map(|tracker| Push::Outdated {
                to: Home { thread: tracker.thread, connection: tracker.connection },
                client: tracker.client,
                message: Arc::clone(&message),
            }));
        }
        if self.register.len(Kind::Prefix) > 0 {
            self.broadcast(taken.noted(), by);
        }
    }

    /// Tells those that want to hear of all keys with a prefix. What the client has changed stands
    /// in a message of its own, which it may not want.
    fn broadcast(&mut self, changed: &[Invalidation], by: u64) {
        let of_nobody: BTreeSet<&[u8]> =
            changed.iter().filter(|key| key.is_nobodys).map(|of| &*of.key).collect();
        let all: BTreeSet<&[u8]> = changed.iter().map(|of| &*of.key).collect();
        let of_client: BTreeSet<&[u8]> = all.difference(&of_nobody).copied().collect();
        for prefix in self.register.names(Kind::Prefix, None) {
            for (keys, from) in [(&of_client, by), (&of_nobody, 0)] {
                let keys = keys.iter().copied().filter(|key| key.starts_with(&prefix));
                let keys: Vec<&[u8]> = keys.collect();
                if !keys.is_empty() {
                    let message = Message::changed(&prefix, keys.into_iter(), from);
                    self.register.publish(message, false, None);
                }
            }
        }
    }
}

impl Shard {
    /// How many keys it may remember that somebody has cached.
    fn tracked_max(&self) -> usize {
        share_of(&self.env.settings, self.id, self.env.map.shards())
    }

    /// More keys are remembered than there is room for.
    #[inline]
    pub(super) fn tracks_too_many(&self) -> bool {
        let tracked = self.engine.space.tracked();
        tracked > 0 && tracked > self.tracked_max()
    }

    /// Forgets some keys that somebody has cached, where there are too many.
    #[inline]
    pub(super) fn forget_tracked(&mut self) {
        if self.tracks_too_many() {
            let left = self.tracked_max();
            let first = self.engine.tools.random.u16(..);
            let Engine { space, tools, .. } = &mut self.engine;
            space.forget_trackers(left, first, &mut tools.invalidations);
            self.engine.tell_outdated(0);
        }
    }

    /// What the shard holds from now on is not what clients have cached.
    pub(super) fn flush_cached(&mut self) {
        self.engine.tools.invalidations.flush();
        self.engine.tell_outdated(0);
    }
}

/// A shard's share of `tracking-table-max-keys`. The shares of all make the whole.
fn share_of(settings: &Settings, shard: u16, shards: u16) -> usize {
    let (shard, shards) = (usize::from(shard), usize::from(shards));
    match settings.tracking_table_max_keys as usize {
        0 => usize::MAX,
        all => all / shards + usize::from(shard < all % shards),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Peer, Session};
    use crate::shard::turn::Ready;
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
        assert!(store.shard.has_leftovers());
        store.shard.work(store.now, &mut crate::testing::Still);
        assert_eq!((told(&mut store).len(), store.shard.engine.space.tracked()), (7, 3));
        assert!(!store.shard.has_leftovers());
        let settings = Settings::default();
        assert_eq!((0..3).map(|shard| share_of(&settings, shard, 3)).sum::<usize>(), 1_000_000);
    }
}
