//! Cluster mode, which Troupe does not have yet.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{choice, count, flag, long, memory, number, port, text};
use crate::settings::special::Special;

const NONE: &str = "there is no cluster mode yet";

pub(super) const SETTINGS: &[Setting] = &[
    flag("cluster-allow-pubsubshard-when-down", "yes")
        .runtime()
        .accepted(NONE)
        .doc("Serves sharded channels while the cluster is down."),
    flag("cluster-allow-reads-when-down", "no")
        .runtime()
        .accepted(NONE)
        .doc("Serves reads while the cluster is down."),
    flag("cluster-allow-replica-migration", "yes")
        .runtime()
        .accepted(NONE)
        .doc("Lets replicas move to primaries that have none."),
    port("cluster-announce-bus-port", "0")
        .runtime()
        .accepted(NONE)
        .doc("Bus port that the node tells the others; 0 for its own."),
    text("cluster-announce-client-ipv4", "")
        .runtime()
        .accepted(NONE)
        .doc("IPv4 address that the node tells clients."),
    text("cluster-announce-client-ipv6", "")
        .runtime()
        .accepted(NONE)
        .doc("IPv6 address that the node tells clients."),
    port("cluster-announce-client-port", "0")
        .runtime()
        .accepted(NONE)
        .doc("Port that the node tells clients; 0 for its own."),
    port("cluster-announce-client-tls-port", "0")
        .runtime()
        .accepted(NONE)
        .doc("TLS port that the node tells clients; 0 for its own."),
    Setting::of(Kind::Special(Special::Hostname), "cluster-announce-hostname", "")
        .runtime()
        .accepted(NONE)
        .doc("Host name that the node tells the others."),
    Setting::of(Kind::Special(Special::Hostname), "cluster-announce-human-nodename", "")
        .runtime()
        .accepted(NONE)
        .doc("Name of the node in logs."),
    text("cluster-announce-ip", "")
        .runtime()
        .accepted(NONE)
        .doc("Address that the node tells the others."),
    port("cluster-announce-port", "0")
        .runtime()
        .accepted(NONE)
        .doc("Port that the node tells the others; 0 for its own."),
    port("cluster-announce-tls-port", "0")
        .runtime()
        .accepted(NONE)
        .doc("TLS port that the node tells the others; 0 for its own."),
    long("cluster-blacklist-ttl", "60", Unit::Seconds)
        .runtime()
        .accepted(NONE)
        .doc("Time for which a forgotten node stays out."),
    number("cluster-compatibility-sample-ratio", "0", 0, 100, Unit::Percent)
        .runtime()
        .accepted(NONE)
        .doc("Share of commands that are looked at for what a cluster would refuse."),
    text("cluster-config-file", "nodes.conf")
        .accepted(NONE)
        .doc("File in which the node keeps the cluster's state."),
    choice("cluster-config-save-behavior", "sync", &["sync", "best-effort"])
        .runtime()
        .accepted(NONE)
        .doc("What to do when the cluster's state cannot be written."),
    number("cluster-databases", "1", 1, i32::MAX as i64, Unit::None)
        .accepted(NONE)
        .doc("Databases in cluster mode."),
    flag("cluster-enabled", "no")
        .refused("Troupe has no cluster mode yet: remove the line; one process uses all cores")
        .doc("Runs as a node of a cluster."),
    memory("cluster-link-sendbuf-limit", "0", 0)
        .runtime()
        .accepted(NONE)
        .doc("Bytes that may wait for another node; 0 for no limit."),
    number("cluster-manual-failover-timeout", "5000", 1, i32::MAX as i64, Unit::Millis)
        .runtime()
        .accepted(NONE)
        .doc("Longest time of a failover by hand."),
    number("cluster-message-gossip-perc", "10", 1, 100, Unit::Percent)
        .runtime()
        .hidden()
        .accepted(NONE)
        .doc("Share of the nodes that a message tells of."),
    count("cluster-migration-barrier", "1", Unit::None)
        .runtime()
        .accepted(NONE)
        .doc("Replicas that a primary keeps when one moves away."),
    long("cluster-node-timeout", "15000", Unit::Millis)
        .runtime()
        .accepted(NONE)
        .doc("Silence after which a node counts as down."),
    long("cluster-ping-interval", "0", Unit::Millis)
        .runtime()
        .hidden()
        .accepted(NONE)
        .doc("Time between two messages to a node; 0 for half of cluster-node-timeout."),
    port("cluster-port", "0").accepted(NONE).doc("Port of the bus; 0 for the port plus 10000."),
    choice("cluster-preferred-endpoint-type", "ip", &["ip", "hostname", "unknown-endpoint"])
        .runtime()
        .accepted(NONE)
        .doc("What a redirect names: an address, a host name or neither."),
    flag("cluster-replica-no-failover", "no")
        .also(&["cluster-slave-no-failover"])
        .runtime()
        .accepted(NONE)
        .doc("Keeps a replica from taking over by itself."),
    count("cluster-replica-validity-factor", "10", Unit::None)
        .also(&["cluster-slave-validity-factor"])
        .runtime()
        .accepted(NONE)
        .doc("How stale a replica may be to take over; 0 for however stale."),
    flag("cluster-require-full-coverage", "yes")
        .runtime()
        .accepted(NONE)
        .doc("Stops serving when a slot has no owner."),
    long("cluster-slot-migration-log-max-len", "1000", Unit::None)
        .runtime()
        .accepted(NONE)
        .doc("Entries kept in the log of moved slots."),
    flag("cluster-slot-stats-enabled", "no")
        .runtime()
        .accepted(NONE)
        .doc("Counts the load of each slot."),
    flag("import-mode", "no")
        .runtime()
        .doc("Keeps expired keys while data is imported from another server, and evicts none."),
    number("slot-migration-max-failover-repl-bytes", "0", -1, i64::MAX, Unit::Bytes)
        .runtime()
        .accepted(NONE)
        .doc("Writes still on their way with which a slot may change its owner; -1 for any."),
];
