//! CONFIG SET and CONFIG REWRITE: a change is answered when every shard has taken it up.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::commands::error::CommandError;
use troupe::settings::{Extent, Setting, Settings, Support, rewrite};
use troupe::shard::letter::Letter;
use troupe::stream::Policy;

use super::Admin;
use crate::allocator;
use crate::descriptors::{DECIDING, Shortage};
use crate::logging;
use crate::message::aof::SetPolicy;
use crate::message::listener::{Open, Settle};
use crate::message::snapshot::Mail;
use crate::settings::{ConfigFile, check_enters, read_file, reason};

/// Settings that say where and how to listen, with what the client hears where that is not
/// possible.
const OF_DOORS: &[(&str, &str)] = &[
    ("bind", "Failed to bind to specified addresses."),
    ("port", "Unable to listen on this port. Check server logs."),
    ("tcp-keepalive", "Unable to set it. Check server logs."),
];

/// Settings of the score that the system has of this process.
const OF_SCORE: &[&str] = &["oom-score-adj", "oom-score-adj-values"];

/// Settings that say what memory all clients may hold together.
const OF_CLIENTS: &[&str] = &["maxmemory", "maxmemory-clients"];

impl Admin {
    /// Carries CONFIG SET out to its end, even when the client goes meanwhile.
    pub(super) async fn config_set(
        self: &Arc<Admin>,
        pairs: Vec<(Vec<u8>, Vec<u8>)>,
        is_local: bool,
    ) -> Result<(), CommandError> {
        let (done, receiver) = oneshot::channel();
        let admin = self.clone();
        actix_rt::spawn(async move {
            // Who asked may have gone meanwhile.
            let _ = done.send(admin.change_settings(&pairs, is_local).await);
        });
        receiver.await.unwrap_or(Err(CommandError::Internal))
    }

    /// One change at a time: first what may fail, then what cannot. The journal is switched ahead,
    /// while others change what they like: it may have to wait for a transaction that does so too.
    async fn change_settings(
        &self,
        pairs: &[(Vec<u8>, Vec<u8>)],
        is_local: bool,
    ) -> Result<(), CommandError> {
        let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let is_alone = pairs.len() == 1 && pairs[0].0.eq_ignore_ascii_case(b"appendonly");
        let _switching = match is_alone {
            true => Some(self.switching.lock().await),
            false => None,
        };
        if is_alone {
            let settings = Arc::new(self.settings().apply(&pairs, is_local)?.settings);
            self.switch_journal(&settings).await?;
        }
        let _one = self.changing.lock().await;
        let before = self.settings();
        let mut applied = before.apply(&pairs, is_local)?;
        if applied.changed.iter().any(|setting| setting.name == "dir") {
            move_to(&before, &mut applied.settings).map_err(|why| failed("dir", &why))?;
        }
        let settings = Arc::new(applied.settings);
        if let Some(setting) = applied.changed.iter().find(|s| DECIDING.contains(&s.name)) {
            let room = self.parts.descriptors.make_room(&settings);
            room.map_err(|shortage| failed(setting.name, &too_many_clients(shortage)))?;
        }
        let scored = applied.changed.iter().find(|s| OF_SCORE.contains(&s.name));
        if let Some(setting) = scored {
            let why = "Failed to set current oom_score_adj. Check server logs.";
            self.score(&settings).map_err(|_| failed(setting.name, why))?;
        }
        if let Err(error) = self.move_and_switch(&applied.changed, &settings).await {
            // The score before was taken once; that it is not taken again is in the log.
            let _ = scored.map(|_| self.score(&before));
            return Err(error);
        }
        *self.parts.settings.write().unwrap_or_else(|poisoned| poisoned.into_inner()) =
            settings.clone();
        warn_of(&applied.changed);
        self.take_up(&settings);
        self.tell_of_good_replicas(&settings);
        self.tell_all(|| Letter::Settings(settings.clone())).await;
        if applied.changed.iter().any(|setting| OF_CLIENTS.contains(&setting.name)) {
            self.evict_clients().await;
        }
        Ok(())
    }

