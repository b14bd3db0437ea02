//! Keys that a shard takes out since memory has run out.
//!
//! That is a change like any other: it has its place in the journal, what is answered behind it
//! shows it, and after a crash the key is gone for as long as that is durable. It never comes
//! between the commands of a transaction.

use super::History;
use crate::checks::durability::What;

impl History {
    /// A shard has taken a key out.
    pub fn evicted(&mut self, shard: u16, key: &str) {
        self.notes.push(format!("shard {shard}: {key} is evicted"));
        if self.exec.is_some() {
            return self.fail(format!("{key} was evicted inside a transaction"));
        }
        if self.model.entries.remove(key).is_none() {
            return self.fail(format!("{key} was evicted, and was not there"));
        }
        self.durability.changed(shard, What::Evicted(key.to_owned()), Some(&[key]));
        self.look();
    }
}
