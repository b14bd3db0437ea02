//! A counted B+-tree over members in the order of their scores, names deciding among equal ones.
//!
//! Leaves hold score and handle of up to [`LEAF_MAX`] members; a branch holds up to [`BRANCH_MAX`]
//! nodes, and of each how many members are under it and which is the first. So rank, range and a
//! place by rank take one way down, and the scores that a way compares lie side by side: a name is
//! read only where scores are equal.
//!
//! A full node is split in halves, but at the right end of the tree, where what comes in order
//! leaves full nodes behind. A node with less than a quarter is joined with its neighbour. Leaves
//! grow in steps of [`STEP`], so that one that is half full takes half of the memory. Nothing ever
//! moves more than a node.
//!
//! Why `unsafe`: names are read through handles. Invariant: whatever item stands in a tree is of a
//! member that is there, as the caller of [`Tree::insert`] has promised.

#![allow(unsafe_code)]

use crate::data::zset::edge::Edge;
use crate::data::zset::member::Handle;

/// Members of a leaf: 1 KiB.
const LEAF_MAX: usize = 64;

/// Nodes of a branch.
const BRANCH_MAX: usize = 32;

/// Leaves get and give back room for so many members.
const STEP: usize = 8;

/// A member in its place.
#[derive(Clone, Copy)]
pub(super) struct Item {
    pub(super) score: f64,
    pub(super) handle: Handle,
}

enum Node {
    Leaf(Vec<Item>),
    Branch(Vec<Part>),
}

/// A node under a branch.
struct Part {
    count: usize,
    first: Item,
    node: Node,
}

/// Members in order.
pub(super) struct Tree {
    root: Node,
    len: usize,
}

impl Default for Tree {
    fn default() -> Tree {
        Tree { root: Node::Leaf(Vec::new()), len: 0 }
    }
}

impl Tree {
    /// Members.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Adds a member that is not in the tree.
    ///
    /// # Safety
    /// The member is there until its item has left the tree, or the tree is not used any more.
    pub(super) unsafe fn insert(&mut self, item: Item) {
        self.len += 1;
        if let Some(right) = self.root.insert(item, true) {
            let left = std::mem::replace(&mut self.root, Node::Branch(Vec::new()));
            self.root = Node::Branch(vec![Part::of(left), Part::of(right)]);
        }
    }

    /// Takes the member at a rank out.
    pub(super) fn remove(&mut self, rank: usize) -> Option<Item> {
        if rank >= self.len {
            return None;
        }
        let item = self.root.remove(rank);
        self.len -= 1;
        while let Node::Branch(parts) = &mut self.root
            && parts.len() == 1
            && let Some(part) = parts.pop()
        {
            self.root = part.node;
        }
        if self.len == 0 {
            *self = Tree::default();
        }
        Some(item)
    }

    /// How many members stand before the edge.
    pub(super) fn rank(&self, edge: Edge<'_>) -> usize {
        let (mut node, mut before) = (&self.root, 0);
        loop {
            match node {
                Node::Leaf(items) => {
                    return before + items.partition_point(|item| item.passes(edge));
                }
                Node::Branch(parts) => {
                    // The edge lies in the last node whose first member passes, or before all.
                    let behind = parts.partition_point(|part| part.first.passes(edge));
                    let Some(at) = behind.checked_sub(1) else { return before };
                    before += parts[..at].iter().map(|part| part.count).sum::<usize>();
                    node = &parts[at].node;
                }
            }
        }
    }

    /// Changes the score of the member at `rank`, if its place stays the same. Returns whether it
    /// does.
    pub(super) fn rescore(&mut self, rank: usize, score: f64, name: &[u8]) -> bool {
        let (mut node, mut left) = (&mut self.root, rank);
        loop {
            match node {
                Node::Branch(parts) => {
                    let at = place(parts, &mut left);
                    node = &mut parts[at].node;
                }
                Node::Leaf(items) => {
                    // The first of a leaf is known above: it keeps its place by moving.
                    if left == 0 || left + 1 >= items.len() {
                        return false;
                    }
                    let edge = Edge::Before(score, name);
                    let stays = items[left - 1].passes(edge) && !items[left + 1].passes(edge);
                    if stays {
                        items[left].score = score;
                    }
                    return stays;
                }
            }
        }
    }

