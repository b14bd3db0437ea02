//! What memory a connection says that it holds.

use super::{Client, Socket, set};
use crate::clients::Buffers;

#[test]
fn what_came_is_counted_where_it_is() {
    let mut client = Client::new();
    assert_eq!(client.buffers(), Buffers::default());
    let request = set("key", 50_000);
    let begun = request.find('x').expect("the value");
    client.send(&request[..begun + 40_000]);
    let buffers = client.buffers();
    assert_eq!((buffers.query, buffers.arguments), (40_000, begun));
    assert!(buffers.query_free > 0);
    client.stays_away = true;
    client.send(format!("{}PING", &request[begun + 40_000..]));
    let away = client.buffers();
    assert_eq!((away.query, away.arguments), (4, request.len()));
    assert_eq!(away.input_bytes(), buffers.input_bytes(), "it is the same buffer");
    client.let_home();
    client.run();
    assert_eq!((client.buffers().query, client.buffers().arguments), (4, 0));
    client.stays_away = false;
    client.send("\r\n");
    assert_eq!(client.said(), "+OK\r\n+PONG\r\n");
    let rests = Buffers { replies_peak: 7, ..Buffers::default() };
    assert_eq!(client.buffers(), rests, "it keeps no buffers");
    client.connection.forget_peak();
    assert_eq!(client.buffers(), Buffers::default());
}

#[test]
fn what_goes_is_counted_where_it_is() {
    let mut client = Client::new();
    client.store.run_words(&[b"SET", b"big", &[b'x'; 200_000]]);
    client.socket = Socket::TakesUpTo(3);
    client.send("PING\r\n");
    let buffers = client.buffers();
    assert_eq!((buffers.replied, buffers.pieces, buffers.output), (4, 0, 0));
    assert!(buffers.replies >= 7);
    client.socket = Socket::Takes;
    client.run();
    client.socket = Socket::TakesUpTo(0);
    client.send("GET big\r\n");
    let buffers = client.buffers();
    assert_eq!((buffers.replied, buffers.pieces), (0, 1));
    assert!(buffers.output >= 200_000 && buffers.output_bytes() >= buffers.output);
    client.push(&[b'y'; 100]);
    let more = client.buffers();
    assert_eq!((more.replied, more.pieces), (0, 2));
    assert!(more.output >= buffers.output + 100);
    client.socket = Socket::Takes;
    client.run();
    assert_eq!((client.buffers().pieces, client.buffers().output), (0, 0));
    client.stays_away = true;
    client.send("PING\r\n");
    client.push(&[b'y'; 70_000]);
    assert_eq!(client.buffers().output, 70_000, "it waits for the batch");
}

#[test]
fn what_is_queued_and_watched_counts_with_the_client() {
    let mut client = Client::new();
    let mut memory = |request: &str| {
        client.send(request);
        client.connection.weigh();
        client.row.borrow().memory()
    };
    let idle = memory("PING\r\n");
    let watching = memory("WATCH a-key-with-a-name\r\n");
    assert!(watching > idle + "a-key-with-a-name".len());
    assert!(memory("MULTI\r\n") >= watching);
    assert!(memory(&set("key", 50_000)) > watching + 50_000);
    assert_eq!(memory("DISCARD\r\n"), idle);
}
