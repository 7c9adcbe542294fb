//! The limits of the configuration, measured on both servers: what is just allowed, what is just too much, and what
//! a connection hears that goes too far.

mod differential;

use anyhow::{Context, Result, ensure};
use differential::{Pair, normal};
use pinmesh_harness::{Client, Server};

const GREETING: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true}\r\n";

/// Compares the answers to streams, with 1 and 4 shards.
fn compare(config: &str, streams: &[String]) {
    for shards in [1, 4] {
        let pair = Pair::start(shards, config);
        for stream in streams {
            if let Err(error) = pair.compare(&[GREETING, stream].concat().into_bytes()) {
                panic!("{shards} shards, {config}: {error:#}");
            }
        }
    }
}

fn publish(size: usize) -> String {
    format!("PUB a {size}\r\n{}\r\nPING\r\n", "x".repeat(size))
}

#[test]
fn max_payload() {
    let headers = |total: usize| format!("HPUB a 12 {total}\r\nNATS/1.0\r\n\r\n{}\r\nPING\r\n", "x".repeat(total - 12));
    let streams = [publish(0), publish(100), publish(101), headers(100), headers(101), "PUB a 101\r\n".to_owned()];
    compare("max_payload: 100", &streams);
    compare("max_payload: 2MB, max_pending: 4MB", &[publish(2 * 1024 * 1024), "PUB a 2097153\r\n".to_owned()]);
}

#[test]
fn the_default_max_payload() {
    compare("", &[publish(1024 * 1024), "PUB a 1048577\r\n".to_owned()]);
}

#[test]
fn max_control_line() {
    let mut streams = Vec::new();
    for length in [62, 63, 64, 65, 66, 200] {
        streams.push(format!("SUB {} 1\r\nPING\r\n", "a".repeat(length - 2)));
        streams.push(format!("PUB {} 0\r\n\r\nPING\r\n", "a".repeat(length - 2)));
        streams.push(format!("UNSUB {}\r\nPING\r\n", "a".repeat(length)));
        streams.push(format!("PING {}\r\nPING\r\n", "a".repeat(length)));
        streams.push(format!("SUB a{}1\r\nPING\r\n", " ".repeat(length - 2)));
    }
    // The greeting is longer than that.
    for shards in [1, 4] {
        let pair = Pair::start(shards, "max_control_line: 64");
        for stream in &streams {
            let greeted = ["CONNECT {\"verbose\":false,\"pedantic\":false}\r\n", stream].concat();
            if let Err(error) = pair.compare(greeted.as_bytes()) {
                panic!("{shards} shards: {error:#}");
            }
        }
    }
}

/// Lines that are longer than what is read at once.
#[test]
fn a_max_control_line_above_all_buffers() {
    let line = |length: usize| format!("SUB {} 1\r\nPING\r\n", "a".repeat(length - 2));
    let streams = [65_536, 65_537, 131_072, 200_000, 200_001].map(line);
    compare("max_control_line: 200000", &streams);
}

#[test]
fn max_subscriptions() {
    let streams = [
        "SUB a 1\r\nSUB b 2\r\nSUB c 3\r\nPING\r\n",
        "SUB a 1\r\nSUB b 2\r\nUNSUB 1\r\nSUB c 3\r\nPUB c 0\r\n\r\nPING\r\n",
        "SUB a 1\r\nSUB b 2\r\nSUB b 2\r\nSUB c q 3\r\nPING\r\n",
        "SUB a 1\r\nUNSUB 1 1\r\nSUB b 2\r\nSUB c 3\r\nPUB a 0\r\n\r\nSUB c 3\r\nPUB c 0\r\n\r\nPING\r\n",
        "SUB a 1\r\nSUB b 2\r\nCONNECT {}\r\nSUB c 3\r\nSUB d 4\r\nSUB e 5\r\nPING\r\n",
        "SUB a. 1\r\nSUB b 2\r\nSUB c 3\r\nSUB d. 4\r\nPING\r\n",
    ];
    compare("max_subscriptions: 2", &streams.map(str::to_owned));
}

#[test]
fn max_subscription_tokens() {
    let streams = [
        "SUB a.b.c 1\r\nSUB a.b.c.d 2\r\nSUB a.b.> 3\r\nSUB a.b.c.> 4\r\nSUB *.*.*.* 5\r\nPING\r\n",
        "SUB a.b.c.d q 1\r\nSUB a..c.d 2\r\nSUB a.b.c.d. 3\r\nPUB a.b.c.d 0\r\n\r\nPING\r\n",
    ];
    compare("max_subscription_tokens: 3", &streams.map(str::to_owned));
}

