//! The command line: `troupe [FILE | -] [--directive value ...]`, Redis's grammar.
//!
//! A directive takes all words up to the next one that starts with `--`; its first value may
//! itself start so (`--proc-title-template --my--title`), save that of `--save`, which may have
//! none. A directive and its values may be one quoted word (`"--maxclients 100"`), as scripts for
//! Redis write it. Words right behind the file are a directive without its `--`.
//!
//! A divergence from Redis: the file may also stand behind a directive that can take no more, if
//! its name ends in `.conf` or `.toml`: behind one of a single value, or one whose value is the
//! empty word (`--save "" redis.conf`).

use troupe::settings::{conf, find};

use super::fatal::{self, Fatal, Place};
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
    pub(super) file: Option<String>,
    pub(super) from_stdin: bool,
    pub(super) lines: Vec<Line>,
    /// Only say whether the settings are right.
    pub(super) check_only: bool,
}

const HELP: &str = "\
Usage: troupe [FILE | -] [--directive value ...]

FILE is TOML (see config/troupe.toml) or redis.conf; - reads the standard input.
Every directive of the file can be given on the command line with -- before it,
or in the environment: TROUPE_MAXCLIENTS=100 is --maxclients 100. The command
line goes over the environment, the environment over the file.

  troupe                                      serve with the defaults
  troupe troupe.toml --port 7000
  troupe /etc/redis/redis.conf --save \"\" --appendonly yes
  echo 'port 7000' | troupe -

  --check-config     say whether the configuration is right, and end
  -v, --version      print the version, and end
  -h, --help         print this, and end
";

pub(super) fn parse(words: Vec<String>) -> Result<Wish, Fatal> {
    let mut command_line = CommandLine::default();
    for word in words {
        let wants_value = command_line.lines.last().is_some_and(wants_value);
        let directive = word.strip_prefix("--").filter(|rest| !rest.is_empty() && !wants_value);
        if let Some(directive) = directive {
            if let Some(wish) = command_line.open(&word, directive)? {
                return Ok(wish);
            }
            continue;
        }
        let full = command_line.lines.last().is_none_or(is_full);
        let first = command_line.file.is_none() && command_line.lines.is_empty();
        match word.as_str() {
            "-" if full => command_line.from_stdin = true,
            "-v" if full => return Ok(Wish::Print(version())),
            "-h" if full => return Ok(Wish::Print(HELP.to_owned())),
            _ if !full => command_line.add(&word),
            _ if first && !word.starts_with('-') => command_line.file = Some(word),
            _ if command_line.lines.is_empty() => command_line.begin(&word)?,
            _ if command_line.file.is_none() && names_a_file(&word) => {
                command_line.file = Some(word);
            }
            _ => command_line.add(&word),
        }
    }
    // `--save --port 7000`: no value at all means the empty one, for that directive alone.
    for line in &mut command_line.lines {
        if may_be_bare(line) && line.words.is_empty() {
            line.words.push(String::new());
        }
    }
    Ok(Wish::Run(command_line))
}

fn names_a_file(word: &str) -> bool {
    word.ends_with(".conf") || word.ends_with(".toml")
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
        (_, None) => false,
    }
}

impl CommandLine {
    /// Takes a word that starts with `--`.
    fn open(&mut self, word: &str, directive: &str) -> Result<Option<Wish>, Fatal> {
        const REDIS_ONLY: &str = "Troupe has no such mode";
        match directive {
            "version" => return Ok(Some(Wish::Print(version()))),
            "help" => return Ok(Some(Wish::Print(HELP.to_owned()))),
            "check-config" => self.check_only = true,
            "test-memory" => {
                return Err(Fatal {
                    place: Place::CommandLine,
                    text: word.to_owned(),
                    problem: REDIS_ONLY.to_owned(),
                    remedy: "Test the memory with memtest86+ or memtester.".to_owned(),
                });
            }
            "sentinel" | "check-system" => {
                let remedy = "Remove the word.".to_owned();
                let (place, text) = (Place::CommandLine, word.to_owned());
                return Err(Fatal { place, text, problem: REDIS_ONLY.to_owned(), remedy });
            }
            _ => self.begin(directive)?,
        }
        Ok(None)
    }

    /// Begins a directive from one word, which may hold values as well.
    fn begin(&mut self, directive: &str) -> Result<(), Fatal> {
        let place = Place::CommandLine;
        let words = conf::split_words(directive)
            .map_err(|error| fatal::grammar(place.clone(), directive, &error.to_string()))?;
        let mut words = words.into_iter();
        let name = words.next().unwrap_or_default();
        self.lines.push(Line { place, text: name.clone(), name, words: Vec::new() });
        words.for_each(|word| self.add(&word));
        Ok(())
    }

    /// Gives a word to the directive before it.
    fn add(&mut self, word: &str) {
        if let Some(line) = self.lines.last_mut() {
            // Always in quotes, as Redis shows what it took for the value of what.
            let quoted = conf::quoted(word);
            let quoted = if quoted.starts_with('"') { quoted } else { format!("\"{quoted}\"") };
            line.text = format!("{} {quoted}", line.text);
            line.words.push(word.to_owned());
        }
    }
}

fn version() -> String {
    format!("Troupe server v={} bits={}\n", env!("CARGO_PKG_VERSION"), usize::BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> CommandLine {
        match parse(words.iter().map(|word| (*word).to_owned()).collect()) {
            Ok(Wish::Run(command_line)) => command_line,
            Ok(Wish::Print(text)) => panic!("it prints {text}"),
            Err(fatal) => panic!("{fatal}"),
        }
    }

    fn lines(command_line: &CommandLine) -> Vec<(&str, Vec<&str>)> {
        let mut lines = Vec::new();
        for line in &command_line.lines {
            lines.push((line.name.as_str(), line.words.iter().map(String::as_str).collect()));
        }
        lines
    }

    #[test]
    fn directives_take_words_up_to_the_next() {
        let it = parsed(&["a.conf", "--port", "7000", "--save", "60", "1", "--bind", "::1", "-x"]);
        assert_eq!(it.file.as_deref(), Some("a.conf"));
        assert_eq!(
            lines(&it),
            [("port", vec!["7000"]), ("save", vec!["60", "1"]), ("bind", vec!["::1", "-x"])]
        );
        assert_eq!(it.lines[1].text, "save \"60\" \"1\"");
    }

    #[test]
    fn the_file_may_stand_behind_a_full_directive() {
        let it = parsed(&["--port", "7000", "--save", "", "file.conf", "-"]);
        assert_eq!(it.file.as_deref(), Some("file.conf"));
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
        assert_eq!(it.file.as_deref(), Some("a.conf"));
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
            let Ok(Wish::Print(text)) = parse(vec![words[0].to_owned()]) else { panic!() };
            assert!(text.contains(said), "{text}");
        }
        assert!(parsed(&["--check-config"]).check_only);
    }

    #[test]
    fn what_is_refused() {
        for words in [&["--test-memory", "1"] as &[&str], &["--sentinel"], &["--port \"1"]] {
            let words = words.iter().map(|word| (*word).to_owned()).collect();
            assert!(parse(words).is_err());
        }
    }
}