    /// Scores this process for the day when memory runs out.
    pub fn score(&self, settings: &Settings) -> io::Result<()> {
        self.score.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).follow(settings)
    }

    /// Other sockets, and the journal on or off: both or none.
    async fn move_and_switch(
        &self,
        changed: &[&Setting],
        settings: &Arc<Settings>,
    ) -> Result<(), CommandError> {
        let of_doors = |s: &&Setting| OF_DOORS.iter().find(|(name, _)| *name == s.name);
        let moved = changed.iter().find_map(of_doors);
        if let Some((name, why)) = moved {
            self.open_doors(settings).await.map_err(|()| failed(name, why))?;
        }
        // Another change may be switching the journal: what it has done is not undone here.
        let switched = match changed.iter().any(|setting| setting.name == "appendonly") {
            true => self.switch_journal(settings).await,
            false => Ok(()),
        };
        if let Some(listener) = self.listener.get().filter(|_| moved.is_some()) {
            listener.settle.do_send(Settle { takes: switched.is_ok() });
        }
        switched
    }

    /// The journal is on or off as the settings have it, or stays as it is.
    async fn switch_journal(&self, settings: &Arc<Settings>) -> Result<(), CommandError> {
        match (self.writer().is_some(), settings.appendonly) {
            (false, true) => {
                let why = "Unable to turn on AOF. Check server logs.";
                self.begin_journal(settings).await.map_err(|()| failed("appendonly", why))?;
            }
            (true, false) => {
                let why = "A shard is being rebuilt from the append only file.";
                self.end_journal().await.map_err(|()| failed("appendonly", why))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Opens new sockets beside the old ones.
    async fn open_doors(&self, settings: &Arc<Settings>) -> Result<(), ()> {
        let (opened, receiver) = oneshot::channel();
        if let Some(listener) = self.listener.get() {
            listener.open.do_send(Open { settings: settings.clone(), opened });
        }
        if receiver.await == Ok(true) { Ok(()) } else { Err(()) }
    }

    /// What the shell itself does by the settings.
    fn take_up(&self, settings: &Settings) {
        logging::set_level(logging::filter(settings.loglevel));
        allocator::give_back_in_background(settings.jemalloc_bg_thread);
        self.parts.shared.take_up(settings);
        self.parts.snapshots.send(Mail::Delay(settings.key_delays.save), true);
        let policy = Policy::from(settings.appendfsync);
        if let Some(writer) = self.writer() {
            writer.policy.do_send(SetPolicy(policy));
            self.parts.shards.iter().for_each(|shard| shard.policy.do_send(SetPolicy(policy)));
        }
    }

    pub(super) fn config_rewrite(&self, extent: Extent) -> Result<(), CommandError> {
        let Some(file) = &self.parts.file else {
            return Err(CommandError::Text("ERR The server is running without a config file"));
        };
        let rewritten = rewrite_file(file, &self.settings(), extent);
        match &rewritten {
            Ok(()) => info!("CONFIG REWRITE executed with success."),
            Err(why) => warn!("CONFIG REWRITE failed: {why}"),
        }
        let failed = |why| CommandError::Quoted(format!("ERR Rewriting config file: {why}"));
        rewritten.map_err(failed)
    }
}

/// Snapshots go to another directory from now on, which is shown whole. A journal stays where it
/// is: with `dir` elsewhere the next start would not find it.
///
/// # Errors
/// Why not, for the client.
fn move_to(before: &Settings, settings: &mut Settings) -> Result<(), String> {
    if before.appendonly && settings.appendonly {
        return Err("the append only file is there, set appendonly to no first".to_owned());
    }
    let enter = || -> io::Result<PathBuf> {
        let path = fs::canonicalize(before.dir.join(&settings.dir))?;
        check_enters(&path)?;
        Ok(path)
    };
    let path = enter().map_err(|error| reason(&error))?;
    let set = settings.set("dir", &[path.as_os_str().as_bytes()]);
    set.map_err(|error| error.to_string())
}

fn failed(name: &str, why: &str) -> CommandError {
    let head = "ERR CONFIG SET failed (possibly related to argument";
    CommandError::Quoted(format!("{head} '{name}') - {why}"))
}

fn too_many_clients(shortage: Shortage) -> String {
    let what = "The operating system is not able to handle the specified number of clients";
    format!("{what}, try with {}", shortage.clients())
}

fn warn_of(changed: &[&Setting]) {
    for setting in changed {
        if let Support::Accepted(why) = setting.support {
            warn!("CONFIG SET {}: {why}", setting.name);
        }
    }
}

/// Writes a configuration file anew. One that cannot be read stays as it is; one that is not there
/// is made.
///
/// # Errors
/// Why not, for the client.
fn rewrite_file(file: &ConfigFile, settings: &Settings, extent: Extent) -> Result<(), String> {
    const TRIES: usize = 3;
    let failed = |error: io::Error| reason(&error);
    // What a link points to is written, and the link stays.
    let path = fs::canonicalize(&file.path).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(file.path.clone()),
        _ => Err(failed(error)),
    })?;
    for _ in 0..TRIES {
        let old = read_or_nothing(&path).map_err(failed)?;
        let content = old.as_deref().unwrap_or_default();
        let new = rewrite(content, settings, file.syntax, extent).map_err(|why| why.to_string())?;
        let prepared = Prepared::beside(&path, &new).map_err(failed)?;
        // Whoever edits the file meanwhile must not lose what was edited.
        if read_or_nothing(&path).map_err(failed)? == old {
            return prepared.replace(&path).map_err(failed);
        }
    }
    Err("the file is being changed by somebody else".to_owned())
}

fn read_or_nothing(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match read_file(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A file with new content beside an old one. It is removed unless it takes the old one's place.
struct Prepared(Option<PathBuf>);

impl Prepared {
    /// Writes the new content, durably, with the permissions and the owner of the old file.
    fn beside(path: &Path, content: &[u8]) -> io::Result<Prepared> {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!("-{}.tmp", std::process::id()));
        let new = path.with_file_name(name);
        let prepared = Prepared(Some(new.clone()));
        // One that a crash has left would be in the way.
        let _ = fs::remove_file(&new);
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(content)?;
        let permissions = match fs::metadata(path) {
            Ok(old) => {
                // Only root may give a file away; to others it belongs as any file they make.
                let _ = fchown(&file, Some(old.uid()), Some(old.gid()));
                old.permissions()
            }
            Err(_) => Permissions::from_mode(0o644),
        };
        file.set_permissions(permissions)?;
        file.sync_all()?;
        Ok(prepared)
    }

    /// Takes the place of the old file: a crash leaves the old one or the new one.
    fn replace(mut self, path: &Path) -> io::Result<()> {
        if let Some(new) = &self.0 {
            fs::rename(new, path)?;
            self.0 = None;
        }
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(new) = &self.0 {
            // It may not even have been made.
            let _ = fs::remove_file(new);
        }
    }
}
