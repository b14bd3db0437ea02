//! FUNCTION STATS: what runs, and how many functions there are.

use crate::base::millis::Millis;
use crate::commands::error::CommandError;
use crate::commands::scripting::ScriptFigures;
use crate::commands::scripting::function::ENGINE;
use crate::hook::answer::{Answer, RunningScript};
use crate::question::KillKind;
use crate::resp::Reply;

/// Writes the reply from what all shards have answered at `now`.
///
/// # Errors
/// Where a script runs, which is no function.
pub(super) fn stats(
    answers: &[Answer],
    now: Millis,
    reply: &mut Reply<'_>,
) -> Result<(), CommandError> {
    let (mut oldest, mut known): (Option<&RunningScript>, _) = (None, ScriptFigures::default());
    for answer in answers {
        let Answer::Running(running, figures) = answer else { continue };
        known = *figures;
        let is_older = |running: &&RunningScript| oldest.is_none_or(|it| running.since < it.since);
        oldest = running.as_deref().filter(is_older).or(oldest);
    }
    if oldest.is_some_and(|running| running.kind == KillKind::Scripts) {
        return Err(CommandError::Busy(KillKind::Scripts.container()));
    }
    reply.map(2);
    reply.bulk(b"running_script");
    match oldest {
        Some(running) => {
            reply.map(3);
            reply.bulk(b"name");
            reply.bulk(running.name.as_bytes());
            reply.bulk(b"command");
            reply.array(running.words.len());
            running.words.iter().for_each(|word| reply.bulk(word));
            reply.bulk(b"duration_ms");
            reply.int(now.since(running.since).max(0));
        }
        None => reply.null(),
    }
    reply.bulk(b"engines");
    reply.map(1);
    reply.bulk(ENGINE);
    reply.map(2);
    for (name, count) in
        [("libraries_count", known.libraries), ("functions_count", known.functions)]
    {
        reply.bulk(name.as_bytes());
        reply.int(count as i64);
    }
    Ok(())
}
