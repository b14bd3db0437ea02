//! The dialogues of `tests/scripts` against the bare core: shards whose letters are passed by hand,
//! a clock that goes on only when a dialogue says so, and no process, socket or file.
//!
//! Of what a connection does for a command only CONFIG SET is done here. Whatever else asks for a
//! server is marked in the dialogue by a line `# server: why` under its title, and left out.

// The dialogues are files, and their reader is shared with the tests from outside.
#![allow(unreachable_pub, dead_code, clippy::disallowed_methods)]

#[path = "../../tests/support/reply.rs"]
mod reply;
#[path = "../../tests/support/script.rs"]
mod script;
#[path = "../../tests/support/wire.rs"]
mod wire;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::commands::action::Action;
use crate::route::ShardId;
use crate::session::{Peer, Session};
use crate::shard::letter::Letter;
use crate::testing::{START, Shards};

use reply::Reply;
use script::Runner;

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A store and the clients of a case.
struct Core {
    count: ShardId,
    shards: Shards,
    clients: BTreeMap<String, Session>,
}

impl Core {
    fn new(count: ShardId) -> Core {
        Core { count, shards: Shards::new(count), clients: BTreeMap::new() }
    }

    fn configure(&mut self, pairs: &[(Vec<u8>, Vec<u8>)]) -> Reply {
        let mut settings = (**self.shards.shards[0].settings()).clone();
        for (name, value) in pairs {
            if let Err(err) = settings.set(&String::from_utf8_lossy(name), &[value]) {
                return Reply::Error(format!("not set: {err}"));
            }
        }
        let settings = Arc::new(settings);
        for shard in &mut self.shards.shards {
            shard.receive(Letter::Settings(Arc::clone(&settings)));
        }
        Reply::Simple("OK".into())
    }
}

impl Runner for Core {
    fn reset(&mut self) {
        *self = Core::new(self.count);
    }

    fn run(&mut self, client: &str, args: &[Vec<u8>]) -> Reply {
        let id = self.clients.len() as u64 + 1;
        let new = || Session::new(id, Peer::default(), START, true);
        self.shards.session = self.clients.get(client).cloned().unwrap_or_else(new);
        let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        let answer = self.shards.call(&words);
        self.clients.insert(client.into(), self.shards.session.clone());
        match answer {
            Some(Ok(bytes)) if !bytes.is_empty() => wire::read_reply(&mut &bytes[..]).unwrap(),
            Some(Err(Action::ConfigSet(pairs))) => self.configure(&pairs),
            // The case is to be marked.
            other => Reply::Error(format!("needs a server: {other:?}")),
        }
    }

    fn tick(&mut self, by: Duration) {
        self.shards.now = self.shards.now.saturating_add(by.as_millis() as i64);
    }

    fn is_bare(&self) -> bool {
        true
    }
}

fn check(count: ShardId) {
    let mut core = Core::new(count);
    let scripts = script::all().into_iter();
    let scripts = scripts.filter(|script| script.needs.as_deref() != Some("redis"));
    let differences: Vec<String> = scripts.flat_map(|script| script.run(&mut core)).collect();
    let count = differences.len();
    assert!(count == 0, "{}\n{count} cases differ", differences.join("\n"));
}

#[test]
fn the_bare_core_passes_with_one_shard() {
    check(1);
}

#[test]
fn the_bare_core_passes_with_three_shards() {
    check(3);
}
