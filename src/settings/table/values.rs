//! How values are kept, scripts, and events: thresholds that Redis's clients and tests set.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{count, flag, long, memory, number};
use crate::settings::special::Special;

pub(super) const SETTINGS: &[Setting] = &[
    long("busy-reply-threshold", "5000", Unit::Millis)
        .also(&["lua-time-limit"])
        .runtime()
        .doc("Duration from which other clients are told that a script keeps the server busy."),
    long("hash-max-listpack-entries", "512", Unit::None)
        .also(&["hash-max-ziplist-entries"])
        .runtime()
        .doc("Fields up to which a hash is packed."),
    memory("hash-max-listpack-value", "64", 0)
        .also(&["hash-max-ziplist-value"])
        .runtime()
        .doc("Length of a field or value up to which a hash is packed."),
    memory("hll-sparse-max-bytes", "3000", 0)
        .runtime()
        .doc("Size up to which a HyperLogLog is sparse."),
    count("list-compress-depth", "0", Unit::None)
        .runtime()
        .accepted("no node of a list is ever compressed")
        .doc("Nodes at each end of a list that are not compressed; 0 for no compression."),
    number("list-max-listpack-size", "-2", i32::MIN as i64, i32::MAX as i64, Unit::None)
        .also(&["list-max-ziplist-size"])
        .runtime()
        .doc("Items in a node of a list, or its size: -1 for 4 kb up to -5 for 64 kb."),
    long("list-max-ziplist-entries", "512", Unit::None)
        .runtime()
        .hidden()
        .accepted("Redis has no such setting any more")
        .doc("Items up to which a list was packed."),
    long("list-max-ziplist-value", "64", Unit::Bytes)
        .runtime()
        .hidden()
        .accepted("Redis has no such setting any more")
        .doc("Length of an item up to which a list was packed."),
    flag("lua-enable-deprecated-api", "no")
        .also(&["lua-enable-insecure-api"])
        .runtime()
        .hidden()
        .protected()
        .accepted("there are no scripts yet")
        .doc("Lets scripts use what could reach out of them."),
    flag("lua-replicate-commands", "yes")
        .runtime()
        .hidden()
        .accepted("Redis has no such setting any more")
        .doc("Replicated scripts by their effects."),
    Setting::of(Kind::Special(Special::Events), "notify-keyspace-events", "")
        .runtime()
        .doc("Classes of keyspace events that are sent; empty for none."),
    long("script-max-run-ms", "0", Unit::Millis)
        .ours()
        .runtime()
        .doc("Duration after which a script is ended by itself; 0 for never."),
    flag("script-undo", "yes").ours().runtime().doc(
        "SCRIPT KILL takes back what a script has changed. Without it a script that has changed \
         something cannot be ended, as in Redis.",
    ),
    memory("script-undo-max", "268435456", 1024).ours().runtime().doc(
        "What may be kept of keys that a script changes, to take the changes back; a script that \
         changes more is ended, and all of it is taken back.",
    ),
    long("set-max-intset-entries", "512", Unit::None)
        .runtime()
        .doc("Members up to which a set of integers is packed."),
    long("set-max-listpack-entries", "128", Unit::None)
        .runtime()
        .doc("Members up to which a set is packed."),
    long("set-max-listpack-value", "64", Unit::Bytes)
        .runtime()
        .doc("Length of a member up to which a set is packed."),
    memory("stream-node-max-bytes", "4096", 0)
        .runtime()
        .doc("Size of a node of a stream; 0 for no limit."),
    long("stream-node-max-entries", "100", Unit::None)
        .runtime()
        .doc("Entries in a node of a stream; 0 for no limit."),
    long("zset-max-listpack-entries", "128", Unit::None)
        .also(&["zset-max-ziplist-entries"])
        .runtime()
        .doc("Members up to which a sorted set is packed."),
    memory("zset-max-listpack-value", "64", 0)
        .also(&["zset-max-ziplist-value"])
        .runtime()
        .doc("Length of a member up to which a sorted set is packed."),
];
