//! A message on its way, as its receivers get it.

use std::ops::Range;
use std::sync::Arc;

use crate::pubsub::Kind;
use crate::resp::Reply;

/// What a receiver gets beside the channel and the message: an estimate in bytes.
const HEAD_BYTES: usize = 24;

/// What a receiver gets beside the keys, at most.
const KEYS_HEAD_BYTES: usize = 56;

/// The channel on which clients that speak version 2 of the protocol are told of keys.
const INVALIDATE: &[u8] = b"__redis__:invalidate";

/// Who has changed a key: a client, by its number, in a call that had waited perhaps, or nobody.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Author(u64);

impl Author {
    /// No client.
    pub const NOBODY: Author = Author(0);
    /// Numbers of clients do not come so far.
    const SERVED: u64 = 1 << 63;

    /// The client with this number.
    pub fn client(number: u64) -> Author {
        Author(number)
    }

    /// The client with this number, whose call had waited and was served.
    pub fn served(number: u64) -> Author {
        Author(number | Author::SERVED)
    }

    fn is(self, client: u64) -> bool {
        self.0 & !Author::SERVED == client
    }
}

/// A message, shared by all who receive it.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    kind: Kind,
    from: u64,
    /// The channel and the message, in RESP; or keys in RESP, then their prefix.
    body: Vec<u8>,
    channel: Range<usize>,
    /// Where each of the keys stands, with who has changed it.
    parts: Vec<(Author, Range<usize>)>,
}

impl Message {
    /// A message on a channel, published by the client with this number, 0 for nobody.
    pub fn new(kind: Kind, channel: &[u8], message: &[u8], from: u64) -> Message {
        let mut body = Vec::with_capacity(channel.len() + message.len() + HEAD_BYTES);
        let mut reply = Reply::new(&mut body, false);
        reply.bulk(channel);
        let end = reply.mark() - 2;
        reply.bulk(message);
        Message { kind, from, body, channel: end - channel.len()..end, parts: Vec::new() }
    }

    /// That keys have changed which begin with this prefix.
    pub fn changed(prefix: &[u8], keys: &[(&[u8], Author)]) -> Message {
        let mut message = Message::of_keys(Kind::Prefix, keys);
        let keys = message.body.len();
        message.body.extend_from_slice(prefix);
        message.channel = keys..message.body.len();
        message
    }

    /// That a key is not any more what clients have cached.
    pub fn outdated(key: &[u8], from: Author) -> Message {
        Message::of_keys(Kind::Cached, &[(key, from)])
    }

    fn of_keys(kind: Kind, keys: &[(&[u8], Author)]) -> Message {
        let mut body = Vec::new();
        let mut reply = Reply::new(&mut body, false);
        reply.array(keys.len());
        let mut parts = Vec::with_capacity(keys.len());
        for (key, from) in keys {
            reply.bulk(key);
            let end = reply.mark() - 2;
            parts.push((*from, end - key.len()..end));
        }
        Message { kind, from: 0, body, channel: 0..0, parts }
    }

    /// The same without keys that this client has changed; nothing where it has changed all.
    pub fn without(self: &Arc<Message>, client: u64) -> Option<Arc<Message>> {
        if self.parts.iter().all(|(from, _)| !from.is(client)) {
            return Some(Arc::clone(self));
        }
        let others = self.parts.iter().filter(|(from, _)| !from.is(client));
        let others: Vec<(&[u8], Author)> =
            others.map(|(from, key)| (&self.body[key.clone()], *from)).collect();
        let message = || match self.kind {
            Kind::Prefix => Message::changed(self.channel(), &others),
            kind => Message::of_keys(kind, &others),
        };
        (!others.is_empty()).then(|| Arc::new(message()))
    }

    /// Whether this client has changed a key that it tells of in a call that had waited.
    pub fn is_of_served(&self, client: u64) -> bool {
        self.parts.iter().any(|(from, _)| *from == Author::served(client))
    }

    /// That nothing is any more what clients have cached.
    pub fn flushed() -> Message {
        let (kind, body, parts) = (Kind::Cached, Vec::new(), Vec::new());
        Message { kind, from: 0, body, channel: 0..0, parts }
    }

    /// Its channel, or prefix.
    pub fn channel(&self) -> &[u8] {
        &self.body[self.channel.clone()]
    }

    /// The kind of its channel.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// It is about keys that clients have cached.
    pub fn is_of_keys(&self) -> bool {
        matches!(self.kind, Kind::Prefix | Kind::Cached)
    }

    /// It tells of everything that a client has cached.
    pub fn is_of_all(&self) -> bool {
        self.kind == Kind::Cached && self.parts.is_empty()
    }

