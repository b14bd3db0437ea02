//! What of a primary's stream a replica has carried out: counted in its bytes, as they came.
//!
//! Between two batches all that has come is carried out, but for a transaction that has begun and
//! not ended: a replica that loses its link there has to get it once more, from its MULTI on.

use std::mem::take;

use crate::batch::Batch;
use crate::replication::together::bring_together;
use crate::route::ShardId;

/// Bytes that a transaction may have until it ends.
const TRANSACTION_MAX: usize = 1 << 30;

/// The stream since what was settled last.
#[derive(Debug, Default)]
pub struct Following {
    bytes: Vec<u8>,
    /// Where the transaction begins that has not ended.
    open: Option<usize>,
    /// The primary wants to know how far the replica is.
    is_asked: bool,
    /// What comes together is carried out together.
    joins: bool,
}

/// What is settled.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// These bytes of the stream are carried out.
    pub bytes: Vec<u8>,
    /// The primary wants to know how far that is.
    pub is_asked: bool,
}

impl Following {
    /// Nothing of it has come, to a server with so many shards.
    pub fn new(shards: ShardId) -> Following {
        Following { joins: shards > 1, ..Following::default() }
    }

    /// The requests of a batch that is routed, which are all of its input, are about to run. All
    /// that was settled before makes the stream with this id, up to this offset.
    pub fn begins(&mut self, batch: &mut Batch, settled: Option<(String, u64)>) {
        let (base, was_open) = (self.bytes.len(), self.open.is_some());
        let offset = settled.as_ref().map_or(0, |(_, offset)| *offset);
        self.bytes.extend_from_slice(&batch.input);
        let mut ends = Vec::with_capacity(batch.frames.len() + 2);
        for (frame, routed) in batch.frames.frames.iter().zip(&batch.routed) {
            match routed.command.map_or("", |command| command.name.as_str()) {
                "multi" if self.open.is_none() => {
                    self.open = Some(base + frame.raw.start as usize);
                }
                "exec" | "discard" => self.open = None,
                "replconf" => self.is_asked = true,
                _ => {}
            }
            let is_settled = self.open.is_none() && frame.multibulk;
            let end = offset + (base + frame.raw.range().end) as u64;
            ends.push(if is_settled { end } else { 0 });
        }
        if self.joins {
            bring_together(batch, &mut ends, was_open);
        }
        if let Some(primary) = &mut batch.session.primary {
            (primary.id, primary.ends) = settled.map(|(id, _)| (id, ends)).unwrap_or_default();
        }
    }

    /// Whether more has come of one transaction than is kept.
    pub fn is_too_much(&self) -> bool {
        self.open.is_some() && self.bytes.len() > TRANSACTION_MAX
    }

    /// They have run.
    pub fn ended(&mut self) -> Settled {
        let open = self.open.unwrap_or(self.bytes.len());
        let rest = self.bytes.split_off(open);
        self.open = self.open.map(|_| 0);
        let bytes = std::mem::replace(&mut self.bytes, rest);
        Settled { bytes, is_asked: take(&mut self.is_asked) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::base::hash::Hasher;
    use crate::base::millis::Millis;
    use crate::resp::{Decoder, Limits, encode};
    use crate::route::Home;
    use crate::session::{Peer, Session};
    use crate::settings::Renames;

    fn bytes_of(lines: &[&str]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in lines {
            let words: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
            encode::command(&mut bytes, &words);
        }
        bytes
    }

    fn runs(following: &mut Following, lines: &[&str]) -> Settled {
        begins(following, lines);
        following.ended()
    }

    /// What there is of the stream up to the end of each call, where nothing was settled before.
    fn begins(following: &mut Following, lines: &[&str]) -> Vec<u64> {
        let bytes = bytes_of(lines);
        let session = Session::new(1, Peer::default(), Millis(0), true);
        let mut batch = Batch::new(Home::default(), session);
        Decoder::default().decode(&bytes, &Limits::default(), &mut batch.frames).unwrap();
        let renames = Renames::default();
        batch.route(Bytes::from(bytes), Millis(0), &Hasher::with_seeds([1; 4]), &renames);
        batch.session.primary = Some(Box::default());
        following.begins(&mut batch, Some((String::new(), 0)));
        batch.session.primary.unwrap_or_default().ends
    }

    #[test]
    fn all_is_settled_but_a_transaction_that_has_not_ended() {
        let mut following = Following::default();
        let settled = runs(&mut following, &["SELECT 0", "INCR a"]);
        assert_eq!(settled.bytes, bytes_of(&["SELECT 0", "INCR a"]));
        let settled =
            runs(&mut following, &["MULTI", "INCR a", "EXEC", "INCR b", "MULTI", "INCR c"]);
        assert_eq!(settled.bytes, bytes_of(&["MULTI", "INCR a", "EXEC", "INCR b"]));
        assert_eq!(runs(&mut following, &["INCR d"]).bytes, b"");
        let settled = runs(&mut following, &["EXEC", "INCR e", "MULTI"]);
        assert_eq!(settled.bytes, bytes_of(&["MULTI", "INCR c", "INCR d", "EXEC", "INCR e"]));
        let settled = runs(&mut following, &["INCR f", "EXEC"]);
        assert_eq!(settled.bytes, bytes_of(&["MULTI", "INCR f", "EXEC"]));
    }

    #[test]
    fn calls_end_where_they_end_in_the_stream_but_inside_transactions() {
        let end = |lines: &[&str]| bytes_of(lines).len() as u64;
        let (alone, begun) = (["INCR a", "INCR b"], ["INCR a", "MULTI", "INCR b"]);
        let ends = ["EXEC", "INCR a"];
        let all = ["MULTI", "INCR b", "INCR c", "EXEC", "INCR a"];
        for shards in [1, 2] {
            let mut following = Following::new(shards);
            let both = match shards {
                1 => vec![end(&alone[..1]), end(&alone)],
                _ => vec![0, 0, 0, end(&alone)],
            };
            assert_eq!(begins(&mut following, &alone), both);
            following.ended();
            assert_eq!(begins(&mut following, &begun), [end(&begun[..1]), 0, 0]);
            following.ended();
            assert_eq!(begins(&mut following, &["INCR c"]), [0]);
            following.ended();
            assert_eq!(begins(&mut following, &ends), [end(&all[..4]), end(&all)]);
            following.ended();
            let whole = match shards {
                1 => vec![0, 0, 0, end(&all[..4]), end(&all)],
                _ => vec![0, 0, 0, 0, end(&all)],
            };
            assert_eq!(begins(&mut following, &all), whole);
        }
    }

    #[test]
    fn a_transaction_without_an_end_is_too_much_before_long() {
        let mut following = Following::default();
        runs(&mut following, &["INCR a", "MULTI", "INCR b"]);
        assert!(!following.is_too_much());
        following.bytes.resize(TRANSACTION_MAX + 1, 0);
        assert!(following.is_too_much());
        runs(&mut following, &["EXEC"]);
        assert!(!following.is_too_much());
    }

    #[test]
    fn a_question_is_told_once() {
        let mut following = Following::default();
        assert!(runs(&mut following, &["INCR a", "REPLCONF GETACK *"]).is_asked);
        assert!(!runs(&mut following, &["PING"]).is_asked);
    }
}
