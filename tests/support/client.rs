//! A small blocking client: RESP2 and RESP3, pipelines, raw bytes, a time limit on every read.
//!
//! It is kept plain on purpose, since it judges the server: no reconnect, no retry, no routing.

use std::fmt::Write as _;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use socket2::SockRef;

use super::reply::Reply;
use super::wire::read_reply;

/// How long a reply may take before the test fails; far above what any test needs.
const REPLY_WITHIN: Duration = Duration::from_secs(60);

/// A socket of either kind.
#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for &Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&mut &*socket).read(buffer),
            Socket::Unix(socket) => (&mut &*socket).read(buffer),
        }
    }
}

impl Write for &Socket {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Socket::Tcp(socket) => (&mut &*socket).write(buffer),
            Socket::Unix(socket) => (&mut &*socket).write(buffer),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// One connection.
#[derive(Debug)]
pub struct Client {
    socket: std::sync::Arc<Socket>,
    reader: BufReader<Shared>,
}

/// The reading half: shares the socket with the writing one.
#[derive(Debug)]
struct Shared(std::sync::Arc<Socket>);

impl Read for Shared {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

/// The bytes of one command.
pub fn encode<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        out.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
        out.extend_from_slice(arg);
        out.extend_from_slice(b"\r\n");
    }
    out
}

impl Client {
    /// Connects over TCP to a port of the loopback.
    pub fn connect(port: u16) -> io::Result<Client> {
        let socket = TcpStream::connect(("127.0.0.1", port))?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(REPLY_WITHIN))?;
        socket.set_write_timeout(Some(REPLY_WITHIN))?;
        Ok(Client::over(Socket::Tcp(socket)))
    }

    /// Connects over a unix socket.
    pub fn connect_unix(path: &Path) -> io::Result<Client> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(REPLY_WITHIN))?;
        Ok(Client::over(Socket::Unix(socket)))
    }

    fn over(socket: Socket) -> Client {
        let socket = std::sync::Arc::new(socket);
        Client { reader: BufReader::new(Shared(socket.clone())), socket }
    }

    /// Fails a read that takes longer, from now on.
    pub fn read_within(&self, limit: Duration) {
        let set = match &*self.socket {
            Socket::Tcp(socket) => socket.set_read_timeout(Some(limit)),
            Socket::Unix(socket) => socket.set_read_timeout(Some(limit)),
        };
        set.unwrap();
    }

    /// Sends bytes as they are.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.socket).write_all(bytes)
    }

    /// Sends one command without waiting for its reply.
    pub fn send<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<()> {
        self.send_raw(&encode(args))
    }

    /// Says that nothing more will be sent.
    pub fn end_input(&self) {
        self.shut_down(Shutdown::Write);
    }

    /// Takes no replies any more.
    pub fn end_output(&self) {
        self.shut_down(Shutdown::Read);
    }

    fn shut_down(&self, how: Shutdown) {
        let done = match &*self.socket {
            Socket::Tcp(socket) => socket.shutdown(how),
            Socket::Unix(socket) => socket.shutdown(how),
        };
        done.unwrap();
    }

    /// Closes with a reset, which takes back what is still on its way. A unix socket has nothing on
    /// its way, and says the same by being closed with replies unread.
    pub fn reset(self) {
        if let Socket::Tcp(socket) = &*self.socket {
            SockRef::from(socket).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    /// True when the other machine has all that was sent, whether or not anybody has read it.
    pub fn has_delivered(&self) -> bool {
        let Socket::Tcp(socket) = &*self.socket else { return true };
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let [own, peer] = [socket.local_addr(), socket.peer_addr()].map(|address| {
            let port = address.map_or(0, |address| address.port());
            format!(":{port:04X}")
        });
        let own_line = sockets.lines().find(|line| {
            let mut words = line.split_whitespace().skip(1);
            words.next().is_some_and(|word| word.ends_with(&own))
                && words.next().is_some_and(|word| word.ends_with(&peer))
        });
        let queues = own_line.and_then(|line| line.split_whitespace().nth(4));
        queues.is_some_and(|queues| queues.starts_with("00000000:"))
    }

    /// The address by which the server knows it.
    pub fn address(&self) -> String {
        match &*self.socket {
            Socket::Tcp(socket) => socket.local_addr().unwrap().to_string(),
            Socket::Unix(_) => String::new(),
        }
    }

    /// There is something to read, or the end.
    pub fn has_reply(&self) -> bool {
        let Socket::Tcp(socket) = &*self.socket else { return false };
        socket.set_nonblocking(true).unwrap();
        let peeked = socket.peek(&mut [0]);
        socket.set_nonblocking(false).unwrap();
        !self.reader.buffer().is_empty()
            || !matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Reads one reply.
    pub fn read(&mut self) -> io::Result<Reply> {
        read_reply(&mut self.reader)
    }

    /// One command and its reply; an I/O error is returned.
    pub fn try_call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> io::Result<Reply> {
        self.send(args)?;
        self.read()
    }

    /// One command and its reply; panics when the connection fails.
    pub fn call<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Reply {
        self.try_call(args).unwrap_or_else(|err| panic!("{}: {err}", shown(args)))
    }

    /// One command written as a line, cut at blanks; panics when the connection fails.
    pub fn line(&mut self, line: &str) -> Reply {
        let words = super::reply::words(line).unwrap();
        self.call(&words)
    }

    /// The value of a field of INFO; panics when it is not there.
    pub fn info(&mut self, field: &str) -> String {
        let text = self.line("INFO everything").text();
        info_field(&text, field).unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
    }

    /// The same of a number.
    pub fn info_number(&mut self, field: &str) -> u64 {
        let value = self.info(field);
        value.parse().unwrap_or_else(|_| panic!("{field} is {value}"))
    }

    /// All commands in one write, then all replies.
    pub fn pipeline<A: AsRef<[u8]>>(&mut self, commands: &[Vec<A>]) -> io::Result<Vec<Reply>> {
        let mut bytes = Vec::new();
        for command in commands {
            bytes.extend_from_slice(&encode(command));
        }
        self.send_raw(&bytes)?;
        commands.iter().map(|_| self.read()).collect()
    }

    /// What is left to read until the server closes. The read limit applies.
    pub fn read_to_end(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        match self.reader.read_to_end(&mut rest) {
            Err(err) if err.kind() == io::ErrorKind::ConnectionReset => Ok(rest),
            Err(err) => Err(err),
            Ok(_) => Ok(rest),
        }
    }
}

/// The value of a field in the text of INFO, if it is there.
pub fn info_field<'a>(text: &'a str, field: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
}

/// A command for a message: words with blanks between, long ones cut.
pub fn shown<A: AsRef<[u8]>>(args: &[A]) -> String {
    let mut out = String::new();
    for (index, arg) in args.iter().enumerate() {
        let (arg, blank) = (arg.as_ref(), if index == 0 { "" } else { " " });
        out.push_str(blank);
        let plain = !arg.is_empty() && arg.iter().all(|b| b.is_ascii_graphic() && *b != b'"');
        match arg.len() {
            200.. => {
                let _ = write!(out, "<{} bytes>", arg.len());
            }
            _ if plain => out.push_str(&String::from_utf8_lossy(arg)),
            _ => super::reply::quote(&mut out, arg),
        }
    }
    out
}
