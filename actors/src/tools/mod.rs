//! What the program does with files, beside serving them: `troupe check` and `troupe convert`.
//!
//! What is decided about the files is in `troupe::check` and `troupe::convert`; here words are read
//! and results shown. No server runs meanwhile, or none that has these files.
//!
//! The first word alone says that it is a tool: a configuration file of that name is called
//! `./check` or `./convert`.

mod check;
mod convert;
mod json;
mod progress;
mod text;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write as _};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use troupe::base::hash::Hasher;

/// The file is sound.
const SOUND: u8 = 0;
/// The file is damaged, or was not written.
const DAMAGED: u8 = 1;
/// The file cannot be read, or the words make no sense.
const UNREADABLE: u8 = 2;

#[derive(Debug, Parser)]
#[command(name = "troupe", disable_help_subcommand = true)]
struct Words {
    #[command(subcommand)]
    tool: Tool,
}

#[derive(Debug, Subcommand)]
enum Tool {
    Check(check::Words),
    Convert(convert::Words),
}

/// Whether these words, without the name of the program, ask for a tool.
pub fn are_asked_for(words: &[OsString]) -> bool {
    words.first().is_some_and(|first| first == "check" || first == "convert")
}

/// Does what the words ask for. Returns the status of the process.
pub fn run(words: Vec<OsString>) -> ExitCode {
    let words = [OsString::from("troupe")].into_iter().chain(words);
    let status = match Words::try_parse_from(words) {
        Ok(Words { tool: Tool::Check(words) }) => check::run(&words),
        Ok(Words { tool: Tool::Convert(words) }) => convert::run(&words),
        Err(error) => {
            // There is nobody else to tell.
            let _ = error.print();
            u8::try_from(error.exit_code()).unwrap_or(UNREADABLE)
        }
    };
    status.into()
}

/// Writes a result to the standard output. Whoever closes that early has read enough.
fn print(text: &str) -> io::Result<()> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// How names are hashed: by numbers that no author of a file can know.
fn hasher() -> Hasher {
    let mut random = fastrand::Rng::new();
    Hasher::with_seeds(std::array::from_fn(|_| random.u64(..)))
}
