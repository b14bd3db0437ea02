//! Snapshots.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{choice, file_name, flag, number};
use crate::settings::special::Special;

const NOT_YET: &str = "nothing reads it yet";

pub(super) const SETTINGS: &[Setting] = &[
    file_name("dbfilename", "dump.rdb", "dbfilename can't be a path, just a filename")
        .runtime()
        .protected()
        .doc("Name of the snapshot inside dir; without a journal it is loaded at the start."),
    number("key-load-delay", "0", i32::MIN as i64, i32::MAX as i64, Unit::Micros)
        .runtime()
        .hidden()
        .doc("How long each key takes at least to load; negative for keys a microsecond."),
    flag("rdb-del-sync-files", "no")
        .runtime()
        .accepted(NOT_YET)
        .doc("Removes snapshots that only served a replica."),
    number("rdb-key-save-delay", "0", i32::MIN as i64, i32::MAX as i64, Unit::Micros)
        .runtime()
        .hidden()
        .doc("How long each key takes at least to save; negative for keys a microsecond."),
    flag("rdb-save-incremental-fsync", "yes")
        .runtime()
        .doc("Makes a snapshot durable a little at a time."),
    choice("rdb-version", "10", &["10", "12"]).ours().runtime().doc(
        "How deadlines of hash fields are written: 10 as Valkey 9 reads them, 12 as Redis 7.4; all \
         else is written as Redis 7.0 reads it.",
    ),
    choice("rdb-version-check", "strict", &["strict", "relaxed"])
        .runtime()
        .accepted(NOT_YET)
        .doc("Refuses snapshots of a later version."),
    flag("rdbchecksum", "yes").doc("Ends a snapshot with a checksum, and looks at it."),
    flag("rdbcompression", "yes")
        .runtime()
        .doc("Compresses strings in snapshots and in the payloads of DUMP."),
    Setting::of(Kind::Special(Special::Save), "save", "3600 1 300 100 60 10000")
        .runtime()
        .doc("Seconds and changes after which a snapshot is taken, in pairs; empty for never."),
    number("snapshot-copies-max", "5", 1, 100, Unit::Percent).ours().runtime().doc(
        "Share of the used memory, at least 32 MiB, that copies for a snapshot may take before \
         writes wait for the disk.",
    ),
    flag("stop-writes-on-bgsave-error", "yes")
        .runtime()
        .doc("Refuses writes after a snapshot has failed."),
];
