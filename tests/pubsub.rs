//! Publishing and subscribing over all shards: counts, order, slow subscribers, faults.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::Client;
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, StopAtEnd, until};

/// The numbers of shards that most tests run with.
const SHARDS: [usize; 3] = [1, 2, 4];

/// Clients of a server, enough for each of its threads to have some.
fn subscribers(server: &Server, channel: &str) -> Vec<Client> {
    let subscriber = |_| {
        let mut client = server.client();
        client.call(&["SUBSCRIBE", channel]);
        client
    };
    (0..9).map(subscriber).collect()
}

/// The last part of the next message: what was published.
fn next(client: &mut Client) -> String {
    client.read().unwrap().members().last().unwrap().text()
}

fn publish(client: &mut Client, channel: &str, message: &str) -> i64 {
    client.call(&["PUBLISH", channel, message]).number().unwrap()
}

fn is_push(reply: &Reply) -> bool {
    matches!(reply, Reply::Push(_))
}

#[test]
fn a_message_counts_all_subscribers_from_their_confirmation_to_their_end() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        // Each on another thread.
        let mut publishers: Vec<Client> = (0..shards).map(|_| server.client()).collect();
        let mut subscribers: Vec<Client> = (0..9).map(|_| server.client()).collect();
        for (number, subscriber) in (1..).zip(&mut subscribers) {
            subscriber.call(&["SUBSCRIBE", "a"]);
            subscriber.call(&["PSUBSCRIBE", "a*"]);
            for publisher in &mut publishers {
                assert_eq!(publish(publisher, "a", "x"), 2 * number, "{shards} shards");
                let counted = publisher.line("PUBSUB NUMSUB a");
                assert_eq!(counted.members()[1], Reply::Integer(number));
            }
        }
        assert_eq!(publishers[0].info_number("pubsub_clients"), 9);
        assert_eq!(publishers[0].info_number("pubsub_channels"), 1);
        assert_eq!(publishers[0].info_number("pubsub_patterns"), 1);
        let list = publishers[0].line("CLIENT LIST TYPE pubsub").text();
        assert_eq!(list.lines().filter(|row| row.contains(" sub=1 psub=1 ssub=0 ")).count(), 9);
        assert!(list.lines().all(|row| row.contains(" flags=P ")), "{list}");
        for (left, subscriber) in (0..9).rev().zip(&mut subscribers) {
            subscriber.send(&["UNSUBSCRIBE", "a"]).unwrap();
            // Behind all messages.
            while subscriber.read().unwrap().members()[0].text() != "unsubscribe" {}
            for publisher in &mut publishers {
                assert_eq!(publish(publisher, "a", "x"), 9 + left, "{shards} shards");
            }
        }
        drop(subscribers);
        for publisher in &mut publishers {
            until("who has gone is not counted", SOON, || publish(publisher, "a", "x") == 0);
            assert_eq!(publisher.line("PUBSUB NUMPAT"), Reply::Integer(0));
        }
    }
}

#[test]
fn who_has_closed_is_not_counted_once_another_subscription_is_confirmed() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut publishers: Vec<Client> = (0..shards).map(|_| server.client()).collect();
        for round in 0..500 {
            let mut subscriber = server.client();
            subscriber.call(&["SUBSCRIBE", "a"]);
            for publisher in &mut publishers {
                assert_eq!(publish(publisher, "a", "x"), 1, "{shards} shards, round {round}");
            }
        }
    }
}

#[test]
fn messages_come_in_the_order_of_their_publisher_and_behind_its_writes() {
    for (shards, journal) in [(1, None), (2, None), (4, None), (4, Some("always"))] {
        let options = Options::shards(shards);
        let server = journal.map_or(options.clone(), |fsync| options.journal(fsync)).start();
        let mut listeners: Vec<(Client, Client)> = (0..shards)
            .map(|_| {
                let mut listener = server.client();
                listener.call(&["PSUBSCRIBE", "c*"]);
                (listener, server.client())
            })
            .collect();
        let mut publisher = server.client();
        for number in 0..300 {
            let text = number.to_string();
            publisher.send(&["SET", &format!("k{text}"), &text]).unwrap();
            publisher.send(&["PUBLISH", &format!("c{}", number % 7), &text]).unwrap();
        }
        for number in 0..300_u32 {
            let text = number.to_string();
            for (listener, reader) in &mut listeners {
                assert_eq!(next(listener), text, "{shards} shards");
                assert_eq!(reader.line(&format!("GET k{text}")).text(), text);
            }
        }
    }
}

