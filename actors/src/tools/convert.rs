//! `troupe convert`: makes a file of another form, or of another version.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use troupe::aof::error::AofError;
use troupe::convert::{self, ConvertError, Done, Target, Wish};
use troupe::rdb::Dialect;

use super::progress::Bar;
use super::{DAMAGED, SOUND, UNREADABLE, hasher, print};
use crate::clock::Clock;
use crate::filesystem::Os;

/// Make an RDB file or a journal out of another one
///
/// FROM is what `troupe check` takes, if it holds one data set. A journal is loaded into memory
/// first; an RDB file is not.
///
/// The status is 0 if TO was written, 1 if FROM is damaged or has no place in TO, 2 if something
/// cannot be read or written.
#[derive(Debug, Args)]
pub(super) struct Words {
    /// What to read
    from: PathBuf,
    /// What to write
    to: PathBuf,
    /// What TO is to be; without it, the end of its name says it: .rdb, .aof, or a directory
    #[arg(long = "as", value_enum, value_name = "FORM")]
    form: Option<FormWord>,
    /// The version of an RDB file: 9 is Redis 5 and 6, 10 Redis 7.0, 11 Redis 7.2, 12 Redis 7.4, 80
    /// Valkey 9; without it, 10, or 80 where fields of hashes have deadlines
    #[arg(long, value_parser = parse_version, value_name = "9|10|11|12|80")]
    rdb_version: Option<Dialect>,
    /// Replace what is there; TO is written beside it first
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FormWord {
    /// One file: a snapshot
    Rdb,
    /// One file: commands
    Aof,
    /// An append-only directory
    Directory,
}

fn parse_version(word: &str) -> Result<Dialect, String> {
    let version = word.parse().ok().filter(|version| [9, 10, 11, 12, 80].contains(version));
    let dialect = version.and_then(|version| Dialect::of_version(version).ok());
    dialect.ok_or_else(|| "no such version is written".to_owned())
}

impl Words {
    fn target(&self) -> Target {
        let ends_in = |end: &str| self.to.extension().is_some_and(|it| it == end);
        match self.form {
            Some(FormWord::Rdb) => Target::Rdb(self.rdb_version),
            Some(FormWord::Aof) => Target::Journal,
            Some(FormWord::Directory) => Target::Directory,
            None if ends_in("rdb") => Target::Rdb(self.rdb_version),
            None if ends_in("aof") => Target::Journal,
            None => Target::Directory,
        }
    }
}

/// Returns the status of the process.
pub(super) fn run(words: &Words) -> u8 {
    let target = words.target();
    if words.rdb_version.is_some() && !matches!(target, Target::Rdb(_)) {
        eprintln!("--rdb-version is for RDB files; --as rdb makes TO one");
        return UNREADABLE;
    }
    let (bar, wish) = (Bar::new(), Wish { target, replaces: words.force, now: Clock::new().now() });
    let mut reached = |at, length| bar.reached(at, length);
    let done = convert::convert(&Os, &words.from, &words.to, wish, &hasher(), &mut reached);
    drop(bar);
    match done {
        Ok(done) => match print(&said(&done, &words.to)) {
            Ok(()) => SOUND,
            Err(error) => fail(&error, UNREADABLE),
        },
        Err(error) => fail(&error, status(&error)),
    }
}

fn fail(error: &dyn std::error::Error, status: u8) -> u8 {
    eprintln!("{error}");
    status
}

fn status(error: &ConvertError) -> u8 {
    match error {
        ConvertError::Files(AofError::Io { .. })
        | ConvertError::Written(_)
        | ConvertError::Unknown { .. }
        | ConvertError::Name { .. }
        | ConvertError::Exists { .. } => UNREADABLE,
        _ => DAMAGED,
    }
}

fn said(done: &Done, to: &Path) -> String {
    let Done { keys, libraries, empty, private, modules } = done;
    let mut text = format!(
        "{}: {keys} keys and {libraries} libraries of functions are written\n",
        to.display()
    );
    if *empty > 0 {
        text += &format!("{empty} keys without elements are left out\n");
    }
    if *private > 0 {
        text += &format!(
            "{private} keys have deadlines of members, or entries of streams that were released: \
             other servers do not read those\n"
        );
    }
    for module in modules {
        text += &format!("data of the module type {module} are left out\n");
    }
    text
}
