//! The value of every key made anew from the commands that make it, as if they came from a journal:
//! where that loses something, it shows.

use crate::base::millis::Millis;
use crate::commands::recreate;
use crate::keyspace::entry::Entry;
use crate::keyspace::slot::Slot;
use crate::shard::*;
use crate::testing::{Store, records_of};

impl Shard {
    /// Makes the value of every key that is here anew.
    ///
    /// # Panics
    /// When the commands that make them are refused.
    pub(crate) fn remake(&mut self, now: Millis) {
        self.fail_snapshot();
        let here: Vec<u16> = self.engine.space.here().collect();
        for number in here {
            let Some(slot) = self.engine.space.take(number) else { continue };
            let mut effects = Effects::default();
            effects.listen(true);
            for (db, table) in slot.tables() {
                let each = |entry: &Entry| recreate::record(&mut effects, db, entry.key(), entry);
                table.iter().for_each(each);
            }
            drop(slot);
            self.engine.space.put(number, Box::<Slot>::default());
            let (bytes, runs) = effects.take();
            let refused = self.replay(&records_of(bytes, &runs), now);
            assert!(refused.is_empty(), "what a value is recorded as can be loaded: {refused:?}");
        }
    }
}

#[test]
fn values_that_are_made_anew_are_the_same() {
    let mut store = Store::new();
    for number in 0..300 {
        store.session.db = number % 3;
        store.run(&format!("SET key:{number} {number}"));
        store.run(&format!("SET {{t}}{number} \"a\\r\\n{number}\" PX {}", 1 + number));
    }
    for count in [1, 64, 65, 100, 500, 3_000] {
        for number in 0..count {
            store.run(&format!("RPUSH list:{count} {number}"));
            store.run(&format!("HSET hash:{count} field:{number} {number}"));
            store.run(&format!("SADD ints:{count} {number}"));
            store.run(&format!("SADD set:{count} member:{number}"));
            store.run(&format!("ZADD zset:{count} {} member:{number}", number % 7));
            store.run(&format!("XADD stream:{count} {}-1 field {number}", 1 + number));
        }
    }
    store.tick(100);
    store.effects();
    let (digest, size) = (store.run("DEBUG DIGEST"), store.run("DBSIZE"));
    store.shard.effects().listen(false);
    store.shard.remake(store.now);
    assert_eq!((store.run("DEBUG DIGEST"), store.run("DBSIZE")), (digest, size));
    assert_eq!(store.effects(), "");
}
