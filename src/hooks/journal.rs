//! The gate of the journal: no write is taken that could not be written down, and writes wait while
//! the disk does not keep up with them.
//!
//! A divergence: Redis refuses PING as well meanwhile. Here only writes are refused; that the
//! journal failed is in INFO persistence.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Standing, is_write, may_write};
use crate::session::Session;

/// Refuses writes while the journal takes none, and holds them back while it has no credit.
#[derive(Clone, Copy, Debug, Default)]
pub struct JournalWrites;

impl Gate for JournalWrites {
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
        match standing.journal_failed {
            Some(why) if is_write(call, session) && !session.is_primary() => {
                Err(CommandError::JournalFailed(why.to_owned()))
            }
            _ => Ok(()),
        }
    }

    fn holds_back(&mut self, call: &Call<'_>, session: &Session, standing: &Standing<'_>) -> bool {
        let writes = || is_write(call, session) || may_write(call, session);
        // What comes from a primary cannot be refused: it waits, unless the setting lets it go on.
        let waits_for_disk = standing.journal_failed.is_some()
            && session.is_primary()
            && !call.settings.replication.replica_ignore_disk_write_errors;
        (!standing.has_credit || waits_for_disk) && writes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::command::Flags;
    use crate::hooks::sample::{self, SERVING};

    #[test]
    fn only_writes_wait_for_credit() {
        let waits = |flags, has_credit| {
            let call = sample::call(sample::on_keys(flags));
            let standing = Standing { has_credit, ..SERVING };
            JournalWrites.holds_back(&call, &sample::session(), &standing)
        };
        assert!(waits(Flags::WRITE, false));
        assert!(!waits(Flags::READONLY, false) && !waits(Flags::WRITE, true));
    }

    #[test]
    fn only_writes_are_refused() {
        let why = Some("No space left on device");
        let said = |flags, journal_failed| {
            let standing = Standing { journal_failed, ..SERVING };
            let call = sample::call(sample::on_keys(flags));
            let admitted = JournalWrites.admit(&call, &sample::session(), &standing);
            admitted.map_err(|error| error.to_string())
        };
        assert_eq!(
            said(Flags::WRITE, why),
            Err("MISCONF Errors writing to the AOF file: No space left on device".to_owned())
        );
        assert_eq!(said(Flags::READONLY, why), Ok(()));
        assert_eq!(said(Flags::WRITE, None), Ok(()));
    }
}
