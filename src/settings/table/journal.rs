//! The journal (append-only file).

use crate::settings::Setting;
use crate::settings::kind::Unit;
use crate::settings::setting::{choice, count, file_name, flag, memory, number};

pub(super) const SETTINGS: &[Setting] = &[
    flag("aof-disable-auto-gc", "no")
        .runtime()
        .doc("Keeps files of the journal that are no longer needed."),
    flag("aof-load-skip-refused", "no").ours().doc(
        "Goes on without records of another server's journal that cannot be applied, with a \
         warning each.",
    ),
    flag("aof-load-truncated", "yes")
        .runtime()
        .doc("Cuts off a torn last record at the start instead of giving up."),
    flag("aof-rewrite-incremental-fsync", "yes")
        .runtime()
        .doc("Makes a rewritten journal durable a little at a time."),
    flag("aof-timestamp-enabled", "no")
        .runtime()
        .doc("Notes in the journal at which second its records came in."),
    flag("aof-use-rdb-preamble", "yes")
        .runtime()
        .doc("Writes the base of the journal in the format of a snapshot."),
    file_name("appenddirname", "appendonlydir", "appenddirname can't be a path, just a dirname")
        .doc("Directory of the journal inside dir."),
    file_name(
        "appendfilename",
        "appendonly.aof",
        "appendfilename can't be a path, just a filename",
    )
    .doc("Start of the names of the journal's files."),
    choice("appendfsync", "everysec", &["everysec", "always", "no"]).runtime().doc(
        "When a write is on disk: before its reply, within a second, or at the system's will.",
    ),
    flag("appendonly", "no").runtime().doc("Keeps a journal of all writes."),
    memory("auto-aof-rewrite-min-size", "67108864", 0)
        .runtime()
        .doc("Size from which the journal is rewritten by itself."),
    count("auto-aof-rewrite-percentage", "100", Unit::Percent)
        .runtime()
        .doc("Growth from which the journal is rewritten by itself; 0 for never."),
    number("loading-process-events-interval-bytes", "2097152", 1024, i32::MAX as i64, Unit::Bytes)
        .runtime()
        .hidden()
        .accepted("clients are answered all the time while the data set is loaded")
        .doc("What is loaded between two looks at the clients."),
    flag("no-appendfsync-on-rewrite", "no")
        .runtime()
        .accepted("the journal is synced as appendfsync says, whatever else is written")
        .doc("Leaves fsync to the system while a journal or snapshot is being written."),
];
