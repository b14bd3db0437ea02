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
}

impl<'a> OverTcp<'a> {
    /// A runner for that server.
    pub fn new(server: &'a Server) -> OverTcp<'a> {
        OverTcp { server, clients: BTreeMap::new() }
    }
}

impl Runner for OverTcp<'_> {
    fn reset(&mut self) {
        self.clients.clear();
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
        let server = self.server;
        let client = self.clients.entry(name.into()).or_insert_with(|| server.client());
        // Where the server closes on purpose (QUIT, CLIENT KILL) there is a reply or none.
        client.try_call(args).unwrap_or_else(|err| Reply::Error(format!("closed: {}", err.kind())))
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
