//! How requests are cut off what a client has sent.

use bytes::{Bytes, BytesMut};

use crate::resp::{Decoder, Frames, Limits, ProtocolError};

/// What cuts requests off the input of a connection: in the server, the codec of its socket.
pub trait Codec {
    /// Cuts all complete requests off the front of `input`. Returns their bytes, if there are any;
    /// `frames` holds their ranges then, and nothing else.
    ///
    /// # Errors
    /// When what stands there is not the protocol.
    fn decode(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        frames: &mut Frames,
    ) -> Result<Option<Bytes>, ProtocolError>;

    /// True when the input may hold more complete requests.
    fn has_more(&self) -> bool;

    /// How many more bytes the request under way is known to need.
    fn wanted(&self) -> usize;

    /// How many of its bytes are taken apart.
    fn begun(&self) -> usize;
}

/// RESP.
#[derive(Debug, Default)]
pub struct Resp {
    decoder: Decoder,
    has_more: bool,
}

impl Codec for Resp {
    fn decode(
        &mut self,
        input: &mut BytesMut,
        limits: &Limits,
        frames: &mut Frames,
    ) -> Result<Option<Bytes>, ProtocolError> {
        frames.clear();
        let decoded = self.decoder.decode(input, limits, frames)?;
        self.has_more = decoded.full;
        if decoded.consumed == 0 {
            return Ok(None);
        }
        let bytes = input.split_to(decoded.consumed);
        Ok((!frames.is_empty()).then(|| bytes.freeze()))
    }

    fn has_more(&self) -> bool {
        self.has_more
    }

    fn wanted(&self) -> usize {
        self.decoder.wanted()
    }

    fn begun(&self) -> usize {
        self.decoder.begun()
    }
}
