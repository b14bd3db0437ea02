//! The last part of the stream of replication: what replicas have still to get, and what those may
//! ask for that come back.
//!
//! Bytes stand in blocks, each at its offset from the start of the stream. A block is let go when
//! no replica needs it and what stands behind it is as long as the backlog may be.

use std::collections::VecDeque;

/// Bytes of a block.
const BLOCK: usize = 16 * 1024;

/// The last part of the stream.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// All are full but the last.
    blocks: VecDeque<Vec<u8>>,
    /// The offset of the first byte in the blocks.
    first: u64,
    /// The offset behind the last byte.
    end: u64,
}

impl Backlog {
    /// An empty one whose next byte has this offset.
    pub(super) fn at(offset: u64) -> Backlog {
        Backlog { blocks: VecDeque::new(), first: offset, end: offset }
    }

    /// The offset of the first byte that is here.
    pub(super) fn first(&self) -> u64 {
        self.first
    }

    /// The offset behind the last byte: so many bytes the stream has had.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes that are here.
    pub(super) fn len(&self) -> u64 {
        self.end - self.first
    }

    /// Memory that it takes, in bytes.
    pub(super) fn memory(&self) -> u64 {
        (self.blocks.len() * BLOCK) as u64
    }

    /// Whether all from this offset on is here.
    pub(super) fn reaches(&self, offset: u64) -> bool {
        (self.first..=self.end).contains(&offset)
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, mut bytes: &[u8]) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            if self.blocks.back().is_none_or(|last| last.len() == BLOCK) {
                self.blocks.push_back(Vec::with_capacity(BLOCK));
            }
            let Some(last) = self.blocks.back_mut() else { return };
            let (now, later) = bytes.split_at(bytes.len().min(BLOCK - last.len()));
            last.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Copies bytes from an offset on to the end of `out`, `most` at the most. Returns how many.
    pub(super) fn read(&self, offset: u64, most: usize, out: &mut Vec<u8>) -> usize {
        if !self.reaches(offset) {
            return 0;
        }
        let at = (offset - self.first) as usize;
        let (mut block, mut start, mut left) = (at / BLOCK, at % BLOCK, most);
        while left > 0
            && let Some(bytes) = self.blocks.get(block).and_then(|block| block.get(start..))
            && !bytes.is_empty()
        {
            let count = bytes.len().min(left);
            out.extend_from_slice(&bytes[..count]);
            left -= count;
            (block, start) = (block + 1, 0);
        }
        most - left
    }

    /// Lets go what nobody needs: not who has got all before `needed`, and not who may come back
    /// and ask for one of the last `kept` bytes.
    pub(super) fn trim(&mut self, needed: u64, kept: u64) {
        while let Some(first) = self.blocks.front()
            && first.len() == BLOCK
            && self.first + BLOCK as u64 <= needed
            && self.len() - BLOCK as u64 >= kept
        {
            self.blocks.pop_front();
            self.first += BLOCK as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(count: usize) -> Vec<u8> {
        (0..count).map(|at| (at % 251) as u8).collect()
    }

    #[test]
    fn what_is_read_is_what_was_appended() {
        let all = some(3 * BLOCK + 100);
        let mut backlog = Backlog::at(1_000);
        for part in all.chunks(1_001) {
            backlog.append(part);
        }
        assert_eq!((backlog.first(), backlog.end()), (1_000, 1_000 + all.len() as u64));
        for (from, most) in [(0, all.len()), (1, 10), (BLOCK - 1, 2), (2 * BLOCK, BLOCK + 7)] {
            let mut out = b"ahead".to_vec();
            assert_eq!(backlog.read(1_000 + from as u64, most, &mut out), most);
            assert_eq!(out[5..], all[from..from + most]);
        }
        let mut out = Vec::new();
        assert_eq!(backlog.read(backlog.end(), 10, &mut out), 0);
        assert_eq!(backlog.read(999, 10, &mut out), 0);
        assert_eq!(backlog.read(backlog.end() - 3, 10, &mut out), 3);
    }

    #[test]
    fn what_somebody_needs_or_may_ask_for_stays() {
        let mut backlog = Backlog::at(0);
        backlog.append(&some(4 * BLOCK));
        backlog.trim(0, 0);
        assert_eq!(backlog.first(), 0, "a replica has got nothing");
        let end = backlog.end();
        backlog.trim(end, end);
        assert_eq!(backlog.first(), 0);
        backlog.trim(end, 2 * BLOCK as u64 + 1);
        assert_eq!(backlog.first(), BLOCK as u64);
        backlog.trim(3 * BLOCK as u64 - 1, 0);
        assert_eq!(backlog.first(), 2 * BLOCK as u64);
        assert!(backlog.reaches(2 * BLOCK as u64) && !backlog.reaches(2 * BLOCK as u64 - 1));
        backlog.trim(end, 0);
        assert_eq!((backlog.len(), backlog.memory()), (0, 0));
        backlog.append(b"more");
        let mut out = Vec::new();
        assert_eq!(backlog.read(end, 10, &mut out), 4);
    }
}
