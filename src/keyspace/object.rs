//! A collection as an entry keeps it: one pointer, and a tag that says what it points to.
//!
//! Why `unsafe`: an enum over boxes is two words, and the second, nearly empty, costs 8 to 16 bytes
//! a key. Invariant: tag and pointer come from [`Object::into_raw`] and are turned back once, by
//! [`Object::from_raw`] with the same tag.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::base::millis::Millis;
use crate::data::Collection;
use crate::data::blob::Blob;
use crate::data::hash::Hash;
use crate::data::list::List;
use crate::data::own::Own;
use crate::data::pack::Pack;
use crate::data::set::{Ints, Set};
use crate::data::stream::Stream;
use crate::data::zset::Zset;
use crate::keyspace::listener::Event;

/// The value of a key that is no string.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Object {
    List(List),
    Hash(Hash),
    Set(Set),
    Zset(Zset),
    Stream(Own<Stream>),
}

const LIST_PACKED: u8 = 0;
const LIST_LINKED: u8 = 1;
const HASH_PACKED: u8 = 10;
const HASH_LARGE: u8 = 11;
const SET_PACKED: u8 = 20;
const SET_INTS: u8 = 21;
const SET_LARGE: u8 = 22;
const ZSET_PACKED: u8 = 30;
const ZSET_LARGE: u8 = 31;
const STREAM: u8 = 40;

impl Object {
    /// As TYPE names it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Object::List(_) => "list",
            Object::Hash(_) => "hash",
            Object::Set(_) => "set",
            Object::Zset(_) => "zset",
            Object::Stream(_) => "stream",
        }
    }

    /// The command that takes elements out, as the journal says it of those that expired.
    pub fn removal(&self) -> &'static [u8] {
        match self {
            Object::List(_) => b"LREM",
            Object::Hash(_) => b"HDEL",
            Object::Set(_) => b"SREM",
            Object::Zset(_) => b"ZREM",
            Object::Stream(_) => b"XDEL",
        }
    }

    /// What happens to a key of which elements have expired.
    pub fn expired_event(&self) -> Event {
        match self {
            Object::List(_) | Object::Stream(_) => Event::SILENT,
            Object::Hash(_) => Event::HEXPIRED.by_time(),
            Object::Set(_) => Event::SEXPIRED.by_time(),
            Object::Zset(_) => Event::ZEXPIRED.by_time(),
        }
    }

    /// What every type can do.
    pub fn collection(&self) -> &dyn Collection {
        match self {
            Object::List(list) => list,
            Object::Hash(hash) => hash,
            Object::Set(set) => set,
            Object::Zset(zset) => zset,
            Object::Stream(stream) => &**stream,
        }
    }

    /// As [`Object::collection`], to change it.
    pub fn collection_mut(&mut self) -> &mut dyn Collection {
        match self {
            Object::List(list) => list,
            Object::Hash(hash) => hash,
            Object::Set(set) => set,
            Object::Zset(zset) => zset,
            Object::Stream(stream) => &mut **stream,
        }
    }

    /// Tag and pointer, to be given to [`Object::from_raw`] once. The pointer leads to one byte at
    /// least: of a blob, which has a header, or of a box, which is not of a type without size.
    pub(super) fn into_raw(self) -> (u8, NonNull<u8>) {
        match self {
            Object::List(List::Packed(pack)) => (LIST_PACKED, pack.into_blob().into_raw()),
            Object::List(List::Linked(linked)) => (LIST_LINKED, linked.into_raw()),
            Object::Hash(Hash::Packed(pack)) => (HASH_PACKED, pack.into_blob().into_raw()),
            Object::Hash(Hash::Large(fields)) => (HASH_LARGE, fields.into_raw()),
            Object::Set(Set::Packed(pack)) => (SET_PACKED, pack.into_blob().into_raw()),
            Object::Set(Set::Ints(ints)) => (SET_INTS, ints.into_blob().into_raw()),
            Object::Set(Set::Large(large)) => (SET_LARGE, large.into_raw()),
            Object::Zset(Zset::Packed(pack)) => (ZSET_PACKED, pack.into_blob().into_raw()),
            Object::Zset(Zset::Large(large)) => (ZSET_LARGE, large.into_raw()),
            Object::Stream(stream) => (STREAM, stream.into_raw()),
        }
    }

    /// The object again.
    ///
    /// # Safety
    /// Tag and pointer come from one [`Object::into_raw`], and what this gives is dropped once.
    pub(super) unsafe fn from_raw(tag: u8, start: NonNull<u8>) -> Object {
        // SAFETY: by the contract, the pointer is what `into_raw` made of the type of the tag.
        unsafe {
            let pack = || Pack::from_blob(Blob::from_raw(start));
            match tag {
                LIST_PACKED => Object::List(List::Packed(pack())),
                LIST_LINKED => Object::List(List::Linked(Own::from_raw(start))),
                HASH_PACKED => Object::Hash(Hash::Packed(pack())),
                HASH_LARGE => Object::Hash(Hash::Large(Own::from_raw(start))),
                SET_PACKED => Object::Set(Set::Packed(pack())),
                SET_INTS => Object::Set(Set::Ints(Ints::from_blob(Blob::from_raw(start)))),
                SET_LARGE => Object::Set(Set::Large(Own::from_raw(start))),
                ZSET_PACKED => Object::Zset(Zset::Packed(pack())),
                ZSET_LARGE => Object::Zset(Zset::Large(Own::from_raw(start))),
                STREAM => Object::Stream(Own::from_raw(start)),
                _ => unreachable!("no object has the tag {tag}"),
            }
        }
    }
}

