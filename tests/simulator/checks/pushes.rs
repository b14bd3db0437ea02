//! Pushes as they leave for clients: each was made by somebody, stands between whole replies, and
//! is of a subscription that has been confirmed and whose end has not; messages of one publisher
//! come in its order, each once.
//!
//! What a push tells of is known where its turn ends: the last change of the keys that it names, or
//! the last change of whoever has published it. Under `always` that must outlive a crash, as what a
//! reply has shown.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use troupe::base::slot;
use troupe::hook::push::Push;
use troupe::pubsub::Message;
use troupe::route::Map;

use super::Broken;
use super::durability::{ChangeId, Durability};
use crate::reply::Reply;

/// Channels of the events of a key begin so.
const EVENTS: &str = "__keyspace@0__:";

/// A message, as its turn made it.
#[derive(Debug)]
struct Made {
    /// Kept, so that no other message comes to its place.
    _message: Arc<Message>,
    said: Reply,
    shows: Vec<ChangeId>,
}

/// A text that was published.
#[derive(Debug)]
struct Published {
    by: u64,
    number: u64,
    shows: Vec<ChangeId>,
}

/// One client, by its connection.
#[derive(Debug, Default)]
struct Client {
    /// What it subscribes to where its calls run.
    wants: BTreeSet<String>,
    /// What it has been told that it subscribes to.
    told: BTreeSet<String>,
    /// What has come to its connection, key by key; some of it is for nobody.
    given: VecDeque<(Reply, Vec<ChangeId>)>,
    /// The number of the last message of each publisher.
    last: BTreeMap<u64, u64>,
    /// Where each key was when the client read it last.
    owners: BTreeMap<String, u16>,
}

/// What was pushed since the process started.
#[derive(Debug, Default)]
pub struct Pushes {
    made: BTreeMap<usize, Made>,
    published: BTreeMap<String, Published>,
    clients: BTreeMap<u64, Client>,
}

fn place(message: &Arc<Message>) -> usize {
    Arc::as_ptr(message) as usize
}

/// A message as clients get it.
pub fn said(message: &Message) -> Reply {
    let mut bytes = Vec::new();
    message.write(None, true, &mut bytes);
    Reply::take(&bytes).ok().flatten().map_or(Reply::Nil, |(said, _)| said)
}

/// Whether nobody has asked for it: a push that confirms no subscription.
pub fn is_unasked(said: &Reply) -> bool {
    let words = said.push_words();
    words.is_some_and(|words| !matches!(words[..], ["subscribe" | "unsubscribe", ..]))
}

