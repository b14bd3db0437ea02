//! A connection with bytes for a socket, and a store of one shard beside it.

mod following;
mod memory;
mod primary;
mod pushes;
mod waiting;

use std::cell::RefCell;
use std::rc::Rc;

use bytes::Bytes;

use super::pool::LARGE_BYTES;
use super::{Arrival, Connection, LIMITED_BYTES, Pool, Reason, Resp, Step};
use crate::base::millis::Millis;
use crate::batch::{Batch, Home};
use crate::clients::{Buffers, Row};
use crate::commands::action::Action;
use crate::hooks::auth::Auth;
use crate::hooks::silence::Silence;
use crate::resp::limits::{BULK_BEFORE_LOGIN, QUERY_BEFORE_LOGIN};
use crate::route::ShardId;
use crate::session::{Peer, Session};
use crate::settings::Settings;
use crate::shard::REPLIES_MARK;
use crate::testing::{START, Still, Store};

/// Steps after which a connection should have come to rest.
const STEPS_MAX: usize = 10_000;

/// What the client's socket does with what is written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Socket {
    Takes,
    /// It takes so many more bytes, then none for now.
    TakesUpTo(usize),
    Fails,
}

/// A connection, its client, and what is between them.
struct Client {
    connection: Connection,
    row: Rc<RefCell<Row>>,
    pool: Pool,
    codec: Resp,
    store: Store,
    socket: Socket,
    /// What the client has sent and nobody has read.
    sent: Vec<u8>,
    /// It sends no more.
    has_ended: bool,
    /// What it got.
    got: Vec<u8>,
    /// Batches stay away until they are let home.
    stays_away: bool,
    away: Option<Box<Batch>>,
    performing: Option<(Action, Box<Batch>)>,
    /// Milliseconds.
    now: u64,
    /// When the connection is to be asked again.
    until: Option<u64>,
    /// When the wait of the client ends.
    waits_until: Option<Millis>,
    /// The shard to whose thread it wants to go.
    goes_to: Option<ShardId>,
    reads: usize,
    yields: usize,
    input_most: usize,
}

impl Client {
    fn new() -> Client {
        Client::of(true, None)
    }

    fn of(authenticated: bool, companion: Option<Box<dyn std::any::Any + Send>>) -> Client {
        Client::with(Session::new(1, Peer::default(), START, authenticated), companion)
    }

    fn with(session: Session, companion: Option<Box<dyn std::any::Any + Send>>) -> Client {
        let row = Rc::new(RefCell::new(Row::new(&session)));
        let home = Home { thread: 0, connection: 0 };
        Client {
            connection: Connection::new(home, session, row.clone(), companion),
            row,
            pool: Pool::default(),
            codec: Resp::default(),
            store: Store::with_layers(Vec::new(), vec![Box::new(Silence)]),
            socket: Socket::Takes,
            sent: Vec::new(),
            has_ended: false,
            got: Vec::new(),
            stays_away: false,
            away: None,
            performing: None,
            now: 0,
            until: None,
            waits_until: None,
            goes_to: None,
            reads: 0,
            yields: 0,
            input_most: 0,
        }
    }

    /// Gives the client something that it did not ask for.
    fn push(&mut self, bytes: &[u8]) {
        let settings = self.store.shard.settings().clone();
        self.connection.push(&Bytes::copy_from_slice(bytes), self.arrival(&settings));
    }

