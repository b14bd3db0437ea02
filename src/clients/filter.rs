//! Which clients are meant: the options of CLIENT LIST and CLIENT KILL, checked and complete.
//!
//! A filter carries the time and the client that is spared, so that every thread judges its rows
//! alone and alike. All conditions have to hold; without any, every client is meant.

use std::mem::discriminant;

use crate::base::millis::Millis;
use crate::clients::Row;

/// Which clients are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// What has to hold.
    pub conditions: Vec<Condition>,
    /// The client that is never meant: the one that asks, where it spares itself.
    pub spared: Option<u64>,
    /// When it was asked.
    pub now: Millis,
}

/// A property that a client has to have, or not to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The property.
    pub property: Property,
    /// Whether it has to be there.
    pub wanted: bool,
}

/// Something that is true of some clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    /// It is one of these.
    Id(Vec<u64>),
    /// It is of this kind.
    Kind(Kind),
    /// It is this user.
    User(Vec<u8>),
    /// It comes from this address and port.
    Address(Vec<u8>),
    /// It reached this address and port.
    Local(Vec<u8>),
    /// It comes from this address, whatever the port.
    Ip(Vec<u8>),
    /// It has this name.
    Name(Vec<u8>),
    /// Its library has this name.
    Library(Vec<u8>),
    /// Its library has this version.
    LibraryVersion(Vec<u8>),
    /// It has all these flags.
    Flags(Vec<u8>),
    /// It can do all of this.
    Capabilities(Vec<u8>),
    /// It uses this database.
    Db(u32),
    /// It is this old or older, in seconds.
    Age(i64),
    /// It has been silent this long or longer, in seconds.
    Idle(i64),
}

/// The kinds of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Kind {
    Normal,
    Primary,
    Replica,
    PubSub,
}

impl Kind {
    /// The kind with this name, in any case.
    pub fn named(name: &[u8]) -> Option<Kind> {
        Some(match &name.to_ascii_lowercase()[..] {
            b"normal" => Kind::Normal,
            b"master" | b"primary" => Kind::Primary,
            b"slave" | b"replica" => Kind::Replica,
            b"pubsub" => Kind::PubSub,
            _ => return None,
        })
    }
}

impl Filter {
    /// Adds a condition. Of two on the same property the later one counts, but ids add up.
    pub fn add(&mut self, condition: Condition) {
        let same = self.conditions.iter_mut().find(|there| {
            there.wanted == condition.wanted
                && discriminant(&there.property) == discriminant(&condition.property)
        });
        match (same, condition) {
            (
                Some(Condition { property: Property::Id(ids), .. }),
                Condition { property: Property::Id(more), .. },
            ) => ids.extend(more),
            (Some(there), condition) => *there = condition,
            (None, condition) => self.conditions.push(condition),
        }
    }

    /// True when the client is meant.
    pub fn matches(&self, row: &Row) -> bool {
        self.spared != Some(row.id)
            && self
                .conditions
                .iter()
                .all(|condition| condition.property.is_of(row, self.now) == condition.wanted)
    }
}

impl Property {
    fn is_of(&self, row: &Row, now: Millis) -> bool {
        match self {
            Property::Id(ids) => ids.contains(&row.id),
            Property::Kind(kind) => row.kind() == *kind,
            Property::User(user) => row.user.as_bytes() == user,
            Property::Address(address) => row.peer.address.as_bytes() == address,
            Property::Local(address) => row.peer.local.as_bytes() == address,
            Property::Ip(ip) => row.ip().as_bytes() == ip,
            Property::Name(name) => row.names.client == *name,
            Property::Library(name) => row.names.library == *name,
            Property::LibraryVersion(version) => row.names.version == *version,
            Property::Flags(flags) => flags.iter().all(|flag| row.flags.contains(flag)),
            Property::Capabilities(all) => {
                all.iter().all(|one| row.capabilities.as_bytes().contains(one))
            }
            Property::Db(db) => row.db == *db,
            Property::Age(seconds) => row.age_seconds(now) >= *seconds,
            Property::Idle(seconds) => row.idle_seconds(now) >= *seconds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Peer, Session};

    fn row(id: u64) -> Row {
        let peer =
            Peer { address: "[::1]:50".into(), local: "[::1]:6379".into(), ..Peer::default() };
        let mut row = Row::new(&Session::new(id, peer, Millis(1_000), true));
        row.names.client = b"me".to_vec();
        row
    }

    fn filter(conditions: &[(Property, bool)]) -> Filter {
        let mut filter = Filter { now: Millis(11_000), ..Filter::default() };
        for (property, wanted) in conditions.iter().cloned() {
            filter.add(Condition { property, wanted });
        }
        filter
    }

    #[test]
    fn every_condition_has_to_hold() {
        let me = row(3);
        let yes = |conditions: &[(Property, bool)]| filter(conditions).matches(&me);
        assert!(yes(&[]));
        assert!(yes(&[(Property::Id(vec![1]), true), (Property::Id(vec![3]), true)]));
        assert!(!yes(&[(Property::Id(vec![3]), true), (Property::Db(1), true)]));
        assert!(yes(&[(Property::Db(1), false), (Property::Name(b"me".to_vec()), true)]));
        assert!(yes(&[(Property::Ip(b"::1".to_vec()), true)]));
        assert!(yes(&[(Property::Address(b"[::1]:50".to_vec()), true)]));
        assert!(!yes(&[(Property::Local(b"[::1]:6379".to_vec()), false)]));
        assert!(yes(&[(Property::Age(10), true), (Property::Idle(10), true)]));
        assert!(!yes(&[(Property::Age(11), true)]));
        assert!(yes(&[(Property::Flags(b"N".to_vec()), true)]));
        assert!(!yes(&[(Property::Flags(b"NT".to_vec()), true)]));
        assert!(!yes(&[(Property::Kind(Kind::PubSub), true)]));
    }

    #[test]
    fn the_later_of_two_counts_and_the_asker_is_spared() {
        let me = row(3);
        let kinds = [(Property::Kind(Kind::PubSub), true), (Property::Kind(Kind::Normal), true)];
        assert!(filter(&kinds).matches(&me));
        assert!(!Filter { spared: Some(3), ..filter(&kinds) }.matches(&me));
        assert!(Filter { spared: Some(4), ..filter(&kinds) }.matches(&me));
    }
}
