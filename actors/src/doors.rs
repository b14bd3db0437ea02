//! The sockets that clients come in by: opened as the settings say, at the start and by CONFIG SET.
//!
//! A client's socket takes after the one that it comes in by, so what is the same for all clients
//! is set there once.
//!
//! New sockets are opened beside the old ones, so that a change that fails has changed nothing. An
//! address that stays keeps its socket, with the clients that wait in it. One that overlaps an old
//! one (`*` and `127.0.0.1` of one port) is let in by the old one for the moment of its opening:
//! at any other time the system refuses a second server on the same port.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tracing::warn;
use troupe::settings::Settings;

use crate::watched::Watched;

/// A socket that clients connect to, in the event loop of the thread that accepts. The sockets of
/// the clients are not: each belongs to the loop of another thread.
#[derive(Debug)]
pub enum Door {
    /// TCP.
    Tcp(Watched),
    /// A unix socket, with its path.
    Unix(Watched, String),
}

/// The TCP sockets of new settings, beside those that are there.
#[derive(Debug)]
pub struct Opened {
    new: Vec<Door>,
    kept: Vec<SocketAddr>,
}

impl Door {
    fn address(&self) -> Option<SocketAddr> {
        match self {
            Door::Tcp(listener) => listener.socket().local_addr().ok()?.as_socket(),
            Door::Unix(..) => None,
        }
    }

    /// Sets what the sockets of its clients begin with.
    ///
    /// # Errors
    /// Where the system refuses it.
    pub fn prepare(&self, settings: &Settings) -> io::Result<()> {
        match self {
            Door::Tcp(listener) => prepare(&listener.socket(), settings.tcp_keepalive),
            Door::Unix(..) => Ok(()),
        }
    }
}

/// The longest time that the system takes for `tcp-keepalive`, in seconds.
const KEEPALIVE_MAX: u32 = 32_767;

/// Small packets leave at once; a client that is gone is noticed after `keepalive` seconds and some
/// questions, or never where that is 0.
fn prepare(socket: &SockRef<'_>, keepalive: u32) -> io::Result<()> {
    socket.set_tcp_nodelay(true)?;
    socket.set_keepalive(keepalive > 0)?;
    if keepalive == 0 {
        return Ok(());
    }
    let keepalive = keepalive.min(KEEPALIVE_MAX);
    let after = Duration::from_secs(u64::from(keepalive));
    let often = Duration::from_secs(u64::from((keepalive / 3).max(1)));
    let keepalive = TcpKeepalive::new().with_time(after).with_interval(often).with_retries(3);
    socket.set_tcp_keepalive(&keepalive)
}

/// Opens all sockets of a server that starts.
///
/// # Errors
/// Which one cannot be opened and why, or that there is none.
pub fn open(settings: &Settings) -> anyhow::Result<Vec<Door>> {
    let mut doors = open_beside(&[], settings)?.new;
    if !settings.unixsocket.as_os_str().is_empty() {
        doors.push(open_unix(settings)?);
    }
    if doors.is_empty() {
        bail!("there is nothing to listen on: set `port` or `unixsocket`");
    }
    Ok(doors)
}

/// Opens the TCP sockets that the settings ask for and that are not there yet.
///
/// # Errors
/// Which one cannot be opened and why; then none is.
pub fn open_beside(there: &[Door], settings: &Settings) -> anyhow::Result<Opened> {
    let mut opened = Opened { new: Vec::new(), kept: Vec::new() };
    if settings.port == 0 {
        return Ok(opened);
    }
    for name in &settings.bind {
        let may_fail = name.starts_with('-');
        let name = name.trim_start_matches('-');
        match open_tcp(name, there, settings, &mut opened) {
            Ok(()) => {}
            Err(error) if may_fail => warn!("{name} is not listened on: {error:#}"),
            Err(error) => {
                let port = settings.port;
                return Err(error.context(format!("Failed listening on port {port} (tcp)")));
            }
        }
    }
    if opened.new.is_empty() && opened.kept.is_empty() && !settings.bind.is_empty() {
        bail!("none of the addresses of `bind` can be listened on");
    }
    Ok(opened)
}

impl Opened {
    /// Takes the place of the TCP sockets that are there.
    pub fn replace(self, doors: &mut Vec<Door>) {
        doors.retain(|door| door.address().is_none_or(|address| self.kept.contains(&address)));
        doors.extend(self.new);
    }
}

fn open_tcp(
    name: &str,
    there: &[Door],
    settings: &Settings,
    opened: &mut Opened,
) -> anyhow::Result<()> {
    let host = match name {
        "*" => "0.0.0.0",
        "::*" => "::",
        name => name,
    };
    let address = (host, settings.port)
        .to_socket_addrs()
        .with_context(|| format!("`bind {name}` names no address"))?
        .next()
        .with_context(|| format!("`bind {name}` names no address"))?;
    if let Some(door) = there.iter().find(|door| door.address() == Some(address)) {
        door.prepare(settings)?;
        opened.kept.push(address);
        return Ok(());
    }
    let sharing = Sharing::begin(there, address.port());
    let shares = !sharing.0.is_empty();
    let socket = listen(address, shares, settings).with_context(|| {
        format!("Could not create server TCP listening socket {name}:{}: bind", settings.port)
    })?;
    opened.new.push(Door::Tcp(Watched::new(socket.into())?));
    Ok(())
}

fn listen(address: SocketAddr, shares: bool, settings: &Settings) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(shares)?;
    prepare(&SockRef::from(&socket), settings.tcp_keepalive)?;
    socket.bind(&address.into())?;
    socket.listen(settings.tcp_backlog as i32)?;
    socket.set_reuse_port(false)?;
    Ok(socket)
}

