//! Every queue has a bound: mail between two parts, and what waits at a shard.

use super::Broken;
use crate::plan::CLIENTS;

/// Messages on one edge. A client has one batch; what else there is follows from batches, from
/// slots that move, and from the credit of the shards.
const MAIL_MAX: usize = 2_000;

/// What a shard and its mail hold.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// The most messages on one edge.
    pub mail: usize,
    /// Batches that wait at a shard.
    pub waiting: usize,
    /// Connections there are, whose clients may have gone.
    pub connections: usize,
}

/// Looks whether a queue is longer than it may be.
///
/// # Errors
/// It is.
pub fn check(held: Held) -> Result<(), Broken> {
    let Held { mail, waiting, connections } = held;
    if mail > MAIL_MAX {
        return Err(format!("{mail} messages are on one edge"));
    }
    // Of a connection that was closed, the batch may be on its way still.
    let batches_max = connections + CLIENTS as usize;
    if waiting > batches_max {
        return Err(format!("{waiting} batches wait, of {connections} connections"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_that_grows_is_noticed() {
        let held = Held { mail: 10, waiting: 3, connections: 3 };
        assert!(check(held).is_ok());
        assert!(check(Held { mail: MAIL_MAX + 1, ..held }).is_err());
        assert!(check(Held { waiting: 12, ..held }).is_err());
    }
}
