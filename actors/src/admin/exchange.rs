//! Bytes that are exchanged with another server: for MIGRATE, which says what they mean.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use troupe::commands::action::Exchange;
use troupe::commands::error::CommandError;

const CONNECTING: CommandError =
    CommandError::Text("IOERR error or timeout connecting to the client");
const WRITING: CommandError =
    CommandError::Text("IOERR error or timeout writing to target instance");

/// Bytes that are written at a time: the patience is for each.
const PIECE: usize = 64 * 1024;

/// Bytes of a line at most. Who answers more does not speak the protocol.
const LINE_MAX: usize = 1024;

/// Sends the request, and reads as many lines of the answer as come: fewer than are wanted, when
/// the patience is over or the other side closes.
///
/// # Errors
/// The request could not be sent.
pub(super) async fn perform(asked: Exchange) -> Result<Vec<u8>, CommandError> {
    let Exchange { host, port, request, lines, patience_ms } = asked;
    let patience = Duration::from_millis(patience_ms);
    let host = String::from_utf8(host).map_err(|_| CONNECTING)?;
    let found = timeout(patience, lookup_host((host, port))).await;
    let Ok(Ok(addresses)) = found else { return Err(CONNECTING) };
    let addresses: Vec<SocketAddr> = addresses.collect();
    let connected = timeout(patience, TcpStream::connect(&addresses[..])).await;
    // Redis and Valkey find out that nobody listens when they write.
    let mut stream = connected.map_err(|_| CONNECTING)?.map_err(|_| WRITING)?;
    // Without it the last bytes are a little later.
    let _ = stream.set_nodelay(true);
    for piece in request.chunks(PIECE) {
        let written = timeout(patience, stream.write_all(piece)).await;
        let Ok(Ok(())) = written else { return Err(WRITING) };
    }
    let (mut answer, mut found) = (Vec::new(), 0);
    while found < lines && answer.len() <= lines.saturating_mul(LINE_MAX) {
        let before = answer.len();
        let read = timeout(patience, stream.read_buf(&mut answer)).await;
        let Ok(Ok(1..)) = read else { break };
        found += answer[before..].iter().filter(|byte| **byte == b'\n').count();
    }
    Ok(answer)
}
