//! The sink behind MONITOR: every command as a line, while some client monitors.
//!
//! While none does, it has nothing to see, and costs nothing. Not shown, as in Redis:
//! administration, what says `skip_monitor`, and what was refused. A divergence: the time is that
//! of the batch, in milliseconds.

use std::sync::Arc;

use bytes::Bytes;

use crate::base::quotes;
use crate::clients::MonitorClient;
use crate::commands::command::Flags;
use crate::counted::log::shown;
use crate::hook::push::Push;
use crate::hook::{Called, Outcome, Published, Sees, Sink};

/// Shows the commands of a shard to all clients that monitor.
#[derive(Debug, Default)]
pub struct Monitor {
    monitors: Arc<[MonitorClient]>,
}

impl Sink for Monitor {
    fn adapt(&mut self, published: &Published<'_>) -> Sees {
        self.monitors = Arc::clone(published.monitors);
        if self.monitors.is_empty() { Sees::NONE } else { Sees::ALL }
    }

    fn called(&mut self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        if !called.has_waited {
            self.show(called, pushes);
        }
    }

    fn waits(&mut self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        self.called(called, pushes);
    }

    /// Ahead of the commands that it calls. That it hides itself is for its end.
    fn begins(&mut self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        self.push(called, pushes);
    }
}

impl Monitor {
    fn show(&self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        let flags = called.call.command.flags;
        let is_hidden = flags.has(Flags::SKIP_MONITOR) || flags.has(Flags::ADMIN);
        if is_hidden || matches!(called.outcome, Outcome::Refused(_)) {
            return;
        }
        self.push(called, pushes);
    }

    fn push(&self, called: &Called<'_>, pushes: &mut Vec<Push>) {
        let bytes = Bytes::from(line(called));
        let session = called.session;
        // One that has just left is still published as a monitor.
        let monitors = |of: &&MonitorClient| of.client != session.id || session.monitors;
        pushes.extend(self.monitors.iter().filter(monitors).map(|monitor| Push::Bytes {
            to: monitor.home,
            client: monitor.client,
            bytes: bytes.clone(),
        }));
    }
}

fn line(called: &Called<'_>) -> Vec<u8> {
    let (call, session) = (called.call, called.session);
    let (seconds, millis) = (called.now.as_secs(), called.now.0.rem_euclid(1_000));
    let (unix, address) = match session.peer.address.as_str() {
        _ if called.in_script => ("", "lua"),
        address if session.peer.unix => ("unix:", address),
        address => ("", address),
    };
    let head = format!("+{seconds}.{millis:03}000 [{} {unix}{address}]", session.db);
    let mut line = head.into_bytes();
    for index in 0..call.len() {
        line.extend_from_slice(b" \"");
        shown(call, index).iter().for_each(|byte| quotes::put(*byte, &mut line));
        line.push(b'"');
    }
    line.extend_from_slice(b"\r\n");
    line
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Home;
    use crate::hooks::sample;
    use crate::shard::letter::Letter;
    use crate::shard::turn::Ready;
    use crate::testing::Store;

    fn monitor_client(client: u64) -> MonitorClient {
        MonitorClient { home: Home { thread: 0, connection: 3 }, client }
    }

    fn lines(words: &[&str]) -> String {
        let mut monitor = Monitor { monitors: Arc::new([monitor_client(8)]) };
        let (session, call) = (sample::session(), sample::words(words));
        let mut pushes = Vec::new();
        monitor.called(&sample::ran(&call, &session, 3), &mut pushes);
        let bytes = |push| match push {
            Push::Bytes { bytes, .. } => bytes,
            push => panic!("nobody publishes: {push:?}"),
        };
        String::from_utf8(pushes.into_iter().flat_map(bytes).collect()).unwrap()
    }

    #[test]
    fn every_monitor_is_pushed_every_line_while_it_is_one() {
        let mut store = Store::with_layers(Vec::new(), vec![Box::new(Monitor::default())]);
        let mut shown = |monitors: &[u64]| {
            let monitors = monitors.iter().map(|client| monitor_client(*client)).collect();
            store.shard.receive(Letter::Monitors(monitors));
            assert_eq!(store.run("PING"), "PONG");
            let mut ready = Ready::default();
            store.shard.end_turn(0, true, &mut ready);
            let client = |push| match push {
                Push::Bytes { client, .. } => client,
                push => panic!("nobody publishes: {push:?}"),
            };
            ready.pushes.into_iter().map(client).collect::<Vec<_>>()
        };
        assert_eq!(shown(&[]), []);
        assert_eq!(shown(&[8, 9]), [8, 9]);
        assert_eq!(shown(&[9]), [9]);
        assert_eq!(shown(&[]), []);
    }

    #[test]
    fn a_line_is_quoted_and_one_line() {
        assert_eq!(
            lines(&["get", "a\u{1}\"\\b\r\n\té"]),
            "+1700000000.000000 [0 127.0.0.1:5000] \"get\" \
             \"a\\x01\\\"\\\\b\\r\\n\\t\\xc3\\xa9\"\r\n"
        );
    }

    #[test]
    fn administration_is_not_shown() {
        assert_eq!(lines(&["config", "set", "requirepass", "x"]), "");
        assert_eq!(lines(&["monitor"]), "");
    }
}