/// More than are written to in one turn.
#[test]
fn all_of_many_subscribers_hear_all_in_order() {
    for shards in [1, 2] {
        let server = Options::shards(shards).start();
        let mut subscribers: Vec<Client> = (0..300).map(|_| server.client()).collect();
        for subscriber in &mut subscribers {
            subscriber.call(&["SUBSCRIBE", "c"]);
        }
        let mut publisher = server.client();
        for number in 0..20 {
            publisher.send(&["PUBLISH", "c", &number.to_string()]).unwrap();
        }
        for _ in 0..20 {
            assert_eq!(publisher.read().unwrap().number(), Some(300));
        }
        for subscriber in &mut subscribers {
            (0..20).for_each(|number| assert_eq!(next(subscriber), number.to_string()));
        }
    }
}

#[test]
fn under_always_what_a_subscriber_has_heard_outlasts_a_kill() {
    let mut server = Options::shards(2).journal("always").start();
    let mut listener = server.client();
    listener.call(&["SUBSCRIBE", "c"]);
    let mut publisher = server.client();
    for number in 0..200 {
        publisher.send(&["SET", &format!("k{number}"), "v"]).unwrap();
        publisher.send(&["PUBLISH", "c", &format!("k{number}")]).unwrap();
    }
    let heard = (0..100).map(|_| next(&mut listener)).last().unwrap();
    server.kill();
    server.restart();
    assert_eq!(server.client().line(&format!("GET {heard}")).text(), "v");
}

/// In version 3 of the protocol a client subscribes and calls commands: messages stand between its
/// replies, never inside one.
#[test]
fn replies_stay_whole_and_in_order_among_messages() {
    for shards in SHARDS {
        let server = Options::shards(shards).start();
        let mut client = server.client();
        client.line("HELLO 3");
        client.call(&["SUBSCRIBE", "c"]);
        let keys: Vec<String> = (0..50).map(|number| format!("k{number}")).collect();
        let mget: Vec<&str> = ["MGET"].into_iter().chain(keys.iter().map(String::as_str)).collect();
        let stop = AtomicBool::new(false);
        let (mut replies, mut messages) = (0, Vec::new());
        let published = std::thread::scope(|scope| {
            let publisher = scope.spawn(|| {
                let (mut publisher, mut count) = (server.client(), 0_u64);
                while !stop.load(Ordering::Relaxed) {
                    count += publish(&mut publisher, "c", &count.to_string()) as u64;
                }
                count
            });
            let _stop = StopAtEnd(&stop);
            for round in 0..100 {
                for word in 0..10 {
                    client.send(&mget).unwrap();
                    client.send(&["ECHO", &format!("{round}:{word}")]).unwrap();
                }
                for word in 0..10 {
                    for is_echo in [false, true] {
                        let reply = loop {
                            let reply = client.read().unwrap();
                            if !is_push(&reply) {
                                break reply;
                            }
                            messages.push(reply.members()[2].text());
                        };
                        match is_echo {
                            true => assert_eq!(reply.text(), format!("{round}:{word}")),
                            false => assert_eq!(reply.members().len(), 50),
                        }
                        replies += 1;
                    }
                }
            }
            stop.store(true, Ordering::Relaxed);
            publisher.join().unwrap()
        });
        client.send(&["UNSUBSCRIBE"]).unwrap();
        while let Reply::Push(message) = client.read().unwrap() {
            if message[0].text() == "unsubscribe" {
                break;
            }
            messages.push(message[2].text());
        }
        assert_eq!(replies, 2_000);
        let expected: Vec<String> = (0..published).map(|number| number.to_string()).collect();
        assert_eq!(messages, expected, "{shards} shards");
    }
}

/// Publishes until a subscriber that does not read is cut off. Returns how many messages that took.
fn publish_until_cut(server: &Server, publisher: &mut Client, readers: &mut [Client]) -> usize {
    let message = "x".repeat(100_000);
    let end = Instant::now() + SOON;
    for count in 1.. {
        let receivers = publish(publisher, "c", &message);
        readers.iter_mut().for_each(|reader| assert_eq!(next(reader).len(), message.len()));
        if receivers == readers.len() as i64 {
            return count;
        }
        assert!(Instant::now() < end, "nobody was cut off: {}", server.log());
    }
    unreachable!("there are messages without end")
}

