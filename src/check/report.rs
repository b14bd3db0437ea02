//! What was found in each file: counts of what it holds, and what is wrong with it.
//!
//! Invariant: a report takes a bounded amount of memory, whatever the files hold. So the findings
//! of a file are named up to a number, and what differs in more ways than people read is counted
//! together.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::aof::error::AofError;
use crate::aof::load::{Read, Torn};
use crate::aof::manifest::Manifest;
use crate::aof::record::Block;
use crate::commands::registry::{self, Found};
use crate::rdb::{Dialect, Fault, Forms, RawKeys};
use crate::settings::Renames;
use crate::shard::load::KeyFault;
use crate::shard::refusal::Refusal;

/// Findings of one file that are named.
const FINDINGS_MAX: usize = 20;

/// Databases that are told apart: those from this number on count as one.
const DATABASES_MAX: u32 = 1024;

/// Libraries of functions that are named, and bytes of each name.
const LIBRARIES_MAX: usize = 100;
const LIBRARY_BYTES_MAX: usize = 128;

/// What a record is counted under that would be refused.
const REFUSED: &str = "others, refused";

/// What was looked at.
#[derive(Debug, Default)]
pub struct Report {
    /// In the order in which a load reads them; a manifest ahead of its files.
    pub files: Vec<FileReport>,
}

/// What is in one file.
#[derive(Debug, Default)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its length in bytes.
    pub length: u64,
    /// What a manifest lists.
    pub manifest: Option<Manifest>,
    /// The format of an RDB file, or of the RDB part of a journal.
    pub dialect: Option<Dialect>,
    /// What the RDB part says of itself.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first lines of libraries of functions.
    pub libraries: Vec<String>,
    /// Types of modules that have left data.
    pub modules: BTreeSet<String>,
    /// Keys of the RDB part, by database.
    pub databases: BTreeMap<u32, Database>,
    /// Records of the journal by their command, those of transactions counted singly.
    pub commands: BTreeMap<&'static str, Amount>,
    /// Transactions of the journal.
    pub transactions: u64,
    /// What is wrong, in the order of the file: the first of it.
    pub findings: Vec<Finding>,
    /// How much more is wrong.
    pub unnamed: u64,
    /// The worst of it; none where nothing is.
    pub worst: Option<Severity>,
}

/// Keys of a database.
#[derive(Debug, Default)]
pub struct Database {
    /// By type.
    pub types: BTreeMap<&'static str, Amount>,
    /// Those of them that have a deadline.
    pub timed: u64,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amount {
    /// How many.
    pub count: u64,
    /// Bytes that they take in the file.
    pub bytes: u64,
}

/// How bad it is, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// A load passes over it.
    Note,
    /// Another server can read it, this one cannot.
    Foreign,
    /// The system does not let it be read.
    Unreadable,
    /// The end is missing. A server that was killed leaves that.
    Torn,
    /// Something else stands where the file should go on.
    Damaged,
}

/// Something that is wrong.
#[derive(Debug)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// Where in the file.
    pub offset: Option<u64>,
    /// What it is, and what helps.
    pub what: String,
    /// What mends it, and what is lost by that.
    pub cut: Option<Torn>,
}

impl Amount {
    fn add(&mut self, bytes: usize) {
        self.count += 1;
        self.bytes += bytes as u64;
    }
}

impl Severity {
    fn of(fault: Fault) -> Severity {
        match fault {
            // Servers of old have written such keys.
            Fault::Empty => Severity::Note,
            Fault::Version(_) | Fault::Unsupported(_) | Fault::Module(_) => Severity::Foreign,
            _ => Severity::Damaged,
        }
    }
}

impl Finding {
    pub(super) fn new(severity: Severity, offset: Option<u64>, what: String) -> Finding {
        Finding { severity, offset, what, cut: None }
    }

