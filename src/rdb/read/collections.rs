//! Lists, sets and sorted sets as they are read.

use std::borrow::Cow;

use crate::base::float;
use crate::data::Collection;
use crate::data::list::{End, List};
use crate::data::set::Set;
use crate::data::value::Value;
use crate::data::zset::Zset;
use crate::rdb::error::{Fault, RdbError};
use crate::rdb::legacy::{Ziplist, Zipmap, intset};
use crate::rdb::listpack::Listpack;
use crate::rdb::read::Forms;
use crate::rdb::source::{ELEMENT_MAX, Source};
use crate::rdb::{PACKED_NODE, PLAIN_NODE};

/// The items of some packed form.
type Items<'a> = dyn Iterator<Item = Result<Value<'a>, Fault>> + 'a;

/// Reads the string that holds a packed collection of this name, and gives its items to `read`.
/// What is wrong inside has the place of the string.
pub(super) fn packed<R>(
    source: &mut Source<'_>,
    name: &'static str,
    form: Packed,
    read: impl FnOnce(&mut Items<'_>) -> Result<R, Fault>,
) -> Result<R, RdbError> {
    let start = source.place();
    let blob = source.string()?;
    let result = form.items(&blob).and_then(|mut items| read(&mut items));
    result.map_err(|fault| fault.within(name).at(start))
}

/// A packed form.
#[derive(Clone, Copy, Debug)]
pub(super) enum Packed {
    Listpack,
    Ziplist,
    Zipmap,
}

impl Packed {
    fn items(self, blob: &[u8]) -> Result<Box<Items<'_>>, Fault> {
        Ok(match self {
            Packed::Listpack => Box::new(Listpack::new(blob)?),
            Packed::Ziplist => Box::new(Ziplist::new(blob)?),
            Packed::Zipmap => Box::new(Zipmap::new(blob)?),
        })
    }
}

/// The value, unless it is without elements.
pub(super) fn filled<T: Collection>(source: &Source<'_>, value: T) -> Result<T, RdbError> {
    if value.is_empty() { Err(source.fail(Fault::Empty)) } else { Ok(value) }
}

/// A list that grows at its end.
struct Growing<'a> {
    list: List,
    forms: Forms<'a>,
}

impl Growing<'_> {
    fn new(forms: Forms<'_>) -> Growing<'_> {
        Growing { list: List::default(), forms }
    }

    fn push(&mut self, item: &[u8]) {
        self.list.make_room(item.len(), 1, self.forms.list);
        self.list.push(End::Back, item, self.forms.list);
    }

    fn push_all(&mut self, items: &mut Items<'_>) -> Result<(), Fault> {
        for item in items {
            item?.with(|item| self.push(item));
        }
        Ok(())
    }

    fn done(mut self, source: &Source<'_>) -> Result<List, RdbError> {
        self.list.pack_if_within(self.forms.list);
        filled(source, self.list)
    }
}

pub(super) fn list(source: &mut Source<'_>, forms: Forms<'_>) -> Result<List, RdbError> {
    let mut list = Growing::new(forms);
    for _ in 0..source.count(1)? {
        list.push(&source.element()?);
    }
    list.done(source)
}

pub(super) fn list_of_ziplist(source: &mut Source<'_>, forms: Forms<'_>) -> Result<List, RdbError> {
    let mut list = Growing::new(forms);
    packed(source, "List ziplist", Packed::Ziplist, |items| list.push_all(items))?;
    list.done(source)
}

/// The quicklist of Redis 3.2 to 6.2.
pub(super) fn list_of_ziplists(
    source: &mut Source<'_>,
    forms: Forms<'_>,
) -> Result<List, RdbError> {
    let mut list = Growing::new(forms);
    for _ in 0..source.count(1)? {
        packed(source, "Quicklist ziplist", Packed::Ziplist, |items| list.push_all(items))?;
    }
    list.done(source)
}

/// Such a node is for items that are too long for any other.
const EMPTY_NODE: &str = "a node of a list that is one item has an empty one";

/// The quicklist of Redis 7.0 and later: nodes are one item, or a listpack.
pub(super) fn list_of_nodes(source: &mut Source<'_>, forms: Forms<'_>) -> Result<List, RdbError> {
    let mut list = Growing::new(forms);
    for _ in 0..source.count(2)? {
        let start = source.place();
        match source.length()? {
            PLAIN_NODE => match source.element()? {
                item if item.is_empty() => return Err(Fault::Damaged(EMPTY_NODE).at(start)),
                item => list.push(&item),
            },
            PACKED_NODE => {
                packed(source, "Quicklist listpack", Packed::Listpack, |items| {
                    list.push_all(items)
                })?;
            }
            _ => return Err(Fault::Damaged("a node of a list has an unknown form").at(start)),
        }
    }
    list.done(source)
}

