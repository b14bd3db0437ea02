//! Layers for the `config` crate, and how a line travels through it.
//!
//! Every layer maps a setting's name (never an alias) to a list of lines. That crate knows texts
//! and numbers only, so a line, whose words are bytes, stands beside it with its place, and the
//! crate gets its number. The lists of `client-output-buffer-limit` stand one step deeper, by
//! class, and those of settings whose lines add up by layer: tables are merged where lists are
//! replaced, and a class named in one layer must not hide the others below, nor save points or
//! renamed commands those of the file.

use std::error::Error;

use config::builder::DefaultState;
use config::{Config, ConfigBuilder, ConfigError, FileFormat, Format, Map, Source};
use config::{Value, ValueKind};
use troupe::settings::{Kind, SettingError, Special, Syntax, conf, find, toml};

use super::fatal::{self, DirectivePlace, Fatal};
use super::file;

/// A directive with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) place: DirectivePlace,
    /// The line, variable or words as they were written, to be shown.
    pub(super) text: String,
    /// The name as it was written.
    pub(super) name: String,
    /// What follows the name.
    pub(super) words: Vec<Vec<u8>>,
}

impl Line {
    /// True for what is no setting, but stands for the lines of other files.
    pub(super) fn is_include(&self) -> bool {
        self.name.eq_ignore_ascii_case("include")
    }
}

/// Which layer, the lowest first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rank {
    File,
    Stdin,
    Environment,
    CommandLine,
}

/// All layers, and their lines by number.
#[derive(Debug, Default)]
pub(super) struct Layers {
    builder: ConfigBuilder<DefaultState>,
    lines: Vec<Line>,
}

impl Layers {
    /// Checks each line against the table, and lays them over those that there are.
    pub(super) fn add(&mut self, lines: Vec<Line>, rank: Rank) -> Result<(), Fatal> {
        let mut layer = Map::new();
        for line in lines {
            let words: Vec<&[u8]> = line.words.iter().map(Vec::as_slice).collect();
            let wrong =
                |error| Fatal::of_setting(line.place.clone(), &line.text, &line.name, &error);
            let setting = find(&line.name).ok_or_else(|| wrong(SettingError::Unknown))?;
            setting.kind.check(&words, setting.default.as_bytes()).map_err(wrong)?;
            if matches!(setting.kind, Kind::Special(Special::BufferLimits)) {
                let classes = layer.entry(setting.name.to_owned()).or_insert_with(table);
                for (class, line) in by_class(line) {
                    self.push(entry(classes, class), line);
                }
            } else if setting.adds_up() {
                let layers = layer.entry(setting.name.to_owned()).or_insert_with(table);
                let own = entry(layers, (rank as u8).to_string());
                if matches!((rank, setting.kind), (Rank::Environment, Kind::Special(Special::Save)))
                {
                    // A variable stands instead of what the file says, as all of them do.
                    self.push(own, Line { words: vec![Vec::new()], ..line.clone() });
                }
                self.push(own, line);
            } else {
                self.push(layer.entry(setting.name.to_owned()).or_insert_with(list), line);
            }
        }
        self.builder = std::mem::take(&mut self.builder).add_source(Layer(layer));
        Ok(())
    }

    fn push(&mut self, list: &mut Value, line: Line) {
        if let ValueKind::Array(numbers) = &mut list.kind {
            numbers.push(Value::new(None, self.lines.len() as u64));
            self.lines.push(line);
        }
    }

    /// The lines of each setting, once the layers are one, sorted by name.
    pub(super) fn lines_by_setting(self) -> Result<Vec<(String, Vec<Line>)>, Fatal> {
        let broken = |error: ConfigError| fatal::from_config(&error);
        let config: Config = self.builder.build().map_err(broken)?;
        let mut settings = Vec::new();
        for (name, value) in config.cache.into_table().map_err(broken)? {
            let lists = match value.kind {
                ValueKind::Table(lists) => {
                    let mut lists: Vec<(String, Value)> = lists.into_iter().collect();
                    lists.sort_by(|one, other| one.0.cmp(&other.0));
                    lists.into_iter().map(|(_, list)| list).collect()
                }
                _ => vec![value],
            };
            let mut lines = Vec::new();
            for list in lists {
                for number in list.into_array().map_err(broken)? {
                    let number = number.into_uint().map_err(broken)?;
                    lines.extend(self.lines.get(number as usize).cloned());
                }
            }
            settings.push((name, lines));
        }
        settings.sort_by(|one, other| one.0.cmp(&other.0));
        Ok(settings)
    }
}

