//! A listening socket in the event loop of the thread that accepts.
//!
//! Why `unsafe`: tokio's own listeners put each client's socket into the loop that accepted it, to
//! be taken out again and put into that of its thread: two calls to the kernel and an allocation a
//! client. What watches nothing but the listening socket has no safe constructor, since a type
//! could tell another descriptor each time it is asked; one that owns its descriptor does not.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::net::{SocketAddrAny, SocketFlags, acceptfrom_with};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A listening socket that does not block.
#[derive(Debug)]
pub struct Watched(AsyncFd<OwnedFd>);

impl Watched {
    /// Puts the socket into this thread's event loop.
    ///
    /// # Errors
    /// Where the loop does not take it.
    pub fn new(listener: OwnedFd) -> io::Result<Watched> {
        // SAFETY: an `OwnedFd` is open, is one descriptor for as long as it lives, and is dropped
        // with what it is given to.
        let watched = unsafe { AsyncFd::register_with_interest(listener, Interest::READABLE) };
        Ok(Watched(watched?))
    }

    /// The next client's socket, which does not block and is in no event loop, and its address.
    pub fn poll_accept(
        &self,
        task: &mut Context<'_>,
    ) -> Poll<io::Result<(OwnedFd, Option<SocketAddrAny>)>> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        loop {
            let mut readiness = ready!(self.0.poll_read_ready(task))?;
            if let Ok(accepted) = readiness.try_io(|own| Ok(acceptfrom_with(own, flags)?)) {
                return Poll::Ready(accepted);
            }
        }
    }

    /// The socket, to be asked and set.
    pub fn socket(&self) -> SockRef<'_> {
        SockRef::from(self.0.get_ref())
    }
}
