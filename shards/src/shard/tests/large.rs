//! Large operations, and what remains of them.

use super::{FULL, QUIET, for_seeds, messages, publish};
use crate::testing::{Frame, Net, config};

fn payload(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| b'a' + (at % 23) as u8).collect()
}

#[test]
fn large_messages_are_whole_however_they_arrive() {
    for_seeds(0..30, |seed| {
        let mut net = Net::new(seed, config(2));
        let publisher = net.join(0, FULL);
        let with_headers = [net.join(0, FULL), net.join(1, FULL)];
        let without = [net.join(0, QUIET), net.join(1, QUIET)];
        for client in with_headers.into_iter().chain(without) {
            net.ask(client, "SUB a 1\r\nSUB > 22\r\nPING\r\n");
        }
        net.wires[publisher].piece = [1000, 100_000][seed as usize % 2];
        let headers = b"NATS/1.0\r\nK: v\r\n\r\n".to_vec();
        let sizes = [32 * 1024 - 20, 32 * 1024 + 1, 70_000, 300_000];
        for bytes in sizes {
            let body = payload(bytes);
            net.send(publisher, publish("a reply", &body));
            net.send(publisher, format!("HPUB a {} {}\r\n", headers.len(), headers.len() + bytes));
            net.send(publisher, [&headers[..], &body, b"\r\n"].concat());
        }
        let told = net.ask(publisher, "PING\r\n");
        assert_eq!(told, [Frame::Pong]);
        for client in with_headers.into_iter().chain(without) {
            let got = messages(&mut net, client);
            for sid in ["1", "22"] {
                let of_sid: Vec<&Frame> =
                    got.iter().filter(|frame| matches!(frame, Frame::Msg { sid: s, .. } if s == sid)).collect();
                assert_eq!(of_sid.len(), 2 * sizes.len());
                for (frame, (at, bytes)) in
                    of_sid.into_iter().zip(sizes.iter().flat_map(|bytes| [(0, *bytes), (1, *bytes)]))
                {
                    let headers = if at == 1 && with_headers.contains(&client) { headers.clone() } else { Vec::new() };
                    let reply = (at == 0).then(|| "reply".to_owned());
                    let (subject, sid) = ("a".to_owned(), sid.to_owned());
                    let expected = Frame::Msg { subject, sid, reply, headers, payload: payload(bytes) };
                    assert!(*frame == expected, "client {client}, {bytes} bytes, kind {at}");
                }
            }
        }
    });
}

#[test]
fn an_idle_connection_owns_no_buffers() {
    for_seeds(0..20, |seed| {
        let mut net = Net::new(seed, config(2));
        let clients: Vec<usize> = (0..6).map(|number| net.join(number % 2, FULL)).collect();
        for &client in &clients {
            net.send(client, "SUB a 1\r\n");
        }
        net.settle();
        for &client in &clients {
            net.send(client, publish("a", payload(100)).repeat(50));
            net.send(client, publish("a", payload(100_000)));
            net.send(client, "PING\r\n");
        }
        net.settle();
        for site in &net.sites {
            for (_, connection) in &site.shard.core.connections {
                assert!(connection.out.is_empty() && connection.out.owns_nothing(), "{connection:?}");
                assert_eq!(connection.input.rest.capacity(), 0);
                assert!(connection.input.large.is_none());
            }
        }
    });
}

/// A stall that comes between the last read of a large operation and the acting on it must not lose it.
#[test]
fn a_paused_publisher_loses_no_large_message() {
    let mut stalls = 0;
    for seed in 0..60 {
        let mut config = config(2);
        config.limits.max_pending = 400_000;
        let mut net = Net::new(seed, config);
        let publisher = net.join(0, QUIET);
        let subscriber = net.join(1, QUIET);
        net.ask(subscriber, "SUB a 1\r\nPING\r\n");
        for _ in 0..20 {
            net.send(publisher, publish("a", payload(50_000)));
        }
        net.ask(publisher, "PING\r\n");
        let got = messages(&mut net, subscriber).len();
        stalls += net.count(|counters| counters.stalls);
        if !net.wires[subscriber].closed {
            assert_eq!(got, 20, "seed {seed}");
        }
    }
    assert!(stalls > 0, "nobody was ever stalled");
}
