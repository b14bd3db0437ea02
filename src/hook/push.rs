//! What a client gets that did not ask for it.

use bytes::Bytes;

use crate::batch::Home;

/// Bytes for a client outside its own replies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Push {
    /// Where the client is.
    pub to: Home,
    /// Its number; another client may have come to its place meanwhile.
    pub client: u64,
    /// The bytes, as the client gets them.
    pub bytes: Bytes,
}
