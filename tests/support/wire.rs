//! Replies read from the wire, of either protocol: strict, since it judges the server.

use std::io;

use super::reply::Reply;

fn broken(what: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.into())
}

fn read_line(reader: &mut dyn io::BufRead) -> io::Result<String> {
    let mut line = Vec::new();
    reader.read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed"));
    }
    let text = line.strip_suffix(b"\r\n").ok_or_else(|| broken(format!("no CRLF: {line:?}")))?;
    if text.contains(&b'\r') || text.contains(&b'\n') {
        return Err(broken(format!("a bare CR or LF in a line: {line:?}")));
    }
    Ok(shown(text))
}

/// The text of a line. A byte that is no UTF-8 is shown as `\xff`, so that no two lines look alike.
fn shown(line: &[u8]) -> String {
    let chunks = line.utf8_chunks();
    chunks.map(|chunk| format!("{}{}", chunk.valid(), chunk.invalid().escape_ascii())).collect()
}

fn read_bytes(reader: &mut dyn io::BufRead, length: i64) -> io::Result<Vec<u8>> {
    let length = usize::try_from(length).map_err(|_| broken(format!("a length of {length}")))?;
    let mut bytes = vec![0; length + 2];
    reader.read_exact(&mut bytes)?;
    match bytes.split_off(length).as_slice() {
        b"\r\n" => Ok(bytes),
        other => Err(broken(format!("a bulk of {length} ends in {other:?}"))),
    }
}

fn read_many(reader: &mut dyn io::BufRead, count: i64) -> io::Result<Vec<Reply>> {
    (0..count).map(|_| read_reply(reader)).collect()
}

/// Reads one reply of either protocol.
pub fn read_reply(reader: &mut dyn io::BufRead) -> io::Result<Reply> {
    let line = read_line(reader)?;
    let rest = line.get(1..).ok_or_else(|| broken("an empty line"))?.to_string();
    let length = || rest.parse::<i64>().map_err(|_| broken(format!("no length: {line}")));
    Ok(match line.as_bytes()[0] {
        b'+' => Reply::Simple(rest),
        b'-' => Reply::Error(rest),
        b':' => Reply::Integer(length()?),
        b'_' => Reply::Nil,
        b',' => Reply::Double(rest),
        b'#' => Reply::Boolean(rest == "t"),
        b'(' => Reply::BigNumber(rest),
        b'$' | b'*' if length()? == -1 => Reply::Nil,
        b'$' => Reply::Bulk(read_bytes(reader, length()?)?),
        b'=' => {
            let bytes = read_bytes(reader, length()?)?;
            let kind = bytes.get(..3).ok_or_else(|| broken("a verbatim string without kind"))?;
            Reply::Verbatim(String::from_utf8_lossy(kind).into_owned(), bytes[4..].to_vec())
        }
        b'*' => Reply::Array(read_many(reader, length()?)?),
        b'~' => Reply::Set(read_many(reader, length()?)?),
        b'>' => Reply::Push(read_many(reader, length()?)?),
        b'%' => {
            let mut flat = read_many(reader, length()? * 2)?.into_iter();
            let mut pairs = Vec::new();
            while let (Some(key), Some(value)) = (flat.next(), flat.next()) {
                pairs.push((key, value));
            }
            Reply::Map(pairs)
        }
        _ => return Err(broken(format!("no such kind of reply: {line}"))),
    })
}
