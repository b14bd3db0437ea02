//! A client's socket: TCP or unix, read and written by readiness.

use std::io::{self, ErrorKind, Read};
use std::mem::{MaybeUninit, replace};
use std::net;
use std::os::unix;
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
    /// It was taken off its thread.
    Gone,
}

/// A client's socket that is on no thread.
#[derive(Debug)]
pub(super) enum Loose {
    /// Over TCP.
    Tcp(net::TcpStream),
    /// Over a unix socket.
    Unix(unix::net::UnixStream),
}

impl Loose {
    /// Puts it on this thread.
    pub(super) fn join(self) -> io::Result<Stream> {
        Ok(match self {
            Loose::Tcp(stream) => Stream::Tcp(TcpStream::from_std(stream)?),
            Loose::Unix(stream) => Stream::Unix(UnixStream::from_std(stream)?),
        })
    }
}

fn gone() -> io::Error {
    ErrorKind::NotConnected.into()
}

impl Stream {
    /// Takes it off its thread. It is closed where that fails.
    pub(super) fn leave(&mut self) -> io::Result<Loose> {
        match replace(self, Stream::Gone) {
            Stream::Tcp(stream) => stream.into_std().map(Loose::Tcp),
            Stream::Unix(stream) => stream.into_std().map(Loose::Unix),
            Stream::Gone => Err(gone()),
        }
    }

    /// Reads what is there to the end of the buffer.
    pub fn poll_read(
        &mut self,
        task: &mut Context<'_>,
        buffer: &mut BytesMut,
    ) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => poll_read_buf(Pin::new(stream), task, buffer),
            Stream::Unix(stream) => poll_read_buf(Pin::new(stream), task, buffer),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }

    /// Writes some of the bytes.
    pub fn poll_write(&mut self, task: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(task, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(task, bytes),
            Stream::Gone => Poll::Ready(Err(gone())),
        }
    }

    /// Whether the client's input has ended, or there is more of it: found out without taking
    /// anything off the socket. Pending until either is so.
    pub fn poll_end(&self, task: &mut Context<'_>) -> Poll<io::Result<bool>> {
        loop {
            ready!(match self {
                Stream::Tcp(stream) => stream.poll_read_ready(task),
                Stream::Unix(stream) => stream.poll_read_ready(task),
                Stream::Gone => Poll::Ready(Err(gone())),
            })?;
            let peek = || self.socket()?.peek(&mut [MaybeUninit::uninit()]);
            let there = match self {
                Stream::Tcp(stream) => stream.try_io(Interest::READABLE, peek),
                Stream::Unix(stream) => stream.try_io(Interest::READABLE, peek),
                Stream::Gone => Err(gone()),
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
        Ok(rustix::io::ioctl_fionread(&*self.socket()?)? as usize)
    }

    /// Reads at most so many bytes of those that the socket holds already.
    pub fn read_held(&self, at_most: usize, buffer: &mut BytesMut) -> io::Result<usize> {
        let socket = self.socket()?;
        let read = io::copy(&mut (&*socket).take(at_most as u64), &mut buffer.writer())?;
        Ok(read as usize)
    }

    fn socket(&self) -> io::Result<SockRef<'_>> {
        match self {
            Stream::Tcp(stream) => Ok(SockRef::from(stream)),
            Stream::Unix(stream) => Ok(SockRef::from(stream)),
            Stream::Gone => Err(gone()),
        }
    }
}
