//! What holds for every declaration, and that none differs from what Valkey 9.1.2 says.

use std::collections::{BTreeMap, HashSet};

use super::*;
use crate::commands::command::{Begin, Find, Flags, Group, KeySpec, Run};
use crate::commands::positions;
use crate::testing::Store;

/// The reply of COMMAND, recorded from Valkey 9.1.2 and written in lines.
const RECORDED: &str = include_str!("../../../tests/data/commands-valkey-9.1.2.tsv");

/// What neither has, in the same form.
const OURS: &str = include_str!("../../../tests/data/commands-troupe.tsv");

/// What Valkey has not, by the documentation of Redis 8.
const OF_REDIS: &str = include_str!("../../../tests/data/commands-redis-8.tsv");

#[test]
fn names_are_unique_and_lower_case() {
    let mut names = HashSet::new();
    for command in all() {
        let name = command.name.as_str();
        assert!(names.insert(name), "{name} is declared twice");
        assert_eq!(name, name.to_ascii_lowercase());
    }
}

#[test]
fn a_command_is_found_by_what_clients_call_it_and_no_other() {
    let found = |words: &[&str], renames: &Renames| {
        let bytes = words.concat();
        let spans: Vec<Span> = words
            .iter()
            .scan(0, |start, word| {
                let span = Span { start: *start, len: word.len() as u32 };
                *start += span.len;
                Some(span)
            })
            .collect();
        match find(bytes.as_bytes(), &spans, renames) {
            Found::Command(command) => Some(command.name.as_str()),
            Found::Nothing => None,
        }
    };
    let of = |words: &[&str]| found(words, &Renames::default());
    assert_eq!(of(&["GeT", "k"]), Some("get"));
    assert_eq!(of(&["get"]), None);
    assert_eq!(of(&["sort\x7fro", "k"]), None, "only letters have a case");
    assert_eq!(of(&["config", "GET", "save"]), Some("config|get"));
    assert_eq!(of(&["config|get", "save", "x"]), None);
    assert_eq!(of(&["config", "get|x", "save"]), None);
    let mut renames = Renames::default();
    renames.add(b"get", b"fetch");
    assert_eq!(found(&["get", "k"], &renames), None);
    assert_eq!(found(&["Fetch", "k"], &renames), Some("get"));
    assert_eq!(found(&["set", "k", "v"], &renames), Some("set"));
}

#[test]
fn the_only_key_of_a_request_is_the_one_that_its_declaration_tells() {
    let words = [Span { start: 0, len: 1 }; 8];
    let mut found = Vec::new();
    for command in all().iter().filter(|command| command.run.is_on_keys()) {
        for words in (0..words.len()).map(|len| &words[..len]) {
            let Some(at) = command.only_key(words.len()) else { continue };
            if command.accepts(words.len()) {
                assert_eq!(positions::keys(command, words, b"x"), [at], "{}", command.name);
                found.push(format!("{} {}", command.name, words.len()));
            }
        }
    }
    for one in ["get 2", "set 5", "del 2", "mget 2", "mset 3", "exists 2", "sinter 2"] {
        assert!(found.iter().any(|found| found == one), "{one}");
    }
    for several in ["del 3", "mset 5", "rename 3", "sinterstore 3", "sort 2"] {
        assert!(found.iter().all(|found| found != several), "{several}");
    }
}

#[test]
fn an_element_stands_inside_the_arity() {
    for command in all() {
        let Some(at) = command.element else { continue };
        assert!(i64::from(at) < command.arity.as_integer().abs(), "{}", command.name);
    }
}

#[test]
fn subcommands_are_sorted_and_belong_to_their_container() {
    for command in commands() {
        let names: Vec<&str> = command.subcommands.iter().map(|sub| sub.name.as_str()).collect();
        assert!(names.is_sorted(), "{names:?}");
        for name in names {
            let prefix = format!("{}|", command.name);
            assert!(name.starts_with(&prefix), "{name} in {}", command.name);
        }
        let is_container = matches!(command.run, Run::Container);
        assert!(!is_container || !command.subcommands.is_empty(), "{} never runs", command.name);
    }
}