fn add(set: &mut Set, member: &[u8], forms: Forms<'_>) -> Result<(), Fault> {
    if member.len() > ELEMENT_MAX {
        return Err(Fault::Damaged("a member of a set is too long"));
    }
    set.add(member, forms.set)
        .then_some(())
        .ok_or(Fault::Damaged("a member of a set stands there twice"))
}

pub(super) fn set(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Set, RdbError> {
    let count = source.count(1)?;
    let mut set = Set::default();
    set.expect(usize::try_from(count).unwrap_or(usize::MAX), forms.set);
    for _ in 0..count {
        let start = source.place();
        let member = source.element()?;
        add(&mut set, &member, forms).map_err(|fault| fault.at(start))?;
    }
    filled(source, set)
}

pub(super) fn set_of_ints(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Set, RdbError> {
    let start = source.place();
    let blob = source.string()?;
    let numbers = intset(&blob).map_err(|fault| fault.within("Intset").at(start))?;
    let mut set = Set::default();
    set.expect(numbers.len(), forms.set);
    for number in numbers {
        let added = Value::Integer(number).with(|member| add(&mut set, member, forms));
        added.map_err(|fault| fault.at(start))?;
    }
    filled(source, set)
}

pub(super) fn set_listpack(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Set, RdbError> {
    let mut set = Set::packed();
    packed(source, "Set listpack", Packed::Listpack, |items| {
        for member in items {
            member?.with(|member| add(&mut set, member, forms))?;
        }
        Ok(())
    })?;
    filled(source, set)
}

fn put(zset: &mut Zset, member: &[u8], score: f64, forms: Forms<'_>) -> Result<(), Fault> {
    if score.is_nan() {
        return Err(Fault::Damaged("a score is no number"));
    }
    let update = zset.update(member, forms.zset, forms.hasher, |old| {
        if old.is_some() { None } else { Some(score) }
    });
    update
        .added()
        .then_some(())
        .ok_or(Fault::Damaged("a member of a sorted set stands there twice"))
}

pub(super) fn zset(
    source: &mut Source<'_>,
    forms: Forms<'_>,
    are_texts: bool,
) -> Result<Zset, RdbError> {
    let count = source.count(2)?;
    let mut zset = Zset::default();
    zset.expect(usize::try_from(count).unwrap_or(usize::MAX), 0, forms.zset, forms.hasher);
    for _ in 0..count {
        let start = source.place();
        let member = source.element()?;
        let score =
            if are_texts { score_text(source)? } else { f64::from_le_bytes(source.array()?) };
        put(&mut zset, &member, score, forms).map_err(|fault| fault.at(start))?;
    }
    filled(source, zset)
}

/// A score as Redis up to 4.0 wrote it: its text behind a length, of which three mean no text.
fn score_text(source: &mut Source<'_>) -> Result<f64, RdbError> {
    let start = source.place();
    match source.byte()? {
        253 => Ok(f64::NAN),
        254 => Ok(f64::INFINITY),
        255 => Ok(f64::NEG_INFINITY),
        len => {
            let text = source.take(len.into())?;
            float::parse(text).ok_or(Fault::Damaged("a score is no number").at(start))
        }
    }
}

pub(super) fn zset_ziplist(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Zset, RdbError> {
    zset_packed(source, "Zset ziplist", Packed::Ziplist, forms)
}

pub(super) fn zset_listpack(source: &mut Source<'_>, forms: Forms<'_>) -> Result<Zset, RdbError> {
    zset_packed(source, "Zset listpack", Packed::Listpack, forms)
}

fn zset_packed(
    source: &mut Source<'_>,
    name: &'static str,
    form: Packed,
    forms: Forms<'_>,
) -> Result<Zset, RdbError> {
    let mut zset = Zset::default();
    packed(source, name, form, |items| {
        while let Some(member) = items.next() {
            let score = match items.next().ok_or(Fault::Damaged("a member has no score"))?? {
                Value::Integer(number) => Some(number as f64),
                Value::Bytes(text) => float::parse(text),
            };
            let score = score.ok_or(Fault::Damaged("a score is no number"))?;
            member?.with(|member| put(&mut zset, member, score, forms))?;
        }
        Ok(())
    })?;
    filled(source, zset)
}

/// The text of a value, borrowed where it is one.
pub(super) fn text(value: Value<'_>) -> Cow<'_, [u8]> {
    match value {
        Value::Integer(number) => Cow::Owned(number.to_string().into_bytes()),
        Value::Bytes(bytes) => Cow::Borrowed(bytes),
    }
}
