//! The link to the primary between threads: who follows it ([`crate::admin`]), and the connection
//! over which its stream comes, on the thread of a shard.
//!
//! The connection carries the stream out and says how far it is; who follows says so to the
//! primary, and may hold the connection between two batches.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use troupe::stats::facts::LinkState;

/// How often is looked whether the connection rests.
const LOOK: Duration = Duration::from_millis(2);

/// How long the connection may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(10);

/// How the link is.
#[derive(Debug, Default)]
struct State {
    link: LinkState,
    /// Since when the link is down, in milliseconds of the steady clock.
    down_since_ms: Option<u64>,
    /// Bytes of the snapshot that comes: in all where that is known, and so far.
    sync: (Option<u64>, u64),
    /// The connection over which the stream comes is there.
    is_there: bool,
    /// It has carried out all that it has.
    rests: bool,
    holds: u32,
    waker: Option<Waker>,
    /// The primary wants to know how far this server is.
    is_asked: bool,
    /// The database that is selected in the stream.
    db: u32,
    /// What was not carried out: the data set is not the primary's any more.
    lost: Option<String>,
}

/// While it is there, the connection begins with no batch.
#[derive(Debug)]
pub struct Still<'a>(&'a Upstream);

impl Drop for Still<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

/// The link to the primary.
#[derive(Debug, Default)]
pub struct Upstream {
    state: Mutex<State>,
    /// When the primary was heard last, in milliseconds of the steady clock.
    heard_ms: AtomicU64,
    /// Bytes of the stream that have come.
    read: AtomicU64,
    news: Notify,
}

impl Upstream {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Returns when there is something to look at.
    pub async fn news(&self) {
        self.news.notified().await;
    }

    /// There is something to look at for who follows.
    pub fn tell(&self) {
        self.news.notify_one();
    }

    /// How the link is, and for how long it is down, in milliseconds.
    pub fn link(&self, now_ms: u64) -> (LinkState, Option<u64>) {
        let state = self.lock();
        (state.link, state.down_since_ms.map(|since| now_ms.saturating_sub(since)))
    }

    /// The link is like that from now on.
    pub fn set_link(&self, link: LinkState, now_ms: u64) {
        let mut state = self.lock();
        if link == LinkState::Linked {
            state.down_since_ms = None;
        } else if state.link == LinkState::Linked {
            state.down_since_ms = Some(now_ms);
        }
        state.link = link;
    }

    /// So much of the snapshot has come.
    pub fn set_sync(&self, total: Option<u64>, read: u64) {
        self.lock().sync = (total, read);
    }

    /// How much of the snapshot has come.
    pub fn sync(&self) -> (Option<u64>, u64) {
        self.lock().sync
    }

    /// The database that is selected in the stream.
    pub fn db(&self) -> u32 {
        self.lock().db
    }

    /// The stream goes on in this database.
    pub fn set_db(&self, db: u32) {
        self.lock().db = db;
    }

    /// Bytes of the stream that have come.
    pub fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// When the primary was heard last, in milliseconds of the steady clock.
    pub fn heard_ms(&self) -> u64 {
        self.heard_ms.load(Ordering::Relaxed)
    }

    /// The primary was heard.
    pub fn heard(&self, now_ms: u64) {
        self.heard_ms.store(now_ms, Ordering::Relaxed);
    }

    /// The stream is about to come over a connection, from this offset on.
    pub fn begins(&self, offset: u64, now_ms: u64) {
        self.read.store(offset, Ordering::Relaxed);
        self.heard(now_ms);
        let mut state = self.lock();
        (state.is_there, state.rests) = (true, true);
    }

    /// Whether the connection is there.
    pub fn is_there(&self) -> bool {
        self.lock().is_there
    }

    /// Whether the primary wants to know how far this server is. It is told once.
    pub fn take_asked(&self) -> bool {
        std::mem::take(&mut self.lock().is_asked)
    }

    /// Whether the data set is not the primary's any more.
    pub fn is_lost(&self) -> bool {
        self.lock().lost.is_some()
    }

    /// Why the data set is not the primary's any more. It is told once, or never where another one
    /// takes its place.
    pub fn take_lost(&self) -> Option<String> {
        self.lock().lost.take()
    }

    /// Lets the connection begin with no batch until [`Upstream::release`]. Returns whether it has
    /// carried out all that it had begun.
    pub async fn hold(&self) -> bool {
        self.lock().holds += 1;
        let rests = async {
            loop {
                let rests = {
                    let mut state = self.lock();
                    // It looks whether it may go on.
                    state.waker.take().into_iter().for_each(Waker::wake);
                    !state.is_there || state.rests
                };
                if rests {
                    return;
                }
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, rests).await.is_ok()
    }

    /// The same, for as long as what is returned is there; none where the connection has not
    /// carried out all that it had begun.
    pub async fn stand_still(&self) -> Option<Still<'_>> {
        let rests = self.hold().await;
        let still = Still(self);
        rests.then_some(still)
    }

    /// Lets the connection go on that [`Upstream::hold`] holds.
    pub fn release(&self) {
        let mut state = self.lock();
        state.holds = state.holds.saturating_sub(1);
        state.waker.take().into_iter().for_each(Waker::wake);
    }
}

/// What the connection says.
impl Upstream {
    /// So many bytes have come.
    pub fn received(&self, count: usize, now_ms: u64) {
        self.read.fetch_add(count as u64, Ordering::Relaxed);
        self.heard(now_ms);
    }

    /// It has carried out all that it had begun, or not. Returns whether it may begin with more;
    /// where it may not, it is woken when it may.
    pub fn may_begin(&self, rests: bool, waker: &Waker) -> bool {
        let mut state = self.lock();
        state.rests = rests;
        state.waker = Some(waker.clone());
        let may_begin = !rests || state.holds == 0;
        if may_begin {
            state.rests = false;
        }
        may_begin
    }

    /// It waits for more of the stream.
    pub fn waits(&self, waker: &Waker) {
        let mut state = self.lock();
        state.rests = true;
        state.waker = Some(waker.clone());
    }

    /// This database is selected behind what is carried out. The primary may want to know how far
    /// that is.
    pub fn carried_out(&self, db: u32, is_asked: bool) {
        let mut state = self.lock();
        state.db = db;
        state.is_asked |= is_asked;
        drop(state);
        if is_asked {
            self.tell();
        }
    }

    /// Something was not carried out, or what was is not there any more.
    pub fn lost(&self, what: String) {
        self.lock().lost.get_or_insert(what);
        self.tell();
    }

    /// It is gone.
    pub fn ended(&self) {
        let mut state = self.lock();
        (state.is_there, state.rests) = (false, true);
        drop(state);
        self.tell();
    }
}
