//! The stream of replication between threads: the writer of the journal feeds it, the connections
//! of replicas take from it, each at its own pace, and somebody tends them ([`crate::admin`]).
//!
//! What is decided is `troupe::replication`'s. One lock is around it, which is held for as long as
//! it takes to copy some bytes, and which nobody takes for a command of a client that is no
//! replica.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::task::Waker;
use std::time::Duration;

use actix::Recipient;
use bytes::Bytes;
use tokio::sync::Notify;
use troupe::replication::{Arrival, Fed, Figures, FullSync, Limits, Primary, Pulled, Pushed, Tick};
use troupe::settings::Settings;

use crate::message::aof::Put;

/// How long who makes a snapshot waits for room before it looks whether anybody wants it still.
const LOOK: Duration = Duration::from_millis(100);

/// The connection of a replica.
#[derive(Debug)]
struct Taker {
    waker: Waker,
    /// It has taken all that there was.
    is_hungry: bool,
}

#[derive(Debug)]
struct State {
    primary: Primary,
    limits: Limits,
    takers: BTreeMap<u64, Taker>,
    /// Clients that wait for replicas.
    waiting: BTreeMap<u64, Waker>,
    /// How many replicas keep up, and whether they hold writes up, as shards were told last.
    told_good: u32,
    told_held: bool,
}

/// The stream, and who takes from it.
#[derive(Debug)]
pub struct Replicas {
    state: Mutex<State>,
    room: Condvar,
    tend: Notify,
    stream: OnceLock<Recipient<Put>>,
}

impl Default for Replicas {
    fn default() -> Replicas {
        let state = State {
            primary: Primary::new(digits()),
            limits: Limits::of(&Settings::default()),
            takers: BTreeMap::new(),
            waiting: BTreeMap::new(),
            told_good: 0,
            told_held: false,
        };
        Replicas {
            state: Mutex::new(state),
            room: Condvar::new(),
            tend: Notify::new(),
            stream: OnceLock::new(),
        }
    }
}

/// 40 hexadecimal digits that nobody can foresee.
pub fn digits() -> String {
    let mut random = fastrand::Rng::new();
    (0..40).filter_map(|_| char::from_digit(random.u32(0..16), 16)).collect()
}

impl State {
    /// Wakes those for whom there is something now.
    fn wake(&mut self, is_meant: impl Fn(u64, &Taker) -> bool) {
        for (client, taker) in &mut self.takers {
            if is_meant(*client, taker) {
                taker.is_hungry = false;
                taker.waker.wake_by_ref();
            }
        }
    }

    /// Adds to the stream, for those who wait for more of it.
    fn grow(&mut self, now_ms: u64, add: impl FnOnce(&mut Primary)) {
        let State { primary, limits, .. } = self;
        add(primary);
        primary.trim(limits);
        for client in primary.overdue(limits, now_ms) {
            self.cut(client);
        }
        self.wake(|_, taker| taker.is_hungry);
    }

    /// Whether shards have to be told that replicas hold writes up, or do so no longer.
    fn has_news(&self, now_ms: u64) -> bool {
        self.primary.holds_up_writes(&self.limits, now_ms) != self.told_held
    }

    fn cut(&mut self, client: u64) {
        self.primary.cut(client);
        self.wake(|other, _| other == client);
    }
}

impl Replicas {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Where what concerns the stream is put in its place.
    pub fn meet(&self, stream: Recipient<Put>) {
        // There is one.
        let _ = self.stream.set(stream);
    }

    /// A replica comes.
    pub fn attach(&self, arrival: Arrival, now_ms: u64) {
        self.lock().primary.attach(arrival, now_ms);
        self.tend.notify_one();
    }

    /// Forgets what CONFIG RESETSTAT forgets.
    pub fn reset(&self) {
        self.lock().primary.reset();
    }

    /// A client has gone.
    pub fn forget(&self, client: u64, now_ms: u64) {
        let mut state = self.lock();
        state.takers.remove(&client);
        state.waiting.remove(&client);
        state.primary.forget(client, now_ms);
        drop(state);
        self.room.notify_all();
        self.tend.notify_one();
    }

    /// Copies what a replica gets next to the end of `out`, `most` bytes at the most. Where that is
    /// nothing, `waker` is woken when there is something.
    pub fn pull(
        &self,
        client: u64,
        waker: &Waker,
        most: usize,
        out: &mut Vec<u8>,
        now_ms: u64,
    ) -> Pulled {
        let mut state = self.lock();
        let pulled = state.primary.pull(client, most, out, now_ms);
        let is_hungry = pulled == Pulled::Nothing;
        match state.takers.get_mut(&client) {
            Some(taker) => {
                taker.is_hungry = is_hungry;
                taker.waker.clone_from(waker);
            }
            None => {
                state.takers.insert(client, Taker { waker: waker.clone(), is_hungry });
            }
        }
        let (syncs, has_news) = (state.primary.syncs(), state.has_news(now_ms));
        drop(state);
        if syncs {
            self.room.notify_all();
        }
        if has_news {
            self.tend.notify_one();
        }
        pulled
    }