    /// What a load would end with.
    pub(super) fn of(error: &AofError) -> Finding {
        let (severity, offset) = match error {
            AofError::Io { .. } => (Severity::Unreadable, None),
            AofError::Rdb { error, .. } => (Severity::of(error.fault), Some(error.offset as u64)),
            AofError::Damaged { damage, .. } => (Severity::Damaged, Some(damage.offset)),
            AofError::TornInside { valid_up_to, .. } => (Severity::Damaged, Some(*valid_up_to)),
            _ => (Severity::Damaged, None),
        };
        Finding::new(severity, offset, error.to_string())
    }

    pub(super) fn of_torn(torn: Torn) -> Finding {
        let what = AofError::TornRefused(torn.clone()).to_string();
        let offset = Some(torn.valid_up_to);
        Finding { severity: Severity::Torn, offset, what, cut: Some(torn) }
    }
}

impl FileReport {
    pub(super) fn new(path: &Path, length: u64) -> FileReport {
        FileReport { path: path.to_owned(), length, ..FileReport::default() }
    }

    pub(super) fn note(&mut self, finding: Finding) {
        self.worst = self.worst.max(Some(finding.severity));
        // What can be mended is never left out.
        if self.findings.len() < FINDINGS_MAX || finding.cut.is_some() {
            self.findings.push(finding);
        } else {
            self.unnamed += 1;
        }
    }

    pub(super) fn add_keys(&mut self, raw: &RawKeys, forms: Forms<'_>) {
        for at in &raw.keys {
            match raw.read(at, forms) {
                Ok((key, value)) => {
                    let database = self.databases.entry(at.db.min(DATABASES_MAX)).or_default();
                    database.types.entry(value.type_name()).or_default().add(raw.len_of(at));
                    database.timed += u64::from(key.deadline.is_some());
                }
                Err(error) => {
                    let fault = KeyFault::new(raw, at, error.offset, error.fault);
                    let what = format!("{}: {fault}; {}", self.path.display(), fault.remedy());
                    let (severity, offset) = (Severity::of(error.fault), error.offset as u64);
                    self.note(Finding::new(severity, Some(offset), what));
                }
            }
        }
    }

    pub(super) fn add_records(&mut self, block: &Block) {
        self.transactions += block.units.iter().filter(|unit| unit.is_group).count() as u64;
        for record in &block.records {
            let (spans, renames) = (block.spans(record), Renames::default());
            let name = match registry::find_journaled(&block.bytes, spans, &renames) {
                Found::Command(command) => command.name.as_str(),
                Found::Nothing => {
                    let refusal = Refusal::of_unknown(spans, &block.bytes, &renames);
                    let path = self.path.display();
                    let what = format!("{path}: offset {}: {refusal}", record.offset);
                    self.note(Finding::new(Severity::Foreign, Some(record.offset), what));
                    REFUSED
                }
            };
            self.commands.entry(name).or_default().add(record.frame.len as usize);
        }
    }

    /// Takes up what was in no block.
    pub(super) fn add_read(&mut self, read: Read) {
        (self.dialect, self.fields, self.modules) = (read.dialect, read.fields, read.modules);
        for source in read.functions.iter().take(LIBRARIES_MAX) {
            let line = source.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let line = &line[..line.len().min(LIBRARY_BYTES_MAX)];
            self.libraries.push(line.escape_ascii().to_string());
        }
        if read.functions.len() > LIBRARIES_MAX {
            let more = read.functions.len() - LIBRARIES_MAX;
            self.libraries.push(format!("and {more} more"));
        }
    }

    /// True for what holds commands, and none where they end a snapshot.
    pub fn is_journal(&self) -> bool {
        self.manifest.is_none() && (self.dialect.is_none() || !self.commands.is_empty())
    }
}

impl Report {
    /// The worst of all files; none where nothing is wrong.
    pub fn worst(&self) -> Option<Severity> {
        self.files.iter().filter_map(|file| file.worst).max()
    }

    /// What can be cut off.
    pub fn cuts(&self) -> impl Iterator<Item = &Finding> {
        self.findings().filter(|finding| finding.cut.is_some())
    }

    /// Whether nothing is damaged any more when that is cut off.
    pub fn is_mendable(&self) -> bool {
        self.findings().all(|it| it.severity < Severity::Torn || it.cut.is_some())
    }

    fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.files.iter().flat_map(|file| &file.findings)
    }
}
