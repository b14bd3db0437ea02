//! Sets: strings in no order, each once.
//!
//! A set of few integers is [`Ints`], a small one of any strings a pack, a larger one a table. It
//! goes from one form to the next when [`Rules`] say so, as Valkey's do and at the same moments,
//! and never back. Deadlines of members are kept in the table alone: the first one makes a set
//! large.

mod ints;
mod large;

use std::collections::BTreeSet;

use crate::base::hash::Hasher;
use crate::base::integer;
use crate::base::millis::Millis;
use crate::data::own::Own;
use crate::data::pack::{self, Pack};
use crate::data::table::{Link, Member, Place};
use crate::data::value::Value;
use crate::data::{Collection, NEVER};

pub use ints::Ints;
pub use large::{Element, Large};

/// More bytes than this a pack does not get, whatever the rules.
const PACK_MAX: usize = 1 << 30;

/// More numbers than this [`Ints`] do not get, whatever the rules.
const INTS_MAX: usize = 1 << 27;

/// Up to where a set stays in which form.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Members of a set of integers.
    pub ints: usize,
    /// Members of a packed set.
    pub entries: usize,
    /// Length of a member of a packed set, in bytes.
    pub value_bytes: usize,
    /// How the members of a large one are hashed.
    pub hasher: &'a Hasher,
}

/// A set.
#[derive(Clone, Debug)]
pub enum Set {
    /// Integers only.
    Ints(Ints),
    /// All in one pack.
    Packed(Pack),
    /// All in a table.
    Large(Own<Large>),
}

impl Default for Set {
    fn default() -> Set {
        Set::Ints(Ints::default())
    }
}

impl Set {
    /// An empty set that is packed.
    pub fn packed() -> Set {
        Set::Packed(Pack::default())
    }

    /// An empty set to which `count` members are about to be added, this one first.
    pub fn expecting(first: &[u8], count: usize, rules: Rules<'_>) -> Set {
        if count <= rules.ints && integer::parse(first).is_some() {
            Set::Ints(Ints::default())
        } else if count <= rules.entries {
            Set::Packed(Pack::default())
        } else {
            Set::Large(Own::new(Large::new(rules.hasher)))
        }
    }

    /// So many members are about to be added: more than its form takes make it large at once.
    pub fn expect(&mut self, count: usize, rules: Rules<'_>) {
        let limit = match self {
            Set::Ints(_) => rules.ints,
            Set::Packed(_) => rules.entries,
            Set::Large(_) => return,
        };
        if count > limit {
            self.enlarge(rules.hasher);
        }
    }

