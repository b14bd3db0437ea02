//! Settings that are changed while the server runs and that reach beyond it: sockets, the journal.

use crate::support::client::Client;
use crate::support::server::{Options, Server, free_port};

/// The reply to CONFIG SET of these names and values.
fn set(client: &mut Client, words: &str) -> String {
    let reply = client.line(&format!("CONFIG SET {words}"));
    reply.error().map_or_else(|| reply.text(), str::to_owned)
}

fn get(client: &mut Client, name: &str) -> String {
    client.call(&["CONFIG", "GET", name]).members()[1].text()
}

fn answers(port: u16) -> bool {
    Client::connect(port).is_ok_and(|mut client| client.try_call(&["PING"]).is_ok())
}

#[test]
fn the_port_and_the_addresses_change_with_all_or_nothing() {
    let server: Server = Options::shards(2).start();
    let mut client = server.client();
    let (old, new) = (server.port, free_port());
    assert_eq!(set(&mut client, &format!("port {new}")), "OK");
    assert!(answers(new) && !answers(old));
    assert_eq!(client.call(&["PING"]).text(), "PONG", "who is there stays");

    let holder = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let taken = holder.local_addr().unwrap().port();
    assert_eq!(
        set(&mut client, &format!("port {taken} timeout 9")),
        "ERR CONFIG SET failed (possibly related to argument 'port') - Unable to listen on this \
         port. Check server logs."
    );
    assert_eq!(get(&mut client, "port"), new.to_string());
    assert_eq!(get(&mut client, "timeout"), "0");
    assert!(answers(new));

    let refused = "ERR CONFIG SET failed (possibly related to argument 'bind') - Failed to bind to \
                   specified addresses.";
    assert_eq!(set(&mut client, "bind \"127.0.0.1 192.0.2.1\""), refused);
    assert_eq!(set(&mut client, "bind nonsense.invalid"), refused);
    assert_eq!(get(&mut client, "bind"), "127.0.0.1");
    assert_eq!(set(&mut client, "bind *"), "OK");
    assert_eq!(set(&mut client, "bind \"127.0.0.1 -192.0.2.1\""), "OK");
    assert!(answers(new));
    let info = client.call(&["INFO", "server"]).text();
    assert!(info.contains(&format!("tcp_port:{new}\r\n")), "{info}");
    assert!(info.contains("bind=127.0.0.1"), "{info}");

    assert_eq!(
        set(&mut client, "tcp-backlog 10"),
        "ERR CONFIG SET failed (possibly related to argument 'tcp-backlog') - can't set immutable \
         config"
    );
    assert_eq!(set(&mut client, "port 0"), "OK");
    assert!(!answers(new));
    assert_eq!(set(&mut client, &format!("port {new}")), "OK");
    assert!(answers(new));
}
