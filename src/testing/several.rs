//! A store on several shards for tests: letters are passed by hand, in order, on one thread.
//!
//! Commands over several slots or over everything run here as they do in the server: by errands,
//! lending and walks. Effects of all shards are kept in the order in which turns ended.

use std::sync::{Arc, Mutex};

use bytes::Bytes;

use crate::base::hash::Hasher;
use crate::base::millis::Millis;
use crate::batch::{Batch, Home};
use crate::commands::action::Action;
use crate::hook::{Gate, Listener};
use crate::hooks::memory_limit::MemoryLimit;
use crate::keyspace::effect::Run;
use crate::lending::{GivenBack, Post};
use crate::parked::Served;
use crate::pubsub::{Farewell, News};
use crate::resp::inline::Words;
use crate::resp::{Decoder, Frames, Limits, encode};
use crate::route::{Map, ShardId};
use crate::script::listed::Listed;
use crate::script::{self, Engine, LuaEngine};
use crate::session::{Peer, Session};
use crate::settings::Settings;
use crate::shard::evict::{Gauge, Unmeasured, Worths};
use crate::shard::letter::Letter;
use crate::shard::replay::Records;
use crate::shard::tracking::Tracked;
use crate::shard::{Parts, Shard};
use crate::testing::{Counted, START, Still, printed, records_of};

/// Letters that one request may cause before the test gives up on it.
const LETTERS_MAX: usize = 10_000;

/// A store on several shards, with one client.
pub(crate) struct Shards {
    /// The shards.
    pub(crate) shards: Vec<Shard>,
    /// The client.
    pub(crate) session: Session,
    /// The time, in milliseconds of unix time.
    pub(crate) now: Millis,
    /// Letters between shards so far.
    pub(crate) letters: usize,
    /// What came by post and is not delivered.
    pub(crate) posted: Arc<Posted>,
}

/// Letters by post.
#[derive(Debug, Default)]
pub(crate) struct Posted(Mutex<Vec<(ShardId, Letter)>>);

impl Posted {
    /// Takes all letters out.
    pub(crate) fn take(&self) -> Vec<(ShardId, Letter)> {
        std::mem::take(&mut self.0.lock().expect("nobody panics while it holds the lock"))
    }
}

impl Farewell for Posted {
    fn farewell(&self, to: ShardId, news: Arc<News>) {
        let letter = Letter::Subscribers(news, None);
        self.0.lock().expect("nobody panics while it holds the lock").push((to, letter));
    }
}

impl Post for Posted {
    fn post(&self, to: ShardId, given_back: GivenBack) {
        let letter = given_back.into();
        self.0.lock().expect("nobody panics while it holds the lock").push((to, letter));
    }
}

impl Shards {
    /// An empty store on this many shards.
    pub(crate) fn new(count: ShardId) -> Shards {
        Shards::with(count, &|| Vec::new(), &|| Vec::new(), &|| Box::new(Unmeasured), &listed)
    }

    /// The same; their scripts are those of the server.
    pub(crate) fn with_lua(count: ShardId) -> Shards {
        let lua = || -> Box<dyn Engine> { Box::new(LuaEngine::new(script::Limits::default())) };
        Shards::with(count, &|| Vec::new(), &|| Vec::new(), &|| Box::new(Unmeasured), &lua)
    }

    /// The same; the shards count their memory together, and refuse what has no room.
    pub(crate) fn counted(count: ShardId, memory: &Counted) -> Shards {
        Shards::with(
            count,
            &|| vec![Box::new(MemoryLimit)],
            &|| vec![Box::new(memory.clone())],
            &|| Box::new(memory.clone()),
            &listed,
        )
    }

    /// The same, with these gates, listeners and engines of scripts around each shard.
    fn with(
        count: ShardId,
        gates: &dyn Fn() -> Vec<Box<dyn Gate>>,
        listeners: &dyn Fn() -> Vec<Box<dyn Listener>>,
        gauge: &dyn Fn() -> Box<dyn Gauge>,
        scripts: &dyn Fn() -> Box<dyn Engine>,
    ) -> Shards {
        let map = Arc::new(Map::new(count));
        let posted = Arc::new(Posted::default());
        let (tracked, worths) = (Tracked::default(), Worths::new(count));
        let shards = (0..count).map(|id| {
            let mut shard = Shard::new(Parts {
                id,
                map: Arc::clone(&map),
                settings: Arc::new(Settings::default()),
                hasher: Hasher::with_seeds([1, 2, 3, 4]),
                seed: u64::from(id) + 7,
                gates: gates(),
                sinks: Vec::new(),
                listeners: listeners(),
                post: Arc::clone(&posted) as Arc<dyn Post>,
                tracked: tracked.clone(),
                scripts: scripts(),
                gauge: gauge(),
                worths: worths.clone(),
            });
            shard.effects().listen(true);
            shard.serve();
            shard
        });
        Shards {
            shards: shards.collect(),
            session: Session::new(1, Peer::default(), START, true),
            now: START,
            letters: 0,
            posted,
        }
    }

    /// Changes a setting everywhere.
    pub(crate) fn configure(&mut self, name: &str, value: &str) {
        let mut settings = (**self.shards[0].settings()).clone();
        settings.set(name, &[value]).expect("the setting takes the value");
        let settings = Arc::new(settings);
        self.shards.iter_mut().for_each(|it| it.receive(Letter::Settings(settings.clone())));
    }

    /// Runs one line, quoted as redis-cli has it, from the first shard's thread; the reply as
    /// redis-cli prints it.
    pub(crate) fn run(&mut self, line: &str) -> String {
        printed(&self.reply(line))
    }

