//! Snapshots, which Troupe does not take yet.

use crate::settings::Setting;
use crate::settings::kind::Kind;
use crate::settings::setting::{choice, flag, number};
use crate::settings::table::FOR_TESTS;
use crate::settings::{kind::Unit, special::Special};

const NO_SNAPSHOTS: &str = "there are no snapshots yet: set 'appendonly yes' to keep the data";

pub(super) const SETTINGS: &[Setting] = &[
    Setting::of(Kind::Special(Special::FileName), "dbfilename", "dump.rdb")
        .runtime()
        .protected()
        .doc("Name of the snapshot inside dir; without a journal it is loaded at the start."),
    number("key-load-delay", "0", i32::MIN as i64, i32::MAX as i64, Unit::Micros)
        .runtime()
        .hidden()
        .accepted(FOR_TESTS)
        .doc("Delay after each key that is loaded."),
    flag("rdb-del-sync-files", "no")
        .runtime()
        .accepted(NO_SNAPSHOTS)
        .doc("Removes snapshots that only served a replica."),
    number("rdb-key-save-delay", "0", i32::MIN as i64, i32::MAX as i64, Unit::Micros)
        .runtime()
        .hidden()
        .accepted(FOR_TESTS)
        .doc("Delay after each key that is saved."),
    flag("rdb-save-incremental-fsync", "yes")
        .runtime()
        .accepted(NO_SNAPSHOTS)
        .doc("Makes a snapshot durable a little at a time."),
    choice("rdb-version-check", "strict", &["strict", "relaxed"])
        .runtime()
        .accepted(NO_SNAPSHOTS)
        .doc("Refuses snapshots of a later version."),
    flag("rdbchecksum", "yes").doc("Looks at the checksum in which a snapshot ends."),
    flag("rdbcompression", "yes").runtime().doc("Compresses the payloads of DUMP."),
    Setting::of(Kind::Special(Special::Save), "save", "3600 1 300 100 60 10000")
        .runtime()
        .accepted(NO_SNAPSHOTS)
        .doc("Seconds and changes after which a snapshot is taken, in pairs; empty for never."),
    flag("stop-writes-on-bgsave-error", "yes")
        .runtime()
        .accepted(NO_SNAPSHOTS)
        .doc("Refuses writes after a snapshot has failed."),
];
