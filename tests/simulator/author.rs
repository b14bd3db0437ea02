//! A client of a replica that was made a primary: it writes, and looks at no reply. What it has
//! written has to be in the stream, and with all that follow it.

use fastrand::Rng;

use crate::checks::Broken;
use crate::context::Context;
use crate::reply::Reply;
use crate::socket::Socket;
use crate::thread::{Sockets, Thread};
use crate::workload::Workload;

/// Calls that it makes.
const CALLS: u32 = 60;

/// Time between two pipelines, in microseconds, at most.
const EVERY_US: u64 = 30_000;

/// The number by which its values are told from those of others.
const NUMBER: u32 = 900;

/// The client.
#[derive(Debug)]
pub struct Author {
    /// The number of its connection, while it has one.
    connection: Option<u64>,
    given: u64,
    next_us: u64,
    workload: Workload,
    /// Replies that are to come.
    left: usize,
    rest: Vec<u8>,
}

impl Author {
    /// One whose connections have numbers behind this one.
    pub fn new(given: u64, rng: Rng) -> Author {
        let workload = Workload::new(NUMBER, CALLS, false, rng);
        Author { connection: None, given, next_us: 0, workload, left: 0, rest: Vec::new() }
    }

    /// Whether it has written all.
    pub fn is_over(&self) -> bool {
        self.workload.is_over() && self.left == 0
    }

    /// When it does something, in microseconds.
    pub fn wake_us(&self, sockets: &Sockets) -> u64 {
        let socket = self.connection.and_then(|id| sockets.get(&id));
        match socket {
            Some(socket) if !socket.down.is_empty() || socket.is_down_ended => 0,
            _ if self.is_over() => u64::MAX,
            Some(_) if self.left > 0 => u64::MAX,
            _ => self.next_us,
        }
    }

    /// Does one thing.
    ///
    /// # Errors
    /// The server answers what is no reply.
    pub fn act(
        &mut self,
        threads: &mut [Thread],
        sockets: &mut Sockets,
        context: &mut Context,
    ) -> Result<(), Broken> {
        let Some(id) = self.connection else {
            self.given += 1;
            self.connection = Some(self.given);
            sockets.insert(self.given, Socket { room: 4_096, ..Socket::default() });
            let thread = context.rng.usize(..threads.len());
            threads[thread].accept(self.given, context);
            return Ok(());
        };
        let Some(socket) = sockets.get_mut(&id).filter(|socket| !socket.is_down_ended) else {
            sockets.remove(&id);
            (self.connection, self.left) = (None, 0);
            self.rest.clear();
            return Ok(());
        };
        self.rest.extend(socket.down.drain(..));
        while let Some((_, length)) = Reply::take(&self.rest)? {
            self.rest.drain(..length);
            self.left = self.left.saturating_sub(1);
        }
        if self.left == 0 && self.next_us <= context.now_us {
            let calls = self.workload.pipeline();
            self.left = calls.len();
            socket.up.extend(calls.iter().flat_map(|call| call.encoded()));
            self.next_us = context.now_us + context.rng.u64(..EVERY_US);
        }
        threads.iter_mut().for_each(|thread| thread.wake(id));
        Ok(())
    }
}
