//! What the journal of a replica may hold: the data set that its primary had somewhere in its
//! stream, behind whole commands and whole transactions, and under `always` not ahead of what the
//! replica had said that it has. Where it names the place in the stream, it is the data set there.

use std::rc::Rc;

use troupe::place::StreamPlace;

use crate::checks::Broken;
use crate::context::Context;
use crate::link::{hasher, load_apart};
use crate::mirror::Mirror;
use crate::model::Model;
use crate::workload::KEYS;

/// A data set of a primary, and the stream behind it.
#[derive(Clone, Debug)]
struct Epoch {
    /// The snapshot with which it began.
    snapshot: Rc<Vec<u8>>,
    /// The stream goes on with this id, from this offset on.
    id: String,
    offset: u64,
    /// The journal has all up to this offset.
    least: u64,
    /// Something of the stream was not carried out: nobody knows what the journal has.
    is_unsound: bool,
}

/// What a journal may hold: the data set that was there last, or the one before it while the
/// journal of that begins. None at all at first.
#[derive(Debug)]
pub struct Journaled(Vec<Option<Epoch>>);

impl Default for Journaled {
    fn default() -> Journaled {
        Journaled(vec![None])
    }
}

impl Journaled {
    /// Another data set comes.
    pub fn comes(&mut self, id: &str, offset: u64, snapshot: Rc<Vec<u8>>) {
        let id = id.to_owned();
        let epoch = Epoch { snapshot, id, offset, least: offset, is_unsound: false };
        self.0.push(Some(epoch));
    }

    /// It did not come.
    pub fn is_as_before(&mut self) {
        self.0.pop();
    }

    /// The journal of the data set that came last is whole.
    pub fn is_new(&mut self) {
        self.0.drain(..self.0.len().saturating_sub(1));
    }

    fn last(&mut self) -> Option<&mut Epoch> {
        self.0.last_mut().and_then(Option::as_mut)
    }

    /// The stream has this id from here on.
    pub fn is_renamed(&mut self, id: &str) {
        self.last().into_iter().for_each(|epoch| id.clone_into(&mut epoch.id));
    }

    /// All up to this offset is in the journal.
    pub fn reached(&mut self, offset: u64) {
        self.last().into_iter().for_each(|epoch| epoch.least = epoch.least.max(offset));
    }

    /// Something of the stream was not carried out.
    pub fn is_unsound(&mut self) {
        self.last().into_iter().for_each(|epoch| epoch.is_unsound = true);
    }

    /// This was read back from it, which is the data set at `place`, if that was said. Returns what
    /// the replica has to hold from there on.
    ///
    /// # Errors
    /// It is not what may be there.
    pub fn check(
        &mut self,
        found: &Model,
        place: Option<&StreamPlace>,
        context: &Context,
    ) -> Result<Option<Box<Mirror>>, Broken> {
        let mut wrong = None;
        while let Some(epoch) = self.0.last() {
            let checked = match epoch {
                None if found.entries.is_empty() && place.is_none() => Ok(None),
                None => Err("it was empty".to_owned()),
                Some(epoch) if epoch.is_unsound => Ok(None),
                Some(epoch) => epoch.check(found, place, context).map(Some),
            };
            let Err(why) = checked else { return checked };
            wrong.get_or_insert(why);
            self.0.pop();
        }
        wrong.map_or(Ok(None), |why| {
            Err(format!("the journal of a replica has what never was: {why}"))
        })
    }
}

impl Epoch {
    fn check(
        &self,
        found: &Model,
        place: Option<&StreamPlace>,
        context: &Context,
    ) -> Result<Box<Mirror>, Broken> {
        let apart = load_apart(&self.snapshot, context)?;
        let settings = context.settings.clone();
        let mut mirror = Mirror::new(settings, apart, self.offset, hasher());
        let streams = context.replicas.streams().borrow();
        let (mut differs, mut last) = (KEYS[0], String::new());
        loop {
            if place.map_or(mirror.offset >= self.least, |place| mirror.offset == place.offset) {
                // What differs mostly does so for a while.
                let mut all = [differs].into_iter().chain(KEYS);
                let other = |key: &&str| mirror.entry(key).as_ref() != found.entries.get(*key);
                let Some(key) = all.find(other) else { return Ok(Box::new(mirror)) };
                differs = key;
                last = format!("{key} is {:?}", found.entries.get(key));
            }
            if !mirror.carry_out_next(streams.from(&self.id, mirror.offset))? {
                let Epoch { offset, least, .. } = self;
                return Err(format!(
                    "{last}, from {offset} on, with {least} at least, at {place:?}"
                ));
            }
        }
    }
}