/// While it lives, the sockets on a port let others of this process in.
struct Sharing<'a>(Vec<&'a Watched>);

impl Sharing<'_> {
    fn begin(there: &[Door], port: u16) -> Sharing<'_> {
        let on_port = there.iter().filter_map(|door| match door {
            Door::Tcp(listener) if door.address()?.port() == port => Some(listener),
            _ => None,
        });
        let sharing = Sharing(on_port.collect());
        sharing.set(true);
        sharing
    }

    fn set(&self, shares: bool) {
        for listener in &self.0 {
            if let Err(error) = listener.socket().set_reuse_port(shares) {
                warn!("A listening socket cannot be shared: {error}");
            }
        }
    }
}

impl Drop for Sharing<'_> {
    fn drop(&mut self) {
        self.set(false);
    }
}

/// The socket's file gets its permissions before anybody can connect.
fn open_unix(settings: &Settings) -> anyhow::Result<Door> {
    let path = &settings.unixsocket;
    let open = || -> io::Result<Door> {
        if std::fs::exists(path)? {
            std::fs::remove_file(path)?;
        }
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        socket.bind(&socket2::SockAddr::unix(path)?)?;
        if settings.unixsocketperm > 0 {
            let mode = std::fs::Permissions::from_mode(settings.unixsocketperm);
            std::fs::set_permissions(path, mode)?;
        }
        socket.listen(settings.tcp_backlog as i32)?;
        Ok(Door::Unix(Watched::new(socket.into())?, path.display().to_string()))
    };
    open().with_context(|| format!("the unix socket {} cannot be opened", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(bind: &str, port: u16) -> Settings {
        let mut settings = Settings::default();
        settings.set("bind", &[bind]).unwrap();
        settings.set("port", &[&port.to_string()]).unwrap();
        settings
    }

    fn free_port() -> u16 {
        std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
    }

    fn addresses(doors: &[Door]) -> Vec<String> {
        doors.iter().filter_map(|door| Some(door.address()?.to_string())).collect()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn an_address_inside_another_is_opened_beside_it() {
        let port = free_port();
        let mut doors = open(&settings("0.0.0.0", port)).unwrap();
        let narrow = settings("127.0.0.1 127.0.0.2", port);
        open_beside(&doors, &narrow).unwrap().replace(&mut doors);
        assert_eq!(addresses(&doors), [format!("127.0.0.1:{port}"), format!("127.0.0.2:{port}")]);
        let kept = match &doors[0] {
            Door::Tcp(listener) => std::os::fd::AsRawFd::as_raw_fd(&*listener.socket()),
            Door::Unix(..) => -1,
        };
        open_beside(&doors, &settings("127.0.0.1", port)).unwrap().replace(&mut doors);
        assert!(matches!(&doors[..], [Door::Tcp(there)]
            if std::os::fd::AsRawFd::as_raw_fd(&*there.socket()) == kept));
        open_beside(&doors, &settings("*", port)).unwrap().replace(&mut doors);
        assert_eq!(addresses(&doors), [format!("0.0.0.0:{port}")]);
        assert!(open(&settings("127.0.0.1", port)).is_err(), "nobody else is let in");
    }

    /// The options of a client that connects now.
    async fn of_a_client(doors: &[Door]) -> (bool, bool, Duration) {
        let [Door::Tcp(listener)] = doors else { panic!("one socket is listened on") };
        let address = doors[0].address().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let accepted = std::future::poll_fn(|task| listener.poll_accept(task)).await.unwrap();
        let socket = SockRef::from(&accepted.0);
        let from = SocketAddr::try_from(accepted.1.unwrap()).unwrap();
        assert_eq!(from, client.local_addr().unwrap());
        let is_blocking = !socket.nonblocking().unwrap();
        assert!(socket.tcp_nodelay().unwrap());
        (is_blocking, socket.keepalive().unwrap(), socket.tcp_keepalive_time().unwrap())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_client_takes_after_the_socket_that_it_comes_in_by() {
        let mut settings = settings("127.0.0.1", free_port());
        let mut doors = open(&settings).unwrap();
        assert_eq!(of_a_client(&doors).await, (false, true, Duration::from_secs(300)));
        settings.set("tcp-keepalive", &["20"]).unwrap();
        open_beside(&doors, &settings).unwrap().replace(&mut doors);
        assert_eq!(of_a_client(&doors).await, (false, true, Duration::from_secs(20)));
        settings.set("tcp-keepalive", &["2147483647"]).unwrap();
        doors[0].prepare(&settings).unwrap();
        assert_eq!(of_a_client(&doors).await.2, Duration::from_secs(KEEPALIVE_MAX.into()));
        settings.set("tcp-keepalive", &["0"]).unwrap();
        doors[0].prepare(&settings).unwrap();
        assert!(!of_a_client(&doors).await.1);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_cannot_be_opened_leaves_all_as_it_was() {
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = free_port();
        let doors = open(&settings("127.0.0.1", port)).unwrap();
        let wanted = settings("127.0.0.1", taken.local_addr().unwrap().port());
        open_beside(&doors, &wanted).unwrap_err();
        open_beside(&doors, &settings("127.0.0.1 192.0.2.1", port)).unwrap_err();
        assert!(open_beside(&doors, &settings("127.0.0.1 -192.0.2.1", port)).is_ok());
        assert_eq!(addresses(&doors), [format!("127.0.0.1:{port}")]);
    }
}
