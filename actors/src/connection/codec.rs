//! RESP as a codec of tokio-util: bytes of the socket in, batches of requests out.
//!
//! What is complete is cut off the read buffer and frozen, so that the requests are ranges of it.

use bytes::{Bytes, BytesMut};
use tokio_util::codec;
use troupe::resp::{Decoder, Frames, Limits, ProtocolError};

/// The codec of one connection.
#[derive(Debug, Default)]
pub struct Codec {
    decoder: Decoder,
    /// What a request may cost.
    pub limits: Limits,
    /// Reused from batch to batch.
    pub frames: Frames,
    full: bool,
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// What came in cannot be understood.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Codec {
    /// True when the buffer may hold more complete requests.
    pub fn has_more(&self) -> bool {
        self.full
    }

    /// How many more bytes the request under way is known to need.
    pub fn wanted(&self) -> usize {
        self.decoder.wanted()
    }
}

impl codec::Decoder for Codec {
    type Item = Bytes;
    type Error = CodecError;

    /// The bytes of all complete requests; their ranges are in `frames`.
    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, CodecError> {
        self.frames.clear();
        let decoded = self.decoder.decode(buffer, &self.limits, &mut self.frames)?;
        self.full = decoded.full;
        let bytes = buffer.split_to(decoded.consumed);
        Ok((!self.frames.is_empty()).then(|| bytes.freeze()))
    }
}