    /// A push comes now.
    fn arrival<'a>(&self, settings: &'a Settings) -> Arrival<'a> {
        Arrival { settings, turns: self.store.shard.turns() }
    }

    /// Takes steps for as long as there are any. The reason where the connection closes.
    fn run(&mut self) -> Option<Reason> {
        for _ in 0..STEPS_MAX {
            let settings = self.store.shard.settings().clone();
            match self.connection.next(&settings, &mut self.pool, &mut self.codec) {
                Step::Write => match self.socket {
                    Socket::Fails => self.connection.write_failed(self.sent.len()),
                    Socket::TakesUpTo(0) => {
                        match self.connection.write_stalls(&settings, self.now) {
                            Ok(until) => self.until = until,
                            Err(reason) => return Some(reason),
                        }
                        return None;
                    }
                    Socket::TakesUpTo(room) => {
                        let count = self.take(room);
                        self.socket = Socket::TakesUpTo(room - count);
                    }
                    Socket::Takes => drop(self.take(usize::MAX)),
                },
                Step::Read if !self.sent.is_empty() => self.read(usize::MAX),
                Step::Read if self.has_ended => self.connection.input_ended(),
                Step::Read => {
                    self.connection.rest(&mut self.pool);
                    return None;
                }
                Step::ReadRest(at_most) => self.read(at_most),
                Step::Route(batch, bytes) => self.route(batch, bytes),
                Step::Run(batch) => self.visit(batch),
                Step::Perform(mut batch) => {
                    let action = batch.action.take().expect("the step says that there is one");
                    self.performing = Some((action, batch));
                }
                Step::Refuse(mut batch, error) => {
                    self.store.shard.refuse(&mut batch, error);
                    self.connection.came_home(batch, self.store.now);
                }
                Step::Park(until) => {
                    self.waits_until = until;
                    match () {
                        () if !self.sent.is_empty() && self.connection.may_read() => {
                            self.read(usize::MAX);
                        }
                        () if self.has_ended => self.connection.input_ended(),
                        () => return None,
                    }
                }
                Step::Unpark(mut batch, outcome) => {
                    self.store.shard.unpark(&mut batch, outcome);
                    self.visit(batch);
                }
                Step::GoTo(shard) => {
                    self.goes_to = Some(shard);
                    return None;
                }
                Step::Wait => return None,
                Step::Yield => self.yields += 1,
                Step::Close(reason) => return Some(reason),
            }
        }
        panic!("the connection does not come to rest");
    }

    /// Takes so many bytes of pending output.
    fn take(&mut self, at_most: usize) -> usize {
        let unsent = self.connection.unsent();
        let count = unsent.len().min(at_most);
        self.got.extend_from_slice(&unsent[..count]);
        self.connection.wrote(count);
        count
    }

    fn read(&mut self, at_most: usize) {
        let room = {
            let input = self.connection.input(&mut self.pool);
            (input.capacity() - input.len()).min(at_most)
        };
        let count = self.sent.len().min(room);
        let bytes: Vec<u8> = self.sent.drain(..count).collect();
        self.connection.input(&mut self.pool).extend_from_slice(&bytes);
        self.connection.received(count);
        self.reads += 1;
        self.input_most = self.input_most.max(self.connection.input(&mut self.pool).len());
    }

    fn route(&mut self, mut batch: Box<Batch>, bytes: Bytes) {
        let shard = &self.store.shard;
        batch.route(bytes, self.store.now, shard.hasher(), &shard.settings().rename_command);
        self.visit(batch);
    }

    fn visit(&mut self, batch: Box<Batch>) {
        assert!(self.away.is_none() && self.performing.is_none(), "one batch is away at most");
        if self.stays_away {
            self.away = Some(batch);
        } else {
            let batch = self.ran(batch);
            self.connection.came_home(batch, self.store.now);
        }
    }

    fn ran(&mut self, batch: Box<Batch>) -> Box<Batch> {
        self.store.shard.visit(batch, &mut Still).expect("one shard has everything")
    }

    /// Lets the batch that is away run and come home.
    fn let_home(&mut self) {
        let batch = self.away.take().expect("a batch is away");
        let batch = self.ran(batch);
        self.connection.came_home(batch, self.store.now);
    }

    /// The action is performed, with this reply.
    fn perform(&mut self, reply: &[u8]) {
        let (_, mut batch) = self.performing.take().expect("an action is being performed");
        let mark = batch.replies.len();
        batch.replies.extend_from_slice(reply);
        self.store.shard.performed(&mut batch, mark, 0, Ok(()));
        self.connection.came_home(batch, self.store.now);
    }

    /// The client sends this, and the connection does what it can.
    fn send(&mut self, bytes: impl AsRef<[u8]>) -> Option<Reason> {
        self.sent.extend_from_slice(bytes.as_ref());
        self.run()
    }

    /// What memory the connection holds.
    fn buffers(&mut self) -> Buffers {
        self.connection.weigh();
        self.row.borrow().buffers
    }

    /// What the client got since it was last asked.
    fn said(&mut self) -> String {
        String::from_utf8(std::mem::take(&mut self.got)).expect("these replies are text")
    }

    /// What a key of the store holds.
    fn held(&mut self, key: &str) -> String {
        self.store.run(&format!("GET {key}"))
    }
}

/// A request that sets a key to so many bytes.
fn set(key: &str, bytes: usize) -> String {
    format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n${bytes}\r\n{}\r\n", key.len(), "x".repeat(bytes))
}

