//! Streams: entries of fields and values, in the order of their ids, and groups of consumers.
//!
//! A tree of packed nodes, each filed under the id that its first entry had, so that adding at the
//! end and trimming at the front touch one node. Nodes are bounded in entries and bytes by the
//! settings, and above those by constants, since a node is walked from its start. A copy of a
//! stream shares its nodes, until one of both changes them: a script that adds an entry keeps one.
//!
//! Invariant: no node is empty, and every id in a node is at least the node's and below the next
//! node's. Left out: the places of deleted entries, which Redis keeps until their node goes.

mod group;
mod id;
mod node;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ops;
use std::sync::Arc;

use crate::data::Collection;

pub use group::{Consumer, Group, NOBODY, Number, Pending};
pub use id::{Id, IdText};
use node::Node;
pub use node::{Entry, Pairs};

/// Entries of a node, whatever the settings say.
const NODE_ENTRIES_MAX: u64 = 10_000;

/// Bytes of a node with more than one entry, whatever the settings say.
const NODE_BYTES_MAX: usize = 1 << 20;

/// Bytes of an entry.
const ENTRY_BYTES_MAX: usize = 1 << 30;

/// Nodes, or pending entries, that are dropped at a time.
const DROP_STEP: usize = 64;

/// Nodes that are looked at to estimate the size of all.
const SAMPLES: usize = 8;

/// How large a node grows; 0 for no limit.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes.
    pub node_bytes: u64,
    /// Entries, those that were deleted from it included.
    pub node_entries: u64,
}

/// Up to where a stream is trimmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// So many entries stay.
    Len(u64),
    /// Entries from this id on stay.
    Id(Id),
}

/// How a stream is trimmed.
#[derive(Clone, Copy, Debug)]
pub struct Trim {
    /// Up to where.
    pub bound: Bound,
    /// Only whole nodes go.
    pub approximate: bool,
    /// Entries that are looked at, at the most.
    pub limit: Option<u64>,
    /// What happens to deliveries of the entries that go.
    pub references: References,
}

/// What happens to deliveries, not acknowledged yet, of an entry that is to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum References {
    /// They stay.
    Keep,
    /// They go too.
    Delete,
    /// The entry stays while there are any, or a group has not read it yet.
    Obey,
}

/// What became of an entry that was to be deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleted {
    /// It is gone.
    Gone,
    /// It was not there.
    Missing,
    /// It is still referred to.
    Referenced,
}

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    nodes: BTreeMap<Id, Arc<Node>>,
    len: u64,
    /// The id of the last entry that was added, or what XSETID says.
    pub last_id: Id,
    /// The largest id that was deleted (trimming does not count).
    pub max_deleted_id: Id,
    /// How many entries were ever added.
    pub entries_added: i64,
    groups: BTreeMap<Box<[u8]>, Group>,
}

