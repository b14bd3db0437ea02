//! The keys that take most of a server: what one shard counts of them, in two forms.
//!
//! [`Collected`] belongs to a session that a client starts and stops (HOTKEYS of Redis 8.6): time
//! and bytes of each key. [`Windows`] go on for as long as `hotkeys-top-k` says so (HOTKEYS of
//! Valkey 9.2): how often each key was asked for in the last window that is over. Both are
//! [`Sketch`]es of bounded size: 1024 counters, of up to about 600 bytes each, and for more than 64
//! keys 16 counters a key up to 4096. With so many, the ten hottest keys of a law of Zipf are far
//! above the error.
//!
//! Which calls are samples is drawn from random numbers that begin anew with each session: it needs
//! no seed, and follows no pattern that a client could have.

mod session;
mod sketch;

pub use session::{CpuTime, HotKeySession, Sessions};
pub use sketch::{KeyId, Sketch, Weighed, heaviest};

use crate::base::millis::Millis;
use crate::keyspace::key::Key;
use crate::settings::Settings;

/// Counters for each key that is to be named.
const COUNTERS_A_KEY: usize = 16;
const COUNTERS_MIN: usize = 1024;
const COUNTERS_MAX: usize = 4096;

/// Keys that a shard tells for each that is to be named: one that is hot on several shards together
/// may be less so on each.
const TOLD_A_KEY: usize = 4;

fn counters(keys: usize) -> usize {
    keys.saturating_mul(COUNTERS_A_KEY).clamp(COUNTERS_MIN, COUNTERS_MAX)
}

/// What a shard has collected in a session.
#[derive(Clone, Debug)]
pub struct Collected {
    session: HotKeySession,
    /// By nanoseconds.
    cpu: Option<Sketch>,
    /// By bytes.
    net: Option<Sketch>,
    nanos: u64,
    bytes: u64,
    random: fastrand::Rng,
}

/// What a shard tells of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CollectedKeys {
    /// The number of the session.
    pub session: u64,
    /// Time of all commands with keys, in nanoseconds.
    pub nanos: u64,
    /// Bytes of all commands with keys.
    pub bytes: u64,
    /// Those of them that were samples, where bytes are collected.
    pub sampled_bytes: u64,
    /// Keys by time, in nanoseconds.
    pub by_nanos: Vec<Weighed>,
    /// Keys by bytes.
    pub by_bytes: Vec<Weighed>,
}

impl Collected {
    /// Nothing yet.
    pub fn new(session: HotKeySession) -> Collected {
        let asked = session.asked;
        let sketch = |is_asked: bool| is_asked.then(|| Sketch::new(counters(asked.count)));
        Collected {
            session,
            cpu: sketch(asked.cpu),
            net: sketch(asked.net),
            nanos: 0,
            bytes: 0,
            random: fastrand::Rng::with_seed(0),
        }
    }

    /// The session that it belongs to, as far as it is known.
    pub fn session(&self) -> &HotKeySession {
        &self.session
    }

    /// Something else is known of its session.
    pub fn goes_on_as(&mut self, session: HotKeySession) {
        self.session = session;
    }

    /// A command with these keys took so long, and so many bytes in and out. Its keys share that
    /// alike, whatever each took of it, as in Redis; databases are not told apart.
    pub fn count<'a>(
        &mut self,
        keys: impl ExactSizeIterator<Item = Key<'a>>,
        nanos: u64,
        bytes: u64,
    ) {
        let shares = keys.len() as u64;
        if shares == 0 {
            return;
        }
        self.nanos = self.nanos.saturating_add(nanos);
        self.bytes = self.bytes.saturating_add(bytes);
        if self.random.u32(..self.session.asked.sample.max(1)) > 0 {
            return;
        }
        for (number, key) in keys.enumerate() {
            let id = KeyId { hash: key.hash, db: 0 };
            // What does not come out even goes to the first.
            let share = |of: u64| of / shares + u64::from((number as u64) < of % shares);
            self.cpu.iter_mut().for_each(|sketch| sketch.add(id, key.name, share(nanos)));
            self.net.iter_mut().for_each(|sketch| sketch.add(id, key.name, share(bytes)));
        }
    }

    /// What there is to tell.
    pub fn told(&self) -> CollectedKeys {
        let most = self.session.asked.count.saturating_mul(TOLD_A_KEY);
        let told = |sketch: &Option<Sketch>| {
            sketch.as_ref().map(|sketch| sketch.heaviest(most)).unwrap_or_default()
        };
        CollectedKeys {
            session: self.session.number,
            nanos: self.nanos,
            bytes: self.bytes,
            sampled_bytes: self.net.as_ref().map_or(0, Sketch::total),
            by_nanos: told(&self.cpu),
            by_bytes: told(&self.net),
        }
    }
}

