//! A record of the journal that is not applied: which command it is, why, and what helps.
//!
//! Nothing that a record does is dropped in silence.

use std::fmt;

use crate::commands::command::Command;
use crate::commands::error::CommandError;
use crate::commands::{positions, registry};
use crate::resp::Span;
use crate::settings::Renames;

/// How much of a record's words is shown, in bytes.
const SHOWN_MAX: usize = 128;

/// Why a record is not applied. `Display` says it all, save where the record stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The command, with its keys.
    command: String,
    why: String,
    remedy: Remedy,
}

/// What may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    /// A rewritten file has the values alone.
    Rewrite,
    /// More databases.
    Databases,
}

impl Remedy {
    fn text(self) -> &'static str {
        match self {
            Remedy::Rewrite => {
                "load the file with the server that wrote it and have it rewritten there \
                 (BGREWRITEAOF, aof-use-rdb-preamble no)"
            }
            Remedy::Databases => "set databases as high as it was where the file was written",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { command, why, remedy } = self;
        write!(f, "{command} cannot be applied: {why}; {}", remedy.text())
    }
}

impl Refusal {
    /// The command of the record gave this error.
    pub(super) fn failed(
        command: &Command,
        spans: &[Span],
        bytes: &[u8],
        error: &CommandError,
    ) -> Refusal {
        let keys = positions::keys(command, spans, bytes);
        let words = 1 + usize::from(command.name.as_str().contains('|'));
        let remedy = match error {
            CommandError::DbIndexOutOfRange => Remedy::Databases,
            _ => Remedy::Rewrite,
        };
        let command = shown((0..words).chain(keys).filter_map(|at| spans.get(at)), bytes);
        Refusal { command, why: error.to_string(), remedy }
    }

    /// No command is called so.
    pub fn of_unknown(spans: &[Span], bytes: &[u8], renames: &Renames) -> Refusal {
        let why = match registry::refusal(bytes, spans, renames) {
            CommandError::UnknownCommand { name, .. } => {
                format!("Unknown command '{name}' reading the append only file")
            }
            error => error.to_string(),
        };
        let command = shown(spans.iter().take(2), bytes);
        Refusal { command, why, remedy: Remedy::Rewrite }
    }
}

/// Words with blanks between, as far as there is room.
fn shown<'a>(spans: impl Iterator<Item = &'a Span>, bytes: &[u8]) -> String {
    let mut text = String::new();
    for span in spans {
        let room = SHOWN_MAX.saturating_sub(text.len());
        if room == 0 {
            break;
        }
        let (word, blank) = (span.of(bytes), if text.is_empty() { "" } else { " " });
        text.push_str(blank);
        text.push_str(&String::from_utf8_lossy(&word[..word.len().min(room)]));
    }
    text
}
