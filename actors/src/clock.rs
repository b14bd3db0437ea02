//! The only reader of time. An actor asks it once a batch and passes the answer on.

use std::time::{SystemTime, UNIX_EPOCH};

use quanta::Clock as Counter;
use troupe::base::millis::Millis;
use troupe::shard::Ticks;

/// Unix time, and a steady count of nanoseconds for durations.
#[derive(Clone, Debug)]
pub struct Clock {
    counter: Counter,
    start: u64,
}

impl Clock {
    /// A clock whose count starts now.
    pub fn new() -> Clock {
        let counter = Counter::new();
        let start = counter.raw();
        Clock { counter, start }
    }

    /// Unix time in milliseconds.
    #[expect(clippy::disallowed_methods, reason = "the only reader of time")]
    pub fn now(&self) -> Millis {
        Millis::since_epoch(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
    }

    /// Nanoseconds since the clock was made; never goes back.
    #[inline]
    pub fn nanos(&self) -> u64 {
        self.counter.delta_as_nanos(self.start, self.counter.raw())
    }

    /// Milliseconds since the clock was made; never goes back.
    pub fn steady_ms(&self) -> u64 {
        self.nanos() / 1_000_000
    }
}

impl Default for Clock {
    fn default() -> Clock {
        Clock::new()
    }
}

impl Ticks for Clock {
    #[inline]
    fn nanos(&mut self) -> u64 {
        Clock::nanos(self)
    }
}

/// For how long the calling thread has had something to do, in nanoseconds: on a core, or in line
/// for one. Only the first where the system does not tell the second.
pub fn thread_busy_ns() -> u64 {
    // CPU time, time in line, turns.
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok();
    let sum = told.and_then(|line| {
        let mut words = line.split_ascii_whitespace().map(str::parse);
        let (ran, waited): (u64, u64) = (words.next()?.ok()?, words.next()?.ok()?);
        Some(ran + waited)
    });
    sum.unwrap_or_else(thread_cpu_ns)
}

/// CPU time of the calling thread, in nanoseconds.
pub fn thread_cpu_ns() -> u64 {
    use rustix::time::{ClockId, clock_gettime};
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
