//! One key with its value in one allocation behind one thin pointer, which carries a part of the
//! key's hash, so that a table that grows need not look at the key.
//!
//! Why: a safe `Box<[u8]>` is two words in the table and cannot hold the deadline beside the value;
//! the thin form saves 18 bytes a key (16-byte keys, 8-byte values, 1M keys).
//!
//! What the allocation holds, and where, [`Shape`] says; its fields are not aligned and are read as
//! bytes.
//!
//! Invariant: the size of the allocation is [`Shape::size`] of what its first bytes say.

#![allow(unsafe_code)]

use std::alloc::{alloc, dealloc, handle_alloc_error};
use std::fmt;
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

use crate::base::millis::Millis;
use crate::base::prefetch::{LINE, prefetch};
use crate::data::NEVER;
use crate::data::marked::Marked;
use crate::data::table::Member;
use crate::data::value::Value;
use crate::keyspace::object::{Object, View};
use crate::keyspace::shape::{
    BLESSED, DEADLINE, KIND, Kind, LONG_BYTES, LONG_KEY, POINTER_BYTES, RAW, SHORT_KEY_MAX, Shape,
    TIMED,
};

/// Longest string kept beside its key, in bytes.
pub const INLINE_MAX: usize = 192;

/// A value to be stored.
#[derive(Debug)]
pub enum NewValue<'a> {
    /// A string that is a whole number in its shortest form.
    Integer(i64),
    /// Any other string, copied.
    Bytes(&'a [u8]),
    /// A string that was built or grown in place; it keeps its spare room.
    Built(Vec<u8>),
    /// Any other type.
    Object(Object),
}

/// The shape of an allocation for these.
fn shape_of(key: &[u8], value: &NewValue<'_>, deadline: Option<Millis>) -> Shape {
    let (kind, value_len, raw) = match value {
        NewValue::Integer(_) => (Kind::Integer, size_of::<i64>(), false),
        NewValue::Bytes(bytes) if bytes.len() <= INLINE_MAX => (Kind::Inline, bytes.len(), false),
        NewValue::Bytes(_) => (Kind::Long, LONG_BYTES, false),
        NewValue::Built(bytes) if bytes.len() <= INLINE_MAX => (Kind::Inline, bytes.len(), true),
        NewValue::Built(_) => (Kind::Long, LONG_BYTES, true),
        NewValue::Object(_) => (Kind::Object, POINTER_BYTES, false),
    };
    let mut head = kind as u8;
    for (flag, is_set) in
        [(RAW, raw), (LONG_KEY, key.len() > SHORT_KEY_MAX), (DEADLINE, deadline.is_some())]
    {
        head |= if is_set { flag } else { 0 };
    }
    Shape { head, key_len: key.len(), value_len }
}

/// A key with its value, deadline and access clock.
pub struct Entry {
    start: Marked,
    owns: PhantomData<(Box<[u8]>, Vec<u8>, Object)>,
}

// SAFETY: an entry owns its allocation alone, like a `Box`, and holds nothing bound to a thread.
unsafe impl Send for Entry {}

impl Entry {
    /// Stores `key` with `value`. `access` is a clock of 24 bits.
    pub fn new(key: &[u8], value: NewValue<'_>, deadline: Option<Millis>, access: u32) -> Entry {
        let shape = shape_of(key, &value, deadline);
        // SAFETY: the size is at least one grain, so not zero.
        let start = unsafe { alloc(shape.layout()) };
        let Some(start) = NonNull::new(start) else { handle_alloc_error(shape.layout()) };
        let mut entry = Entry { start: Marked::new(start), owns: PhantomData };
        // SAFETY: the allocation has room for all parts of `shape`, and nothing else points to it.
        unsafe {
            entry.put(0, &[shape.head]);
            if shape.has(LONG_KEY) {
                entry.put(4, &(shape.key_len as u32).to_ne_bytes());
            } else {
                entry.put(4, &[shape.key_len as u8]);
            }
            entry.put(shape.value_len_at(), &[shape.value_len as u8]);
            if let Some(deadline) = deadline {
                entry.put(shape.deadline_at(), &deadline.0.to_ne_bytes());
            }
            entry.put(shape.key_at(), key);
            entry.put_value(shape, value);
        }
        entry.set_access(access);
        entry
    }

