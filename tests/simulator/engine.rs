//! The engine of scripts with somebody beside it, who tells the history what each run calls, how it
//! is answered, and whether it is ended by others.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use troupe::script::{
    Engine, Facts, Function, Library, Limits, LuaEngine, Propagation, Protocol, Run, Script,
    ScriptError, Step,
};

use crate::checks::history::History;
use crate::reply::Reply;
use crate::scripts::Called;

/// The engine of a shard.
pub struct Watched {
    shard: u16,
    history: Rc<RefCell<History>>,
    engine: LuaEngine,
}

impl Watched {
    /// One whose runs are told of.
    pub fn new(shard: u16, history: Rc<RefCell<History>>) -> Watched {
        Watched { shard, history, engine: LuaEngine::new(Limits::default()) }
    }

    fn watch(&self, run: Box<dyn Run>) -> Box<dyn Run> {
        let Watched { shard, history, .. } = self;
        let client = history.borrow_mut().scripts.begins(*shard);
        Box::new(WatchedRun { shard: *shard, client, history: history.clone(), asked: None, run })
    }
}

impl Engine for Watched {
    fn compile(&mut self, body: &[u8]) -> Result<Script, ScriptError> {
        self.engine.compile(body)
    }

    fn load(&mut self, code: &[u8], is_over: &dyn Fn() -> bool) -> Result<Library, ScriptError> {
        self.engine.load(code, is_over)
    }

    fn eval(
        &mut self,
        script: &Arc<Script>,
        keys: Vec<Bytes>,
        arguments: Vec<Bytes>,
        facts: Facts,
    ) -> Box<dyn Run> {
        let run = self.engine.eval(script, keys, arguments, facts);
        self.watch(run)
    }

    fn call(
        &mut self,
        library: &Arc<Library>,
        function: &Function,
        keys: Vec<Bytes>,
        arguments: Vec<Bytes>,
        facts: Facts,
    ) -> Box<dyn Run> {
        let run = self.engine.call(library, function, keys, arguments, facts);
        self.watch(run)
    }

    fn memory(&self) -> usize {
        self.engine.memory()
    }

    fn running(&self) -> usize {
        self.engine.running()
    }
}

struct WatchedRun {
    shard: u16,
    /// Whose it is.
    client: u64,
    history: Rc<RefCell<History>>,
    /// The command that it waits for.
    asked: Option<Vec<String>>,
    run: Box<dyn Run>,
}

impl WatchedRun {
    fn stepped(&mut self, step: Step) -> Step {
        let history = &mut *self.history.borrow_mut();
        let (scripts, now) = (&mut history.scripts, history.now);
        match &step {
            Step::Call { arguments, .. } => {
                let word = |word: &Vec<u8>| String::from_utf8_lossy(word).into_owned();
                self.asked = Some(arguments.iter().map(word).collect());
                scripts.calls(self.shard, self.client);
            }
            Step::Slice => scripts.takes_long(self.shard, self.client, now),
            Step::Done { .. } => scripts.is_done(self.shard, self.client),
            Step::MayCall { .. } | Step::Log { .. } => {}
        }
        step
    }
}

impl Run for WatchedRun {
    fn resume(&mut self, is_over: &dyn Fn() -> bool) -> Step {
        let step = self.run.resume(is_over);
        self.stepped(step)
    }

    fn answer(&mut self, reply: &[u8], is_over: &dyn Fn() -> bool) -> Step {
        if let (Some(words), Ok(Some((reply, _)))) = (self.asked.take(), Reply::take(reply)) {
            let called = Called { words, reply };
            self.history.borrow_mut().answered_script(self.client, called);
        }
        let step = self.run.answer(reply, is_over);
        self.stepped(step)
    }

    fn protocol(&self) -> Protocol {
        self.run.protocol()
    }

    fn propagation(&self) -> Propagation {
        self.run.propagation()
    }

    fn kill(&mut self, error: &str) {
        self.history.borrow_mut().scripts.is_killed(self.client);
        self.run.kill(error);
    }
}

impl Drop for WatchedRun {
    fn drop(&mut self) {
        if let Ok(mut history) = self.history.try_borrow_mut() {
            history.scripts.leaves(self.shard, self.client);
        }
    }
}
