//! Whether a client is one of those that a filter means.

use crate::base::millis::Millis;
use crate::clients::Row;
use crate::commands::filter::{Filter, Kind, Property};

impl Row {
    /// True when the filter means the client.
    pub fn matches(&self, filter: &Filter) -> bool {
        let mut conditions = filter.conditions.iter();
        filter.spared != Some(self.id)
            && conditions
                .all(|condition| self.has(&condition.property, filter.now) == condition.wanted)
    }

    fn has(&self, property: &Property, now: Millis) -> bool {
        match property {
            Property::Id(ids) => ids.contains(&self.id),
            Property::Kind(kind) => self.kind() == *kind,
            Property::User(user) => self.user.as_bytes() == user,
            Property::Address(address) => self.peer.address.as_bytes() == address,
            Property::Local(address) => self.peer.local.as_bytes() == address,
            Property::Ip(ip) => self.ip().as_bytes() == ip,
            Property::Name(name) => self.names.client == *name,
            Property::Library(name) => self.names.library == *name,
            Property::LibraryVersion(version) => self.names.version == *version,
            Property::Flags(flags) => flags.iter().all(|flag| self.flags.contains(flag)),
            Property::Capabilities(all) => {
                all.iter().all(|one| self.capabilities.as_bytes().contains(one))
            }
            Property::Db(db) => self.db == *db,
            Property::Age(seconds) => self.age_seconds(now) >= *seconds,
            Property::Idle(seconds) => self.idle_seconds(now) >= *seconds,
        }
    }

    /// What kind of client it is.
    fn kind(&self) -> Kind {
        match () {
            () if self.is_replica() => Kind::Replica,
            () if self.is_primary() => Kind::Primary,
            () if self.subscribes() => Kind::PubSub,
            () => Kind::Normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::filter::Condition;
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
        let yes = |conditions: &[(Property, bool)]| me.matches(&filter(conditions));
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
    fn the_asker_is_spared() {
        let me = row(3);
        assert!(!me.matches(&Filter { spared: Some(3), ..Filter::default() }));
        assert!(me.matches(&Filter { spared: Some(4), ..Filter::default() }));
    }
}
