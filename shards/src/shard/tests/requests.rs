//! Who gets an answer, and how many: echo, no-responders, auto-unsubscribe, a second CONNECT.

use super::{FULL, QUIET, for_seeds, messages, publish};
use crate::testing::{Frame, Net, config};

fn no_responders(inbox: &str, sid: &str, subject: &str) -> Frame {
    let headers = format!("NATS/1.0 503\r\nNats-Subject: {subject}\r\n\r\n").into_bytes();
    Frame::Msg { subject: inbox.to_owned(), sid: sid.to_owned(), reply: None, headers, payload: Vec::new() }
}

#[test]
fn without_echo_others_get_it_and_oneself_does_not() {
    for_seeds(0..20, |seed| {
        let mut net = Net::new(seed, config(2));
        let publisher = net.join(0, r#"{"verbose":false,"echo":false}"#);
        let others = [net.join(0, QUIET), net.join(1, QUIET)];
        for client in [publisher, others[0], others[1]] {
            net.ask(client, "SUB a 1\r\nSUB a q 2\r\nPING\r\n");
        }
        let own = net.ask(publisher, [publish("a", "1"), publish("a", "2"), b"PING\r\n".to_vec()].concat());
        assert_eq!(own, [Frame::Pong]);
        let got: Vec<Frame> = others.iter().flat_map(|&other| messages(&mut net, other)).collect();
        let copies =
            |sid: &str| got.iter().filter(|frame| matches!(frame, Frame::Msg { sid: s, .. } if s == sid)).count();
        assert_eq!((copies("1"), copies("2")), (4, 2), "each plain one, and one member that is not the publisher");
    });
}

#[test]
fn a_request_that_nobody_gets_is_answered_at_once() {
    for_seeds(0..20, |seed| {
        let mut net = Net::new(seed, config(3));
        let requester = net.join(0, FULL);
        net.ask(requester, "SUB inbox.* 7\r\nPING\r\n");
        let got = net.ask(requester, "PUB nobody inbox.1 2\r\nhi\r\nPING\r\n");
        assert_eq!(got, [no_responders("inbox.1", "7", "nobody"), Frame::Pong]);
        let responder = net.join(1, QUIET);
        net.ask(responder, "SUB nobody 1\r\nPING\r\n");
        assert_eq!(net.ask(requester, "PUB nobody inbox.1 2\r\nhi\r\nPING\r\n"), [Frame::Pong]);
        assert_eq!(messages(&mut net, responder).len(), 1);
    });
}

/// The directory said that somebody was there, and on arrival nobody was.
#[test]
fn a_request_that_crosses_the_responders_unsub_is_answered_too() {
    let mut answered_late = 0;
    for seed in 0..200 {
        let mut net = Net::new(seed, config(2));
        let requester = net.join(0, FULL);
        let responder = net.join(1, QUIET);
        let queue = if seed % 2 == 0 { "" } else { "q" };
        net.ask(requester, "SUB inbox 7\r\nPING\r\n");
        net.ask(responder, format!("SUB service {queue} 1\r\nPING\r\n"));
        net.send(requester, "PUB service inbox 2\r\nhi\r\n");
        net.send(responder, "UNSUB 1\r\nPING\r\n");
        net.settle();
        let got = messages(&mut net, responder).len();
        let told = net.take(requester);
        assert_eq!(got + told.len(), 1, "seed {seed}: either it was served or the requester was told, {told:?}");
        answered_late += told.len();
        assert!(told.iter().all(|frame| *frame == no_responders("inbox", "7", "service")), "seed {seed}: {told:?}");
    }
    assert!(answered_late > 20, "the race was hardly ever run: {answered_late}");
}

#[test]
fn auto_unsubscribe_counts_over_all_publishers() {
    for_seeds(0..50, |seed| {
        let mut net = Net::new(seed, config(3));
        let subscriber = net.join(0, QUIET);
        let publishers = [net.join(1, QUIET), net.join(2, QUIET)];
        for round in 0..10 {
            net.ask(subscriber, format!("SUB a {round}\r\nUNSUB {round} 5\r\nPING\r\n"));
            for publisher in publishers {
                net.send(publisher, publish("a", "x").repeat(4));
            }
            net.settle();
            let got = messages(&mut net, subscriber).len();
            assert_eq!(got, 5, "round {round}: eight were sent");
        }
        for site in &net.sites {
            assert!(site.shard.core.local.is_empty(), "no subscription outlives its limit");
        }
    });
}

#[test]
fn a_second_connect_starts_without_subscriptions() {
    for_seeds(0..10, |seed| {
        let mut net = Net::new(seed, config(2));
        let client = net.join(0, QUIET);
        let other = net.join(1, QUIET);
        let got =
            net.ask(client, [b"SUB a 1\r\nSUB b q 2\r\n".to_vec(), publish("a", "1"), b"PING\r\n".to_vec()].concat());
        assert_eq!(got, [Frame::msg("a", "1", "1"), Frame::Pong]);
        assert_eq!(net.ask(client, format!("CONNECT {QUIET}\r\nPING\r\n")), [Frame::Pong]);
        net.ask(other, [publish("a", "2"), publish("b", "2"), b"PING\r\n".to_vec()].concat());
        assert_eq!(net.take(client), []);
        net.ask(client, "SUB a 1\r\nPING\r\n");
        net.ask(other, publish("a", "3"));
        assert_eq!(net.take(client), [Frame::msg("a", "1", "3")]);
    });
}
