//! RESP as a codec of tokio-util: bytes of the socket in, batches of requests out.
//!
//! What is complete is cut off the read buffer and frozen, so that the requests are ranges of it.

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;
use troupe::connection;
use troupe::connection::Codec as _;
use troupe::resp::{Frames, Limits, ProtocolError};

/// The codec of one connection.
#[derive(Debug, Default)]
pub(super) struct Codec {
    resp: connection::Resp,
    /// What a request may cost.
    limits: Limits,
    /// Where the requests stand that were decoded last.
    frames: Frames,
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodecError {
    /// What came in cannot be understood.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl Decoder for Codec {
    type Item = Bytes;
    type Error = CodecError;

    /// The bytes of all complete requests; their ranges are in `frames`.
    #[inline]
    fn decode(&mut self, input: &mut BytesMut) -> Result<Option<Bytes>, CodecError> {
        Ok(self.resp.decode(input, &self.limits, &mut self.frames)?)
    }
}

impl connection::Codec for Codec {
    #[inline]
    fn decode(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        frames: &mut Frames,
    ) -> Result<Option<Bytes>, ProtocolError> {
        self.limits = *limits;
        let decoded = Decoder::decode(self, input);
        std::mem::swap(frames, &mut self.frames);
        decoded.or_else(|error| match error {
            CodecError::Protocol(error) => Err(error),
            // The connection reads, and hears of that there.
            CodecError::Io(_) => Ok(None),
        })
    }

    fn has_more(&self) -> bool {
        self.resp.has_more()
    }

    fn wanted(&self) -> usize {
        self.resp.wanted()
    }

    fn begun(&self) -> usize {
        self.resp.begun()
    }
}
