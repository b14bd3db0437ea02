//! Calls about scripts: which run one, and which look at or change what is known of them.

use std::cell::{Cell, RefCell};

use crate::commands::call::Call;
use crate::commands::command::Run;
use crate::commands::error::CommandError;
use crate::commands::run::ChangesLibraries;
use crate::commands::scripting::{Named, eval};
use crate::resp::Reply;
use crate::script::{Flag, ScriptError};
use crate::shard::Ticks;
use crate::shard::execute::{Around, Ended, Engine, Origin};

/// How long a library may take to register its functions, in nanoseconds, as in Valkey; and how
/// often it is asked at the most whether that is over.
const LOAD_MAX_NS: u64 = 500_000_000;
const LOAD_MAX_ASKED: u32 = 10_000_000;

impl Engine {
    /// Whether the program that a call runs declares that it changes nothing.
    pub(in crate::shard) fn declares_no_writes(&self, named: Named, call: &Call<'_>) -> bool {
        let declared = eval::declared(named, call, &self.scripting);
        declared.is_some_and(|flags| flags.has(Flag::NoWrites))
    }

    /// Runs a call about scripts.
    pub(in crate::shard) fn on_scripts(
        &mut self,
        call: &Call<'_>,
        around: &mut Around<'_>,
        origin: Origin,
        clock: &mut dyn Ticks,
    ) -> Ended {
        match call.command.run {
            Run::Script(named) => self.script(named, call, around, clock),
            Run::Libraries(run) => self.on_libraries(run, call, around, origin, clock),
            Run::Scripts(run) => {
                let Around { session, replies, walk, .. } = around;
                let mut reply = Reply::new(replies, session.resp3);
                let walk = walk.get_or_insert_default();
                Ended::of_one_that_may_ask(run(call, &mut self.scripting, walk, &mut reply))
            }
            _ => Ended::of(Err(CommandError::WrongArity(call.command.name.as_str()))),
        }
    }

    /// Runs a call that changes libraries. All slots are here.
    fn on_libraries(
        &mut self,
        run: ChangesLibraries,
        call: &Call<'_>,
        around: &mut Around<'_>,
        origin: Origin,
        clock: &mut dyn Ticks,
    ) -> Ended {
        let (start, clock, asked) = (clock.nanos(), RefCell::new(clock), Cell::new(0));
        // Where nobody has a clock, so often is too often.
        let is_over = || {
            asked.set(asked.get() + 1);
            let nanos = clock.borrow_mut().nanos().saturating_sub(start);
            nanos > LOAD_MAX_NS || asked.get() > LOAD_MAX_ASKED
        };
        self.tools.effects.begin_call();
        let db = around.session.db;
        let mut reply = Reply::new(around.replies, around.session.resp3);
        let result = run(call, &mut self.scripting, &is_over, &mut reply);
        if result.is_ok() && origin != Origin::Journal {
            self.libraries_changed = true;
            self.tools.figures.changes += 1;
            self.tools.effects.end_call(db, call.raw);
        }
        // A server that skips what fails may have journaled it.
        let is_gone = result == Err(ScriptError::NoLibrary.into());
        Ended::of(result.or_else(|error| match is_gone && origin == Origin::Journal {
            true => Ok(()),
            false => Err(error),
        }))
    }
}