    /// The key.
    #[inline]
    pub fn key(&self) -> &[u8] {
        let shape = self.shape();
        // SAFETY: the key's bytes lie inside the allocation and were written by `new`.
        unsafe { self.bytes(shape.key_at(), shape.key_len) }
    }

    /// The string, where the value is one.
    #[inline]
    pub fn string(&self) -> Option<Value<'_>> {
        let shape = self.shape();
        Some(match shape.head & KIND {
            // SAFETY: an integer's eight bytes stand at the value's place.
            k if k == Kind::Integer as u8 => {
                Value::Integer(i64::from_ne_bytes(unsafe { self.array(shape.value_at()) }))
            }
            // SAFETY: an inline value's bytes lie inside the allocation and were written.
            k if k == Kind::Inline as u8 => {
                Value::Bytes(unsafe { self.bytes(shape.value_at(), shape.value_len) })
            }
            k if k == Kind::Long as u8 => {
                // SAFETY: a `Vec` was written at the value's place; the parts of it that are read
                // are borrowed from `self`, which owns it and is not changed meanwhile.
                let long = unsafe { self.long_ref(shape) };
                Value::Bytes(long)
            }
            _ => return None,
        })
    }

    /// The collection, where the value is one.
    #[inline]
    pub fn object(&self) -> Option<View<'_>> {
        let shape = self.shape();
        // SAFETY: tag and pointer of an object stand there; it stays the entry's, which is
        // borrowed for as long as it is viewed.
        shape.is_object().then(|| unsafe { View::new(self.tag(shape), self.pointer(shape)) })
    }

    /// The name of the value's type, as TYPE gives it.
    #[inline]
    pub fn type_name(&self) -> &'static str {
        self.object().map_or("string", |object| object.type_name())
    }

    /// Changes the collection, where the value is one.
    ///
    /// The caller files the entry anew where [`Member::next_deadline`] changed.
    pub fn edit_object<R>(&mut self, change: impl FnOnce(&mut Object) -> R) -> Option<R> {
        let object = ManuallyDrop::new(self.copy_of_object()?);
        // Whether `change` returns or panics, the entry gets the object back.
        let mut lent = Lent { entry: self, object };
        Some(change(&mut lent.object))
    }

    /// Takes the collection out, where the value is one; the number 0 is left in its place.
    pub fn take_object(&mut self) -> Option<Object> {
        let object = self.copy_of_object()?;
        let shape = self.shape();
        let head = shape.head & !(KIND | TIMED) | Kind::Integer as u8;
        // SAFETY: an integer is as long as a pointer, so no part of the allocation moves.
        unsafe {
            self.put(0, &[head]);
            // In the place of the tag, or the size of the allocation would be told wrong.
            self.put(shape.value_len_at(), &[POINTER_BYTES as u8]);
            self.put(shape.value_at(), &[0; POINTER_BYTES]);
        }
        Some(object)
    }

    /// The object itself: from now on, the entry and the caller both have it.
    fn copy_of_object(&mut self) -> Option<Object> {
        let shape = self.shape();
        // SAFETY: tag and pointer of an object stand there. The callers see to it that only one of
        // the two is used and dropped.
        shape.is_object().then(|| unsafe { Object::from_raw(self.tag(shape), self.pointer(shape)) })
    }

    /// Asks for what the value has outside of the entry, where it is a collection.
    #[inline]
    pub(super) fn prefetch_object(&self) {
        let shape = self.shape();
        if shape.is_object() {
            // SAFETY: the pointer of an object stands there.
            prefetch(unsafe { self.pointer(shape) }.as_ptr());
        }
    }

    /// True for a string that was built or grown in place: its encoding is `raw` at any length.
    pub fn is_raw(&self) -> bool {
        self.shape().has(RAW)
    }

    /// Unix time in milliseconds at which the key expires.
    #[inline]
    pub fn deadline(&self) -> Option<Millis> {
        let shape = self.shape();
        // SAFETY: the flag says that eight bytes of a deadline stand there.
        let read = || i64::from_ne_bytes(unsafe { self.array(shape.deadline_at()) });
        shape.has(DEADLINE).then(|| Millis(read()))
    }

    /// The access clock: 24 bits.
    #[inline]
    pub fn access(&self) -> u32 {
        // SAFETY: the clock's three bytes stand after the head in every shape.
        let [a, b, c] = unsafe { self.array(1) };
        u32::from_ne_bytes([a, b, c, 0])
    }

    /// Sets the access clock to the low 24 bits of `access`.
    #[inline]
    pub fn set_access(&mut self, access: u32) {
        let [a, b, c, _] = access.to_ne_bytes();
        // SAFETY: the clock's three bytes stand after the head in every shape.
        unsafe { self.put(1, &[a, b, c]) };
    }

    /// Replaces value and deadline; in place where the new ones take as much room as the old.
    pub fn replace(&mut self, value: NewValue<'_>, deadline: Option<Millis>) {
        let old = self.shape();
        let mut new = shape_of(self.key(), &value, deadline);
        new.head |= old.head & BLESSED;
        let is_moved = old.size() != new.size() || old.key_at() != new.key_at();
        if let NewValue::Bytes(bytes) = value
            && !is_moved
            && old.is_long()
            && new.is_long()
        {
            return self.replace_long(new, bytes, deadline);
        }
        if is_moved || old.is_long() || old.is_object() {
            self.take_place(Entry::new(self.key(), value, deadline, self.access()));
            return;
        }
        // SAFETY: the sizes are equal and the key stands at the same place; the old value owns no
        // memory, so nothing is leaked by overwriting it.
        unsafe {
            self.put(0, &[new.head]);
            self.put(new.value_len_at(), &[new.value_len as u8]);
            if let Some(deadline) = deadline {
                self.put(new.deadline_at(), &deadline.0.to_ne_bytes());
            }
            self.put_value(new, value);
        }
    }

    /// Replaces a long string by another, in its room where that is filled well enough: one that is
    /// freed and one that is allocated are pages that go to the kernel and come back.
    fn replace_long(&mut self, new: Shape, bytes: &[u8], deadline: Option<Millis>) {
        let mut long = self.take_bytes();
        let fits = long.capacity() / 8 * 7..=long.capacity();
        if fits.contains(&bytes.len()) {
            long.clear();
            long.extend_from_slice(bytes);
        } else {
            long = bytes.to_vec();
        }
        // SAFETY: the entry has this shape but for its flags, and in the value's place stands the
        // empty `Vec` that `take_bytes` left, which owns nothing.
        unsafe {
            self.put(0, &[new.head]);
            if let Some(deadline) = deadline {
                self.put(new.deadline_at(), &deadline.0.to_ne_bytes());
            }
            self.put_long(new.value_at(), long);
        }
    }

    /// Sets or takes away the deadline; the value stays.
    pub fn set_deadline(&mut self, deadline: Option<Millis>) {
        let shape = self.shape();
        if let (Some(deadline), true) = (deadline, shape.has(DEADLINE)) {
            // SAFETY: the flag says that there is room for a deadline.
            unsafe { self.put(shape.deadline_at(), &deadline.0.to_ne_bytes()) };
        } else if deadline.is_some() || shape.has(DEADLINE) {
            let mut moved = Entry::new(self.key(), NewValue::Integer(0), deadline, self.access());
            moved.take_value_of(self);
            self.take_place(moved);
        }
    }

    /// Another allocation of the same key takes the place of this one.
    fn take_place(&mut self, mut moved: Entry) {
        if let Some(mark) = self.start.mark() {
            moved.start.set_mark(mark);
        }
        moved.bless(self.is_blessed());
        *self = moved;
    }

    /// True when the key never goes to make room for others.
    #[inline]
    pub fn is_blessed(&self) -> bool {
        self.shape().has(BLESSED)
    }

    /// Sets whether that is so.
    pub fn bless(&mut self, is_blessed: bool) {
        self.set_flag(BLESSED, is_blessed);
    }

    /// Changes a string in place; what `change` leaves is the new value, with encoding `raw`.
    ///
    /// # Panics
    /// When the value is no string.
    pub fn edit<R>(&mut self, change: impl FnOnce(&mut Vec<u8>) -> R) -> R {
        let mut bytes = self.take_bytes();
        let result = change(&mut bytes);
        let shape = self.shape();
        if shape.is_long() && bytes.len() > INLINE_MAX {
            // SAFETY: the entry keeps its shape, and in the value's place stands the empty `Vec`
            // that `take_bytes` left, which owns nothing.
            unsafe { self.put_long(shape.value_at(), bytes) };
            self.mark_raw(true);
        } else {
            self.replace(NewValue::Built(bytes), self.deadline());
        }
        result
    }

    /// The value with all that stands beside it under another name; nothing long is copied.
    pub fn renamed(mut self, name: &[u8]) -> Entry {
        let mut moved = Entry::new(name, NewValue::Integer(0), self.deadline(), self.access());
        moved.take_value_of(&mut self);
        moved.bless(self.is_blessed());
        moved
    }

    /// A copy under another name, with all that stands beside the value.
    pub fn copied(&self, name: &[u8]) -> Entry {
        let value = match (self.string(), self.object()) {
            (Some(Value::Integer(number)), _) => NewValue::Integer(number),
            (Some(Value::Bytes(bytes)), _) if self.is_raw() => NewValue::Built(bytes.to_vec()),
            (Some(Value::Bytes(bytes)), _) => NewValue::Bytes(bytes),
            (None, Some(object)) => NewValue::Object(object.clone()),
            (None, None) => unreachable!("a value is a string or an object"),
        };
        let mut copy = Entry::new(name, value, self.deadline(), self.access());
        copy.bless(self.is_blessed());
        copy
    }

    /// The earliest deadline of an element, [`NEVER`] where none has one.
    pub fn next_element_deadline(&self) -> Millis {
        self.object().map_or(NEVER, |object| object.collection().next_deadline())
    }

    /// True when the key has expired at `now`: for everybody but the journal it is not there.
    #[inline]
    pub fn is_expired(&self, now: Millis) -> bool {
        self.deadline().is_some_and(|deadline| deadline <= now)
    }

    /// Bytes that the entry takes from the allocator, the table's pointer not counted.
    pub fn memory(&self) -> usize {
        let shape = self.shape();
        let outside = if shape.is_long() {
            // SAFETY: as in `value`; the capacity is read only.
            unsafe { self.with_long(shape, |long| long.capacity()) }
        } else {
            self.object().map_or(0, |object| object.collection().memory())
        };
        shape.size() + outside
    }

    /// The value as owned bytes; the entry is left with an empty string where it gave up a `Vec`.
    fn take_bytes(&mut self) -> Vec<u8> {
        let shape = self.shape();
        if !shape.is_long() {
            return self.string().expect("the value is a string").to_vec();
        }
        // SAFETY: a `Vec` stands at the value's place; it is read out once, and an empty one, which
        // owns nothing, is put in its place.
        unsafe {
            let place = self.start.pointer().add(shape.value_at()).cast::<Vec<u8>>();
            let long = place.read_unaligned();
            place.write_unaligned(Vec::new());
            long
        }
    }

    /// Moves the value of `other` here; `other` keeps a value that owns nothing.
    fn take_value_of(&mut self, other: &mut Entry) {
        let raw = other.is_raw();
        let deadline = self.deadline();
        if let Some(object) = other.take_object() {
            self.replace(NewValue::Object(object), deadline);
            return;
        }
        match other.string().expect("what is no object is a string") {
            Value::Integer(number) => self.replace(NewValue::Integer(number), deadline),
            Value::Bytes(_) if raw || other.shape().is_long() => {
                self.replace(NewValue::Built(other.take_bytes()), deadline);
                self.mark_raw(raw);
            }
            Value::Bytes(bytes) => self.replace(NewValue::Bytes(bytes), deadline),
        }
    }

    fn mark_raw(&mut self, raw: bool) {
        self.set_flag(RAW, raw);
    }

    /// Sets a flag that decides no place.
    fn set_flag(&mut self, flag: u8, is_set: bool) {
        debug_assert!(flag == RAW || flag == BLESSED);
        let head = self.shape().head & !flag | if is_set { flag } else { 0 };
        // SAFETY: these flags move no part of the allocation.
        unsafe { self.put(0, &[head]) };
    }

    #[inline]
    fn shape(&self) -> Shape {
        // SAFETY: head and lengths stand at these places in every allocation.
        unsafe {
            let [head] = self.array(0);
            let key_len = if head & LONG_KEY != 0 {
                u32::from_ne_bytes(self.array(4)) as usize
            } else {
                usize::from(self.array::<1>(4)[0])
            };
            let shape = Shape { head, key_len, value_len: 0 };
            let [value_len] = self.array(shape.value_len_at());
            let value_len = if shape.is_object() { POINTER_BYTES } else { usize::from(value_len) };
            Shape { value_len, ..shape }
        }
    }

    /// # Safety
    /// `at..at + len` lies inside the allocation and was written.
    #[inline]
    unsafe fn bytes(&self, at: usize, len: usize) -> &[u8] {
        // SAFETY: by the contract; the bytes are borrowed from `self`.
        unsafe { std::slice::from_raw_parts(self.start.pointer().add(at), len) }
    }

    /// # Safety
    /// `at..at + N` lies inside the allocation and was written.
    #[inline]
    unsafe fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        // SAFETY: by the contract; `[u8; N]` has no alignment.
        unsafe { self.start.pointer().add(at).cast::<[u8; N]>().read() }
    }

    /// # Safety
    /// `at..at + bytes.len()` lies inside the allocation; `bytes` does not.
    #[inline]
    unsafe fn put(&mut self, at: usize, bytes: &[u8]) {
        // SAFETY: by the contract.
        unsafe {
            self.start.pointer().add(at).copy_from_nonoverlapping(bytes.as_ptr(), bytes.len())
        };
    }

    /// # Safety
    /// The allocation has `shape`, and its value's place holds nothing that owns memory.
    unsafe fn put_value(&mut self, shape: Shape, value: NewValue<'_>) {
        let at = shape.value_at();
        // SAFETY: by the contract there is room of `shape.value_len` bytes at `at`.
        unsafe {
            match value {
                NewValue::Integer(number) => self.put(at, &number.to_ne_bytes()),
                NewValue::Bytes(bytes) if bytes.len() <= INLINE_MAX => self.put(at, bytes),
                NewValue::Bytes(bytes) => self.put_long(at, bytes.to_vec()),
                NewValue::Built(bytes) if bytes.len() <= INLINE_MAX => self.put(at, &bytes),
                NewValue::Built(bytes) => self.put_long(at, bytes),
                NewValue::Object(object) => self.put_object(object),
            }
        }
    }

    /// # Safety
    /// The entry is of the kind `Object`, and its value's place holds nothing that owns memory.
    unsafe fn put_object(&mut self, object: Object) {
        let shape = self.shape();
        let timed = if object.collection().next_deadline() == NEVER { 0 } else { TIMED };
        let (tag, start) = object.into_raw();
        // SAFETY: by the contract; the flag `TIMED` moves no part of the allocation.
        unsafe {
            self.put(0, &[shape.head & !TIMED | timed]);
            self.put(shape.value_len_at(), &[tag]);
            let place = self.start.pointer().add(shape.value_at()).cast::<NonNull<u8>>();
            place.write_unaligned(start);
        }
    }

    /// # Safety
    /// The entry has `shape`, of the kind `Object`.
    unsafe fn tag(&self, shape: Shape) -> u8 {
        // SAFETY: by the contract.
        unsafe { self.array::<1>(shape.value_len_at())[0] }
    }

    /// # Safety
    /// The entry has `shape`, of the kind `Object`.
    unsafe fn pointer(&self, shape: Shape) -> NonNull<u8> {
        // SAFETY: by the contract.
        unsafe { self.start.pointer().add(shape.value_at()).cast::<NonNull<u8>>().read_unaligned() }
    }

    /// # Safety
    /// There is room for the parts of a `Vec` at `at`, and nothing there that owns memory.
    unsafe fn put_long(&mut self, at: usize, long: Vec<u8>) {
        // SAFETY: by the contract.
        unsafe { self.start.pointer().add(at).cast::<Vec<u8>>().write_unaligned(long) };
    }

    /// # Safety
    /// The entry has `shape`, of the kind `Long`.
    unsafe fn with_long<R>(&self, shape: Shape, read: impl FnOnce(&Vec<u8>) -> R) -> R {
        // SAFETY: a `Vec` stands there, by the contract; the copy is never dropped.
        let long = ManuallyDrop::new(unsafe {
            self.start.pointer().add(shape.value_at()).cast::<Vec<u8>>().read_unaligned()
        });
        read(&long)
    }

    /// # Safety
    /// As for [`Entry::with_long`].
    unsafe fn long_ref(&self, shape: Shape) -> &[u8] {
        // SAFETY: the bytes belong to the `Vec` inside `self` and live as long as its borrow.
        unsafe {
            let (start, len) = self.with_long(shape, |long| (long.as_ptr(), long.len()));
            std::slice::from_raw_parts(start, len)
        }
    }
}

