//! `maxmemory-clients`: when all clients together hold too much memory, those that hold most are
//! closed first, whichever thread they are on; who has said CLIENT NO-EVICT is spared. And what
//! CLIENT LIST and INFO say of a client's memory is what it holds.

use crate::support::client::{Client, encode};
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

const SHARDS: [usize; 3] = [1, 2, 4];

/// A server whose clients may hold `limit` together, and a client that is never closed for that.
fn server_of(shards: usize, limit: &str) -> (Server, Client) {
    let server = Options::shards(shards).with(&format!("maxmemory-clients {limit}")).start();
    let mut control = server.client();
    control.line("CLIENT SETNAME control");
    assert_eq!(control.line("CLIENT NO-EVICT ON").text(), "OK");
    (server, control)
}

fn named(server: &Server, name: &str) -> Client {
    let mut client = server.client();
    assert_eq!(client.line(&format!("CLIENT SETNAME {name}")).text(), "OK");
    client
}

/// A field of CLIENT LIST in the row of a client with this name, if there is one.
fn field(control: &mut Client, name: &str, field: &str) -> Option<String> {
    let list = control.line("CLIENT LIST").text();
    let row = list.lines().find(|row| row.contains(&format!(" name={name} ")))?;
    let fields = row.split(' ').filter_map(|pair| pair.split_once('='));
    Some(fields.into_iter().find(|(known, _)| *known == field)?.1.to_owned())
}

fn number(control: &mut Client, name: &str, of: &str) -> usize {
    field(control, name, of).map_or(0, |number| number.parse().unwrap())
}

fn is_there(control: &mut Client, name: &str) -> bool {
    field(control, name, "id").is_some()
}

fn evicted(control: &mut Client) -> u64 {
    control.info_number("evicted_clients")
}

fn limit(control: &mut Client, limit: usize) {
    let set = control.line(&format!("CONFIG SET maxmemory-clients {limit}"));
    assert_eq!(set.text(), "OK");
}

/// Sends an argument of so many bytes, which does not end, if the server takes it.
fn send_half(client: &mut Client, bytes: usize) {
    let request = [format!("*2\r\n${bytes}\r\n").into_bytes(), vec![b'v'; bytes]].concat();
    // It may be closed meanwhile.
    let _ = client.send_raw(&request);
}

/// A client that holds so many bytes, and more.
fn holding(server: &Server, control: &mut Client, name: &str, bytes: usize) -> Client {
    let mut client = named(server, name);
    send_half(&mut client, bytes);
    until("it has come", SOON, || number(control, name, "qbuf") == bytes);
    client
}

#[test]
fn the_largest_goes_first_whichever_thread_it_is_on() {
    const SIZES: [usize; 6] = [300_000, 650_000, 1_400_000, 3_000_000, 6_500_000, 14_000_000];
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "0");
        let name = |size: usize| format!("of-{size}");
        // So that the order in which they came says nothing.
        let order = [3, 0, 5, 1, 4, 2].map(|at| SIZES[at]);
        let _clients = order.map(|size| holding(&server, &mut control, &name(size), size));
        for (left, gone) in SIZES.iter().enumerate().skip(1).rev() {
            let least = number(&mut control, &name(*gone), "tot-mem");
            assert!(least >= *gone);
            let total: usize = SIZES[..=left]
                .iter()
                .map(|size| number(&mut control, &name(*size), "tot-mem"))
                .sum::<usize>()
                + number(&mut control, "control", "tot-mem");
            limit(&mut control, total - 1);
            let there = SIZES.map(|size| is_there(&mut control, &name(size)));
            let expected: Vec<bool> = (0..SIZES.len()).map(|at| at < left).collect();
            assert_eq!(there.to_vec(), expected, "{shards} shards");
            assert_eq!(evicted(&mut control), (SIZES.len() - left) as u64);
        }
        assert_eq!(server.log().matches("Evicting client: id=").count(), SIZES.len() - 1);
        assert!(server.log().contains(" name=of-14000000 "));
        control.line("CONFIG RESETSTAT");
        assert_eq!(evicted(&mut control), 0);
    }
}

