//! What a shard does on its own: taking out keys and elements that are due, dropping what was
//! discarded.
//!
//! Both work in pieces, bounded by the slice. A key that is due is taken out within milliseconds,
//! because the keyspace files its slots by their earliest deadline; with the journal out of credit
//! the keys wait, and are not there for anybody meanwhile.

use crate::base::millis::Millis;
use crate::keyspace::key::Key;
use crate::keyspace::keys::{Keys, Tools};
use crate::shard::{Phase, SLICE_NS, Shard, Ticks};

/// Keys taken out of one slot at a time.
const KEYS_A_STEP: usize = 64;

impl Shard {
    /// Takes out what is due at `now`, for one slice at the most. Returns true when there is more.
    pub fn expire(&mut self, now: Millis, clock: &mut dyn Ticks) -> bool {
        if !self.expires() {
            return false;
        }
        let start = clock.nanos();
        let mut names = Vec::new();
        while let Some(slot) = self.engine.space.due_slot(now) {
            let space = &mut self.engine.space;
            space.find_due(slot, now, KEYS_A_STEP, |db, entry| {
                names.push((db, entry.key().to_vec(), entry.is_due(now)));
            });
            for (db, name, is_due) in names.drain(..) {
                let key = Key::new(&name, &self.given.hasher);
                let mut keys = Keys::new(&mut self.engine.space, &mut self.engine.tools, db, now);
                // The bound of the table already leaves out what was found: it must not be asked.
                if is_due { keys.expire(key) } else { keys.expire_elements(key) }
            }
            self.engine.space.refile(slot);
            if clock.nanos() - start > SLICE_NS {
                return self.engine.space.due_slot(now).is_some();
            }
        }
        false
    }

    /// When [`Shard::expire`] has something to do next.
    pub fn next_due(&self) -> Option<Millis> {
        self.expires().then(|| self.engine.space.next_due()).flatten()
    }

    /// Drops discarded tables, for one slice at the most. Returns true when there is more.
    pub fn discard(&mut self, clock: &mut dyn Ticks) -> bool {
        let start = clock.nanos();
        let Tools { discarded, figures, .. } = &mut self.engine.tools;
        while !discarded.is_empty() {
            figures.freed += discarded.drop_some() as u64;
            if clock.nanos() - start > SLICE_NS {
                break;
            }
        }
        !discarded.is_empty()
    }

    fn expires(&self) -> bool {
        self.active_expire && self.has_credit && self.engine.phase == Phase::Serving
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{START, Still, Store};

    #[test]
    fn keys_that_are_due_go_without_being_asked_for() {
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
        assert_eq!(store.shard.next_due(), Some(START.saturating_add(1100)));
        store.tick(1000);
        assert_eq!(store.run("GET {t}1"), "(nil)", "looked at before it was taken out");
    }
}
