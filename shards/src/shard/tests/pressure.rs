//! Who waits for whom: stalls, slow consumers, write deadlines, credit.

use std::time::Duration;

use super::{QUIET, for_seeds, messages, publish};
use crate::config::Config;
use crate::connection::Pause;
use crate::testing::{Frame, Net, config};

const MAX_PENDING: usize = 256 * 1024;

fn small_pending(shards: usize) -> Config {
    let mut config = config(shards);
    config.limits.max_pending = MAX_PENDING;
    config
}

/// A subscriber to `a` that reads nothing more.
fn deaf_subscriber(net: &mut Net, site: usize) -> usize {
    let client = net.join(site, QUIET);
    net.ask(client, "SUB a 1\r\nPING\r\n");
    net.clients[client].reads = false;
    client
}

fn pending(net: &Net, site: usize) -> usize {
    net.sites[site].shard.core.connections.iter().map(|(_, connection)| connection.out.pending()).sum()
}

#[test]
fn a_deaf_subscriber_stalls_its_publisher_and_then_goes() {
    for_seeds(0..20, |seed| {
        for subscriber_site in 0..2 {
            let mut net = Net::new(seed, small_pending(2));
            let publisher = net.join(0, QUIET);
            let subscriber = deaf_subscriber(&mut net, subscriber_site);
            let bystander = net.join(0, QUIET);
            let mut sent = 0;
            while !net.wires[subscriber].closed {
                let before = net.now;
                sent += 1;
                assert!(sent < 100, "never closed");
                net.send(publisher, publish("a", [b'x'; 8000]));
                net.ask(publisher, "PING\r\n");
                // One read, and the stalls for it. The clock moves for nothing else.
                assert!(net.now - before <= 10, "stalled for {} ms", net.now - before);
                assert_eq!(net.ask(bystander, "PING\r\n"), [Frame::Pong]);
                assert!(pending(&net, subscriber_site) <= MAX_PENDING + 9000);
            }
            assert!(sent * 8000 >= MAX_PENDING, "closed after {sent}");
            assert!(net.count(|counters| counters.stalls) > 0, "nobody was slowed down");
            assert_eq!(net.count(|counters| counters.slow_consumers), 1);
            assert_eq!(net.ask(publisher, "PING\r\n"), [Frame::Pong], "the publisher goes on");
            assert_eq!(net.connections(), 2);
        }
    });
}

#[test]
fn without_stalls_messages_to_who_is_behind_are_dropped_and_counted() {
    for_seeds(0..20, |seed| {
        for subscriber_site in 0..2 {
            let mut config = small_pending(2);
            config.limits.no_fast_producer_stall = true;
            let mut net = Net::new(seed, config);
            let publisher = net.join(0, QUIET);
            let subscriber = deaf_subscriber(&mut net, subscriber_site);
            let sent = 2000;
            for _ in 0..20 {
                net.send(publisher, publish("a", [b'x'; 300]).repeat(sent / 20));
                net.settle();
            }
            assert_eq!(net.count(|counters| counters.stalls), 0);
            net.clients[subscriber].reads = true;
            net.settle();
            let got = messages(&mut net, subscriber).len();
            assert!(got < sent, "it was never behind");
            assert_eq!(got as u64 + net.count(|counters| counters.dropped), sent as u64);
            assert!(!net.wires[subscriber].closed);
            net.ask(publisher, publish("a", "x"));
            assert_eq!(messages(&mut net, subscriber).len(), 1, "it gets messages again");
        }
    });
}

#[test]
fn a_write_deadline_closes_who_takes_nothing() {
    for_seeds(0..10, |seed| {
        let mut net = Net::new(seed, config(2));
        let publisher = net.join(1, QUIET);
        let subscriber = deaf_subscriber(&mut net, 0);
        net.ask(publisher, publish("a", [b'x'; 30_000]));
        net.advance(9_900);
        assert!(!net.wires[subscriber].closed);
        net.advance(200);
        assert!(net.wires[subscriber].closed);
        assert_eq!(net.count(|counters| counters.slow_consumers), 1);
    });
}

