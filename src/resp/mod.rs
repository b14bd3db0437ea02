//! The wire: Redis's protocol, versions 2 and 3, as bytes in and bytes out.
//!
//! `decode` turns what clients send into ranges of their own bytes; `inline` splits the lines
//! people type; `limits` holds every bound a client meets before it has been understood; `encode`
//! writes replies and requests. Nothing here knows a command, a key or a socket. Left out: reading
//! replies (only a client needs that).

pub mod decode;
pub mod encode;
mod frames;
pub mod inline;
pub mod limits;

pub use decode::{Decoded, Decoder};
pub use encode::Reply;
pub use frames::{Frame, Frames, Span};
pub use limits::{Limits, ProtocolError};
