//! The gate of `maxmemory`: what may need memory is refused while no room can be made for it.
//!
//! EXEC is let in, or is not, for all its commands.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Room, Standing, may_add};
use crate::session::Session;

/// Refuses commands that may need memory while there is none.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryLimit;

impl Gate for MemoryLimit {
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
        let is_left_to_primary =
            session.is_primary() && call.settings.replication.replica_ignore_maxmemory;
        if standing.room == Room::Never
            && !standing.is_in_exec
            && !is_left_to_primary
            && may_add(call, session)
        {
            return Err(CommandError::OutOfMemory);
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
    fn only_what_may_need_memory_is_refused_and_not_inside_exec() {
        let admits = |flags, room, is_in_exec| {
            let standing = Standing { room, is_in_exec, ..SERVING };
            let call = sample::call(sample::on_keys(flags));
            MemoryLimit.admit(&call, &sample::session(), &standing)
        };
        let adds = Flags::WRITE.and(Flags::DENY_OOM);
        let refused = admits(adds, Room::Never, false);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "OOM command not allowed when used memory > 'maxmemory'."
        );
        assert!(admits(Flags::WRITE, Room::Never, false).is_ok());
        assert!(admits(adds, Room::Never, true).is_ok());
        assert!(
            admits(adds, Room::Soon, false).is_ok() && admits(adds, Room::Enough, false).is_ok()
        );
    }
}
