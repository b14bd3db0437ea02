//! Layers for the `config` crate, and how a line travels through it.
//!
//! Every layer maps a setting's name (never an alias) to a list of lines, and a line is a small
//! table of its words and its place, so that the place is still known when the layers have been
//! laid over one another. The lists of `client-output-buffer-limit` stand one step deeper, by
//! class, and those of `save` by layer: tables are merged where lists are replaced, and a class
//! named in one layer must not hide the others below, nor save points those of the file.

use std::error::Error;

use config::{ConfigError, File, FileFormat, FileSourceString, FileStoredFormat, Format};
use config::{Map, Source, Value, ValueKind};
use troupe::settings::{Kind, SettingError, Special, Syntax, conf, find, toml};

use super::fatal::{self, Fatal, Place};
use super::file;

/// A directive with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) place: Place,
    /// The line, variable or words as they were written.
    pub(super) text: String,
    /// The name as it was written.
    pub(super) name: String,
    /// What follows the name.
    pub(super) words: Vec<String>,
}

/// Which layer, the lowest first.
#[derive(Debug, Clone, Copy)]
pub(super) enum Rank {
    File,
    Stdin,
    Environment,
    CommandLine,
}

/// Lines that need no parsing any more: the environment, the command line.
#[derive(Debug, Clone)]
pub(super) struct Layer(Map<String, Value>);

impl Layer {
    /// Checks each line against the table.
    pub(super) fn of(lines: Vec<Line>, rank: Rank) -> Result<Layer, Fatal> {
        let mut layer = Map::new();
        for line in lines {
            let words: Vec<&str> = line.words.iter().map(String::as_str).collect();
            let wrong =
                |error| Fatal::of_setting(line.place.clone(), &line.text, &line.name, &error);
            let setting = find(&line.name).ok_or_else(|| wrong(SettingError::Unknown))?;
            setting.kind.check(&words, setting.default).map_err(wrong)?;
            if matches!(setting.kind, Kind::Special(Special::BufferLimits)) {
                let classes = layer.entry(setting.name.to_owned()).or_insert_with(table);
                for (class, line) in by_class(line) {
                    push(entry(classes, class), line);
                }
            } else if matches!(setting.kind, Kind::Special(Special::Save)) {
                let layers = layer.entry(setting.name.to_owned()).or_insert_with(table);
                let own = entry(layers, (rank as u8).to_string());
                if matches!(rank, Rank::Environment) {
                    // A variable stands instead of what the file says, as all of them do.
                    push(own, Line { words: vec![String::new()], ..line.clone() });
                }
                push(own, line);
            } else {
                push(layer.entry(setting.name.to_owned()).or_insert_with(list), line);
            }
        }
        Ok(Layer(layer))
    }
}

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
    let words: Vec<String> = line
        .words
        .iter()
        .flat_map(|word| word.split_ascii_whitespace())
        .map(str::to_owned)
        .collect();
    let group = |words: &[String]| {
        let class = words[0].to_ascii_lowercase().replace("replica", "slave");
        (class, Line { words: words.to_vec(), ..line.clone() })
    };
    words.chunks(4).map(group).collect()
}

/// A configuration file as a source.
pub(super) fn file(
    name: &str,
    text: &str,
    syntax: Syntax,
    rank: Rank,
) -> File<FileSourceString, Settings> {
    File::from_str(text, Settings { file: name.to_owned(), syntax, rank })
}

/// The format of a file of settings, in either syntax.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    file: String,
    syntax: Syntax,
    rank: Rank,
}

impl FileStoredFormat for Settings {
    fn file_extensions(&self) -> &'static [&'static str] {
        &["conf", "toml"]
    }
}

impl Format for Settings {
    fn parse(
        &self,
        uri: Option<&String>,
        text: &str,
    ) -> Result<Map<String, Value>, Box<dyn Error + Send + Sync>> {
        let lines = match self.syntax {
            Syntax::Conf => self.conf_lines(text)?,
            Syntax::Toml => {
                let values = FileFormat::Toml.parse(uri, text);
                self.toml_lines(text, values.map_err(|error| self.no_toml(text, &*error))?)?
            }
        };
        Ok(Layer::of(lines, self.rank)?.0)
    }
}

impl Settings {
    fn conf_lines(&self, text: &str) -> Result<Vec<Line>, Fatal> {
        let directives = conf::parse(&self.file, text, &file::include).map_err(|error| {
            let place = Place::File { name: error.file, line: error.line };
            fatal::grammar(place, &error.text, &error.problem)
        })?;
        let line = |it: conf::Directive| Line {
            place: Place::File { name: it.file, line: it.line },
            text: it.text,
            name: it.name,
            words: it.words,
        };
        Ok(directives.into_iter().map(line).collect())
    }

