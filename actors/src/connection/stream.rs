//! A client's socket: TCP or unix, read and written by readiness.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_util::io::poll_read_buf;

/// A client's socket.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a unix socket.
    Unix(UnixStream),
}

impl Stream {
    /// Reads what is there to the end of the buffer.
    pub fn poll_read(
        &mut self,
        task: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => poll_read_buf(Pin::new(stream), task, buffer),
            Stream::Unix(stream) => poll_read_buf(Pin::new(stream), task, buffer),
        }
    }

    /// Writes some of the bytes.
    pub fn poll_write(&mut self, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(task, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(task, bytes),
        }
    }

    /// True when the client has closed its end, found out without taking anything off the socket.
    pub fn poll_gone(&mut self, task: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let mut byte = tokio::io::ReadBuf::new(&mut byte);
        match self {
            Stream::Tcp(stream) => {
                matches!(stream.poll_peek(task, &mut byte), Poll::Ready(Ok(0) | Err(_)))
            }
            Stream::Unix(stream) => match stream.poll_read_ready(task) {
                Poll::Ready(Ok(())) => {
                    let mut none = [];
                    let mut none = tokio::io::ReadBuf::new(&mut none);
                    matches!(Pin::new(stream).poll_read(task, &mut none), Poll::Ready(Err(_)))
                }
                Poll::Ready(Err(_)) => true,
                Poll::Pending => false,
            },
        }
    }
}
