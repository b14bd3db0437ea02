//! Commands of a primary that run together.
//!
//! A replica gets one stream for all its shards. If each command of it went to its shard alone,
//! most would cost a hop. So the next commands of a batch, as far as each is about one key, are a
//! *stretch*: one errand for the slots of all of them. At its last shard they run one after the
//! other, in the order of the stream, on slots that nobody else sees meanwhile.
//!
//! What is promised: the stream is carried out in its order, and whoever reads sees the data set as
//! it was between two commands of the stream. No shard is ahead of another, since the slots of a
//! stretch are away until all of it has run. What is about several keys or none, and MULTI with
//! all that follows up to EXEC, ends a stretch and runs as it does for any client.
//!
//! A stretch is bounded by [`CALLS_MAX`] and by the slice of its shard, and so is the time for
//! which
//! a reader waits for one of its slots.

use crate::batch::{Batch, Routed};
use crate::commands::command::Run;
use crate::lending::errand::Errand;
use crate::shard::Shard;
use crate::shard::visit::RunsAt;

/// Calls of a stretch at most.
const CALLS_MAX: usize = 512;

impl Batch {
    /// The calls from the next one on that may run together.
    fn stretch(&self) -> &[Routed] {
        let rest = self.routed.get(self.next..).unwrap_or_default();
        let is_meant = |routed: &&Routed| {
            let is_on_keys = routed.command.is_some_and(|it| matches!(it.run, Run::Keys(_)));
            is_on_keys && routed.key.is_some()
        };
        &rest[..rest.iter().take(CALLS_MAX).take_while(is_meant).count()]
    }
}

impl Shard {
    /// Where the next call of a primary's batch runs, which is not queued, together with those
    /// behind it. None where it runs as that of any client.
    pub(super) fn stretch_runs_at(&mut self, batch: &mut Batch) -> Option<RunsAt> {
        match &batch.errand {
            // It is made already.
            Some(errand) if errand.calls_end > batch.next => {
                return Some(self.errand_runs_at(batch, Errand::for_all));
            }
            Some(_) => return None,
            None => {}
        }
        let map = &self.env.map;
        let mut slots: Vec<u16> =
            batch.stretch().iter().filter_map(|routed| Some(routed.key?.slot)).collect();
        let calls_end = batch.next + slots.len();
        slots.sort_unstable();
        slots.dedup();
        let first = map.owner(*slots.first()?);
        if slots.iter().all(|slot| map.owner(*slot) == first) {
            return None;
        }
        Some(self.errand_runs_at(batch, |map, post| {
            Errand::for_slots(&slots, map, post).for_calls_before(calls_end)
        }))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Shards;

    fn of_a_primary() -> Shards {
        let mut store = Shards::new(4);
        store.session.primary = Some(Box::default());
        store
    }

    #[test]
    fn commands_on_one_key_run_together_in_their_order() {
        let mut store = of_a_primary();
        let lines: Vec<String> =
            (0..300).map(|n| format!("APPEND key:{} {},", n % 100, n / 100)).collect();
        let before = store.letters;
        let replies = store.pipeline(&lines.iter().map(String::as_str).collect::<Vec<_>>());
        let letters = store.letters - before;
        assert!(letters < 20, "{letters} letters for one errand");
        assert_eq!(replies.lines().next(), Some("(integer) 2"));
        for key in 0..100 {
            assert_eq!(store.run(&format!("GET key:{key}")), "\"0,1,2,\"");
        }
    }

    #[test]
    fn what_is_between_them_runs_at_its_place() {
        let mut store = of_a_primary();
        let lines = [
            "SET a 1",
            "SET b 1",
            "SET c 1",
            "MULTI",
            "INCR a",
            "INCR b",
            "EXEC",
            "INCR a",
            "INCR d",
            "DEL b c",
            "INCR b",
            "SELECT 1",
            "INCR a",
            "INCR b",
            "SELECT 0",
            "INCR c",
            "LPUSH a x",
            "INCR d",
        ];
        store.pipeline(&lines);
        assert_eq!(store.run("MGET a b c d"), "1) \"3\"\n2) \"1\"\n3) \"1\"\n4) \"2\"");
        assert_eq!(store.run("DBSIZE"), "(integer) 4");
    }
}
