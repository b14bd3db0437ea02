//! What the server counts about itself.

pub mod log;

/// What the commands of one shard were, in numbers.
#[derive(Clone, Debug, Default)]
pub struct Statistics {}
