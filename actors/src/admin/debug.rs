//! What DEBUG asks of the server: faults on purpose, and moves of slots.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use troupe::commands::action::Debug;
use troupe::commands::error::CommandError;
use troupe::question::Question;
use troupe::router::Order;
use troupe::settings::Extent;

use super::Admin;
use super::reload::Source;
use crate::message::control::Panic;
use crate::message::router::Move;
use crate::message::shard::Disturb;
use crate::thread::{Thread, stall};

/// How often the progress of a reload is asked for.
const POLL: Duration = Duration::from_millis(5);

impl Admin {
    pub(super) async fn debug(
        self: &Arc<Admin>,
        debug: Debug,
        thread: &Thread,
    ) -> Result<(), CommandError> {
        match debug {
            Debug::RewriteConfig => self.config_rewrite(Extent::All)?,
            Debug::Sleep(millis) => stall(millis),
            Debug::PanicShard(shard) => {
                self.disturb(shard, Disturb::Panic)?;
                return Err(CommandError::Internal);
            }
            Debug::PanicVisit(shard) => {
                self.disturb(shard, Disturb::PanicVisit)?;
                self.ask_all(Question::Nothing).await;
            }
            Debug::PanicActor(name) => self.panic_actor(&name, thread)?,
            Debug::StallShard { shard, millis } => self.disturb(shard, Disturb::Stall(millis))?,
            Debug::SetActiveExpire(on) => self.disturb_all(Disturb::ActiveExpire(on)).await,
            Debug::AllowAllInScripts(on) => self.disturb_all(Disturb::AllInScripts(on)).await,
            Debug::TakeAnyChecksum(on) => self.disturb_all(Disturb::AnyChecksum(on)).await,
            Debug::BreakOrder(on) => self.disturb_all(Disturb::BreakOrder(on)).await,
            Debug::BreakAtomicity(on) => self.disturb_all(Disturb::BreakAtomicity(on)).await,
            Debug::LoadJournal if self.writer().is_none() => {
                self.reload(Source::Journal, thread).await?;
            }
            Debug::LoadJournal => self.load_journal().await,
            Debug::Reload(asked) => self.reload(Source::Snapshot(asked), thread).await?,
            Debug::MoveSlots(moves) => {
                let (done, receiver) = oneshot::channel();
                let moves = moves.into_iter().collect();
                self.parts.router.do_send(Move(Order { moves, token: done }));
                let moved = receiver.await.map_err(|_| "the router ended".to_owned());
                let moved = moved.and_then(|moved| moved.map_err(|failure| failure.to_string()));
                moved.map_err(|why| CommandError::Quoted(format!("ERR {why}")))?;
            }
        }
        Ok(())
    }

    fn disturb(&self, shard: u16, disturb: Disturb) -> Result<(), CommandError> {
        let shard = self.parts.shards.get(usize::from(shard));
        let shard = shard.ok_or(CommandError::Text("ERR no such shard"))?;
        shard.disturb.do_send(disturb);
        Ok(())
    }

    /// Returns when all shards have done it.
    async fn disturb_all(&self, disturb: Disturb) {
        self.parts.shards.iter().for_each(|shard| shard.disturb.do_send(disturb));
        self.ask_all(Question::Nothing).await;
    }

    fn panic_actor(&self, name: &str, thread: &Thread) -> Result<(), CommandError> {
        let name = name.to_ascii_lowercase().replace('-', "");
        if name == "connection" {
            thread.panic_a_client();
            return Ok(());
        }
        if name == "aofwriter" {
            let writer = self.writer().ok_or(CommandError::Text("ERR no such actor"))?;
            writer.panic.do_send(Panic);
            return Ok(());
        }
        let actors = self.actors.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        match actors.iter().find(|(actor, _)| *actor == name) {
            Some((_, actor)) => {
                actor.do_send(Panic);
                Ok(())
            }
            None => Err(CommandError::Text("ERR no such actor")),
        }
    }

    /// Every shard empties its tables and reads the journal again.
    async fn load_journal(&self) {
        for shard in &self.parts.shards {
            shard.disturb.do_send(Disturb::Reload);
        }
        while !self.all_serve().await {
            tokio::time::sleep(POLL).await;
        }
    }
}
