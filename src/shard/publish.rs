//! What the server publishes to all shards, and sinks go by.

use std::sync::Arc;

use crate::clients::MonitorClient;
use crate::counted::hotkeys::HotKeySession;
use crate::hook::Published;
use crate::keyspace::notices::Classes;
use crate::shard::Shard;

/// It, but for the settings.
#[derive(Debug, Default)]
pub(super) struct Watchers {
    /// Clients that have called MONITOR.
    pub(super) monitors: Arc<[MonitorClient]>,
    /// The session of HOTKEYS, if there is one.
    pub(super) hotkeys: Option<Arc<HotKeySession>>,
}

impl Shard {
    /// Somebody watches other things than before.
    pub(super) fn publish_to(&mut self, change: impl FnOnce(&mut Watchers)) {
        change(&mut self.watchers);
        self.publish();
    }

    /// Tells the sinks what is published.
    pub(super) fn publish(&mut self) {
        let Shard { engine, env, watchers, .. } = self;
        engine.tools.notices.listen(Classes::of(&env.settings.notify_keyspace_events));
        engine.sinks.adapt(&Published {
            settings: &env.settings,
            monitors: &watchers.monitors,
            hotkeys: watchers.hotkeys.as_deref(),
        });
    }
}
