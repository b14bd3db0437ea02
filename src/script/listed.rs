//! An engine for tests: a script is a list of commands, a line each, in words as redis-cli has
//! them.
//!
//! What the last command answered is the reply. An error ends the run, unless its line begins with
//! `?`. `KEYS1` and `ARGV1` stand for a key and an argument, `$` for the last string that was
//! answered, `SEED` for the seed of the run. A line `loop` runs until it is killed, `pause` ends a
//! slice, `resp3` asks for replies of RESP3, and `quiet` keeps the effects of what follows out of
//! the journal.

use std::sync::Arc;

use bytes::Bytes;

use super::engine::{Engine, Facts, Propagation, Protocol, Run, Step};
use super::error::ScriptError;
use super::flags::{self, Flags};
use super::libraries::{Function, Library};
use super::scripts::{Script, Sha};
use crate::resp::inline::Words;

/// The engine.
#[derive(Debug)]
pub(crate) struct Listed;

impl Engine for Listed {
    fn compile(&mut self, body: &[u8]) -> Result<Script, ScriptError> {
        let flags = flags::of_script(body)?.flags;
        if body.starts_with(b"bad") {
            return Err(ScriptError::Script("user_script:1: it is bad".to_owned()));
        }
        let body = Bytes::copy_from_slice(body);
        Ok(Script { sha: Sha::of(&body), program: body.clone(), body, flags })
    }

    fn load(&mut self, code: &[u8], _: &dyn Fn() -> bool) -> Result<Library, ScriptError> {
        let (name, _) = flags::of_library(code)?;
        let code = Bytes::copy_from_slice(code);
        let function =
            Function { name: format!("f_{name}"), description: None, flags: Flags::NONE };
        Ok(Library {
            name,
            sha: Sha::of(&code),
            program: code.clone(),
            code,
            functions: vec![function],
        })
    }

    fn eval(
        &mut self,
        script: &Arc<Script>,
        keys: Vec<Bytes>,
        arguments: Vec<Bytes>,
        facts: Facts,
    ) -> Box<dyn Run> {
        Box::new(Listing::new(&script.body, keys, arguments, facts))
    }

    fn call(
        &mut self,
        library: &Arc<Library>,
        _: &Function,
        keys: Vec<Bytes>,
        arguments: Vec<Bytes>,
        facts: Facts,
    ) -> Box<dyn Run> {
        Box::new(Listing::new(&library.code, keys, arguments, facts))
    }

    fn memory(&self) -> usize {
        0
    }

    fn running(&self) -> usize {
        0
    }
}

struct Listing {
    lines: std::vec::IntoIter<String>,
    keys: Vec<Bytes>,
    arguments: Vec<Bytes>,
    seed: u64,
    protocol: Protocol,
    propagation: Propagation,
    last: Vec<u8>,
    is_protected: bool,
    loops: bool,
    killed: Option<String>,
}

impl Listing {
    fn new(text: &[u8], keys: Vec<Bytes>, arguments: Vec<Bytes>, facts: Facts) -> Listing {
        let text = String::from_utf8_lossy(text);
        let lines: Vec<String> =
            text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        Listing {
            lines: lines.into_iter(),
            keys,
            arguments,
            seed: facts.seed,
            protocol: Protocol::Two,
            propagation: Propagation::default(),
            last: b"+OK\r\n".to_vec(),
            is_protected: false,
            loops: false,
            killed: None,
        }
    }

    fn word(&self, word: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(word);
        let numbered = |prefix: &str, of: &[Bytes]| {
            let number: usize = text.strip_prefix(prefix)?.parse().ok()?;
            Some(of[number - 1].to_vec())
        };
        let last = || {
            let line = self.last.iter().position(|byte| *byte == b'\n').unwrap_or_default();
            self.last[line + 1..self.last.len() - 2].to_vec()
        };
        match &*text {
            "$" => last(),
            "SEED" => self.seed.to_string().into_bytes(),
            _ => numbered("KEYS", &self.keys)
                .or_else(|| numbered("ARGV", &self.arguments))
                .unwrap_or(word.to_vec()),
        }
    }
}

impl Run for Listing {
    fn resume(&mut self, _: &dyn Fn() -> bool) -> Step {
        if let Some(error) = self.killed.take() {
            return Step::Done { reply: format!("-{error}\r\n").into_bytes(), failed: true };
        }
        if self.loops {
            return Step::Slice;
        }
        let Some(line) = self.lines.next() else {
            return Step::Done { reply: std::mem::take(&mut self.last), failed: false };
        };
        match line.as_str() {
            "loop" => {
                self.loops = true;
                return Step::Slice;
            }
            "pause" => return Step::Slice,
            "resp3" => {
                self.protocol = Protocol::Three;
                return self.resume(&|| false);
            }
            "quiet" => {
                self.propagation.journal = false;
                return self.resume(&|| false);
            }
            _ => {}
        }
        self.is_protected = line.starts_with('?');
        let mut words = Words::default();
        words.split(line.trim_start_matches('?').as_bytes()).expect("the line is well quoted");
        let arguments = words.iter().map(|word| self.word(word)).collect();
        Step::Call { arguments, protected: self.is_protected }
    }

    fn answer(&mut self, reply: &[u8], is_over: &dyn Fn() -> bool) -> Step {
        self.last = reply.to_vec();
        if reply.starts_with(b"-") && !self.is_protected {
            return Step::Done { reply: reply.to_vec(), failed: true };
        }
        self.resume(is_over)
    }

    fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn propagation(&self) -> Propagation {
        self.propagation
    }

    fn kill(&mut self, error: &str) {
        self.killed.get_or_insert_with(|| error.to_owned());
        self.loops = false;
    }
}
