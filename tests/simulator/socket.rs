//! A socket between a client and the server: two streams of bytes, each with its end.

use std::collections::VecDeque;

/// Both ends of a connection.
#[derive(Debug, Default)]
pub struct Socket {
    /// From the client to the server.
    pub up: VecDeque<u8>,
    /// From the server to the client.
    pub down: VecDeque<u8>,
    /// Bytes that the client's side holds before it is full.
    pub room: usize,
    /// The client sends no more.
    pub is_up_ended: bool,
    /// The server has closed it.
    pub is_down_ended: bool,
    /// The client has thrown it away.
    pub is_reset: bool,
}

/// What came of reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// So many bytes.
    Bytes(Vec<u8>),
    /// There is nothing for now.
    Nothing,
    /// There will be nothing any more.
    End,
    /// The other side is gone.
    Failed,
}

impl Socket {
    /// The server reads, at most so many bytes.
    pub fn read(&mut self, most: usize) -> Read {
        match () {
            () if self.is_reset => Read::Failed,
            () if !self.up.is_empty() => {
                Read::Bytes(self.up.drain(..most.min(self.up.len())).collect())
            }
            () if self.is_up_ended => Read::End,
            () => Read::Nothing,
        }
    }

    /// The server writes. Returns how many bytes were taken; none where the client is gone.
    pub fn write(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.is_reset {
            return None;
        }
        let count = bytes.len().min(self.room.saturating_sub(self.down.len()));
        self.down.extend(&bytes[..count]);
        Some(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_before_the_end_is_read_before_it() {
        let mut socket = Socket { room: 3, ..Socket::default() };
        socket.up.extend(b"abc");
        socket.is_up_ended = true;
        assert_eq!(socket.read(2), Read::Bytes(b"ab".to_vec()));
        assert_eq!(socket.read(2), Read::Bytes(b"c".to_vec()));
        assert_eq!(socket.read(2), Read::End);
        assert_eq!((socket.write(b"wxyz"), socket.write(b"z")), (Some(3), Some(0)));
        socket.is_reset = true;
        assert_eq!((socket.write(b"z"), socket.read(1)), (None, Read::Failed));
    }
}
