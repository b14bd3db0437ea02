//! The house rules that a compiler does not hold: who imports whom, and how a source file looks.
//!
//! The tables below are the rules. Scanned are the Rust sources of both packages and of the tests.
//! Imports are those of code that ships: what is compiled for tests alone may build whatever it
//! needs.
//!
//! Left out: what rustfmt, clippy and the lints of the workspace check already.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::support::tests_folder;

/// Columns of a line. The reply in a dialogue of a test cannot be broken, and may pass it.
const COLUMNS_MAX: usize = 100;

/// Lines of a file; past it, ask which two things the file does.
const FILE_LINES_MAX: usize = 700;

/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 100;

/// What each module of the core may import, bottom first: only what stands above it here, but for
/// what [`CIRCLE`] names. Nothing imports the side layers, which are last.
const CORE: &[(&str, &[&str])] = &[
    ("base", &[]),
    ("filesystem", &[]),
    ("resp", &["base"]),
    ("settings", &["base"]),
    ("data", &["base"]),
    ("place", &["base"]),
    ("keyspace", &["base", "resp", "data", "place"]),
    ("rdb", &["base", "settings", "data", "keyspace"]),
    ("route", &["base"]),
    ("balance", &["base", "settings", "route"]),
    ("pubsub", &["base", "resp", "route"]),
    ("script", &["base", "resp"]),
    ("question", &["base", "settings", "script"]),
    (
        "commands",
        &[
            "base", "resp", "settings", "data", "keyspace", "rdb", "route", "pubsub", "script",
            "question", "session",
        ],
    ),
    ("transaction", &["base", "resp", "keyspace", "route", "pubsub", "commands"]),
    ("session", &["base", "keyspace", "route", "pubsub", "commands", "transaction"]),
    ("stream", &["resp", "settings", "keyspace"]),
    ("lending", &["base", "keyspace", "route", "pubsub"]),
    ("parked", &["base", "resp", "keyspace", "commands", "route", "session"]),
    (
        "batch",
        &[
            "base",
            "resp",
            "settings",
            "keyspace",
            "commands",
            "route",
            "session",
            "lending",
            "parked",
            "transaction",
            "script",
        ],
    ),
    ("clients", &["base", "pubsub", "commands", "session", "batch"]),
    ("counted", &["base", "settings", "keyspace", "question", "commands"]),
    (
        "hook",
        &[
            "base",
            "settings",
            "data",
            "keyspace",
            "route",
            "pubsub",
            "question",
            "commands",
            "session",
            "batch",
            "clients",
            "counted",
            "transaction",
            "script",
        ],
    ),
    (
        "shard",
        &[
            "balance",
            "base",
            "resp",
            "settings",
            "data",
            "place",
            "keyspace",
            "rdb",
            "route",
            "pubsub",
            "question",
            "commands",
            "session",
            "stream",
            "lending",
            "batch",
            "clients",
            "counted",
            "hook",
            "parked",
            "transaction",
            "script",
        ],
    ),
    (
        "aof",
        &[
            "base",
            "filesystem",
            "resp",
            "settings",
            "place",
            "keyspace",
            "rdb",
            "route",
            "stream",
            "script",
            "shard",
        ],
    ),
    (
        "snapshot",
        &[
            "base",
            "filesystem",
            "resp",
            "settings",
            "place",
            "keyspace",
            "rdb",
            "commands",
            "route",
            "shard",
        ],
    ),
    (
        "replication",
        &[
            "base", "resp", "settings", "keyspace", "rdb", "route", "commands", "session", "batch",
            "stream",
        ],
    ),
    ("check", &["base", "filesystem", "settings", "rdb", "commands", "shard", "aof"]),
    (
        "convert",
        &[
            "base",
            "filesystem",
            "resp",
            "settings",
            "data",
            "keyspace",
            "pubsub",
            "rdb",
            "route",
            "commands",
            "lending",
            "shard",
            "aof",
            "snapshot",
        ],
    ),
    ("restarts", &[]),
    ("router", &["base", "route", "shard"]),
    (
        "connection",
        &[
            "base", "resp", "settings", "route", "pubsub", "commands", "session", "batch",
            "clients", "parked",
        ],
    ),
    ("hooks", &["base", "question", "commands", "session", "clients", "counted", "hook"]),
    (
        "stats",
        &[
            "balance",
            "base",
            "resp",
            "settings",
            "data",
            "keyspace",
            "question",
            "commands",
            "counted",
            "hook",
            "replication",
        ],
    ),
];

