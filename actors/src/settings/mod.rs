//! From words to settings: files, the environment and the command line, checked once at the start.
//!
//! The layers go over one another by the `config` crate, the lowest first: defaults, the file, the
//! standard input, the environment, the command line. That crate keeps no lines, maps no `_` to `-`
//! and lets unknown names pass; so each layer is checked against the table of settings before it is
//! handed over, and each value travels with the place that it came from ([`layer::Line`]).
//!
//! Invariant: no directive is silently ignored. One that is unknown, wrong or cannot be left
//! without effect ends the start with its place and a remedy ([`Fatal`]); those that are harmless
//! without effect are named in a few warning lines, unless they ask for what is the default. A
//! value is checked even where a higher layer overrides it.

mod command_line;
mod environment;
mod fatal;
mod file;
mod layer;
mod warning;

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use troupe::commands::renaming;
use troupe::settings::{Settings, Support, Syntax, find};

pub(crate) use fatal::reason;
pub use fatal::{DirectivePlace, Fatal};
pub(crate) use file::read as read_file;

use command_line::{CommandLine, Wish};
use environment::Environment;
use layer::{Layers, Line, Rank};
use warning::Idle;

/// Gives the settings in force.
pub type InForce = Arc<dyn Fn() -> Arc<Settings>>;

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
    /// What is to be said of directives that have no effect.
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
    words: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    stdin: impl FnOnce() -> io::Result<Vec<u8>>,
) -> Result<Invocation, Fatal> {
    let words = words.into_iter().map(OsString::into_vec).collect();
    let command_line = match command_line::parse(words)? {
        Wish::Print(text) => return Ok(Invocation::Print(text)),
        Wish::Run(command_line) => command_line,
    };
    let CommandLine { file, from_stdin, lines, check_only } = command_line;
    let mut layers = Layers::default();
    let mut config_file = None;
    if let Some(path) = file {
        let name = path.display().to_string();
        let content = file::open(&path)
            .map_err(|problem| fatal::unreadable(DirectivePlace::Program, &name, &problem))?;
        let syntax = file::syntax(&path, &content);
        layers.add(layer::of_file(&name, &content, syntax)?, Rank::File)?;
        let path = std::path::absolute(&path).unwrap_or(path);
        config_file = Some(ConfigFile { path, syntax });
    }
    if from_stdin {
        const NAME: &str = "the standard input";
        let content = stdin().map_err(|error| {
            fatal::unreadable(DirectivePlace::Program, NAME, &error.to_string())
        })?;
        let syntax = file::syntax(Path::new(""), &content);
        layers.add(layer::of_file(NAME, &content, syntax)?, Rank::Stdin)?;
    }
    let mut environment = Environment::of(environment)?;
    layers.add(std::mem::take(&mut environment.lines), Rank::Environment)?;
    let mut given = Vec::new();
    for line in lines {
        match line.is_include() {
            true => given.extend(layer::included(&line)?),
            false => given.push(line),
        }
    }
    layers.add(given, Rank::CommandLine)?;
    let (settings, mut warnings) = settle(&layers.lines_by_setting()?)?;
    warnings.extend(environment.warning());
    let start = Start { settings, file: config_file, warnings };
    Ok(if check_only {
        Invocation::Print(checked(&start))
    } else {
        Invocation::Serve(Box::new(start))
    })
}

/// The settings that follow from the lines that count of each setting, and what to say of them.
fn settle(given: &[(String, Vec<Line>)]) -> Result<(Settings, Vec<String>), Fatal> {
    let mut settings = Settings::default();
    let mut idle = Idle::default();
    for (name, lines) in given {
        set(&mut settings, name, lines)?;
        let (Some(setting), Some(last)) = (find(name), lines.last()) else { continue };
        // An empty value asks for nothing, and nothing is what happens.
        let asks = settings.get(name).is_some_and(|value| !value.is_empty());
        if let Support::Accepted(why) = setting.support
            && asks
            && settings.is_changed(setting)
        {
            idle.add(why, last);
        }
    }
    let lines_of = |name: &str| {
        let found = given.iter().find(|(given, _)| given == name);
        found.map_or(&[][..], |(_, lines)| lines)
    };
    let renames = lines_of("rename-command");
    let names = renames.iter().map(|line| (&line.words[0][..], &line.words[1][..]));
    renaming::check(names).map_err(|(at, problem)| fatal::renaming(&renames[at], problem))?;
    take_users(&mut settings, lines_of("aclfile"), lines_of("user"))?;
    check_directory(&settings).map_err(|(what, path, error)| {
        fatal::directory(lines_of("dir").last(), what, &path, &error)
    })?;
    Ok((settings, idle.lines()))
}

/// Sets a setting from its lines.
fn set(settings: &mut Settings, name: &str, lines: &[Line]) -> Result<(), Fatal> {
    let words: Vec<&[Vec<u8>]> = lines.iter().map(|line| &line.words[..]).collect();
    let Err(error) = settings.set_lines(name, &words) else { return Ok(()) };
    let is_wrong = |count: &usize| settings.clone().set_lines(name, &words[..*count]).is_err();
    let at = (1..words.len()).find(is_wrong).unwrap_or(words.len()) - 1;
    let Line { place, text, name, .. } = &lines[at];
    Err(Fatal::of_setting(place.clone(), text, name, &error))
}

/// Takes the users from the file that `aclfile` names: a line is that of a directive `user`.
fn take_users(settings: &mut Settings, aclfile: &[Line], users: &[Line]) -> Result<(), Fatal> {
    let name = settings.get("aclfile").unwrap_or_default();
    let Some(named) = aclfile.last().filter(|_| !name.is_empty()) else { return Ok(()) };
    let path = settings.dir.join(OsStr::from_bytes(name));
    if let Some(line) = users.first() {
        return Err(fatal::users_twice(line, &path));
    }
    let unreadable =
        |problem: String| fatal::unreadable(named.place.clone(), &named.text, &problem);
    let content = file::open(&path).map_err(unreadable)?;
    let lines = layer::of_file(&path.display().to_string(), &content, Syntax::Conf)?;
    if let Some(line) = lines.iter().find(|line| line.name != "user") {
        return Err(fatal::no_user(line));
    }
    let mut layers = Layers::default();
    layers.add(lines, Rank::File)?;
    layers.lines_by_setting()?.iter().try_for_each(|(name, lines)| set(settings, name, lines))
}

/// Whether the server can work in its directory: enter it and, with a journal, write there. The
/// error says what cannot be done, where.
fn check_directory(settings: &Settings) -> Result<(), (&'static str, PathBuf, io::Error)> {
    let dir = &settings.dir;
    check_enters(dir).map_err(|error| ("chdir", dir.clone(), error))?;
    if settings.appendonly {
        let journal = dir.join(&settings.appenddirname);
        let written = if journal.exists() { journal } else { dir.clone() };
        access(&written, Access::WRITE_OK).map_err(|error| ("write", written, error.into()))?;
    }
    Ok(())
}

/// Whether there is a directory of this name that the server may enter.
///
/// # Errors
/// What the system says of it.
pub fn check_enters(dir: &Path) -> io::Result<()> {
    if !std::fs::metadata(dir)?.is_dir() {
        return Err(Errno::NOTDIR.into());
    }
    Ok(access(dir, Access::EXEC_OK)?)
}

fn checked(start: &Start) -> String {
    let mut text: String = start.warnings.iter().map(|line| format!("warning: {line}\n")).collect();
    text.push_str("The configuration is right.\n");
    text
}

#[cfg(test)]
mod tests;
