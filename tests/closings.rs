//! Every way in which a connection ends, and the mistakes that do not end it: both servers say and log the same, in the same order.

mod both_names;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use both_names::{Place, normalised};
use pinmesh_harness::{DEADLINE, Server, Side, eventually};

const GREETING: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";
const PEDANTIC: &str = "CONNECT {\"verbose\":false,\"pedantic\":true,\"headers\":true}\r\n";

/// What came back for a stream, and the lines about its connection.
type Account = (String, Vec<String>);

/// Sends each stream on a connection of its own. `leave`: the client then sends no more; else the server must close.
fn accounts(side: Side, config: &str, streams: &[String], leave: bool) -> Vec<Account> {
    let place = Place::new();
    let mut server = side.server().program(place.nats_server(side)).config(config).args(["-DV"]).start();
    let answers: Vec<(u16, String)> = streams.iter().map(|stream| talk(&server, stream, leave)).collect();
    server.terminate();
    let mut lines = lines_by_port(&server.log());
    answers.into_iter().map(|(port, answer)| (answer, lines.remove(&port).unwrap_or_default())).collect()
}

fn talk(server: &Server, stream: &str, leave: bool) -> (u16, String) {
    let mut socket = TcpStream::connect(server.address()).expect("the server listens");
    socket.set_read_timeout(Some(DEADLINE)).expect("a time limit");
    let port = socket.local_addr().expect("an address").port();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\n") {
        let mut byte = [0];
        assert_eq!(socket.read(&mut byte).expect("INFO"), 1, "closed before INFO");
        answer.extend_from_slice(&byte);
    }
    // A server that has already closed does not take all of it, and may reset what it has said.
    let _ = socket.write_all(stream.as_bytes());
    if leave {
        let _ = socket.shutdown(Shutdown::Write);
    }
    let _ = socket.read_to_end(&mut answer);
    let closed = format!("127.0.0.1:{port} - cid:");
    eventually("the line of the close", || {
        server.log().lines().any(|line| line.contains(&closed) && line.contains("connection closed: ")).then_some(())
    });
    let answer = String::from_utf8_lossy(&answer).into_owned();
    (port, answer.split_inclusive('\n').filter(|line| !line.starts_with("INFO ")).collect())
}

/// Level and text of the lines about each client, by its port.
fn lines_by_port(log: &str) -> BTreeMap<u16, Vec<String>> {
    let mut lines = BTreeMap::<u16, Vec<String>>::new();
    for line in normalised(log).lines() {
        let Some((front, rest)) = line.split_once("127.0.0.1:") else { continue };
        let Some((port, rest)) = rest.split_once(" - cid:") else { continue };
        let text = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        let level = front.rsplit(' ').nth(1).unwrap_or_default();
        lines.entry(port.parse().expect("a port")).or_default().push(format!("{level}{text}"));
    }
    lines
}

fn compare(config: &str, streams: &[&str], leave: bool) {
    let streams: Vec<String> = streams.iter().map(|&stream| stream.to_owned()).collect();
    let [ours, theirs] = Side::BOTH.map(|side| accounts(side, config, &streams, leave));
    let mut differences = Vec::new();
    for ((stream, ours), theirs) in streams.iter().zip(ours).zip(theirs) {
        assert!(!theirs.1.is_empty(), "the reference logs nothing for {stream:?}");
        if ours != theirs {
            differences.push(format!("{stream:.200?}\n     ours: {ours:#?}\nreference: {theirs:#?}"));
        }
    }
    assert!(differences.is_empty(), "{config}: {} differences\n{}", differences.len(), differences.join("\n"));
}

/// All of these after each of the beginnings.
fn compare_after(beginnings: &[&str], operations: &[&str]) {
    let streams: Vec<String> =
        beginnings.iter().flat_map(|start| operations.iter().map(move |rest| format!("{start}{rest}"))).collect();
    compare("", &streams.iter().map(String::as_str).collect::<Vec<_>>(), true);
}

#[test]
fn broken_streams() {
    let operations = [
        "",
        "FOO bar\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "SUB x 1\r\nFOO\r\n",
        "PUB a 2\r\nxyz\r\n",
        "PUB a.* 2\r\nxyz\r\n",
        "HPUB a.* 2 2\r\nxy\rz",
        "UNSUB\r\n",
        "SUB\r\n",
        "-ERR\r\n",
        "-ERR 'x'\r\n",
        "-ERR x y\r\n",
        "+OK\r\nPONG\r\nPING\r\n",
    ];
    compare_after(&["", GREETING, PEDANTIC], &operations);
}

