//! How the journal comes to its writer: read back at the start, or begun anew while the server
//! runs. The files are opened on threads of their own, since no shard may wait for a disk. The
//! writer is there without a journal, too.

use std::sync::{Arc, Mutex};

use actix::{Addr, Arbiter, Recipient, Supervisor};
use anyhow::Context as _;
use tokio::sync::oneshot;
use tracing::{info, warn};
use troupe::aof::directory::{Directory, Increments, Location, Origin};
use troupe::aof::figures::JournalFigures;
use troupe::aof::journal::Journal;
use troupe::place::StreamPlace;
use troupe::rdb::Rules;
use troupe::route::Map;
use troupe::settings::Settings;
use troupe::shard::snapshot::Begun;
use troupe::snapshot::file::{About, SnapshotFile};
use troupe::stream::Policy;

use crate::admin::{Started, Writer};
use crate::aof::loader::Loaded;
use crate::aof::writer::{AofWriter, Parts};
use crate::clock::Clock;
use crate::filesystem::Os;
use crate::message::aof::{Appends, Begin, Open};
use crate::message::control::Restarted;
use crate::post::Post;
use crate::shard::Shard;
use crate::shared::Shared;

const NO_THREAD: &str = "there is no thread for the append only file";

/// Starts writers of the journal.
pub(super) struct Starter {
    pub(super) map: Arc<Map>,
    pub(super) shards: Vec<Addr<Shard>>,
    pub(super) post: Arc<Post>,
    pub(super) shared: Arc<Shared>,
    pub(super) figures: Arc<Mutex<JournalFigures>>,
    pub(super) guardian: Recipient<Restarted>,
    pub(super) clock: Clock,
}

impl Starter {
    /// Starts the writer where there is no journal, or one that has to be written anew.
    pub(super) fn start(&self) -> anyhow::Result<(Writer, Arbiter)> {
        let arbiter = Arbiter::try_new().context(NO_THREAD)?;
        let (parts, appends) = self.parts();
        let made = move |_: &mut _| AofWriter::without_journal(parts);
        let writer = reach(&Supervisor::start_in_arbiter(&arbiter.handle(), made), appends);
        Ok((writer, arbiter))
    }

    /// Reads the journal to the shards, then starts the writer behind it; none where the journal
    /// has to be written anew. Returns the place in the stream of a primary as well that the data
    /// set is at.
    pub(super) async fn load(
        &self,
        settings: &Settings,
    ) -> anyhow::Result<(Option<(Writer, Arbiter)>, Option<StreamPlace>)> {
        let mut directory = Directory::open(Box::new(Os), &Location::of(settings))?;
        for stray in directory.strays()? {
            warn!("{} is not listed in the manifest and is left alone", stray.display());
        }
        let mut place = None;
        if directory.origin() == Origin::New {
            self.warn_of_snapshot(settings);
            self.begin_empty(&mut directory, settings)?;
        } else {
            let Loaded { read, is_foreign, .. } = self.read_journal(&directory, settings).await?;
            // A primary's stream is its own from its start on.
            place = read.place.filter(|_| settings.replication.replicaof.is_some());
            if is_foreign {
                info!("The append only file has records over several shards and is written anew");
                return Ok((None, place));
            }
        }
        directory.keep_history(settings.aof_disable_auto_gc);
        directory.delete_history().iter().for_each(|leftover| warn!("{leftover}"));
        let (increment, sizes) = directory.open_increment()?;
        let policy = Policy::from(settings.appendfsync);
        let arbiter = Arbiter::try_new().context(NO_THREAD)?;
        let (parts, appends) = self.parts();
        let journal = Journal::new(policy, sizes);
        let made = move |_: &mut _| AofWriter::new(journal, directory, increment, parts);
        let writer = reach(&Supervisor::start_in_arbiter(&arbiter.handle(), made), appends);
        for shard in &self.shards {
            let (appends, rebuild) = (writer.appends.clone(), writer.rebuild.clone());
            shard.do_send(Begin { appends, rebuild, policy });
        }
        Ok((Some((writer, arbiter)), place))
    }

