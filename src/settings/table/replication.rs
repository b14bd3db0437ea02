//! Replication: as the primary, and as a replica.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{choice, count, flag, long, memory, number, port, text};
use crate::settings::special::Special;

const ONE_WAY: &str = "a snapshot is loaded beside the old data, which is served meanwhile";
const GOES_ON: &str = "a command that fails is logged, and the replica goes on";
const LEFT_TO_SYSTEM_TOO: &str = "TCP is used as it is";
const NO_BUFFER: &str = "what is written meanwhile waits at the primary";
const AT_LEISURE: &str = "old data always goes a little at a time";
const NOT_OFFERED: &str = "snapshots go over the connection of the stream";
const LEFT_TO_SYSTEM: &str = "small packets are sent at once";

pub(super) const SETTINGS: &[Setting] = &[
    flag("dual-channel-replication-enabled", "no")
        .runtime()
        .accepted(NOT_OFFERED)
        .doc("Sends the snapshot of a full sync on a connection of its own."),
    text("masterauth", "")
        .also(&["primaryauth"])
        .runtime()
        .secret()
        .doc("Password for the primary."),
    text("masteruser", "").also(&["primaryuser"]).runtime().doc("User name for the primary."),
    count("min-replicas-max-lag", "10", Unit::Seconds)
        .also(&["min-slaves-max-lag"])
        .runtime()
        .doc("Silence after which a replica no longer counts."),
    count("min-replicas-to-write", "0", Unit::None)
        .also(&["min-slaves-to-write"])
        .runtime()
        .doc("Replicas below which writes are refused; 0 for none."),
    choice("propagation-error-behavior", "ignore", &["ignore", "panic", "panic-on-replicas"])
        .runtime()
        .accepted(GOES_ON)
        .doc("What to do when a command from the primary fails."),
    memory("repl-backlog-size", "1048576", 1)
        .runtime()
        .doc("Writes kept for replicas that come back."),
    long("repl-backlog-ttl", "3600", Unit::Seconds)
        .runtime()
        .doc("Time without replicas after which the kept writes are let go; 0 for never."),
    flag("repl-disable-tcp-nodelay", "no")
        .runtime()
        .accepted(LEFT_TO_SYSTEM)
        .doc("Lets the system join small packets to replicas."),
    choice(
        "repl-diskless-load",
        "disabled",
        &["disabled", "on-empty-db", "swapdb", "flush-before-load"],
    )
    .runtime()
    .accepted(ONE_WAY)
    .doc("Loads the snapshot of a full sync from the socket."),
    flag("repl-diskless-sync", "yes")
        .runtime()
        .doc("Sends the snapshot of a full sync without writing it to disk."),
    count("repl-diskless-sync-delay", "5", Unit::Seconds)
        .runtime()
        .doc("Wait for more replicas before a full sync starts."),
    count("repl-diskless-sync-max-replicas", "0", Unit::None)
        .runtime()
        .doc("Replicas with which a full sync starts at once; 0 for no such number."),
    flag("repl-mptcp", "no")
        .accepted(LEFT_TO_SYSTEM_TOO)
        .doc("Reaches the primary with Multipath TCP."),
    number("repl-ping-replica-period", "10", 1, i32::MAX as i64, Unit::Seconds)
        .also(&["repl-ping-slave-period"])
        .runtime()
        .doc("Time between signs of life to replicas."),
    flag("repl-slow-writers", "no")
        .runtime()
        .doc("Lets writes wait before a replica that falls behind is cut off, while it gets on."),
    number("repl-timeout", "60", 1, i32::MAX as i64, Unit::Seconds)
        .runtime()
        .doc("Silence after which a replication link is given up."),
    text("replica-announce-ip", "")
        .also(&["slave-announce-ip"])
        .runtime()
        .doc("Address that a replica tells its primary."),
    port("replica-announce-port", "0")
        .also(&["slave-announce-port"])
        .runtime()
        .doc("Port that a replica tells its primary; 0 for its own."),
    flag("replica-announced", "yes").runtime().doc("Lets Sentinel see the replica."),
    memory("replica-full-sync-buffer-limit", "0", 0)
        .runtime()
        .accepted(NO_BUFFER)
        .doc("Writes kept in memory while a full sync is loaded; 0 for no limit."),
    flag("replica-ignore-disk-write-errors", "no")
        .runtime()
        .doc("Lets a replica go on when its disk fails."),
    flag("replica-ignore-maxmemory", "yes")
        .also(&["slave-ignore-maxmemory"])
        .runtime()
        .doc("Leaves eviction to the primary."),
    flag("replica-lazy-flush", "no")
        .also(&["slave-lazy-flush"])
        .runtime()
        .accepted(AT_LEISURE)
        .doc("Lets go of the old data a little at a time on a full sync."),
    count("replica-priority", "100", Unit::None)
        .also(&["slave-priority"])
        .runtime()
        .doc("Rank for promotion by Sentinel; 0 for never."),
    flag("replica-read-only", "yes")
        .also(&["slave-read-only"])
        .runtime()
        .doc("Refuses writes of clients on a replica."),
    flag("replica-serve-stale-data", "yes")
        .also(&["slave-serve-stale-data"])
        .runtime()
        .doc("Answers clients while the primary is out of reach."),
    Setting::of(Kind::Special(Special::Primary), "replicaof", "")
        .also(&["slaveof"])
        .doc("Host and port of the primary."),
];
