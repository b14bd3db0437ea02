//! The gate of commands that a setting has to permit, such as DEBUG.
//!
//! Which setting is written in the command's declaration; the text of the refusal is Redis's.

use crate::commands::call::Call;
use crate::commands::error::CommandError;
use crate::hook::{Gate, Standing};
use crate::session::Session;

/// Refuses commands that no setting permits to this client.
#[derive(Clone, Copy, Debug, Default)]
pub struct Permitted;

impl Gate for Permitted {
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
        match call.command.permission {
            None => Ok(()),
            Some(permission) if permission(call.settings).allows(session.peer.is_local()) => Ok(()),
            Some(_) => Err(refusal(call)),
        }
    }
}

#[cold]
fn refusal(call: &Call<'_>) -> CommandError {
    let name = call.command.name.as_str();
    let container = name.split('|').next().unwrap_or(name);
    CommandError::Quoted(format!(
        "ERR {} command not allowed. If the enable-{container}-command option is set to \"local\", \
         you can run it from a local connection, otherwise you need to set this option in the \
         configuration file, and then restart the server.",
        container.to_ascii_uppercase(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::command::{Command, Name};
    use crate::hooks::sample::{self, SERVING};
    use crate::session::{Peer, Session};
    use crate::settings::Permission;
    use crate::testing::Store;

    static NOBODY: Command =
        Command { name: Name("debug"), permission: Some(|_| Permission::No), ..Command::BASE };
    static LOCAL: Command = Command { permission: Some(|_| Permission::Local), ..Command::BASE };

    fn from(address: &str) -> Session {
        let peer = Peer { address: address.into(), ..Peer::default() };
        Session { peer: peer.into(), ..sample::session() }
    }

    #[test]
    fn local_means_this_machine() {
        let admits = |command, address| {
            Permitted.admit(&sample::call(command), &from(address), &SERVING).is_ok()
        };
        assert!(admits(&LOCAL, "127.0.0.1:5000") && admits(&LOCAL, "[::1]:5000"));
        assert!(!admits(&LOCAL, "10.0.0.1:5000") && !admits(&NOBODY, "127.0.0.1:5000"));
    }

    #[test]
    fn no_word_of_debug_gets_by() {
        let mut store = Store::with_layers(vec![Box::new(Permitted)], Vec::new());
        for line in ["debug sleep 1", "debug object k", "debug digest", "debug protocol set"] {
            assert!(store.run(line).contains("DEBUG command not allowed"), "{line}");
        }
        assert_eq!(store.run("get k"), "(nil)");
    }

    #[test]
    fn the_refusal_names_the_setting() {
        let refused = Permitted.admit(&sample::call(&NOBODY), &sample::session(), &SERVING);
        let text = refused.unwrap_err().to_string();
        assert!(text.starts_with("ERR DEBUG command not allowed. If the enable-debug-command"));
    }
}