#[test]
fn with_retry_who_takes_some_stays() {
    for_seeds(0..10, |seed| {
        let mut config = config(1);
        config.limits.write_timeout_retry = true;
        config.limits.write_deadline = Duration::from_secs(1);
        let mut net = Net::new(seed, config);
        let publisher = net.join(0, QUIET);
        let subscriber = deaf_subscriber(&mut net, 0);
        net.ask(publisher, publish("a", [b'x'; 30_000]).repeat(10));
        for _ in 0..5 {
            net.advance(600);
            // One look at its socket.
            let some = net.wires[subscriber].take(&mut net.rng);
            assert!(!some.is_empty());
            net.settle();
        }
        assert!(!net.wires[subscriber].closed, "it took some in time, each time");
        net.advance(3_000);
        assert!(net.wires[subscriber].closed, "and then nothing");
    });
}

#[test]
fn a_blocked_connection_has_one_alarm() {
    let mut net = Net::new(1, config(1));
    let publisher = net.join(0, QUIET);
    let subscriber = deaf_subscriber(&mut net, 0);
    for _ in 0..200 {
        net.ask(publisher, publish("a", [b'x'; 30_000]));
        // Drained, and blocked anew.
        net.clients[subscriber].reads = true;
        net.settle();
        net.clients[subscriber].reads = false;
    }
    assert_eq!(net.take(subscriber).len(), 200);
    let alarms = net.sites[0].shard.core.timers.waiting();
    assert!(alarms < 10, "{alarms} timers for two connections");
}

/// The target shard takes no turn, so nothing that it was sent is settled.
#[test]
fn without_credit_a_publisher_is_not_read_until_it_returns() {
    for_seeds(0..20, |seed| {
        const CREDIT: u64 = 64 * 1024;
        let mut net = Net::with_credit(seed, config(2), CREDIT);
        let publisher = net.join(0, QUIET);
        let other = net.join(0, QUIET);
        let subscriber = net.join(1, QUIET);
        net.ask(subscriber, "SUB a 1\r\nPING\r\n");
        let message = publish("a", [b'x'; 1000]);
        let sent = 1000;
        net.send(publisher, message.repeat(sent));
        net.send(publisher, "PING\r\n");
        for _ in 0..2000 {
            let Net { sites, wires, rng, .. } = &mut net;
            wires[publisher].arrive(rng);
            sites[0].step(wires, 0, rng);
        }
        let core = &net.sites[0].shard.core;
        let paused = |pause| core.connections.iter().filter(|(_, found)| found.pause == Some(pause)).count();
        assert_eq!(paused(Pause::Credit { target: 1 }), 1);
        // One read's worth may come on top.
        let in_flight = net.sites[0].endpoint.in_flight(1);
        assert!((CREDIT..CREDIT + 256 * 1024).contains(&in_flight), "{in_flight} bytes in flight");
        net.send(other, "PING\r\n");
        for _ in 0..200 {
            let Net { sites, wires, clients, rng, tick, .. } = &mut net;
            wires[other].arrive(rng);
            sites[0].step(wires, 0, rng);
            clients[other].read(&wires[other].take(rng), *tick);
        }
        assert_eq!(net.take(other), [Frame::Pong], "others are served");
        net.settle();
        assert_eq!(net.take(publisher), [Frame::Pong]);
        assert_eq!(messages(&mut net, subscriber).len(), sent, "nothing is lost");
        assert_eq!(net.sites[0].endpoint.in_flight(1), 0, "everything was settled");
    });
}

/// What one turn gathers for another shard is bounded, however many publishers there are.
#[test]
fn a_turn_gathers_only_so_much_for_a_shard() {
    let mut net = Net::with_credit(3, config(2), 64 * 1024 * 1024);
    let subscriber = net.join(1, QUIET);
    net.ask(subscriber, "SUB a 1\r\nPING\r\n");
    let publishers: Vec<usize> = (0..40).map(|_| net.join(0, QUIET)).collect();
    let message = publish("a", [b'x'; 1000]);
    for &publisher in &publishers {
        net.wires[publisher].piece = usize::MAX;
        net.send(publisher, message.repeat(60));
        while !net.wires[publisher].is_quiet(false) {
            net.wires[publisher].arrive(&mut net.rng);
        }
    }
    let mut largest = 0;
    for _ in 0..2000 {
        let before = net.sites[0].endpoint.in_flight(1);
        let Net { sites, wires, rng, .. } = &mut net;
        sites[0].step(wires, 0, rng);
        largest = largest.max(net.sites[0].endpoint.in_flight(1) - before);
    }
    assert!(largest > 0 && largest <= 700 * 1024, "{largest} bytes in one parcel");
    net.settle();
    assert_eq!(messages(&mut net, subscriber).len(), 40 * 60);
}
