//! The sink that tells the server's own log of commands: one in so many, by `command-log-sample`.
//!
//! The core has no logger, so a line is a value, handed to a [`CommandLog`] of the shell. A line
//! never holds an argument: no key, no value, no password.

use std::fmt;

use crate::commands::error::CommandError;
use crate::commands::positions;
use crate::hook::push::Push;
use crate::hook::{Called, Outcome, Published, Sees, Sink};

/// Where lines go.
pub trait CommandLog {
    /// Takes a line.
    fn write(&mut self, line: &CommandLine);
}

/// What is said of one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Its name, subcommand included.
    pub command: &'static str,
    /// Words of the request, the name included.
    pub words: usize,
    /// Slots that its keys lie in.
    pub slots: usize,
    /// How long it ran, in microseconds.
    pub micros: u64,
    /// Bytes of its reply; 0 for an error.
    pub reply_bytes: usize,
    /// First word of the error, none if it ran well.
    pub error: Option<String>,
    /// Whether it was refused before it ran.
    pub refused: bool,
    /// The client.
    pub client: u64,
    /// The client's database.
    pub db: u32,
}

/// Logs a sample of a shard's commands.
pub struct SampledLog {
    log: Box<dyn CommandLog>,
    passed: u32,
    slots: Vec<u16>,
}

impl fmt::Debug for SampledLog {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("SampledLog").field("passed", &self.passed).finish_non_exhaustive()
    }
}

impl SampledLog {
    /// Lines go to `log`.
    pub fn new(log: Box<dyn CommandLog>) -> SampledLog {
        SampledLog { log, passed: 0, slots: Vec::new() }
    }

    #[cold]
    fn write(&mut self, called: &Called<'_>) {
        let call = called.call;
        self.slots.clear();
        positions::slots(call.command, call.spans, call.input, &mut self.slots);
        self.log.write(&CommandLine {
            command: call.command.name.as_str(),
            words: call.len(),
            slots: self.slots.len(),
            micros: called.nanos / 1_000,
            reply_bytes: called.outcome.reply_bytes(),
            error: called.outcome.error().map(CommandError::prefix),
            refused: matches!(called.outcome, Outcome::Refused(_)),
            client: called.session.id,
            db: called.session.db,
        });
    }
}

impl Sink for SampledLog {
    fn adapt(&mut self, published: &Published<'_>) -> Sees {
        if published.settings.command_log_sample > 0 { Sees::ALL } else { Sees::NONE }
    }

    #[inline]
    fn called(&mut self, called: &Called<'_>, _pushes: &mut Vec<Push>) {
        self.passed += 1;
        if self.passed >= called.call.settings.command_log_sample {
            self.passed = 0;
            self.write(called);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;
    use crate::commands::call::Call;
    use crate::hooks::sample;
    use crate::settings::Settings;

    struct Kept(Rc<RefCell<Vec<CommandLine>>>);

    impl CommandLog for Kept {
        fn write(&mut self, line: &CommandLine) {
            self.0.borrow_mut().push(line.clone());
        }
    }

    #[test]
    fn one_in_so_many_is_logged_without_its_arguments() {
        let lines = Rc::new(RefCell::new(Vec::new()));
        let mut log = SampledLog::new(Box::new(Kept(Rc::clone(&lines))));
        let (session, call) = (sample::session(), sample::words(&["get", "hidden"]));
        let mut settings = Settings::default();
        assert_eq!(sample::sees(&mut log, &settings), Sees::NONE, "it is off by default");
        settings.command_log_sample = 3;
        assert_eq!(sample::sees(&mut log, &settings), Sees::ALL);
        let call = Call { settings: &settings, ..call };
        let failed = Outcome::Failed(&CommandError::WrongType);
        let called = Called { outcome: failed, ..sample::ran(&call, &session, 3) };
        (0..7).for_each(|_| log.called(&called, &mut Vec::new()));
        let lines = lines.borrow();
        assert_eq!(lines.len(), 2);
        assert!(!format!("{:?}", lines[0]).contains("hidden"));
        assert_eq!((lines[0].command, lines[0].slots, lines[0].micros), ("get", 1, 3));
        assert_eq!(lines[0].error.as_deref(), Some("WRONGTYPE"));
    }
}
