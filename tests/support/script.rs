//! Scripts: commands, `---`, the replies as redis-cli prints them. One set for every runner.
//!
//! ```text
//! # what the case shows
//! SET k v EX 100
//! c2: GET k
//! tick 20ms
//! TTL k
//! ---
//! OK
//! "v"
//! (integer) 99..100
//! ```
//!
//! A blank line ends a case; each case starts with empty databases and new connections. `c2:` names
//! another client. `c2& BLPOP k 0` has it send a command that waits: the next line comes when the
//! server counts it among those that wait, and a line `c2:` takes its reply; what it sends by `c2&`
//! meanwhile stands behind that. `tick` lets time pass. Words are cut as redis-cli cuts them; a
//! word `x*1000` in at-braces, `@{x*1000}`, stands for a thousand x, and `@{c2}` for the number of
//! that client; `SCANALL options` calls SCAN until it has
//! come round, and answers the keys in order. In the expected replies
//!
//! - `(integer) 99..100` is a range,
//! - a line `*` is any one reply, however many lines it has,
//! - a line that starts with `? ` is a pattern in which `*` is any text,
//! - a reply whose first line starts with `~ ` is an array in any order.
//!
//! At the head of a file, `# needs: redis` has Redis 7.0.15 as its oracle in place of Valkey, and
//! `# needs: troupe` none; `# needs: core` is for the bare core alone (long ticks). A line
//! `# server: why` in the head of a case leaves it out on the bare core. `TROUPE_BLESS=1` writes
//! the oracle's replies into the files (patterns that match are kept): read the difference before
//! it is committed. `TROUPE_SCRIPTS=string/set` runs only the files whose path holds that text.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::reply::{Reply, words};

/// What runs a script: a server over TCP, or the bare core.
pub trait Runner {
    /// Empties everything and forgets all clients: a new case begins.
    fn reset(&mut self);
    /// Runs one command for the client of that name.
    fn run(&mut self, client: &str, args: &[Vec<u8>]) -> Reply;
    /// Has the client of that name send a command, and waits until it waits, or is answered.
    fn send(&mut self, client: &str, args: &[Vec<u8>]);
    /// Takes the next reply of a client that has sent something.
    fn take(&mut self, client: &str) -> Reply;
    /// The number of the client of that name.
    fn id(&mut self, client: &str) -> u64;
    /// Lets time pass.
    fn tick(&mut self, by: Duration);
    /// True for the bare core, which lacks what a whole server does.
    fn is_bare(&self) -> bool {
        false
    }
}

/// One step of a case.
enum Step {
    Command { client: String, args: Vec<Vec<u8>> },
    Send { client: String, args: Vec<Vec<u8>> },
    Take { client: String },
    Tick(Duration),
}

/// Commands and the lines that are expected.
struct Case {
    /// Line number of the first command, for messages.
    line: usize,
    /// Comments and commands as they stand in the file.
    head: Vec<String>,
    steps: Vec<Step>,
    expected: Vec<String>,
    /// The bare core cannot run it.
    needs_server: bool,
}

/// A file of cases.
pub struct Script {
    path: PathBuf,
    /// What stands after `# needs:`.
    pub needs: Option<String>,
    cases: Vec<Case>,
}

/// All script files, sorted, as far as `TROUPE_SCRIPTS` lets them.
pub fn all() -> Vec<Script> {
    let wanted = std::env::var("TROUPE_SCRIPTS").unwrap_or_default();
    let mut paths = Vec::new();
    collect(&super::tests_folder().join("scripts"), &mut paths);
    paths.sort();
    let wanted = paths.into_iter().filter(|path| path.to_string_lossy().contains(&wanted));
    wanted.map(|path| Script::read(&path).unwrap_or_else(|err| panic!("{err}"))).collect()
}

fn collect(folder: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, paths);
        } else if path.extension().is_some_and(|ending| ending == "txt") {
            paths.push(path);
        }
    }
}

impl Script {
    fn read(path: &Path) -> Result<Script, String> {
        let text = fs::read_to_string(path).map_err(|err| format!("{}: {err}", path.display()))?;
        let needs = text.lines().find_map(|line| line.strip_prefix("# needs:"));
        let needs = needs.map(|value| value.trim().to_string());
        let mut cases = Vec::new();
        let mut block: Vec<(usize, &str)> = Vec::new();
        for (index, line) in text.lines().chain([""]).enumerate() {
            if !line.is_empty() {
                block.push((index + 1, line));
            } else if !block.is_empty() {
                let case = Case::read(&block);
                cases.push(case.map_err(|err| format!("{}: {err}", path.display()))?);
                block.clear();
            }
        }
        Ok(Script { path: path.to_path_buf(), needs, cases })
    }

    /// Group and name: `string/set`.
    pub fn name(&self) -> String {
        let root = super::tests_folder().join("scripts");
        let path = self.path.strip_prefix(root).unwrap_or(&self.path);
        path.with_extension("").to_string_lossy().into_owned()
    }