    /// Runs one line; the reply as it is sent.
    pub(crate) fn reply(&mut self, line: &str) -> Vec<u8> {
        self.replies(&[line])
    }

    /// Runs several lines as one batch; the replies as redis-cli prints them.
    pub(crate) fn pipeline(&mut self, lines: &[&str]) -> String {
        printed(&self.replies(lines))
    }

    fn replies(&mut self, lines: &[&str]) -> Vec<u8> {
        self.send(lines);
        let batch = self.settle().expect("every request is answered");
        self.session = batch.session;
        match batch.action {
            Some(action) => format!("+(action) {action:?}\r\n").into_bytes(),
            None => batch.replies,
        }
    }

    /// Files several lines as one batch with the first shard, which has not looked at it yet.
    pub(crate) fn send(&mut self, lines: &[&str]) {
        let mut request = Vec::new();
        for line in lines {
            let mut words = Words::default();
            words.split(line.as_bytes()).expect("the line is well quoted");
            encode::command(&mut request, &words.iter().collect::<Vec<_>>());
        }
        self.file(request);
    }

    /// Files requests with the first shard.
    pub(crate) fn file(&mut self, request: Vec<u8>) {
        let mut frames = Frames::default();
        Decoder::default()
            .decode(&request, &Limits::default(), &mut frames)
            .expect("the encoder writes what the decoder reads");
        let mut batch =
            Box::new(Batch::new(Home { thread: 0, connection: 0 }, self.session.clone()));
        batch.session.subscribed = std::mem::take(&mut self.session.subscribed);
        batch.frames = frames;
        let renames = &self.shards[0].settings().rename_command;
        batch.route(Bytes::from(request), self.now, self.shards[0].hasher(), renames);
        self.shards[0].receive(Letter::Visit(batch));
    }

    /// Lets one shard work; the letters that it would send.
    pub(crate) fn letters_of(&mut self, shard: usize) -> Vec<(ShardId, Letter)> {
        while self.shards[shard].work(self.now, &mut Still) {}
        std::mem::take(&mut self.shards[shard].outbox.letters)
    }

    /// Delivers letters.
    pub(crate) fn deliver(&mut self, letters: Vec<(ShardId, Letter)>) {
        letters.into_iter().for_each(|(to, letter)| self.shards[usize::from(to)].receive(letter));
    }

    /// Lets every shard work until no letter is on its way; the batch that came home.
    pub(crate) fn settle(&mut self) -> Option<Box<Batch>> {
        self.settle_all().0.pop()
    }

    /// The same; all batches that came home, and what came of the waits of clients.
    #[expect(clippy::vec_box, reason = "batches stay where they are")]
    pub(crate) fn settle_all(&mut self) -> (Vec<Box<Batch>>, Vec<Served>) {
        let (mut homes, mut served) = (Vec::new(), Vec::new());
        let mut letters = Vec::new();
        let mut passed = 0;
        let count = self.shards.len() as ShardId;
        loop {
            let mut changes = false;
            for shard in &mut self.shards {
                while shard.work(self.now, &mut Still) {}
                letters.append(&mut shard.outbox.letters);
                homes.append(&mut shard.outbox.homes);
                changes |= perform(&mut homes, shard, &mut letters, count);
                let mut performs = std::mem::take(&mut shard.outbox.performs);
                changes |= perform(&mut performs, shard, &mut letters, count);
                shard.outbox.performs = performs;
                served.append(&mut shard.take_served());
            }
            letters.append(&mut self.posted.take());
            if letters.is_empty() && !changes {
                return (homes, served);
            }
            passed += letters.len();
            assert!(passed < LETTERS_MAX, "a request wanders without end");
            for (to, letter) in letters.drain(..) {
                self.shards[usize::from(to)].receive(letter);
            }
            self.letters += 1;
        }
    }

    /// Takes what the shards have to journal since the last question, shard by shard. Asked after
    /// each request, it is the journal.
    pub(crate) fn records(&mut self) -> Records {
        let (mut bytes, mut runs) = (Vec::new(), Vec::new());
        for shard in &mut self.shards {
            let (more, more_runs) = shard.effects().take();
            runs.extend(more_runs.iter().map(|run| Run { end: bytes.len() + run.end, ..*run }));
            bytes.extend(more);
        }
        records_of(bytes, &runs)
    }

    /// Lets every shard apply its part of these records.
    pub(crate) fn load(&mut self, records: &Records) {
        for shard in &mut self.shards {
            assert_eq!(shard.replay(records, self.now), [], "what was journaled can be loaded");
        }
    }
}

fn listed() -> Box<dyn Engine> {
    Box::new(Listed)
}

/// Performs the actions of batches that change the scripts which are known, as their thread would,
/// and files them with the shard again; other batches stay. Returns whether there were some.
#[expect(clippy::vec_box, reason = "batches stay where they are")]
fn perform(
    batches: &mut Vec<Box<Batch>>,
    shard: &mut Shard,
    letters: &mut Vec<(ShardId, Letter)>,
    count: ShardId,
) -> bool {
    let mut has_any = false;
    for mut batch in std::mem::take(batches) {
        match batch.action.take() {
            Some(Action::ChangeScripts(change)) => {
                letters.extend((0..count).map(|to| (to, Letter::Scripts(change.clone()))));
            }
            // Every shard knows all that there are.
            Some(Action::FindScript(_)) => {}
            action => {
                batch.action = action;
                batches.push(batch);
                continue;
            }
        }
        let mark = batch.replies.len();
        shard.performed(&mut batch, mark, 0, Ok(()));
        shard.file(batch);
        has_any = true;
    }
    has_any
}
