//! What a shard does on its own: taking out expired keys and elements, dropping what was discarded.
//!
//! Both work in pieces, bounded by the slice. An expired key is taken out within milliseconds,
//! because the keyspace files its slots by their earliest deadline; with the journal out of credit
//! the keys wait, and are not there for anybody meanwhile. In import mode nothing is taken out, and
//! by a replica what its own clients gave a deadline.
//!
//! No command sees an expired element, and lengths count none. So a command on a key of which
//! very many elements expire at once waits until they are taken out, in slices as well: others go
//! on meanwhile. Of keys that no call names, KEYS, SCAN and RANDOMKEY take out what they come upon,
//! some at a time; a pattern of SORT asks for one field only, and that look sees through the
//! expired ones.

use crate::base::millis::Millis;
use crate::commands::call::Call;
use crate::hook::Phase;
use crate::keyspace::expiry::Expiry;
use crate::keyspace::key::Key;
use crate::keyspace::keys::Keys;
use crate::pubsub::Author;
use crate::session::Session;
use crate::shard::execute::{Engine, expiry_of};
use crate::shard::{SLICE_NS, Shard, Ticks};

/// Keys taken out of one slot at a time.
const KEYS_A_STEP: usize = 64;

impl Shard {
    /// Takes out what has expired at `now`, for one slice at the most. Returns true when there is
    /// more.
    pub fn expire(&mut self, now: Millis, clock: &mut dyn Ticks) -> bool {
        if !self.expires() {
            return false;
        }
        let more = match self.follows() {
            true => self.expire_own(now, clock),
            false => self.expire_some(now, clock),
        };
        if self.engine.tools.notices.len() > 0 {
            self.engine.publish_notices(None);
        }
        if !self.engine.tools.invalidations.is_empty() {
            self.engine.tell_outdated(Author::NOBODY);
        }
        self.engine.serve(&self.env, now, clock);
        more
    }

    fn expire_some(&mut self, now: Millis, clock: &mut dyn Ticks) -> bool {
        let start = clock.nanos();
        let mut names = Vec::new();
        while let Some(slot) = self.engine.space.expired_slot(now) {
            let space = &mut self.engine.space;
            space.find_expired(slot, now, KEYS_A_STEP, |db, entry| {
                names.push((db, entry.key().to_vec(), entry.is_expired(now)));
            });
            for (db, name, is_expired) in names.drain(..) {
                let key = Key::new(&name, &self.env.hasher);
                let mut keys = Keys::new(&mut self.engine.space, &mut self.engine.tools, db, now);
                // What a snapshot has to write first is filed anew when that is done.
                if keys.has_to_stay(key) {
                    continue;
                }
                // The bound of the table already leaves out what was found: it must not be asked.
                if is_expired {
                    keys.expire(key);
                } else if clock.nanos() - start <= SLICE_NS {
                    keys.expire_elements(key);
                } else {
                    keys.file_anew(key);
                }
            }
            self.engine.space.refile(slot);
            if clock.nanos() - start > SLICE_NS {
                return self.engine.space.expired_slot(now).is_some();
            }
        }
        false
    }

    fn expire_own(&mut self, now: Millis, clock: &mut dyn Ticks) -> bool {
        let start = clock.nanos();
        while let Some((db, name)) = self.engine.space.take_own(now) {
            let mut keys = Keys::new(&mut self.engine.space, &mut self.engine.tools, db, now);
            keys.expire_own(Key::new(&name, &self.env.hasher));
            if clock.nanos() - start > SLICE_NS {
                return self.next_deadline().is_some_and(|next| next <= now);
            }
        }
        false
    }

    /// When [`Shard::expire`] has something to do next.
    pub fn next_deadline(&self) -> Option<Millis> {
        let space = &self.engine.space;
        match self.follows() {
            _ if !self.expires() => None,
            true => space.next_own_deadline(),
            false => space.next_deadline(),
        }
    }

    /// Drops discarded tables, for one slice at the most. Returns true when there is more.
    pub fn discard(&mut self, clock: &mut dyn Ticks) -> bool {
        let start = clock.nanos();
        let discarded = &mut self.engine.tools.discarded;
        while discarded.drop_some() {
            if clock.nanos() - start > SLICE_NS {
                break;
            }
        }
        !discarded.is_empty()
    }

    /// The server is a replica.
    fn follows(&self) -> bool {
        self.env.settings.replication.replicaof.is_some()
    }

    fn expires(&self) -> bool {
        let has_room = self.engine.has_credit && !self.engine.is_full();
        let is_importing = self.env.settings.import_mode && !self.follows();
        let is_active = self.active_expire && !is_importing;
        is_active && has_room && self.engine.phase == Phase::Serving
    }
}

