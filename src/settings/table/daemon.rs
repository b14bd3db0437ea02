//! How the process runs.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{choice, count, flag, number, text, words};
use crate::settings::special::Special;
use crate::settings::table::FOR_TESTS;

const COPIED: &str = "replies are always copied to where they are sent from";
const ONE_END: &str = "a signal always ends the server with its journal flushed";
const ONE_ROLE: &str = "the operating system schedules Troupe's threads";
const OWN_CLIENTS: &str = "every thread of Troupe reads and writes its own clients: see 'shards'";
const SIGNAL_OPTIONS: &[&str] = &["default", "save", "nosave", "now", "force", "safe", "failover"];

pub(super) const SETTINGS: &[Setting] = &[
    flag("activerehashing", "yes")
        .runtime()
        .accepted("tables grow piece by piece all the time")
        .doc("Spends idle time on growing tables."),
    flag("always-show-logo", "no").accepted("there is no logo").doc("Prints a logo at the start."),
    words("aof_rewrite_cpulist", "")
        .also(&["aof-rewrite-cpulist"])
        .accepted(ONE_ROLE)
        .doc("Cores for rewriting the journal."),
    text("availability-zone", "")
        .runtime()
        .doc("Name of the zone that the server stands in, for HELLO and INFO to tell."),
    words("bgsave_cpulist", "")
        .also(&["bgsave-cpulist"])
        .accepted(ONE_ROLE)
        .doc("Cores for writing snapshots."),
    words("bio_cpulist", "")
        .also(&["bio-cpulist"])
        .accepted(ONE_ROLE)
        .doc("Cores for background work."),
    flag("crash-log-enabled", "yes")
        .runtime()
        .accepted("a panic is always logged with its backtrace")
        .doc("Logs a report when the server crashes."),
    flag("crash-memcheck-enabled", "yes")
        .runtime()
        .accepted("memory is not tested after a crash")
        .doc("Tests the memory after a crash."),
    flag("daemonize", "no").doc("Goes on in the background, free of the terminal."),
    number("databases", "16", 1, i32::MAX as i64, Unit::None)
        .doc("Databases that SELECT can choose from."),
    text("debug-context", "")
        .runtime()
        .hidden()
        .accepted(FOR_TESTS)
        .doc("A note that the report of a crash shows."),
    text("dir", "./")
        .runtime()
        .protected()
        .doc("Directory of the data; relative paths start from it."),
    flag("disable-thp", "yes")
        .accepted("nothing forks here: see huge-pages")
        .doc("Switches huge pages off for the process."),
    flag("dynamic-hz", "yes")
        .runtime()
        .accepted("periodic work does not run at a fixed rate")
        .doc("Adapts the rate of periodic work to the number of clients."),
    flag("enable-debug-assert", "no")
        .hidden()
        .accepted(FOR_TESTS)
        .doc("Checks more of what must hold at all times."),
    flag("extended-redis-compatibility", "no")
        .runtime()
        .accepted("Troupe always says the version of Redis that it follows")
        .doc("Says to be Redis where Valkey would name itself."),
    text("hash-seed", "")
        .secret()
        .accepted("tables are seeded anew at each start")
        .doc("Seed of the hash tables."),
    count("hz", "10", Unit::None)
        .runtime()
        .accepted("periodic work does not run at a fixed rate")
        .doc("Rounds of periodic work a second."),
    words("ignore-warnings", "")
        .runtime()
        .accepted("no warning stops the start")
        .doc("Warnings of the start that do not stop it."),
    number("io-threads", "1", 1, 256, Unit::None)
        .runtime()
        .accepted(OWN_CLIENTS)
        .doc("Threads that read and write for clients."),
    flag("io-threads-always-active", "no")
        .runtime()
        .hidden()
        .accepted(OWN_CLIENTS)
        .doc("Keeps further threads for sockets awake."),
    flag("io-threads-do-reads", "no")
        .runtime()
        .accepted(OWN_CLIENTS)
        .doc("Lets the threads of io-threads read too."),
    Setting::of(Kind::Special(Special::Lines { min: 1, max: 64 }), "loadmodule", "")
        .file_only()
        .refused("Troupe loads no modules; remove the line")
        .doc("Loads a module."),
    text("locale-collate", "")
        .runtime()
        .accepted("texts are compared byte by byte")
        .doc("Locale by which SORT ALPHA compares."),
    count("min-io-threads-avoid-copy-reply", "7", Unit::None)
        .runtime()
        .hidden()
        .accepted(COPIED)
        .doc("Threads from which on large values are not copied to be sent."),
    count("min-string-size-avoid-copy-reply", "16384", Unit::Bytes)
        .runtime()
        .hidden()
        .accepted(COPIED)
        .doc("Length from which on a value is not copied to be sent."),
    count("min-string-size-avoid-copy-reply-threaded", "65536", Unit::Bytes)
        .runtime()
        .hidden()
        .accepted(COPIED)
        .doc("The same with further threads for sockets."),
    text("pidfile", "")
        .doc("File that holds the process id while the server runs; empty for none."),
    number("prefetch-batch-max-size", "16", 0, 128, Unit::None)
        .runtime()
        .accepted("a batch is as long as what the client has sent")
        .doc("Commands whose keys are fetched from memory together."),
    text("proc-title-template", "{title} {listen-addr} {server-mode}")
        .runtime()
        .accepted("the process keeps the title that it was started with")
        .doc("Form of the process title."),
    choice("rebalance", "yes", &["no", "dry-run", "yes"]).runtime().ours().doc(
        "Moves keys from busy shards to idle ones; dry-run only says in the log what it would.",
    ),
    number("rebalance-busy", "85", 1, 100, Unit::Percent)
        .runtime()
        .ours()
        .doc("Share of its time for which a shard has to be busy before keys move."),
    flag("rebalance-clients", "yes")
        .runtime()
        .ours()
        .doc("Moves a client to the thread of the shard that nearly all of its commands go to."),
    number("rebalance-rest", "30", 0, 86_400, Unit::Seconds)
        .runtime()
        .ours()
        .doc("Time for which keys stay where they have moved to."),
    number("rebalance-start", "30", 1, 100, Unit::Percent)
        .runtime()
        .ours()
        .doc("Difference between the busiest and the idlest shard from which on keys move."),
    number("rebalance-stop", "15", 0, 100, Unit::Percent)
        .runtime()
        .ours()
        .doc("Difference below which no more keys move."),
    number("rebalance-window", "2", 1, 3_600, Unit::Seconds)
        .runtime()
        .ours()
        .doc("Time over which the load of shards is measured."),
    number("rebalance-windows", "3", 1, 1_000, Unit::None)
        .runtime()
        .ours()
        .doc("Windows in a row that have to be uneven before keys move."),
    number("restart-limit", "100", 0, 1_000_000, Unit::None)
        .runtime()
        .ours()
        .doc("Restarts of one actor within restart-window after which the process ends."),
    number("restart-window", "10", 1, 86_400, Unit::Seconds)
        .runtime()
        .ours()
        .doc("Time over which the restarts of an actor are counted."),
    words("server_cpulist", "")
        .also(&["server-cpulist"])
        .accepted(ONE_ROLE)
        .doc("Cores for serving clients."),
    flag("set-proc-title", "yes")
        .accepted("the process keeps the title that it was started with")
        .doc("Shows the state of the server in the process title."),
    number("shards", "0", 0, 1024, Unit::None).ours().doc(
        "Threads that serve clients, with a share of the keys each; 0 for one for each four cores.",
    ),
    Setting::of(Kind::Choices(SIGNAL_OPTIONS), "shutdown-on-sigint", "default")
        .runtime()
        .accepted(ONE_END)
        .doc("Options of the SHUTDOWN that SIGINT stands for."),
    Setting::of(Kind::Choices(SIGNAL_OPTIONS), "shutdown-on-sigterm", "default")
        .runtime()
        .accepted(ONE_END)
        .doc("Options of the SHUTDOWN that SIGTERM stands for."),
    count("shutdown-timeout", "10", Unit::Seconds)
        .runtime()
        .doc("Longest wait for replicas to catch up before the end."),
    choice("supervised", "no", &["upstart", "systemd", "auto", "no"])
        .doc("Service manager that is told when the server is ready."),
    flag("use-exit-on-panic", "no")
        .runtime()
        .hidden()
        .accepted(FOR_TESTS)
        .doc("Leaves without a memory image after a crash."),
    count("watchdog-period", "0", Unit::Millis)
        .runtime()
        .hidden()
        .accepted("INFO actors shows the longest slice of each shard")
        .doc("Time after which a command that still runs is logged; 0 for never."),
];