    /// Gives a journal that begins with nothing its base.
    fn begin_empty(&self, directory: &mut Directory, settings: &Settings) -> anyhow::Result<()> {
        let about = About::base(settings, self.clock.now());
        let mut base = SnapshotFile::new(Box::new(Os), Location::of(settings).new_base(), about);
        base.begin(&Begun::default())?;
        base.finish()?;
        let mut increment = directory.create_unlisted()?;
        let (_, leftovers) = directory.list_base(Increments::Unlisted, Some(&mut increment))?;
        leftovers.iter().for_each(|leftover| warn!("{leftover}"));
        Ok(())
    }

    async fn read_journal(
        &self,
        directory: &Directory,
        settings: &Settings,
    ) -> anyhow::Result<Loaded> {
        let began = self.clock.nanos();
        let rules = Rules::of(settings, None);
        let loaded = self.read(directory.files()?, rules, settings).await?;
        let read = &loaded.read;
        if let Some(torn) = &read.torn {
            torn.mend(&Os, settings.aof_load_truncated)?;
            warn!(
                path = %torn.path.display(), offset = torn.valid_up_to,
                dropped_bytes = torn.dropped,
                "cut an unfinished record off the end of the AOF (aof-load-truncated is yes)"
            );
        }
        let seconds = (self.clock.nanos() - began) as f64 / 1e9;
        info!("DB loaded from append only file: {seconds:.3} seconds, {} records", read.records);
        Ok(loaded)
    }

    /// Gives the writer the directory of a journal that begins, or says why that is not possible.
    pub(super) fn begin(writer: &Writer, settings: &Settings) -> Started {
        let (sender, receiver) = oneshot::channel();
        let place = Location::of(settings);
        let writer = writer.clone();
        let begin = move || {
            let begun = hand_over(&writer, &place).map(|()| writer);
            // Who asked waits for it.
            let _ = sender.send(begun);
        };
        let thread = std::thread::Builder::new().name("aof-opener".to_owned());
        if let Err(error) = thread.spawn(begin) {
            warn!("{NO_THREAD}: {error}");
        }
        receiver
    }

    /// What a writer is given, and the inbox that shards append to.
    fn parts(&self) -> (Parts, Appends) {
        let appends = Appends::default();
        let progress = self.shards.iter().map(|shard| shard.clone().recipient()).collect();
        let guardian = self.guardian.clone();
        let (shared, figures) = (self.shared.clone(), self.figures.clone());
        let (post, clock) = (self.post.clone(), self.clock.clone());
        let parts =
            Parts { appends: appends.clone(), post, progress, shared, figures, clock, guardian };
        (parts, appends)
    }
}

/// Opens the directory of a journal that begins, and waits until the writer has it.
fn hand_over(writer: &Writer, place: &Location) -> Result<(), String> {
    let directory = Directory::open_anew(Box::new(Os), place).map_err(|error| error.to_string())?;
    let (asks, answered) = oneshot::channel();
    writer.open.do_send(Open(directory, asks));
    answered.blocking_recv().unwrap_or_else(|_| Err("its thread has ended".to_owned()))
}

fn reach(writer: &Addr<AofWriter>, appends: Appends) -> Writer {
    Writer {
        appends,
        rebuild: writer.clone().recipient(),
        policy: writer.clone().recipient(),
        list: writer.clone().recipient(),
        forget: writer.clone().recipient(),
        sync: writer.clone().recipient(),
        close: writer.clone().recipient(),
        listen: writer.clone().recipient(),
        hand_on: writer.clone().recipient(),
        put: writer.clone().recipient(),
        open: writer.clone().recipient(),
        panic: writer.clone().recipient(),
    }
}
