//! The listener: accepts clients and hands each to the thread with the fewest.
//!
//! Its thread does nothing else that takes long, so a stalled shard never keeps clients out. Over
//! the limit a client gets its error and is closed; without descriptors the listener waits a while
//! instead of spinning.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context as TaskContext, Poll, ready};
use std::time::Duration;

use actix::fut::ActorFuture;
use actix::{Actor, AsyncContext, Context, Handler, Recipient, Supervised};
use tokio::time::{Sleep, sleep};
use tracing::warn;
use troupe::restarts::BackOff;
use troupe::session::Peer;
use troupe::settings::Settings;

use crate::clock::Clock;
use crate::doors::{self, Door, Opened};
use crate::guard::{Guard, Guarded};
use crate::message::control::{Panic, Restarted};
use crate::message::listener::{Open, Settle};
use crate::settings::InForce;
use crate::shared::{Seat, Shared};

/// How long to wait when no descriptor is free.
const PAUSE: Duration = Duration::from_millis(100);

/// Clients accepted at one go before others on the thread get their turn.
const ACCEPTS_MAX: usize = 64;

/// A client's socket, not yet of any thread.
#[derive(Debug)]
pub enum Accepted {
    /// Over TCP.
    Tcp(TcpStream, Peer),
    /// Over a unix socket.
    Unix(UnixStream, Peer),
}

/// Takes a client to the thread of its seat.
pub type Adopt = Box<dyn Fn(Seat, Accepted)>;

/// The actor that accepts.
pub struct Listener {
    doors: Vec<Door>,
    opened: Option<Opened>,
    adopt: Adopt,
    settings: InForce,
    shared: Arc<Shared>,
    clock: Clock,
    guard: Guard,
    back_off: BackOff,
    /// How long it waits before it accepts, where it was restarted too soon.
    wait: Option<Duration>,
    /// The last try to accept a client has failed, and the log says so.
    fails: bool,
    panics_next: bool,
}

impl Listener {
    /// A listener on these sockets.
    pub fn new(
        doors: Vec<Door>,
        adopt: Adopt,
        settings: InForce,
        shared: Arc<Shared>,
        guardian: Recipient<Restarted>,
        clock: Clock,
    ) -> Listener {
        Listener {
            doors,
            opened: None,
            adopt,
            settings,
            shared,
            clock,
            guard: Guard::new("listener", guardian),
            back_off: BackOff::default(),
            wait: None,
            fails: false,
            panics_next: false,
        }
    }

