//! Ten thousand clients at once on one server: each gets what is meant for it and what is meant for all, and each
//! is heard.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Mutex, PoisonError};

use pinmesh_harness::{Builder, DEADLINE, Side};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const CLIENTS: usize = 10_000;
/// What this process and the server need besides the clients' sockets.
const OTHER_FILES: u64 = 200;

/// One of these at a time: together they would need more open files than many machines allow.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn ten_thousand_connections_with_one_shard() {
    ten_thousand_connections(Side::Ours.server().shards(1));
}

#[test]
fn ten_thousand_connections_with_four_shards() {
    ten_thousand_connections(Side::Ours.server().shards(4));
}

#[test]
fn ten_thousand_connections_with_the_reference() {
    ten_thousand_connections(Side::Reference.server());
}

fn ten_thousand_connections(server: Builder) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    allow_many_files();
    let server = server.start();
    let mut clients: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(server.address())).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(&format!("SUB own.{number} 1\r\nSUB all 2\r\nPING\r\n"));
        client.expect("PONG\r\n");
    }
    let mut centre = Client::connect(server.address());
    centre.send("SUB collect 1\r\nPING\r\n");
    centre.expect("PONG\r\n");

    for number in 0..CLIENTS {
        let text = format!("for {number}");
        centre.send(&format!("PUB own.{number} {}\r\n{text}\r\n", text.len()));
    }
    centre.send("PUB all 7\r\nfor all\r\nPING\r\n");
    centre.expect("PONG\r\n");
    for (number, client) in clients.iter_mut().enumerate() {
        let text = format!("for {number}");
        client.expect(&format!("MSG own.{number} 1 {}\r\n{text}\r\nMSG all 2 7\r\nfor all\r\n", text.len()));
        client.send(&format!("PUB collect 5\r\n{number:05}\r\nPING\r\n"));
    }
    let mut heard = BTreeSet::new();
    for _ in 0..CLIENTS {
        centre.expect("MSG collect 1 5\r\n");
        heard.insert(centre.line());
    }
    assert!(heard.into_iter().eq((0..CLIENTS).map(|number| format!("{number:05}\r\n"))), "everybody is heard once");
    for client in &mut clients {
        client.expect("PONG\r\n");
    }
    centre.send("PING\r\n");
    centre.expect("PONG\r\n");
}

/// Raises the limit on open files for this process, and with it for the servers that it starts.
fn allow_many_files() {
    let needed = CLIENTS as u64 + OTHER_FILES;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    assert!(
        limit.maximum.is_none_or(|maximum| maximum >= needed),
        "this test needs {needed} open files, the hard limit (ulimit -Hn) is {:?}",
        limit.maximum
    );
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("a soft limit up to the hard one");
}

/// A blocking raw connection; every payload in this test is a line.
struct Client(BufReader<TcpStream>);

impl Client {
    fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream.set_read_timeout(Some(DEADLINE)).expect("a socket option");
        // Small, for there are many of them.
        let mut client = Client(BufReader::with_capacity(512, stream));
        let info = client.line();
        assert!(info.starts_with("INFO {"), "{info:?}");
        client.send("CONNECT {\"verbose\":false,\"pedantic\":false}\r\n");
        client
    }

    fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).expect("the server reads");
    }

    /// The next line, after answering the server's own pings.
    fn line(&mut self) -> String {
        loop {
            let mut line = String::new();
            self.0.read_line(&mut line).expect("a line from the server");
            if line != "PING\r\n" {
                return line;
            }
            self.send("PONG\r\n");
        }
    }

    fn expect(&mut self, lines: &str) {
        for line in lines.split_inclusive('\n') {
            assert_eq!(self.line(), line);
        }
    }
}