    fn toml_lines(&self, text: &str, values: Map<String, Value>) -> Result<Vec<Line>, Fatal> {
        let entries = toml::entries(text);
        let mut lines = Vec::new();
        for (name, value) in values {
            let entry = entries.iter().find(|entry| entry.key.eq_ignore_ascii_case(&name));
            let line = entry.map_or_else(|| table_line(text, &name), |entry| entry.line);
            let place = Place::File { name: self.file.clone(), line };
            let text = text.lines().nth(line - 1).unwrap_or_default().trim_ascii().to_owned();
            let add_up = find(&name).is_some_and(|setting| setting.adds_up());
            let Some(given) = words(value, add_up) else {
                let error = if find(&name).is_some() {
                    SettingError::WordCount
                } else {
                    SettingError::Unknown
                };
                return Err(Fatal::of_setting(place, &text, &name, &error));
            };
            let (name, line) = (&name, (place, text));
            lines.extend(given.into_iter().map(|words| {
                let (place, text) = line.clone();
                Line { place, text, name: name.clone(), words }
            }));
        }
        let number = |line: &Line| match line.place {
            Place::File { line, .. } => line,
            _ => 0,
        };
        lines.sort_by_key(number);
        Ok(lines)
    }

    /// A file that is no TOML: the parser's text holds the line, behind the word.
    fn no_toml(&self, text: &str, error: &(dyn Error + Send + Sync)) -> Fatal {
        let said = error.to_string();
        let number = said.split_once("line ").map_or("", |(_, rest)| rest);
        let digits = number.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(number.len());
        let line = number[..digits].parse().unwrap_or(1);
        let problem = said.lines().last().unwrap_or("no TOML").trim_ascii();
        let line_text = text.lines().nth(usize::max(line, 1) - 1).unwrap_or_default();
        Fatal {
            place: Place::File { name: self.file.clone(), line },
            text: fatal::shown(line_text.trim_ascii()),
            problem: format!("not TOML: {problem}"),
            remedy:
                "Write 'name = value', texts in double quotes; or name the file .conf if it is \
                     written as redis.conf."
                    .to_owned(),
        }
    }
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

/// The lines of each setting, once the layers are one, sorted by name.
pub(super) fn lines_by_setting(cache: Value) -> Result<Vec<(String, Vec<Line>)>, Fatal> {
    let broken = |error: ConfigError| fatal::from_config(error);
    let mut settings = Vec::new();
    for (name, value) in cache.into_table().map_err(broken)? {
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
            for line in list.into_array().map_err(broken)? {
                lines.push(line_of(line).map_err(broken)?);
            }
        }
        settings.push((name, lines));
    }
    settings.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(settings)
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

fn push(list: &mut Value, line: Line) {
    if let ValueKind::Array(lines) = &mut list.kind {
        lines.push(value_of(line));
    }
}

fn value_of(line: Line) -> Value {
    let (file, number) = match line.place {
        Place::File { name, line } => (name, line as i64),
        Place::Environment => (String::new(), 0),
        Place::CommandLine | Place::Program => (String::new(), 1),
    };
    let words: Vec<Value> = line.words.into_iter().map(|word| Value::new(None, word)).collect();
    let table: Map<String, Value> = [
        ("file", Value::new(None, file)),
        ("line", Value::new(None, number)),
        ("text", Value::new(None, line.text)),
        ("name", Value::new(None, line.name)),
        ("words", Value::new(None, words)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    Value::new(None, ValueKind::Table(table))
}

fn line_of(value: Value) -> Result<Line, ConfigError> {
    let mut table = value.into_table()?;
    let mut take = |key: &str| table.remove(key).ok_or_else(|| ConfigError::NotFound(key.into()));
    let (file, number) = (take("file")?.into_string()?, take("line")?.into_int()?);
    let words = take("words")?.into_array()?;
    Ok(Line {
        place: match (file.is_empty(), number) {
            (false, line) => Place::File { name: file, line: line.unsigned_abs() as usize },
            (true, 0) => Place::Environment,
            (true, _) => Place::CommandLine,
        },
        text: take("text")?.into_string()?,
        name: take("name")?.into_string()?,
        words: words.into_iter().map(Value::into_string).collect::<Result<_, _>>()?,
    })
}