    /// Runs all cases that the runner can; each difference is a text for the reader.
    pub fn run(&self, runner: &mut dyn Runner) -> Vec<String> {
        let mut differences = Vec::new();
        let can_run = |case: &&Case| !case.needs_server || !runner.is_bare();
        let cases: Vec<&Case> = self.cases.iter().filter(can_run).collect();
        for case in cases.into_iter().filter(|case| !case.steps.is_empty()) {
            let replies = case.replies(runner);
            let (blessed, differs) = case.compare(&replies);
            if differs {
                let at = format!("{}:{}", self.path.display(), case.line);
                let head = case.head.join("\n");
                let wanted = case.expected.join("\n");
                let got = blessed.join("\n");
                differences.push(format!("{at}\n{head}\n--- expected\n{wanted}\n--- got\n{got}\n"));
            }
        }
        differences
    }

    /// Runs all cases and writes what came into the file.
    pub fn bless(&self, runner: &mut dyn Runner) {
        let mut text = Vec::new();
        for case in &self.cases {
            text.extend(case.head.iter().cloned());
            if !case.steps.is_empty() {
                text.push("---".into());
                text.extend(case.compare(&case.replies(runner)).0);
            }
            text.push(String::new());
        }
        text.pop();
        fs::write(&self.path, text.join("\n") + "\n").unwrap();
    }
}

impl Case {
    fn read(block: &[(usize, &str)]) -> Result<Case, String> {
        let mark = block.iter().position(|(_, line)| *line == "---").unwrap_or(block.len());
        let (head, tail) = block.split_at(mark);
        let mut steps = Vec::new();
        for (number, line) in head.iter().filter(|(_, line)| !line.starts_with('#')) {
            steps.push(Step::read(line).map_err(|err| format!("line {number}: {err}"))?);
        }
        let line = head.iter().find(|(_, line)| !line.starts_with('#')).map_or(0, |(at, _)| *at);
        let text = |lines: &[(usize, &str)]| lines.iter().map(|(_, l)| l.to_string()).collect();
        let expected: Vec<String> = text(tail.get(1..).unwrap_or_default());
        let needs_server = head.iter().any(|(_, line)| line.starts_with("# server: "));
        Ok(Case { line, head: text(head), steps, expected, needs_server })
    }

    fn replies(&self, runner: &mut dyn Runner) -> Vec<Reply> {
        runner.reset();
        let mut replies = Vec::new();
        for step in &self.steps {
            match step {
                Step::Command { client, args } if args[0] == b"SCANALL" => {
                    replies.push(scan_all(runner, client, &args[1..]));
                }
                Step::Command { client, args } => {
                    let args = with_ids(args, runner);
                    replies.push(runner.run(client, &args));
                }
                Step::Send { client, args } => runner.send(client, args),
                Step::Take { client } => replies.push(runner.take(client)),
                Step::Tick(by) => runner.tick(*by),
            }
        }
        replies
    }

    /// The expected lines where they match and the printed reply where they do not; whether any
    /// did not.
    fn compare(&self, replies: &[Reply]) -> (Vec<String>, bool) {
        let mut expected = self.expected.iter().map(String::as_str).peekable();
        let (mut blessed, mut differs) = (Vec::new(), false);
        for reply in replies {
            let printed = reply.printed();
            let lines: Vec<&str> = printed.lines().collect();
            let any = expected.peek() == Some(&"*");
            let count = if any { 1 } else { lines.len() };
            let wanted: Vec<&str> = expected.by_ref().take(count).collect();
            if any || matches(&wanted, &lines) {
                blessed.extend(wanted.iter().map(ToString::to_string));
            } else {
                differs = true;
                let mark = wanted.first().is_some_and(|line| line.starts_with("~ "));
                let text = lines.iter().enumerate();
                blessed.extend(text.map(|(index, line)| {
                    if mark && index == 0 { format!("~ {line}") } else { line.to_string() }
                }));
            }
        }
        let too_many = expected.next().is_some();
        (blessed, differs || too_many)
    }
}

/// SCAN from start to end: the keys without repetition, in order; an error as it is.
fn scan_all(runner: &mut dyn Runner, client: &str, options: &[Vec<u8>]) -> Reply {
    let (mut cursor, mut keys) = (b"0".to_vec(), std::collections::BTreeSet::new());
    loop {
        let args = [&[b"SCAN".to_vec(), cursor][..], options].concat();
        let Reply::Array(parts) = runner.run(client, &args) else {
            return runner.run(client, &args);
        };
        keys.extend(parts[1].members().iter().filter_map(Reply::bytes).map(<[u8]>::to_vec));
        cursor = parts[0].bytes().unwrap().to_vec();
        if cursor == b"0" {
            return Reply::Array(keys.into_iter().map(Reply::Bulk).collect());
        }
    }
}

