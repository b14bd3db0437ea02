//! What ends the start: where it stands, what it says, what is wrong, what to do.
//!
//! The first lines have Redis's shape, since scripts and people look for it; the last line is ours.

use std::path::Path;
use std::{fmt, io};

use config::ConfigError;
use troupe::settings::{Kind, Setting, SettingError, Support, find, nearest};

use super::layer::Line;

/// Where a directive stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DirectivePlace {
    /// In a line of a file.
    File {
        /// The file, as it was named.
        name: String,
        /// The line, from 1.
        line: usize,
    },
    /// In a variable of the environment.
    Environment,
    /// In the words of the command line.
    CommandLine,
    /// Nowhere: the start itself failed.
    Program,
}

impl fmt::Display for DirectivePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DirectivePlace::File { name, line } => write!(f, "{name}:{line}"),
            DirectivePlace::Environment => f.write_str("environment"),
            DirectivePlace::CommandLine => f.write_str("command line"),
            DirectivePlace::Program => f.write_str("start"),
        }
    }
}

/// The reason why the server does not start. Shown, it is the whole report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fatal {
    /// Where it stands.
    pub place: DirectivePlace,
    /// The line, variable or words.
    pub text: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl std::error::Error for Fatal {}

impl fmt::Display for Fatal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "*** FATAL CONFIG FILE ERROR (Troupe {}) ***", env!("CARGO_PKG_VERSION"))?;
        match &self.place {
            DirectivePlace::File { name, line } => {
                writeln!(f, "Reading the configuration file, at line {line} of {name}")?;
            }
            DirectivePlace::Environment => writeln!(f, "Reading the environment")?,
            DirectivePlace::CommandLine => writeln!(f, "Reading the command line")?,
            DirectivePlace::Program => writeln!(f, "Reading the configuration")?,
        }
        writeln!(f, ">>> '{}'", self.text)?;
        writeln!(f, "{}", self.problem)?;
        write!(f, "{}", self.remedy)
    }
}

impl Fatal {
    /// The report on a setting that was given in a wrong way. Secrets do not go into it.
    pub(super) fn of_setting(
        place: DirectivePlace,
        text: &str,
        name: &str,
        error: &SettingError,
    ) -> Fatal {
        let setting = find(name);
        let text = shown(text);
        let problem = match error {
            SettingError::Refused(_) => format!("'{name}' is not supported"),
            error => error.to_string(),
        };
        let remedy = match (error, setting) {
            (SettingError::Refused(remedy), _) => format!("{remedy}."),
            (_, None) => unknown(&place, name),
            (_, Some(setting)) => wanted(setting),
        };
        Fatal { place, text, problem, remedy }
    }
}

/// A line as it may be shown: of a secret only the name.
pub(super) fn shown(text: &str) -> String {
    let bare = text.trim_start_matches(['-', '"', '\'', ' ', '\t']);
    let bare = bare.strip_prefix("TROUPE_").unwrap_or(bare);
    let end = bare.find(|c: char| c.is_whitespace() || "=\"':".contains(c)).unwrap_or(bare.len());
    let name = bare[..end].replace('_', "-");
    match find(&name) {
        Some(setting) if setting.secret => format!("{} (not shown)", setting.spelling(&name)),
        _ => text.to_owned(),
    }
}

/// The report on words that are no directives.
pub(super) fn grammar(place: DirectivePlace, text: &str, problem: &str) -> Fatal {
    let remedy = match place {
        DirectivePlace::File { .. } => {
            "Write one directive a line: its name, then its values; a value with blanks in quotes."
        }
        _ => "Write 'troupe [FILE | -] [--directive value ...]'; see 'troupe --help'.",
    };
    Fatal { place, text: shown(text), problem: problem.to_owned(), remedy: remedy.to_owned() }
}

/// The report on a file that cannot be read.
pub(super) fn unreadable(place: DirectivePlace, name: &str, problem: &str) -> Fatal {
    let remedy = "Check that the file is there and that this user may read it.".to_owned();
    Fatal { place, text: name.to_owned(), problem: problem.to_owned(), remedy }
}

