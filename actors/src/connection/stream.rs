//! A client's socket: TCP or unix, read and written by readiness.

use std::io::{self, ErrorKind, Read};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{BufMut, BytesMut};
use socket2::SockRef;
use tokio::io::{AsyncWrite, Interest};
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

    /// Whether the client's input has ended, or there is more of it: found out without taking
    /// anything off the socket. Pending until either is so.
    pub fn poll_end(&self, task: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            ready!(match self {
                Stream::Tcp(stream) => stream.poll_read_ready(task),
                Stream::Unix(stream) => stream.poll_read_ready(task),
            })?;
            let peek = || self.socket().peek(&mut [MaybeUninit::uninit()]);
            let there = match self {
                Stream::Tcp(stream) => stream.try_io(Interest::READABLE, peek),
                Stream::Unix(stream) => stream.try_io(Interest::READABLE, peek),
            };
            match there {
                Ok(count) => return Poll::Ready(Ok(count == 0)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// How many bytes the socket holds, reported or not. It works on a socket that has failed a
    /// write.
    pub fn held(&self) -> io::Result<usize> {
        Ok(rustix::io::ioctl_fionread(&*self.socket())? as usize)
    }

    /// Reads at most so many bytes of those that the socket holds already.
    pub fn read_held(&self, at_most: usize, buffer: &mut BytesMut) -> io::Result<usize> {
        let socket = self.socket();
        let read = io::copy(&mut (&*socket).take(at_most as u64), &mut buffer.writer())?;
        Ok(read as usize)
    }

    fn socket(&self) -> SockRef<'_> {
        match self {
            Stream::Tcp(stream) => SockRef::from(stream),
            Stream::Unix(stream) => SockRef::from(stream),
        }
    }
}
