//! The connection over which the stream of the primary comes.

use super::{Client, Reason};
use crate::session::{Peer, Replies, Session};
use crate::testing::START;

#[test]
fn that_of_the_primary_closes_when_all_is_carried_out_unless_its_batch_is_lost() {
    let mut session = Session::new(1, Peer::default(), START, true);
    (session.primary, session.replies) = (Some(Box::default()), Replies::Off);
    let mut client = Client::with(session.clone(), None);
    client.stays_away = true;
    client.send("INCR a\r\n");
    client.connection.kill(false);
    assert_eq!(client.run(), None, "it is carried out first");
    client.let_home();
    assert_eq!((client.run(), client.held("a")), (Some(Reason::Done), "\"1\"".into()));
    let mut client = Client::with(session, None);
    client.stays_away = true;
    client.send("INCR a\r\n");
    client.connection.kill(false);
    client.away = None;
    client.connection.give_up();
    assert_eq!(client.run(), Some(Reason::Killed));
}
