//! The gate of authentication: who has not logged in may only do that.

use crate::commands::call::Call;
use crate::commands::command::Flags;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Standing};
use crate::session::Session;

/// Refuses commands of clients that still have to authenticate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Auth;

impl Gate for Auth {
    fn rests_while_well(&self) -> bool {
        true
    }

    #[inline]
    fn admit(
        &mut self,
        call: &Call<'_>,
        session: &Session,
        _standing: &Standing<'_>,
    ) -> Result<(), CommandError> {
        if session.authenticated || call.command.flags.has(Flags::NO_AUTH) {
            Ok(())
        } else {
            Err(CommandError::NoAuth)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::sample::{self, SERVING};

    #[test]
    fn a_stranger_may_only_do_what_needs_no_login() {
        let mut stranger = sample::session();
        stranger.authenticated = false;
        let refused = |flags| {
            let call = sample::call(sample::command(flags));
            Auth.admit(&call, &stranger, &SERVING).err()
        };
        assert_eq!(refused(Flags::READONLY), Some(CommandError::NoAuth));
        assert_eq!(refused(Flags::NO_AUTH), None);
        let call = sample::call(sample::command(Flags::READONLY));
        assert!(Auth.admit(&call, &sample::session(), &SERVING).is_ok());
    }
}
