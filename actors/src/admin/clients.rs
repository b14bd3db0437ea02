//! Clients as the server sees them: listed, closed, paused, monitoring.

use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;
use troupe::clients::{self, Counted, MonitorClient, Pause, Pauses, Row};
use troupe::commands::error::CommandError;
use troupe::commands::filter::{Condition, Filter, Property};
use troupe::parked::Why;
use troupe::question::Question;
use troupe::resp::Reply;
use troupe::shard::letter::Letter;

use super::Admin;
use crate::message::shard::{AskClients, ClientsQuestion};

/// How long the end of the server waits for clients to take their last replies.
const GOODBYE: Duration = Duration::from_millis(500);

/// How often a thread may have its turn while clients are closed: it has closed all of one size
/// then.
const TURNS: usize = 64;

/// Means one client.
fn of_client(id: u64) -> Filter {
    let mut filter = Filter::default();
    filter.add(Condition { property: Property::Id(vec![id]), wanted: true });
    filter
}

impl Admin {
    pub(super) async fn client_list(&self, filter: Filter, reply: &mut Reply<'_>) {
        let rows = self.ask_clients(ClientsQuestion::List(filter)).await;
        reply.verbatim(b"txt", &clients::list(rows, self.parts.clock.now()));
    }

    pub(super) async fn client_info(&self, id: u64, reply: &mut Reply<'_>) {
        let own = self.ask_clients(ClientsQuestion::List(of_client(id))).await;
        reply.verbatim(b"txt", &clients::list(own, self.parts.clock.now()));
    }

    pub(super) async fn client_kill(
        &self,
        filter: Filter,
        old_form: bool,
        asker: u64,
        reply: &mut Reply<'_>,
    ) -> Result<(), CommandError> {
        let killed = self.ask_clients(ClientsQuestion::Kill(filter, asker)).await.len();
        match (old_form, killed) {
            (true, 0) => return Err(CommandError::Text("ERR No such client")),
            (true, _) => reply.ok(),
            (false, killed) => reply.int(killed as i64),
        }
        Ok(())
    }

    /// Where a client is and stays, as bytes; none where there is no such client.
    pub(super) async fn find_client(&self, id: u64) -> Vec<u8> {
        let rows = self.ask_clients(ClientsQuestion::Find(id)).await;
        rows.first().map_or_else(Vec::new, |row| row.home.to_bytes())
    }

    /// Ends the wait of a client. Returns whether it did wait.
    pub(super) async fn client_unblock(&self, id: u64, with_error: bool) -> bool {
        let why = if with_error { Why::Asked } else { Why::TimedOut };
        !self.ask_clients(ClientsQuestion::Unblock { id, why }).await.is_empty()
    }

    /// Ends the waits of all clients, since the server is a replica from now on.
    pub(super) async fn unblock_all(&self) {
        self.ask_clients(ClientsQuestion::UnblockAll).await;
    }

    /// CLIENT PAUSE and CLIENT UNPAUSE.
    pub(super) async fn client_pause(&self, asked: Option<Pause>) {
        let now = self.parts.clock.now();
        self.change_pauses(|pauses| pauses.ask(asked, now)).await;
    }

    /// The pause in force.
    pub(super) fn paused(&self) -> Option<Pause> {
        self.pauses().in_force(self.parts.clock.now())
    }

    /// Lets no write in until [`Admin::let_writes_in`], which has to be called as often. Parts of
    /// the server do so independently of each other.
    pub(super) async fn hold_writes(&self) {
        self.change_pauses(Pauses::hold_writes).await;
    }

    /// Ends what [`Admin::hold_writes`] began.
    pub(super) async fn let_writes_in(&self) {
        self.change_pauses(Pauses::let_writes_in).await;
    }

    /// Changes what holds writes back, and tells the shards before somebody else changes it.
    async fn change_pauses(&self, change: impl FnOnce(&mut Pauses)) {
        {
            let mut pauses = self.pauses();
            change(&mut pauses);
            let pause = pauses.in_force(self.parts.clock.now());
            self.parts.post.send_all(|| Letter::Pause(pause));
        }
        self.ask_all(Question::Nothing).await;
    }

    fn pauses(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// From now on this client sees every command.
    pub(super) async fn add_monitor(&self, monitor: MonitorClient) {
        self.change_monitors(|monitors| {
            monitors.retain(|other| other.client != monitor.client);
            monitors.push(monitor);
        });
        self.ask_all(Question::Nothing).await;
    }

    /// Changes the list of monitors, and publishes it before somebody else changes it.
    pub(super) fn change_monitors(&self, change: impl FnOnce(&mut Vec<MonitorClient>)) {
        let mut monitors = self.monitors.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        change(&mut monitors);
        let published: Arc<[MonitorClient]> = monitors.as_slice().into();
        self.parts.post.send_all(|| Letter::Monitors(published.clone()));
    }

    /// Closes every client, and returns when all are gone or have had their time.
    pub async fn let_clients_go(&self) {
        self.ask_clients(ClientsQuestion::Kill(Filter::default(), 0)).await;
        for _ in 0..50 {
            if self.parts.shared.clients() == 0 {
                return;
            }
            tokio::time::sleep(GOODBYE / 50).await;
        }
    }

    /// Every thread knows of another limit for the memory of all clients: who has to go, goes. The
    /// threads give each other the turn, a bounded number of times.
    pub(super) async fn evict_clients(&self) {
        let settings = self.settings();
        let Some(limit) = settings.maxmemory_clients.limit(settings.maxmemory) else { return };
        for _ in 0..TURNS * self.parts.shards.len() {
            self.ask_clients(ClientsQuestion::Evict).await;
            if self.parts.shared.whose_turn(Counted::All, limit).is_none() {
                return;
            }
        }
    }

    /// Asks all threads. None of the clients is on its way between two of them meanwhile.
    async fn ask_clients(&self, question: ClientsQuestion) -> Vec<Row> {
        let _standstill = self.parts.shared.moves.stand_still().await;
        let mut receivers = Vec::new();
        for shard in &self.parts.shards {
            let (answer, receiver) = oneshot::channel();
            shard.clients.do_send(AskClients { question: question.clone(), answer });
            receivers.push(receiver);
        }
        let mut rows = Vec::new();
        for receiver in receivers {
            rows.extend(receiver.await.unwrap_or_default());
        }
        rows
    }
}
