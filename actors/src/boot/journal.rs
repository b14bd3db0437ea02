//! How the journal comes to its writer: read back at the start, or begun anew while the server
//! runs. The files are opened on threads of their own, since no shard may wait for a disk.

use std::sync::{Arc, Mutex};

use actix::{Addr, Arbiter, Recipient, Supervisor};
use anyhow::Context as _;
use tokio::sync::oneshot;
use tracing::{error, info, warn};
use troupe::aof::journal::{Figures, Journal, Sizes};
use troupe::route::Map;
use troupe::settings::Settings;
use troupe::shard::turn::Held;
use troupe::stream::Policy;

use crate::admin::Writer;
use crate::aof::disk::{Directory, Origin, Place};
use crate::aof::error::AofError;
use crate::aof::filesystem::Os;
use crate::aof::increment::Increment;
use crate::aof::loader::{self, Loading};
use crate::aof::writer::{AofWriter, Receivers};
use crate::clock::Clock;
use crate::message::aof::Begin;
use crate::message::control::Restarted;
use crate::shard::Shard;
use crate::shared::Shared;

const NO_THREAD: &str = "there is no thread for the append only file";

/// Starts writers of the journal.
pub(super) struct Starter {
    pub(super) map: Arc<Map>,
    pub(super) shards: Vec<Addr<Shard>>,
    pub(super) shared: Arc<Shared>,
    pub(super) figures: Arc<Mutex<Figures>>,
    pub(super) guardian: Recipient<Restarted>,
    pub(super) clock: Clock,
}

impl Starter {
    /// Reads the journal to the shards, then starts the writer behind it; none where the journal
    /// has to be written anew.
    pub(super) async fn load(&self, settings: &Settings) -> anyhow::Result<Option<Writer>> {
        let mut directory = Directory::open(Box::new(Os), &place(settings))?;
        for stray in directory.strays()? {
            warn!("{} is not listed in the manifest and is left alone", stray.display());
        }
        if directory.origin() != Origin::New && self.read(&directory, settings).await? {
            return Ok(None);
        }
        directory.delete_history();
        let (increment, sizes) = directory.open_increment()?;
        let policy = Policy::from(settings.appendfsync);
        let arbiter = Arbiter::try_new().context(NO_THREAD)?;
        let made = self.writer(Journal::new(policy, sizes), directory, increment);
        let writer = reach(&Supervisor::start_in_arbiter(&arbiter.handle(), move |_| made()));
        for shard in &self.shards {
            let (append, rebuild) = (writer.append.clone(), writer.rebuild.clone());
            shard.do_send(Begin { append, rebuild, policy });
        }
        Ok(Some(writer))
    }

    /// Tells whether the journal has to be written anew.
    async fn read(&self, directory: &Directory, settings: &Settings) -> anyhow::Result<bool> {
        let (files, map) = (directory.files()?, self.map.clone());
        let loading = |shard: &Addr<Shard>| Loading {
            replay: shard.clone().recipient(),
            lend: shard.clone().recipient(),
            letters: shard.clone().recipient(),
        };
        let shards = self.shards.iter().map(loading).collect();
        let renames = settings.rename_command.clone();
        let (began, skips_refused) = (self.clock.nanos(), settings.aof_load_skip_refused);
        let (sender, receiver) = oneshot::channel();
        std::thread::Builder::new().name("loader".to_owned()).spawn(move || {
            // The starter waits for it.
            let _ = sender.send(loader::load_all(&files, map, renames, shards, skips_refused));
        })?;
        let loaded = receiver.await.context("the loader ended without a word")??;
        let read = &loaded.read;
        if let Some(torn) = &read.torn {
            torn.mend(settings.aof_load_truncated)?;
        }
        let seconds = (self.clock.nanos() - began) as f64 / 1e9;
        info!("DB loaded from append only file: {seconds:.3} seconds, {} records", read.records);
        Ok(loaded.is_foreign)
    }

    /// Starts a writer over the file of a new base, or tells the log why that is not possible and
    /// gives nothing.
    pub(super) fn begin(&self, settings: &Settings) -> oneshot::Receiver<Writer> {
        let (sender, receiver) = oneshot::channel();
        let place = place(settings);
        let open = move || -> Result<(Directory, Increment), AofError> {
            let directory = Directory::open_anew(Box::new(Os), &place)?;
            let base = directory.create_base()?;
            Ok((directory, base))
        };
        let arbiter = match Arbiter::try_new() {
            Ok(arbiter) => arbiter,
            Err(error) => {
                error!("{NO_THREAD}: {error}");
                return receiver;
            }
        };
        let writer = self.writer_of_base();
        self.shared.journal.reset();
        arbiter.spawn_fn(move || match open() {
            Ok((directory, base)) => {
                let made = writer(directory, base);
                // Who asked waits for it.
                let _ = sender.send(reach(&Supervisor::start(move |_| made)));
            }
            Err(error) => {
                error!("The append only file cannot be begun: {error}");
                Arbiter::current().stop();
            }
        });
        receiver
    }

    fn writer_of_base(&self) -> impl FnOnce(Directory, Increment) -> AofWriter + Send + use<> {
        let parts = self.parts();
        move |directory, base| {
            let journal = Journal::new(Policy::Never, Sizes::default());
            let (receivers, shared, figures, clock) = parts;
            AofWriter::new(journal, directory, base, receivers, shared, figures, clock).of_base()
        }
    }

    fn writer(
        &self,
        journal: Journal<Held>,
        directory: Directory,
        increment: Increment,
    ) -> impl FnOnce() -> AofWriter + Send + use<> {
        let (receivers, shared, figures, clock) = self.parts();
        move || AofWriter::new(journal, directory, increment, receivers, shared, figures, clock)
    }

    fn parts(&self) -> (Receivers, Arc<Shared>, Arc<Mutex<Figures>>, Clock) {
        let receivers = Receivers {
            letters: self.shards.iter().map(|shard| shard.clone().recipient()).collect(),
            progress: self.shards.iter().map(|shard| shard.clone().recipient()).collect(),
            guardian: self.guardian.clone(),
        };
        (receivers, self.shared.clone(), self.figures.clone(), self.clock.clone())
    }
}

fn place(settings: &Settings) -> Place {
    Place {
        dir: settings.dir.clone(),
        appenddirname: settings.appenddirname.clone(),
        appendfilename: settings.appendfilename.clone(),
    }
}

fn reach(writer: &Addr<AofWriter>) -> Writer {
    Writer {
        append: writer.clone().recipient(),
        rebuild: writer.clone().recipient(),
        policy: writer.clone().recipient(),
        switch: writer.clone().recipient(),
        close: writer.clone().recipient(),
        panic: writer.clone().recipient(),
    }
}
