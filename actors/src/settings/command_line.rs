//! The command line: `troupe [FILE | -] [--directive value ...]`, Redis's grammar.
//!
//! Words are bytes, as the system hands them over.
//!
//! A directive takes all words up to the next one that starts with `--`; its first value may
//! itself start so (`--proc-title-template --my--title`), save that of `--save`, which may have
//! none. A directive and its values may be one quoted word (`"--maxclients 100"`), as scripts for
//! Redis write it. Words right behind the file are a directive without its `--`.
//!
//! `--include` gives the lines of other files, at its place among the directives.
//!
//! A divergence from Redis: the file may also stand behind a directive that can take no more, if
//! its name ends in `.conf` or `.toml`: behind one of a single value, or one whose value is the
//! empty word (`--save "" redis.conf`).

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use troupe::settings::{conf, find};

use super::fatal::{self, DirectivePlace, Fatal};
use super::layer::Line;

/// What the words ask for.
pub(super) enum Wish {
    /// To print something.
    Print(String),
    /// To read the settings.
    Run(CommandLine),
}

/// The words, sorted out.
#[derive(Debug, Default)]
pub(super) struct CommandLine {
    pub(super) file: Option<PathBuf>,
    pub(super) from_stdin: bool,
    pub(super) lines: Vec<Line>,
    /// Only say whether the settings are right.
    pub(super) check_only: bool,
}

const HELP: &str = "\
Usage: troupe [FILE | -] [--directive value ...]
       troupe check PATH [--fix]    say what is in files of a data set, and mend them
       troupe convert FROM TO       make a snapshot of a journal, or a journal of a snapshot

FILE is TOML (see config/troupe.toml) or redis.conf; - reads the standard input.
Every directive of the file can be given on the command line with -- before it,
or in the environment: TROUPE_MAXCLIENTS=100 is --maxclients 100. The command
line goes over the environment, the environment over the file.

  troupe                                      serve with the defaults
  troupe troupe.toml --port 7000
  troupe /etc/redis/redis.conf --save \"\" --appendonly yes
  troupe --port 7000 --include /etc/redis/redis.conf
  echo 'port 7000' | troupe -
  troupe check --help                         more of the two tools

  --check-config     say whether the configuration is right, and end
  -v, --version      print the version, and end
  -h, --help         print this, and end
";

pub(super) fn parse(words: Vec<Vec<u8>>) -> Result<Wish, Fatal> {
    let mut command_line = CommandLine::default();
    for word in words {
        let wants_value = command_line.lines.last().is_some_and(wants_value);
        let directive = word.strip_prefix(b"--").filter(|rest| !rest.is_empty() && !wants_value);
        if let Some(directive) = directive {
            if let Some(wish) = command_line.open(&word, directive)? {
                return Ok(wish);
            }
            continue;
        }
        let full = command_line.lines.last().is_none_or(is_full);
        let first = command_line.file.is_none() && command_line.lines.is_empty();
        match word.as_slice() {
            b"-" if full => command_line.from_stdin = true,
            b"-v" if full => return Ok(Wish::Print(version())),
            b"-h" if full => return Ok(Wish::Print(HELP.to_owned())),
            _ if !full => command_line.add(&word),
            _ if first && !word.starts_with(b"-") => command_line.file = Some(path(word)),
            _ if command_line.lines.is_empty() => command_line.begin(&word)?,
            _ if command_line.file.is_none() && names_a_file(&word) => {
                command_line.file = Some(path(word));
            }
            _ => command_line.add(&word),
        }
    }
    // `--save --port 7000`: no value at all means the empty one, for that directive alone.
    for line in &mut command_line.lines {
        if may_be_bare(line) && line.words.is_empty() {
            line.words.push(Vec::new());
        }
    }
    Ok(Wish::Run(command_line))
}

fn names_a_file(word: &[u8]) -> bool {
    word.ends_with(b".conf") || word.ends_with(b".toml")
}

fn path(word: Vec<u8>) -> PathBuf {
    OsString::from_vec(word).into()
}

/// Whether a directive still lacks its first value.
fn wants_value(line: &Line) -> bool {
    line.words.is_empty() && !may_be_bare(line)
}

fn may_be_bare(line: &Line) -> bool {
    line.name.eq_ignore_ascii_case("save")
}

/// Whether a directive can take no more words.
fn is_full(line: &Line) -> bool {
    match (line.words.as_slice(), find(&line.name)) {
        ([], _) => false,
        ([only], _) if only.is_empty() => true,
        (_, Some(setting)) => !setting.kind.takes_words() && !setting.kind.is_line(),
        (_, None) => line.is_include(),
    }
}

impl CommandLine {
    /// Takes a word that starts with `--`.
    fn open(&mut self, word: &[u8], directive: &[u8]) -> Result<Option<Wish>, Fatal> {
        const REDIS_ONLY: &str = "Troupe has no such mode";
        match directive {
            b"version" => return Ok(Some(Wish::Print(version()))),
            b"help" => return Ok(Some(Wish::Print(HELP.to_owned()))),
            b"check-config" => self.check_only = true,
            b"test-memory" => {
                return Err(Fatal {
                    place: DirectivePlace::CommandLine,
                    text: shown(word),
                    problem: REDIS_ONLY.to_owned(),
                    remedy: "Test the memory with memtest86+ or memtester.".to_owned(),
                });
            }
            b"sentinel" | b"check-system" => {
                let remedy = "Remove the word.".to_owned();
                let (place, text) = (DirectivePlace::CommandLine, shown(word));
                return Err(Fatal { place, text, problem: REDIS_ONLY.to_owned(), remedy });
            }
            _ => self.begin(directive)?,
        }
        Ok(None)
    }

