//! The memory limit, eviction, deadlines and how values are let go.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{choice, count, flag, memory, number};

const BY_PIECES: &str = "what is let go is always freed a little at a time";
const NO_DEFRAG: &str = "memory is not defragmented";

const POLICIES: &[&str] = &[
    "volatile-lru",
    "volatile-lfu",
    "volatile-random",
    "volatile-ttl",
    "volatile-lrm",
    "allkeys-lru",
    "allkeys-lfu",
    "allkeys-random",
    "allkeys-lrm",
    "noeviction",
];

pub(super) const SETTINGS: &[Setting] = &[
    number("active-defrag-cycle-max", "25", 1, 99, Unit::Percent)
        .runtime()
        .accepted(NO_DEFRAG)
        .doc("Most processor time for defragmenting."),
    number("active-defrag-cycle-min", "1", 1, 99, Unit::Percent)
        .runtime()
        .accepted(NO_DEFRAG)
        .doc("Least processor time for defragmenting."),
    number("active-defrag-cycle-us", "500", 0, 100_000, Unit::Micros)
        .runtime()
        .accepted(NO_DEFRAG)
        .doc("Length of one round of defragmenting."),
    memory("active-defrag-ignore-bytes", "104857600", 1)
        .runtime()
        .accepted(NO_DEFRAG)
        .doc("Waste from which defragmenting starts."),
    number("active-defrag-max-scan-fields", "1000", 1, i64::MAX, Unit::None)
        .runtime()
        .accepted(NO_DEFRAG)
        .doc("Size up to which a value is defragmented in one step."),
    number("active-defrag-threshold-lower", "10", 0, 1000, Unit::Percent)
        .runtime()
        .accepted(NO_DEFRAG)
        .doc("Fragmentation from which defragmenting starts."),
    number("active-defrag-threshold-upper", "100", 0, 1000, Unit::Percent)
        .runtime()
        .accepted(NO_DEFRAG)
        .doc("Fragmentation from which defragmenting takes its most processor time."),
    number("active-expire-effort", "1", 1, 10, Unit::None)
        .runtime()
        .accepted("keys go when they expire, whatever the effort")
        .doc("Work spent on finding expired keys."),
    flag("activedefrag", "no").runtime().accepted(NO_DEFRAG).doc("Defragments memory."),
    flag("huge-pages", "no")
        .runtime()
        .doc("Puts memory that is in use together into huge pages, on a thread of its own."),
    flag("jemalloc-bg-thread", "yes")
        .runtime()
        .doc("Gives freed memory back to the system on a thread of its own, idle or not."),
    flag("lazyfree-lazy-eviction", "no")
        .runtime()
        .accepted(BY_PIECES)
        .doc("Lets go of the values of evicted keys a little at a time."),
    flag("lazyfree-lazy-expire", "no")
        .runtime()
        .accepted(BY_PIECES)
        .doc("Lets go of the values of expired keys a little at a time."),
    flag("lazyfree-lazy-server-del", "no")
        .runtime()
        .accepted(BY_PIECES)
        .doc("Lets go of overwritten values a little at a time."),
    flag("lazyfree-lazy-user-del", "no")
        .runtime()
        .accepted(BY_PIECES)
        .doc("Makes DEL work as UNLINK."),
    flag("lazyfree-lazy-user-flush", "no")
        .runtime()
        .accepted(BY_PIECES)
        .doc("Makes FLUSHALL and FLUSHDB work as with ASYNC."),
    count("lfu-decay-time", "1", Unit::Minutes)
        .runtime()
        .doc("Time after which the count of a key's uses goes down by one; 0 for never."),
    count("lfu-log-factor", "10", Unit::None)
        .runtime()
        .doc("How slowly the count of a key's uses grows."),
    Setting::of(Kind::Memory { min: 0, max: u64::MAX }, "maxmemory", "0")
        .runtime()
        .doc("Memory from which keys are evicted or writes refused; 0 for no limit."),
    number("maxmemory-eviction-tenacity", "10", 0, 100, Unit::None)
        .runtime()
        .doc("How long one command may be held up by eviction."),
    choice("maxmemory-policy", "noeviction", POLICIES)
        .runtime()
        .doc("Keys that are evicted over maxmemory."),
    number("maxmemory-samples", "5", 1, 64, Unit::None)
        .runtime()
        .doc("Keys that are compared to choose one for eviction."),
    choice("oom-score-adj", "no", &["no", "yes", "relative", "absolute"])
        .runtime()
        .doc("Tells the system which processes to end first when memory runs out."),
    Setting::of(
        Kind::Special(crate::settings::special::Special::OomScores),
        "oom-score-adj-values",
        "0 200 800",
    )
    .runtime()
    .doc("Scores of a primary, a replica and a background process."),
];
