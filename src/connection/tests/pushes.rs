//! Messages for a client, and their place among its replies.

use std::sync::Arc;

use super::*;
use crate::pubsub::{Author, Kind, Message, Mode, Redirect, Redirected, Tracking};

/// A message on the channel `c` or another for a client that subscribes to it.
fn deliver(client: &mut Client, channel: &str, text: &str) {
    let settings = client.store.shard.settings().clone();
    let message = Arc::new(Message::new(Kind::Channel, channel.as_bytes(), text.as_bytes(), 0));
    client.connection.deliver(&message, None, client.arrival(&settings));
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
fn a_message_stands_between_the_replies_that_begin_and_end_its_subscription() {
    let mut client = Client::new();
    client.send("SUBSCRIBE d\r\n");
    client.run();
    client.said();
    client.stays_away = true;
    client.send("SUBSCRIBE c\r\nUNSUBSCRIBE c\r\nPING\r\nUNSUBSCRIBE d\r\nSUBSCRIBE e\r\n");
    for (channel, text) in [("d", "1"), ("c", "2"), ("d", "3"), ("e", "4")] {
        deliver(&mut client, channel, text);
    }
    client.let_home();
    let pong = "$0";
    let expected = [":2", "1", "2", ":1", "3", pong, ":0", ":1", "4"];
    assert_eq!(last_words(&mut client), expected);
}

#[test]
fn what_came_before_the_batch_began_to_run_goes_ahead_of_its_replies() {
    let mut client = Client::new();
    client.send("SUBSCRIBE c d\r\n");
    client.run();
    client.said();
    client.stays_away = true;
    client.send("SUBSCRIBE d\r\n");
    deliver(&mut client, "c", "early");
    client.away.as_mut().expect("it is away").began = 1;
    let settings = client.store.shard.settings().clone();
    let late = Arc::new(Message::new(Kind::Channel, b"d", b"late", 0));
    client.connection.deliver(&late, None, Arrival { settings: &settings, turns: 1 });
    client.let_home();
    assert_eq!(last_words(&mut client), ["early", ":2", "late"]);
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

/// A message about a key that the client has cached, changed by the client with this number.
fn outdated(client: &mut Client, key: &str, by: u64) {
    let settings = client.store.shard.settings().clone();
    let message = Arc::new(Message::outdated(key.as_bytes(), Author::client(by)));
    client.connection.outdated(&message, client.arrival(&settings));
}

/// The keys that the client was told of, and its replies of one line, in their order.
fn keys_and_replies(client: &mut Client) -> Vec<String> {
    client.run();
    let said = client.said();
    let words = said.split("\r\n").filter(|word| !word.starts_with(['>', '$', '*', '%', '~']));
    let words = words.filter(|word| !word.is_empty() && *word != "invalidate");
    words.map(str::to_owned).collect()
}

#[test]
fn keys_are_told_of_behind_the_replies_of_a_batch_that_is_away() {
    let mut client = Client::new();
    client.send("HELLO 3\r\nCLIENT TRACKING ON NOLOOP\r\n");
    client.run();
    client.said();
    outdated(&mut client, "a", 7);
    outdated(&mut client, "own", 1);
    assert_eq!(keys_and_replies(&mut client), ["a"]);
    client.stays_away = true;
    client.send("PING\r\n");
    outdated(&mut client, "b", 7);
    outdated(&mut client, "own", 1);
    assert_eq!(keys_and_replies(&mut client), [""; 0]);
    client.let_home();
    assert_eq!(keys_and_replies(&mut client), ["+PONG", "b"]);
    client.send("CLIENT TRACKING OFF\r\n");
    outdated(&mut client, "c", 7);
    client.let_home();
    assert_eq!(keys_and_replies(&mut client), ["+OK"], "it has cached nothing any more");
}

#[test]
fn keys_are_told_of_behind_the_replies_though_a_subscription_has_ended() {
    let mut client = Client::new();
    client.send("HELLO 3\r\nCLIENT TRACKING ON\r\nSUBSCRIBE c\r\n");
    client.run();
    client.said();
    client.stays_away = true;
    client.send("PING\r\nUNSUBSCRIBE c\r\n");
    outdated(&mut client, "a", 7);
    deliver(&mut client, "c", "before the end");
    client.let_home();
    let expected = ["message", "c", "before the end", "+PONG", "unsubscribe", "c", ":0", "a"];
    assert_eq!(keys_and_replies(&mut client), expected);
}

#[test]
fn somebody_else_is_told_at_once() {
    let mut client = Client::new();
    client.send("PING\r\n");
    client.run();
    client.said();
    let named = Redirect { client: 8, home: Home { thread: 1, connection: 3 } };
    let tracking = |client: &mut Client| {
        let tracking = Tracking {
            mode: Mode::Read,
            skips_own: false,
            redirect: Some(named),
            is_broken: false,
            is_said: false,
        };
        let batch = client.connection.batch.as_mut().expect("it is at home");
        batch.session.tracking = Some(Box::new(tracking));
    };
    tracking(&mut client);
    outdated(&mut client, "a", 7);
    assert_eq!(client.connection.take_redirected().len(), 1);
    client.send("PING\r\n");
    client.run();
    client.said();
    client.stays_away = true;
    client.send("PING\r\n");
    outdated(&mut client, "b", 7);
    let redirected = client.connection.take_redirected();
    let [Redirected { to, of, .. }] = &redirected[..] else { panic!("{redirected:?}") };
    assert_eq!((*to, of.1), (named, 1));
    let settings = client.store.shard.settings().clone();
    client.connection.redirect_broken(9, client.arrival(&settings));
    client.connection.redirect_broken(8, client.arrival(&settings));
    client.let_home();
    let row = client.row.borrow().flags.clone();
    assert_eq!(row, b"tR", "it has heard of the one that it has named");
}

#[test]
fn in_version_2_who_is_named_has_to_expect_messages() {
    let mut client = Client::new();
    let settings = client.store.shard.settings().clone();
    let message = Arc::new(Message::outdated(b"a", Author::client(7)));
    client.connection.redirected(&message, client.arrival(&settings));
    client.send("SUBSCRIBE c\r\n");
    client.run();
    client.said();
    client.connection.redirected(&message, client.arrival(&settings));
    client.run();
    assert!(client.said().starts_with("*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate"));
}
