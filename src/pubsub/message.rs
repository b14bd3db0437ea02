//! A message on its way, as its receivers get it.

use std::ops::Range;

use crate::pubsub::Kind;
use crate::resp::Reply;

/// What a receiver gets beside the channel and the message: an estimate in bytes.
const HEAD_BYTES: usize = 24;

/// A message, shared by all who receive it.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    is_of_shard: bool,
    from: u64,
    /// The channel and the message, in RESP.
    body: Vec<u8>,
    channel: Range<usize>,
}

impl Message {
    /// A message on a channel, published by the client with this number, 0 for nobody.
    pub fn new(is_of_shard: bool, channel: &[u8], message: &[u8], from: u64) -> Message {
        let mut body = Vec::with_capacity(channel.len() + message.len() + HEAD_BYTES);
        let mut reply = Reply::new(&mut body, false);
        reply.bulk(channel);
        let end = reply.mark() - 2;
        reply.bulk(message);
        Message { is_of_shard, from, body, channel: end - channel.len()..end }
    }

    /// Its channel.
    pub fn channel(&self) -> &[u8] {
        &self.body[self.channel.clone()]
    }

    /// The kind of its channel.
    pub fn kind(&self) -> Kind {
        if self.is_of_shard { Kind::Shard } else { Kind::Channel }
    }

    /// Who published it, and has its own copy already.
    pub fn from(&self) -> u64 {
        self.from
    }

    /// How many bytes a receiver gets at most, about.
    #[inline]
    pub fn size(&self, pattern: Option<&[u8]>) -> usize {
        HEAD_BYTES + self.body.len() + pattern.map_or(0, |pattern| HEAD_BYTES + pattern.len())
    }

    /// Writes it for a client that subscribes to its channel, or to a pattern.
    #[inline]
    pub fn write(&self, pattern: Option<&[u8]>, resp3: bool, out: &mut Vec<u8>) {
        let mut reply = Reply::new(out, resp3);
        match pattern {
            None => {
                reply.push(3);
                reply.bulk(if self.is_of_shard { b"smessage" } else { b"message" });
            }
            Some(pattern) => {
                reply.push(4);
                reply.bulk(b"pmessage");
                reply.bulk(pattern);
            }
        }
        reply.raw(&self.body);
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
        let message = Message::new(false, b"news", b"hello", 7);
        assert_eq!(
            (message.channel(), message.kind(), message.from()),
            (&b"news"[..], Kind::Channel, 7)
        );
        let body = "$4\r\nnews\r\n$5\r\nhello\r\n";
        assert_eq!(written(&message, None, false), format!("*3\r\n$7\r\nmessage\r\n{body}"));
        assert_eq!(written(&message, None, true), format!(">3\r\n$7\r\nmessage\r\n{body}"));
        let of_pattern = format!(">4\r\n$8\r\npmessage\r\n$2\r\nn*\r\n{body}");
        assert_eq!(written(&message, Some(b"n*"), true), of_pattern);
        let message = Message::new(true, b"news", b"hello", 0);
        assert_eq!(written(&message, None, false), format!("*3\r\n$8\r\nsmessage\r\n{body}"));
        assert_eq!(message.kind(), Kind::Shard);
    }
}
