//! Promises broken on purpose, where DEBUG says so: the tests that hold them must be seen to fail.
//!
//! A shard that breaks the order runs the calls of a batch shard by shard, its own first, as a
//! careless server does to save letters. One that breaks atomicity cuts MSET into one for each key.
//! Replies still stand in their places, so no client can tell from its own alone; for that a batch
//! keeps them back until it is done. Left alone are batches with a command that does not run on
//! keys, and for the order those with a call of several keys.

use crate::batch::{Batch, Routed, Scattered};
use crate::keyspace::key::KeyAt;
use crate::resp::Frame;
use crate::shard::Shard;

/// Which promises are broken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Broken {
    order: bool,
    atomicity: bool,
    /// The next batch that comes with slots of other shards is lost.
    loses: bool,
}

impl Broken {
    /// True when one is.
    #[inline]
    pub(super) fn any(self) -> bool {
        self.order || self.atomicity || self.loses
    }
}

impl Shard {
    /// Whether calls run shard by shard, out of their order. For tests only.
    pub fn break_order(&mut self, on: bool) {
        self.broken.order = on;
    }

    /// Whether MSET runs key by key. For tests only.
    pub fn break_atomicity(&mut self, on: bool) {
        self.broken.atomicity = on;
    }

    /// The next batch that comes with slots of other shards is lost by a panic. For tests only.
    pub fn lose_a_visit(&mut self) {
        self.broken.loses = true;
    }

    /// Breaks the promises that are to be broken with a batch that comes.
    ///
    /// # Panics
    /// When it is to be lost.
    #[cold]
    pub(super) fn break_promises(&mut self, batch: &mut Batch) {
        if self.broken.loses && batch.holds() {
            self.broken.loses = false;
            panic!("DEBUG PANIC-VISIT");
        }
        let scatters = self.broken.order || self.broken.atomicity;
        if scatters && batch.next == 0 && batch.scattered.is_none() {
            self.scatter(batch);
        }
    }

    /// Puts the calls of a batch that begins here out of their order.
    fn scatter(&self, batch: &mut Batch) {
        let on_keys = |r: &Routed| r.command.is_some_and(|c| c.run.is_on_keys());
        if !batch.routed.iter().all(on_keys) {
            return;
        }
        let frames = std::mem::take(&mut batch.frames.frames).into_iter();
        let mut calls = Vec::new();
        for (request, (frame, routed)) in frames.zip(std::mem::take(&mut batch.routed)).enumerate()
        {
            let is_mset = routed.command.is_some_and(|command| command.name.as_str() == "mset");
            match self.broken.atomicity && is_mset && frame.argc % 2 == 1 {
                true => self.cut(batch, request, frame, routed, &mut calls),
                false => calls.push((request, frame, routed)),
            }
        }
        if self.broken.order && calls.iter().all(|(_, _, routed)| routed.key.is_some()) {
            let map = &self.env.map;
            let turn = |slot| (map.shards() + map.owner(slot) - self.id) % map.shards();
            calls.sort_by_key(|(_, _, routed)| routed.key.map(|key| turn(key.slot)));
        }
        let requests = calls.iter().map(|(request, ..)| *request).collect();
        batch.frames.frames = calls.iter().map(|(_, frame, _)| *frame).collect();
        batch.routed = calls.into_iter().map(|(_, _, routed)| routed).collect();
        let begin = batch.replies.len();
        batch.scattered = Some(Box::new(Scattered { requests, begin, ends: Vec::new() }));
    }

    /// A request of its own for each key and value.
    fn cut(
        &self,
        batch: &mut Batch,
        request: usize,
        frame: Frame,
        routed: Routed,
        calls: &mut Vec<(usize, Frame, Routed)>,
    ) {
        let args: Vec<Vec<u8>> = {
            let bytes = batch.frames.bytes_of(&frame, &batch.input);
            batch.frames.args_of(&frame).iter().map(|span| span.of(bytes).to_vec()).collect()
        };
        for pair in args[1..].chunks(2) {
            let words = [&args[0][..], &pair[0], &pair[1]];
            let frame = batch.frames.make(words.into_iter());
            let key = Some(KeyAt::new(1, words[1], &self.env.hasher));
            let routed = Routed { key, ..routed };
            calls.push((request, frame, routed));
        }
    }
}

impl Batch {
    /// Puts the replies in their places; of the pieces of a request the last one answers.
    #[cold]
    pub(super) fn gather(&mut self, scattered: Scattered) {
        let Scattered { requests, begin, ends } = scattered;
        let mut pieces = Vec::new();
        let mut start = begin;
        for (request, end) in requests.into_iter().zip(ends) {
            pieces.push((request, start..end));
            start = end;
        }
        pieces.sort_by_key(|(request, _)| *request);
        let mut ordered = self.replies[..begin].to_vec();
        for (index, (request, reply)) in pieces.iter().enumerate() {
            if pieces.get(index + 1).is_none_or(|(next, _)| next != request) {
                ordered.extend_from_slice(&self.replies[reply.clone()]);
            }
        }
        self.replies = ordered;
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Shards;

    #[test]
    fn replies_stay_in_their_places_while_calls_do_not() {
        let pipeline = [
            "SET a 1",
            "SET b 2",
            "SET c 3",
            "SET d 4",
            "GET d",
            "GET c",
            "INCR b",
            "INCR a",
            "APPEND c x",
            "GET a",
        ];
        let run = |on: bool| {
            let mut store = Shards::new(4);
            store.shards.iter_mut().for_each(|shard| shard.break_order(on));
            (store.pipeline(&pipeline), store.letters)
        };
        let ((in_order, letters), (scattered, fewer)) = (run(false), run(true));
        assert_eq!(scattered, in_order);
        assert!(fewer < letters, "{fewer} of {letters} letters: every shard is visited once");
    }

    #[test]
    fn an_mset_in_pieces_is_answered_once_and_journaled_in_pieces() {
        let mut store = Shards::new(4);
        store.shards.iter_mut().for_each(|shard| shard.break_atomicity(true));
        let replies = store.pipeline(&["SET a 0", "MSET a 1 b 2 c 3", "MGET a b c", "MSET a 1 b"]);
        let list = "1) \"1\"\n2) \"2\"\n3) \"3\"";
        let error = "(error) ERR wrong number of arguments for 'mset' command";
        assert_eq!(replies, format!("OK\nOK\n{list}\n{error}"));
        assert_eq!(store.records().ends.len(), 4);
    }
}
