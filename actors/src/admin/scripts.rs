//! What is asked of all threads about scripts.

use troupe::commands::error::CommandError;
use troupe::commands::scripting::ScriptChange;
use troupe::hook::answer::{Answer, Killed};
use troupe::question::{KillKind, Question};
use troupe::script::Sha;
use troupe::shard::letter::Letter;

use crate::admin::Admin;

const NOT_BUSY: CommandError = CommandError::Text("NOTBUSY No scripts in execution right now.");
const UNKILLABLE: CommandError = CommandError::Text(
    "UNKILLABLE Sorry the script already executed write commands against the dataset. You can \
     either wait the script termination or kill the server in a hard way using the SHUTDOWN NOSAVE \
     command.",
);

impl Admin {
    /// Makes a script known to all threads that one of them knows, if one does.
    pub(super) async fn find_script(&self, sha: Sha) {
        let answers = self.ask_all(Question::Script(sha)).await;
        let found = answers.into_iter().find_map(|answer| match answer {
            Answer::Script(script) => Some(script),
            _ => None,
        });
        if let Some(script) = found {
            self.tell_all(|| Letter::Scripts(ScriptChange::Evaluate(script.clone()))).await;
        }
    }

    /// Ends the scripts, or functions, that have run too long.
    ///
    /// # Errors
    /// Where there is none, or none can be ended.
    pub(super) async fn kill_scripts(&self, kind: KillKind) -> Result<(), CommandError> {
        let answers = self.ask_all(Question::KillScripts(kind)).await;
        let mut all = Killed::default();
        for answer in answers {
            if let Answer::Killed(killed) = answer {
                all.ended += killed.ended;
                all.kept += killed.kept;
            }
        }
        match all {
            Killed { ended: 1.., .. } => Ok(()),
            Killed { kept: 1.., .. } => Err(UNKILLABLE),
            _ => Err(NOT_BUSY),
        }
    }
}
