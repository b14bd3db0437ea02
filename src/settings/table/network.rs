//! Where clients come in, and how many.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{count, flag, number, port, text, words};

const NO_MPTCP: &str = "Troupe speaks plain TCP";
const NO_RDMA: &str = "Troupe has no RDMA transport; remove the line";

pub(super) const SETTINGS: &[Setting] = &[
    words("bind", "* -::*").runtime().doc(
        "Addresses to listen on; one that starts with a hyphen may be missing on the machine.",
    ),
    text("bind-source-addr", "")
        .runtime()
        .accepted("Troupe opens no connections of its own yet")
        .doc("Address that outgoing connections come from."),
    number("max-new-connections-per-cycle", "10", 1, 1000, Unit::None)
        .runtime()
        .accepted("new connections are handed out as they come")
        .doc("Connections taken up in one round of the event loop."),
    number("maxclients", "10000", 1, u32::MAX as i64, Unit::None)
        .runtime()
        .doc("Clients served at the same time; more are refused."),
    flag("mptcp", "no").accepted(NO_MPTCP).doc("Listens with Multipath TCP."),
    port("port", "6379").runtime().doc("TCP port to listen on; 0 for none."),
    flag("protected-mode", "yes")
        .runtime()
        .doc("Refuses other machines while there is no password for the default user."),
    words("rdma-bind", "").runtime().refused(NO_RDMA).doc("Addresses to listen on with RDMA."),
    number("rdma-completion-vector", "-1", -1, 1024, Unit::None)
        .accepted("Troupe has no RDMA transport")
        .doc("Completion vector of RDMA connections."),
    port("rdma-port", "0").runtime().refused(NO_RDMA).doc("RDMA port to listen on; 0 for none."),
    number("rdma-rx-size", "1048576", 65536, 16 << 20, Unit::Bytes)
        .accepted("Troupe has no RDMA transport")
        .doc("Receive buffer of an RDMA connection."),
    number("socket-mark-id", "0", 0, u32::MAX as i64, Unit::None)
        .accepted("sockets carry no mark")
        .doc("Mark that the operating system puts on all sockets; 0 for none."),
    count("tcp-backlog", "511", Unit::None)
        .doc("Connections that the operating system lets wait to be accepted."),
    count("tcp-keepalive", "300", Unit::Seconds)
        .runtime()
        .doc("Silence after which a client's connection is probed; 0 for never."),
    count("timeout", "0", Unit::Seconds)
        .runtime()
        .doc("Silence after which a client is cut off; 0 for never."),
    text("unixsocket", "").doc("Path of a unix socket to listen on; empty for none."),
    text("unixsocketgroup", "")
        .refused(
            "Troupe leaves the group of the unix socket as the directory gives it: remove the line \
             and set the group on the directory (chmod g+s)",
        )
        .doc("Group of the unix socket."),
    Setting::of(Kind::Octal, "unixsocketperm", "0").doc(
        "Permission bits of the unix socket in octal; 0 leaves them as the system gives them.",
    ),
];
