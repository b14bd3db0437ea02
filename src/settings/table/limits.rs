//! What one client may take up.

use crate::settings::Setting;
use crate::settings::kind::Kind;
use crate::settings::setting::memory;
use crate::settings::special::Special;

pub(super) const SETTINGS: &[Setting] = &[
    Setting::of(
        Kind::Special(Special::BufferLimits),
        "client-output-buffer-limit",
        "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60",
    )
    .runtime()
    .doc(
        "Bytes of waiting replies, by class: at once, for a time, that time in seconds; 0 for any.",
    ),
    memory("client-query-buffer-limit", "1073741824", 1 << 20)
        .runtime()
        .doc("Bytes of one client's requests that may wait to be run."),
    Setting::of(Kind::MemoryOrPercent, "maxmemory-clients", "0").runtime().doc(
        "Bytes, or share of maxmemory, of all clients together: the largest are closed; 0 for \
             no limit.",
    ),
    memory("proto-max-bulk-len", "536870912", 1 << 20)
        .runtime()
        .doc("Longest single string in a request."),
];