#[test]
fn requests_are_answered_in_order_however_their_bytes_come() {
    let requests = "SET a 1\r\n*2\r\n$4\r\nINCR\r\n$1\r\na\r\n\r\nGET a\r\nPING";
    for piece in 1..=requests.len() {
        let mut client = Client::new();
        for bytes in requests.as_bytes().chunks(piece) {
            assert_eq!(client.send(bytes), None);
        }
        assert_eq!(client.said(), "+OK\r\n:2\r\n$1\r\n2\r\n");
    }
}

#[test]
fn pushes_keep_their_place_among_replies() {
    let mut client = Client::new();
    client.stays_away = true;
    client.send("PING one\r\n");
    client.push(b"+early\r\n");
    client.let_home();
    client.push(b"+late\r\n");
    client.run();
    assert_eq!(client.said(), "$3\r\none\r\n+early\r\n+late\r\n");
    client.socket = Socket::TakesUpTo(0);
    client.push(b"+first\r\n");
    client.run();
    client.push(b"+second\r\n");
    client.socket = Socket::Takes;
    client.run();
    assert_eq!(client.said(), "+first\r\n+second\r\n");
}

#[test]
fn nothing_is_read_while_the_batch_is_away() {
    let mut client = Client::new();
    client.stays_away = true;
    client.send("INCR a\r\n");
    assert_eq!((client.away.is_some(), client.reads), (true, 1));
    client.send("INCR a\r\n");
    client.push(b"+pushed\r\n");
    client.run();
    assert_eq!((client.away.is_some(), client.reads), (true, 1));
    client.let_home();
    client.run();
    assert_eq!((client.away.is_some(), client.reads), (true, 2));
    assert_eq!(client.said(), ":1\r\n+pushed\r\n");
}

#[test]
fn nothing_is_read_or_run_while_output_is_pending() {
    let mut client = Client::new();
    client.socket = Socket::TakesUpTo(3);
    client.send("INCR a\r\n");
    client.send("INCR a\r\n");
    assert_eq!((client.reads, &client.said()[..]), (1, ":1\r"));
    client.socket = Socket::Takes;
    client.run();
    assert_eq!((client.reads, &client.said()[..]), (2, "\n:2\r\n"));
}

#[test]
fn a_batch_with_large_replies_goes_on_when_they_are_written() {
    let mut client = Client::new();
    client.store.run_words(&[b"SET", b"big", &vec![b'x'; REPLIES_MARK]]);
    client.socket = Socket::TakesUpTo(REPLIES_MARK / 2);
    client.send("GET big\r\nINCR a\r\nGET big\r\nINCR a\r\n");
    assert_eq!(client.held("a"), "(nil)");
    client.socket = Socket::TakesUpTo(REPLIES_MARK);
    client.run();
    assert_eq!(client.held("a"), "\"1\"");
    client.socket = Socket::Takes;
    client.run();
    assert_eq!(client.held("a"), "\"2\"");
    assert!(client.said().ends_with(":2\r\n"));
}

#[test]
fn who_sends_no_more_is_answered_to_the_end() {
    let mut client = Client::new();
    client.stays_away = true;
    client.send("INCR a\r\n");
    client.sent.extend(b"INCR a\r\nINCR");
    client.has_ended = true;
    client.let_home();
    assert_eq!(client.run(), None);
    client.let_home();
    assert_eq!(client.run(), Some(Reason::Done));
    assert_eq!(client.said(), ":1\r\n:2\r\n");
}

#[test]
fn an_end_that_was_seen_while_the_batch_was_away_is_not_read_to_be_found() {
    let mut client = Client::new();
    client.stays_away = true;
    client.send("INCR a\r\n");
    assert!(client.connection.may_send());
    client.connection.input_ended();
    assert!(!client.connection.may_send());
    assert_eq!(client.run(), None);
    client.let_home();
    assert_eq!((client.run(), client.reads), (Some(Reason::Done), 1));
    assert_eq!(client.said(), ":1\r\n");
}

#[test]
fn what_was_received_before_a_write_failed_runs_and_nothing_after_it() {
    let mut client = Client::new();
    client.stays_away = true;
    client.send("INCR a\r\n");
    client.sent.extend("INCR a\r\n".repeat(10_000).as_bytes());
    client.socket = Socket::Fails;
    client.stays_away = false;
    client.let_home();
    client.connection.write_failed(client.sent.len());
    client.sent.extend(b"SET late 1\r\n");
    assert_eq!(client.run(), Some(Reason::Done));
    assert_eq!((client.held("a"), client.held("late")), ("\"10001\"".into(), "(nil)".into()));
    assert_eq!(client.said(), "");
    assert!(client.yields >= 10_000 / 1_024, "others come between two batches");
}