/// An object while it is changed.
struct Lent<'a> {
    entry: &'a mut Entry,
    object: ManuallyDrop<Object>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        // SAFETY: the object is taken once and not used any more; in the entry stand the tag and
        // the pointer that it came from, which own nothing now.
        unsafe {
            let object = ManuallyDrop::take(&mut self.object);
            self.entry.put_object(object);
        }
    }
}

impl Member for Entry {
    #[inline]
    fn name(&self) -> &[u8] {
        self.key()
    }

    #[inline]
    fn deadline(&self) -> Option<Millis> {
        self.deadline()
    }

    #[inline]
    fn next_deadline(&self) -> Millis {
        let deadline = self.deadline().unwrap_or(NEVER);
        if self.shape().has(TIMED) { deadline.min(self.next_element_deadline()) } else { deadline }
    }

    #[inline]
    fn is_timed(&self) -> bool {
        self.shape().has(TIMED) && self.object().is_some_and(|it| it.collection().is_timed())
    }

    #[inline]
    fn is_blessed(&self) -> bool {
        self.is_blessed()
    }

    #[inline]
    fn mark(&self) -> Option<u64> {
        self.start.mark()
    }

    #[inline]
    fn set_mark(&mut self, mark: u64) {
        self.start.set_mark(mark);
    }

    /// The first two lines: nearly all entries have no more.
    #[inline]
    fn prefetch(&self) {
        let start = self.start.pointer();
        prefetch(start);
        prefetch(start.wrapping_add(LINE));
    }

    fn drop_some(&mut self) -> bool {
        self.edit_object(|object| object.collection_mut().drop_some()).unwrap_or(false)
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        drop(self.take_object());
        let shape = self.shape();
        if shape.is_long() {
            // SAFETY: the `Vec` is read out once, for its last time, and dropped.
            drop(unsafe {
                self.start.pointer().add(shape.value_at()).cast::<Vec<u8>>().read_unaligned()
            });
        }
        // SAFETY: allocated by `new` with the layout of this shape; `replace` keeps the size.
        unsafe { dealloc(self.start.pointer(), shape.layout()) };
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("key", &self.key().escape_ascii().to_string())
            .field("string", &self.string())
            .field("object", &self.object())
            .field("deadline", &self.deadline())
            .field("is_blessed", &self.is_blessed())
            .finish()
    }
}

#[cfg(test)]
mod tests;
