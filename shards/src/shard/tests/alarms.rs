//! What happens when nothing happens: pings, stale connections, authentication.

use std::time::Duration;

use super::{QUIET, for_seeds};
use crate::config::{Auth, Secret};
use crate::testing::{Frame, Net, config};

#[test]
fn a_silent_client_is_pinged_twice_and_then_closed() {
    for_seeds(0..10, |seed| {
        let mut config = config(1);
        config.limits.ping_interval = Duration::from_secs(10);
        let mut net = Net::new(seed, config);
        let client = net.join(0, QUIET);
        // First at two seconds and a fifth of the interval at most, then each interval.
        net.advance(4_500);
        assert_eq!(net.take(client), [Frame::Ping]);
        net.advance(10_000);
        assert_eq!(net.take(client), [Frame::Ping]);
        net.advance(10_000);
        assert_eq!(net.take(client), [Frame::Err("'Stale Connection'".to_owned())]);
        assert!(net.wires[client].closed);
        assert_eq!((net.count(|counters| counters.stale_connections), net.connections()), (1, 0));
    });
}

#[test]
fn a_client_that_answers_stays_and_one_that_talks_is_not_asked() {
    for_seeds(0..10, |seed| {
        let mut config = config(2);
        config.limits.ping_interval = Duration::from_secs(10);
        let mut net = Net::new(seed, config);
        let answers = net.join(0, QUIET);
        let talks = net.join(1, QUIET);
        for _ in 0..100 {
            net.advance(5_000);
            if net.take(answers).contains(&Frame::Ping) {
                net.send(answers, "PONG\r\n");
            }
            net.send(talks, "PUB a 0\r\n\r\n");
        }
        let asked = net.take(talks);
        assert_eq!(asked, [Frame::Ping], "once, to measure the round trip");
        assert_eq!(net.connections(), 2);
    });
}

#[test]
fn who_does_not_say_connect_in_time_is_closed() {
    for_seeds(0..10, |seed| {
        let mut config = config(1);
        config.auth = Auth::Token(Secret("t".into()));
        let mut net = Net::new(seed, config);
        let (late, wrong) = (net.connect(), net.connect());
        net.join(0, r#"{"verbose":false,"auth_token":"t"}"#);
        net.send(wrong, "CONNECT {\"auth_token\":\"x\"}\r\n");
        net.advance(1_500);
        let last = |net: &mut Net, client| net.take(client).pop();
        assert_eq!(last(&mut net, wrong), Some(Frame::Err("'Authorization Violation'".to_owned())));
        assert_eq!(net.connections(), 2);
        net.advance(1_000);
        assert_eq!(last(&mut net, late), Some(Frame::Err("'Authentication Timeout'".to_owned())));
        assert_eq!(net.connections(), 1);
    });
}

/// The answer may come while the shard serves somebody else; it must not sleep on it.
#[test]
fn a_compared_password_lets_its_client_go_on() {
    for_seeds(0..20, |seed| {
        let mut config = config(2);
        let hash = bcrypt::hash("p", 4).expect("a cheap hash");
        config.auth = Auth::UserPassword { user: "u".to_owned(), password: Secret(hash.into()) };
        let mut net = Net::new(seed, config);
        let clients: Vec<usize> = (0..6).map(|_| net.connect()).collect();
        for &client in &clients {
            net.send(client, "CONNECT {\"verbose\":false,\"user\":\"u\",\"pass\":\"p\"}\r\nPING\r\n");
        }
        net.settle();
        for client in clients {
            assert!(net.take(client).contains(&Frame::Pong), "client {client} waits for ever");
        }
    });
}