impl Stream {
    /// Number of entries.
    pub fn entries(&self) -> u64 {
        self.len
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// The entries of each node that is filed under this id or one behind it, with its id.
    pub fn nodes_from(
        &self,
        id: Id,
    ) -> impl Iterator<Item = (Id, impl Iterator<Item = Entry<'_>>)> {
        self.nodes.range(id..).map(|(base, node)| (*base, node.entries(*base)))
    }

    /// The id of the first entry, 0-0 where there is none.
    pub fn first_id(&self) -> Id {
        let first = self.nodes.first_key_value();
        let entry = first.and_then(|(base, node)| node.entries(*base).next());
        entry.map_or(Id::MIN, |entry| entry.id)
    }

    /// The id that an entry gets that is added at `now_ms`; nothing when there is none left.
    pub fn next_id(&self, now_ms: u64) -> Option<Id> {
        if now_ms > self.last_id.ms { Some(Id::new(now_ms, 0)) } else { self.last_id.next() }
    }

    /// True when an entry of these words, names and values, is too large to be kept.
    pub fn is_too_large(words: &[&[u8]]) -> bool {
        words.iter().map(|word| word.len() + node::ITEM_OVERHEAD_MAX).sum::<usize>()
            > ENTRY_BYTES_MAX
    }

    /// Adds an entry of names and values.
    ///
    /// # Panics
    /// When the id is not above [`Stream::last_id`], or the entry is too large.
    pub fn push(&mut self, id: Id, words: &[&[u8]], limits: Limits) {
        assert!(id > self.last_id, "ids ascend");
        assert!(!Stream::is_too_large(words), "the caller has looked");
        let mut scratch = Vec::with_capacity(words.iter().map(|word| word.len() + 2).sum());
        match self.nodes.iter_mut().next_back() {
            Some((base, node)) if has_room(node, words, limits) => {
                Arc::make_mut(node).push(*base, id, words, &mut scratch);
            }
            _ => {
                let mut node = Node::new(words);
                node.push(id, id, words, &mut scratch);
                self.nodes.insert(id, Arc::new(node));
            }
        }
        self.len += 1;
        self.last_id = id;
        self.entries_added = self.entries_added.saturating_add(1);
    }

    /// The entries from `start` to `end`, both included.
    pub fn range(&self, start: Id, end: Id) -> impl Iterator<Item = Entry<'_>> {
        let first = self.nodes.range(..=start).next_back().map_or(start, |(base, _)| *base);
        self.nodes
            .range(first..)
            .flat_map(|(base, node)| node.entries(*base))
            .skip_while(move |entry| entry.id < start)
            .take_while(move |entry| entry.id <= end)
    }

