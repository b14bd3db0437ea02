//! The gate of a replica: what clients change comes from its primary alone, and what it holds may
//! be old while it has lost that one.
//!
//! The primary's own stream passes. EXEC is let in, or is not, for all its commands: so those
//! behind a REPLICAOF in it run.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Part, Standing, is_write, needs_link};
use crate::session::Session;

const READ_ONLY: CommandError =
    CommandError::Text("READONLY You can't write against a read only replica.");

const NOT_FOR_REPLICAS: CommandError = CommandError::Text(
    "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a \
     replica is configured to be writable (which is not the default) writes to replicas are just \
     local and are not propagated.",
);

const NOT_FOR_REPLICAS_EITHER: CommandError = CommandError::Text(
    "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas \
     are just local and are not propagated.",
);

const NOTHING_TO_PASS_ON: CommandError =
    CommandError::Text("NOMASTERLINK Can't SYNC while not connected with my primary");

/// Refuses what a replica does not do.
#[derive(Clone, Copy, Debug, Default)]
pub struct Following;

impl Gate for Following {
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
        let Part::Replica { is_linked } = standing.part else { return Ok(()) };
        if session.is_primary() {
            return Ok(());
        }
        let settings = &call.settings.replication;
        let is_asked = !standing.was_let_in;
        if is_asked && settings.replica_read_only && is_write(call, session) {
            return Err(READ_ONLY);
        }
        let is_stale = !is_linked && !settings.replica_serve_stale_data;
        if is_asked && is_stale && needs_link(call, session) {
            return Err(CommandError::NoLink);
        }
        match call.command.name.as_str() {
            "psync" | "sync" if !is_linked => Err(NOTHING_TO_PASS_ON),
            "wait" => Err(NOT_FOR_REPLICAS),
            "waitaof" => Err(NOT_FOR_REPLICAS_EITHER),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::command::Flags;
    use crate::hooks::sample::{self, SERVING};
    use crate::session::Session;
    use crate::settings::Settings;

    const LINKED: Part = Part::Replica { is_linked: true };
    const ALONE: Part = Part::Replica { is_linked: false };

    fn said(flags: Flags, part: Part, changed: &[(&str, &str)], session: &Session) -> String {
        let mut settings = Settings::default();
        for (name, value) in changed {
            settings.set(name, &[value]).expect("it is right");
        }
        let call = Call { settings: &settings, ..sample::call(sample::on_keys(flags)) };
        let admitted = Following.admit(&call, session, &Standing { part, ..SERVING });
        let error = admitted.err().map(|error| error.to_string()).unwrap_or_default();
        error.split(' ').next().unwrap_or_default().to_owned()
    }

    #[test]
    fn clients_write_to_no_replica_unless_it_is_said() {
        let session = sample::session();
        assert_eq!(said(Flags::WRITE, Part::Primary, &[], &session), "");
        assert_eq!(said(Flags::WRITE, LINKED, &[], &session), "READONLY");
        assert_eq!(said(Flags::READONLY, LINKED, &[], &session), "");
        assert_eq!(said(Flags::WRITE, LINKED, &[("replica-read-only", "no")], &session), "");
    }

    #[test]
    fn old_data_is_not_served_where_that_is_not_wanted() {
        let session = sample::session();
        let strict = [("replica-serve-stale-data", "no")];
        assert_eq!(said(Flags::READONLY, ALONE, &[], &session), "");
        assert_eq!(said(Flags::READONLY, ALONE, &strict, &session), "MASTERDOWN");
        assert_eq!(said(Flags::READONLY, LINKED, &strict, &session), "");
        assert_eq!(said(Flags::STALE, ALONE, &strict, &session), "");
    }

    #[test]
    fn exec_is_asked_for_all_its_commands() {
        let session = sample::session();
        let call = sample::call(sample::on_keys(Flags::WRITE));
        let standing = Standing { part: ALONE, was_let_in: true, ..SERVING };
        assert!(Following.admit(&call, &session, &standing).is_ok());
        assert!(
            Following.admit(&call, &session, &Standing { was_let_in: false, ..standing }).is_err()
        );
    }

    #[test]
    fn the_stream_of_the_primary_passes() {
        let mut session = sample::session();
        session.primary = Some(Box::default());
        let strict = [("replica-serve-stale-data", "no")];
        assert_eq!(said(Flags::WRITE, ALONE, &strict, &session), "");
    }
}
