//! CONFIG SET and CONFIG REWRITE: a change is answered when every shard has taken it up.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use tracing::warn;
use troupe::aof::journal::Policy;
use troupe::commands::error::CommandError;
use troupe::settings::{Setting, Settings, Standing, rewrite};
use troupe::shard::letter::Letter;

use super::Admin;
use crate::logging;
use crate::message::aof::SetPolicy;

/// Settings that the core lets change but that this server takes up only at its start.
const AT_START: &[&str] = &["appendonly", "bind", "dir", "port", "tcp-backlog"];

impl Admin {
    pub(super) async fn config_set(
        &self,
        pairs: &[(Vec<u8>, Vec<u8>)],
        is_local: bool,
    ) -> Result<(), CommandError> {
        let pairs: Vec<(&[u8], &[u8])> = pairs.iter().map(|(n, v)| (&n[..], &v[..])).collect();
        let settings = {
            let mut current =
                self.parts.settings.write().unwrap_or_else(|poisoned| poisoned.into_inner());
            let applied = current
                .apply(&pairs, is_local)
                .map_err(|error| CommandError::Quoted(error.to_string()))?;
            if let Some(setting) = applied.changed.iter().find(|s| AT_START.contains(&s.name)) {
                return Err(CommandError::Quoted(format!(
                    "ERR CONFIG SET failed (possibly related to argument '{}') - it can be changed \
                     in the configuration file only, yet",
                    setting.name
                )));
            }
            let settings = Arc::new(applied.settings);
            *current = settings.clone();
            warn_of(&applied.changed);
            settings
        };
        self.take_up(&settings);
        self.tell_all(|| Letter::Settings(settings.clone())).await;
        Ok(())
    }

    /// What the shell itself does by the settings.
    fn take_up(&self, settings: &Settings) {
        logging::set_level(logging::filter(settings.loglevel));
        let policy = Policy::from(settings.appendfsync);
        if let Some(writer) = self.writer.get() {
            writer.do_send(SetPolicy(policy));
            self.parts.shards.iter().for_each(|shard| shard.policy.do_send(SetPolicy(policy)));
        }
    }

    pub(super) fn config_rewrite(&self) -> Result<(), CommandError> {
        let Some(file) = &self.parts.file else {
            return Err(CommandError::Text("ERR The server is running without a config file"));
        };
        let old = fs::read_to_string(&file.path).unwrap_or_default();
        let new = rewrite(&old, &self.settings(), file.syntax);
        replace(&file.path, new.as_bytes())
            .map_err(|error| CommandError::Quoted(format!("ERR Rewriting config file: {error}")))
    }
}

fn warn_of(changed: &[&Setting]) {
    for setting in changed {
        if let Standing::Accepted(why) = setting.standing {
            warn!("CONFIG SET {}: {why}", setting.name);
        }
    }
}

/// Replaces a file as a whole: a crash leaves the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("rewrite");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    if let Ok(metadata) = fs::metadata(path) {
        file.set_permissions(metadata.permissions())?;
    }
    fs::rename(&new, path)?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
}
