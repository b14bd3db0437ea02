//! What a replica has to hold: one shard that has carried out the stream up to an offset, behind
//! the snapshot with which the replica began. Nothing here is sent, shared or held up.

use std::sync::Arc;

use bytes::Bytes;
use troupe::aof::apart::Apart;
use troupe::base::hash::Hasher;
use troupe::base::millis::Millis;
use troupe::keyspace::contents::{Coming, Present};
use troupe::resp::{Decoder, Frames, Limits};
use troupe::settings::Settings;
use troupe::shard::arrival::arrival;
use troupe::shard::{Parts, Shard};

use crate::checks::Broken;
use crate::model::{Entry, Model};
use crate::reply::Reply;
use crate::start::{Still, entry_at, run};
use crate::workload::KEYS;

/// A shard that follows a stream.
pub struct Mirror {
    shard: Shard,
    hasher: Hasher,
    /// Bytes of the stream that it has carried out.
    pub offset: u64,
}

impl Mirror {
    /// One that has a snapshot, behind which the stream goes on at this offset.
    pub fn new(settings: Arc<Settings>, apart: Apart, offset: u64, hasher: Hasher) -> Mirror {
        let mut shard = Shard::new(Parts::alone(settings, hasher.clone(), 0));
        shard.serve();
        let Apart { contents, libraries, .. } = apart;
        let coming = Coming { contents, present: Present::Goes, told: Box::new(|_| ()) };
        shard.visit(arrival(coming, libraries, Millis(0)), &mut Still);
        Mirror { shard, hasher, offset }
    }

    /// Carries out the next command of the stream, or the next transaction, of these bytes that
    /// follow. False where none is whole.
    ///
    /// # Errors
    /// It fails.
    pub fn carry_out_next(&mut self, stream: &[u8]) -> Result<bool, Broken> {
        let Some(length) = unit(stream) else { return Ok(false) };
        let unit = &stream[..length];
        self.offset += length as u64;
        if is_for_links(unit) {
            return Ok(true);
        }
        let replies = run(&mut self.shard, Bytes::copy_from_slice(unit), true, &self.hasher);
        match replies.iter().find_map(error_in) {
            None => Ok(true),
            Some(error) => Err(format!("{:?} fails: {error:?}", String::from_utf8_lossy(unit))),
        }
    }

    /// Carries out all of these bytes that is whole.
    ///
    /// # Errors
    /// Some of it fails.
    pub fn carry_out(&mut self, mut stream: &[u8]) -> Result<(), Broken> {
        loop {
            let before = self.offset;
            if !self.carry_out_next(stream)? {
                return Ok(());
            }
            stream = &stream[(self.offset - before) as usize..];
        }
    }

    /// What it holds under a key.
    pub fn entry(&mut self, key: &str) -> Option<Entry> {
        entry_at(&mut self.shard, key, &self.hasher).map(|(_, entry)| entry)
    }

    /// What it holds.
    pub fn entries(&mut self) -> Model {
        let Mirror { shard, hasher, .. } = self;
        let entries = KEYS.iter().filter_map(|key| entry_at(shard, key, hasher));
        Model { entries: entries.collect() }
    }
}

/// The first error of a reply, or of those of a transaction.
fn error_in(reply: &Reply) -> Option<&Reply> {
    match reply {
        Reply::Error(_) => Some(reply),
        Reply::List(replies) => replies.iter().find_map(error_in),
        _ => None,
    }
}

/// Bytes of the first command, or transaction, where it is whole.
fn unit(stream: &[u8]) -> Option<usize> {
    let (mut at, mut is_open) = (0, false);
    while at < stream.len() {
        let (word, length) = first_word(&stream[at..])?;
        at += length;
        match &*word {
            "multi" => is_open = true,
            "exec" => is_open = false,
            _ => {}
        }
        if !is_open {
            return Some(at);
        }
    }
    None
}

/// The first word of a request, and the bytes of it all, where it is whole.
fn first_word(bytes: &[u8]) -> Option<(String, usize)> {
    let mut frames = Frames::default();
    let limits = Limits { batch_commands: 1, ..Limits::default() };
    Decoder::default().decode(bytes, &limits, &mut frames).ok()?;
    let frame = frames.frames.first()?;
    let start = frame.raw.start as usize;
    let raw = bytes.get(start..start + frame.raw.len as usize)?;
    let text = String::from_utf8_lossy(raw).to_lowercase();
    let word = text.split("\r\n").nth(2).unwrap_or_default().to_owned();
    Some((word, raw.len()))
}

/// Whether it changes nothing anywhere.
fn is_for_links(unit: &[u8]) -> bool {
    let word = first_word(unit).map(|(word, _)| word);
    matches!(word.as_deref(), Some("ping" | "replconf" | "publish" | "spublish"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::Call;

    #[test]
    fn a_transaction_is_carried_out_as_a_whole() {
        let lines = ["SET s0 1", "MULTI", "SET s1 2", "SET s2 2", "EXEC", "PING"];
        let stream: Vec<u8> = lines.iter().flat_map(|line| Call::of(line).encoded()).collect();
        let (settings, hasher) = (Arc::new(Settings::default()), Hasher::with_seeds([1; 4]));
        let mut shard = Shard::new(Parts::alone(settings, hasher.clone(), 0));
        shard.serve();
        let mut mirror = Mirror { shard, hasher, offset: 0 };
        let mut held = Vec::new();
        while mirror.carry_out_next(&stream[mirror.offset as usize..]).expect("it runs") {
            held.push(mirror.entries().entries.len());
        }
        assert_eq!(held, [1, 3, 3]);
        assert_eq!(mirror.offset, stream.len() as u64);
        assert_eq!(mirror.carry_out_next(&Call::of("MULTI").encoded()), Ok(false));
        assert!(mirror.carry_out_next(&Call::of("GETX s0").encoded()).is_err());
    }
}