#[test]
fn only_as_many_go_as_have_to() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "0");
        let names: Vec<String> = (0..10).map(|number| format!("c{number}")).collect();
        let each = |control: &mut Client| -> Vec<usize> {
            names.iter().map(|name| number(control, name, "tot-mem")).collect()
        };
        let _clients: Vec<Client> =
            names.iter().map(|name| holding(&server, &mut control, name, 1_000_000)).collect();
        let sizes = each(&mut control);
        let own = number(&mut control, "control", "tot-mem");
        limit(&mut control, sizes.iter().sum::<usize>() + own);
        assert_eq!(each(&mut control), sizes, "that is not too much");
        limit(&mut control, sizes.iter().sum::<usize>() / 2 + own);
        let left = each(&mut control).iter().filter(|size| **size > 0).count();
        assert_eq!((left, evicted(&mut control)), (5, 5), "{shards} shards");
    }
}

#[test]
fn who_is_spared_counts_and_stays() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "6mb");
        let mut spared = named(&server, "spared");
        assert_eq!(spared.line("CLIENT NO-EVICT ON").text(), "OK");
        send_half(&mut spared, 4_500_000);
        until("it has come", SOON, || number(&mut control, "spared", "qbuf") == 4_500_000);
        assert_eq!(field(&mut control, "spared", "flags").unwrap(), "e");
        let _small = holding(&server, &mut control, "small", 300_000);
        let mut large = named(&server, "large");
        send_half(&mut large, 2_000_000);
        until("it is closed", SOON, || !is_there(&mut control, "large"));
        assert!(is_there(&mut control, "spared") && is_there(&mut control, "small"));
        limit(&mut control, 1);
        assert!(is_there(&mut control, "spared") && !is_there(&mut control, "small"));
        assert_eq!(evicted(&mut control), 2, "{shards} shards");
    }
}

#[test]
fn who_comes_once_a_spared_client_has_closed_stays() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "2mb");
        for round in 0..100 {
            let mut spared = named(&server, "spared");
            assert_eq!(spared.line("CLIENT NO-EVICT ON").text(), "OK");
            send_half(&mut spared, 2 << 20);
            until("it has come", SOON, || number(&mut control, "spared", "qbuf") == 2 << 20);
            drop(spared);
            let mut comes = server.client();
            assert_eq!(comes.line("PING").text(), "PONG", "{shards} shards, round {round}");
            until("it has gone", SOON, || !is_there(&mut control, "spared"));
        }
        assert_eq!(evicted(&mut control), 0);
    }
}

#[test]
fn who_is_spared_no_more_goes() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "2mb");
        let mut client = named(&server, "client");
        client.line("CLIENT NO-EVICT ON");
        let patterns: Vec<String> = (0..40).map(|number| format!("{number:050000}")).collect();
        for pattern in &patterns {
            client.call(&["WATCH", pattern]);
        }
        until("it is too much", SOON, || {
            number(&mut control, "client", "tot-mem") > 2 << 20 || {
                client.call(&[
                    "WATCH",
                    &format!("{:050000}", number(&mut control, "client", "watch")),
                ]);
                false
            }
        });
        assert!(is_there(&mut control, "client"));
        assert_eq!(client.line("CLIENT NO-EVICT OFF").text(), "OK");
        assert!(client.read_to_end().is_ok(), "it is closed");
        assert_eq!(evicted(&mut control), 1, "{shards} shards");
    }
}

