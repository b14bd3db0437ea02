//! A script as a tree of the rules that made it, so that it can be shrunk to what matters.

use std::fmt::Write as _;

/// What one rule of the grammar made.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// Which kind of thing it stands for, as the grammar names it.
    pub(super) kind: char,
    pub(super) parts: Vec<Part>,
}

/// A piece of a node.
#[derive(Clone, Debug)]
pub(super) enum Part {
    Text(String),
    Node(Node),
}

impl Node {
    /// A node without nodes in it.
    pub(super) fn leaf(kind: char, text: impl Into<String>) -> Node {
        Node { kind, parts: vec![Part::Text(text.into())] }
    }

    /// The text of the script.
    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Node(node) => node.write(out),
            }
        }
    }

    /// All nodes in it, itself the first.
    fn nodes(&self) -> Vec<&Node> {
        let mut nodes = vec![self];
        for part in &self.parts {
            if let Part::Node(node) = part {
                nodes.extend(node.nodes());
            }
        }
        nodes
    }

    /// Puts a node in the place of the one of this number, counted as `nodes` does.
    fn replace(&mut self, number: &mut usize, with: &Node) {
        if *number == 0 {
            *self = with.clone();
        }
        for part in &mut self.parts {
            let Part::Node(node) = part else { continue };
            match number.checked_sub(1) {
                Some(rest) => *number = rest,
                None => return,
            }
            node.replace(number, with);
        }
    }

    /// What may stand in the place of a node: the least of its kind, then what is in it of that
    /// kind.
    fn lesser(&self) -> Vec<Node> {
        let least = match self.kind {
            'S' | 'Z' => Some(""),
            'N' | 'I' | 'J' | '#' | 'X' | 'W' | 'V' => Some("1"),
            'T' | '"' => Some("''"),
            'L' | 'M' | 'O' => Some("{}"),
            'B' => Some("true"),
            'A' => Some("nil"),
            _ => None,
        };
        let own = self.text();
        let least = least.filter(|least| *least != own).map(|least| Node::leaf(self.kind, least));
        let inner = self.nodes().into_iter().skip(1).filter(|node| node.kind == self.kind);
        least.into_iter().chain(inner.cloned()).collect()
    }

    /// The smallest tree made of this one for which the question is answered with yes, by one
    /// replacement after the other.
    pub(super) fn shrunk(self, mut still: impl FnMut(&Node) -> bool) -> Node {
        let mut tree = self;
        let mut number = 0;
        while number < tree.nodes().len() {
            let lesser = tree.nodes()[number].lesser();
            let smaller = lesser.into_iter().map(|with| {
                let mut smaller = tree.clone();
                smaller.replace(&mut number.clone(), &with);
                smaller
            });
            match smaller.into_iter().find(|smaller| still(smaller)) {
                Some(smaller) => tree = smaller,
                None => number += 1,
            }
        }
        tree
    }
}

/// Bytes as a string of Lua.
pub(super) fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("'");
    for byte in bytes {
        match byte {
            b'\\' => out.push_str("\\\\"),
            b'\'' => out.push_str("\\'"),
            b' '..=b'~' => out.push(char::from(*byte)),
            _ => {
                let _ = write!(out, "\\{byte:03}");
            }
        }
    }
    out.push('\'');
    out
}
