//! The gates of a shard. Nearly every call passes all of them unasked: it is plain, and all is
//! well.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Standing};
use crate::session::Session;

/// What may refuse a command, in order.
pub(super) struct Gates {
    each: Vec<Box<dyn Gate>>,
    /// A plain call passes all of them while all is well.
    pub(super) rest_while_well: bool,
}

impl Gates {
    /// These, in this order.
    pub(super) fn new(each: Vec<Box<dyn Gate>>) -> Gates {
        let rest_while_well = each.iter().all(|gate| gate.rests_while_well());
        Gates { each, rest_while_well }
    }

    /// Asks them whether a call may run now.
    #[cold]
    pub(super) fn admit(
        &mut self,
        call: &Call<'_>,
        session: &Session,
        standing: &Standing<'_>,
    ) -> Result<(), CommandError> {
        self.each.iter_mut().try_for_each(|gate| gate.admit(call, session, standing))
    }

    /// Asks them whether a call has to wait.
    pub(super) fn hold_back(
        &mut self,
        call: &Call<'_>,
        session: &Session,
        standing: &Standing<'_>,
    ) -> bool {
        self.each.iter_mut().any(|gate| gate.holds_back(call, session, standing))
    }
}
