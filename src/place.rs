//! Places in a stream of replication, and how a file says that it goes on from one: an RDB file in
//! fields of its head, a journal by annotations, which every reader of journals passes over.

use crate::base::integer;

/// Digits of the id of a stream.
const ID_LEN: usize = 40;

/// What begins an annotation of a place.
const MARK: &[u8] = b"#REPL:";

/// A place in a stream of replication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamPlace {
    /// The id of the stream.
    pub id: String,
    /// How many bytes of it came before.
    pub offset: u64,
    /// The database that is selected there.
    pub db: u32,
}

impl StreamPlace {
    /// The line of a journal that says: all ahead of it makes the data set of this place.
    pub fn annotation(&self) -> String {
        let StreamPlace { id, offset, db } = self;
        format!("#REPL:{id}:{offset}:{db}\r\n")
    }

    /// The place that an annotation names, without its line end; none where it names none.
    pub fn of_annotation(line: &[u8]) -> Option<StreamPlace> {
        let mut words = line.strip_prefix(MARK)?.split(|byte| *byte == b':');
        let fields = [&b"repl-id"[..], b"repl-offset", b"repl-stream-db"];
        let mut place = PlaceFields::default();
        for name in fields {
            place.take(name, words.next()?);
        }
        place.place().filter(|_| words.next().is_none() && place.db.is_some())
    }
}

/// What the head of an RDB file says of a place, as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlaceFields {
    id: Option<String>,
    offset: Option<u64>,
    /// The database that is selected there.
    pub db: Option<u32>,
}

impl PlaceFields {
    /// Takes in a field of the head, whatever it is about.
    pub fn take(&mut self, name: &[u8], value: &[u8]) {
        let number = || integer::parse(value);
        match name {
            b"repl-id" => self.id = String::from_utf8(value.to_vec()).ok(),
            b"repl-offset" => self.offset = number().and_then(|number| u64::try_from(number).ok()),
            b"repl-stream-db" => self.db = number().and_then(|number| u32::try_from(number).ok()),
            _ => {}
        }
    }

    /// The place, where it is named.
    pub fn place(&self) -> Option<StreamPlace> {
        let id = self.id.clone().filter(|id| id.len() == ID_LEN)?;
        Some(StreamPlace { id, offset: self.offset?, db: self.db.unwrap_or(0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_names_a_place_or_none() {
        let place = StreamPlace { id: "0123456789".repeat(4), offset: 77, db: 3 };
        let line = place.annotation();
        assert!(line.len() < 128, "what older servers read of a line");
        let line = line.trim_end();
        assert_eq!(StreamPlace::of_annotation(line.as_bytes()), Some(place));
        for end in 0..line.len() - 1 {
            assert_eq!(StreamPlace::of_annotation(&line.as_bytes()[..end]), None, "{end}");
        }
        for wrong in [format!("{line}:1"), line.replace(":3", ":x"), line.replace("#REPL", "#TS")] {
            assert_eq!(StreamPlace::of_annotation(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