#[test]
fn what_a_failed_socket_holds_is_read_by_and_by() {
    let mut client = Client::new();
    client.sent = set("key", 10_000).repeat(100).into_bytes();
    client.socket = Socket::Fails;
    assert_eq!(client.run(), Some(Reason::Done));
    let most = client.input_most;
    assert!(client.sent.is_empty() && most <= LARGE_BYTES, "{most} bytes at a time");
}

#[test]
fn a_read_that_fails_ends_the_replies_and_not_what_was_received() {
    let mut client = Client::new();
    client.stays_away = true;
    client.send("INCR a\r\n");
    client.connection.read_failed();
    client.let_home();
    assert_eq!(client.run(), Some(Reason::Done));
    assert_eq!((client.held("a"), client.said()), ("\"1\"".into(), String::new()));
}

#[test]
fn the_hard_limit_ends_a_client_before_anything_is_written() {
    let mut client = Client::new();
    client.store.configure("client-output-buffer-limit", "normal 20000 0 0");
    client.store.run_words(&[b"SET", b"big", &[b'x'; 20_000]]);
    client.store.run_words(&[b"SET", b"fits", &[b'x'; 19_990]]);
    assert_eq!(client.send("GET fits\r\n"), None);
    assert!(client.said().len() > LIMITED_BYTES);
    assert_eq!(client.send("GET big\r\n"), Some(Reason::OutputLimit(20_010)));
    assert_eq!(client.said(), "");
}

#[test]
fn small_replies_are_written_before_the_limit_is_looked_at() {
    let mut client = Client::new();
    client.store.configure("client-output-buffer-limit", "normal 10 0 0");
    assert_eq!(client.send("PING a-long-word\r\n"), None);
    assert_eq!(client.said(), "$11\r\na-long-word\r\n");
    client.socket = Socket::TakesUpTo(2);
    assert_eq!(client.send("PING a-long-word\r\n"), Some(Reason::OutputLimit(16)));
}

#[test]
fn the_soft_limit_ends_a_client_after_its_time_unless_it_reads() {
    let mut client = Client::new();
    client.store.configure("client-output-buffer-limit", "normal 0 10 5");
    client.socket = Socket::TakesUpTo(0);
    client.now = 1_000;
    assert_eq!(client.send("PING a-long-word\r\n"), None);
    assert_eq!((client.until, client.buffers().replied), (Some(6_000), 18));
    client.now = 5_999;
    client.socket = Socket::TakesUpTo(10);
    assert_eq!(client.run(), None);
    assert_eq!((client.until, client.buffers().replied), (None, 8));
    client.push(b"+more\r\n");
    client.now = 7_000;
    assert_eq!(client.run(), None);
    assert_eq!(client.until, Some(12_000));
    client.now = 12_000;
    assert_eq!(client.run(), Some(Reason::OutputLimit(15)));
}

#[test]
fn a_monitor_has_limits_of_its_own() {
    let mut client = Client::new();
    client.store.configure("client-output-buffer-limit", "normal 10 0 0 pubsub 100 0 0");
    client.send("MONITOR\r\n");
    client.perform(b"+OK\r\n");
    client.run();
    client.socket = Socket::TakesUpTo(0);
    client.push(&[b'x'; 100]);
    assert_eq!(client.run(), None);
    client.push(b"x");
    assert_eq!(client.run(), Some(Reason::OutputLimit(101)));
}

#[test]
fn a_client_is_a_monitor_from_when_it_is_let_until_it_resets() {
    let mut client = Client::new();
    client.send("MONITOR\r\n");
    assert!(client.connection.is_monitor());
    client.perform(b"+OK\r\n");
    client.send("PING\r\n");
    assert!(client.connection.is_monitor());
    client.send("RESET\r\n");
    assert!(!client.connection.is_monitor());
}

#[test]
fn who_has_not_logged_in_is_not_waited_for() {
    let mut client = Client::of(false, None);
    client.socket = Socket::TakesUpTo(2);
    assert_eq!(client.send("GET a\r\n"), Some(Reason::OutputLimit(3)));
}

