//! The gate of CLIENT PAUSE: all commands wait until it is over, or all that a replica hears of.
//! What replicas say is heard.

use crate::commands::action::PauseMode;
use crate::commands::call::Call;
use crate::hook::{Gate, Standing};
use crate::session::Session;

/// Holds commands back while clients are paused.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paused;

impl Gate for Paused {
    fn rests_while_well(&self) -> bool {
        true
    }

    fn holds_back(&mut self, call: &Call<'_>, session: &Session, standing: &Standing<'_>) -> bool {
        standing.pause.is_some_and(|pause| {
            !session.is_replica
                && call.now < pause.until
                && (pause.mode == PauseMode::All || standing.replicates)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clients::Pause;
    use crate::commands::command::Flags;
    use crate::hooks::sample::{self, SERVING};

    #[test]
    fn a_pause_holds_what_it_says_until_it_is_over() {
        let waits = |replicates, mode, millis| {
            let call = sample::call(sample::on_keys(Flags::WRITE));
            let pause = Some(Pause { until: call.now.saturating_add(millis), mode });
            let standing = Standing { pause, replicates, ..SERVING };
            Paused.holds_back(&call, &sample::session(), &standing)
        };
        assert!(waits(true, PauseMode::Write, 1));
        assert!(!waits(false, PauseMode::Write, 1));
        assert!(waits(false, PauseMode::All, 1));
        assert!(!waits(true, PauseMode::All, 0));
    }
}