    /// True when `member` is in the set.
    pub fn contains(&self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => integer::parse(member).is_some_and(|number| ints.contains(number)),
            Set::Packed(pack) => pack.find(pack.first(), member, 1).is_some(),
            Set::Large(large) => large.contains(member),
        }
    }

    /// As [`Set::contains`], of a member of another set.
    pub fn has(&self, member: Value<'_>) -> bool {
        match (self, member) {
            (Set::Ints(ints), Value::Integer(number)) => ints.contains(number),
            _ => member.with(|member| self.contains(member)),
        }
    }

    /// Adds a member. Returns false when it is there already.
    pub fn add(&mut self, member: &[u8], rules: Rules<'_>) -> bool {
        match self {
            Set::Ints(ints) => {
                if let Some(number) = integer::parse(member) {
                    let added = ints.insert(number);
                    if ints.len() > rules.ints.min(INTS_MAX) {
                        self.enlarge(rules.hasher);
                    }
                    return added;
                }
                let fits = ints.len() < rules.entries && longest(ints) <= rules.value_bytes;
                if fits && member.len() <= rules.value_bytes {
                    self.pack();
                } else {
                    self.enlarge(rules.hasher);
                }
            }
            Set::Packed(pack) => {
                if pack.find(pack.first(), member, 1).is_some() {
                    return false;
                }
                let fits = pack.len() < rules.entries && member.len() <= rules.value_bytes;
                if !fits || pack.byte_len() + member.len() > PACK_MAX {
                    self.enlarge(rules.hasher);
                }
            }
            Set::Large(_) => {}
        }
        self.add_as_it_is(member)
    }

    /// Takes a member out. Returns false when it is not there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => integer::parse(member).is_some_and(|number| ints.remove(number)),
            Set::Packed(pack) => match pack.find(pack.first(), member, 1) {
                Some(at) => {
                    pack.remove(at, 1);
                    true
                }
                None => false,
            },
            Set::Large(large) => large.remove(member),
        }
    }

    /// All members: those of a small set in the order of their form, of a large one in none.
    pub fn iter(&self) -> Iter<'_> {
        match self {
            Set::Ints(ints) => Iter::Ints(ints, 0),
            Set::Packed(pack) => Iter::Packed(pack.iter()),
            Set::Large(large) => Iter::Large(Box::new(large.table().iter().map(value))),
        }
    }

    /// Hands the members from `place` on, with their deadlines, to `take`, until it says that it
    /// takes no more. Returns where to go on; nothing at the end. A small set is handed out whole,
    /// whatever it says.
    pub fn walk(
        &self,
        place: &Place,
        mut take: impl FnMut(Value<'_>, Option<Millis>) -> bool,
    ) -> Option<Place> {
        if let Set::Large(large) = self {
            return large.walk(place, |element| take(value(element), element.deadline()));
        }
        self.iter().for_each(|member| {
            take(member, None);
        });
        None
    }

    /// A member chosen at random, each as likely as another.
    pub fn random(&self, random: &mut fastrand::Rng) -> Option<Value<'_>> {
        match self {
            _ if self.is_empty() => None,
            Set::Ints(ints) => ints.get(random.usize(0..ints.len())).map(Value::Integer),
            Set::Packed(pack) => pack.seek(random.usize(0..pack.len())).map(|at| pack.get(at)),
            Set::Large(large) => large.table().random(random).map(value),
        }
    }

    /// So many different members chosen at random, each choice as likely as another; all of them
    /// where there are not more.
    pub fn sample(
        &self,
        count: usize,
        random: &mut fastrand::Rng,
        mut found: impl FnMut(Value<'_>),
    ) {
        if let Set::Large(large) = self
            && count < self.len() / 3
        {
            let mut chosen = BTreeSet::new();
            while chosen.len() < count {
                let Some(element) = large.table().random(random) else { return };
                if chosen.insert(element.name()) {
                    found(value(element));
                }
            }
            return;
        }
        // Each is taken with the share of those still wanted among those still to come.
        let (mut wanted, mut left) = (count, self.len());
        for member in self.iter() {
            if wanted > 0 && random.usize(0..left) < wanted {
                found(member);
                wanted -= 1;
            }
            left -= 1;
        }
    }

    /// The deadline of a member; none where there is no such member.
    pub fn deadline_of(&self, member: &[u8]) -> Option<Option<Millis>> {
        match self {
            Set::Large(large) => large.deadline_of(member),
            _ => self.contains(member).then_some(None),
        }
    }

    /// Sets or takes away the deadline of a member that is there.
    pub fn set_deadline(&mut self, member: &[u8], deadline: Option<Millis>, hasher: &Hasher) {
        if deadline.is_some() {
            self.enlarge(hasher);
        }
        if let Set::Large(large) = self {
            large.set_deadline(member, deadline);
        }
    }

    /// Members with their deadlines.
    pub fn deadlines(&self) -> impl Iterator<Item = (&[u8], Millis)> {
        let large = if let Set::Large(large) = self { Some(large) } else { None };
        let timed = large.filter(|large| large.table().counts().expires > 0).into_iter();
        let elements = timed.flat_map(|large| large.table().iter());
        elements.filter_map(|element| Some((element.name(), element.deadline()?)))
    }

    /// Packs a large set that has become small, if it may be packed and no member has a deadline.
    pub fn shrink(&mut self, rules: Rules<'_>) {
        let Set::Large(large) = &*self else { return };
        let counts = large.table().counts();
        let fits = |element: &Element| element.name().len() <= rules.value_bytes;
        if counts.expires == 0 && counts.len <= rules.entries && large.table().iter().all(fits) {
            self.pack();
        }
    }

    /// Gives a set of integers the form for them, if there are few enough.
    pub fn prefer_ints(&mut self, rules: Rules<'_>) {
        if matches!(self, Set::Ints(_)) || self.len() > rules.ints.min(INTS_MAX) {
            return;
        }
        let mut ints = Ints::default();
        let mut add = |member: &[u8]| integer::parse(member).is_some_and(|it| ints.insert(it));
        if self.iter().all(|member| member.with(&mut add)) {
            *self = Set::Ints(ints);
        }
    }

    fn pack(&mut self) {
        let mut packed = Pack::default();
        self.iter().for_each(|member| member.with(|member| packed.push_back(member)));
        *self = Set::Packed(packed);
    }

    fn enlarge(&mut self, hasher: &Hasher) {
        if matches!(self, Set::Large(_)) {
            return;
        }
        let mut large = Own::new(Large::new(hasher));
        self.iter().for_each(|member| {
            member.with(|member| large.insert(member));
        });
        *self = Set::Large(large);
    }

    /// Adds a member for which there is room in the form that the set has.
    fn add_as_it_is(&mut self, member: &[u8]) -> bool {
        match self {
            Set::Ints(ints) => integer::parse(member).is_some_and(|number| ints.insert(number)),
            Set::Packed(pack) => {
                pack.push_back(member);
                true
            }
            Set::Large(large) => large.insert(member),
        }
    }
}