#[test]
fn who_has_not_logged_in_sends_little_and_gets_one_answer_at_a_time() {
    let mut client = Client::of(false, None);
    client.stays_away = true;
    client.send("PING\r\nPING\r\nPING\r\n");
    assert_eq!(client.away.map(|batch| batch.left()), Some(1));
    let mut client = Client::of(false, None);
    let refusal = client.send(set("key", 20_000));
    assert!(matches!(refusal, Some(Reason::Protocol(_))));
    assert_eq!(client.said(), "-ERR Protocol error: unauthenticated bulk length\r\n");
}

#[test]
fn who_has_not_logged_in_sends_so_much_in_all() {
    let mut client = Client::of(false, None);
    let request = set("key", BULK_BEFORE_LOGIN as usize);
    let most = QUERY_BEFORE_LOGIN / request.len() + 1;
    for _ in 0..most - 1 {
        assert_eq!(client.send(request.clone()), None);
    }
    assert_eq!(client.send(request), Some(Reason::QueryLimit));
}

#[test]
fn what_is_queued_counts_against_the_query_limit() {
    let mut client = Client::new();
    client.store.configure("client-query-buffer-limit", "1mb");
    let half = set("key", QUERY_BEFORE_LOGIN / 2);
    client.send("MULTI\r\n");
    assert_eq!(client.send(half.clone()), None);
    assert_eq!(client.send("DISCARD\r\nMULTI\r\n"), None);
    assert_eq!(client.send(half.clone()), None, "what was discarded does not count");
    assert_eq!(client.send("EXEC\r\nMULTI\r\n"), None);
    assert_eq!(client.send(half.clone()), None, "nor what has run");
    assert_eq!(client.send(half), Some(Reason::QueryLimit));
}

#[test]
fn small_commands_that_are_queued_count_with_what_keeps_them() {
    let mut client = Client::new();
    client.store.configure("client-query-buffer-limit", "1mb");
    client.send("MULTI\r\n");
    let pings = "PING\r\n".repeat(1_000);
    let sent = (1..).find(|_| client.send(pings.as_str()).is_some());
    assert!(sent.is_some_and(|sent| sent * 1_000 < QUERY_BEFORE_LOGIN / 64), "{sent:?}");
}

#[test]
fn who_has_not_logged_in_queues_nothing() {
    let mut client = Client::of(false, None);
    client.store = Store::with_layers(vec![Box::new(Auth)], Vec::new());
    client.send("MULTI\r\n");
    client.send("GET a\r\n");
    assert_eq!(client.said(), "-NOAUTH Authentication required.\r\n".repeat(2));
    assert_eq!(client.row.borrow().queued, None);
}

#[test]
fn a_request_over_the_query_limit_ends_its_client() {
    let mut client = Client::new();
    client.store.configure("client-query-buffer-limit", "1mb");
    assert_eq!(client.send(set("key", QUERY_BEFORE_LOGIN - 100)), None);
    assert_eq!(client.send(set("key", QUERY_BEFORE_LOGIN)), Some(Reason::QueryLimit));
    assert_eq!(client.said(), "+OK\r\n");
    assert!(client.input_most <= QUERY_BEFORE_LOGIN);
}

#[test]
fn a_kill_closes_at_once_whatever_is_pending() {
    let mut client = Client::new();
    client.socket = Socket::TakesUpTo(0);
    client.send("PING\r\n");
    client.connection.kill(false);
    client.socket = Socket::Takes;
    assert_eq!((client.run(), client.said()), (Some(Reason::Killed), String::new()));
    let mut client = Client::new();
    client.stays_away = true;
    client.send("PING\r\n");
    client.connection.kill(false);
    assert_eq!(client.run(), Some(Reason::Killed));
}

#[test]
fn who_asked_for_its_own_end_gets_the_reply_and_runs_nothing_more() {
    let mut client = Client::new();
    client.send("INCR a\r\nCLIENT KILL ID 1 SKIPME no\r\nINCR a\r\n");
    assert!(matches!(client.performing, Some((Action::ClientKill { .. }, _))));
    client.connection.kill(true);
    assert_eq!(client.run(), None);
    client.perform(b":1\r\n");
    assert_eq!(client.run(), Some(Reason::Done));
    assert_eq!((client.said(), client.held("a")), (":1\r\n:1\r\n".into(), "\"1\"".into()));
}

#[test]
fn a_kill_after_the_reply_is_one_at_once_where_no_reply_is_waited_for() {
    let mut client = Client::new();
    client.connection.kill(true);
    assert_eq!(client.run(), Some(Reason::Killed));
}