    /// Who published it, and has its own copy already; 0 for one about keys.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// What is the same for all its receivers.
    #[inline]
    pub fn tail(&self) -> &[u8] {
        match self.kind {
            Kind::Prefix => &self.body[..self.channel.start],
            Kind::Channel | Kind::Pattern | Kind::Shard | Kind::Cached => &self.body,
        }
    }

    /// How many bytes a receiver gets at most, about.
    #[inline]
    pub fn size(&self, pattern: Option<&[u8]>) -> usize {
        let head = if self.is_of_keys() { KEYS_HEAD_BYTES } else { HEAD_BYTES };
        head + self.tail().len() + pattern.map_or(0, |pattern| HEAD_BYTES + pattern.len())
    }

    /// Writes it for a client that subscribes to its channel, or to a pattern.
    #[inline]
    pub fn write(&self, pattern: Option<&[u8]>, resp3: bool, out: &mut Vec<u8>) {
        self.write_head(pattern, resp3, out);
        out.extend_from_slice(self.tail());
    }

    /// Writes what is ahead of its tail.
    #[inline]
    pub fn write_head(&self, pattern: Option<&[u8]>, resp3: bool, out: &mut Vec<u8>) {
        let mut reply = Reply::new(out, resp3);
        match (self.kind, pattern) {
            (Kind::Prefix | Kind::Cached, _) => self.write_head_of_keys(&mut reply),
            (_, Some(pattern)) => {
                reply.push(4);
                reply.bulk(b"pmessage");
                reply.bulk(pattern);
            }
            (kind, None) => {
                reply.push(3);
                reply.bulk(if kind == Kind::Shard { b"smessage" } else { b"message" });
            }
        }
    }

    fn write_head_of_keys(&self, reply: &mut Reply<'_>) {
        if reply.is_resp3() {
            reply.push(2);
            reply.bulk(b"invalidate");
        } else {
            reply.push(3);
            reply.bulk(b"message");
            reply.bulk(INVALIDATE);
        }
        if self.is_of_all() {
            reply.null();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(message: &Message, pattern: Option<&[u8]>, resp3: bool) -> String {
        let mut out = Vec::new();
        message.write(pattern, resp3, &mut out);
        assert!(out.len() <= message.size(pattern));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn each_receiver_gets_its_own_form_of_the_same_bytes() {
        let message = Message::new(Kind::Channel, b"news", b"hello", 7);
        assert_eq!(
            (message.channel(), message.kind(), message.from()),
            (&b"news"[..], Kind::Channel, 7)
        );
        let body = "$4\r\nnews\r\n$5\r\nhello\r\n";
        assert_eq!(written(&message, None, false), format!("*3\r\n$7\r\nmessage\r\n{body}"));
        assert_eq!(written(&message, None, true), format!(">3\r\n$7\r\nmessage\r\n{body}"));
        let of_pattern = format!(">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n{body}");
        assert_eq!(written(&message, Some(b"n*"), true), of_pattern);
        let message = Message::new(Kind::Shard, b"news", b"hello", 0);
        assert_eq!(written(&message, None, false), format!("*3\r\n$8\r\nsmessage\r\n{body}"));
        assert_eq!(message.kind(), Kind::Shard);
    }

    #[test]
    fn keys_are_told_of_in_the_dialect_of_each_receiver() {
        let message = Arc::new(Message::changed(
            b"a",
            &[(b"ab", Author::client(7)), (b"ac", Author::NOBODY)],
        ));
        assert_eq!((message.channel(), message.kind()), (&b"a"[..], Kind::Prefix));
        let body = "*2\r\n$2\r\nab\r\n$2\r\nac\r\n";
        assert_eq!(written(&message, None, true), format!(">2\r\n$10\r\ninvalidate\r\n{body}"));
        let head = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n";
        assert_eq!(written(&message, None, false), format!("{head}{body}"));
        let left = message.without(7).expect("one key is left");
        assert_eq!(written(&left, None, false), format!("{head}*1\r\n$2\r\nac\r\n"));
        assert_eq!((left.channel(), message.without(9)), (&b"a"[..], Some(message.clone())));
        let outdated = Arc::new(Message::outdated(b"ab", Author::served(7)));
        assert_eq!(written(&outdated, None, false), format!("{head}*1\r\n$2\r\nab\r\n"));
        assert_eq!(
            (outdated.without(7), outdated.is_of_served(7), outdated.is_of_served(0)),
            (None, true, false)
        );
        let flushed = Message::flushed();
        assert!(flushed.is_of_all() && !message.is_of_all());
        assert_eq!(written(&flushed, None, true), ">2\r\n$10\r\ninvalidate\r\n_\r\n");
        assert_eq!(written(&flushed, None, false), format!("{head}$-1\r\n"));
    }
}