/// The numbers of one layer's lines by setting.
#[derive(Debug, Clone)]
struct Layer(Map<String, Value>);

impl Source for Layer {
    fn clone_into_box(&self) -> Box<dyn Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, ConfigError> {
        Ok(self.0.clone())
    }
}

/// The groups of four words of `client-output-buffer-limit`, by class.
fn by_class(line: Line) -> Vec<(String, Line)> {
    let words: Vec<Vec<u8>> = line
        .words
        .iter()
        .flat_map(|word| word.split(u8::is_ascii_whitespace))
        .filter(|word| !word.is_empty())
        .map(<[u8]>::to_vec)
        .collect();
    let group = |words: &[Vec<u8>]| {
        let class = String::from_utf8_lossy(&words[0]).to_ascii_lowercase();
        let class = class.replace("replica", "slave");
        (class, Line { words: words.to_vec(), ..line.clone() })
    };
    words.chunks(4).map(group).collect()
}

/// The lines of a file of settings, in either syntax. `name` is how the file is shown.
pub(super) fn of_file(name: &str, content: &[u8], syntax: Syntax) -> Result<Vec<Line>, Fatal> {
    match syntax {
        Syntax::Conf => conf_lines(name, content),
        Syntax::Toml => Toml { file: name, text: toml_text(name, content)? }.lines(),
    }
}

/// The lines of the files that an `include` of the command line stands for.
pub(super) fn included(line: &Line) -> Result<Vec<Line>, Fatal> {
    let wrong = |problem: &str| fatal::unreadable(line.place.clone(), &line.text, problem);
    let [pattern] = line.words.as_slice() else { return Err(wrong("wrong number of arguments")) };
    let mut lines = Vec::new();
    for (name, content) in file::include(pattern).map_err(|problem| wrong(&problem))? {
        lines.extend(of_file(&name, &content, file::syntax(name.as_ref(), &content))?);
    }
    Ok(lines)
}

fn conf_lines(name: &str, content: &[u8]) -> Result<Vec<Line>, Fatal> {
    let directives = conf::parse(name, content, &file::include).map_err(|error| {
        let place = DirectivePlace::File { name: error.file, line: error.line };
        fatal::grammar(place, &error.text, &error.problem)
    })?;
    let line = |it: conf::Directive| Line {
        place: DirectivePlace::File { name: it.file, line: it.line },
        text: it.text,
        name: it.name,
        words: it.words,
    };
    Ok(directives.into_iter().map(line).collect())
}

/// What is said of a file that is no TOML.
fn no_toml(file: &str, line: usize, text: &str, problem: &str) -> Fatal {
    Fatal {
        place: DirectivePlace::File { name: file.to_owned(), line },
        text: fatal::shown(text.trim_ascii()),
        problem: format!("not TOML: {problem}"),
        remedy: "Write 'name = value', texts in double quotes; or name the file .conf if it is \
                 written as redis.conf."
            .to_owned(),
    }
}

/// TOML must be UTF-8, in its comments too.
fn toml_text<'a>(file: &str, content: &'a [u8]) -> Result<&'a str, Fatal> {
    std::str::from_utf8(content).map_err(|error| {
        let before = &content[..error.valid_up_to()];
        let number = before.iter().filter(|byte| **byte == b'\n').count();
        let line = content.split(|byte| *byte == b'\n').nth(number).unwrap_or_default();
        no_toml(file, number + 1, &String::from_utf8_lossy(line), "a byte that is not UTF-8")
    })
}

/// A file in TOML.
struct Toml<'a> {
    file: &'a str,
    text: &'a str,
}