#[test]
fn an_action_is_begun_and_answered_at_its_place() {
    let mut client = Client::new();
    client.send("INCR a\r\nCLIENT LIST\r\nINCR a\r\n");
    client.push(b"+pushed\r\n");
    client.sent.extend(b"INCR a\r\n");
    assert_eq!(client.run(), None);
    assert_eq!((client.said(), client.held("a")), (String::new(), "\"1\"".into()));
    client.perform(b"+list\r\n");
    client.run();
    assert_eq!(client.said(), ":1\r\n+list\r\n+pushed\r\n:2\r\n:3\r\n");
}

/// Tells when it is dropped.
struct Ticket(std::sync::mpsc::Sender<()>);

impl Drop for Ticket {
    fn drop(&mut self) {
        self.0.send(()).expect("the test waits for it");
    }
}

#[test]
fn a_batch_that_is_lost_tells_of_it_and_its_connection_closes() {
    let (sender, lost) = std::sync::mpsc::channel();
    let mut client = Client::of(true, Some(Box::new(Ticket(sender))));
    client.stays_away = true;
    client.send("PING\r\n");
    assert!(lost.try_recv().is_err());
    client.away = None;
    lost.try_recv().expect("the ticket is dropped with the batch");
    client.connection.give_up();
    assert_eq!(client.run(), Some(Reason::Killed));
}

#[test]
fn what_is_no_request_is_answered_once_and_ends_the_client() {
    let mut client = Client::new();
    let reason = client.send("SET a 1\r\n*1\r\n!PING\r\nSET a 2\r\n");
    assert!(matches!(reason, Some(Reason::Protocol(_))));
    assert_eq!(client.said(), "+OK\r\n-ERR Protocol error: expected '$', got '!'\r\n");
    assert_eq!(client.held("a"), "\"1\"");
}

#[test]
fn the_refusal_of_the_protocol_can_be_silenced() {
    let mut client = Client::new();
    let reason = client.send("CLIENT REPLY OFF\r\n*1\r\n!PING\r\n");
    assert!(matches!(reason, Some(Reason::Protocol(_))));
    assert_eq!(client.said(), "");
}

#[test]
fn another_protocol_is_cut_off_without_a_word() {
    let mut client = Client::new();
    let reason = client.send("INCR a\r\nHost: here\r\nINCR a\r\n");
    assert_eq!(reason, Some(Reason::Attack));
    assert_eq!((client.said(), client.held("a")), (":1\r\n".into(), "\"1\"".into()));
}

#[test]
fn who_quits_gets_the_answers_so_far() {
    let mut client = Client::new();
    assert_eq!(client.send("INCR a\r\nQUIT\r\nINCR a\r\n"), Some(Reason::Done));
    assert_eq!((client.said(), client.held("a")), (":1\r\n+OK\r\n".into(), "\"1\"".into()));
}

#[test]
fn an_idle_client_keeps_no_buffers() {
    let mut client = Client::new();
    client.send("PING\r\n");
    assert_eq!(client.pool.len(), [1, 0, 1]);
    client.send("PI");
    assert_eq!(client.pool.len(), [0, 0, 1]);
    client.send("NG\r\n");
    assert_eq!(client.pool.len(), [1, 0, 1]);
}

#[test]
fn the_buffer_of_a_large_request_is_kept_and_that_of_a_huge_one_is_not() {
    let mut client = Client::new();
    client.send(set("key", 200_000));
    assert_eq!((client.said(), client.pool.len()), ("+OK\r\n".into(), [1, 1, 1]));
    client.send(set("key", 1_000_000));
    assert_eq!((client.said(), client.pool.len()), ("+OK\r\n".into(), [1, 1, 1]));
}

#[test]
fn what_a_client_sends_at_once_is_read_in_few_pieces() {
    let mut client = Client::new();
    let requests = set("key", 10_000).repeat(16);
    client.send(&requests);
    client.reads = 0;
    client.send(&requests);
    assert!(client.reads <= 2, "{} reads", client.reads);
    assert_eq!(client.said(), "+OK\r\n".repeat(32));
}

#[test]
fn the_row_says_what_the_client_does() {
    let mut client = Client::new();
    client.stays_away = true;
    client.send("PING\r\n");
    assert!(client.row.borrow().waits);
    client.store.now = Millis(START.0 + 5_000);
    client.let_home();
    client.run();
    let row = client.row.borrow();
    assert_eq!((row.waits, row.active), (false, Millis(START.0 + 5_000)));
    assert_eq!((row.traffic.received, row.traffic.sent, row.commands), (6, 7, 1));
}
