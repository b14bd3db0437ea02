//! The dialogues of `tests/scripts` against the bare core: shards whose letters are passed by hand,
//! a clock that goes on only when a dialogue says so, and no process, socket or file.
//!
//! Of what a connection does for a command only CONFIG SET and waits are done here. Whatever else
//! asks for a server is marked in the dialogue by a line `# server: why` under its title, and left
//! out.

// The dialogues are files, and their reader is shared with the tests from outside.
#![allow(unreachable_pub, dead_code, clippy::disallowed_methods)]

#[path = "../../tests/support/reply.rs"]
mod reply;
#[path = "../../tests/support/script.rs"]
mod script;
#[path = "../../tests/support/wire.rs"]
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::batch::Batch;
use crate::commands::action::Action;
use crate::parked::{Outcome, Served};
use crate::resp::encode;
use crate::route::ShardId;
use crate::session::{Peer, Session};
use crate::shard::letter::Letter;
use crate::testing::{START, Shards, Still};

use reply::Reply;
use script::Runner;

fn tests_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A store and the clients of a case.
struct Core {
    count: ShardId,
    shards: Shards,
    clients: BTreeMap<String, Client>,
}

/// A client, as its connection has it.
struct Client {
    session: Session,
    /// It waits.
    batch: Option<Box<Batch>>,
    /// Requests behind that.
    behind: VecDeque<Vec<u8>>,
    /// Replies that it has not taken.
    replies: VecDeque<Reply>,
}

impl Core {
    fn new(count: ShardId) -> Core {
        Core { count, shards: Shards::with_lua(count), clients: BTreeMap::new() }
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

    fn client(&mut self, name: &str) -> &mut Client {
        let id = self.clients.len() as u64 + 1;
        self.clients.entry(name.into()).or_insert_with(|| Client {
            session: Session::new(id, Peer::default(), START, true),
            batch: None,
            behind: VecDeque::new(),
            replies: VecDeque::new(),
        })
    }

    /// Runs what a client has sent, up to a command that waits.
    fn go_on(&mut self, name: &str) {
        while self.client(name).batch.is_none()
            && let Some(request) = self.client(name).behind.pop_front()
        {
            self.shards.session = self.client(name).session.clone();
            self.shards.file(request);
            self.settle();
        }
    }

    /// Lets the shards work until all clients are answered, or wait.
    fn settle(&mut self) {
        loop {
            let (homes, served) = self.shards.settle_all();
            if homes.is_empty() && served.is_empty() {
                return;
            }
            homes.into_iter().for_each(|batch| self.came_home(batch));
            for Served { client, outcome, .. } in served {
                let is_it = |of: &&String| self.clients[*of].session.id == client;
                let name = self.clients.keys().find(is_it).expect("it waits").clone();
                self.unpark(&name, outcome);
                self.go_on(&name);
            }
        }
    }

    fn unpark(&mut self, name: &str, outcome: Outcome) {
        let mut batch = self.client(name).batch.take().expect("it waits");
        self.shards.shards[0].unpark(&mut batch, outcome);
        if batch.is_done() {
            self.came_home(batch);
        } else {
            self.shards.shards[0].file(batch);
        }
    }

    fn came_home(&mut self, mut batch: Box<Batch>) {
        let id = batch.session.id;
        let reply = match batch.action.take() {
            Some(Action::ConfigSet(pairs)) => Some(self.configure(&pairs)),
            // The case is to be marked.
            Some(action) => Some(Reply::Error(format!("needs a server: {action:?}"))),
            None => {
                let mut replies = &std::mem::take(&mut batch.replies)[..];
                (!replies.is_empty()).then(|| wire::read_reply(&mut replies).unwrap())
            }
        };
        let client = self.clients.values_mut().find(|client| client.session.id == id);
        let client = client.expect("it has sent something");
        client.replies.extend(reply);
        client.session = batch.session.clone();
        client.batch = batch.parked.is_some().then_some(batch);
    }
}

impl Runner for Core {
    fn reset(&mut self) {
        *self = Core::new(self.count);
    }

    fn run(&mut self, client: &str, args: &[Vec<u8>]) -> Reply {
        self.send(client, args);
        self.take(client)
    }

    fn send(&mut self, name: &str, args: &[Vec<u8>]) {
        let mut request = Vec::new();
        let words: Vec<&[u8]> = args.iter().map(Vec::as_slice).collect();
        encode::command(&mut request, &words);
        self.client(name).behind.push_back(request);
        self.go_on(name);
    }

    fn take(&mut self, client: &str) -> Reply {
        // Where nobody else comes, its time is over at some time.
        let until =
            self.client(client).batch.as_ref().and_then(|batch| batch.parked.clone()?.until);
        if let Some(until) = until.filter(|_| self.client(client).replies.is_empty()) {
            self.tick(Duration::from_millis(until.since(self.shards.now).max(0) as u64));
        }
        let reply = self.client(client).replies.pop_front();
        reply.unwrap_or_else(|| Reply::Error("it waits".into()))
    }

    fn id(&mut self, client: &str) -> u64 {
        self.client(client).session.id
    }

    fn tick(&mut self, by: Duration) {
        self.shards.now = self.shards.now.saturating_add(by.as_millis() as i64);
        let now = self.shards.now;
        for shard in &mut self.shards.shards {
            while shard.expire(now, &mut Still) {}
        }
        self.settle();
        let names: Vec<String> = self.clients.keys().cloned().collect();
        for name in names {
            let parked = self.client(&name).batch.as_ref().and_then(|batch| batch.parked.clone());
            if parked.is_some_and(|parked| {
                parked.until.is_some_and(|until| until <= now) && parked.take()
            }) {
                self.unpark(&name, Outcome::TimedOut);
                self.settle();
            }
        }
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
