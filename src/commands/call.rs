//! One call: the command and its arguments as ranges of the input, and a cursor over them.
//!
//! Nothing is copied: arguments stay where the network put them. Arity was checked before a handler
//! sees a call, so a position inside the declared arity is always there.

use crate::base::hash::Hasher;
use crate::base::integer;
use crate::base::millis::Millis;
use crate::commands::command::Command;
use crate::commands::error::CommandError;
use crate::keyspace::key::{Key, KeyAt};
use crate::resp::Span;
use crate::route::Map;
use crate::settings::Settings;

/// A command with its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// What is called.
    pub command: &'static Command,
    /// The bytes that the spans point into.
    pub input: &'a [u8],
    /// The arguments, the name first.
    pub spans: &'a [Span],
    /// The whole frame, as it can be journaled.
    pub raw: &'a [u8],
    /// The time of the batch.
    pub now: Millis,
    /// How keys are hashed.
    pub hasher: &'a Hasher,
    /// The settings in force.
    pub settings: &'a Settings,
    /// The map in force.
    pub map: &'a Map,
    /// Its keys, by position: those that its declaration tells.
    pub keys: &'a [KeyAt],
}

impl<'a> Call<'a> {
    /// Number of words, the name included.
    #[expect(clippy::len_without_is_empty, reason = "a call has at least its name")]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// The argument at `index`; the name is 0. Empty where there is none.
    #[inline]
    pub fn arg(&self, index: usize) -> &'a [u8] {
        self.spans.get(index).map_or(&[][..], |span| span.of(self.input))
    }

    /// All arguments from `index` on.
    pub fn args_from(
        &self,
        index: usize,
    ) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone + use<'a> {
        let input = self.input;
        self.spans.get(index..).unwrap_or(&[]).iter().map(move |span| span.of(input))
    }

    /// The key at argument `index`, with its slot and hash.
    #[inline]
    pub fn key(&self, index: usize) -> Key<'a> {
        let name = self.arg(index);
        let known = match self.keys {
            [one] => Some(one).filter(|one| one.position as usize == index),
            keys => find(keys, index),
        };
        known.map_or_else(
            || Key::new(name, self.hasher),
            |KeyAt { slot, hash, .. }| Key { name, slot: *slot, hash: *hash },
        )
    }

    /// Its keys, as its declaration tells them, by position.
    pub fn declared_keys(&self) -> impl ExactSizeIterator<Item = Key<'a>> + use<'a> {
        let call = *self;
        self.keys.iter().map(move |key| call.key(key.position as usize))
    }

    /// A cursor over the arguments from `index` on.
    pub fn options(&self, index: usize) -> Options<'a> {
        Options { call: *self, at: index }
    }

    /// The argument at `index` as a whole number.
    ///
    /// # Errors
    /// [`CommandError::NotAnInteger`].
    pub fn integer(&self, index: usize) -> Result<i64, CommandError> {
        integer::parse(self.arg(index)).ok_or(CommandError::NotAnInteger)
    }

    /// The argument at `index` as a number of things, from 0 on.
    ///
    /// # Errors
    /// [`CommandError::NotPositive`].
    pub fn count(&self, index: usize) -> Result<usize, CommandError> {
        let count = integer::parse(self.arg(index)).and_then(|count| usize::try_from(count).ok());
        count.ok_or(CommandError::NotPositive)
    }

    /// True when the argument at `index` is `word`, in any case.
    pub fn is(&self, index: usize, word: &str) -> bool {
        self.arg(index).eq_ignore_ascii_case(word.as_bytes())
    }
}

/// The key at argument `index`, where that is one of `keys`. They mostly have one distance, so that
/// the first two tell where another one is.
fn find(keys: &[KeyAt], index: usize) -> Option<&KeyAt> {
    let position = |key: &KeyAt| key.position as usize;
    let [first, second, ..] = keys else { return None };
    let step = position(second) - position(first);
    let guess = index.checked_sub(position(first))?.checked_div(step)?;
    keys.get(guess).filter(|key| position(key) == index).or_else(|| {
        let found = keys.binary_search_by_key(&index, position);
        found.ok().map(|found| &keys[found])
    })
}

/// A whole number from 1 on, or the error in its place.
pub(crate) fn positive(text: &[u8], error: &'static str) -> Result<usize, CommandError> {
    let number = integer::parse(text).and_then(|number| usize::try_from(number).ok());
    number.filter(|number| *number > 0).ok_or(CommandError::Text(error))
}

/// A cursor over options.
pub struct Options<'a> {
    call: Call<'a>,
    at: usize,
}

impl<'a> Options<'a> {
    /// The next word, if there is one.
    pub fn take(&mut self) -> Option<&'a [u8]> {
        let word = self.call.spans.get(self.at)?.of(self.call.input);
        self.at += 1;
        Some(word)
    }

    /// Takes the next word when it is `word`, in any case.
    pub fn take_word(&mut self, word: &str) -> bool {
        let found = self.at < self.call.len() && self.call.is(self.at, word);
        if found {
            self.at += 1;
        }
        found
    }

    /// The value that has to follow an option.
    ///
    /// # Errors
    /// [`CommandError::Syntax`] when nothing follows.
    pub fn value(&mut self) -> Result<&'a [u8], CommandError> {
        self.take().ok_or(CommandError::Syntax)
    }

    /// The whole number that has to follow an option.
    ///
    /// # Errors
    /// [`CommandError::Syntax`] or [`CommandError::NotAnInteger`].
    pub fn integer(&mut self) -> Result<i64, CommandError> {
        integer::parse(self.value()?).ok_or(CommandError::NotAnInteger)
    }

    /// Words that are left.
    pub fn left(&self) -> usize {
        self.call.len().saturating_sub(self.at)
    }

    /// Index of the next word in the call.
    pub fn position(&self) -> usize {
        self.at
    }
}
