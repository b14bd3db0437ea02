//! This server as a replica: who follows its primary, and REPLICAOF, which says whom.
//!
//! ```text
//!   connect --> present --> +FULLRESYNC: the snapshot into a file, then its keys at one moment
//!      ^           |                                                      |
//!      |           '------> +CONTINUE ----------------------------------->|
//!      |                                                                  v
//!      '---- the link is lost, or never was ---- the stream comes over a connection of its own
//! ```
//!
//! One task does so, step by step. What each step says and means the core decides
//! (`troupe::replication`); the stream is carried out by a connection like that of any client
//! ([`crate::connection`]), which says how far it is ([`crate::upstream`]). REPLICAOF has the task
//! let go of one primary before anything of the server's part changes.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use troupe::base::hash::Hasher;
use troupe::commands::error::CommandError;
use troupe::place::StreamPlace;
use troupe::replication::{Granted, Handshake, Introduction, Turn};
use troupe::resp::encode;
use troupe::session::Peer;
use troupe::settings::{Fsync, Replication, Settings};
use troupe::shard::letter::Letter;
use troupe::stats::facts::{LinkFacts, LinkState};

use super::Admin;
use super::sync::receive;
use crate::shared::Seat;
use crate::upstream::Upstream;

/// Brings a connection to the primary, whose stream goes on in a database, to the thread of its
/// seat.
pub type Joins = Box<dyn Fn(Seat, std::net::TcpStream, Peer, u32) + Send + Sync>;

/// How long it waits before it tries again, at first and at the most.
const AGAIN: Duration = Duration::from_millis(100);
const AGAIN_MAX: Duration = Duration::from_secs(1);

/// How often it says how far it is.
const SAYS: Duration = Duration::from_secs(1);

/// How often it looks after the link.
const LOOK: Duration = Duration::from_millis(100);

/// How often is looked whether replicas have been sent all, before they are cut off.
const SENT: Duration = Duration::from_millis(1);

/// How long one primary may take to be let go of.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of a line at most. Who answers more does not speak the protocol.
const LINE_MAX: usize = 64 * 1024;

const WRONG_HOST: CommandError = CommandError::Text("ERR Invalid primary host");
const NOT_LET_GO: CommandError =
    CommandError::Text("ERR the stream of the primary does not come to its end");

/// Whom the task follows.
#[derive(Debug, Default)]
pub(super) struct Target {
    primary: Option<(String, u16)>,
    /// Changes with the primary.
    generation: u64,
    /// That of the primary that the task knows.
    seen: u64,
    /// The data set is that of the stream at the offset where the stream is: it can go on.
    is_known: bool,
}

/// How a change of the primary ends: what REPLICAOF answers.
type Changed = oneshot::Receiver<Result<&'static str, CommandError>>;

/// A place in the stream up to which the journal may be durable.
#[derive(Debug, Default)]
struct Durable {
    /// Up to where it is.
    offset: u64,
    /// A place further on, and how far the journal has to be for that.
    next: Option<(u64, Vec<u64>)>,
}

impl Admin {
    /// How a connection comes to the thread of its seat, and how all shards hash keys.
    pub fn met_threads(&self, joins: Joins, hasher: Hasher) {
        // There is one of each.
        let _ = self.threads.set(joins);
        let _ = self.hasher.set(hasher);
    }

    fn target(&self) -> MutexGuard<'_, Target> {
        self.target.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The data set is that of the stream at the offset where the stream is.
    pub(super) fn knows_stream(&self) {
        self.target().is_known = true;
    }

    /// Whether the data set is that of the stream at the offset where the stream is.
    pub(super) fn has_data_of_stream(&self) -> bool {
        self.target().is_known && !self.upstream().is_lost()
    }

    fn upstream(&self) -> &Upstream {
        &self.parts.shared.upstream
    }

