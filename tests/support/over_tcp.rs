//! Scripts run against a process, ours or an oracle.

use std::collections::BTreeMap;
use std::time::Duration;

use super::client::Client;
use super::reply::Reply;
use super::script::Runner;
use super::server::Server;

/// Runs scripts against a process, ours or an oracle.
pub struct OverTcp<'a> {
    server: &'a Server,
    clients: BTreeMap<String, Client>,
    /// Replies that clients have not taken.
    due: BTreeMap<String, usize>,
}

impl<'a> OverTcp<'a> {
    /// A runner for that server.
    pub fn new(server: &'a Server) -> OverTcp<'a> {
        OverTcp { server, clients: BTreeMap::new(), due: BTreeMap::new() }
    }

    /// Looks at the row of a client in CLIENT LIST until it says what is wanted.
    fn until_row(&self, what: &str, name: &str, mut is: impl FnMut(&Client, Option<&str>) -> bool) {
        let client = &self.clients[name];
        let address = client.address();
        let mut asking = self.server.client();
        super::wait::until(what, super::wait::SOON, || {
            let list = asking.call(&["CLIENT", "LIST"]).text();
            let row = list.lines().find(|row| field(row, "addr") == Some(&address));
            is(client, row)
        });
        drop(asking.try_call(&["QUIT"]));
        drop(asking.read_to_end());
    }

    fn client(&mut self, name: &str) -> &mut Client {
        let server = self.server;
        self.clients.entry(name.into()).or_insert_with(|| server.client())
    }
}

impl Runner for OverTcp<'_> {
    fn reset(&mut self) {
        self.clients.clear();
        self.due.clear();
        let mut client = self.server.client();
        assert!(client.call(&["FLUSHALL"]).is_ok());
        // The connections of the case before must be gone: CLIENT LIST and KILL count them.
        super::wait::until("old connections are closed", super::wait::SOON, || {
            match client.call(&["CLIENT", "LIST"]) {
                Reply::Error(_) => true,
                list => list.text().lines().count() == 1,
            }
        });
        drop(client.try_call(&["QUIT"]));
        drop(client.read_to_end());
    }

    fn run(&mut self, name: &str, args: &[Vec<u8>]) -> Reply {
        let client = self.client(name);
        // Where the server closes on purpose (QUIT, CLIENT KILL) there is a reply or none.
        client.try_call(args).unwrap_or_else(|err| Reply::Error(format!("closed: {}", err.kind())))
    }

    fn send(&mut self, name: &str, args: &[Vec<u8>]) {
        let client = self.client(name);
        client.send(args).unwrap();
        let due = self.due.entry(name.into()).or_default();
        *due += 1;
        if *due > 1 {
            return;
        }
        self.until_row("a client waits", name, |client, row| {
            let flags = row.and_then(|row| field(row, "flags"));
            client.has_reply() || flags.is_some_and(|flags| flags.contains('b'))
        });
    }

    fn take(&mut self, name: &str) -> Reply {
        let due = self.due.entry(name.into()).or_default();
        *due = due.saturating_sub(1);
        let read = self.client(name).read();
        read.unwrap_or_else(|err| Reply::Error(format!("closed: {}", err.kind())))
    }

    fn id(&mut self, name: &str) -> u64 {
        let mut id = None;
        self.client(name);
        self.until_row("a client is there", name, |_, row| {
            id = row.and_then(|row| field(row, "id")?.parse().ok());
            id.is_some()
        });
        id.unwrap_or_default()
    }

    /// The server's own clock is asked until it has moved on: no guess about how fast it runs.
    fn tick(&mut self, by: Duration) {
        let mut client = self.server.client();
        let mut micros = || {
            let time = client.call(&["TIME"]);
            let part = |index: usize| time.members()[index].number().unwrap();
            part(0) * 1_000_000 + part(1)
        };
        let end = micros() + by.as_micros() as i64 + 1_000;
        super::wait::until("time passes", by + super::wait::SOON, || micros() >= end);
    }
}

/// A field of a row of CLIENT LIST.
fn field<'a>(row: &'a str, name: &str) -> Option<&'a str> {
    row.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}
