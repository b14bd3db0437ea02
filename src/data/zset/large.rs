//! The form of large sorted sets: a table that finds a member's score by its name, and a tree that
//! has the order. The table owns the members, the tree refers to them.
//!
//! Invariant (what `member.rs` needs): a member's handle leaves the tree before the member leaves
//! the table, and enters it after; nothing else holds handles.

#![allow(unsafe_code)]

use std::fmt;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::data::NEVER;
use crate::data::table::{Member as _, Name, Table};
use crate::data::zset::Update;
use crate::data::zset::edge::Edge;
use crate::data::zset::member::Member;
use crate::data::zset::tree::{Item, Tree};

/// Members of which the size is looked at to estimate that of all.
const SAMPLES: usize = 5;

/// A large sorted set.
pub struct Large {
    // Declared first, so that it is dropped first.
    tree: Tree,
    table: Table<Member>,
    hasher: Hasher,
}

impl Large {
    pub(super) fn new(hasher: &Hasher) -> Large {
        Large { tree: Tree::default(), table: Table::default(), hasher: hasher.clone() }
    }

    /// Members; what is left of them while the set is dropped.
    pub(super) fn len(&self) -> usize {
        self.table.counts().len
    }

    pub(super) fn score(&self, name: &[u8]) -> Option<f64> {
        self.table.get(Name::new(name, &self.hasher)).map(Member::score)
    }

    pub(super) fn update(
        &mut self,
        name: &[u8],
        decide: impl FnOnce(Option<f64>) -> Option<f64>,
    ) -> Update {
        let key = Name::new(name, &self.hasher);
        let Some(member) = self.table.get_mut(key) else {
            let new = decide(None);
            if let Some(score) = new {
                self.add(Member::new(name, score, None));
            }
            return Update { old: None, new };
        };
        let old = member.score();
        let new = decide(Some(old));
        if let Some(new) = new
            && new != old
        {
            let rank = self.tree.rank(Edge::Before(old, name));
            if !self.tree.rescore(rank, new, name) {
                self.tree.remove(rank);
                // SAFETY: the member is in the table; it leaves the tree first.
                unsafe { self.tree.insert(Item { score: new, handle: member.handle() }) };
            }
            member.set_score(new);
        }
        Update { old: Some(old), new }
    }

    pub(super) fn remove(&mut self, name: &[u8]) -> Option<f64> {
        let key = Name::new(name, &self.hasher);
        let score = self.table.get(key)?.score();
        self.tree.remove(self.tree.rank(Edge::Before(score, name)));
        self.table.remove(key);
        Some(score)
    }

    pub(super) fn rank(&self, edge: Edge<'_>) -> usize {
        self.tree.rank(edge)
    }

    pub(super) fn remove_at(&mut self, rank: usize, gone: &mut dyn FnMut(&[u8], f64)) {
        if let Some(item) = self.tree.remove(rank) {
            // SAFETY: the member is in the table, which gives it back when the name was used last.
            let name = unsafe { item.handle.name() };
            gone(name, item.score);
            drop(self.table.remove(Name::new(name, &self.hasher)));
        }
    }

    pub(super) fn visit(
        &self,
        start: usize,
        count: usize,
        backwards: bool,
        found: &mut dyn FnMut(&[u8], f64) -> bool,
    ) {
        // SAFETY: what is in the tree is in the table, which is borrowed meanwhile.
        let found = &mut |item: Item| found(unsafe { item.handle.name() }, item.score);
        self.tree.visit(start, count, backwards, found);
    }

    pub(super) fn table(&self) -> &Table<Member> {
        &self.table
    }

    /// The deadline of a member that is there.
    pub(super) fn deadline(&self, name: &[u8]) -> Option<Option<Millis>> {
        self.table.get(Name::new(name, &self.hasher)).map(Member::deadline)
    }

    /// Gives a member that is there another deadline.
    pub(super) fn set_deadline(&mut self, name: &[u8], deadline: Option<Millis>) {
        if let Some(score) = self.remove(name) {
            self.add(Member::new(name, score, deadline));
        }
    }

    pub(super) fn next_deadline(&self) -> Millis {
        if self.table.counts().expires == 0 { NEVER } else { self.table.next_deadline() }
    }

    pub(super) fn expire(&mut self, now: Millis, most: usize, gone: &mut dyn FnMut(&[u8])) {
        let mut names = Vec::new();
        self.table.find_expired(now, most, |member| names.push(member.name().to_vec()));
        for name in names {
            self.remove(&name);
            gone(&name);
        }
    }

    pub(super) fn memory(&self) -> usize {
        let (mut bytes, mut looked_at) = (0, 0);
        self.tree.visit(0, SAMPLES, false, &mut |item| {
            // SAFETY: what is in the tree is in the table.
            bytes += unsafe { item.handle.size() }.next_multiple_of(16);
            looked_at += 1;
            true
        });
        let members = bytes * self.len() / usize::max(looked_at, 1);
        size_of::<Large>() + members + self.table.overhead() + self.tree.memory()
    }

    pub(super) fn drop_some(&mut self) -> bool {
        self.tree.drop_some() || self.table.drop_some()
    }

    fn add(&mut self, member: Member) {
        let (score, handle) = (member.score(), member.handle());
        // SAFETY: the member is there, and goes into the table as it is.
        let name = Name::new(unsafe { handle.name() }, &self.hasher);
        self.table.upsert(name, &self.hasher, |_| Some(member));
        // SAFETY: the member is in the table; it leaves the tree first.
        unsafe { self.tree.insert(Item { score, handle }) };
    }
}

impl Clone for Large {
    /// Copies in order, which leaves the copy's leaves full.
    fn clone(&self) -> Large {
        let mut copy = Large::new(&self.hasher);
        self.tree.visit(0, usize::MAX, false, &mut |item| {
            // SAFETY: what is in the tree is in the table, which is borrowed meanwhile.
            let name = unsafe { item.handle.name() };
            let deadline = self.deadline(name).flatten();
            copy.add(Member::new(name, item.score, deadline));
            true
        });
        copy
    }
}

impl fmt::Debug for Large {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Large({} members)", self.tree.len())
    }
}