    /// Calls `found` with `count` members from the one at rank `start` on, forwards or backwards,
    /// until it says no.
    pub(super) fn visit(
        &self,
        start: usize,
        count: usize,
        backwards: bool,
        found: &mut dyn FnMut(Item) -> bool,
    ) {
        if start < self.len && count > 0 {
            let (mut skip, mut left) =
                (if backwards { self.len - 1 - start } else { start }, count);
            self.root.visit(&mut skip, &mut left, backwards, found);
        }
    }

    /// Bytes of all nodes, about.
    pub(super) fn memory(&self) -> usize {
        let per_leaf = LEAF_MAX * 3 / 4;
        self.len * size_of::<Item>() + self.len.div_ceil(per_leaf) * (size_of::<Part>() + STEP * 8)
    }

    /// Drops a few thousand members' places. Returns true when there is more.
    pub(super) fn drop_some(&mut self) -> bool {
        !self.root.drop_piece()
    }
}

/// The node that holds the member at `rank`, which becomes its rank in there.
fn place(parts: &[Part], rank: &mut usize) -> usize {
    let mut at = 0;
    while *rank >= parts[at].count {
        *rank -= parts[at].count;
        at += 1;
    }
    at
}

impl Item {
    #[inline]
    fn passes(self, edge: Edge<'_>) -> bool {
        edge.passes(self.score, || self.name())
    }

    /// The name of a member that is in the tree or enters it.
    #[inline]
    fn name(&self) -> &[u8] {
        // SAFETY: it is there, by the contract of `Tree::insert`.
        unsafe { self.handle.name() }
    }
}

impl Part {
    fn of(node: Node) -> Part {
        Part { count: node.count(), first: node.first(), node }
    }

    fn refresh(&mut self) {
        (self.count, self.first) = (self.node.count(), self.node.first());
    }
}

