//! A peer that keeps a journal, and what it leaves: files, which ours is then started on.

use std::fs;
use std::path::{Path, PathBuf};

use super::contents::Contents;
use crate::support::client::encode;
use crate::support::oracle::Oracle;
use crate::support::reply::words;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// Files of a journal, by name.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// A peer that writes a journal, and snapshots.
pub(crate) struct Author {
    pub(crate) server: Server,
    folder: PathBuf,
    snapshot: PathBuf,
}

impl Author {
    /// Starts the peer, or says that it is missing. The base of its journal is commands.
    pub(super) fn start(oracle: Oracle) -> Option<Author> {
        Author::with_preamble(oracle, "no")
    }

    /// The same; `yes` makes the base an RDB file.
    pub(crate) fn with_preamble(oracle: Oracle, preamble: &str) -> Option<Author> {
        let name = format!("foreign-{:016x}", fastrand::u64(..));
        let options = oracle.options()?;
        let server = options
            .with("appendonly yes")
            .with("appendfsync no")
            .with("auto-aof-rewrite-percentage 0")
            .with(&format!("aof-use-rdb-preamble {preamble}"))
            .with("aof-timestamp-enabled yes")
            .with(&format!("appenddirname {name}"))
            .start();
        // The peer may live in a root of its own.
        let root = PathBuf::from(format!("/proc/{}/root/tmp", server.pid()));
        let snapshot = server.oracle_path();
        Some(Author { server, folder: root.join(name), snapshot })
    }

    /// Has it write a snapshot, and gives the file.
    pub(crate) fn save(&self) -> Vec<u8> {
        let reply = self.server.client().line("SAVE");
        assert!(reply.is_ok(), "{reply:?}");
        fs::read(&self.snapshot).unwrap()
    }

    /// What it has written so far. A reply leaves it only when its write is in the file.
    pub(crate) fn files(&self) -> Files {
        files_in(&self.folder)
    }

    /// What it has when it has read its files itself: what they say, as it means it.
    pub(crate) fn read_back(&self) -> Contents {
        self.reload();
        Contents::of(&mut self.server.client())
    }

    /// Has it read its files in place of what it has.
    pub(crate) fn reload(&self) {
        let reply = self.server.client().line("DEBUG LOADAOF");
        assert!(reply.is_ok(), "{reply:?}");
    }

    /// Has it load these records in place of what it has.
    pub(crate) fn load(&self, records: &[u8]) {
        let (name, _) = self.files().into_iter().find(|it| it.0.ends_with(".incr.aof")).unwrap();
        self.load_files(&vec![(name, records.to_vec())]);
    }

    /// Has it load these files, each in the place of its own one of that name.
    pub(crate) fn load_files(&self, files: &Files) {
        files.iter().for_each(|(name, bytes)| fs::write(self.folder.join(name), bytes).unwrap());
        self.reload();
    }

    /// Has it write its files anew, from the data set alone.
    pub(crate) fn rewrite(&self) {
        let mut client = self.server.client();
        client.line("BGREWRITEAOF");
        until("the files are rewritten", SOON * 3, || {
            let info = client.line("INFO persistence").text();
            info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
        });
    }
}

impl Drop for Author {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.folder));
        drop(fs::remove_file(&self.snapshot));
    }
}

/// The files of a journal in this folder.
pub(crate) fn files_in(folder: &Path) -> Files {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let file = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

/// One increment of these lines, as a peer would have written it.
pub(super) fn of_lines<L: AsRef<str>>(lines: &[L]) -> Files {
    let written = lines.iter().flat_map(|line| encode(&words(line.as_ref()).unwrap())).collect();
    let name = "appendonly.aof.1.incr.aof".to_owned();
    let manifest = format!("file {name} seq 1 type i\n").into_bytes();
    vec![(name, written), ("appendonly.aof.manifest".to_owned(), manifest)]
}

/// A server with a journal that stands on these files; whether it comes up is the test's question.
pub(crate) fn launch(options: &Options, files: &Files) -> Server {
    let mut server = options.clone().journal("no").start();
    server.stop();
    let folder = server.path("appendonlydir");
    fs::remove_dir_all(&folder).unwrap();
    fs::create_dir(&folder).unwrap();
    files.iter().for_each(|(name, bytes)| fs::write(folder.join(name), bytes).unwrap());
    server.respawn();
    server
}

/// A server that has loaded these files.
pub(crate) fn load(options: &Options, files: &Files) -> Server {
    let server = launch(options, files);
    server.wait_ready();
    server
}