    /// Accepts who is there. Pending when all have been; ready when it has to wait.
    fn accept(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        if std::mem::take(&mut self.panics_next) {
            panic!("DEBUG PANIC-ACTOR");
        }
        for door in &self.doors {
            let mut left = ACCEPTS_MAX;
            while left > 0 {
                match poll_accept(door, task) {
                    Poll::Pending => break,
                    Poll::Ready(Ok(accepted)) => {
                        left -= 1;
                        self.fails = false;
                        self.admit(accepted);
                    }
                    Poll::Ready(Err(error)) => {
                        if !std::mem::replace(&mut self.fails, true) {
                            warn!("Accepting a client failed, and is tried again: {error}");
                        }
                        return Poll::Ready(());
                    }
                }
            }
            if left == 0 {
                task.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }

    /// Sets for the clients to come what the settings in force say.
    fn prepare(&self) {
        let settings = (self.settings)();
        for door in &self.doors {
            if let Err(error) = door.prepare(&settings) {
                warn!("A listening socket cannot be set: {error}");
            }
        }
    }

    fn admit(&self, accepted: Accepted) {
        let settings = (self.settings)();
        self.shared.accepted.fetch_add(1, Ordering::Relaxed);
        let refusal = if self.shared.clients() >= settings.maxclients as usize {
            Some("-ERR max number of clients reached\r\n")
        } else if is_unprotected(&settings, &accepted) {
            Some(PROTECTED)
        } else {
            None
        };
        match refusal {
            Some(text) => {
                self.shared.rejected.fetch_add(1, Ordering::Relaxed);
                accepted.refuse(text);
            }
            None => (self.adopt)(self.shared.seat(), accepted),
        }
    }
}

/// What a client hears that comes from afar to a server without password and `bind`.
const PROTECTED: &str = "-DENIED Troupe is running in protected mode because protected mode is \
    enabled and no password is set for the default user. In this mode connections are only \
    accepted from the loopback interface. If you want to connect from external computers, you may \
    adopt one of the following solutions: 1) Disable protected mode by sending 'CONFIG SET \
    protected-mode no' from the loopback interface. 2) Set 'protected-mode no' in the \
    configuration file and restart. 3) Set a password for the default user with 'requirepass'. \
    You only need to do one of the above.\r\n";

fn is_unprotected(settings: &Settings, accepted: &Accepted) -> bool {
    let Accepted::Tcp(_, peer) = accepted else { return false };
    // Not asked of the socket, which has forgotten it when the client has gone already.
    let address = peer.address.parse::<SocketAddr>();
    let is_near = address.is_ok_and(|address| match address.ip() {
        IpAddr::V4(ip) => ip.is_loopback(),
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
        }
    });
    settings.protected_mode && settings.passwords.is_none_needed() && !is_near
}

impl Accepted {
    fn refuse(self, text: &str) {
        use std::io::Write;
        // One try without waiting: whoever cannot take one line gets none.
        let _ = match self {
            Accepted::Tcp(mut stream, _) => stream.write(text.as_bytes()),
            Accepted::Unix(mut stream, _) => stream.write(text.as_bytes()),
        };
    }
}

fn poll_accept(door: &Door, task: &mut TaskContext<'_>) -> Poll<io::Result<Accepted>> {
    match door {
        Door::Tcp(listener) => {
            let (socket, address) = ready!(listener.poll_accept(task))?;
            let stream = TcpStream::from(socket);
            let address = match address {
                Some(address) => SocketAddr::try_from(address)?,
                None => stream.peer_addr()?,
            };
            let peer = Peer {
                address: address.to_string(),
                local: stream.local_addr()?.to_string(),
                descriptor: stream.as_raw_fd(),
                unix: false,
            };
            Poll::Ready(Ok(Accepted::Tcp(stream, peer)))
        }
        Door::Unix(listener, path) => {
            let (socket, _) = ready!(listener.poll_accept(task))?;
            let stream = UnixStream::from(socket);
            let address = format!("{path}:0");
            let peer = Peer {
                local: address.clone(),
                address,
                descriptor: stream.as_raw_fd(),
                unix: true,
            };
            Poll::Ready(Ok(Accepted::Unix(stream, peer)))
        }
    }
}

impl Actor for Listener {
    type Context = Context<Listener>;

    fn started(&mut self, ctx: &mut Context<Listener>) {
        let pause = self.wait.take().map(|wait| Box::pin(sleep(wait)));
        ctx.spawn(Runner { pause });
    }
}

impl Guarded for Listener {
    fn guard(&mut self) -> &mut Guard {
        &mut self.guard
    }
}

impl Supervised for Listener {
    fn restarting(&mut self, _: &mut Context<Listener>) {
        self.guard.restarted();
        let wait_ms = self.back_off.restarted(self.clock.steady_ms());
        self.wait = (wait_ms > 0).then(|| Duration::from_millis(wait_ms));
    }
}

struct Runner {
    pause: Option<Pin<Box<Sleep>>>,
}

impl ActorFuture<Listener> for Runner {
    type Output = ();

    fn poll(
        mut self: Pin<&mut Self>,
        actor: &mut Listener,
        ctx: &mut Context<Listener>,
        task: &mut TaskContext<'_>,
    ) -> Poll<()> {
        loop {
            if let Some(pause) = &mut self.pause {
                ready!(pause.as_mut().poll(task));
                self.pause = None;
            }
            match actor.guarded(ctx, |listener| listener.accept(task)) {
                Some(Poll::Pending) => return Poll::Pending,
                Some(Poll::Ready(())) => self.pause = Some(Box::pin(sleep(PAUSE))),
                None => return Poll::Ready(()),
            }
        }
    }
}

impl Handler<Open> for Listener {
    type Result = ();

    fn handle(&mut self, open: Open, _: &mut Context<Listener>) {
        let opened = doors::open_beside(&self.doors, &open.settings);
        self.opened = opened.inspect_err(|error| warn!("{error:#}")).ok();
        if self.opened.is_none() {
            self.prepare();
        }
        // Who asked has gone when nobody hears it; what was opened is settled all the same.
        let _ = open.opened.send(self.opened.is_some());
    }
}

impl Handler<Settle> for Listener {
    type Result = ();

    fn handle(&mut self, settle: Settle, _: &mut Context<Listener>) {
        match self.opened.take().filter(|_| settle.takes) {
            Some(opened) => opened.replace(&mut self.doors),
            None => self.prepare(),
        }
    }
}

impl Handler<Panic> for Listener {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<Listener>) {
        self.panics_next = true;
    }
}