    /// Whether the connections of all replicas have sent all that there is for them.
    pub fn have_sent_all(&self) -> bool {
        self.lock().takers.values().all(|taker| taker.is_hungry)
    }

    /// Whether a replica is to be closed, whatever it has still to get.
    pub fn is_cut(&self, client: u64) -> bool {
        self.lock().primary.is_cut(client)
    }

    /// What comes next in the stream.
    pub fn feed(&self, fed: &VecDeque<Fed>, now_ms: u64) {
        if fed.is_empty() {
            return;
        }
        self.grow(now_ms, |primary| fed.iter().for_each(|fed| primary.feed(fed)));
    }

    fn grow(&self, now_ms: u64, add: impl FnOnce(&mut Primary)) {
        let mut state = self.lock();
        state.grow(now_ms, add);
        if state.has_news(now_ms) {
            self.tend.notify_one();
        }
    }

    /// The stream is the primary's from here on. Replicas have to come anew.
    pub fn follow(&self) {
        self.change_stream(Primary::follow);
    }

    /// The stream is the one with this id, from this offset on. The same.
    pub fn follow_from(&self, id: String, offset: u64) {
        self.change_stream(|primary| primary.follow_from(id, offset));
    }

    /// The stream has this id from here on. Where that is another one, the same.
    pub fn rename(&self, id: String) {
        self.change_stream(|primary| primary.rename(id));
    }

    /// The stream is the server's own from here on. Who has all of it goes on with it, under its
    /// new id, and has to come anew to hear of that. Nobody does where the data set is not that of
    /// the stream.
    pub fn lead(&self, is_known: bool, now_ms: u64) {
        self.change_stream(|primary| match is_known {
            true => primary.lead(digits(), now_ms),
            false => primary.lead_anew(digits(), now_ms),
        });
    }

    /// All replicas have to come anew.
    pub fn cut_all(&self) {
        self.change_stream(|primary| primary.clients());
    }

    fn change_stream(&self, change: impl FnOnce(&mut Primary) -> Vec<u64>) {
        let mut state = self.lock();
        for client in change(&mut state.primary) {
            state.cut(client);
        }
        drop(state);
        self.room.notify_all();
        self.tend.notify_one();
    }

    /// Whether the stream is the primary's.
    pub fn follows(&self) -> bool {
        self.lock().primary.follows()
    }

    /// More of the primary's stream.
    pub fn pass_on(&self, bytes: &[u8], now_ms: u64) {
        if bytes.is_empty() {
            return;
        }
        self.grow(now_ms, |primary| primary.append_as_it_came(bytes));
    }

    /// The moment of a snapshot is here.
    pub fn take_moment(&self, number: u32) {
        let mut state = self.lock();
        state.primary.take_moment(number);
        state.wake(|_, taker| taker.is_hungry);
    }

    /// The stream is recorded from here on.
    pub fn begin(&self, now_ms: u64) {
        self.lock().primary.begin(now_ms);
        self.tend.notify_one();
    }

    /// The stream has a gap, or is not recorded any more.
    pub fn end(&self) {
        let mut state = self.lock();
        for client in state.primary.end(digits()) {
            state.cut(client);
        }
        drop(state);
        self.room.notify_all();
    }

    /// A client wants to know who has all that was appended until now.
    pub fn ask(&self, client: u64) {
        if let Some(stream) = self.stream.get() {
            stream.do_send(Put(Fed::Ask(client)));
        }
    }

    /// A sign of life for all replicas.
    pub fn ping(&self) {
        if let Some(stream) = self.stream.get() {
            stream.do_send(Put(Fed::Ping));
        }
    }

    /// A replica has said something, if only that it lives.
    pub fn hear(&self, client: u64, now_ms: u64) {
        self.lock().primary.hear(client, now_ms);
    }

    /// A replica says how far it has come.
    pub fn acknowledge(&self, client: u64, applied: u64, journaled: Option<u64>, now_ms: u64) {
        let mut state = self.lock();
        state.primary.acknowledge(client, applied, journaled, now_ms);
        state.wake(|other, _| other == client);
        std::mem::take(&mut state.waiting).into_values().for_each(Waker::wake);
    }

    /// How many replicas have what a client waits for, in memory or in their journals. `waker` is
    /// woken when that may have changed.
    pub fn count_copies(&self, client: u64, in_journal: bool, waker: Option<&Waker>) -> u64 {
        let mut state = self.lock();
        if let Some(waker) = waker {
            state.waiting.insert(client, waker.clone());
        }
        state.primary.count_copies(client, in_journal)
    }