/// The report on layers that cannot be laid over one another.
pub(super) fn from_config(error: &ConfigError) -> Fatal {
    grammar(DirectivePlace::Program, "config", &error.to_string())
}

/// The report on a name that `rename-command` may not rename, or not to.
pub(super) fn renaming(line: &Line, problem: &str) -> Fatal {
    let remedy = "Write the name of a command and a new name that no command has; \"\" takes the \
                  command away."
        .to_owned();
    let (place, text) = (line.place.clone(), line.text.clone());
    Fatal { place, text, problem: problem.to_owned(), remedy }
}

/// The report on a directory that the server cannot enter or write to.
pub(super) fn directory(line: Option<&Line>, what: &str, path: &Path, error: &io::Error) -> Fatal {
    let (place, text) = match line {
        Some(line) => (line.place.clone(), line.text.clone()),
        None => (DirectivePlace::Program, "dir".to_owned()),
    };
    Fatal {
        place,
        text,
        problem: format!("Can't {what} to '{}': {}", path.display(), reason(error)),
        remedy: "Set 'dir' to a directory that is there and that this user may enter and, with \
                 'appendonly yes', write to."
            .to_owned(),
    }
}

/// The report on users in two places.
pub(super) fn users_twice(line: &Line, aclfile: &Path) -> Fatal {
    Fatal {
        place: line.place.clone(),
        text: shown(&line.text),
        problem: format!("users are defined here and in {}", aclfile.display()),
        remedy: "Remove the line, or 'aclfile'.".to_owned(),
    }
}

/// The report on a line of an `aclfile` that defines no user.
pub(super) fn no_user(line: &Line) -> Fatal {
    let (place, text) = (line.place.clone(), line.text.clone());
    let remedy = "Write 'user default on nopass ~* &* +@all' and nothing else.".to_owned();
    Fatal { place, text, problem: "the line does not define a user".to_owned(), remedy }
}

/// An error of the system in its own words.
pub(crate) fn reason(error: &io::Error) -> String {
    error.to_string().split(" (os error").next().unwrap_or_default().to_owned()
}

fn unknown(place: &DirectivePlace, name: &str) -> String {
    let meant = nearest(name).map(|known| format!("Did you mean '{known}'?"));
    match place {
        DirectivePlace::Environment => {
            let meant = meant.unwrap_or_else(|| "No setting has this name.".to_owned());
            format!("{meant} Unset the variable.")
        }
        _ => meant.unwrap_or_else(|| {
            "Remove it: neither Redis nor Troupe has a directive of this name.".to_owned()
        }),
    }
}

/// What values a setting takes.
fn wanted(setting: &Setting) -> String {
    let values = match setting.kind {
        Kind::Flag => "yes or no".to_owned(),
        Kind::Choice(words) => format!("one of {}", words.join(", ")),
        Kind::Choices(words) => format!("some of {}", words.join(", ")),
        Kind::Integer { min, max, unit } => {
            let unit = if unit.name().is_empty() { "" } else { &format!(" {}", unit.name()) };
            format!("a whole number from {min} to {max}{unit}")
        }
        Kind::Memory { min, max } => {
            format!("bytes from {min} to {max}, or an amount such as 64mb or 1gb")
        }
        Kind::MemoryOrPercent => "an amount such as 64mb, or a share such as 5%".to_owned(),
        Kind::Octal => "permission bits in octal, such as 770".to_owned(),
        Kind::Text => "one value; put it in quotes if it has blanks".to_owned(),
        Kind::Words | Kind::Special(_) => "other values".to_owned(),
    };
    let default = match (setting.default, setting.support) {
        (_, Support::Refused(_)) => String::new(),
        ("", _) => "; the default is empty".to_owned(),
        (default, _) => format!("; the default is {default}"),
    };
    format!("'{}' takes {values}{default}. {}", setting.name, setting.doc)
}
