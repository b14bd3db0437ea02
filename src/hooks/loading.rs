//! The gate of a shard that cannot serve: it loads, or it does not trust what it holds.
//!
//! While the data set is loaded for the first time, clients see what Redis shows them: only
//! commands with the `loading` flag run. A shard that rebuilds itself after a panic refuses only
//! what touches keys, and a transaction with such a command as a whole; everything else does not
//! need its tables.

use crate::commands::call::Call;
use crate::commands::command::Flags;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Phase, Standing, needs_tables};
use crate::session::Session;

/// Refuses commands that need the data set while there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct Loading;

impl Gate for Loading {
    fn rests_while_well(&self) -> bool {
        true
    }

    #[inline]
    fn admit(
        &mut self,
        call: &Call<'_>,
        session: &Session,
        standing: &Standing<'_>,
    ) -> Result<(), CommandError> {
        let refused = match standing.phase {
            Phase::Serving => false,
            Phase::Loading => !call.command.flags.has(Flags::LOADING),
            Phase::Suspect | Phase::Rebuilding => needs_tables(call, session),
        };
        if refused { Err(CommandError::Loading) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::hash::Hasher;
    use crate::commands::command::{Command, Run};
    use crate::hooks::sample::{self, SERVING};
    use crate::resp::Span;
    use crate::transaction::Transaction;

    #[test]
    fn each_phase_refuses_its_own() {
        let admits = |phase, command| {
            let standing = Standing { phase, ..SERVING };
            Loading.admit(&sample::call(command), &sample::session(), &standing).is_ok()
        };
        let on_keys = sample::on_keys(Flags::READONLY);
        let info = sample::command(Flags::LOADING);
        let server = sample::command(Flags::NONE);
        let phases = [Phase::Serving, Phase::Loading, Phase::Suspect, Phase::Rebuilding];
        assert_eq!(phases.map(|phase| admits(phase, on_keys)), [true, false, false, false]);
        assert_eq!(phases.map(|phase| admits(phase, server)), [true, false, true, true]);
        assert_eq!(phases.map(|phase| admits(phase, info)), [true; 4]);
    }

    /// Its commands were refused one by one, and EXEC answered as if they had run.
    #[test]
    fn a_transaction_is_refused_as_a_whole() {
        let exec = Box::leak(Box::new(Command { run: Run::Exec, ..Command::BASE }));
        let on_keys = sample::on_keys(Flags::READONLY);
        let server = sample::command(Flags::NONE);
        for (queued, passes) in [(server, true), (on_keys, false)] {
            let (mut session, mut transaction) = (sample::session(), Transaction::default());
            let hasher = Hasher::with_seeds([1, 2, 3, 4]);
            assert!(transaction.push(queued, b"", &[], Span { start: 0, len: 0 }, &hasher));
            session.transaction = Some(Box::new(transaction));
            for (phase, passes) in [(Phase::Serving, true), (Phase::Rebuilding, passes)] {
                let standing = Standing { phase, ..SERVING };
                let admitted = Loading.admit(&sample::call(exec), &session, &standing);
                assert_eq!(admitted.is_ok(), passes, "{phase:?}");
            }
        }
    }
}