#[test]
fn wrong_arguments() {
    let operations = [
        "PUB a\r\n",
        "PUB a x\r\n",
        "PUB a.* x\r\n",
        "pub a b c d\r\n",
        "PUB a 2000000\r\n",
        "PUB a.* 2000000\r\n",
        "HPUB a 12\r\n",
        "HPUB a x 12\r\n",
        "HPUB a 12 x\r\n",
        "HPUB a 14 12\r\n",
        "HPUB a 12 2000000\r\n",
        "SUB a\r\n",
        "sub a b c d\r\n",
        "SUB x 1\r\nUNSUB 1 2 3\r\n",
    ];
    compare_after(&["", GREETING, PEDANTIC], &operations);
}

#[test]
fn long_control_lines() {
    for name in ["SUB ", "PUB ", "UNSUB ", "CONNECT ", "INFO ", "-ERR ", "HPUB "] {
        compare("max_control_line: 100", &[&[name, &"a".repeat(300)].concat()], false);
    }
}

#[test]
fn refused_options() {
    let streams = [
        "PING\r\nCONNECT {\"user\":7}\r\nPING\r\n",
        "CONNECT {\"verbose\":\"x\"}\r\n",
        "CONNECT {\"protocol\":1.5}\r\n",
        "CONNECT {\"protocol\":-0}\r\nPING\r\n",
        "CONNECT []\r\n",
        "CONNECT \"x\"\r\n",
        "CONNECT {\r\n",
        "CONNECT {\"name\":[1]}\r\n",
        "CONNECT {\"protocol\":7}\r\n",
        "CONNECT {\"no_responders\":true}\r\n",
        "CONNECT {\"account\":\"x\"}\r\n",
        "CONNECT {\"user\":\"u\",\"name\":\"n\",\"lang\":\"l\"}\r\nCONNECT {\"user\":\"v\",\"name\":\"m\"}\r\nPING\r\n",
        "CONNECT {\"verbose\":false}\r\nSUB x 1\r\nCONNECT {}\r\nPING\r\n",
        "INFO {}\r\nINFO null\r\nINFO {\"port\":-0}\r\nPING\r\n",
        "INFO {\r\n",
        "INFO []\r\n",
        "INFO {\"server_id\":1}\r\n",
        "INFO {\"port\":\"x\"}\r\n",
        "INFO {\"connect_urls\":[1]}\r\n",
        "INFO {\"max_payload\":1.5}\r\n",
        "INFO {\"client_id\":-1}\r\n",
    ];
    compare("", &streams, true);
}

#[test]
fn mistakes_that_are_forgiven() {
    let streams = [
        "SUB a. 1\r\nSUB a _sys_ 1\r\nSUB a _sys_ 1\r\nPING\r\n",
        "PUB $GR.x 1\r\nx\r\nPUB $GR.x 0\r\n\r\nPUB a _R_.x 0\r\n\r\nPUB a _R_.x 0\r\n\r\nPING\r\n",
        "SUB a.b.c 1\r\nSUB a.b.c q 1\r\nSUB a 1\r\nSUB b 2\r\nSUB c 3\r\nSUB c 3\r\nUNSUB 1\r\nUNSUB 2\r\nPING\r\n",
        "PUB a..b 1\r\nx\r\nHPUB a.* 0 2\r\nhi\r\nSUB a 1\r\nUNSUB 1\r\nUNSUB 1\r\nPING\r\n",
    ];
    compare("max_subscriptions: 2\nmax_subscription_tokens: 2", &streams, true);
}

#[test]
fn no_credentials() {
    let config = "authorization { user: u, password: p, timeout: 0.3 }";
    compare(config, &["", "PING\r\n", "CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\n", "CONNECT {}\r\n"], false);
    compare("authorization { token: t }", &["CONNECT {\"auth_token\":\"x\"}\r\n", "FOO\r\n"], false);
}

#[test]
fn no_pongs() {
    compare("ping_interval: \"150ms\", ping_max: 1", &["", GREETING], false);
}

#[test]
fn too_many_connections() {
    compare("max_connections: 0", &["PING\r\n"], false);
}