/// What each of `count` connections, opened one after the other and kept, hears until the PONG to its PING or the end.
fn admissions(server: &Server, count: usize) -> Result<Vec<String>> {
    let mut kept = Vec::new();
    let mut heard = Vec::new();
    for _ in 0..count {
        let mut client = Client::open(server.address())?;
        // A refused connection may be gone by now.
        let _ = client.send(b"PING\r\n");
        let answer = match client.frame() {
            Ok(frame) => format!("{frame:?}"),
            Err(_) => "closed".to_owned(),
        };
        if answer != "Pong" {
            client.wait_for_close().context("a refused connection")?;
        }
        heard.push(answer);
        kept.push(client);
    }
    Ok(heard)
}

#[test]
fn max_connections() {
    for (shards, limit) in [(1, 1), (2, 3), (4, 7)] {
        let pair = Pair::start(shards, &format!("max_connections: {limit}"));
        let ours = admissions(&pair.ours, limit + 3).expect("admissions");
        let theirs = admissions(&pair.reference, limit + 3).expect("admissions");
        assert_eq!(ours, theirs, "{shards} shards");
        // All of these have left by now, in whatever state they were: as many fit in again.
        pinmesh_harness::eventually("places for as many as before", || {
            let all: Result<Vec<Client>> = (0..limit).map(|_| Client::connect(pair.ours.address())).collect();
            all.ok()
        });
    }
}

/// Both let `talk` come to its end and both say the same until they close.
fn compare_until_closed(config: &str, talk: &str) {
    for shards in [1, 4] {
        let pair = Pair::start(shards, config);
        if let Err(error) = pair.compare_until_closed(talk.as_bytes()) {
            panic!("{shards} shards, {config}: {error:#}");
        }
    }
}

#[test]
fn silence_before_authentication_times_out() {
    let config = "authorization { user: u, password: p, timeout: 0.3 }";
    compare_until_closed(config, "");
    compare_until_closed(config, "CONN");
    compare_until_closed(config, "PING\r\n");
    compare_until_closed(config, "CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\n");
    compare_until_closed("authorization { token: t, timeout: \"300ms\" }", "");
}

#[test]
fn unanswered_pings_make_a_connection_stale() {
    let config = "ping_interval: \"150ms\", ping_max: 2";
    compare_until_closed(config, "");
    compare_until_closed(config, GREETING);
    compare_until_closed(config, &[GREETING, "PING\r\n"].concat());
    compare_until_closed("ping_interval: \"150ms\", ping_max: 1", GREETING);
}

/// Who answers its pings stays, however long it is silent otherwise.
#[test]
fn answered_pings_keep_a_connection() {
    let pair = Pair::start(2, "ping_interval: \"50ms\", ping_max: 20");
    for server in [&pair.ours, &pair.reference] {
        let mut client = Client::connect(server.address()).expect("a connection");
        client.show_pings();
        for round in 0..40 {
            let frame = format!("{:?}", client.frame().expect("a frame"));
            assert_eq!(frame, "Ping", "round {round}");
            client.send(b"PONG\r\n").expect("the answer");
        }
        assert!(client.flush().is_ok());
    }
}

/// A connection refused for its bytes has told everything before them, and hears every answer due.
#[test]
fn answers_before_a_refusal_arrive() {
    let answer = |server: &Server| -> Result<String> {
        let mut client = Client::connect(server.address())?;
        client.subscribe("a", "", 1)?;
        let mut stream = Vec::new();
        for _ in 0..1000 {
            stream.extend_from_slice(b"PUB a 5\r\nhello\r\n");
        }
        stream.extend_from_slice(b"PING\r\nPUB a 1000\r\n");
        client.send(&stream)?;
        let answer = client.read_to_close()?;
        ensure!(answer.ends_with(b"-ERR 'Maximum Payload Violation'\r\n"), "no -ERR at the end");
        Ok(normal(&answer))
    };
    let pair = Pair::start(4, "max_payload: 100");
    for _ in 0..50 {
        let (ours, theirs) = (answer(&pair.ours).expect("ours"), answer(&pair.reference).expect("the reference"));
        assert_eq!(ours.len(), theirs.len());
        assert!(ours == theirs);
    }
}
