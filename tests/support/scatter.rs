//! A proxy that breaks the two promises on purpose, to show that the order test would notice.
//!
//! It does what a careless sharded server would do: it sends the commands of a pipeline to several
//! places at once, each key to its own, and cuts commands of many keys into one for each. Every
//! reply comes back in its place, so no client can tell from its own replies alone.

use std::io::{BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use super::client::encode;
use super::reply::Reply;
use super::wire::read_reply;

/// How many places the keys are scattered over.
const PLACES: usize = 4;

/// Starts the proxy before the server at `upstream`; answers its port. It lives until the test
/// ends.
pub fn start(upstream: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let client = client.unwrap();
            // A client that goes away ends its own thread only.
            thread::spawn(move || serve(client, upstream).unwrap_or(()));
        }
    });
    port
}

struct Place {
    socket: TcpStream,
    reader: BufReader<TcpStream>,
    outgoing: Vec<u8>,
}

/// Which places answer a command, and how their replies become one.
struct Parts {
    places: Vec<usize>,
    whole: Whole,
}

enum Whole {
    Only,
    LastOne,
    Sum,
    List,
}

fn serve(client: TcpStream, upstream: u16) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut reader = BufReader::new(client.try_clone()?);
    let mut places = Vec::new();
    for _ in 0..PLACES {
        let socket = TcpStream::connect(("127.0.0.1", upstream))?;
        socket.set_nodelay(true)?;
        let reader = BufReader::new(socket.try_clone()?);
        places.push(Place { socket, reader, outgoing: Vec::new() });
    }
    let mut client = client;
    loop {
        let mut batch = Vec::new();
        while batch.is_empty() || !reader.buffer().is_empty() {
            let command = read_reply(&mut reader)?;
            batch.push(scatter(command.members(), &mut places));
        }
        let mut order: Vec<usize> = (0..PLACES).collect();
        fastrand::shuffle(&mut order);
        for index in order {
            let place = &mut places[index];
            place.socket.write_all(&std::mem::take(&mut place.outgoing))?;
        }
        let mut out = Vec::new();
        for parts in batch {
            encode_reply(&gather(&parts, &mut places)?, &mut out);
        }
        client.write_all(&out)?;
    }
}

/// Puts a command, or its pieces, into the buffers of the places that hold its keys.
fn scatter(args: &[Reply], places: &mut [Place]) -> Parts {
    let args: Vec<&[u8]> = args.iter().filter_map(Reply::bytes).collect();
    let name = args[0].to_ascii_uppercase();
    let (step, whole): (usize, Whole) = match name.as_slice() {
        b"MSET" => (2, Whole::LastOne),
        b"MGET" => (1, Whole::List),
        b"DEL" | b"EXISTS" => (1, Whole::Sum),
        _ => (args.len(), Whole::Only),
    };
    let mut used = Vec::new();
    let rest = if args.len() > 1 { &args[1..] } else { &args[..] };
    for piece in rest.chunks(step) {
        let sum: usize = piece[0].iter().map(|&byte| byte as usize).sum();
        let place = sum % PLACES;
        let command = if args.len() > 1 { [&args[..1], piece].concat() } else { args.clone() };
        places[place].outgoing.extend_from_slice(&encode(&command));
        used.push(place);
    }
    Parts { places: used, whole }
}

fn gather(parts: &Parts, places: &mut [Place]) -> std::io::Result<Reply> {
    let mut replies = Vec::new();
    for &place in &parts.places {
        replies.push(read_reply(&mut places[place].reader)?);
    }
    let last = replies.last().cloned().unwrap_or(Reply::Nil);
    Ok(match parts.whole {
        Whole::Only | Whole::LastOne => last,
        Whole::Sum => Reply::Integer(replies.iter().filter_map(Reply::number).sum()),
        Whole::List => {
            Reply::Array(replies.iter().flat_map(|reply| reply.members().to_vec()).collect())
        }
    })
}

fn encode_reply(reply: &Reply, out: &mut Vec<u8>) {
    let line = |mark: char, text: &str| format!("{mark}{text}\r\n").into_bytes();
    match reply {
        Reply::Simple(text) => out.extend(line('+', text)),
        Reply::Error(text) => out.extend(line('-', text)),
        Reply::Integer(number) => out.extend(line(':', &number.to_string())),
        Reply::Bulk(bytes) => {
            out.extend(line('$', &bytes.len().to_string()));
            out.extend_from_slice(bytes);
            out.extend_from_slice(b"\r\n");
        }
        Reply::Array(members) => {
            out.extend(line('*', &members.len().to_string()));
            members.iter().for_each(|member| encode_reply(member, out));
        }
        _ => out.extend_from_slice(b"$-1\r\n"),
    }
}
