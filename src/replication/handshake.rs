//! How a replica presents itself to a primary, line by line, until it knows what comes next.
//!
//! ```text
//!  replica                                   primary
//!    | PING                                     |
//!    | AUTH [user] password                     |  where one is set
//!    | REPLCONF listening-port, ip-address      |
//!    | REPLCONF capa eof capa psync2            |
//!    | REPLCONF version                         |
//!    | PSYNC id number   or   PSYNC ? -1        |
//!    |<---- +FULLRESYNC id offset --------------|  a snapshot follows, then the stream
//!    |<---- +CONTINUE [id] ---------------------|  the stream follows
//! ```
//!
//! Each line is answered before the next one is sent. What an older primary does not know of
//! REPLCONF it may refuse; the replica goes on without it.

use crate::base::integer;
use crate::resp::encode;

/// The version that a replica says it is: primaries of Valkey choose the format of snapshots by it.
const VERSION: &[u8] = b"9.1.2";

/// Digits of the id of a stream.
const ID_LEN: usize = 40;

/// What a replica says of itself, and what it asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// The user, where one is set.
    pub user: Vec<u8>,
    /// The password, where one is set.
    pub password: Vec<u8>,
    /// The port that it serves.
    pub port: u16,
    /// The address that it wants to be known by, where it wants another one than it has.
    pub address: Vec<u8>,
    /// The stream that it has, by its id, and how many bytes of it.
    pub has: Option<(String, u64)>,
}

/// What the primary gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Granted {
    /// A snapshot, then the stream with this id from this offset on.
    All {
        /// The id.
        id: String,
        /// Bytes of the stream that the snapshot has.
        offset: u64,
    },
    /// The rest of the stream, which has this id from now on where one is named.
    Rest {
        /// The id.
        id: Option<String>,
    },
}

/// Why nothing comes of it. The replica tries again in any case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The primary cannot serve anybody now.
    #[error("the primary is not ready: {0}")]
    NotNow(String),
    /// It does not take the replica.
    #[error("the primary refuses {step}: {answer}")]
    Never {
        /// What it was asked for.
        step: &'static str,
        /// What it said.
        answer: String,
    },
}

/// What the replica does next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Sends this, and waits for a line.
    Send(Vec<u8>),
    /// Waits for another line.
    Wait,
    /// Takes what it was given.
    Take(Granted),
}

/// What was asked last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Ping,
    Auth,
    Port,
    Address,
    Capabilities,
    Version,
    Sync,
}

/// The steps in their order.
const STEPS: [Step; 7] = [
    Step::Ping,
    Step::Auth,
    Step::Port,
    Step::Address,
    Step::Capabilities,
    Step::Version,
    Step::Sync,
];

/// A replica that presents itself.
#[derive(Debug)]
pub struct Handshake {
    about: Introduction,
    /// The place of the last step among all.
    at: usize,
}

impl Handshake {
    /// A replica that is connected, and the first thing that it sends.
    pub fn begin(about: Introduction) -> (Handshake, Vec<u8>) {
        let handshake = Handshake { about, at: 0 };
        let first = handshake.request(Step::Ping);
        (handshake, first)
    }

    /// The primary has answered with this line, without its end.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn hear(&mut self, line: &[u8]) -> Result<Turn, Refused> {
        let step = STEPS[self.at];
        // Signs of life while the primary makes up its mind.
        if line.is_empty() {
            return Ok(Turn::Wait);
        }
        let text = || String::from_utf8_lossy(line).into_owned();
        let never = |step| Refused::Never { step, answer: text() };
        match step {
            Step::Ping if !is_tolerated_for_ping(line) => return Err(Refused::NotNow(text())),
            Step::Auth if line.starts_with(b"-") => return Err(never("AUTH")),
            Step::Sync => return granted(line, text()).map(Turn::Take),
            _ => {}
        }
        while let Some(next) = STEPS.get(self.at + 1) {
            self.at += 1;
            if self.is_needed(*next) {
                return Ok(Turn::Send(self.request(*next)));
            }
        }
        // The last step is always needed, and has ended above.
        Err(never("PSYNC"))
    }

    fn is_needed(&self, step: Step) -> bool {
        match step {
            Step::Auth => !self.about.password.is_empty(),
            Step::Address => !self.about.address.is_empty(),
            _ => true,
        }
    }

    fn request(&self, step: Step) -> Vec<u8> {
        let Introduction { user, password, address, has, .. } = &self.about;
        let (port, number);
        let words: Vec<&[u8]> = match step {
            Step::Ping => vec![b"PING"],
            Step::Auth if user.is_empty() => vec![b"AUTH", password],
            Step::Auth => vec![b"AUTH", user, password],
            Step::Port => {
                port = self.about.port.to_string();
                vec![b"REPLCONF", b"listening-port", port.as_bytes()]
            }
            Step::Address => vec![b"REPLCONF", b"ip-address", address],
            Step::Capabilities => vec![b"REPLCONF", b"capa", b"eof", b"capa", b"psync2"],
            Step::Version => vec![b"REPLCONF", b"version", VERSION],
            Step::Sync => match has {
                Some((id, offset)) => {
                    number = offset.saturating_add(1).to_string();
                    vec![b"PSYNC", id.as_bytes(), number.as_bytes()]
                }
                None => vec![b"PSYNC", b"?", b"-1"],
            },
        };
        let mut request = Vec::new();
        encode::command(&mut request, &words);
        request
    }
}

