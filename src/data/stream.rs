//! Streams: entries of fields and values, in the order of their ids, and groups of consumers.

use crate::data::Collection;

/// A stream.
#[derive(Clone, Debug, Default)]
pub struct Stream {
    len: usize,
}

impl Collection for Stream {
    fn len(&self) -> usize {
        self.len
    }

    fn vanishes(&self) -> bool {
        false
    }

    fn encoding(&self) -> &'static str {
        "stream"
    }

    fn memory(&self) -> usize {
        size_of::<Stream>()
    }

    fn drop_some(&mut self) -> bool {
        false
    }
}