/// Whether one reply, line by line, is what is expected.
fn matches(wanted: &[&str], got: &[&str]) -> bool {
    if let Some(first) = wanted.first().and_then(|line| line.strip_prefix("~ ")) {
        return sorted(&[&[first], &wanted[1..]].concat()) == sorted(got);
    }
    wanted.len() == got.len() && wanted.iter().zip(got).all(|(want, got)| matches_line(want, got))
}

/// The lines without their numbers, in order of the alphabet.
fn sorted<'a>(lines: &[&'a str]) -> Vec<&'a str> {
    let mut bare: Vec<&str> = lines.iter().map(|line| without_number(line)).collect();
    bare.sort_unstable();
    bare
}

fn without_number(line: &str) -> &str {
    let rest = line.trim_start().trim_start_matches(|mark: char| mark.is_ascii_digit());
    rest.strip_prefix(") ").map_or(line, without_number)
}

fn matches_line(want: &str, got: &str) -> bool {
    if let Some(pattern) = want.strip_prefix("? ") {
        return matches_pattern(pattern, got);
    }
    // The number stands at the end, behind `(integer) ` and perhaps behind a place in an array.
    let range = want.rsplit_once("(integer) ").and_then(|(before, range)| {
        let (low, high) = range.split_once("..")?;
        Some((before, low.parse::<i64>().ok()?, high.parse::<i64>().ok()?))
    });
    match (range, got.rsplit_once("(integer) ")) {
        (Some((want_before, low, high)), Some((got_before, number))) => {
            let number = number.parse::<i64>();
            want_before == got_before && number.is_ok_and(|number| (low..=high).contains(&number))
        }
        _ => want == got,
    }
}

fn matches_pattern(pattern: &str, text: &str) -> bool {
    let Some((before, after)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(before) else { return false };
    (0..=rest.len())
        .filter(|at| rest.is_char_boundary(*at))
        .any(|at| matches_pattern(after, &rest[at..]))
}

impl Step {
    fn read(line: &str) -> Result<Step, String> {
        if let Some(time) = line.strip_prefix("tick ") {
            let millis = time.strip_suffix("ms").and_then(|number| number.parse().ok());
            let millis = millis.ok_or_else(|| format!("tick wants milliseconds: {line}"))?;
            return Ok(Step::Tick(Duration::from_millis(millis)));
        }
        if let Some(client) = line.strip_suffix(':').filter(|name| is_name(name)) {
            return Ok(Step::Take { client: client.into() });
        }
        let sends = line.split_once("& ").filter(|(name, _)| is_name(name));
        let named = sends.or_else(|| line.split_once(": ").filter(|(name, _)| is_name(name)));
        let (client, rest) = named.unwrap_or(("c1", line));
        let args = words(rest)?.into_iter().map(|word| repeated(&word).unwrap_or(word)).collect();
        let client = client.into();
        Ok(if sends.is_some() {
            Step::Send { client, args }
        } else {
            Step::Command { client, args }
        })
    }
}

/// The words with numbers in the places of clients' names.
fn with_ids(args: &[Vec<u8>], runner: &mut dyn Runner) -> Vec<Vec<u8>> {
    let mut number = |word: &Vec<u8>| {
        let name = word.strip_prefix(b"@{")?.strip_suffix(b"}")?;
        let name = std::str::from_utf8(name).ok().filter(|name| is_name(name))?;
        Some(runner.id(name).to_string().into_bytes())
    };
    args.iter().map(|word| number(word).unwrap_or_else(|| word.clone())).collect()
}

fn is_name(name: &str) -> bool {
    let number = name.strip_prefix('c').unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// `@{x*1000}` as a thousand x.
fn repeated(word: &[u8]) -> Option<Vec<u8>> {
    let inner = std::str::from_utf8(word.strip_prefix(b"@{")?.strip_suffix(b"}")?).ok()?;
    let (text, count) = inner.rsplit_once('*')?;
    Some(text.repeat(count.parse().ok()?).into_bytes())
}

#[test]
fn patterns_match_what_they_should() {
    assert!(matches_line("(integer) 99..100", "(integer) 99"));
    assert!(matches_line("2) (integer) -5..5", "2) (integer) -5"));
    assert!(!matches_line("(integer) 99..100", "(integer) 101"));
    assert!(!matches_line("1) (integer) 1..2", "2) (integer) 1"));
    assert!(matches_line("? \"id=*addr=*\"", "\"id=3 addr=x\""));
    assert!(!matches_line("? OK*x", "OK"));
    assert!(matches(&["~ 1) \"a\"", "2) \"b\""], &["1) \"b\"", "2) \"a\""]));
    assert!(!matches(&["~ 1) \"a\"", "2) \"b\""], &["1) \"b\"", "2) \"b\""]));
}