/// The keys that a push about keys names.
fn keys_of(push: &Reply) -> Vec<&str> {
    match push {
        Reply::Push(words) => match &words[..] {
            [_, Reply::List(keys)] => keys.iter().filter_map(text_of).collect(),
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// What a push tells of, one by one: a client may get a message about keys without those that it
/// has changed itself.
fn parts(push: &Reply) -> Vec<Reply> {
    match &keys_of(push)[..] {
        [] => vec![push.clone()],
        keys => keys.iter().map(|key| Reply::Bulk((*key).to_owned())).collect(),
    }
}

fn text_of(reply: &Reply) -> Option<&str> {
    match reply {
        Reply::Bulk(text) => Some(text),
        _ => None,
    }
}

impl Pushes {
    /// A client has published a text, having changed this last.
    pub fn published(&mut self, connection: u64, text: &str, last: Option<ChangeId>) {
        let number = self.published.len() as u64 + 1;
        let shows = last.into_iter().collect();
        self.published.insert(text.to_owned(), Published { by: connection, number, shows });
    }

    /// A turn ends that has made a push, or passes one on.
    pub fn made(&mut self, push: &Push, durability: &Durability) {
        let (Push::Message { message, .. } | Push::Outdated { message, .. }) = push else { return };
        if self.made.contains_key(&place(message)) {
            return;
        }
        let said = said(message);
        let shows = match said.push_words().unwrap_or_default()[..] {
            ["message", channel, text] => match channel.strip_prefix(EVENTS) {
                Some(key) => durability.seen(Some(&[key])),
                None => self.published.get(text).map_or_else(Vec::new, |of| of.shows.clone()),
            },
            // About keys: it shows no value.
            _ => Vec::new(),
        };
        self.made.insert(place(message), Made { _message: Arc::clone(message), said, shows });
    }

    /// A push has come to a client's connection.
    pub fn given(&mut self, connection: u64, message: &Arc<Message>) {
        if let Some(Made { said, shows, .. }) = self.made.get(&place(message)) {
            let client = self.clients.entry(connection).or_default();
            client.given.extend(parts(said).into_iter().map(|part| (part, shows.clone())));
        }
    }

    /// A subscription has begun or ended where the call ran: how many there are now.
    pub fn subscribes(&mut self, connection: u64, channel: &str, begins: bool) -> usize {
        let wants = &mut self.clients.entry(connection).or_default().wants;
        match begins {
            true => drop(wants.insert(channel.to_owned())),
            false => drop(wants.remove(channel)),
        }
        wants.len()
    }

    /// That is confirmed.
    pub fn confirmed(&mut self, connection: u64, confirmation: &Reply) {
        let told = &mut self.clients.entry(connection).or_default().told;
        match confirmation.push_words().unwrap_or_default()[..] {
            ["subscribe", channel] => drop(told.insert(channel.to_owned())),
            ["unsubscribe", channel] => drop(told.remove(channel)),
            _ => {}
        }
    }

    /// A push leaves for a client. Returns the changes that it shows.
    ///
    /// # Errors
    /// It is not one that the client may get now.
    pub fn left(&mut self, connection: u64, push: &Reply) -> Result<Vec<ChangeId>, Broken> {
        let client = self.clients.entry(connection).or_default();
        let words = push.push_words().unwrap_or_default();
        let mut is_own = false;
        if let ["message", channel, text] = words[..] {
            if !client.told.contains(channel) {
                return Err(format!("{connection} does not subscribe to what it gets: {words:?}"));
            }
            is_own = channel.starts_with(EVENTS);
            if let Some(published) = self.published.get(text) {
                is_own |= published.by == connection;
                let last = client.last.insert(published.by, published.number);
                if last.is_some_and(|last| last >= published.number) {
                    return Err(format!("{connection} gets {words:?} out of order, or twice"));
                }
            }
        }
        let mut shown = Vec::new();
        for part in parts(push) {
            match client.given.iter().position(|(given, _)| *given == part) {
                Some(at) => shown.extend(client.given.remove(at).into_iter().flat_map(|of| of.1)),
                // It follows the reply to the command that has caused it.
                None if is_own => {}
                None => return Err(format!("{connection} gets what nobody has sent it: {push:?}")),
            }
        }
        Ok(shown)
    }

    /// A client may have cached a key that belongs to this shard.
    pub fn cached_at(&mut self, connection: u64, key: String, owner: u16) {
        self.clients.entry(connection).or_default().owners.insert(key, owner);
    }

    /// Whether a message names a key that belonged to another shard when the client read it.
    pub fn has_moved(&self, connection: u64, message: &Message, map: &Map) -> bool {
        let Some(client) = self.clients.get(&connection) else { return false };
        let is_elsewhere = |key: &str| {
            let owner = map.owner(slot::of(key.as_bytes()));
            client.owners.get(key).is_some_and(|before| *before != owner)
        };
        keys_of(&said(message)).into_iter().any(is_elsewhere)
    }
}

#[cfg(test)]
mod tests {
    use troupe::pubsub::{Author, Kind};

    use super::*;

    const PUBLISHER: u64 = 1;
    const CLIENT: u64 = 2;

    fn confirm(pushes: &mut Pushes, word: &str) {
        let words = [word, "h"].map(|word| Reply::Bulk(word.to_owned()));
        pushes.confirmed(CLIENT, &Reply::Push(words.into()));
    }

    /// A text is published and comes to the client's connection; as the client gets it.
    fn publish(pushes: &mut Pushes, text: &str, last: Option<ChangeId>) -> Reply {
        pushes.published(PUBLISHER, text, last);
        give(pushes, Message::new(Kind::Channel, b"h", text.as_bytes(), PUBLISHER))
    }

    fn give(pushes: &mut Pushes, message: Message) -> Reply {
        let message = Arc::new(message);
        let push = Push::Message { thread: 0, message: Arc::clone(&message) };
        pushes.made(&push, &Durability::default());
        pushes.given(CLIENT, &message);
        said(&message)
    }

    #[test]
    fn messages_come_between_the_confirmations_of_their_subscription() {
        let mut pushes = Pushes::default();
        let [early, right, late] = ["a", "b", "c"].map(|text| publish(&mut pushes, text, Some(7)));
        assert!(pushes.left(CLIENT, &early).is_err());
        confirm(&mut pushes, "subscribe");
        assert_eq!(pushes.left(CLIENT, &right), Ok(vec![7]));
        confirm(&mut pushes, "unsubscribe");
        assert!(pushes.left(CLIENT, &late).is_err());
    }

    #[test]
    fn messages_of_one_publisher_keep_their_order_and_come_once() {
        let mut pushes = Pushes::default();
        confirm(&mut pushes, "subscribe");
        let [first, second] = ["a", "b"].map(|text| publish(&mut pushes, text, None));
        assert!(pushes.left(CLIENT, &second).is_ok());
        assert!(pushes.left(CLIENT, &first).is_err() && pushes.left(CLIENT, &second).is_err());
    }

    #[test]
    fn each_key_that_was_sent_may_come_once_in_any_order() {
        let mut pushes = Pushes::default();
        let of = |keys: &[&'static [u8]]| {
            let keys: Vec<_> = keys.iter().map(|key| (*key, Author::NOBODY)).collect();
            Message::changed(b"", &keys)
        };
        give(&mut pushes, of(&[b"a", b"b"]));
        give(&mut pushes, of(&[b"b"]));
        let [one, both] = [said(&of(&[b"b"])), said(&of(&[b"a", b"b"]))];
        assert!(pushes.left(CLIENT, &one).is_ok() && pushes.left(CLIENT, &both).is_ok());
        assert!(pushes.left(CLIENT, &one).is_err());
    }

    #[test]
    fn what_nobody_has_sent_does_not_come() {
        let mut pushes = Pushes::default();
        let message = || Message::outdated(b"k", Author::NOBODY);
        assert!(pushes.left(CLIENT, &said(&message())).is_err());
        let said = give(&mut pushes, message());
        assert!(pushes.left(CLIENT, &said).is_ok() && pushes.left(CLIENT, &said).is_err());
    }
}