/// The one circle: commands run on a session, and a session knows the last command of its client.
const CIRCLE: (&str, &str) = ("commands", "session");

/// Modules at the end of [`CORE`] that none imports.
const SIDE_LAYERS: usize = 7;

/// What each module of the shell may import. An actor knows messages and what belongs to no actor,
/// never another actor's module; `boot` alone knows them all, and only the process starts it.
const SHELL: &[(&str, &[&str])] = &[
    ("inbox", &[]),
    ("message", &["inbox"]),
    ("allocator", &[]),
    ("clock", &[]),
    ("memory", &[]),
    ("replicas", &["message"]),
    ("upstream", &[]),
    ("moves", &[]),
    ("shared", &["memory", "moves", "replicas", "upstream"]),
    ("balancer", &["message", "settings", "shared"]),
    ("logging", &[]),
    ("descriptors", &[]),
    ("doors", &["watched"]),
    ("watched", &[]),
    ("fault", &[]),
    ("filesystem", &[]),
    ("settings", &[]),
    ("layers", &[]),
    ("pace", &[]),
    ("post", &["inbox"]),
    ("guard", &["fault", "message"]),
    ("huge_pages", &["clock"]),
    ("thread", NO_ACTOR),
    ("actions", NO_ACTOR),
    ("supervise", NO_ACTOR),
    ("listener", NO_ACTOR),
    ("connection", NO_ACTOR),
    ("router", NO_ACTOR),
    ("shard", NO_ACTOR),
    ("aof", NO_ACTOR),
    ("snapshot", NO_ACTOR),
    ("admin", NO_ACTOR),
    ("boot", &["*"]),
    ("tools", &["clock", "filesystem"]),
    ("daemon", &["admin", "boot", "clock", "descriptors", "logging", "settings"]),
];

const NO_ACTOR: &[&str] = &[
    "balancer",
    "inbox",
    "message",
    "pace",
    "post",
    "settings",
    "allocator",
    "clock",
    "descriptors",
    "doors",
    "fault",
    "filesystem",
    "guard",
    "shared",
    "thread",
    "logging",
    "actions",
    "memory",
    "moves",
    "replicas",
    "upstream",
];

/// Where `unsafe` is allowed: what an entry and a blob look like in memory, and a call that has no
/// safe wrapper.
const UNSAFE: &[&str] = &[
    "src/data/blob.rs",
    "src/data/own.rs",
    "src/data/zset/large.rs",
    "src/data/zset/member.rs",
    "src/data/zset/tree.rs",
    "src/keyspace/entry.rs",
    "src/keyspace/object.rs",
    "src/base/prefetch.rs",
    "src/script/lua/interrupt.rs",
    "src/script/stack.rs",
    "actors/src/allocator.rs",
    "actors/src/huge_pages.rs",
    "actors/src/watched.rs",
];

/// A source file.
struct Source {
    /// From the root of the checkout.
    path: String,
    text: String,
}