impl Node {
    /// Members under it; of a branch as its parts have it.
    fn count(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Branch(parts) => parts.iter().map(|part| part.count).sum(),
        }
    }

    fn first(&self) -> Item {
        match self {
            Node::Leaf(items) => items[0],
            Node::Branch(parts) => parts[0].first,
        }
    }

    /// Members of a leaf or nodes of a branch.
    fn width(&self) -> usize {
        match self {
            Node::Leaf(items) => items.len(),
            Node::Branch(parts) => parts.len(),
        }
    }

    fn max(&self) -> usize {
        if matches!(self, Node::Leaf(_)) { LEAF_MAX } else { BRANCH_MAX }
    }

    /// Adds a member. What does not fit comes back as a node to stand behind this one. `is_last`:
    /// nothing stands behind.
    fn insert(&mut self, item: Item, is_last: bool) -> Option<Node> {
        let edge = Edge::Before(item.score, item.name());
        match self {
            Node::Leaf(items) => {
                let at = items.partition_point(|there| there.passes(edge));
                if items.len() < LEAF_MAX {
                    put(items, at, item);
                    return None;
                }
                if is_last && at == items.len() {
                    let mut right = Vec::new();
                    put(&mut right, 0, item);
                    return Some(Node::Leaf(right));
                }
                let mut right = split(items);
                if at <= items.len() {
                    put(items, at, item);
                } else {
                    let at = at - items.len();
                    put(&mut right, at, item);
                }
                Some(Node::Leaf(right))
            }
            Node::Branch(parts) => {
                let at = parts.partition_point(|part| part.first.passes(edge)).saturating_sub(1);
                let is_last = is_last && at + 1 == parts.len();
                let part = &mut parts[at];
                let Some(new) = part.node.insert(item, is_last) else {
                    part.count += 1;
                    part.first = part.node.first();
                    return None;
                };
                part.refresh();
                if parts.len() < BRANCH_MAX {
                    parts.insert(at + 1, Part::of(new));
                    return None;
                }
                if is_last {
                    return Some(Node::Branch(vec![Part::of(new)]));
                }
                let mut right = parts.split_off(BRANCH_MAX / 2);
                if at < parts.len() {
                    parts.insert(at + 1, Part::of(new));
                } else {
                    right.insert(at + 1 - parts.len(), Part::of(new));
                }
                Some(Node::Branch(right))
            }
        }
    }

    fn remove(&mut self, mut rank: usize) -> Item {
        match self {
            Node::Leaf(items) => {
                let item = items.remove(rank);
                if items.capacity() >= items.len() + 2 * STEP {
                    items.shrink_to(items.len().next_multiple_of(STEP));
                }
                item
            }
            Node::Branch(parts) => {
                let at = place(parts, &mut rank);
                let has_neighbour = parts.len() > 1;
                let part = &mut parts[at];
                let item = part.node.remove(rank);
                part.count -= 1;
                if part.node.width() < part.node.max() / 4 && has_neighbour {
                    join(parts, at);
                } else if part.count == 0 {
                    // An only node without members goes, and the branch with it.
                    parts.remove(at);
                } else {
                    part.first = part.node.first();
                }
                item
            }
        }
    }

    /// Drops a branch's worth of leaves. Returns true when nothing is left.
    fn drop_piece(&mut self) -> bool {
        match self {
            Node::Leaf(items) => {
                *items = Vec::new();
                true
            }
            Node::Branch(parts) => {
                match parts.last_mut() {
                    Some(Part { node: Node::Leaf(_), .. }) | None => parts.clear(),
                    Some(part) => {
                        if part.node.drop_piece() {
                            parts.pop();
                        }
                    }
                }
                parts.is_empty()
            }
        }
    }

    /// Returns false when it is enough.
    fn visit(
        &self,
        skip: &mut usize,
        left: &mut usize,
        backwards: bool,
        found: &mut dyn FnMut(Item) -> bool,
    ) -> bool {
        match self {
            Node::Leaf(items) => {
                let from = std::mem::take(skip);
                let step = |item: &Item| {
                    *left -= 1;
                    found(*item) && *left > 0
                };
                let items = items.iter();
                if backwards {
                    items.rev().skip(from).all(step)
                } else {
                    items.skip(from).all(step)
                }
            }
            Node::Branch(parts) => {
                let step = |part: &Part| {
                    if *skip >= part.count {
                        *skip -= part.count;
                        return true;
                    }
                    part.node.visit(skip, left, backwards, found)
                };
                let mut parts = parts.iter();
                if backwards { parts.rev().all(step) } else { parts.all(step) }
            }
        }
    }
}

/// Puts a member in, in a leaf that has room or gets it.
fn put(items: &mut Vec<Item>, at: usize, item: Item) {
    if items.len() == items.capacity() {
        items.reserve_exact(STEP);
    }
    items.insert(at, item);
}

/// The second half of a full leaf; both get the room that they need.
fn split(items: &mut Vec<Item>) -> Vec<Item> {
    let half = items.len() / 2;
    let mut right = Vec::with_capacity(half + STEP);
    right.extend(items.drain(half..));
    items.shrink_to(half + STEP);
    right
}

