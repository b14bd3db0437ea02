//! The sockets that clients come in by: opened as the settings say, at the start and by CONFIG SET.
//!
//! New sockets are opened beside the old ones, so that a change that fails has changed nothing. An
//! address that stays keeps its socket, with the clients that wait in it. One that overlaps an old
//! one (`*` and `127.0.0.1` of one port) is let in by the old one for the moment of its opening:
//! at any other time the system refuses a second server on the same port.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context as _, bail};
use socket2::{Domain, Protocol, Socket, Type};
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
    if there.iter().any(|door| door.address() == Some(address)) {
        opened.kept.push(address);
        return Ok(());
    }
    let sharing = Sharing::begin(there, address.port());
    let shares = !sharing.0.is_empty();
    let socket = listen(address, shares, settings.tcp_backlog as i32).with_context(|| {
        format!("Could not create server TCP listening socket {name}:{}: bind", settings.port)
    })?;
    opened.new.push(Door::Tcp(Watched::new(socket.into())?));
    Ok(())
}

fn listen(address: SocketAddr, shares: bool, backlog: i32) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.set_reuse_port(shares)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
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
