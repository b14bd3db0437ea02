//! From words to settings: files, the environment and the command line, checked once at the start.
//!
//! The layers go over one another by the `config` crate, the lowest first: defaults, the file, the
//! standard input, the environment, the command line. That crate keeps no lines, maps no `_` to `-`
//! and lets unknown names pass; so each layer is checked against the table of settings before it is
//! handed over, and each value travels with the place that it came from ([`layer::Line`]).
//!
//! Invariant: no directive is silently ignored. One that is unknown, wrong or cannot be left
//! without effect ends the start with its place and a remedy ([`Fatal`]); one that is harmless
//! without effect gives exactly one warning line. A value is checked even where a higher layer
//! overrides it.

mod command_line;
mod fatal;
mod file;
mod layer;

use std::path::PathBuf;

use config::Config;
use troupe::settings::{Settings, Standing, Syntax, conf, find};

pub use fatal::{Fatal, Place};

use command_line::{CommandLine, Wish};
use layer::{Layer, Line, Rank};

/// What the command line asks the process to do.
#[derive(Debug)]
pub enum Invocation {
    /// Serve with these settings.
    Serve(Box<Start>),
    /// Print these words and end well.
    Print(String),
}

/// Settings for a start, and what to say about them.
#[derive(Debug)]
pub struct Start {
    /// The settings.
    pub settings: Settings,
    /// The file that CONFIG REWRITE writes, if there is one.
    pub file: Option<ConfigFile>,
    /// One line for each directive that has no effect.
    pub warnings: Vec<String>,
}

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigFile {
    /// Where it is, from the root, so that it is found after a change of the directory.
    pub path: PathBuf,
    /// How it is written.
    pub syntax: Syntax,
}

/// Reads everything that decides the settings. `words` are the words of the command line without
/// the program's name; `environment` holds all variables; `stdin` is read only if the command line
/// says so.
pub fn read(
    words: impl IntoIterator<Item = String>,
    environment: impl IntoIterator<Item = (String, String)>,
    stdin: impl FnOnce() -> std::io::Result<String>,
) -> Result<Invocation, Fatal> {
    let command_line = match command_line::parse(words.into_iter().collect())? {
        Wish::Print(text) => return Ok(Invocation::Print(text)),
        Wish::Run(command_line) => command_line,
    };
    let CommandLine { file, from_stdin, lines, check_only } = command_line;
    let mut layers = Config::builder();
    let mut config_file = None;
    if let Some(name) = file {
        let text = file::read(&name)
            .map_err(|problem| fatal::unreadable(Place::Program, &name, &problem))?;
        let syntax = file::syntax(&name, &text);
        layers = layers.add_source(layer::file(&name, &text, syntax, Rank::File));
        let path = std::path::absolute(&name).unwrap_or_else(|_| PathBuf::from(&name));
        config_file = Some(ConfigFile { path, syntax });
    }
    if from_stdin {
        const NAME: &str = "the standard input";
        let text =
            stdin().map_err(|error| fatal::unreadable(Place::Program, NAME, &error.to_string()))?;
        layers = layers.add_source(layer::file(NAME, &text, file::syntax("", &text), Rank::Stdin));
    }
    layers = layers.add_source(Layer::of(environment_lines(environment)?, Rank::Environment)?);
    layers = layers.add_source(Layer::of(lines, Rank::CommandLine)?);
    let config = layers.build().map_err(fatal::from_config)?;
    let start = settle(layer::lines_by_setting(config.cache)?, config_file)?;
    Ok(if check_only {
        Invocation::Print(checked(&start))
    } else {
        Invocation::Serve(Box::new(start))
    })
}

/// The settings that follow from the lines that count of each setting.
fn settle(given: Vec<(String, Vec<Line>)>, file: Option<ConfigFile>) -> Result<Start, Fatal> {
    let mut settings = Settings::default();
    let mut warnings = Vec::new();
    for (name, lines) in given {
        let Some(last) = lines.last() else { continue };
        let words: Vec<Vec<&str>> =
            lines.iter().map(|line| line.words.iter().map(String::as_str).collect()).collect();
        let words: Vec<&[&str]> = words.iter().map(Vec::as_slice).collect();
        settings.set_lines(&name, &words).map_err(|error| {
            Fatal::of_setting(last.place.clone(), &last.text, &last.name, &error)
        })?;
        // An empty value asks for nothing, and nothing is what happens.
        let asks = settings.get(&name).is_some_and(|value| !value.is_empty());
        if let Some(Standing::Accepted(why)) = find(&name).map(|setting| setting.standing)
            && asks
        {
            let Line { place, name, .. } = last;
            warnings.push(format!("{place}: '{name}' is accepted but has no effect: {why}"));
        }
    }
    Ok(Start { settings, file, warnings })
}

/// The variables `TROUPE_...` as directives: `TROUPE_MAXCLIENTS=9` is `maxclients 9`.
fn environment_lines(
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Vec<Line>, Fatal> {
    const PREFIX: &str = "TROUPE_";
    let mut lines = Vec::new();
    for (variable, value) in environment {
        let Some(name) = variable.strip_prefix(PREFIX) else { continue };
        let dashed = name.to_ascii_lowercase().replace('_', "-");
        let name = if find(&dashed).is_some() { dashed } else { name.to_ascii_lowercase() };
        let text = format!("{variable}={value}");
        let place = Place::Environment;
        let whole_lines = find(&name).is_some_and(|setting| setting.kind.is_line());
        let words = if whole_lines {
            conf::split_words(&value)
                .map_err(|error| fatal::grammar(place.clone(), &text, &error.to_string()))?
        } else {
            vec![value]
        };
        lines.push(Line { place, text, name, words });
    }
    lines.sort_by(|one, other| one.text.cmp(&other.text));
    Ok(lines)
}

fn checked(start: &Start) -> String {
    let mut text: String = start.warnings.iter().map(|line| format!("warning: {line}\n")).collect();
    text.push_str("The configuration is right.\n");
    text
}

#[cfg(test)]
mod tests;