/// How windows are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowsKept {
    /// Keys that are named.
    pub keys: usize,
    /// Of a hundred times that a key is asked for, so many are counted.
    pub percentage: u32,
    /// How long a window is.
    pub millis: i64,
}

impl WindowsKept {
    /// As the settings say; none where there are no windows.
    pub fn of(settings: &Settings) -> Option<WindowsKept> {
        let keys = settings.hotkeys.top_k as usize;
        (keys > 0).then(|| WindowsKept {
            keys,
            percentage: settings.hotkeys.sampling_percentage,
            millis: i64::from(settings.hotkeys.window_seconds) * 1_000,
        })
    }
}

/// The window that is counted in now.
#[derive(Clone, Debug)]
struct Window {
    since: Millis,
    until: Millis,
    counted: Sketch,
}

/// The windows of a shard.
///
/// They end at multiples of their length, so that those of all shards end together. The first one
/// begins where it is needed first, and lasts for half to one and a half of that.
#[derive(Clone, Debug)]
pub struct Windows {
    kept: WindowsKept,
    open: Option<Window>,
    /// What the last one that is over tells: keys by how often they were asked for in a second.
    closed: Vec<Weighed>,
    random: fastrand::Rng,
}

impl Windows {
    /// Nothing yet.
    pub fn new(kept: WindowsKept) -> Windows {
        let random = fastrand::Rng::with_seed(0);
        Windows { kept, open: None, closed: Vec::new(), random }
    }

    /// How they are kept.
    pub fn kept(&self) -> WindowsKept {
        self.kept
    }

    /// They are kept in another way from now on. What the last one told stays.
    pub fn keep(&mut self, kept: WindowsKept) {
        self.kept = kept;
        self.open = None;
    }

    /// Forgets everything.
    pub fn reset(&mut self) {
        *self = Windows::new(self.kept);
    }

    /// These keys of a database were asked for.
    pub fn count<'a>(&mut self, now: Millis, db: u32, keys: impl Iterator<Item = Key<'a>>) {
        let percentage = self.kept.percentage;
        for key in keys {
            if self.random.u32(..100) < percentage {
                let id = KeyId { hash: key.hash, db };
                self.open(now).counted.add(id, key.name, 1);
            }
        }
    }

    /// What the last window tells that is over: keys, and how often each was asked for in a second.
    pub fn told(&mut self, now: Millis) -> Vec<Weighed> {
        self.open(now);
        self.closed.clone()
    }

    /// The window of this time; one that is over is closed before.
    fn open(&mut self, now: Millis) -> &mut Window {
        let (length, kept) = (self.kept.millis, self.kept);
        let end = |since: Millis| Millis((since.0.div_euclid(length) + 1).saturating_mul(length));
        if let Some(over) = self.open.take_if(|window| now >= window.until) {
            let is_last = now < over.until.saturating_add(length);
            self.closed = if is_last { closed(&over, kept) } else { Vec::new() };
            let since = Millis(now.0.div_euclid(length).saturating_mul(length));
            let counted = Sketch::new(counters(kept.keys));
            self.open = Some(Window { since, until: end(since), counted });
        }
        self.open.get_or_insert_with(|| {
            let soon = end(now);
            let until = if soon.since(now) * 2 < length { end(soon) } else { soon };
            Window { since: now, until, counted: Sketch::new(counters(kept.keys)) }
        })
    }
}

/// The keys of a window by how often they were asked for in a second.
fn closed(window: &Window, kept: WindowsKept) -> Vec<Weighed> {
    let sampled_ms = window.until.since(window.since) as u128 * u128::from(kept.percentage);
    let mut keys = window.counted.heaviest(kept.keys.saturating_mul(TOLD_A_KEY));
    for key in &mut keys {
        // A hundred for the percentage, a thousand for the milliseconds.
        let scaled = u128::from(key.weight) * 100 * 1_000;
        let rate = (scaled + sampled_ms / 2).checked_div(sampled_ms).unwrap_or_default();
        key.weight = u64::try_from(rate).unwrap_or(u64::MAX);
    }
    keys
}

/// What a shard tells of hot keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HotKeys {
    /// In the session, if it knows of one.
    pub collected: Option<CollectedKeys>,
    /// In the last window that is over.
    pub window: Vec<Weighed>,
}

#[cfg(test)]
mod tests;