fn value(element: &Element) -> Value<'_> {
    Value::Bytes(element.name())
}

/// Digits of the longest number, its sign included.
fn longest(ints: &Ints) -> usize {
    let ends = [ints.get(0), ints.len().checked_sub(1).and_then(|last| ints.get(last))];
    let lengths = ends.into_iter().flatten().map(|number| Value::Integer(number).len());
    lengths.max().unwrap_or(0)
}

/// The members of a set.
pub enum Iter<'a> {
    /// Of integers, from this index on.
    Ints(&'a Ints, usize),
    /// Of a pack.
    Packed(pack::Iter<'a>),
    /// Of a table.
    Large(Box<dyn Iterator<Item = Value<'a>> + 'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Value<'a>;

    #[inline]
    fn next(&mut self) -> Option<Value<'a>> {
        match self {
            Iter::Ints(ints, index) => {
                *index += 1;
                ints.get(*index - 1).map(Value::Integer)
            }
            Iter::Packed(iter) => iter.next(),
            Iter::Large(iter) => iter.next(),
        }
    }
}

impl Collection for Set {
    fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Packed(pack) => pack.len(),
            Set::Large(large) => large.table().counts().len,
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Packed(_) => "listpack",
            Set::Large(_) => "hashtable",
        }
    }

    fn memory(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.memory(),
            Set::Packed(pack) => pack.memory(),
            Set::Large(large) => large.memory(),
        }
    }

    fn warm(&self, hash: u64, link: Link) {
        if let Set::Large(large) = self {
            large.table().warm(hash, link);
        }
    }

    fn next_deadline(&self) -> Millis {
        if let Set::Large(large) = self { large.table().next_deadline() } else { NEVER }
    }

    fn is_timed(&self) -> bool {
        matches!(self, Set::Large(large) if large.table().counts().expires > 0)
    }

    fn expire(&mut self, now: Millis, most: usize, gone: &mut dyn FnMut(&[u8])) {
        if let Set::Large(large) = self {
            large.expire(now, most, gone);
        }
    }

    fn drop_some(&mut self) -> bool {
        if let Set::Large(large) = self { large.drop_some() } else { false }
    }
}

#[cfg(test)]
mod tests;