impl Engine {
    /// Takes out expired elements of the keys of a call, a few of each key, in all databases:
    /// MOVE and COPY look at two. Returns true when there are more: the call has to wait.
    pub(super) fn expire_ahead_of(&mut self, call: &Call<'_>, session: &Session) -> bool {
        let any_expired = self.space.next_deadline().is_some_and(|first| first <= call.now);
        if !any_expired || self.phase != Phase::Serving || !call.command.run.is_on_keys() {
            return false;
        }
        // Where another server says when they go, no call waits for it.
        if expiry_of(call, session) != Expiry::Usual {
            return false;
        }
        let mut keys = Keys::new(&mut self.space, &mut self.tools, session.db, call.now);
        let expire = |key| keys.expire_some_in_all(key);
        call.declared_keys().map(expire).fold(false, |more, has_more| more | has_more)
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{Hasty, START, Shards, Still, Store, printed};

    #[test]
    fn expired_keys_go_without_being_asked_for() {
        let mut store = Store::new();
        for number in 0..200 {
            store.run(&format!("SET {{t}}{number} v PX {}", 100 + number % 2 * 1000));
        }
        store.effects();
        store.tick(100);
        assert!(!store.shard.expire(store.now, &mut Still));
        assert_eq!(store.effects().lines().count(), 100);
        assert_eq!(store.run("DBSIZE"), "(integer) 100");
        assert_eq!(store.run("GET {t}0"), "(nil)");
        assert_eq!(store.shard.next_deadline(), Some(START.saturating_add(1100)));
        store.tick(1000);
        assert_eq!(store.run("GET {t}1"), "(nil)", "looked at before it was taken out");
    }

    #[test]
    fn a_command_waits_for_what_is_due_and_holds_nobody_up() {
        let mut store = Store::new();
        for number in 0..1_000 {
            store.run(&format!("HSETEX h PX 100 FIELDS 1 f{number} v"));
        }
        store.run("HSET h stays v");
        store.effects();
        store.tick(100);
        let clock = &mut Hasty(0);
        let asking = store.batch(&[b"HLEN", b"h"]);
        assert!(store.shard.visit(asking, clock).is_none(), "they are more than a slice takes out");
        let other = store.batch(&[b"SET", b"other", b"1"]);
        assert!(store.shard.visit(other, clock).is_some(), "it has nothing to do with them");
        let mut turns = 0;
        while store.shard.work(store.now, clock) {
            turns += 1;
        }
        assert!(turns > 3, "{turns} turns");
        let homes = std::mem::take(&mut store.shard.outbox.homes);
        assert_eq!(printed(&homes[0].replies), "(integer) 1");
        let removed = store.effects().lines().map(|line| line.matches(" f").count()).sum::<usize>();
        assert_eq!(removed, 1_000);
    }

    #[test]
    fn what_has_expired_is_gone_before_a_command_over_several_shards() {
        let mut shards = Shards::new(3);
        for number in 0..300 {
            shards.run(&format!("SADD s{} m{number}", number % 5));
        }
        for key in 0..5 {
            let members =
                (0..295).filter(|number| number % 5 == key).map(|number| format!("m{number}"));
            let members: Vec<String> = members.collect();
            shards.run(&format!(
                "SPEXPIRE s{key} 100 MEMBERS {} {}",
                members.len(),
                members.join(" ")
            ));
        }
        assert_eq!(shards.run("SUNIONCARD 5 s0 s1 s2 s3 s4"), "(integer) 300");
        shards.now = shards.now.saturating_add(100);
        assert_eq!(shards.run("SUNIONCARD 5 s0 s1 s2 s3 s4"), "(integer) 5");
    }

    /// SORT runs where all slots are, and knows its own keys ahead, but not those of its patterns.
    #[test]
    fn a_pattern_sees_through_what_has_expired() {
        let mut shards = Shards::new(3);
        shards.run("RPUSH l 1 2");
        for number in 0..500 {
            shards.run(&format!("HSETEX h1 PX 100 FIELDS 1 f{number} v"));
            shards.run(&format!("SADD s {number}"));
            shards.run(&format!("SPEXPIRE s 100 MEMBERS 1 {number}"));
        }
        shards.run("HSET h1 stays 1");
        shards.run("HSET h2 f0 2");
        shards.run("SADD s last");
        shards.now = shards.now.saturating_add(100);
        assert_eq!(shards.run("SORT l BY nosort GET h*->f0 GET h*->stays"), {
            "1) (nil)\n2) \"1\"\n3) \"2\"\n4) (nil)"
        });
        let fields = |shards: &mut Shards| {
            let mut records = Vec::new();
            shards.shards.iter_mut().for_each(|shard| records.extend(shard.effects().take().0));
            records.windows(4).filter(|four| four == b"HDEL").count()
        };
        assert_eq!(fields(&mut shards), 0, "nothing is taken out of them");
        assert_eq!(shards.run("SORT s BY w* GET #"), "1) \"last\"");
        assert_eq!(shards.run("HLEN h1"), "(integer) 1");
        assert!(fields(&mut shards) > 4, "of what is asked for whole, some at a time");
    }

    #[test]
    fn what_is_due_is_gone_ahead_in_the_other_database_as_well() {
        let mut store = Store::new();
        store.session.db = 1;
        for number in 0..1_000 {
            store.run(&format!("HSETEX k PX 100 FIELDS 1 f{number} v"));
        }
        store.session.db = 0;
        store.run("SET k 1");
        store.tick(100);
        let moving = store.batch(&[b"MOVE", b"k", b"1"]);
        let clock = &mut Hasty(0);
        assert!(store.shard.visit(moving, clock).is_none(), "they are more than a slice takes out");
        while store.shard.work(store.now, clock) {}
        assert_eq!(printed(&store.shard.outbox.homes[0].replies), "(integer) 1");
    }
}
