//! What clients are being told of keys that have gone.
//!
//! Until they have it, it takes memory, perhaps more than the keys took: a long name that ten
//! clients have cached is told ten times. So the next key goes only when little is on its way. What
//! does not arrive for long counts as what it is, a buffer of a client.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};

use crate::base::millis::Millis;
use crate::hook::push::Push;
use crate::pubsub::Message;

/// For how long something is on its way at the most, in milliseconds.
const ON_ITS_WAY_MS: i64 = 10;

/// What is on its way, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Told {
    messages: VecDeque<(Weak<Message>, Millis, usize)>,
    bytes: u64,
}

impl Told {
    /// These leave at the end of the turn.
    pub(super) fn add(&mut self, pushes: &[Push], now: Millis) {
        for push in pushes {
            if let Push::Outdated { message, .. } = push {
                let bytes = message.size(None);
                self.messages.push_back((Arc::downgrade(message), now, bytes));
                self.bytes += bytes as u64;
            }
        }
    }

    /// How much is on its way.
    pub(super) fn bytes(&mut self, now: Millis) -> u64 {
        while let Some((message, since, bytes)) = self.messages.front() {
            if message.strong_count() > 0 && now.since(*since) < ON_ITS_WAY_MS {
                break;
            }
            self.bytes -= *bytes as u64;
            self.messages.pop_front();
        }
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Home;
    use crate::pubsub::Author;

    #[test]
    fn what_has_arrived_or_is_late_is_not_on_its_way() {
        let push = |name: &[u8]| {
            let message = Arc::new(Message::outdated(name, Author::NOBODY));
            Push::Outdated { to: Home::default(), client: 1, message }
        };
        let (mut told, now) = (Told::default(), Millis(1_000));
        let (first, second) = ([push(&[b'k'; 1_000]), push(b"k")], [push(&[b'l'; 500])]);
        told.add(&first, now);
        told.add(&second, now.saturating_add(1));
        assert!(told.bytes(now) > 1_500);
        drop(first);
        assert!((500..1_000).contains(&told.bytes(now)));
        assert!(told.bytes(now.saturating_add(ON_ITS_WAY_MS)) > 500);
        assert_eq!(told.bytes(now.saturating_add(1 + ON_ITS_WAY_MS)), 0);
    }
}
