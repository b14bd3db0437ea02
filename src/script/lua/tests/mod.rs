//! Scripts against a host that answers a few commands.

mod bounds;
mod recorded;
mod words;

use std::cell::Cell;
use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;

use super::{Limits, LuaEngine};
use crate::resp::Reply;
use crate::script::engine::{Engine, Facts, Level, Protocol, Run, Step};
use crate::script::libraries::Library;

/// An engine and a host for its runs.
struct Bench {
    engine: LuaEngine,
    store: HashMap<Vec<u8>, Vec<u8>>,
    log: Vec<(Level, String)>,
    facts: Facts,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Limits::default())
    }

    fn with(limits: Limits) -> Bench {
        let (store, log, facts) = (HashMap::new(), Vec::new(), Facts::default());
        Bench { engine: LuaEngine::new(limits), store, log, facts }
    }

    /// The reply of a script, or the refusal.
    fn eval(&mut self, body: &str) -> String {
        self.eval_with(body, &[], &[])
    }

    fn eval_with(&mut self, body: &str, keys: &[&str], arguments: &[&str]) -> String {
        match self.begin(body, keys, arguments) {
            Ok(run) => self.finish(run),
            Err(refusal) => refusal,
        }
    }

    fn begin(&mut self, body: &str, keys: &[&str], args: &[&str]) -> Result<Box<dyn Run>, String> {
        let script =
            self.engine.compile(body.as_bytes()).map_err(|error| format!("-{error}\r\n"))?;
        let bytes = |items: &[&str]| {
            items.iter().map(|item| Bytes::copy_from_slice(item.as_bytes())).collect()
        };
        Ok(self.engine.eval(&Arc::new(script), bytes(keys), bytes(args), self.facts))
    }

    fn load(&mut self, code: &str) -> Result<Arc<Library>, String> {
        let library = self.engine.load(code.as_bytes(), &|| false);
        library.map(Arc::new).map_err(|error| error.to_string())
    }

    fn call(&mut self, library: &Arc<Library>, function: &str, arguments: &[&str]) -> String {
        let arguments = arguments.iter().map(|item| Bytes::copy_from_slice(item.as_bytes()));
        let function = library.functions.iter().find(|known| known.name == function).unwrap();
        let run = self.engine.call(library, function, Vec::new(), arguments.collect(), self.facts);
        self.finish(run)
    }

    /// Runs to the end, with a slice over at every pulse.
    fn finish(&mut self, mut run: Box<dyn Run>) -> String {
        let mut step = run.resume(&|| true);
        loop {
            step = match step {
                Step::Slice => run.resume(&|| true),
                Step::Log { level, message } => {
                    self.log.push((level, String::from_utf8_lossy(&message).into_owned()));
                    run.resume(&|| true)
                }
                Step::MayCall { arguments } => {
                    let answer: &[u8] = match arguments[0].as_slice() {
                        b"get" => b":1\r\n",
                        b"set" => b":0\r\n",
                        _ => b"-ERR unknown\r\n",
                    };
                    run.answer(answer, &|| true)
                }
                Step::Call { arguments, .. } => {
                    let answer = self.command(&arguments, run.protocol());
                    run.answer(&answer, &|| true)
                }
                Step::Done { reply, .. } => return String::from_utf8_lossy(&reply).into_owned(),
            };
        }
    }

    fn command(&mut self, arguments: &[Vec<u8>], protocol: Protocol) -> Vec<u8> {
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, protocol == Protocol::Three);
        let name = String::from_utf8_lossy(&arguments[0]).to_lowercase();
        match (name.as_str(), &arguments[1..]) {
            ("ping", []) => reply.simple("PONG"),
            ("echo", [text]) => reply.bulk(text),
            // What the argument says is the reply itself.
            ("raw", [bytes]) => reply.raw(bytes),
            ("get", [key]) => match self.store.get(key) {
                Some(value) => reply.bulk(value),
                None => reply.null(),
            },
            ("set", [key, value]) => {
                self.store.insert(key.clone(), value.clone());
                reply.ok();
            }
            ("echo" | "get" | "set" | "ping", _) => {
                reply.error("ERR Wrong number of args calling command from script");
            }
            _ => reply.error("ERR Unknown command called from script"),
        }
        out
    }
}

/// Ends a run after so many slices.
fn killed_after(run: &mut dyn Run, slices: u32) -> Step {
    let mut step = run.resume(&|| true);
    for _ in 0..slices {
        assert_eq!(step, Step::Slice, "it ended too early");
        step = run.resume(&|| true);
    }
    run.kill("ERR Script killed by user with SCRIPT KILL.");
    run.resume(&|| false)
}

/// A closure that says after how many questions a slice is over, and counts them.
fn counted(count: &Cell<u64>) -> impl Fn() -> bool {
    move || {
        count.set(count.get() + 1);
        false
    }
}
