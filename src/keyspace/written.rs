//! How much of a slot is written to a new base of the journal (`crate::shard::new_base`).
//!
//! It is part of the slot, and travels with it. What the marker means follows from the names alone,
//! the same in all databases. So it holds whatever is added, deleted or swapped meanwhile.

use std::cmp::Ordering;

use crate::data::stream::Id;
use crate::data::table::{Name, Place};

/// What of a slot is written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// To which base: its number, or 0 for none. To every other base nothing is written.
    pub(crate) base: u32,
    /// Up to where; all of the slot where there is none.
    pub(crate) marker: Option<Box<Marker>>,
}

/// How far the keys of a slot are written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marker {
    /// Keys with names before this place are written, those behind it are not.
    pub(crate) place: Place,
    /// What of the key at the place is written: its values in lower databases, and of the value in
    /// this database all before the position. Nothing where there is none.
    pub(crate) part: Option<(u32, Position)>,
}

/// How much of a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Amount {
    /// Nothing.
    Nothing,
    /// A part.
    Part,
    /// All that it holds.
    All,
}

/// How far a value is written. It names elements or nodes, so it holds while others leave.
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

/// What of a stream is written next.
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

impl Written {
    /// All is written to this base.
    pub(crate) fn all(base: u32) -> Written {
        Written { base, marker: None }
    }

    /// How much of a key is written to a base.
    pub(crate) fn of(&self, base: u32, key: Name<'_>) -> Amount {
        if self.base != base {
            return Amount::Nothing;
        }
        let Some(marker) = &self.marker else { return Amount::All };
        match marker.place.order_of(key) {
            Ordering::Less => Amount::All,
            Ordering::Equal if marker.part.is_some() => Amount::Part,
            Ordering::Equal | Ordering::Greater => Amount::Nothing,
        }
    }

    /// The key at the marker, if a part of it is written, will be written again from its start.
    /// Returns its name.
    pub(crate) fn restart_key(&mut self) -> Option<&[u8]> {
        let marker = self.marker.as_mut()?;
        marker.part.take()?;
        Some(marker.place.name())
    }
}
