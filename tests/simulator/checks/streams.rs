//! What primaries put into their streams of replication, byte for byte: whoever has a part of one
//! has what stands at that offset in the stream with that id, and nothing else.

use std::collections::BTreeMap;

use super::Broken;

/// A stream from an offset on.
#[derive(Debug, Default)]
struct Stream {
    first: u64,
    bytes: Vec<u8>,
}

/// All streams of a run, by their ids.
#[derive(Debug, Default)]
pub struct Streams(BTreeMap<String, Stream>);

impl Streams {
    /// A stream with this id begins at this offset.
    pub fn begin(&mut self, id: &str, offset: u64) {
        self.0.insert(id.to_owned(), Stream { first: offset, bytes: Vec::new() });
    }

    /// A stream goes on from this offset of another one, under an id of its own.
    pub fn go_on(&mut self, id: &str, of: &str, offset: u64) {
        let Some(before) = self.0.get(of) else { return self.begin(id, offset) };
        let count = offset.saturating_sub(before.first) as usize;
        let bytes = before.bytes[..count.min(before.bytes.len())].to_vec();
        self.0.insert(id.to_owned(), Stream { first: before.first, bytes });
    }

    /// Who has one stream up to this offset goes on with another.
    ///
    /// # Errors
    /// They differ before that.
    pub fn check_both(&self, id: &str, of: &str, offset: u64) -> Result<(), Broken> {
        let Some(before) = self.0.get(of) else { return Ok(()) };
        let count = offset.saturating_sub(before.first) as usize;
        match before.bytes.get(..count) {
            Some(bytes) => self.check(id, before.first, bytes),
            None => Err(format!("somebody is at {offset} of {of}, which is not as long")),
        }
    }

    /// More of a stream.
    pub fn append(&mut self, id: &str, bytes: &[u8]) {
        let stream = self.0.entry(id.to_owned()).or_default();
        stream.bytes.extend_from_slice(bytes);
    }

    /// The offset behind the last byte of a stream.
    pub fn end(&self, id: &str) -> u64 {
        self.0.get(id).map_or(0, |stream| stream.first + stream.bytes.len() as u64)
    }

    /// A stream from an offset on; nothing where there is none.
    pub fn from(&self, id: &str, offset: u64) -> &[u8] {
        let at = |stream: &Stream| offset.checked_sub(stream.first).map(|at| at as usize);
        let found = self.0.get(id).and_then(|stream| stream.bytes.get(at(stream)?..));
        found.unwrap_or_default()
    }

    /// Somebody has these bytes of a stream at this offset.
    ///
    /// # Errors
    /// The stream has others there.
    pub fn check(&self, id: &str, offset: u64, bytes: &[u8]) -> Result<(), Broken> {
        if self.from(id, offset).starts_with(bytes) {
            return Ok(());
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let there = self.from(id, offset);
        let there = text(&there[..there.len().min(bytes.len())]);
        Err(format!("{id} has {there:?} at {offset}, and a replica {:?}", text(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_right_at_one_offset_of_one_stream() {
        let mut streams = Streams::default();
        streams.begin("one", 10);
        streams.append("one", b"abc");
        streams.append("one", b"def");
        streams.begin("other", 0);
        streams.append("other", b"xyz");
        assert_eq!((streams.end("one"), streams.from("one", 14)), (16, &b"ef"[..]));
        assert!(streams.check("one", 12, b"cd").is_ok());
        assert!(streams.check("one", 11, b"cd").is_err(), "an offset off by one");
        assert!(streams.check("other", 12, b"cd").is_err());
        assert!(streams.check("one", 14, b"efg").is_err(), "the stream is not as long");
        assert!(streams.check("one", 9, b"").is_ok());
    }

    #[test]
    fn a_stream_goes_on_under_another_id_from_one_offset_on() {
        let mut streams = Streams::default();
        streams.begin("one", 10);
        streams.append("one", b"abcdef");
        streams.go_on("next", "one", 13);
        streams.append("next", b"xyz");
        assert_eq!((streams.end("next"), streams.from("next", 11)), (16, &b"bcxyz"[..]));
        assert!(streams.check_both("next", "one", 13).is_ok());
        assert!(streams.check_both("next", "one", 14).is_err(), "the stream has gone on there");
        assert!(streams.check_both("one", "next", 17).is_err(), "nobody is there");
    }
}
