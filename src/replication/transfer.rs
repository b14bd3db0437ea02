//! The snapshot of a full sync as a replica gets it: of a length that is said ahead, or up to a
//! mark that stands behind it.

use crate::base::integer;

/// Characters of the mark behind a snapshot.
const MARK: usize = 40;

/// The line ahead of a snapshot says what no primary says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a snapshot was to come, and this did: {0}")]
pub struct NoSnapshot(String);

/// A snapshot on its way.
#[derive(Debug, PartialEq, Eq)]
pub enum Transfer {
    /// So many bytes are still to come. What stands behind them is the stream.
    Length(u64),
    /// All up to this mark. Nothing stands behind it until the replica has said that it has all.
    Mark {
        /// The mark.
        mark: Vec<u8>,
        /// What came last and may be a part of it.
        held: Vec<u8>,
    },
}

impl Transfer {
    /// The one that this line, without its end, announces; none where it is a sign of life.
    ///
    /// # Errors
    /// [`NoSnapshot`].
    pub fn announced(line: &[u8]) -> Result<Option<Transfer>, NoSnapshot> {
        let wrong = || NoSnapshot(String::from_utf8_lossy(line).into_owned());
        let Some(rest) = line.strip_prefix(b"$") else {
            return if line.is_empty() { Ok(None) } else { Err(wrong()) };
        };
        let transfer = match rest.strip_prefix(b"EOF:") {
            Some(mark) if mark.len() == MARK => {
                Transfer::Mark { mark: mark.to_vec(), held: Vec::new() }
            }
            Some(_) => return Err(wrong()),
            None => {
                let length = integer::parse(rest).and_then(|length| u64::try_from(length).ok());
                Transfer::Length(length.ok_or_else(wrong)?)
            }
        };
        Ok(Some(transfer))
    }

    /// How many bytes may be read at the most without taking some of the stream.
    pub fn wanted(&self, most: usize) -> usize {
        match self {
            Transfer::Length(left) => usize::try_from(*left).unwrap_or(most).min(most),
            Transfer::Mark { .. } => most,
        }
    }

    /// Takes what has come. Returns the bytes of the snapshot that are known to be such.
    pub fn take(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        match self {
            Transfer::Length(left) => {
                *left = left.saturating_sub(bytes.len() as u64);
                bytes
            }
            Transfer::Mark { held, .. } => {
                held.extend_from_slice(&bytes);
                let known = held.len().saturating_sub(MARK);
                let rest = held.split_off(known);
                std::mem::replace(held, rest)
            }
        }
    }

    /// Whether all has come.
    pub fn is_whole(&self) -> bool {
        match self {
            Transfer::Length(left) => *left == 0,
            Transfer::Mark { mark, held } => mark == held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_is_counted_down() {
        let mut transfer = Transfer::announced(b"$10").unwrap().unwrap();
        assert_eq!((transfer.wanted(4), transfer.wanted(100)), (4, 10));
        assert_eq!(transfer.take(b"012345".to_vec()), b"012345");
        assert_eq!((transfer.wanted(100), transfer.is_whole()), (4, false));
        transfer.take(b"6789".to_vec());
        assert!(transfer.is_whole());
        assert!(Transfer::announced(b"$0").unwrap().unwrap().is_whole());
    }

    /// Cut anywhere, with a beginning of the mark among the bytes.
    #[test]
    fn a_mark_is_found_at_the_end() {
        let mark = "m".repeat(39) + "x";
        let content = [b"REDIS0010", &mark.as_bytes()[..39], b"more"].concat();
        let all = [&content[..], mark.as_bytes()].concat();
        for size in 1..all.len() {
            let line = format!("$EOF:{mark}");
            let mut transfer = Transfer::announced(line.as_bytes()).unwrap().unwrap();
            let mut got = Vec::new();
            for part in all.chunks(size) {
                assert!(!transfer.is_whole());
                got.extend(transfer.take(part.to_vec()));
            }
            assert!(transfer.is_whole());
            assert_eq!(got, content);
        }
    }

    #[test]
    fn signs_of_life_are_passed_over_and_all_else_is_refused() {
        assert_eq!(Transfer::announced(b""), Ok(None));
        for line in ["-ERR no", "$-1", "$x", "$EOF:short", "+OK", "$"] {
            assert!(Transfer::announced(line.as_bytes()).is_err(), "{line}");
        }
    }
}
