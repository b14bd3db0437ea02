//! The session of HOTKEYS, which all shards have to know of.

use std::sync::{Arc, MutexGuard};

use troupe::commands::action::HotKeys;
use troupe::commands::error::CommandError;
use troupe::counted::hotkeys::{HotKeySession, Sessions};
use troupe::question::Question;
use troupe::resp::Reply;
use troupe::shard::letter::Letter;
use troupe::stats::hotkeys::cpu_time;

use crate::admin::Admin;

impl Admin {
    /// Begins, ends or forgets a session; answered when every shard knows.
    ///
    /// # Errors
    /// Where one collects that must not.
    pub(super) async fn hotkeys(
        &self,
        asked: HotKeys,
        reply: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        let now = self.parts.clock.now();
        let is_done = match asked {
            HotKeys::Start(asked) => {
                let cpu = cpu_time(self.usage().cpu);
                self.change_hotkeys(|sessions| sessions.start(asked, cpu, now).map(|()| true))?
            }
            HotKeys::Stop => self.change_hotkeys(|sessions| Ok(sessions.stop(now)))?,
            HotKeys::Reset => self.change_hotkeys(|sessions| sessions.reset(now).map(|()| true))?,
        };
        if !is_done {
            reply.null();
            return Ok(());
        }
        self.ask_all(match asked {
            HotKeys::Reset => Question::ForgetHotKeys,
            HotKeys::Start(_) | HotKeys::Stop => Question::Nothing,
        })
        .await;
        reply.ok();
        Ok(())
    }

    /// The session in force.
    pub(super) fn hotkey_session(&self) -> Option<Arc<HotKeySession>> {
        self.sessions().current()
    }

    /// Tells the shards of a session whose time is over that they need not look any more.
    pub(super) fn expire_hotkeys(&self) {
        let now = self.parts.clock.now();
        // Nothing is refused.
        let _ = self.change_hotkeys(|sessions| Ok(sessions.expire(now)));
    }

    /// Changes the session, and publishes it before somebody else changes it. Returns whether it
    /// has changed.
    fn change_hotkeys(
        &self,
        change: impl FnOnce(&mut Sessions) -> Result<bool, CommandError>,
    ) -> Result<bool, CommandError> {
        let mut sessions = self.sessions();
        let has_changed = change(&mut sessions)?;
        if has_changed {
            let session = sessions.current();
            self.parts.post.send_all(|| Letter::HotKeys(session.clone()));
        }
        Ok(has_changed)
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.hotkeys.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}