/// Whether PING was answered, or refused for a reason that AUTH may do away with.
fn is_tolerated_for_ping(line: &[u8]) -> bool {
    let tolerated: [&[u8]; 4] = [b"+", b"-NOAUTH", b"-NOPERM", b"-ERR operation not permitted"];
    tolerated.iter().any(|start| line.starts_with(start))
}

/// What the answer to PSYNC gives.
fn granted(line: &[u8], text: String) -> Result<Granted, Refused> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let is_id = |id: &str| id.len() == ID_LEN && id.bytes().all(|digit| digit.is_ascii_graphic());
    match words[..] {
        ["+FULLRESYNC", id, offset] if is_id(id) => {
            // One beyond is no offset: nothing could follow it.
            let offset = integer::parse(offset.as_bytes());
            if let Some(offset) = offset.and_then(|offset| u64::try_from(offset).ok()) {
                return Ok(Granted::All { id: id.to_owned(), offset });
            }
        }
        ["+CONTINUE"] => return Ok(Granted::Rest { id: None }),
        ["+CONTINUE", id] if is_id(id) => return Ok(Granted::Rest { id: Some(id.to_owned()) }),
        _ => {}
    }
    let later: [&[u8]; 4] = [b"-NOMASTERLINK", b"-LOADING", b"-BUSY", b"-MASTERDOWN"];
    match later.iter().any(|start| line.starts_with(start)) {
        true => Err(Refused::NotNow(text)),
        false => Err(Refused::Never { step: "PSYNC", answer: text }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789012345678901234567890123456789";

    /// What is sent when the primary answers so, one line after the other.
    fn said(about: Introduction, lines: &[&str]) -> (Vec<String>, Result<Turn, Refused>) {
        let words = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            let words = text.lines().filter(|line| !line.starts_with(['*', '$']));
            words.collect::<Vec<_>>().join(" ")
        };
        let (mut handshake, first) = Handshake::begin(about);
        let (mut sent, mut last) = (vec![words(&first)], Ok(Turn::Wait));
        for line in lines {
            last = handshake.hear(line.as_bytes());
            match &last {
                Ok(Turn::Send(bytes)) => sent.push(words(bytes)),
                Ok(Turn::Wait) => {}
                Ok(Turn::Take(_)) | Err(_) => break,
            }
        }
        (sent, last)
    }

    #[test]
    fn who_knows_nothing_asks_for_all() {
        let about = Introduction { port: 7000, ..Introduction::default() };
        let line = format!("+FULLRESYNC {ID} 14");
        let (sent, last) = said(about, &["+PONG", "+OK", "+OK", "-ERR unknown", "", &line]);
        let expected = [
            "PING",
            "REPLCONF listening-port 7000",
            "REPLCONF capa eof capa psync2",
            "REPLCONF version 9.1.2",
            "PSYNC ? -1",
        ];
        assert_eq!(sent, expected);
        assert_eq!(last, Ok(Turn::Take(Granted::All { id: ID.to_owned(), offset: 14 })));
    }

    #[test]
    fn who_has_a_part_says_so_and_who_it_is() {
        let about = Introduction {
            user: b"replica".to_vec(),
            password: b"secret".to_vec(),
            port: 1,
            address: b"10.0.0.7".to_vec(),
            has: Some((ID.to_owned(), 99)),
        };
        let oks = ["-NOAUTH Authentication required.", "+OK", "+OK", "+OK", "+OK", "+OK"];
        let (sent, _) = said(about.clone(), &oks);
        assert_eq!(sent[1], "AUTH replica secret");
        assert_eq!(sent[3], "REPLCONF ip-address 10.0.0.7");
        assert_eq!(sent[6], format!("PSYNC {ID} 100"));
        let (_, last) = said(about.clone(), &[&oks[..], &["+CONTINUE"]].concat());
        assert_eq!(last, Ok(Turn::Take(Granted::Rest { id: None })));
        let line = format!("+CONTINUE {ID}");
        let (_, last) = said(about.clone(), &[&oks[..], &[&line[..]]].concat());
        assert_eq!(last, Ok(Turn::Take(Granted::Rest { id: Some(ID.to_owned()) })));
        let (sent, last) = said(about, &["+PONG", "-WRONGPASS invalid"]);
        assert_eq!(sent.len(), 2);
        assert!(matches!(last, Err(Refused::Never { step: "AUTH", .. })));
    }

    #[test]
    fn what_is_refused_for_now_is_told_from_what_is_not_understood() {
        for (line, is_later) in [
            ("-NOMASTERLINK Can't SYNC while not connected with my master", true),
            ("-LOADING Redis is loading the dataset in memory", true),
            ("-BUSY Redis is busy running a script.", true),
            ("-ERR unknown command 'PSYNC'", false),
            ("+FULLRESYNC short 1", false),
            ("+FULLRESYNC", false),
            ("+FULLRESYNC 0123456789012345678901234567890123456789 9223372036854775808", false),
            ("+FULLRESYNC 0123456789012345678901234567890123456789 -1", false),
            ("+CONTINUE what is this", false),
            ("$5", false),
        ] {
            let about = Introduction::default();
            let (_, last) = said(about, &["+PONG", "+OK", "+OK", "+OK", line]);
            let Err(refused) = last else { panic!("{line}: {last:?}") };
            assert_eq!(matches!(refused, Refused::NotNow(_)), is_later, "{line}");
        }
        let (_, last) = said(Introduction::default(), &["-LOADING wait"]);
        assert!(matches!(last, Err(Refused::NotNow(_))));
    }
}