impl Toml<'_> {
    fn lines(&self) -> Result<Vec<Line>, Fatal> {
        let values = FileFormat::Toml.parse(None, self.text);
        let values = values.map_err(|error| self.unread(&*error))?;
        let entries = toml::entries(self.text);
        let mut lines = Vec::new();
        for (name, value) in values {
            let entry = entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(&name));
            let line = entry.map_or_else(|| table_line(self.text, &name), |entry| entry.line);
            let place = DirectivePlace::File { name: self.file.to_owned(), line };
            let text = self.text.lines().nth(line - 1).unwrap_or_default().trim_ascii().to_owned();
            let setting = find(&name);
            let add_up = setting.is_some_and(|setting| setting.adds_up());
            let kind = setting.map_or(Kind::Text, |setting| setting.kind);
            let Some(given) = words(value, add_up).and_then(|given| split(given, kind)) else {
                let unknown = || SettingError::Unknown;
                let error = setting.map_or_else(unknown, |_| SettingError::WordCount);
                return Err(Fatal::of_setting(place, &text, &name, &error));
            };
            let (name, line) = (&name, (place, text));
            lines.extend(given.into_iter().map(|words| {
                let (place, text) = line.clone();
                Line { place, text, name: name.clone(), words }
            }));
        }
        let number = |line: &Line| match line.place {
            DirectivePlace::File { line, .. } => line,
            _ => 0,
        };
        lines.sort_by_key(number);
        Ok(lines)
    }

    /// The parser's text holds the line, behind the word.
    fn unread(&self, error: &(dyn Error + Send + Sync)) -> Fatal {
        let said = error.to_string();
        let number = said.split_once("line ").map_or("", |(_, rest)| rest);
        let digits = number.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(number.len());
        let line = number[..digits].parse().unwrap_or(1);
        let problem = said.lines().last().unwrap_or("no TOML").trim_ascii();
        let text = self.text.lines().nth(usize::max(line, 1) - 1).unwrap_or_default();
        no_toml(self.file, line, text, problem)
    }
}

/// The words of lines that TOML gives as texts. No text is no line where whole lines are wanted.
fn split(given: Vec<Vec<String>>, kind: Kind) -> Option<Vec<Vec<Vec<u8>>>> {
    let line = |words: Vec<String>| -> Option<Vec<Vec<u8>>> {
        match <[String; 1]>::try_from(words) {
            Ok([text]) => kind.split(text.into_bytes()),
            Err(words) => Some(words.into_iter().map(String::into_bytes).collect()),
        }
    };
    let lines: Vec<Vec<Vec<u8>>> = given.into_iter().map(line).collect::<Option<_>>()?;
    Some(lines.into_iter().filter(|words| !(kind.is_line() && words.is_empty())).collect())
}

/// The line of a table's head or of a dotted key, which no setting has.
fn table_line(text: &str, name: &str) -> usize {
    let names = |line: &str| {
        let line = line.trim_ascii().trim_start_matches(['[', '"', '\'']);
        line.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
    };
    text.lines().position(names).map_or(1, |index| index + 1)
}

/// The lines that a TOML value stands for, each with its words.
fn words(value: Value, add_up: bool) -> Option<Vec<Vec<String>>> {
    let ValueKind::Array(items) = value.kind else { return Some(vec![vec![word(value)?]]) };
    if items.iter().any(|item| matches!(item.kind, ValueKind::Array(_))) {
        let line = |item: Value| match item.kind {
            ValueKind::Array(words) => words.into_iter().map(word).collect(),
            _ => None,
        };
        return items.into_iter().map(line).collect();
    }
    let items: Option<Vec<String>> = items.into_iter().map(word).collect();
    let items = items?;
    match add_up {
        _ if items.is_empty() => Some(vec![vec![String::new()]]),
        true => Some(items.into_iter().map(|item| vec![item]).collect()),
        false => Some(vec![items]),
    }
}

fn word(value: Value) -> Option<String> {
    match value.kind {
        ValueKind::Boolean(yes) => Some(if yes { "yes" } else { "no" }.to_owned()),
        ValueKind::Table(_) | ValueKind::Array(_) | ValueKind::Nil => None,
        _ => value.into_string().ok(),
    }
}

fn table() -> Value {
    Value::new(None, ValueKind::Table(Map::new()))
}

fn list() -> Value {
    Value::new(None, ValueKind::Array(Vec::new()))
}

/// The list under a key of a table.
fn entry(value: &mut Value, key: String) -> &mut Value {
    if !matches!(value.kind, ValueKind::Table(_)) {
        *value = table();
    }
    match &mut value.kind {
        ValueKind::Table(map) => map.entry(key).or_insert_with(list),
        _ => unreachable!("it has just been made a table"),
    }
}
