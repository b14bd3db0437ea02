//! The stream as replicas get it: a reader of its own, with the SELECTs that its copy needs.
//!
//! What it has read is handed on in its order. Nothing stands inside brackets but what was recorded
//! in them, since shards append whole records.

use std::collections::VecDeque;
use std::mem::take;

use bytes::BytesMut;

use crate::keyspace::effect::{Mark, Purpose};
use crate::stream::{Consumer, Records, Selected};

/// Something in the stream of replication, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fed {
    /// Bytes of it.
    Bytes(BytesMut),
    /// The moment of the snapshot with this number.
    Moment(u32),
    /// A sign of life for replicas.
    Ping,
    /// This client wants to know who has all that stands before this.
    Ask(u64),
}

/// The reader.
#[derive(Debug)]
pub struct Tap {
    selected: Selected,
    fed: VecDeque<Fed>,
    bytes: BytesMut,
}

impl Default for Tap {
    fn default() -> Tap {
        let selected = Selected::of_replicas();
        Tap { selected, fed: VecDeque::new(), bytes: BytesMut::new() }
    }
}

impl Tap {
    /// Puts something in at this place of the stream.
    pub fn put(&mut self, fed: Fed) {
        self.end_bytes();
        self.fed.push_back(fed);
    }

    /// Takes what was read.
    pub fn take(&mut self) -> VecDeque<Fed> {
        self.end_bytes();
        take(&mut self.fed)
    }

    fn end_bytes(&mut self) {
        if !self.bytes.is_empty() {
            self.fed.push_back(Fed::Bytes(take(&mut self.bytes)));
        }
    }
}

impl Consumer for Tap {
    fn take_in(&mut self, records: Records<'_>, _: u64) {
        self.selected.write(records, &mut self.bytes);
    }

    /// Who begins with the snapshot knows of no database.
    fn meet_moment(&mut self, moment: Mark) {
        if moment.purpose == Purpose::FullSync {
            self.selected.forget();
            self.put(Fed::Moment(moment.snapshot));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyspace::effect::Run;
    use crate::stream::{Append, Finished};

    struct Nobody;

    impl Finished for Nobody {
        fn shows_writes(&self, _: bool) -> bool {
            false
        }
    }

    fn feed(tap: &mut Tap, bytes: &[u8], moment: Option<Mark>) {
        let runs = vec![Run::new(0, bytes.len())];
        let (shard, bytes) = (0, bytes.to_vec());
        let append =
            Append::<Nobody> { shard, runs, bytes, moment, finished: vec![], is_urgent: false };
        append.feed(&mut [tap], 0);
    }

    #[test]
    fn what_is_put_in_stands_between_what_was_read() {
        let mut tap = Tap::default();
        feed(&mut tap, b"A", None);
        tap.put(Fed::Ping);
        feed(&mut tap, b"B", None);
        let mark = |purpose| Some(Mark { at: 1, snapshot: 7, purpose });
        feed(&mut tap, b"CD", mark(Purpose::Base));
        feed(&mut tap, b"EF", mark(Purpose::FullSync));
        let select = b"*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n";
        let expected = [
            Fed::Bytes([&select[..], b"A"].concat()[..].into()),
            Fed::Ping,
            Fed::Bytes(b"BCDE"[..].into()),
            Fed::Moment(7),
            Fed::Bytes([&select[..], b"F"].concat()[..].into()),
        ];
        assert_eq!(tap.take(), expected);
        assert!(tap.take().is_empty());
    }
}