/// Joins the node at `at` with a neighbour, and splits both anew where they do not fit into one.
fn join(parts: &mut Vec<Part>, at: usize) {
    let left = if at + 1 < parts.len() { at } else { at - 1 };
    let right = parts.remove(left + 1).node;
    let part = &mut parts[left];
    let new = match (&mut part.node, right) {
        (Node::Leaf(items), Node::Leaf(mut more)) => {
            items.append(&mut more);
            let new = (items.len() > LEAF_MAX).then(|| Node::Leaf(split(items)));
            items.shrink_to(items.len().next_multiple_of(STEP));
            new
        }
        (Node::Branch(nodes), Node::Branch(mut more)) => {
            nodes.append(&mut more);
            let half = nodes.len() / 2;
            (nodes.len() > BRANCH_MAX).then(|| Node::Branch(nodes.split_off(half)))
        }
        _ => unreachable!("all leaves are equally far down"),
    };
    part.refresh();
    if let Some(new) = new {
        parts.insert(left + 1, Part::of(new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::table::Member as _;
    use crate::data::zset::edge::order;
    use crate::data::zset::member::Member;

    /// Checks counts, first members and widths; returns the depth.
    fn check(node: &Node, is_root: bool) -> usize {
        assert!(node.width() <= node.max());
        assert!(is_root || node.width() > 0);
        let Node::Branch(parts) = node else { return 0 };
        let mut depths = parts.iter().map(|part| {
            assert_eq!(part.count, part.node.count());
            assert_eq!(part.first.name(), part.node.first().name());
            check(&part.node, false)
        });
        let depth = depths.next().expect("a branch has nodes");
        assert!(depths.all(|other| other == depth));
        depth + 1
    }

    /// As it goes into the tree; the tests keep their members for longer.
    fn add(tree: &mut Tree, member: &Member) {
        // SAFETY: each test drops its members after the tree or their items.
        unsafe { tree.insert(Item { score: member.score(), handle: member.handle() }) };
    }

    fn names(tree: &Tree, start: usize, count: usize, backwards: bool) -> Vec<Vec<u8>> {
        let mut names = Vec::new();
        tree.visit(start, count, backwards, &mut |item| {
            names.push(item.name().to_vec());
            true
        });
        names
    }

    #[test]
    fn random_members_agree_with_a_sorted_vector() {
        let seed = 5;
        let mut random = fastrand::Rng::with_seed(seed);
        let rounds = if cfg!(miri) { 300 } else { 30_000 };
        let (mut tree, mut model): (_, Vec<Member>) = (Tree::default(), Vec::new());
        fn sort(member: &Member) -> (f64, &[u8]) {
            (member.score(), member.name())
        }
        for round in 0..rounds {
            let grows = (round / (rounds / 6)) % 2 == 0;
            if model.is_empty() || random.u8(..10) < if grows { 8 } else { 2 } {
                let name = format!("{}", round).into_bytes();
                let member = Member::new(&name, f64::from(random.u8(..8)), None);
                add(&mut tree, &member);
                let at = model.partition_point(|there| order(sort(there), sort(&member)).is_lt());
                model.insert(at, member);
            } else {
                let at = random.usize(0..model.len());
                let edge = Edge::Before(model[at].score(), model[at].name());
                assert_eq!(tree.rank(edge), at, "seed {seed}");
                let item = tree.remove(at).expect("the rank is in");
                assert_eq!(item.name(), model[at].name());
                model.remove(at);
            }
            assert_eq!(tree.len(), model.len());
            if round % if cfg!(miri) { 150 } else { 500 } == 0 {
                check(&tree.root, true);
                let all: Vec<Vec<u8>> = model.iter().map(|member| member.name().to_vec()).collect();
                assert_eq!(names(&tree, 0, usize::MAX, false), all);
                let start = random.usize(0..=model.len());
                let expected: Vec<Vec<u8>> = all.iter().skip(start).take(70).cloned().collect();
                assert_eq!(names(&tree, start, 70, false), expected);
                let expected: Vec<Vec<u8>> =
                    all.iter().take(start + 1).rev().take(70).cloned().collect();
                let got = names(&tree, start, 70, true);
                assert_eq!(got, if start < model.len() { expected } else { Vec::new() });
                let edge = Edge::BehindScore(3.0);
                assert_eq!(tree.rank(edge), model.partition_point(|there| there.score() <= 3.0));
            }
        }
    }

    #[test]
    fn what_comes_in_order_leaves_full_leaves_and_is_dropped_in_pieces() {
        let count = if cfg!(miri) { 300 } else { 10_000 };
        let members: Vec<Member> =
            (0..count).map(|number| Member::new(b"x", f64::from(number), None)).collect();
        let mut tree = Tree::default();
        for member in &members {
            add(&mut tree, member);
        }
        check(&tree.root, true);
        fn leaves(node: &Node) -> usize {
            match node {
                Node::Leaf(_) => 1,
                Node::Branch(parts) => parts.iter().map(|part| leaves(&part.node)).sum(),
            }
        }
        assert_eq!(leaves(&tree.root), (count as usize).div_ceil(LEAF_MAX));
        let mut pieces = 1;
        while tree.drop_some() {
            pieces += 1;
        }
        assert_eq!(pieces, (count as usize).div_ceil(LEAF_MAX * BRANCH_MAX));
    }
}