impl Source {
    /// The module at the top of its package that it belongs to, if it belongs to one.
    fn module<'a>(&'a self, root: &str) -> Option<&'a str> {
        let inside = self.path.strip_prefix(root)?;
        let first = inside.split('/').next()?;
        Some(first.strip_suffix(".rs").unwrap_or(first))
    }

    /// How many modules stand between the root of the package and what is in the file.
    fn depth(&self, root: &str) -> usize {
        let inside = self.path.strip_prefix(root).unwrap_or(&self.path);
        inside.split('/').filter(|part| *part != "mod.rs").count()
    }

    /// The lines of code that ships: without comments, and without what is for tests alone.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<(usize, &str)> = (1..).zip(self.text.lines()).collect();
        let for_tests = |at: usize| at > 0 && lines[at - 1].1 == "#[cfg(test)]";
        // A module of tests is the last thing in its file; any other item takes one line.
        let end = (0..lines.len()).find(|at| for_tests(*at) && lines[*at].1.ends_with('{'));
        let kept = (0..end.unwrap_or(lines.len())).filter(|at| !for_tests(*at));
        let code = kept.map(|at| lines[at]).collect::<Vec<_>>().into_iter();
        code.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

fn collect(folder: &Path, root: &Path, sources: &mut Vec<Source>) {
    let mut entries: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            collect(&path, root, sources);
        } else if path.extension().is_some_and(|end| end == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            sources.push(Source { path, text });
        }
    }
}

/// Every Rust source of the checkout.
fn sources() -> Vec<Source> {
    let root = tests_folder().join("..").canonicalize().unwrap();
    let mut sources = Vec::new();
    for folder in ["src", "actors", "tests"] {
        collect(&root.join(folder), &root, &mut sources);
    }
    assert!(sources.len() > 100, "the sources are not where this test looks for them");
    sources
}

/// Files that are compiled for tests alone: `#[cfg(test)]` stands before their `mod`.
fn test_files(sources: &[Source]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for source in sources {
        let stem = source.path.strip_suffix(".rs").unwrap_or(&source.path);
        let folder = match stem.rsplit_once('/') {
            Some((folder, "mod" | "lib" | "main")) => folder,
            _ => stem,
        };
        for pair in source.text.lines().collect::<Vec<_>>().windows(2) {
            let module = pair[1].split_once("mod ").and_then(|(_, rest)| rest.strip_suffix(';'));
            if pair[0] == "#[cfg(test)]"
                && let Some(module) = module
            {
                found.insert(format!("{folder}/{module}.rs"));
                found.insert(format!("{folder}/{module}/"));
            }
        }
    }
    found
}

/// Names that follow `crate::` in a line.
fn imports(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").map(|(at, word)| {
        let rest = &line[at + word.len()..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_');
        &rest[..end.unwrap_or(rest.len())]
    })
}

/// The lines of a package's files that import something against its table.
fn breaches(root: &str, table: &[(&str, &[&str])]) -> String {
    let sources = sources();
    let tests = test_files(&sources);
    let table: BTreeMap<&str, &[&str]> = table.iter().copied().collect();
    let mut said = String::new();
    for source in &sources {
        let is_test = tests.iter().any(|test| source.path.starts_with(test.as_str()));
        let Some(module) = source.module(root).filter(|_| !is_test) else { continue };
        if module == "lib" || module == "main" {
            continue;
        }
        let Some(allowed) = table.get(module) else {
            panic!("{}: the table of imports does not know {module}", source.path)
        };
        let climbs = "super::".repeat(source.depth(root));
        for (number, line) in source.shipped() {
            assert!(!line.contains(&climbs), "{}:{number}: say crate::", source.path);
            for import in imports(line) {
                if import != module && !allowed.contains(&import) && !allowed.contains(&"*") {
                    said += &format!("{}:{number}: may not import {import}\n", source.path);
                }
            }
        }
    }
    said
}

#[test]
fn modules_import_only_what_they_may() {
    let said = breaches("src/", CORE) + &breaches("actors/src/", SHELL);
    assert!(said.is_empty(), "{said}");
}

#[test]
fn layers_stand_on_those_above_them() {
    let place = |module: &str| CORE.iter().position(|(name, _)| *name == module);
    for (at, (module, imports)) in CORE.iter().enumerate() {
        for import in *imports {
            let below = place(import).unwrap_or_else(|| panic!("{module}: there is no {import}"));
            assert!(below < at || (*module, *import) == CIRCLE, "{module} stands above {import}");
            assert!(below < CORE.len() - SIDE_LAYERS, "{module} may not import {import}");
        }
    }
}