/// A type of collection.
pub trait Typed: Collection + Default {
    /// The collection in an object of this type.
    fn of(object: &Object) -> Option<&Self>;
    /// As [`Typed::of`], to change it.
    fn of_mut(object: &mut Object) -> Option<&mut Self>;
    /// As an object.
    fn into_object(self) -> Object;
}

macro_rules! typed {
    ($type:ident, $inner:ident => $made:expr) => {
        impl Typed for $type {
            fn of(object: &Object) -> Option<&$type> {
                if let Object::$type(value) = object { Some(value) } else { None }
            }

            fn of_mut(object: &mut Object) -> Option<&mut $type> {
                if let Object::$type(value) = object { Some(value) } else { None }
            }

            fn into_object(self) -> Object {
                let $inner = self;
                Object::$type($made)
            }
        }
    };
}

typed!(List, list => list);
typed!(Hash, hash => hash);
typed!(Set, set => set);
typed!(Zset, zset => zset);
typed!(Stream, stream => Own::new(stream));

/// An object as it is read, behind the tag and pointer of its entry.
#[derive(Debug)]
pub struct View<'a> {
    object: ManuallyDrop<Object>,
    entry: PhantomData<&'a Object>,
}

impl View<'_> {
    /// # Safety
    /// As for [`Object::from_raw`], but what is viewed stays the entry's, which is borrowed.
    pub(super) unsafe fn new(tag: u8, start: NonNull<u8>) -> Self {
        // SAFETY: by the contract; the view never drops it.
        let object = ManuallyDrop::new(unsafe { Object::from_raw(tag, start) });
        View { object, entry: PhantomData }
    }
}

impl Deref for View<'_> {
    type Target = Object;

    fn deref(&self) -> &Object {
        &self.object
    }
}

/// A collection of one type, as it is read. Where expired elements are hidden, that is done by its
/// own methods, in `hidden.rs`; what it derefs to has them all.
#[derive(Debug)]
pub struct Ref<'a, T> {
    view: View<'a>,
    kind: PhantomData<T>,
    /// What has expired by then is hidden; nothing where there is nothing to hide.
    pub(super) hidden_at: Option<Millis>,
}

impl<'a, T: Typed> Ref<'a, T> {
    /// The collection in `view`, where it has this type; elements that have expired at `hidden_at`
    /// are hidden.
    pub(super) fn of(view: View<'a>, hidden_at: Option<Millis>) -> Option<Ref<'a, T>> {
        let value = T::of(&view)?;
        let hidden_at = hidden_at.filter(|now| value.next_deadline() <= *now);
        Some(Ref { view, kind: PhantomData, hidden_at })
    }

    /// The collection with what is hidden.
    pub(super) fn whole(&self) -> &T {
        self
    }
}

impl<T: Typed> Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        T::of(&self.view).expect("the type was looked at")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::base::hash::Hasher;
    use crate::data::list::{End, Limits};
    use crate::data::{hash, set, zset};
    use crate::keyspace::entry::{Entry, NewValue};

    /// One of each form, with `count` elements; few make it packed.
    pub(in crate::keyspace) fn of_each_form(count: usize) -> Vec<Object> {
        let hasher = Hasher::with_seeds([1, 2, 3, 4]);
        let (mut list, mut hash, mut zset) = (List::default(), Hash::default(), Zset::default());
        let (mut set, mut ints) = (Set::default(), Set::default());
        let rules = set::Rules { ints: 64, entries: 8, value_bytes: 64, hasher: &hasher };
        for number in 0..count {
            let name = format!("element:{number}").into_bytes();
            list.make_room(name.len(), 1, Limits::of(8));
            list.push(End::Back, &name, Limits::of(8));
            hash.set(&name, b"v", None, hash::Limits { entries: 8, value_bytes: 64 }, &hasher);
            zset.put(&name, 1.5, zset::Limits { entries: 8, value_bytes: 64 }, &hasher);
            set.add(&name, rules);
            ints.add(number.to_string().as_bytes(), rules);
        }
        let stream = Object::Stream(Own::default());
        vec![list.into_object(), hash.into_object(), zset.into_object(), set.into_object()]
            .into_iter()
            .chain([ints.into_object(), stream])
            .collect()
    }

    #[test]
    fn an_object_is_viewed_several_times_at_once() {
        for object in of_each_form(3).into_iter().chain(of_each_form(100)) {
            let entry = Entry::new(b"k", NewValue::Object(object), None, 0);
            let views = [entry.object().expect("it is one"), entry.object().expect("it is one")];
            let len = |view: &View<'_>| view.collection().len();
            let lens = [len(&views[0]), len(&views[1]), len(&views[0])];
            assert!(lens.iter().all(|len| *len == lens[0]), "{lens:?}");
        }
    }

    #[test]
    fn every_form_is_kept_in_an_entry_and_comes_out_again() {
        for (count, encodings) in [
            (3, ["listpack", "listpack", "listpack", "listpack", "intset", "stream"]),
            (40, ["quicklist", "hashtable", "skiplist", "hashtable", "intset", "stream"]),
        ] {
            let objects = of_each_form(count);
            let found: Vec<&str> = objects.iter().map(|o| o.collection().encoding()).collect();
            assert_eq!(found, encodings);
            for object in objects {
                let (kind, len) = (object.type_name(), object.collection().len());
                let mut entry = Entry::new(b"k", NewValue::Object(object), None, 0);
                let copy = entry.copied(b"copy");
                entry.edit_object(|object| while object.collection_mut().drop_some() {});
                drop(entry);
                let view = copy.object().expect("it is a collection");
                assert_eq!((view.type_name(), view.collection().len()), (kind, len));
                let renamed = copy.renamed(b"other").take_object().expect("it is a collection");
                assert_eq!((renamed.type_name(), renamed.collection().len()), (kind, len));
            }
        }
    }
}
