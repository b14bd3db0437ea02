//! A session of HOTKEYS: what START asked for, since when, and when it is over.
//!
//! The shell keeps [`Sessions`] and tells every shard of the one in force, as it does of clients
//! that monitor. The end of a session that was to last so long is known from the time alone, so
//! that no shard counts beyond it, whenever it hears of the end.

use std::sync::Arc;

use crate::base::millis::Millis;
use crate::commands::action::CollectHotKeys;
use crate::commands::error::CommandError;

const IN_PROGRESS: CommandError =
    CommandError::Text("ERR hotkey tracking session already in progress");
const STOP_FIRST: CommandError =
    CommandError::Text("ERR hotkey tracking session in progress, stop tracking first");

/// Processor time of the process, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuTime {
    /// In the program.
    pub user_ms: i64,
    /// In the kernel.
    pub system_ms: i64,
}

/// One session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HotKeySession {
    /// Tells it apart from those before it.
    pub number: u64,
    /// What it collects.
    pub asked: CollectHotKeys,
    /// When it began.
    pub since: Millis,
    /// When it is over, or has been since; none where it lasts until it is stopped.
    pub until: Option<Millis>,
    /// It is known to be over.
    pub is_over: bool,
    /// What the process had taken when it began.
    pub cpu: CpuTime,
}

impl HotKeySession {
    /// Whether it collects at this time.
    #[inline]
    pub fn is_active(&self, now: Millis) -> bool {
        !self.is_over && self.until.is_none_or(|until| now < until)
    }

    /// For how long it has collected, in milliseconds.
    pub fn lasted_ms(&self, now: Millis) -> i64 {
        self.until.map_or(now, |until| until.min(now)).since(self.since).max(0)
    }
}

/// The session in force, and those before it.
#[derive(Debug, Default)]
pub struct Sessions {
    current: Option<Arc<HotKeySession>>,
    begun: u64,
}

impl Sessions {
    /// The session in force: it collects, or is over and can be asked.
    pub fn current(&self) -> Option<Arc<HotKeySession>> {
        self.current.clone()
    }

    /// Begins another one.
    ///
    /// # Errors
    /// While one collects.
    pub fn start(
        &mut self,
        asked: CollectHotKeys,
        cpu: CpuTime,
        now: Millis,
    ) -> Result<(), CommandError> {
        if self.is_active(now) {
            return Err(IN_PROGRESS);
        }
        self.begun += 1;
        let until = asked.duration_ms.map(|duration| now.saturating_add(duration));
        let (number, is_over) = (self.begun, false);
        let session = HotKeySession { number, asked, since: now, until, is_over, cpu };
        self.current = Some(Arc::new(session));
        Ok(())
    }

    /// Ends the one that collects. Returns whether one did.
    pub fn stop(&mut self, now: Millis) -> bool {
        let is_active = self.is_active(now);
        if is_active {
            self.end(Some(now));
        }
        is_active
    }

    /// Notes that the one in force is over, whose time is. Returns whether that is new.
    pub fn expire(&mut self, now: Millis) -> bool {
        let is_new = self.current.as_ref().is_some_and(|of| !of.is_over && !of.is_active(now));
        if is_new {
            self.end(None);
        }
        is_new
    }

    /// Forgets the one that is over, if there is one.
    ///
    /// # Errors
    /// While it collects.
    pub fn reset(&mut self, now: Millis) -> Result<(), CommandError> {
        if self.is_active(now) {
            return Err(STOP_FIRST);
        }
        self.current = None;
        Ok(())
    }

    fn is_active(&self, now: Millis) -> bool {
        self.current.as_ref().is_some_and(|session| session.is_active(now))
    }

    fn end(&mut self, at: Option<Millis>) {
        self.current = self.current.take().map(|session| {
            let until = at.or(session.until);
            Arc::new(HotKeySession { until, is_over: true, ..*session })
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(duration_ms: Option<i64>) -> CollectHotKeys {
        CollectHotKeys { cpu: true, net: true, count: 10, duration_ms, sample: 1 }
    }

    fn begun(duration_ms: Option<i64>) -> Sessions {
        let mut sessions = Sessions::default();
        sessions.start(asked(duration_ms), CpuTime::default(), Millis(1_000)).unwrap();
        sessions
    }

    #[test]
    fn one_collects_at_a_time() {
        let mut sessions = begun(None);
        let again = sessions.start(asked(None), CpuTime::default(), Millis(1_500));
        assert_eq!(again.unwrap_err(), IN_PROGRESS);
        assert_eq!(sessions.reset(Millis(1_500)).unwrap_err(), STOP_FIRST);
        assert!(sessions.stop(Millis(2_000)));
        assert!(!sessions.stop(Millis(2_500)), "it is over");
        let session = sessions.current().unwrap();
        assert!(!session.is_active(Millis(2_000)));
        assert_eq!((session.number, session.lasted_ms(Millis(9_000))), (1, 1_000));
        sessions.start(asked(None), CpuTime::default(), Millis(3_000)).unwrap();
        assert_eq!(sessions.current().unwrap().number, 2, "the first is forgotten");
        sessions.stop(Millis(4_000));
        sessions.reset(Millis(4_000)).unwrap();
        assert_eq!(sessions.current(), None);
        assert!(!sessions.stop(Millis(5_000)), "there is none");
        sessions.reset(Millis(5_000)).unwrap();
    }

    #[test]
    fn one_ends_by_itself() {
        let mut sessions = begun(Some(2_000));
        assert!(!sessions.expire(Millis(2_999)));
        assert!(sessions.current().unwrap().is_active(Millis(2_999)));
        assert!(!sessions.stop(Millis(3_000)));
        assert!(sessions.expire(Millis(3_500)) && !sessions.expire(Millis(3_500)));
        let session = sessions.current().unwrap();
        assert!(session.is_over && !session.is_active(Millis(2_000)));
        assert_eq!(session.lasted_ms(Millis(9_000)), 2_000);
        sessions.reset(Millis(3_000)).unwrap();
    }
}
