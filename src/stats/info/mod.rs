//! INFO: the sections, which of them are asked for, and how a line is written.
//!
//! Names and order of sections and fields are Redis's and Valkey's, since monitoring reads them by
//! name; what this server does not have is 0. [`SECTIONS`] lists them in the order of the reply.

mod commands;
mod keyspace;
pub(super) mod memory;
mod persistence;
pub(super) mod replication;
mod server;
mod shards;
mod stats;

use std::fmt::{Display, Write};

use crate::commands::action::names_section;
use crate::stats::facts::Facts;
use crate::stats::totals::Totals;

/// Room for the default sections, in bytes.
const TEXT_BYTES: usize = 8 * 1024;

/// What a section is written from.
pub(super) struct Source<'a> {
    pub(super) facts: &'a Facts,
    pub(super) totals: &'a Totals,
}

/// One section.
struct Section {
    /// As clients ask for it.
    name: &'static str,
    /// The line that begins it.
    title: &'static str,
    /// Shown when no section is asked for.
    by_default: bool,
    write: fn(&Source<'_>, &mut Lines<'_>),
}

const fn section(
    name: &'static str,
    title: &'static str,
    by_default: bool,
    write: fn(&Source<'_>, &mut Lines<'_>),
) -> Section {
    Section { name, title, by_default, write }
}

const SECTIONS: &[Section] = &[
    section("server", "Server", true, server::server),
    section("tls", "TLS", false, server::tls),
    section("clients", "Clients", true, server::clients),
    section("memory", "Memory", true, memory::memory),
    section("persistence", "Persistence", true, persistence::persistence),
    section("stats", "Stats", true, stats::stats),
    section("replication", "Replication", true, replication::replication),
    section("cpu", "CPU", true, server::cpu),
    section("modules", "Modules", true, |_, _| {}),
    section("commandstats", "Commandstats", false, commands::commandstats),
    section("errorstats", "Errorstats", true, commands::errorstats),
    section("latencystats", "Latencystats", false, commands::latencystats),
    section("cluster", "Cluster", true, server::cluster),
    section("scriptingengines", "Scripting Engines", false, server::scripting_engines),
    section("actors", "Actors", false, server::actors),
    section("shards", "Shards", false, shards::shards),
    section("keyspace", "Keyspace", true, keyspace::keyspace),
];

/// The sections that `asked` names; the default ones if it names none.
fn chosen(asked: &[Vec<u8>]) -> impl Iterator<Item = &'static Section> {
    let default =
        asked.is_empty() || asked.iter().any(|name| name.eq_ignore_ascii_case(b"default"));
    SECTIONS.iter().filter(move |section| {
        names_section(asked, section.name) || (default && section.by_default)
    })
}

/// True when the section with this name is shown to who asks for these.
pub(super) fn shows(asked: &[Vec<u8>], name: &str) -> bool {
    chosen(asked).any(|section| section.name == name)
}

/// The text of INFO with the sections that are asked for.
pub(super) fn text(asked: &[Vec<u8>], source: &Source<'_>) -> String {
    let mut out = String::with_capacity(TEXT_BYTES);
    for section in chosen(asked) {
        if !out.is_empty() {
            out.push_str("\r\n");
        }
        out.push_str("# ");
        out.push_str(section.title);
        out.push_str("\r\n");
        (section.write)(source, &mut Lines { out: &mut out });
    }
    out
}

/// Writes the lines of a section.
pub(super) struct Lines<'a> {
    out: &'a mut String,
}

impl Lines<'_> {
    /// `name:value`.
    fn field(&mut self, name: &str, value: impl Display) {
        self.out.push_str(name);
        // Writing to a string cannot fail.
        let _ = write!(self.out, ":{value}\r\n");
    }

    /// A truth value as 1 or 0.
    fn flag(&mut self, name: &str, value: bool) {
        self.field(name, u8::from(value));
    }

    /// Fields that stand for what this server does not have.
    fn zeros(&mut self, names: &[&str]) {
        for name in names {
            self.out.push_str(name);
            self.out.push_str(":0\r\n");
        }
    }

    /// A number of bytes, and once more as people read it.
    fn bytes(&mut self, name: &str, bytes: u64) {
        self.field(name, bytes);
        let _ = write!(self.out, "{name}_human:{}\r\n", Human(bytes));
    }
}

/// A number of bytes as people read it: `1016.07K`.
pub(super) struct Human(pub(super) u64);

impl Display for Human {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Human(bytes) = *self;
        if bytes < 1024 {
            return write!(out, "{bytes}B");
        }
        let power = (bytes.ilog2() / 10).min(5);
        let unit = [' ', 'K', 'M', 'G', 'T', 'P'][power as usize];
        write!(out, "{:.2}{unit}", bytes as f64 / (1u64 << (10 * power)) as f64)
    }
}

/// `part` of `whole`; 0 where there is no whole.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(asked: &[&str]) -> String {
        let asked: Vec<Vec<u8>> = asked.iter().map(|name| name.as_bytes().to_vec()).collect();
        let (facts, totals) = (Facts::default(), Totals::default());
        let text = text(&asked, &Source { facts: &facts, totals: &totals });
        let titles = text.split("\r\n").filter_map(|line| line.strip_prefix("# "));
        titles.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn sections_are_chosen_by_name() {
        assert_eq!(
            titles(&[]),
            "Server, Clients, Memory, Persistence, Stats, Replication, CPU, Modules, Errorstats, \
             Cluster, Keyspace"
        );
        assert_eq!(titles(&["CPU", "server", "nope", "tls"]), "Server, TLS, CPU");
        assert_eq!(titles(&["default", "commandstats"]).split(',').count(), 12);
        assert_eq!(titles(&["all"]).split(',').count(), SECTIONS.len());
        assert_eq!(titles(&["everything"]), titles(&["all"]));
        assert_eq!(titles(&["nope"]), "");
    }

    #[test]
    fn every_line_is_a_field() {
        let (facts, totals) = (Facts::default(), Totals::default());
        let text = text(&[b"all".to_vec()], &Source { facts: &facts, totals: &totals });
        for line in text.split("\r\n").filter(|line| !line.is_empty() && !line.starts_with('#')) {
            assert!(line.split_once(':').is_some_and(|(name, _)| !name.contains(' ')), "{line}");
        }
        let mut names: Vec<&str> =
            text.lines().filter_map(|line| Some(line.split_once(':')?.0)).collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count, "a field stands twice");
    }

    #[test]
    fn bytes_as_people_read_them() {
        let human = |bytes| Human(bytes).to_string();
        assert_eq!(human(0), "0B");
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1_040_456), "1016.07K");
        assert_eq!(human(25_276_510_208), "23.54G");
    }
}
