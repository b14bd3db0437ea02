//! The gate of `min-replicas-to-write`: no write is taken while too few replicas keep up.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Part, Standing, is_write};
use crate::session::Session;

/// Refuses writes while too few replicas keep up.
#[derive(Clone, Copy, Debug, Default)]
pub struct GoodReplicas;

impl Gate for GoodReplicas {
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
        let is_own = standing.part == Part::Primary;
        let is_asked = standing.lacks_replicas && !standing.is_in_exec && is_own;
        if is_asked && is_write(call, session) {
            return Err(CommandError::TooFewReplicas);
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
    fn only_writes_are_refused_and_not_inside_exec() {
        let admits = |flags, lacks_replicas, is_in_exec| {
            let standing = Standing { lacks_replicas, is_in_exec, ..SERVING };
            let call = sample::call(sample::on_keys(flags));
            GoodReplicas.admit(&call, &sample::session(), &standing)
        };
        let refused = admits(Flags::WRITE, true, false);
        assert_eq!(
            refused.unwrap_err().to_string(),
            "NOREPLICAS Not enough good replicas to write."
        );
        assert!(admits(Flags::READONLY, true, false).is_ok());
        assert!(admits(Flags::WRITE, true, true).is_ok());
        assert!(admits(Flags::WRITE, false, false).is_ok());
    }
}
