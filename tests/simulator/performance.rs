//! Actions about scripts, as the shell performs them: a thread asks all threads, one round after
//! the other, and its batch goes on when all have answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use troupe::batch::Batch;
use troupe::commands::action::Action;
use troupe::commands::error::CommandError;
use troupe::commands::scripting::ScriptChange;
use troupe::hook::answer::{Answer, Killed};
use troupe::question::{KillKind, Question};
use troupe::route::ShardId;
use troupe::script::{Script, Sha};
use troupe::shard::Shard;
use troupe::shard::letter::Letter;

const NOT_BUSY: CommandError = CommandError::Text("NOTBUSY No scripts in execution right now.");

/// What all threads are asked.
#[derive(Clone, Debug)]
pub enum Asked {
    /// To take up a change of the scripts that are known.
    Change(ScriptChange),
    /// For a script.
    Find(Sha),
    /// To end scripts that have run too long.
    Kill(KillKind),
}

impl Asked {
    /// The answer of a shard.
    pub fn answer(self, shard: &mut Shard) -> Answer {
        match self {
            Asked::Change(change) => {
                shard.receive(Letter::Scripts(change));
                Answer::Done
            }
            Asked::Find(sha) => shard.answer(&Question::Script(sha)),
            Asked::Kill(kind) => shard.answer(&Question::KillScripts(kind)),
        }
    }
}

/// What comes next of an action.
pub enum Performance {
    /// All threads are asked this.
    Asks(Asked),
    /// It is over, with this reply.
    Over(Box<Batch>, Result<&'static [u8], CommandError>),
}

#[derive(Debug)]
struct UnderWay {
    batch: Box<Batch>,
    /// The connection where the batch waits.
    place: Option<u32>,
    asked: Asked,
    /// How many have not answered.
    left: ShardId,
    found: Option<Arc<Script>>,
    killed: usize,
}

/// The actions of a thread that are under way.
#[derive(Debug, Default)]
pub struct Performances {
    last: u64,
    shards: ShardId,
    all: BTreeMap<u64, UnderWay>,
}

impl Performances {
    /// Begins the action of a batch, among so many shards. Returns its number, and what comes next.
    ///
    /// # Errors
    /// It is not one that clients call for.
    pub fn begin(
        &mut self,
        mut batch: Box<Batch>,
        place: Option<u32>,
        shards: ShardId,
    ) -> Result<(u64, Performance), String> {
        let asked = match batch.action.take() {
            Some(Action::ChangeScripts(change)) => Asked::Change(change),
            Some(Action::FindScript(sha)) => Asked::Find(sha),
            Some(Action::KillScripts(kind)) => Asked::Kill(kind),
            other => return Err(format!("a client is said to have asked for {other:?}")),
        };
        self.last += 1;
        self.shards = shards;
        let next = Performance::Asks(asked.clone());
        let (left, found, killed) = (shards, None, 0);
        self.all.insert(self.last, UnderWay { batch, place, asked, left, found, killed });
        Ok((self.last, next))
    }

    /// A thread has answered. Returns what comes next, where all have.
    pub fn answered(&mut self, number: u64, answer: Answer) -> Option<Performance> {
        let under_way = self.all.get_mut(&number)?;
        under_way.left -= 1;
        match answer {
            Answer::Script(script) => under_way.found = Some(script),
            Answer::Killed(Killed { ended, .. }) => under_way.killed += ended,
            _ => {}
        }
        if under_way.left > 0 {
            return None;
        }
        if let (Asked::Find(_), Some(script)) = (&under_way.asked, under_way.found.take()) {
            under_way.asked = Asked::Change(ScriptChange::Evaluate(script));
            under_way.left = self.shards;
            return Some(Performance::Asks(under_way.asked.clone()));
        }
        let UnderWay { batch, asked, killed, .. } = self.all.remove(&number)?;
        let reply: Result<&'static [u8], _> = match asked {
            Asked::Kill(_) if killed == 0 => Err(NOT_BUSY),
            Asked::Kill(_) => Ok(b"+OK\r\n"),
            _ => Ok(b""),
        };
        Some(Performance::Over(batch, reply))
    }

    /// A connection is gone, and its batch with it.
    pub fn gone(&mut self, place: u32) {
        self.all.retain(|_, under_way| under_way.place != Some(place));
    }
}
