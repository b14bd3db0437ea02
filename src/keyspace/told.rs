//! How much of a slot stands in a journal that is being begun (`crate::shard::base`).
//!
//! It is part of the slot, and goes where that goes. What the marker means follows from the names
//! alone, the same in all databases: so it holds whatever is added, deleted or swapped meanwhile.

use std::cmp::Ordering;

use crate::data::stream::Id;
use crate::data::table::{Name, Place};

/// What of a slot is told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// To which base: its number; 0 for none. To any other one nothing is.
    pub(crate) base: u32,
    /// Up to where; everything where there is none.
    pub(crate) marker: Option<Box<Marker>>,
}

/// How far the keys of a slot are told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marker {
    /// Keys with names before this place are told, those behind it are not.
    pub(crate) place: Place,
    /// What of the key at the place is told: that in lower databases, and in this one the value up
    /// to there. Nothing where there is none.
    pub(crate) part: Option<(u32, Position)>,
}

/// How much of a key is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Much {
    /// Nothing.
    Nothing,
    /// A part.
    Part,
    /// All that it holds.
    All,
}

/// How far a value is told. It names elements or nodes, so that it holds while others leave.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Position {
    /// Nothing is.
    #[default]
    Start,
    /// The nodes of a list before this one.
    Node(usize),
    /// The fields of a hash, or the members of a set, before this place.
    Element(Place),
    /// The members of a sorted set before this score and name.
    Member(f64, Box<[u8]>),
    /// Of a stream this comes next.
    Stream(InStream),
}

/// What of a stream is told next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InStream {
    /// The entries from this id on, with those in the place of entries that are only pending.
    Entries(Id),
    /// A group with this name, or the next one.
    Group(Box<[u8]>),
    /// The consumers of a group, from this name on.
    Consumers(Box<[u8]>, Box<[u8]>),
    /// What is pending in a group, from this id on.
    Pending(Box<[u8]>, Id),
    /// The end of what is only pending in a group with this name, or the next one, from this id on.
    Gone(Box<[u8]>, Id),
}

impl Told {
    /// All is told to this base.
    pub(crate) fn all(base: u32) -> Told {
        Told { base, marker: None }
    }

    /// How much a base knows of a key.
    pub(crate) fn of(&self, base: u32, key: Name<'_>) -> Much {
        if self.base != base {
            return Much::Nothing;
        }
        let Some(marker) = &self.marker else { return Much::All };
        match marker.place.order_of(key) {
            Ordering::Less => Much::All,
            Ordering::Equal if marker.part.is_some() => Much::Part,
            Ordering::Equal | Ordering::Greater => Much::Nothing,
        }
    }

    /// The key of which a part is told, if there is one, is told anew from its beginning: its name.
    pub(crate) fn restart_key(&mut self) -> Option<&[u8]> {
        let marker = self.marker.as_mut()?;
        marker.part.take()?;
        Some(marker.place.name())
    }
}
