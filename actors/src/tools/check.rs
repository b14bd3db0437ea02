//! `troupe check`: says what is in the files of a data set and what is wrong with them, and cuts
//! off the torn end of a journal.
//!
//! Invariant: nothing is cut that was not named, with the number of bytes, and agreed to.

use std::io::{self, BufRead as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use troupe::aof::load::Torn;
use troupe::check::report::{Report, Severity};
use troupe::check::{self, CheckError};

use super::progress::Bar;
use super::{DAMAGED, SOUND, UNREADABLE, hasher, json, print, text};
use crate::filesystem::Os;

/// Say what is in the files of a data set, and what is wrong with them
///
/// PATH is an RDB file, a file of a journal (AOF), a manifest, an append-only directory, or a
/// directory that holds such things. Stop the server first, or files may change meanwhile.
///
/// The status is 0 if all is sound, 1 if something is damaged, 2 if something cannot be read.
#[derive(Debug, Args)]
pub(super) struct Words {
    /// What to look at
    path: PathBuf,
    /// Cut the torn end of a journal off, or all that stands behind damage in its last file; asks
    /// first, and touches nothing else
    #[arg(long)]
    fix: bool,
    /// Do not ask
    #[arg(long, requires = "fix")]
    yes: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
}

/// Returns the status of the process.
pub(super) fn run(words: &Words) -> u8 {
    match run_or_fail(words) {
        Ok(report) => status(&report),
        Err(error) => {
            eprintln!("{error}");
            UNREADABLE
        }
    }
}

fn run_or_fail(words: &Words) -> anyhow::Result<Report> {
    let mut report = look(words)?;
    if words.fix && report.cuts().next().is_some() {
        if !words.json {
            print(&text::of(&report))?;
        }
        let mut is_cut = false;
        for cut in report.cuts().filter_map(|finding| finding.cut.as_ref()) {
            if words.yes || agrees(cut)? {
                cut.mend(&Os, true)?;
                eprintln!("{} is cut to {} bytes", cut.path.display(), cut.valid_up_to);
                is_cut = true;
            }
        }
        if is_cut {
            report = look(words)?;
        } else if !words.json {
            return Ok(report);
        }
    }
    print(&if words.json { json::of(&report) } else { text::of(&report) })?;
    Ok(report)
}

fn look(words: &Words) -> Result<Report, CheckError> {
    let bar = Bar::new();
    check::check(&Os, &words.path, &hasher(), &mut |at, length| bar.reached(at, length))
}

fn status(report: &Report) -> u8 {
    match report.worst() {
        None | Some(Severity::Note) => SOUND,
        Some(Severity::Foreign | Severity::Unreadable) => UNREADABLE,
        Some(Severity::Torn | Severity::Damaged) => DAMAGED,
    }
}

fn agrees(cut: &Torn) -> io::Result<bool> {
    let Torn { path, valid_up_to, dropped, .. } = cut;
    eprint!(
        "This cuts {} to {valid_up_to} bytes: the last {dropped} bytes are lost, with all that \
         stands in them. Continue? [y/N]: ",
        path.display()
    );
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