    /// Begins a directive from one word, which may hold values as well.
    fn begin(&mut self, directive: &[u8]) -> Result<(), Fatal> {
        let place = DirectivePlace::CommandLine;
        let unbalanced = || fatal::grammar(place.clone(), &shown(directive), conf::UNBALANCED);
        let mut words = conf::split_words(directive).ok_or_else(unbalanced)?.into_iter();
        let name = shown(&words.next().unwrap_or_default());
        self.lines.push(Line { place, text: name.clone(), name, words: Vec::new() });
        words.for_each(|word| self.add(&word));
        Ok(())
    }

    /// Gives a word to the directive before it.
    fn add(&mut self, word: &[u8]) {
        if let Some(line) = self.lines.last_mut() {
            // Always in quotes, as Redis shows what it took for the value of what.
            let quoted = conf::quoted(word);
            let quoted = if quoted.starts_with('"') { quoted } else { format!("\"{quoted}\"") };
            line.text = format!("{} {quoted}", line.text);
            line.words.push(word.to_owned());
        }
    }
}

fn shown(word: &[u8]) -> String {
    String::from_utf8_lossy(word).into_owned()
}

fn version() -> String {
    format!("Troupe server v={} bits={}\n", env!("CARGO_PKG_VERSION"), usize::BITS)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn parsed(words: &[&str]) -> CommandLine {
        match parse(words.iter().map(|word| word.as_bytes().to_vec()).collect()) {
            Ok(Wish::Run(command_line)) => command_line,
            Ok(Wish::Print(text)) => panic!("it prints {text}"),
            Err(fatal) => panic!("{fatal}"),
        }
    }

    fn lines(command_line: &CommandLine) -> Vec<(&str, Vec<&str>)> {
        let mut lines = Vec::new();
        for line in &command_line.lines {
            let text = |word| std::str::from_utf8(word).expect("text");
            lines.push((line.name.as_str(), line.words.iter().map(|word| text(word)).collect()));
        }
        lines
    }

    #[test]
    fn directives_take_words_up_to_the_next() {
        let it = parsed(&["a.conf", "--port", "7000", "--save", "60", "1", "--bind", "::1", "-x"]);
        assert_eq!(it.file.as_deref(), Some(Path::new("a.conf")));
        assert_eq!(
            lines(&it),
            [("port", vec!["7000"]), ("save", vec!["60", "1"]), ("bind", vec!["::1", "-x"])]
        );
        assert_eq!(it.lines[1].text, "save \"60\" \"1\"");
    }

    #[test]
    fn the_file_may_stand_behind_a_full_directive() {
        let it = parsed(&["--port", "7000", "--save", "", "file.conf", "-"]);
        assert_eq!(it.file.as_deref(), Some(Path::new("file.conf")));
        assert!(it.from_stdin);
        assert_eq!(lines(&it), [("port", vec!["7000"]), ("save", vec![""])]);
    }

    #[test]
    fn odd_forms_of_redis_are_taken() {
        let it = parsed(&["--save", "--maxclients 100", "--slowlog-log-slower-than", "-1"]);
        assert_eq!(
            lines(&it),
            [
                ("save", vec![""]),
                ("maxclients", vec!["100"]),
                ("slowlog-log-slower-than", vec!["-1"])
            ]
        );
        assert_eq!(lines(&parsed(&["--requirepass", "-"])), [("requirepass", vec!["-"])]);
        let it =
            parsed(&["a.conf", "loglevel", "verbose", "--maxmemory '7mb'", "--logfile", "--x"]);
        assert_eq!(it.file.as_deref(), Some(Path::new("a.conf")));
        assert_eq!(
            lines(&it),
            [("loglevel", vec!["verbose"]), ("maxmemory", vec!["7mb"]), ("logfile", vec!["--x"])]
        );
        let it = parsed(&["--port", "--loglevel", "verbose", "--loglevel", "debug", "x"]);
        assert_eq!(it.lines[0].text, "port \"--loglevel\" \"verbose\"");
        assert_eq!(it.lines[1].text, "loglevel \"debug\" \"x\"");
    }

    #[test]
    fn what_only_prints() {
        for (words, said) in [
            (["--version"], env!("CARGO_PKG_VERSION")),
            (["-v"], "Troupe server v="),
            (["--help"], "--check-config"),
            (["-h"], "Usage"),
        ] {
            let Ok(Wish::Print(text)) = parse(vec![words[0].as_bytes().to_vec()]) else { panic!() };
            assert!(text.contains(said), "{text}");
        }
        assert!(parsed(&["--check-config"]).check_only);
    }

    #[test]
    fn what_is_refused() {
        for words in [&["--test-memory", "1"] as &[&str], &["--sentinel"], &["--port \"1"]] {
            let words = words.iter().map(|word| word.as_bytes().to_vec()).collect();
            assert!(parse(words).is_err());
        }
    }
}
