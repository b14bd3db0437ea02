//! What was taken in and is not written: what is being written, and what comes behind it.
//!
//! It takes no more memory than that for long: what a slow disk has let grow is let go when it is
//! written, and not kept for later.

use bytes::{Bytes, BytesMut};

/// Room that a new buffer has at the most, in bytes.
const ROOM_MAX: usize = 64 * 1024;

/// Bytes on their way to a file.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    /// What comes next.
    tail: BytesMut,
    /// What is being written, or was when the write failed.
    in_flight: Bytes,
    /// The memory that it takes.
    in_flight_room: usize,
}

impl Buffer {
    /// The end, to be added to.
    pub(super) fn tail(&mut self) -> &mut BytesMut {
        &mut self.tail
    }

    /// Bytes that are not being written.
    pub(super) fn tail_len(&self) -> usize {
        self.tail.len()
    }

    /// What is being written.
    pub(super) fn in_flight(&self) -> &Bytes {
        &self.in_flight
    }

    /// Begins to write: so many bytes at the most. Where there are none the room stays.
    pub(super) fn take_off(&mut self, most: usize) {
        if most == 0 || self.tail.is_empty() {
            return;
        }
        let room = BytesMut::with_capacity(self.tail.len().min(ROOM_MAX));
        let mut taken = std::mem::replace(&mut self.tail, room);
        if taken.len() > most {
            // The two share no memory.
            self.tail.extend_from_slice(&taken[most..]);
            taken.truncate(most);
        }
        self.in_flight_room = taken.capacity();
        self.in_flight = taken.freeze();
    }

    /// What was being written is written, or goes nowhere. Returns how many bytes that were.
    pub(super) fn landed(&mut self) -> u64 {
        self.in_flight_room = 0;
        std::mem::take(&mut self.in_flight).len() as u64
    }

    /// What is not being written goes nowhere.
    pub(super) fn drop_tail(&mut self) {
        self.tail = BytesMut::new();
    }

    /// Bytes that are not written.
    pub(super) fn len(&self) -> u64 {
        (self.tail.len() + self.in_flight.len()) as u64
    }

    /// Bytes of memory that they take.
    pub(super) fn memory(&self) -> u64 {
        (self.tail.capacity() + self.in_flight_room) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_leaves_no_memory_behind() {
        let mut buffer = Buffer::default();
        buffer.tail().extend_from_slice(&vec![b'x'; 8 << 20]);
        assert!(buffer.memory() >= 8 << 20);
        buffer.take_off(usize::MAX);
        assert_eq!((buffer.tail_len(), buffer.in_flight().len()), (0, 8 << 20));
        buffer.tail().extend_from_slice(b"next");
        assert!(buffer.memory() >= 8 << 20);
        assert_eq!(buffer.landed(), 8 << 20);
        assert!(buffer.memory() <= ROOM_MAX as u64);
        assert_eq!(buffer.len(), 4);
    }

    #[test]
    fn a_part_is_taken_off_and_the_rest_stays() {
        let mut buffer = Buffer::default();
        buffer.tail().extend_from_slice(b"abcdef");
        buffer.take_off(4);
        assert_eq!(buffer.in_flight()[..], b"abcd"[..]);
        assert_eq!(buffer.tail()[..], b"ef"[..]);
        assert_eq!(buffer.len(), 6);
        buffer.drop_tail();
        assert_eq!((buffer.landed(), buffer.len()), (4, 0));
    }
}
