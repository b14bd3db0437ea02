//! The table: every directive of Redis 7 and Valkey 9.1, and Troupe's own, declared once.
//!
//! A file a group, sorted by name inside it; adding a setting adds its lines to one of them (and a
//! field to [`super::Fields`] if the server uses it). `include` is no setting: it is a part of the
//! syntax of redis.conf. Defaults are Redis's; where Valkey differs (`lazyfree-*`,
//! `repl-backlog-size`), Redis's stand. Of two names for a setting the first is the one that
//! Redis 7 knows: CONFIG REWRITE writes that one.

mod cluster;
mod daemon;
mod journal;
mod limits;
mod logging;
mod memory;
mod network;
mod replication;
mod security;
mod snapshot;
mod tls;
mod values;

use std::collections::HashMap;
use std::sync::LazyLock;

use super::Setting;

/// Why some settings have no effect.
const FOR_TESTS: &str = "it serves tests of Redis alone";

/// The groups, in the order of `config/troupe.toml`, each with its title.
pub(super) const GROUPS: &[(&str, &[Setting])] = &[
    ("The process", daemon::SETTINGS),
    ("Network", network::SETTINGS),
    ("Limits of a client", limits::SETTINGS),
    ("Security", security::SETTINGS),
    ("Journal", journal::SETTINGS),
    ("Memory", memory::SETTINGS),
    ("Logs and measurements", logging::SETTINGS),
    ("Values, scripts, events", values::SETTINGS),
    ("Snapshots", snapshot::SETTINGS),
    ("Replication", replication::SETTINGS),
    ("Cluster", cluster::SETTINGS),
    ("TLS", tls::SETTINGS),
];

static ALL: LazyLock<Vec<&'static Setting>> =
    LazyLock::new(|| GROUPS.iter().flat_map(|(_, settings)| settings.iter()).collect());

/// Every name and alias, with its place in [`all`].
static PLACES: LazyLock<HashMap<&'static str, usize>> = LazyLock::new(|| {
    let places = all().iter().enumerate();
    places.flat_map(|(place, setting)| setting.names().map(move |name| (name, place))).collect()
});

/// Every setting, in the order of the table.
pub fn all() -> &'static [&'static Setting] {
    &ALL
}

/// The setting of a name or an alias, in any letter case.
pub fn find(name: &str) -> Option<&'static Setting> {
    place(name).map(|place| all()[place])
}

/// The place of a setting in [`all`].
pub(super) fn place(name: &str) -> Option<usize> {
    PLACES.get(name.to_ascii_lowercase().as_str()).copied()
}

/// The name that somebody may have meant who wrote `name`, if one is close enough.
pub fn nearest(name: &str) -> Option<&'static str> {
    const LONGEST: usize = 64;
    if name.len() > LONGEST {
        return None;
    }
    let name = name.to_ascii_lowercase().replace('_', "-");
    let names = all().iter().filter(|setting| !setting.hidden).flat_map(|setting| setting.names());
    let (distance, best) = names.map(|known| (distance(&name, known), known)).min()?;
    (distance <= 1 + name.len() / 4).then_some(best)
}

/// How many letters must be put in, taken out or changed to make one word of the other: row by row
/// through the table of all prefixes, of which only the last row is kept.
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (taken, letter) in left.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = taken + 1;
        for (place, other) in right.bytes().enumerate() {
            let changed = diagonal + usize::from(letter != other);
            diagonal = row[place + 1];
            row[place + 1] = changed.min(diagonal + 1).min(row[place] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::settings::{Kind, Support, When};

    #[test]
    fn names_are_unique_lower_case_and_sorted_in_a_group() {
        let mut seen = HashSet::new();
        for (title, settings) in GROUPS {
            for pair in settings.windows(2) {
                assert!(pair[0].name < pair[1].name, "{title}: {} out of order", pair[1].name);
            }
            for name in settings.iter().flat_map(|setting| setting.names()) {
                assert!(seen.insert(name), "{name} stands twice");
                let right = |byte: u8| byte.is_ascii_lowercase() || b"-_0123456789".contains(&byte);
                assert!(name.bytes().all(right), "{name}");
            }
        }
    }

    #[test]
    fn docs_are_one_line_with_a_full_stop() {
        for setting in all() {
            let doc = setting.doc;
            assert!(doc.ends_with('.') && !doc.contains('\n'), "{}: {doc}", setting.name);
            assert!(doc.starts_with(|first: char| first.is_uppercase()), "{}", setting.name);
        }
    }

    #[test]
    fn defaults_are_right_and_canonical() {
        for setting in all().iter().filter(|setting| setting.when != When::FileOnly) {
            let checked = setting.kind.check(&[setting.default.as_bytes()], b"");
            assert_eq!(checked.as_deref(), Ok(setting.default.as_bytes()), "{}", setting.name);
        }
    }

    #[test]
    fn reasons_and_remedies_read_on_in_a_line() {
        for setting in all() {
            if let Support::Accepted(why) | Support::Refused(why) = setting.support {
                assert!(!why.ends_with('.') && !why.contains('\n'), "{}", setting.name);
            }
        }
    }

    #[test]
    fn lines_that_add_up_are_known_by_name() {
        for setting in all() {
            let special = matches!(setting.kind, Kind::Special(_));
            assert!(special || !super::super::special::adds_up(setting.name), "{}", setting.name);
        }
    }

    #[test]
    fn names_are_found_in_any_case_and_by_alias() {
        assert_eq!(find("MaxClients").map(|setting| setting.name), Some("maxclients"));
        assert_eq!(find("slaveof").map(|setting| setting.name), Some("replicaof"));
        assert!(find("nope").is_none());
    }

    #[test]
    fn a_slip_of_the_pen_is_understood() {
        assert_eq!(nearest("maxclient"), Some("maxclients"));
        assert_eq!(nearest("append_only"), Some("appendonly"));
        assert_eq!(nearest("prot"), Some("port"));
        assert_eq!(nearest("hello-world"), None);
    }
}