#[test]
fn a_subcommand_is_not_found_under_its_full_name() {
    let reply = Store::new().run("CONFIG|GET x");
    assert_eq!(reply, "(error) ERR unknown command 'CONFIG|GET', with args beginning with: 'x' ");
}

#[test]
fn a_summary_is_one_sentence() {
    for command in all() {
        let (name, summary) = (command.name, command.summary);
        assert!(summary.ends_with('.') && !summary.contains(". "), "{name}: {summary}");
        assert!(summary.starts_with(|first: char| first.is_ascii_uppercase()), "{name}: {summary}");
        assert!(!command.since.is_empty(), "{name}");
    }
}

#[test]
fn a_command_reads_or_writes_the_data_but_not_both() {
    for command in all() {
        let is_both = command.flags.has(Flags::WRITE.and(Flags::READONLY));
        assert!(!is_both, "{}", command.name);
        let is_either = command.flags.has(Flags::WRITE) || command.flags.has(Flags::READONLY);
        // Channels are no keys, who watches a key does not look at it, and what a script does is
        // known when it runs.
        let is_aside =
            matches!(command.group, Group::PubSub | Group::Transactions | Group::Scripting);
        let is_neither = is_aside || command.flags.has(Flags::ADMIN);
        assert!(is_either || command.keys.is_empty() || is_neither, "{}", command.name);
    }
}

#[test]
fn keys_stand_within_the_arity() {
    for command in all() {
        let fewest = match command.arity {
            Arity::Exactly(n) | Arity::AtLeast(n) => usize::from(n),
        };
        for spec in command.keys {
            if let KeySpec { begin: Begin::Index(at), find, .. } = spec {
                let last = match find {
                    // A list to the end may be empty.
                    Find::Range { last: ..0, .. } => usize::from(*at) - 1,
                    Find::Range { last, .. } => usize::from(*at) + last.unsigned_abs() as usize,
                    Find::KeyNum { at: count, .. } => usize::from(*at + *count),
                    Find::Unknown => usize::from(*at),
                };
                assert!(last < fewest, "{}: {spec:?}", command.name);
            }
        }
    }
}

#[test]
fn every_declaration_is_what_valkey_says() {
    let recorded: BTreeMap<&str, &str> = RECORDED
        .lines()
        .chain(OF_REDIS.lines())
        .chain(OURS.lines())
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let mut wrong = Vec::new();
    let shown = commands().flat_map(|command| command.shown_subcommands());
    for command in commands().chain(shown) {
        let name = command.name.as_str();
        let said = said(command);
        match recorded.get(name) {
            Some(expected) if *expected == said => {}
            Some(expected) => wrong.push(format!("{name}\n  valkey {expected}\n  here   {said}")),
            None => wrong.push(format!("{name}: nobody else has such a command")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A declaration as a line of the record, without the name.
fn said(command: &Command) -> String {
    let (first, last, step) = positions::range(command);
    let specs: Vec<String> = command.keys.iter().map(spec).collect();
    [
        command.arity.as_integer().to_string(),
        format!("{first} {last} {step}"),
        sorted(command.flags.except(Flags::UNTOLD).names()),
        sorted(command.acl_categories().names()),
        sorted(command.tips.iter().copied()),
        specs.join("; "),
    ]
    .join("\t")
}

fn sorted(words: impl Iterator<Item = &'static str>) -> String {
    let mut words: Vec<&str> = words.collect();
    words.sort_unstable();
    words.join(" ")
}

fn spec(spec: &KeySpec) -> String {
    let begin = match spec.begin {
        Begin::Index(index) => format!("index {index}"),
        Begin::Keyword(word, from) => format!("keyword {word} {from}"),
        Begin::Unknown => "unknown".to_owned(),
    };
    let find = match spec.find {
        Find::Range { last, step, limit } => format!("range {last} {step} {limit}"),
        Find::KeyNum { at, first, step } => format!("keynum {at} {first} {step}"),
        Find::Unknown => "unknown".to_owned(),
    };
    format!("{}: {begin}, {find}", sorted(spec.access.names()))
}
