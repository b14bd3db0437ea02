//! The end of what a client sends is not its end: every command that was received runs, in order,
//! and is answered for as long as the socket takes replies. Clients that half-close, close with
//! replies unread, or reset, over TCP and unix sockets.
//!
//! What is waited for is what has to be there when all has run; where that is not known, that
//! CLIENT LIST does not show the client any more: then it has nothing left to run.

use std::collections::BTreeSet;

use crate::support::client::{Client, encode};
use crate::support::reply::Reply;
use crate::support::server::{Options, Server};
use crate::support::wait::{SOON, until};

/// Lengths of pipelines: around the number of commands of one batch, and far over it.
const LENGTHS: [usize; 8] = [1, 2, 17, 100, 1_023, 1_025, 1_100, 5_000];

/// How a client goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goes {
    /// It sends no more, and reads its replies.
    HalfCloses,
    /// It closes, and has read nothing.
    Closes,
    /// It resets the connection, and has read nothing.
    Resets,
}

/// How requests are written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Resp,
    Inline,
}

/// The command at this place of a pipeline: on one key, over shards, or performed by the server.
fn command(at: usize) -> String {
    match (at % 25, at % 5) {
        (6, _) => "INFO server".to_owned(),
        (11, _) => "CONFIG GET maxmemory-samples".to_owned(),
        (16, _) => format!("CONFIG SET maxmemory-samples {}", at % 7 + 1),
        (19, _) => "CLIENT LIST".to_owned(),
        (21, _) => "KEYS few:*".to_owned(),
        (_, 0) => format!("SET key:{at} {at}"),
        (_, 1) => format!("MSET few:{} {at} few:{} {at} few:{} {at}", at % 7, at % 11, at % 13),
        (_, 2) => format!("RPUSH seen {at}"),
        (_, 3) => "INCR count".to_owned(),
        _ => format!("MGET key:{} key:{}", at - 4, at / 2),
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// The first commands of the pipeline, as bytes.
fn requests(length: usize, form: Form) -> Vec<u8> {
    let lines = (0..length).map(command);
    let requests = lines.map(|line| match form {
        Form::Resp => encode(&words(&line)),
        Form::Inline => format!("{line}\r\n").into_bytes(),
    });
    requests.flatten().collect()
}

/// What of a reply is the same on every connection.
fn lasting(at: usize, reply: Reply) -> Reply {
    match words(&command(at))[..] {
        ["INFO" | "CLIENT", ..] => Reply::Integer(i64::from(!reply.text().is_empty())),
        ["KEYS", ..] => {
            let mut keys = reply.members().to_vec();
            keys.sort_by_key(Reply::text);
            Reply::Array(keys)
        }
        _ => reply,
    }
}

fn options(shards: usize) -> Options {
    Options::shards(shards).debug()
}

/// Starts a server that has a unix socket as well.
fn start(options: Options) -> Server {
    options.with("unixsocket ends.sock").start()
}

fn connect(server: &Server, unix: bool) -> Client {
    match unix {
        true => Client::connect_unix(&server.path("ends.sock")).unwrap(),
        false => server.client(),
    }
}

/// Waits until there is no client but the one who asks.
fn all_gone(watcher: &mut Client) {
    until("the client is gone", SOON, || watcher.line("CLIENT LIST").text().lines().count() == 1);
}

fn begin_anew(watcher: &mut Client) {
    assert!(watcher.line("FLUSHALL").is_ok());
    assert!(watcher.line("CONFIG SET maxmemory-samples 64").is_ok());
}

/// All keys, and the setting that the pipeline changes.
fn state(watcher: &mut Client) -> [String; 2] {
    let digest = watcher.line("DEBUG DIGEST").text();
    [digest, watcher.line("CONFIG GET maxmemory-samples").printed()]
}

/// What an open connection gets for the pipeline, and what is there afterwards.
fn expected(client: &mut Client, length: usize) -> (Vec<Reply>, [String; 2]) {
    begin_anew(client);
    client.send_raw(&requests(length, Form::Resp)).unwrap();
    let replies = (0..length).map(|at| lasting(at, client.read().unwrap())).collect();
    (replies, state(client))
}

/// Goes, when the server's machine has all that the client sent. Whoever may still read is left.
fn go(client: Client, goes: Goes) -> Option<Client> {
    if goes == Goes::HalfCloses {
        client.end_input();
        return Some(client);
    }
    until("all is received", SOON, || client.has_delivered());
    if goes == Goes::Resets {
        client.reset();
    }
    None
}

/// All replies up to the end.
fn replies(client: &mut Client) -> Vec<Reply> {
    std::iter::from_fn(|| client.read().ok()).collect()
}

/// Every way to send a pipeline and go.
fn ways() -> impl Iterator<Item = (bool, Form, Goes)> {
    let forms = [Form::Resp, Form::Inline].into_iter();
    let sockets = forms.flat_map(|form| [(false, form), (true, form)]);
    sockets.flat_map(|(unix, form)| {
        [Goes::HalfCloses, Goes::Closes, Goes::Resets].map(|goes| (unix, form, goes))
    })
}

fn check(server: &Server, lengths: &[usize], what: &str) {
    let mut watcher = server.client();
    for length in lengths.iter().copied() {
        let (answers, content) = expected(&mut watcher, length);
        for (unix, form, goes) in ways() {
            let case = format!("{what}: {length} as {form:?}, unix: {unix}, {goes:?}");
            begin_anew(&mut watcher);
            let mut client = connect(server, unix);
            client.send_raw(&requests(length, form)).unwrap();
            if let Some(mut client) = go(client, goes) {
                let got = replies(&mut client);
                assert_eq!(got.len(), length, "{case}");
                let got = got.into_iter().enumerate().map(|(at, reply)| lasting(at, reply));
                assert!(got.eq(answers.iter().cloned()), "{case}");
            }
            until(&case, SOON, || state(&mut watcher) == content);
            all_gone(&mut watcher);
        }
    }
}

#[test]
fn what_was_received_runs_and_is_answered_on_one_shard() {
    check(&start(options(1)), &LENGTHS, "one shard");
}

#[test]
fn what_was_received_runs_and_is_answered_on_two_shards() {
    check(&start(options(2)), &LENGTHS, "two shards");
}

#[test]
fn what_was_received_runs_and_is_answered_on_four_shards() {
    check(&start(options(4)), &LENGTHS, "four shards");
}

/// The replies come after the fsync, long after the input's end.
#[test]
fn what_was_received_runs_and_is_answered_when_it_is_durable() {
    check(&start(options(2).journal("always")), &[1, 17, 1_100], "always");
}

/// The length of `seen`, the value of `count` and the number of keys after so many commands.
fn left_behind(ran: usize) -> [i64; 3] {
    let lines: Vec<String> = (0..ran).map(command).collect();
    let of = |name: &str| lines.iter().filter(|line| line.starts_with(name)).count() as i64;
    let written = lines.iter().flat_map(|line| match words(line)[..] {
        ["SET" | "INCR" | "RPUSH", key, ..] => vec![key],
        ["MSET", ref pairs @ ..] => pairs.iter().step_by(2).copied().collect(),
        _ => Vec::new(),
    });
    [of("RPUSH"), of("INCR"), written.collect::<BTreeSet<_>>().len() as i64]
}

/// A reset at any moment, with the rest still on its way.
#[test]
fn what_ran_before_a_reset_is_a_prefix_of_what_was_sent() {
    let states: BTreeSet<[i64; 3]> = (0..=2_000).map(left_behind).collect();
    for shards in [1, 2, 4] {
        let server = start(options(shards));
        let mut watcher = server.client();
        for round in 0..40 {
            begin_anew(&mut watcher);
            let mut client = connect(&server, round % 2 == 1);
            client.line("PING");
            let form = [Form::Resp, Form::Inline][round / 2 % 2];
            client.send_raw(&requests(50 * (round + 1), form)).unwrap();
            client.reset();
            all_gone(&mut watcher);
            let seen = watcher.line("LRANGE seen 0 -1");
            let seen: Vec<String> = seen.members().iter().map(Reply::text).collect();
            let sent = (2..).step_by(5).map(|at: usize| at.to_string());
            assert!(seen.iter().cloned().eq(sent.take(seen.len())), "{shards} shards: {seen:?}");
            let count = watcher.line("GET count").number().unwrap_or(0);
            let left = [seen.len() as i64, count, watcher.line("DBSIZE").number().unwrap()];
            assert!(states.contains(&left), "{shards} shards, round {round}: {left:?}");
        }
    }
}

/// The address of a socket that was reset is not known any more: such a client was taken for one
/// from afar, and refused.
#[test]
fn who_has_gone_before_being_accepted_is_served() {
    let server = start(options(2));
    let mut watcher = server.client();
    let (_, content) = expected(&mut watcher, 100);
    for (unix, form, goes) in ways() {
        begin_anew(&mut watcher);
        server.signal("STOP");
        let mut client = connect(&server, unix);
        client.send_raw(&requests(100, form)).unwrap();
        let left = go(client, goes);
        server.signal("CONT");
        let answered = left.map_or(100, |mut client| replies(&mut client).len());
        assert_eq!(answered, 100);
        until("all has run", SOON, || state(&mut watcher) == content);
    }
}

/// What a pause holds up runs after it, whether or not its client is still there.
#[test]
fn a_pause_holds_up_those_who_have_gone_as_well() {
    let server = start(options(2));
    let mut watcher = server.client();
    for (unix, _, goes) in ways() {
        begin_anew(&mut watcher);
        assert!(watcher.line("CLIENT PAUSE 600000 WRITE").is_ok());
        let mut client = connect(&server, unix);
        client.send_raw(b"PING\r\nSET a 1\r\nINFO server\r\nSET b 2\r\n").unwrap();
        let left = go(client, goes);
        let clients = |watcher: &mut Client| watcher.line("CLIENT LIST").text().lines().count();
        until("its command waits", SOON, || clients(&mut watcher) == 2);
        assert_eq!(watcher.line("DBSIZE").number(), Some(0));
        assert!(watcher.line("CLIENT UNPAUSE").is_ok());
        let answered = left.map_or(4, |mut client| replies(&mut client).len());
        assert_eq!(answered, 4);
        let both = "1) \"1\"\n2) \"2\"";
        until("all has run", SOON, || watcher.line("MGET a b").printed() == both);
    }
}

/// What a client sends and half-closes, and all that it gets.
fn said(server: &Server, unix: bool, requests: &[u8]) -> String {
    let mut client = connect(server, unix);
    client.send_raw(requests).unwrap();
    client.end_input();
    String::from_utf8_lossy(&client.read_to_end().unwrap()).into_owned()
}

#[test]
fn what_is_wrong_or_unfinished_at_the_end_is_treated_as_ever() {
    let server = start(options(2));
    let refusal = "-ERR Protocol error: expected '$', got '!'\r\n";
    for unix in [false, true] {
        let said = |requests: &str| said(&server, unix, requests.as_bytes());
        assert_eq!(said("SET a 1\r\nGET a\r\nGET b"), "+OK\r\n$1\r\n1\r\n");
        assert_eq!(said("SET a 1\r\n*2\r\n$3\r\nGET\r\n$1\r\na"), "+OK\r\n");
        assert_eq!(said("SET a 1\r\n*1\r\n!PING\r\n"), format!("+OK\r\n{refusal}"));
        assert_eq!(said("SET a 1\r\nQUIT\r\nSET a 2\r\n"), "+OK\r\n+OK\r\n");
        assert_eq!(said("CLIENT REPLY OFF\r\nSET a 3\r\n*1\r\n!PING\r\n"), "");
        assert_eq!(said("GET a\r\n"), "$1\r\n3\r\n");
        assert_eq!(said("MONITOR\r\n"), "+OK\r\n");
        assert_eq!(said(""), "");
    }
    let mut watcher = server.client();
    all_gone(&mut watcher);
}

/// Before the login a batch holds one command: the others are still to be taken up when its reply
/// finds nobody.
#[test]
fn a_login_and_what_follows_it_run_for_one_who_has_gone() {
    let server = start(options(2).with("requirepass secret"));
    let mut watcher = server.client();
    watcher.line("AUTH secret");
    let login = b"AUTH secret\r\n".to_vec();
    let (_, content) = expected(&mut watcher, 1_100);
    for (unix, form, goes) in ways() {
        begin_anew(&mut watcher);
        let mut client = connect(&server, unix);
        client.send_raw(&[&login[..], &requests(1_100, form)].concat()).unwrap();
        let answered = go(client, goes).map_or(1_101, |mut client| replies(&mut client).len());
        assert_eq!(answered, 1_101);
        until("all has run", SOON, || state(&mut watcher) == content);
    }
}

/// One that sends no more and reads nothing is bounded as any other: by the size of what is unsent,
/// and by the time that it is silent.
#[test]
fn who_half_closes_and_does_not_read_is_closed_by_the_limits() {
    for limit in ["client-output-buffer-limit normal 8mb 0 0", "timeout 1"] {
        let server = start(options(2).with(limit));
        let mut watcher = server.client();
        watcher.call(&[b"SET".to_vec(), b"big".to_vec(), vec![b'x'; 1 << 20]]);
        let clients = [false, true].map(|unix| {
            let mut client = connect(&server, unix);
            client.send(&[&["MGET"][..], &["big"; 32][..]].concat()).unwrap();
            client.end_input();
            client
        });
        all_gone(&mut watcher);
        drop(clients);
    }
}

/// Nothing that a client may say of itself puts off CLIENT KILL, also of one whose command waits.
#[test]
fn who_has_half_closed_can_be_killed() {
    let server = start(options(2));
    let mut watcher = server.client();
    for unix in [false, true] {
        watcher.line("CLIENT PAUSE 600000 WRITE");
        let mut client = connect(&server, unix);
        client.send_raw(b"SET a 1\r\n").unwrap();
        client.end_input();
        until("it is there", SOON, || watcher.line("CLIENT LIST").text().lines().count() == 2);
        assert_eq!(watcher.line("CLIENT KILL SKIPME yes").number(), Some(1));
        assert_eq!(client.read_to_end().unwrap(), b"");
        all_gone(&mut watcher);
        watcher.line("CLIENT UNPAUSE");
    }
}

#[test]
fn who_asks_for_the_end_and_goes_gets_it() {
    for goes in [Goes::HalfCloses, Goes::Closes, Goes::Resets] {
        let mut server = start(options(2).journal("everysec"));
        let mut client = server.client();
        client.send_raw(b"SET a 1\r\nINFO\r\nSET b 2\r\nSHUTDOWN\r\n").unwrap();
        let _left = go(client, goes);
        assert!(server.wait_end(SOON).success());
        server.restart();
        assert_eq!(server.client().line("MGET a b").printed(), "1) \"1\"\n2) \"2\"");
    }
}

/// A unix socket whose client has stopped reading fails a write while its client sends on and on:
/// what came before the failure runs, then the client is closed.
#[test]
fn who_stops_reading_and_sends_on_is_closed() {
    let server = start(options(2));
    let mut watcher = server.client();
    let (_, content) = expected(&mut watcher, 1_100);
    begin_anew(&mut watcher);
    let mut client = connect(&server, true);
    client.end_output();
    server.signal("STOP");
    client.send_raw(&requests(1_100, Form::Resp)).unwrap();
    server.signal("CONT");
    until("all has run", SOON, || state(&mut watcher) == content);
    all_gone(&mut watcher);
    assert!(client.send_raw(b"PING\r\n").is_err());
}
