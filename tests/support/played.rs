//! A replica that is played, as tools play one: a full sync, and the stream behind it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::client::encode;
use super::reply::Reply;
use super::samples::Words;
use super::server::Server;
use super::wait::{SOON, until};
use super::wire::read_reply;

/// The mark behind a snapshot whose length nobody knew has so many bytes.
const MARK_BYTES: usize = 40;

/// How often it says how much it has, while nothing comes.
const SAYS_EVERY: Duration = Duration::from_millis(100);

/// A connection to a primary.
#[derive(Debug)]
pub struct Played {
    socket: BufReader<TcpStream>,
    /// The offset at which the stream begins behind the snapshot.
    pub from: u64,
    /// So many bytes of the stream are here.
    pub has: u64,
}

impl Played {
    /// One that has got its snapshot, which is of no interest.
    pub fn new(primary: &Server) -> Played {
        let mut played = Played::connect(primary);
        played.sync();
        played
    }

    /// One that has said nothing yet.
    pub fn connect(primary: &Server) -> Played {
        let socket = TcpStream::connect(("127.0.0.1", primary.port)).unwrap();
        socket.set_read_timeout(Some(SOON)).unwrap();
        Played { socket: BufReader::new(socket), from: 0, has: 0 }
    }

    /// Asks something ahead of the sync.
    pub fn call(&mut self, line: &str) -> Reply {
        self.say(&line.split(' ').collect::<Vec<_>>());
        read_reply(&mut self.socket).unwrap()
    }

    fn say(&mut self, words: &[&str]) {
        self.socket.get_mut().write_all(&encode(words)).unwrap();
    }

    /// Asks for a full sync. Returns the snapshot.
    pub fn sync(&mut self) -> Vec<u8> {
        self.say(&["PSYNC", "?", "-1"]);
        let granted = self.line();
        let words: Vec<&str> = granted.split(' ').collect();
        let ["+FULLRESYNC", _, offset] = words[..] else { panic!("no full sync: {granted}") };
        self.from = offset.parse().unwrap();
        let head = self.line();
        let head = head.strip_prefix('$').unwrap_or_else(|| panic!("no snapshot: {head}"));
        match head.strip_prefix("EOF:") {
            Some(mark) => self.snapshot_until(mark.as_bytes()),
            None => {
                let mut snapshot = vec![0; head.parse().unwrap()];
                self.socket.read_exact(&mut snapshot).unwrap();
                snapshot
            }
        }
    }

    /// A line; the empty ones ahead of it say that the primary is at work.
    fn line(&mut self) -> String {
        let mut line = String::new();
        while line.trim().is_empty() {
            assert!(self.socket.read_line(&mut line).unwrap() > 0, "the primary closed");
        }
        line.trim().to_owned()
    }

    /// What comes before this mark. Nothing may come behind it until the replica has said that it
    /// has it: a reader knows the mark by standing at the end.
    fn snapshot_until(&mut self, mark: &[u8]) -> Vec<u8> {
        assert_eq!(mark.len(), MARK_BYTES);
        let mut snapshot = Vec::new();
        while !snapshot.ends_with(mark) {
            let bytes = self.socket.fill_buf().unwrap();
            assert!(!bytes.is_empty(), "the primary closed");
            let count = bytes.len();
            snapshot.extend_from_slice(bytes);
            self.socket.consume(count);
        }
        snapshot.truncate(snapshot.len() - MARK_BYTES);
        snapshot
    }

    /// Says how much of the stream is here. False when the link is cut.
    pub fn acknowledge(&mut self) -> bool {
        let offset = (self.from + self.has).to_string();
        let said = encode(&["REPLCONF", "ACK", &offset]);
        self.socket.get_mut().write_all(&said).is_ok()
    }

    /// Reads some of the stream and says so. False when it is cut off.
    pub fn get_on(&mut self) -> bool {
        let count = self.socket.read(&mut [0; 64 * 1024]).unwrap_or(0);
        self.has += count as u64;
        count > 0 && self.acknowledge()
    }

    /// The next command of the stream. While it waits it says again and again how much it has:
    /// the primary may have missed it, who knew of no whole snapshot yet.
    pub fn command(&mut self) -> Words {
        if self.socket.buffer().is_empty() {
            self.socket.get_ref().set_read_timeout(Some(SAYS_EVERY)).unwrap();
            until("more of the stream comes", SOON, || {
                self.acknowledge() && self.socket.fill_buf().is_ok_and(|bytes| !bytes.is_empty())
            });
            self.socket.get_ref().set_read_timeout(Some(SOON)).unwrap();
        }
        let command = read_reply(&mut self.socket).unwrap();
        let word = |word: &Reply| word.bytes().map(<[u8]>::to_vec);
        let words = command.members().iter().map(word).collect::<Option<Words>>();
        let words = words.unwrap_or_else(|| panic!("no command: {command:?}"));
        self.has += encode(&words).len() as u64;
        words
    }
}
