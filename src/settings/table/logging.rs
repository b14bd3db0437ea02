//! What is written to the log, and the logs of slow and large commands.

use crate::settings::Setting;
use crate::settings::kind::{Kind, Unit};
use crate::settings::setting::{choice, flag, long, number, text};
use crate::settings::special::Special;

const NEVER_SHOWN: &str = "keys and values are never shown in the log";
const FACILITIES: &[&str] =
    &["user", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"];

pub(super) const SETTINGS: &[Setting] = &[
    number("command-log-sample", "0", 0, u32::MAX as i64, Unit::None)
        .runtime()
        .ours()
        .doc("Logs one command in so many, without its values; 1 logs all, 0 none."),
    long("commandlog-large-reply-max-len", "128", Unit::None)
        .runtime()
        .doc("Entries kept in the log of commands with large replies."),
    long("commandlog-large-request-max-len", "128", Unit::None)
        .runtime()
        .doc("Entries kept in the log of large commands."),
    number("commandlog-reply-larger-than", "1048576", -1, i64::MAX, Unit::Bytes)
        .runtime()
        .doc("Size of a reply from which its command is logged; -1 for never."),
    number("commandlog-request-larger-than", "1048576", -1, i64::MAX, Unit::Bytes)
        .runtime()
        .doc("Size of a command from which it is logged; -1 for never."),
    flag("hide-user-data-from-log", "yes")
        .runtime()
        .accepted(NEVER_SHOWN)
        .doc("Keeps keys and values of clients out of the log."),
    number("hotkeys-sampling-percentage", "1", 1, 100, Unit::Percent)
        .runtime()
        .doc("Share of accesses to keys that is counted while 'hotkeys-top-k' is not 0."),
    number("hotkeys-top-k", "0", 0, 1000, Unit::None)
        .runtime()
        .doc("Keys that HOTKEYS GET names as those asked for most in the last window; 0 for none."),
    number("hotkeys-window-seconds", "1", 1, 300, Unit::Seconds)
        .runtime()
        .doc("Length of such a window."),
    long("latency-monitor-threshold", "0", Unit::Millis)
        .runtime()
        .doc("Duration from which an event enters the latency history; 0 for never."),
    flag("latency-tracking", "yes")
        .runtime()
        .doc("Counts how long each command takes, for INFO and LATENCY HISTOGRAM."),
    Setting::of(
        Kind::Special(Special::Percentiles),
        "latency-tracking-info-percentiles",
        "50 99 99.9",
    )
    .runtime()
    .doc("Percentiles that INFO latencystats shows."),
    Setting::of(Kind::Special(Special::LogFormat), "log-format", "text")
        .runtime()
        .ours()
        .doc("Form of a line of the log: text as Redis writes it, logfmt or json."),
    choice("log-timestamp-format", "legacy", &["legacy", "iso8601", "milliseconds"])
        .runtime()
        .accepted("the form of the time follows from 'log-format'")
        .doc("Form of the time in the log."),
    text("logfile", "").doc("File of the log; empty for the standard output."),
    choice("loglevel", "notice", &["debug", "verbose", "notice", "warning", "nothing"])
        .runtime()
        .doc("Least urgent lines that are logged."),
    number("slowlog-log-slower-than", "10000", -1, i64::MAX, Unit::Micros)
        .also(&["commandlog-execution-slower-than"])
        .runtime()
        .doc("Duration from which a command enters the slow log; -1 for never."),
    long("slowlog-max-len", "128", Unit::None)
        .also(&["commandlog-slow-execution-max-len"])
        .runtime()
        .doc("Entries kept in the slow log."),
    flag("syslog-enabled", "no")
        .refused(
            "Troupe does not write to syslog: log to the standard output and let the service \
             manager collect it, or set 'logfile'",
        )
        .doc("Logs to syslog."),
    choice("syslog-facility", "local0", FACILITIES)
        .accepted("Troupe does not write to syslog")
        .doc("Facility of the lines in syslog."),
    text("syslog-ident", "redis")
        .accepted("Troupe does not write to syslog")
        .doc("Name of the server in syslog."),
];