#[test]
fn a_share_of_maxmemory_follows_it() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "5%");
        let mut client = holding(&server, &mut control, "client", 8_000_000);
        let get = control.line("CONFIG GET maxmemory-clients");
        assert_eq!(get.members()[1].text(), "5%");
        control.line("CONFIG SET maxmemory 1gb");
        assert!(is_there(&mut control, "client"), "{shards} shards");
        control.line("CONFIG SET maxmemory 100mb");
        until("it is closed", SOON, || !is_there(&mut control, "client"));
        assert!(client.read_to_end().is_ok());
        control.line("CONFIG SET maxmemory 0");
        holding(&server, &mut control, "other", 8_000_000);
        assert_eq!(evicted(&mut control), 1);
    }
}

#[test]
fn a_request_that_is_too_much_does_not_run() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "3000000");
        let mut client = named(&server, "client");
        let value = "v".repeat(1_000_000);
        assert_eq!(client.call(&["MSET", "k", "v", "k2", &value]).text(), "OK");
        // The end of it may not be taken any more.
        let _ = client.send(&["MSET", "k", "new", "k2", &"v".repeat(3_000_000)]);
        until("it is closed", SOON, || !is_there(&mut control, "client"));
        assert_eq!(control.line("GET k").text(), "v", "{shards} shards");
    }
}

#[test]
fn what_is_queued_counts() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "3mb");
        let mut client = named(&server, "client");
        let value = "v".repeat(750_000);
        client.line("MULTI");
        for _ in 0..2 {
            assert_eq!(client.call(&["SET", "k", &value]).text(), "QUEUED");
        }
        let queued = number(&mut control, "client", "multi-mem");
        assert!((1_500_000..1_600_000).contains(&queued), "{queued}");
        assert!(client.line("EXEC").error().is_none());
        assert_eq!(number(&mut control, "client", "multi-mem"), 0);
        client.line("MULTI");
        let queued = (0..6).take_while(|_| client.try_call(&["SET", "k", &value]).is_ok()).count();
        assert!((2..=4).contains(&queued), "{queued}");
        until("it is closed", SOON, || !is_there(&mut control, "client"));
        assert_eq!(evicted(&mut control), 1, "{shards} shards");
    }
}

#[test]
fn what_is_watched_and_subscribed_to_counts() {
    for shards in SHARDS {
        for command in ["WATCH", "SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "CLIENT TRACKING"] {
            let (server, mut control) = server_of(shards, "200000");
            let mut client = named(&server, "client");
            let calls = (0..100_000).take_while(|number| {
                let name = format!("{number:012}");
                let words = match command {
                    "CLIENT TRACKING" => {
                        vec!["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", &name]
                    }
                    command => vec![command, &name],
                };
                client.try_call(&words).is_ok()
            });
            let calls = calls.count();
            assert!((1_000..10_000).contains(&calls), "{command}: {calls}");
            assert!(!is_there(&mut control, "client"));
        }
    }
}

/// What a client does not take is held for it: a reply, messages, what MONITOR shows, and what
/// another client has it told.
#[test]
fn what_is_not_taken_counts() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "4mb");
        control.line("CONFIG SET client-output-buffer-limit \"pubsub 0 0 0\"");
        let value = "x".repeat(100_000);
        let mut gone = 0;
        let mut check = |control: &mut Client, more: &mut dyn FnMut(&mut Client)| {
            gone += 1;
            until("it is closed", SOON, || {
                more(control);
                !is_there(control, "client")
            });
            assert_eq!(evicted(control), gone, "{shards} shards");
        };
        control.line("SETRANGE big 32000000 v");
        let mut client = named(&server, "client");
        client.send(&["GET", "big"]).unwrap();
        check(&mut control, &mut |_| ());
        control.line("DEL big");

        let mut client = named(&server, "client");
        client.line("SUBSCRIBE c");
        check(&mut control, &mut |control| {
            control.call(&["PUBLISH", "c", &value]);
        });

        let mut client = named(&server, "client");
        client.line("MONITOR");
        check(&mut control, &mut |control| {
            control.call(&["SET", "k", &value]);
        });

        let mut client = named(&server, "client");
        let id = number(&mut control, "client", "id");
        client.line("SUBSCRIBE __redis__:invalidate");
        let mut tracked = server.client();
        tracked.line(&format!("CLIENT TRACKING ON REDIRECT {id} BCAST"));
        check(&mut control, &mut |control| {
            control.call(&["INCR", &value]);
        });
    }
}

