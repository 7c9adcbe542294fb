//! S2 with the reference at the other end: a scripted peer negotiates each mode and then exchanges messages of all sizes.

use std::io::{Read, Write};
use std::net::TcpStream;

use pinmesh_harness::{DEADLINE, Kind, Member, Seat, eventually};
use shards::protocol::s2::{Compression, Decoder, Encoder, negotiate};

/// How the reference is configured, and what the peer announces.
const MODES: [(&str, Compression); 7] = [
    ("s2_fast", Compression::Accept),
    ("s2_better", Compression::Accept),
    ("s2_best", Compression::Auto),
    ("{ mode: s2_auto, rtt_thresholds: [10s] }", Compression::Accept),
    ("accept", Compression::Uncompressed),
    ("accept", Compression::Better),
    ("accept", Compression::Best),
];

const CONNECT: &str = r#"CONNECT {"echo":true,"verbose":false,"pedantic":false,"tls_required":false,"headers":true,"name":"NPEER","cluster":"C"}"#;

/// A route of the reference, seen from its other end.
struct Peer {
    socket: TcpStream,
    codec: Option<(Encoder, Decoder)>,
    /// What came and was not looked at yet, decompressed.
    text: Vec<u8>,
}

impl Peer {
    /// A peer without pool, so that all accounts are on this one connection.
    fn join(port: u16, announced: Compression) -> Peer {
        // The reference is ready for clients before it is for routes.
        let socket = eventually("the route port", || TcpStream::connect(("127.0.0.1", port)).ok());
        socket.set_read_timeout(Some(DEADLINE)).expect("a timeout");
        let mut peer = Peer { socket, codec: None, text: Vec::new() };
        let theirs = peer.info();
        let mode = negotiate(announced, theirs["compression"].as_str()).expect("a mode that is known");
        let info = format!(
            r#"INFO {{"server_id":"NPEER","server_name":"peer","version":"0.0.0","proto":2,"host":"127.0.0.1","port":1,"headers":true,"max_payload":1048576,"cluster":"C","compression":"{mode}"}}"#
        );
        peer.send(format!("{CONNECT}\r\n{info}\r\n").as_bytes());
        let level = mode.level().expect("a compressed route");
        peer.codec = Some((Encoder::new(level), Decoder::new()));
        let chosen = peer.info();
        assert!(chosen["compression"].as_str().is_some_and(|mode| mode.starts_with("s2_")), "{chosen}");
        peer.send(format!("{info}\r\nRS+ $G up.*\r\nPING\r\n").as_bytes());
        while peer.line() != "PONG" {}
        peer
    }

    fn send(&mut self, plain: &[u8]) {
        let mut bytes = Vec::new();
        match &mut self.codec {
            Some((encoder, _)) => encoder.encode(plain, &mut bytes),
            None => bytes.extend_from_slice(plain),
        }
        self.socket.write_all(&bytes).expect("the server reads");
    }

    fn read(&mut self) {
        let mut buffer = [0; 8192];
        let count = self.socket.read(&mut buffer).expect("something from the server");
        assert!(count > 0, "the server closed the connection after {:?}", String::from_utf8_lossy(&self.text));
        let mut bytes = &buffer[..count];
        match &mut self.codec {
            Some((_, decoder)) => {
                while !bytes.is_empty() {
                    let used = decoder.decode(bytes, &mut self.text).expect("a stream that can be decoded");
                    bytes = &bytes[used..];
                }
            }
            None => self.text.extend_from_slice(bytes),
        }
    }

    fn take(&mut self, length: usize) -> Vec<u8> {
        while self.text.len() < length {
            self.read();
        }
        self.text.drain(..length).collect()
    }

    fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.text.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8(self.take(end + 1)).expect("text");
                return line.trim_end().to_owned();
            }
            self.read();
        }
    }

    fn info(&mut self) -> serde_json::Value {
        let line = self.line();
        let json = line.strip_prefix("INFO ").unwrap_or_else(|| panic!("no INFO but {line:?}"));
        serde_json::from_str(json).expect("JSON")
    }

    /// The payload of the next message; what else comes is answered.
    fn message(&mut self) -> Vec<u8> {
        loop {
            let line = self.line();
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["RMSG", "$G", _, size] => {
                    let size: usize = size.parse().expect("a size");
                    let mut body = self.take(size + 2);
                    body.truncate(size);
                    return body;
                }
                ["PING"] => self.send(b"PONG\r\n"),
                _ => {}
            }
        }
    }
}

/// From nothing to almost what a client may send: noise, text, and both.
fn payloads() -> Vec<Vec<u8>> {
    let mut random = fastrand::Rng::with_seed(3);
    let mut noise = |length: usize| -> Vec<u8> { std::iter::repeat_with(|| random.u8(..)).take(length).collect() };
    let text = |lines: usize| -> Vec<u8> {
        (0..lines).flat_map(|n| format!("order {} of customer {}\r\n", n * n, n % 97).into_bytes()).collect()
    };
    let mixed = (0..40).flat_map(|n| if n % 3 == 0 { noise(n * 100) } else { text(n * 20) }).collect();
    vec![Vec::new(), b"x".to_vec(), text(3), text(100), mixed, noise(900_000), text(30_000), vec![b'a'; 1_000_000]]
}

#[test]
fn the_reference_understands_us_and_we_understand_it() {
    for (configured, announced) in MODES {
        let what = format!("{configured} with {announced}");
        let member = Member::start(Kind::Reference, Seat::take(), &format!("name: C, compression: {configured}"), "");
        let mut peer = Peer::join(member.seat.route, announced);
        let mut client = member.client().expect("a client");
        client.subscribe("down", "", 1).expect("a subscription");
        client.flush().expect("a flush");
        for (number, payload) in payloads().iter().enumerate() {
            client.publish("up.x", "", payload);
            client.flush().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(peer.message() == *payload, "{what}: payload {number} from the reference");

            let head = format!("RMSG $G down {}\r\n", payload.len());
            peer.send(&[head.as_bytes(), payload, b"\r\n"].concat());
            let message = client.message().unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(message.payload == *payload, "{what}: payload {number} to the reference");
        }
    }
}
