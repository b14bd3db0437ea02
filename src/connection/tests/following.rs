//! A connection that follows its keys: the store's shard is that of another thread.

use super::{Client, Pool, Reason, Socket};
use crate::batch::{Home, RanAt};
use crate::connection::Pace;
use crate::session::Presented;

const AT_ONCE: Pace = Pace { window_ms: 0, calls: 1, rest_ms: 10_000 };
const HERE: Home = Home { thread: 0, connection: 7 };

impl Client {
    /// One on another thread than the store's, that follows its keys at once.
    fn elsewhere() -> Client {
        let mut client = Client::new();
        let batch = client.connection.batch.as_mut().expect("it is at home");
        batch.home.thread = 1;
        client.connection.follow_at(AT_ONCE);
        client
    }

    /// It goes to the thread of the store's shard.
    fn follow(&mut self) {
        let mut leaving = self.connection.leave().expect("nothing is under way for it");
        let companion = leaving.take_companion();
        (self.connection, self.row) = leaving.arrive(HERE, companion);
        (self.pool, self.goes_to) = (Pool::default(), None);
    }
}

#[test]
fn a_client_goes_with_all_that_it_has_between_two_batches() {
    let mut client = Client::elsewhere();
    client.send("SELECT 3\r\nCLIENT SETNAME me\r\n*2\r\n$3\r\nGET\r\n$1\r");
    assert_eq!(client.goes_to, None, "no key was called for");
    client.send("\na\r\nSET a 1\r\nMULTI\r\nINCR a\r\n*2\r\n$4\r\nINCR\r\n$1\r");
    assert_eq!(client.said(), "+OK\r\n+OK\r\n$-1\r\n+OK\r\n+OK\r\n+QUEUED\r\n");
    assert_eq!(client.goes_to, Some(0));
    let before = client.row.borrow().clone();
    client.follow();
    client.send("\na\r\nEXEC\r\n");
    assert_eq!(client.said(), "+QUEUED\r\n*2\r\n:2\r\n:3\r\n");
    assert_eq!(client.goes_to, None, "it is there");
    let row = client.row.borrow();
    assert_eq!((row.home, row.id, row.db, &row.names), (HERE, before.id, 3, &before.names));
    assert_eq!((before.commands, row.commands), (6, 10), "EXEC counts with what was queued");
    assert!(row.traffic.received > before.traffic.received);
}

#[test]
fn it_does_not_go_while_something_is_under_way() {
    let mut client = Client::elsewhere();
    client.stays_away = true;
    client.send("GET a\r\n");
    client.run();
    assert_eq!((client.goes_to, client.connection.leave().is_some()), (None, false));
    client.socket = Socket::TakesUpTo(0);
    client.let_home();
    client.run();
    assert_eq!(client.goes_to, None, "its reply is not written");
    client.socket = Socket::Takes;
    client.run();
    assert_eq!(client.goes_to.take(), Some(0));
    client.run();
    assert_eq!(client.goes_to, None, "it was asked to stay");
    client.stays_away = false;
    client.send("BLPOP list 0\r\n");
    assert_eq!((client.goes_to, client.connection.leave().is_some()), (None, false));
    let mut client = Client::elsewhere();
    client.stays_away = true;
    client.send("GET a\r\n");
    client.connection.input_ended();
    client.let_home();
    assert_eq!((client.run(), client.goes_to), (Some(Reason::Done), None));
}

#[test]
fn who_is_reached_where_it_is_stays() {
    let goes = |change: &dyn Fn(&mut Client)| {
        let mut client = Client::elsewhere();
        change(&mut client);
        client.send("GET a\r\n");
        client.goes_to.is_some()
    };
    assert!(goes(&|_| ()));
    assert!(goes(&|client| assert_eq!(client.send("WATCH a\r\n"), None)));
    assert!(!goes(&|client| client.store.configure("rebalance-clients", "no")));
    assert!(!goes(&|client| client.connection.stay()));
    for words in ["HELLO 3\r\nSUBSCRIBE c", "SUBSCRIBE c\r\nUNSUBSCRIBE c", "CLIENT TRACKING on"] {
        let says = |client: &mut Client| assert_eq!(client.send(format!("{words}\r\n")), None);
        assert!(!goes(&says), "{words}");
    }
    fn session(client: &mut Client) -> &mut crate::session::Session {
        &mut client.connection.batch.as_mut().expect("it is at home").session
    }
    assert!(!goes(&|client| session(client).monitors = true));
    assert!(!goes(&|client| session(client).is_replica = true));
    assert!(!goes(&|client| session(client).presented = Some(Box::<Presented>::default())));
}

#[test]
fn what_is_only_queued_ran_nowhere_and_what_takes_slots_along_ran_at_several() {
    let mut client = Client::elsewhere();
    let batch = client.connection.batch.as_mut().expect("it is at home");
    batch.note_ran(3, None, false);
    assert_eq!(batch.ran, RanAt::default());
    batch.note_ran(3, Some(5), false);
    assert_eq!(batch.ran.nearly_all(1), Some(3));
    batch.note_ran(3, Some(5), true);
    assert_eq!(batch.ran.nearly_all(1), None);
    client.send("MULTI\r\nGET a\r\nGET a\r\n");
    assert_eq!(client.goes_to, None);
}