    /// The same entries, the last first.
    pub fn range_back(&self, start: Id, end: Id) -> impl Iterator<Item = Entry<'_>> {
        self.nodes
            .range(..=end)
            .rev()
            .flat_map(|(base, node)| node.entries(*base).collect::<Vec<_>>().into_iter().rev())
            .skip_while(move |entry| entry.id > end)
            .take_while(move |entry| entry.id >= start)
    }

    /// The entry with this id.
    pub fn get(&self, id: Id) -> Option<Entry<'_>> {
        let (base, node) = self.nodes.range(..=id).next_back()?;
        node.entries(*base).find(|entry| entry.id >= id).filter(|entry| entry.id == id)
    }

    /// Deletes an entry.
    pub fn delete(&mut self, id: Id, references: References) -> Deleted {
        if references == References::Delete {
            self.forget(id);
        }
        if references == References::Obey && self.get(id).is_some() && self.is_referenced(id) {
            return Deleted::Referenced;
        }
        if !self.remove(id) {
            return Deleted::Missing;
        }
        self.max_deleted_id = self.max_deleted_id.max(id);
        Deleted::Gone
    }

    /// Trims the stream at its front. Returns how many entries went.
    pub fn trim(&mut self, trim: Trim) -> u64 {
        let (before, mut seen, mut from) = (self.len, 0, Id::MIN);
        while let Some((&base, node)) = self.nodes.range(from..).next() {
            let live = node.live();
            let is_done = matches!(trim.bound, Bound::Len(len) if self.len <= len);
            if is_done || trim.limit.is_some_and(|limit| seen + live > limit) {
                break;
            }
            let is_whole = match trim.bound {
                Bound::Len(len) => self.len - live >= len,
                Bound::Id(id) if trim.approximate => base < id && node.last(base) < id,
                Bound::Id(id) => {
                    base < id && node.entries(base).last().is_some_and(|last| last.id < id)
                }
            };
            if !is_whole && trim.approximate {
                break;
            }
            seen += live;
            if trim.references != References::Keep {
                self.trim_one_by_one(base, trim);
            } else if is_whole {
                self.nodes.remove(&base);
                self.len -= live;
            } else {
                self.cut_front(base, trim.bound);
            }
            let Some(next) = base.next().filter(|_| is_whole) else { break };
            from = next;
        }
        before - self.len
    }

    /// Takes the entries out of a node that are outside of `bound`, of which there are more inside.
    fn cut_front(&mut self, base: Id, bound: Bound) {
        let Some(node) = self.nodes.get_mut(&base).map(Arc::make_mut) else { return };
        let count = match bound {
            Bound::Len(len) => self.len - len,
            Bound::Id(id) => node.entries(base).take_while(|entry| entry.id < id).count() as u64,
        };
        node.cut_front(base, count);
        self.len -= count;
    }

    /// As [`Stream::cut_front`], with a look at the deliveries of each entry.
    fn trim_one_by_one(&mut self, base: Id, trim: Trim) {
        let Some(node) = self.nodes.get(&base) else { return };
        let ids: Vec<Id> = node.entries(base).map(|entry| entry.id).collect();
        for id in ids {
            let goes = match trim.bound {
                Bound::Len(len) => self.len > len,
                Bound::Id(first) => id < first,
            };
            if !goes {
                return;
            }
            if trim.references == References::Obey && self.is_referenced(id) {
                continue;
            }
            self.forget(id);
            self.remove(id);
        }
    }

    fn remove(&mut self, id: Id) -> bool {
        let Some((base, node)) = self.nodes.range_mut(..=id).next_back() else { return false };
        let node = Arc::make_mut(node);
        if !node.remove(*base, id) {
            return false;
        }
        if node.live() == 0 {
            let base = *base;
            self.nodes.remove(&base);
        }
        self.len -= 1;
        true
    }

    /// True when a group has not read the entry yet, or has it among its pending ones.
    fn is_referenced(&self, id: Id) -> bool {
        let mut groups = self.groups.values();
        groups.any(|group| id > group.last_id || group.pending_at(id).is_some())
    }

    /// Takes an entry out of what is pending anywhere.
    fn forget(&mut self, id: Id) {
        for group in self.groups.values_mut() {
            group.acknowledge(id);
        }
    }

    /// The groups in the order of their names.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&[u8], &Group)> {
        self.groups.iter().map(|(name, group)| (&**name, group))
    }

    /// The first group with this name or one behind it.
    pub fn group_from(&self, name: &[u8]) -> Option<(&[u8], &Group)> {
        let from = (ops::Bound::Included(name), ops::Bound::Unbounded);
        self.groups.range::<[u8], _>(from).next().map(|(name, group)| (&**name, group))
    }

    /// A group.
    pub fn group(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// A group, to change it.
    pub fn group_mut(&mut self, name: &[u8]) -> Option<&mut Group> {
        self.groups.get_mut(name)
    }

    /// The entries and a group, to change it.
    pub fn with_group<R>(
        &mut self,
        name: &[u8],
        change: impl FnOnce(&Stream, &mut Group) -> R,
    ) -> Option<R> {
        // It is out of the tree while it is changed, so that entries and group can be had at once.
        let mut group = std::mem::replace(self.groups.get_mut(name)?, Group::new(Id::MIN, None));
        let result = change(self, &mut group);
        *self.groups.get_mut(name)? = group;
        Some(result)
    }

    /// Adds a group. Returns false when there is one of that name.
    pub fn add_group(&mut self, name: &[u8], group: Group) -> bool {
        let is_new = !self.groups.contains_key(name);
        if is_new {
            self.groups.insert(name.into(), group);
        }
        is_new
    }

    /// Takes a group out. Returns false when there is none.
    pub fn remove_group(&mut self, name: &[u8]) -> bool {
        self.groups.remove(name).is_some()
    }

    /// How many entries a group has before it, where that is known.
    pub fn lag(&self, group: &Group) -> Option<i64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        let read = match group.entries_read {
            Some(read) if !self.is_holed_after(group.last_id) => Some(read),
            _ => self.entries_up_to(group.last_id),
        };
        read.map(|read| self.entries_added.wrapping_sub(read))
    }

    /// How many entries a group that reads `id` next has read then, where that is known. A client
    /// may have set the count to the largest number: it wraps around, as Valkey's does.
    pub fn entries_read_with(&self, group: &Group, id: Id) -> Option<i64> {
        match group.entries_read {
            Some(read) if self.counts_on(group) => Some(read.wrapping_add(1)),
            _ if self.entries_added > 0 => self.entries_up_to(id),
            unknown => unknown,
        }
    }

    /// True when every entry after the last one of a group is there, so that it can count on.
    fn counts_on(&self, group: &Group) -> bool {
        group.last_id >= self.first_id() && !self.is_holed_after(group.last_id)
    }

    /// True when an entry that was deleted may have stood after `id`.
    fn is_holed_after(&self, id: Id) -> bool {
        self.len > 0 && self.max_deleted_id != Id::MIN && id <= self.max_deleted_id
    }

    /// How many entries were added up to `id`, where that can be told: nothing was deleted behind
    /// it, and it is an end of the stream.
    fn entries_up_to(&self, id: Id) -> Option<i64> {
        if self.entries_added == 0 {
            return Some(0);
        }
        if self.len == 0 && id <= self.last_id {
            return Some(self.entries_added);
        }
        if id != Id::MIN && id < self.max_deleted_id {
            return None;
        }
        if id >= self.last_id {
            return Some(self.entries_added).filter(|_| id == self.last_id);
        }
        let first = self.first_id();
        if self.max_deleted_id != Id::MIN && self.max_deleted_id >= first {
            return None;
        }
        let before_first = self.entries_added.saturating_sub_unsigned(self.len);
        match id.cmp(&first) {
            std::cmp::Ordering::Less => Some(before_first),
            std::cmp::Ordering::Equal => Some(before_first.saturating_add(1)),
            std::cmp::Ordering::Greater => None,
        }
    }
}