    /// A client waits for replicas no more.
    pub fn waits_no_more(&self, client: u64) {
        let mut state = self.lock();
        state.waiting.remove(&client);
        state.primary.waits_no_more(client);
    }

    /// Whether there are any.
    pub fn are_any(&self) -> bool {
        self.lock().primary.has_replicas()
    }

    /// Whether the stream is recorded.
    pub fn is_on(&self) -> bool {
        self.lock().primary.is_on()
    }

    /// Whether all that follow the stream have all of it.
    pub fn all_have_all(&self) -> bool {
        self.lock().primary.all_have_all()
    }

    /// Returns when somebody has to look after them.
    pub async fn need_care(&self) {
        self.tend.notified().await;
    }

    /// Somebody has to look after them.
    pub fn call_for_care(&self) {
        self.tend.notify_one();
    }

    /// Time has passed, and these settings are in force.
    pub fn tick(&self, settings: &Settings, is_paused: bool, now_ms: u64) -> Tick {
        let mut state = self.lock();
        state.limits = Limits::of(settings);
        let State { primary, limits, .. } = &mut *state;
        let tick = primary.tick(limits, is_paused, now_ms);
        tick.cut.iter().for_each(|(client, _)| state.cut(*client));
        // Some may have a sign of life to get.
        state.wake(|_, taker| taker.is_hungry);
        tick
    }

    /// How many replicas keep up by these settings, where shards do not know it yet.
    pub fn good_news(&self, settings: &Settings, now_ms: u64) -> Option<u32> {
        let mut state = self.lock();
        let good = state.primary.good(&Limits::of(settings), now_ms);
        let before = std::mem::replace(&mut state.told_good, good);
        (before != good).then_some(good)
    }

    /// Whether replicas hold writes up, where shards do not know it yet.
    pub fn hold_news(&self, now_ms: u64) -> Option<bool> {
        let mut state = self.lock();
        state.has_news(now_ms).then(|| {
            state.told_held = !state.told_held;
            state.told_held
        })
    }

    /// Whether it is time to make a snapshot for those that wait for one.
    pub fn is_sync_due(&self, settings: &Settings, now_ms: u64) -> bool {
        self.lock().primary.is_sync_due(settings, now_ms)
    }

    /// The snapshot with this number is made for those that wait. None where nobody does.
    pub fn begin_sync(&self, number: u32, settings: &Settings) -> Option<FullSync> {
        self.lock().primary.begin_sync(number, digits(), settings)
    }

    /// Whether any replica waits for the snapshot with this number, or for the rest of it.
    pub fn is_sync_wanted(&self, number: u32) -> bool {
        self.lock().primary.is_sync_wanted(number)
    }

    /// The snapshot with this number is a file of this length, whose bytes follow.
    pub fn file_is_there(&self, number: u32, length: u64) {
        let mut state = self.lock();
        state.primary.file_is_there(number, length);
        state.wake(|_, taker| taker.is_hungry);
    }

    /// Some bytes of the snapshot with this number. Waits while there is no room for them; returns
    /// false when nobody wants them any more.
    pub fn push(&self, number: u32, bytes: &Bytes) -> bool {
        let mut state = self.lock();
        loop {
            match state.primary.push(number, bytes) {
                Pushed::Taken => break,
                Pushed::Unwanted => return false,
                Pushed::Full => {
                    let waited = self.room.wait_timeout(state, LOOK);
                    state = waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0;
                }
            }
        }
        state.wake(|_, taker| taker.is_hungry);
        true
    }

    /// All of the snapshot with this number has been pushed.
    pub fn sync_is_whole(&self, number: u32) {
        let mut state = self.lock();
        state.primary.sync_is_whole(number);
        state.wake(|_, taker| taker.is_hungry);
    }

    /// The snapshot with this number never will be.
    pub fn sync_failed(&self, number: u32) {
        let mut state = self.lock();
        for client in state.primary.sync_failed(number) {
            state.cut(client);
        }
    }

    /// The data set is that of another run, whose stream had this id and has ended here.
    pub fn go_on_from(&self, id: String, offset: u64, now_ms: u64) {
        self.lock().primary.go_on_from(id, offset, now_ms);
    }

    /// The id of the stream and the offset behind its last byte, while it is recorded.
    pub fn place(&self) -> Option<(String, u64)> {
        let state = self.lock();
        let (id, offset) = state.primary.place();
        state.primary.is_on().then(|| (id.to_owned(), offset))
    }

    /// What INFO and ROLE say.
    pub fn figures(&self, now_ms: u64) -> Figures {
        let state = self.lock();
        state.primary.figures(&state.limits, now_ms)
    }
}
