//! What every part of a run is given: time, chance, mail, and who takes notes.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt::Arguments;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;
use troupe::base::millis::Millis;
use troupe::batch::Home;
use troupe::lending::{self, GivenBack};
use troupe::pubsub::{Farewell, News};
use troupe::route::ShardId;
use troupe::settings::Settings;
use troupe::shard::evict::Worths;
use troupe::shard::letter::Letter;
use troupe::stream::mark::Mark;

use crate::checks::cycles::Cycles;
use crate::checks::history::History;
use crate::checks::streams::Streams;
use crate::memory::{LIMIT, Memory};
use crate::plan::{Fault, Plan, Stream};
use crate::post::{Address, Mail, Post};
use crate::rare::{Counts, Rare};
use crate::replicas::Replicas;
use crate::trace::Trace;
use crate::upstream::Upstream;

/// What the clock shows when a run begins, in milliseconds of unix time.
const START: i64 = 1_700_000_000_000;

/// Batches that were dropped: where they came from, and the number of the client.
pub type Dropped = Arc<Mutex<Vec<(Home, u64)>>>;

/// The way home for loans that lost their own.
#[derive(Debug, Default)]
pub struct Lost(Mutex<Vec<(ShardId, Letter)>>);

impl Lost {
    /// Takes the letters that were posted.
    pub fn take(&self) -> Vec<(ShardId, Letter)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Farewell for Lost {
    fn farewell(&self, to: ShardId, news: Arc<News>) {
        let lost = (to, Letter::Subscribers(news, None));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(lost);
    }
}

impl lending::Post for Lost {
    fn post(&self, to: ShardId, given_back: GivenBack) {
        let lost = (to, given_back.into());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(lost);
    }
}

/// What a run is made of beside its parts.
pub struct Context {
    /// What it is to be.
    pub plan: Plan,
    /// Whose turn it is, and how long things take.
    pub rng: Rng,
    /// The time since the start, in microseconds.
    pub now_us: u64,
    /// Everybody's mail.
    pub post: Post,
    /// What happened.
    pub trace: Trace,
    /// What was rare of it.
    pub rare: Rc<RefCell<Counts>>,
    /// What clients sent and were answered.
    pub history: Rc<RefCell<History>>,
    /// What they saw of the lists that only grow.
    pub cycles: Cycles,
    /// Clients on their way between threads.
    pub under_way: BTreeSet<u64>,
    /// Batches that nobody has any more.
    pub dropped: Dropped,
    /// Crashes so far.
    pub crashes: u32,
    /// Batches that somebody has.
    pub batches: usize,
    /// Letters of loans that lost their way.
    pub lost: Arc<Lost>,
    /// How far the stream of effects is durable.
    pub mark: Arc<Mark>,
    /// The settings in force.
    pub settings: Arc<Settings>,
    /// How much memory is in use.
    pub memory: Memory,
    /// What the next keys of the shards are worth that would be evicted.
    pub worths: Worths,
    /// What the node is to its replicas.
    pub replicas: Replicas,
    /// The link to its primary, where it is a replica.
    pub upstream: Option<Upstream>,
    /// Clients' calls and replies are looked at one by one.
    pub is_observed: bool,
}

/// Travels with a batch, and tells when it is dropped.
#[derive(Debug)]
pub struct Ticket {
    /// Whose batch it is.
    pub home: Home,
    /// The number of the client.
    pub client: u64,
    /// Who is told.
    pub dropped: Dropped,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        dropped.push((self.home, self.client));
    }
}

