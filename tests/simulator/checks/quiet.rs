//! When nothing is on its way: no batch waits, no script stands still, every slot is where the map
//! has it, nothing is overdrawn, nobody who has gone watches a key or waits for one, and every
//! shard serves.

use troupe::hook::Phase;

use super::Broken;

/// One shard, when all is quiet.
#[derive(Clone, Debug)]
pub struct Shard {
    /// Whether it serves.
    pub phase: Phase,
    /// Batches that wait there.
    pub waiting: usize,
    /// A script stands still there.
    pub stands_still: bool,
    /// Keys there that somebody watches or waits for.
    pub cared_for: usize,
    /// Slots that are there.
    pub here: usize,
    /// Slots that are its own by its map.
    pub own: usize,
    /// The epoch of its map.
    pub epoch: u64,
}

/// The rest of the server, when all is quiet.
#[derive(Clone, Copy, Debug)]
pub struct Rest {
    /// The epoch of the router's map.
    pub epoch: u64,
    /// What waits for a sync.
    pub held: u64,
    /// Moves of slots that nobody was told the end of.
    pub orders: usize,
    /// A slot that an order has put elsewhere.
    pub astray: Option<u16>,
    /// Batches that were made and not dropped.
    pub batches: usize,
}

/// Looks at the whole server.
///
/// # Errors
/// Something is not at rest, or is in the wrong place.
pub fn check(shards: &[Shard], rest: Rest) -> Result<(), Broken> {
    for (number, shard) in shards.iter().enumerate() {
        let Shard { phase, waiting, stands_still, cared_for, here, own, epoch } = shard;
        if *phase != Phase::Serving {
            return Err(format!("shard {number} does not serve: {phase:?}"));
        }
        if *waiting > 0 {
            return Err(format!("{waiting} batches wait at shard {number}"));
        }
        if *stands_still {
            return Err(format!("a script stands still at shard {number}"));
        }
        if *cared_for > 0 {
            return Err(format!("somebody cares for {cared_for} keys of shard {number}"));
        }
        if here != own {
            return Err(format!("shard {number} has {here} slots and owns {own}"));
        }
        if *epoch != rest.epoch {
            return Err(format!("shard {number} goes by map {epoch} of {}", rest.epoch));
        }
    }
    match rest {
        Rest { held: 1.., .. } => Err(format!("{} replies wait for a sync", rest.held)),
        Rest { orders: 1.., .. } => Err(format!("{} orders were not answered", rest.orders)),
        Rest { astray: Some(slot), .. } => Err(format!("slot {slot} has gone astray")),
        Rest { batches: 1.., .. } => Err(format!("{} batches are left", rest.batches)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: Shard = Shard {
        phase: Phase::Serving,
        waiting: 0,
        stands_still: false,
        cared_for: 0,
        here: 9,
        own: 9,
        epoch: 2,
    };
    const REST: Rest = Rest { epoch: 2, held: 0, orders: 0, astray: None, batches: 0 };

    #[test]
    fn a_server_at_rest_is_fine_and_every_unrest_is_noticed() {
        assert!(check(&[SHARD, SHARD], REST).is_ok());
        for shard in [
            Shard { phase: Phase::Rebuilding, ..SHARD },
            Shard { waiting: 1, ..SHARD },
            Shard { stands_still: true, ..SHARD },
            Shard { cared_for: 1, ..SHARD },
            Shard { here: 8, ..SHARD },
            Shard { epoch: 1, ..SHARD },
        ] {
            assert!(check(&[SHARD, shard], REST).is_err());
        }
        for rest in [
            Rest { held: 1, ..REST },
            Rest { orders: 1, ..REST },
            Rest { astray: Some(3), ..REST },
            Rest { batches: 1, ..REST },
        ] {
            assert!(check(&[SHARD], rest).is_err());
        }
    }
}