#[test]
fn a_subscriber_that_does_not_read_is_cut_off_and_nobody_else() {
    for shards in [1, 2, 4] {
        let limit = "client-output-buffer-limit pubsub 4mb 0 0";
        let server = Options::shards(shards).with(limit).start();
        let mut stalled = server.client();
        stalled.call(&["SUBSCRIBE", "c"]);
        let mut readers = subscribers(&server, "c");
        let mut publisher = server.client();
        let before = server.rss_bytes();
        let count = publish_until_cut(&server, &mut publisher, &mut readers);
        assert!(count >= 40, "cut off after {count} messages of 100,000 bytes");
        let growth = server.rss_bytes().saturating_sub(before);
        assert!(growth < 128 << 20, "grew by {} MiB", growth >> 20);
        let cut = publisher.info_number("client_output_buffer_limit_disconnections");
        assert_eq!((cut, publish(&mut publisher, "c", "bye")), (1, 9));
        readers.iter_mut().for_each(|reader| assert_eq!(next(reader), "bye"));
        assert!(stalled.read_to_end().is_ok());
    }
}

#[test]
fn a_subscriber_may_be_slow_for_a_while() {
    let limit = "client-output-buffer-limit pubsub 0 2mb 1";
    let server = Options::shards(2).with(limit).start();
    let mut stalled = server.client();
    stalled.call(&["SUBSCRIBE", "c"]);
    let mut publisher = server.client();
    let message = "x".repeat(1_000_000);
    // What the kernel holds of it is not the server's.
    let list = |publisher: &mut Client| publisher.line("CLIENT LIST TYPE pubsub").text();
    let waits = |publisher: &mut Client| {
        let row = list(publisher);
        let bytes =
            row.split(" omem=").nth(1).and_then(|rest| rest.split(' ').next()?.parse().ok());
        bytes.unwrap_or(0_u64)
    };
    until("more waits than the soft limit allows", SOON, || {
        publish(&mut publisher, "c", &message);
        waits(&mut publisher) > 3 << 20
    });
    let begin = Instant::now();
    until("it is cut off though nothing more comes", SOON, || list(&mut publisher).is_empty());
    assert!(begin.elapsed() > Duration::from_millis(500), "it had no time");
    assert!(stalled.read_to_end().is_ok());
}

/// A message over the limit is not copied for anybody.
#[test]
fn a_message_over_the_limit_ends_who_would_get_it() {
    let server = Options::shards(2).with("client-output-buffer-limit pubsub 1mb 0 0").start();
    let mut readers = subscribers(&server, "c");
    let mut publisher = server.client();
    assert_eq!(publish(&mut publisher, "c", &"x".repeat(2 << 20)), 9);
    until("all are gone", SOON, || publish(&mut publisher, "c", "x") == 0);
    readers.iter_mut().for_each(|reader| assert_eq!(reader.read_to_end().unwrap(), b""));
}

#[test]
fn subscriptions_outlast_the_panic_of_a_shard() {
    for (shards, journal) in [(1, false), (4, false), (4, true)] {
        let options = Options::shards(shards).debug().with("restart-limit 1000");
        let server = if journal { options.journal("always") } else { options }.start();
        let mut readers = subscribers(&server, "c");
        let mut publisher = server.client();
        for round in 0..shards * 2 {
            publisher.line(&format!("DEBUG PANIC-SHARD {}", round % shards));
            // The command itself may be among what fails.
            let mut publisher = server.client();
            let text = round.to_string();
            assert_eq!(publish(&mut publisher, "c", &text), 9, "{shards} shards");
            readers.iter_mut().for_each(|reader| assert_eq!(next(reader), text));
            until("the shard serves again", SOON, || publisher.line("DBSIZE").error().is_none());
        }
    }
}

#[test]
fn subscribers_can_be_killed_as_such() {
    let server = Options::shards(2).start();
    let mut readers = subscribers(&server, "c");
    let mut publisher = server.client();
    assert_eq!(publisher.line("CLIENT KILL TYPE pubsub"), Reply::Integer(9));
    readers.iter_mut().for_each(|reader| assert!(reader.read_to_end().is_ok()));
    until("nobody listens", SOON, || publish(&mut publisher, "c", "x") == 0);
}

/// What expires is told at once, over all shards.
#[test]
fn the_end_of_keys_is_told_when_it_comes() {
    for shards in SHARDS {
        let server = Options::shards(shards).with("notify-keyspace-events Ex").start();
        let mut listener = server.client();
        listener.call(&["SUBSCRIBE", "__keyevent@0__:expired"]);
        let mut client = server.client();
        let keys: Vec<String> = (0..50).map(|number| format!("k{number}")).collect();
        for key in &keys {
            client.call(&["SET", key, "v", "PX", "50"]);
        }
        let mut heard: Vec<String> = keys.iter().map(|_| next(&mut listener)).collect();
        heard.sort();
        let mut expected = keys.clone();
        expected.sort();
        assert_eq!(heard, expected, "{shards} shards");
    }
}