    /// The settings name a primary: it is followed, from where the data set is in its stream.
    pub(super) fn follow_from_start(&self, place: Option<StreamPlace>) {
        let replicas = &self.parts.shared.replicas;
        // There may be fewer databases than before.
        let place = place.filter(|place| place.db < self.settings().databases);
        let is_known = place.is_some();
        match place {
            Some(StreamPlace { id, offset, db }) => {
                replicas.follow_from(id, offset);
                self.upstream().set_db(db);
            }
            None => replicas.follow(),
        }
        let mut target = self.target();
        target.primary.clone_from(&self.settings().replication.replicaof);
        target.is_known = is_known;
    }

    /// REPLICAOF, carried out to its end even when the client goes meanwhile.
    pub(super) async fn replicaof(
        self: &Arc<Admin>,
        primary: Option<(String, u16)>,
    ) -> Result<&'static str, CommandError> {
        let (_, ended) = self.spawn_change(primary)?;
        ended.await.unwrap_or(Err(CommandError::Internal))
    }

    /// REPLICAOF inside EXEC. Returns when no client of a primary writes any more before it is a
    /// replica: the rest may need the slots that EXEC holds.
    pub(super) async fn begin_replicaof(
        self: &Arc<Admin>,
        primary: Option<(String, u16)>,
    ) -> Result<(), CommandError> {
        let (begun, _) = self.spawn_change(primary)?;
        // Its end is all that tells: nothing is sent.
        let _ = begun.await;
        Ok(())
    }

    /// Begins a change of the primary. Returns who hears when no more than it itself is needed for
    /// it, and who hears how it ends.
    fn spawn_change(
        self: &Arc<Admin>,
        primary: Option<(String, u16)>,
    ) -> Result<(oneshot::Receiver<()>, Changed), CommandError> {
        let is_host =
            |(host, _): &(String, u16)| !host.is_empty() && !host.contains(char::is_whitespace);
        if primary.as_ref().is_some_and(|primary| !is_host(primary)) {
            return Err(WRONG_HOST);
        }
        let (begins, begun) = oneshot::channel();
        let (done, ended) = oneshot::channel();
        let admin = self.clone();
        actix_rt::spawn(async move {
            // Who asked may have gone meanwhile.
            let _ = done.send(admin.change_primary(primary, begins).await);
        });
        Ok((begun, ended))
    }

    /// Drops `begins` ahead of all that may need slots, and where a primary is to become a replica
    /// when no client writes any more.
    async fn change_primary(
        &self,
        primary: Option<(String, u16)>,
        begins: oneshot::Sender<()>,
    ) -> Result<&'static str, CommandError> {
        let mut begins = Some(begins);
        let _one = match self.changing.try_lock() {
            Ok(one) => one,
            Err(_) => {
                begins = None;
                self.changing.lock().await
            }
        };
        let before = self.settings();
        if before.replication.replicaof == primary {
            return Ok(match primary {
                Some(_) => "OK Already connected to specified primary",
                None => "OK",
            });
        }
        // The stream of a primary needs to write until it has come to its end.
        let holds = before.replication.replicaof.is_none();
        if holds {
            self.hold_writes().await;
        }
        drop(begins);
        let changed = self.change_primary_to(primary, before).await;
        if holds {
            self.let_writes_in().await;
        }
        changed
    }

    /// The same, to another one than before. Where there was none, no client writes meanwhile.
    async fn change_primary_to(
        &self,
        primary: Option<(String, u16)>,
        before: Arc<Settings>,
    ) -> Result<&'static str, CommandError> {
        if !self.lets_go().await {
            self.set_target(before.replication.replicaof.clone());
            return Err(NOT_LET_GO);
        }
        let mut settings = Settings::clone(&before);
        let words = primary.as_ref().map(|(host, port)| [host.clone(), port.to_string()]);
        let words = words.iter().flatten().collect::<Vec<_>>();
        let set = settings.set("replicaof", &words);
        set.map_err(|error| CommandError::Quoted(format!("ERR {error}")))?;
        let settings = Arc::new(settings);
        match (&before.replication.replicaof, &primary) {
            (None, Some((host, port))) => {
                info!("REPLICAOF {host}:{port} enabled");
                self.become_replica(settings).await;
            }
            (Some(_), None) => {
                info!("MASTER MODE enabled");
                self.become_primary(settings).await;
            }
            _ => {
                self.parts.shared.replicas.cut_all();
                self.publish_part(settings).await;
            }
        }
        self.set_target(primary);
        Ok("OK")
    }

    /// No client writes any more, and nothing is recorded from here on. What was the server's own
    /// stream may be a part of the primary's.
    async fn become_replica(&self, settings: Arc<Settings>) {
        let replicas = &self.parts.shared.replicas;
        self.publish_part(settings).await;
        self.unblock_all().await;
        let place = self.stream_place().await;
        let sent = async {
            while !replicas.have_sent_all() {
                sleep(SENT).await;
            }
        };
        // Whoever lags asks anew for what it lacks.
        let _ = timeout(LOOK, sent).await;
        replicas.follow();
        self.record_stream(false).await;
        self.target().is_known = place.is_some();
        self.upstream().set_db(0);
    }

    /// The stream is the server's own from here on, before any client has written.
    async fn become_primary(&self, settings: Arc<Settings>) {
        let replicas = &self.parts.shared.replicas;
        self.hold_writes().await;
        let is_known = self.target().is_known && self.upstream().take_lost().is_none();
        replicas.lead(is_known, self.parts.clock.steady_ms());
        if replicas.is_on() {
            self.record_stream(true).await;
        }
        self.publish_part(settings).await;
        self.let_writes_in().await;
    }

    async fn publish_part(&self, settings: Arc<Settings>) {
        *self.parts.settings.write().unwrap_or_else(|poisoned| poisoned.into_inner()) =
            settings.clone();
        self.tell_all(|| Letter::Settings(settings.clone())).await;
    }

    fn set_target(&self, primary: Option<(String, u16)>) {
        let mut target = self.target();
        target.primary = primary;
        target.generation += 1;
        drop(target);
        self.upstream().tell();
    }

    /// Follows nobody any more. Returns false where the stream has not come to its end.
    async fn lets_go(&self) -> bool {
        self.set_target(None);
        let is_gone = async {
            loop {
                {
                    let target = self.target();
                    if target.seen == target.generation {
                        return;
                    }
                }
                sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(PATIENCE, is_gone).await.is_ok()
    }

    /// Follows whom the target names, for as long as the server lives. A link that has stood for a
    /// while and is lost is made anew at once.
    pub async fn follow_primary(self: Arc<Admin>) {
        let mut again = AGAIN;
        loop {
            let begun_ms = self.parts.clock.steady_ms();
            let (primary, generation) = {
                let mut target = self.target();
                target.seen = target.generation;
                (target.primary.clone(), target.generation)
            };
            let Some((host, port)) = primary else {
                self.upstream().news().await;
                continue;
            };
            let pause = match self.follow(&host, port, generation).await {
                Ok(()) => {
                    again = AGAIN;
                    let stood_ms = self.parts.clock.steady_ms().saturating_sub(begun_ms);
                    AGAIN.saturating_sub(Duration::from_millis(stood_ms))
                }
                Err(why) => {
                    warn!("The primary {host}:{port} is not followed: {why}");
                    again = (again * 2).min(AGAIN_MAX);
                    again
                }
            };
            self.set_link(LinkState::Unlinked);
            tokio::select! {
                () = sleep(pause) => {}
                () = self.is_retargeted(generation) => {}
            }
        }
    }

    fn set_link(&self, link: LinkState) {
        self.upstream().set_link(link, self.parts.clock.steady_ms());
    }

    /// Returns when another primary is to be followed, or none.
    async fn is_retargeted(&self, generation: u64) {
        while self.target().generation == generation {
            // News of another kind may be taken for this, and this for that.
            let _ = timeout(LOOK, self.upstream().news()).await;
        }
    }

    /// Follows a primary until the link is lost.
    ///
    /// # Errors
    /// Why the stream did not even begin.
    async fn follow(
        self: &Arc<Admin>,
        host: &str,
        port: u16,
        generation: u64,
    ) -> anyhow::Result<()> {
        self.set_link(LinkState::Handshake);
        let settings = self.settings();
        let patience = patience_of(&settings.replication);
        let begun = async {
            let mut stream = connect(host, port, patience).await?;
            let granted = self.present(&mut stream, &settings, patience).await?;
            let snapshot = match &granted {
                Granted::Rest { .. } => None,
                Granted::All { .. } => {
                    self.set_link(LinkState::Sync);
                    self.upstream().set_sync(None, 0);
                    let path = snapshot_path(&settings);
                    Some(receive(&mut stream, path, patience, &self.parts.shared).await?)
                }
            };
            Ok::<_, anyhow::Error>((stream, granted, snapshot))
        };
        let (stream, granted, snapshot) = tokio::select! {
            begun = begun => begun?,
            () = self.is_retargeted(generation) => return Ok(()),
        };
        let replicas = &self.parts.shared.replicas;
        match (granted, snapshot) {
            (Granted::All { id, offset }, Some(path)) => {
                info!("MASTER <-> REPLICA sync: Loading DB in memory");
                self.target().is_known = false;
                let install = self.install(path, id, offset);
                tokio::pin!(install);
                loop {
                    tokio::select! {
                        installed = &mut install => break installed?,
                        // The primary hears that somebody is there.
                        () = sleep(SAYS) => { let _ = stream.try_write(b"\n"); }
                    }
                }
                info!("MASTER <-> REPLICA sync: Finished with success");
            }
            (Granted::Rest { id }, _) => {
                info!("Successful partial resynchronization with primary.");
                id.into_iter().for_each(|id| replicas.rename(id));
            }
            (Granted::All { .. }, None) => return Ok(()),
        }
        self.carry_out_stream(stream, generation).await
    }

    /// Presents this server to a primary.
    async fn present(
        &self,
        stream: &mut TcpStream,
        settings: &Settings,
        patience: Duration,
    ) -> anyhow::Result<Granted> {
        let Replication { masteruser, masterauth, replica_announce_ip, .. } = &settings.replication;
        let announced = settings.replication.replica_announce_port;
        let is_known = self.target().is_known;
        let about = Introduction {
            user: masteruser.clone(),
            password: masterauth.clone(),
            port: if announced > 0 { announced } else { settings.port },
            address: replica_announce_ip.clone(),
            has: self.parts.shared.replicas.place().filter(|_| is_known),
        };
        let (mut handshake, first) = Handshake::begin(about);
        timeout(patience, stream.write_all(&first)).await??;
        loop {
            let line = read_line(stream, patience).await?;
            match handshake.hear(&line)? {
                Turn::Send(request) => timeout(patience, stream.write_all(&request)).await??,
                Turn::Wait => {}
                Turn::Take(granted) => return Ok(granted),
            }
        }
    }

    /// The stream comes over this connection, until it is lost or not wanted any more.
    async fn carry_out_stream(&self, stream: TcpStream, generation: u64) -> anyhow::Result<()> {
        let (shared, clock) = (&self.parts.shared, &self.parts.clock);
        let peer = Peer {
            address: stream.peer_addr()?.to_string(),
            local: stream.local_addr()?.to_string(),
            descriptor: stream.as_raw_fd(),
            unix: false,
        };
        let stream = stream.into_std()?;
        // The connection reads, and this task writes.
        let mut back = TcpStream::from_std(stream.try_clone()?)?;
        let Some(joins) = self.threads.get() else { return Ok(()) };
        let offset = shared.replicas.place().map_or(0, |(_, offset)| offset);
        self.upstream().begins(offset, clock.steady_ms());
        joins(shared.seat(), stream, peer, self.upstream().db());
        self.set_link(LinkState::Linked);
        self.tell_all(|| Letter::Linked(true)).await;
        let (mut durable, mut said_ms, mut ends) = (Durable::default(), 0, false);
        while self.upstream().is_there() {
            let now_ms = clock.steady_ms();
            let is_due = now_ms.saturating_sub(said_ms) >= SAYS.as_millis() as u64;
            if self.upstream().take_asked() || is_due {
                said_ms = now_ms;
                let request = self.acknowledgement(&mut durable);
                // One that takes nothing is silent before long.
                let _ = timeout(LOOK, back.write_all(&request)).await;
            }
            let silent_ms = now_ms.saturating_sub(self.upstream().heard_ms());
            let patience = patience_of(&self.settings().replication);
            let is_silent = silent_ms > patience.as_millis() as u64;
            let is_unwanted = self.target().generation != generation || self.upstream().is_lost();
            if !ends && (is_silent || is_unwanted) {
                if is_silent {
                    warn!("MASTER timeout: no data nor PING received...");
                }
                // What has come is carried out all the same.
                let _ = SockRef::from(&back).shutdown(std::net::Shutdown::Both);
                ends = true;
            }
            let _ = timeout(LOOK, self.upstream().news()).await;
        }
        self.set_link(LinkState::Unlinked);
        self.tell_all(|| Letter::Linked(false)).await;
        info!("Connection with primary lost.");
        if let Some(what) = self.upstream().take_lost() {
            warn!("What the primary sent was not carried out, all is synchronized anew: {what}");
            self.target().is_known = false;
        }
        Ok(())
    }

    /// How far this server is, in memory and on disk.
    fn acknowledgement(&self, durable: &mut Durable) -> Vec<u8> {
        let shared = &self.parts.shared;
        let offset = shared.replicas.place().map_or(0, |(_, offset)| offset);
        if let Some((further, marks)) = &durable.next
            && shared.is_durable_to(marks)
        {
            (durable.offset, durable.next) = (*further, None);
        }
        durable.next.get_or_insert_with(|| (offset, shared.sent_to_journal()));
        // What is carried out has waited for the disk then.
        if self.settings().appendfsync == Fsync::Always {
            durable.offset = offset;
        }
        let (applied, journaled) = (offset.to_string(), durable.offset.to_string());
        let mut words: Vec<&[u8]> = vec![b"REPLCONF", b"ACK", applied.as_bytes()];
        if self.writer().is_some() {
            words.extend([&b"FACK"[..], journaled.as_bytes()]);
        }
        let mut request = Vec::new();
        encode::command(&mut request, &words);
        request
    }

    /// What INFO and ROLE say of the link; none where there is no primary.
    pub(super) fn link_facts(&self) -> Option<LinkFacts> {
        self.settings().replication.replicaof.as_ref()?;
        let (upstream, now_ms) = (self.upstream(), self.parts.clock.steady_ms());
        let (state, down_ms) = upstream.link(now_ms);
        let silent = now_ms.saturating_sub(upstream.heard_ms()) / 1_000;
        let (total, read) = upstream.sync();
        Some(LinkFacts {
            state,
            silent_seconds: (state == LinkState::Linked).then_some(silent),
            down_seconds: down_ms.map(|ms| ms / 1_000),
            read: upstream.read(),
            sync: (total, read, silent),
        })
    }
}

fn patience_of(settings: &Replication) -> Duration {
    Duration::from_secs(settings.repl_timeout.into())
}

/// Where the snapshot of a full sync stands while it is loaded.
fn snapshot_path(settings: &Settings) -> PathBuf {
    settings.dir.join(format!("temp-{}-from-primary.rdb", std::process::id()))
}

async fn connect(host: &str, port: u16, patience: Duration) -> anyhow::Result<TcpStream> {
    let found = timeout(patience, tokio::net::lookup_host((host, port))).await??;
    let addresses: Vec<SocketAddr> = found.collect();
    let stream = timeout(patience, TcpStream::connect(&addresses[..])).await??;
    // Without it acknowledgements are a little later.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Reads a line, without its end. What stands behind it stays in the socket.
pub(super) async fn read_line(
    stream: &mut TcpStream,
    patience: Duration,
) -> anyhow::Result<Vec<u8>> {
    let mut line = Vec::new();
    loop {
        let byte = timeout(patience, stream.read_u8()).await??;
        match byte {
            b'\n' => {
                if line.last() == Some(&b'\r') {
                    line.pop();
                }
                return Ok(line);
            }
            byte if line.len() < LINE_MAX => line.push(byte),
            _ => return Err(io::Error::from(io::ErrorKind::InvalidData).into()),
        }
    }
}
