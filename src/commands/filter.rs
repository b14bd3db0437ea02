//! Which clients are meant: the options of CLIENT LIST and CLIENT KILL, checked and complete.
//!
//! A filter carries the time and the client that is spared, so that every thread judges its rows
//! alone and alike. All conditions have to hold; without any, every client is meant. Whether a
//! client is, `crate::clients` says.

use std::mem::discriminant;

use crate::base::millis::Millis;

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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_of_two_counts_and_ids_add_up() {
        let mut filter = Filter::default();
        let wanted = |property| Condition { property, wanted: true };
        let unwanted = |property| Condition { property, wanted: false };
        filter.add(wanted(Property::Id(vec![1])));
        filter.add(wanted(Property::Kind(Kind::PubSub)));
        filter.add(wanted(Property::Kind(Kind::Normal)));
        filter.add(unwanted(Property::Kind(Kind::Replica)));
        filter.add(wanted(Property::Id(vec![3])));
        let expected = [
            wanted(Property::Id(vec![1, 3])),
            wanted(Property::Kind(Kind::Normal)),
            unwanted(Property::Kind(Kind::Replica)),
        ];
        assert_eq!(filter.conditions, expected);
    }
}