fn has_room(node: &Node, words: &[&[u8]], limits: Limits) -> bool {
    let bytes = node.listpack_len() + words.iter().map(|word| word.len()).sum::<usize>();
    let most_bytes = match limits.node_bytes {
        0 => NODE_BYTES_MAX,
        most => usize::try_from(most).unwrap_or(NODE_BYTES_MAX).min(NODE_BYTES_MAX),
    };
    let most_entries = match limits.node_entries {
        0 => NODE_ENTRIES_MAX,
        most => most.min(NODE_ENTRIES_MAX),
    };
    bytes < most_bytes && node.total() < most_entries
}

impl Collection for Stream {
    /// Entries and deliveries: what dropping the stream takes.
    fn len(&self) -> usize {
        let pending: usize = self.groups.values().map(Group::pending_len).sum();
        self.len as usize + pending
    }

    fn vanishes(&self) -> bool {
        false
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn memory(&self) -> usize {
        let sampled: usize = self.nodes.values().take(SAMPLES).map(|node| node.memory()).sum();
        let samples = self.nodes.len().clamp(1, SAMPLES);
        // A tree is filled to about two thirds.
        let of_arc = size_of::<Node>() + 2 * size_of::<usize>();
        let of_node = sampled / samples + of_arc + size_of::<(Id, Arc<Node>)>() * 3 / 2;
        let groups = self.groups.values().take(SAMPLES);
        let of_groups: usize = groups.map(|group| group.memory() + size_of::<Group>()).sum();
        let sampled_groups = self.groups.len().clamp(1, SAMPLES);
        size_of::<Stream>()
            + self.nodes.len() * of_node
            + of_groups * self.groups.len() / sampled_groups
    }

    fn drop_some(&mut self) -> bool {
        for _ in 0..DROP_STEP {
            if self.nodes.pop_first().is_none() {
                break;
            }
        }
        if let Some(mut first) = self.groups.first_entry()
            && first.get_mut().drop_some(DROP_STEP) < DROP_STEP
        {
            first.remove();
        }
        !(self.nodes.is_empty() && self.groups.is_empty())
    }
}