/// Names every line of every source that `is_wrong`.
fn no_line(why: &str, is_wrong: impl Fn(&str) -> bool) {
    let mut said = String::new();
    for source in sources() {
        for (line, number) in source.text.lines().zip(1..) {
            if is_wrong(line) {
                said += &format!("{}:{number}: {why}\n", source.path);
            }
        }
    }
    assert!(said.is_empty(), "{said}");
}

#[test]
fn lines_fit_a_screen() {
    let is_reply = |line: &str| ["(error) ", "(action) "].iter().any(|kind| line.starts_with(kind));
    no_line("too wide", |line| line.chars().count() > COLUMNS_MAX && !is_reply(line.trim_start()));
}

#[test]
fn nothing_is_left_to_do() {
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("todo", "!")];
    no_line("unfinished", |line| marks.iter().any(|mark| line.contains(mark)));
}

#[test]
fn unsafe_code_is_where_it_is_expected() {
    let allowance = concat!("allow(unsafe", "_code)");
    let allowing = sources().into_iter().filter(|source| source.text.contains(allowance));
    let allowing: BTreeSet<String> = allowing.map(|source| source.path).collect();
    assert_eq!(allowing, UNSAFE.iter().map(|path| (*path).to_owned()).collect());
}

/// Texts may hold any character; code and comments are ASCII.
#[test]
fn only_texts_go_beyond_ascii() {
    no_line("not ASCII", |line| {
        let first = line.find(|c: char| !c.is_ascii());
        let is_comment = line.trim_start().starts_with("//");
        first.is_some_and(|first| is_comment || !line[..first].contains(['"', '\'']))
    });
}

#[test]
fn every_file_says_what_it_is_for() {
    for source in sources() {
        assert!(source.text.starts_with("//! "), "{} does not open with `//!`", source.path);
        let lines = source.text.lines().count();
        assert!(lines <= FILE_LINES_MAX, "{} has {lines} lines", source.path);
    }
}

/// The name of the function that begins in this line, and how far it is indented.
fn function(line: &str) -> Option<(&str, usize)> {
    let code = line.trim_start();
    let (before, after) = code.split_once("fn ")?;
    let words = ["pub", "const", "async", "extern"];
    let is_head = before.split_whitespace().all(|word| words.iter().any(|w| word.starts_with(w)));
    let name = after.split(['(', '<']).next()?;
    is_head.then_some((name, line.len() - code.len()))
}

/// rustfmt puts the brace that ends a function under its first letter.
#[test]
fn functions_fit_a_screen_or_two() {
    let mut said = String::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((name, indent)) = function(line) else { continue };
            let end = format!("{}}}", " ".repeat(indent));
            let length = lines[at..].iter().position(|line| *line == end).unwrap_or(0) + 1;
            if length > FUNCTION_LINES_MAX && !line.ends_with(['}', ';']) {
                said += &format!("{}:{}: {name} has {length} lines\n", source.path, at + 1);
            }
        }
    }
    assert!(said.is_empty(), "{said}");
}

/// Everything between backquotes in a README that looks like a path of this checkout is one.
#[test]
fn the_readmes_name_what_is_there() {
    let root = tests_folder().join("..");
    let places = ["src/", "actors/", "tests/", "config/", ".ci/"];
    for (readme, paths) in
        [("README.md", 60), ("tests/scripts/README.md", 30), ("tests/measure/README.md", 10)]
    {
        let text = std::fs::read_to_string(root.join(readme)).unwrap();
        let words = text.split('`').skip(1).step_by(2).flat_map(str::split_whitespace);
        let is_path = |word: &&str| {
            places.iter().any(|place| word.starts_with(place)) && !word.contains(['*', '<', '{'])
        };
        let named: Vec<&str> = words.filter(is_path).collect();
        for path in &named {
            assert!(root.join(path).exists(), "{readme} names {path}, which is not there");
        }
        assert!(named.len() >= paths, "{readme} names only {} paths", named.len());
    }
}
