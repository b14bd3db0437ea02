//! The gate of snapshots: no write is taken while the data set is to be saved now and then, and the
//! last time that failed, unless `stop-writes-on-bgsave-error` is off.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Standing, is_write};
use crate::session::Session;

/// Refuses writes after a snapshot has failed.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnapshotWrites;

impl Gate for SnapshotWrites {
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
        let settings = call.settings;
        let stops = settings.stop_writes_on_bgsave_error && !settings.save.is_empty();
        let is_asked = standing.snapshot_failed && stops && !session.is_primary();
        if is_asked && is_write(call, session) {
            return Err(CommandError::SnapshotFailed);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::command::Flags;
    use crate::hooks::sample::{self, SERVING};

    #[test]
    fn only_writes_are_refused_and_only_after_a_failure() {
        let is_refused = |flags, snapshot_failed| {
            let standing = Standing { snapshot_failed, ..SERVING };
            let call = sample::call(sample::on_keys(flags));
            let admitted = SnapshotWrites.admit(&call, &sample::session(), &standing);
            admitted.is_err_and(|error| error.to_string().starts_with("MISCONF "))
        };
        assert!(is_refused(Flags::WRITE, true));
        assert!(!is_refused(Flags::READONLY, true) && !is_refused(Flags::WRITE, false));
    }
}