#[test]
fn who_is_over_its_own_limit_goes_before_others_have_to() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "10mb");
        control.line("CONFIG SET client-output-buffer-limit \"normal 3mb 0 0\"");
        control.line("SETRANGE big 4000000 v");
        let _half = holding(&server, &mut control, "half", 6_000_000);
        let names = ["one", "two"];
        let mut clients = names.map(|name| named(&server, name));
        clients.iter_mut().for_each(|client| client.send(&["GET", "big"]).unwrap());
        until("they are gone", SOON, || names.iter().all(|name| !is_there(&mut control, name)));
        let cut = control.info_number("client_output_buffer_limit_disconnections");
        assert_eq!((cut, evicted(&mut control)), (2, 0), "{shards} shards");
        assert!(is_there(&mut control, "half"));
    }
}

#[test]
fn nobody_goes_below_the_limit() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "8mb");
        let value = "v".repeat(60_000);
        let mut clients: Vec<Client> = (0..10).map(|_| server.client()).collect();
        for _ in 0..50 {
            for client in &mut clients {
                client.send(&["SET", "k", &value]).unwrap();
                client.send(&["GET", "k"]).unwrap();
            }
            for client in &mut clients {
                assert_eq!(client.read().unwrap().text(), "OK");
                assert_eq!(client.read().unwrap().text(), value);
            }
        }
        assert_eq!(evicted(&mut control), 0, "{shards} shards");
    }
}

#[test]
fn a_row_says_what_the_client_holds() {
    for shards in SHARDS {
        let (server, mut control) = server_of(shards, "0");
        let row = |control: &mut Client, name: &str| {
            ["qbuf", "argv-mem", "multi-mem", "obl", "oll", "omem"]
                .map(|field| number(control, name, field))
        };
        let _idle = named(&server, "idle");
        assert_eq!(row(&mut control, "idle"), [0; 6]);
        let mut half = named(&server, "half");
        let request = encode(&["SET", "k", &"v".repeat(100_000)]);
        half.send_raw(&request[..50_000]).unwrap();
        let begun = request.iter().position(|byte| *byte == b'v').unwrap();
        until("it has come", SOON, || {
            row(&mut control, "half") == [50_000 - begun, begun, 0, 0, 0, 0]
        });
        assert!(number(&mut control, "half", "tot-mem") > 50_000);
        let mut stalled = named(&server, "stalled");
        control.line("SETRANGE big 32000000 v");
        stalled.send(&["GET", "big"]).unwrap();
        until("it waits", SOON, || number(&mut control, "stalled", "omem") >= 32_000_000);
        assert_eq!(number(&mut control, "stalled", "oll"), 1);
        let mut waiting = named(&server, "waiting");
        waiting.send(&["BLPOP", "list", "0"]).unwrap();
        let bytes = encode(&["BLPOP", "list", "0"]).len();
        until("it waits", SOON, || number(&mut control, "waiting", "argv-mem") == bytes);
        let all = ["control", "idle", "half", "stalled", "waiting"];
        until("INFO says as much", SOON, || {
            let total: usize = all.iter().map(|it| number(&mut control, it, "tot-mem")).sum();
            let said = control.info_number("mem_clients_normal") as usize;
            // The one that asks reads and rests.
            said.abs_diff(total) < 100_000
        });
        until("INFO has seen the largest", SOON, || {
            control.info_number("client_recent_max_input_buffer") >= 50_000
                && control.info_number("client_recent_max_output_buffer") >= 32_000_000
        });
    }
}
