//! Messages for a client, and their place among its replies.

use std::sync::Arc;

use super::*;
use crate::pubsub::Message;

/// A message on the channel `c` or another for a client that subscribes to it.
fn deliver(client: &mut Client, channel: &str, text: &str) {
    let settings = client.store.shard.settings().clone();
    let message = Arc::new(Message::new(false, channel.as_bytes(), text.as_bytes(), 0));
    client.connection.deliver(&message, None, &settings);
}

/// What the client got since it was last asked, the last word of each message or confirmation.
fn last_words(client: &mut Client) -> Vec<String> {
    client.run();
    let said = client.said();
    let ends = said.split('*').filter(|part| !part.is_empty());
    ends.map(|part| part.trim_end().rsplit("\r\n").next().unwrap().to_owned()).collect()
}

#[test]
fn a_message_never_comes_before_its_subscription_nor_after_its_end() {
    let mut client = Client::new();
    client.stays_away = true;
    client.send("SUBSCRIBE c d\r\n");
    deliver(&mut client, "c", "early");
    assert!(client.connection.holds_pushes());
    client.let_home();
    assert_eq!(last_words(&mut client), [":1", ":2", "early"]);
    deliver(&mut client, "c", "at once");
    assert_eq!(last_words(&mut client), ["at once"]);
    client.send("UNSUBSCRIBE c\r\n");
    for (channel, text) in [("d", "first"), ("c", "before the end"), ("d", "behind it")] {
        deliver(&mut client, channel, text);
    }
    client.let_home();
    assert_eq!(last_words(&mut client), ["first", "before the end", ":1", "behind it"]);
    client.send("UNSUBSCRIBE d\r\nSUBSCRIBE e\r\n");
    for (channel, text) in [("e", "of the new"), ("d", "of the old")] {
        deliver(&mut client, channel, text);
    }
    client.let_home();
    assert_eq!(last_words(&mut client), ["of the old", ":0", ":1", "of the new"]);
}

#[test]
fn what_waits_for_the_batch_counts_against_the_limit_of_subscribers() {
    let mut client = Client::new();
    client.store.configure("client-output-buffer-limit", "normal 10 0 0 pubsub 150 0 0");
    client.send("SUBSCRIBE c\r\n");
    client.said();
    client.stays_away = true;
    client.send("UNSUBSCRIBE c\r\n");
    deliver(&mut client, "c", &"x".repeat(60));
    assert_eq!(client.run(), None);
    deliver(&mut client, "c", &"x".repeat(60));
    assert!(matches!(client.run(), Some(Reason::OutputLimit(151..))));
}