impl Context {
    /// The beginning of a run.
    pub fn new(plan: &Plan, is_printed: bool) -> Context {
        let mut settings = Settings::default();
        let limit: &[&str] = match plan.has(Fault::SlowReaders) {
            true => &["normal", "500", "200", "1"],
            false => &["normal", "0", "0", "0"],
        };
        settings.set("client-output-buffer-limit", limit).expect("that is a limit");
        if plan.pushes {
            settings.set("notify-keyspace-events", &["K$gx"]).expect("these are events");
        }
        settings.set("enable-debug-command", &["yes"]).expect("that is a choice");
        if plan.scripts {
            settings.set("busy-reply-threshold", &["10"]).expect("that is a duration");
            settings.set("script-max-run-ms", &["60"]).expect("that is a duration");
        }
        if plan.has(Fault::Squeezes) {
            settings.set("maxmemory", &[&LIMIT.to_string()]).expect("that is a limit");
            settings.set("maxmemory-policy", &[plan.policy_of_memory]).expect("that is a policy");
        }
        let follows = if plan.has(Fault::Follows) { "yes" } else { "no" };
        settings.set("rebalance-clients", &[follows]).expect("that is a choice");
        plan.set_replication(&mut settings);
        let streams = Rc::new(RefCell::new(Streams::default()));
        let replicas = Replicas::new(streams, &settings, plan.rng(Stream::Replicas));
        Context {
            plan: plan.clone(),
            rng: plan.rng(Stream::Schedule),
            now_us: 0,
            post: Post::new(plan.shards, plan.has(Fault::Delays)).with_inboxes(plan.pushes),
            trace: Trace::new(is_printed),
            rare: Rc::default(),
            history: Rc::new(RefCell::new(
                History::new(Default::default(), plan.shards).with_caches(plan.pushes),
            )),
            cycles: Cycles::default(),
            under_way: BTreeSet::new(),
            dropped: Dropped::default(),
            crashes: 0,
            batches: 0,
            lost: Arc::default(),
            mark: Arc::default(),
            settings: Arc::new(settings),
            memory: Memory::default(),
            worths: Worths::new(plan.shards),
            replicas,
            upstream: None,
            is_observed: true,
        }
    }

    /// The beginning of a replica of the node with this context.
    pub fn of_replica(&self, plan: &Plan, whose: &'static str, is_printed: bool) -> Context {
        let own = Context::new(plan, is_printed);
        let mut settings = Settings::clone(&own.settings);
        settings.set("replicaof", &["primary", "6379"]).expect("that is a primary");
        let streams = self.replicas.streams().clone();
        let mut replicas = Replicas::new(streams, &settings, plan.rng(Stream::Replicas));
        replicas.follow();
        Context {
            trace: own.trace.of(whose),
            now_us: self.now_us,
            rare: self.rare.clone(),
            settings: Arc::new(settings),
            replicas,
            upstream: Some(Upstream::default()),
            is_observed: false,
            ..own
        }
    }

    /// The setting `replicaof` is this from here on: all threads hear of it.
    pub fn set_primary(&mut self, words: &[&str]) {
        let mut settings = Settings::clone(&self.settings);
        settings.set("replicaof", words).expect("that is a primary, or none");
        self.settings = Arc::new(settings);
        for shard in 0..self.plan.shards {
            let letter = Mail::Letter(Letter::Settings(self.settings.clone()));
            self.send(Address::Saver, Address::Thread(shard), letter);
        }
    }

    /// The time, as the server reads it.
    pub fn now(&self) -> Millis {
        Millis(START + self.steady_ms() as i64)
    }

    /// Milliseconds on a clock that never goes back.
    pub fn steady_ms(&self) -> u64 {
        self.now_us / 1_000
    }

    /// Time passes.
    pub fn pass(&mut self, micros: u64) {
        self.now_us += micros;
        let mut history = self.history.borrow_mut();
        (history.now, history.durability.now) = (self.now().0, self.now().0);
    }

    /// Sends mail.
    pub fn send(&mut self, from: Address, to: Address, mail: Mail) {
        self.post.send(from, to, mail, self.now_us, &mut self.rng);
    }

    /// Sends letters to threads, one by one.
    pub fn send_letters(
        &mut self,
        from: Address,
        letters: impl IntoIterator<Item = (ShardId, Letter)>,
    ) {
        for (to, letter) in letters {
            self.send(from, Address::Thread(to), Mail::Letter(letter));
        }
    }

    /// A rare state was met.
    pub fn met(&mut self, rare: Rare) {
        self.rare.borrow_mut().met(rare);
        self.note(format_args!("met {rare:?}"));
    }

    /// Notes what happened.
    pub fn note(&mut self, line: Arguments<'_>) {
        self.trace.note(format_args!("{:>9} {line}", self.now_us));
    }

    /// A promise was broken.
    pub fn fail(&mut self, broken: String) {
        self.note(format_args!("BROKEN {broken}"));
        self.history.borrow_mut().fail(broken);
    }

    /// True one time in so many.
    pub fn one_in(&mut self, many: u32) -> bool {
        self.rng.u32(..many) == 0
    }
}
