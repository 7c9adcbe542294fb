//! What monitoring is told: counters, pages in every order, closed connections; and that nobody waits for it.

use std::sync::Arc;
use std::time::Duration;

use super::{QUIET, for_seeds, publish};
use crate::config::Limits;
use crate::connection::CloseReason;
use crate::snapshot::{ConnectionFacts, ConnectionQuery, Query, Snapshot, Sort, SubscriptionQuery};
use crate::testing::{Frame, Net, config};

const SORTS: [Sort; 14] = [
    Sort::Cid,
    Sort::Start,
    Sort::Uptime,
    Sort::Subscriptions,
    Sort::Pending,
    Sort::MessagesTo,
    Sort::MessagesFrom,
    Sort::BytesTo,
    Sort::BytesFrom,
    Sort::Last,
    Sort::Idle,
    Sort::Rtt,
    Sort::Stop,
    Sort::Reason,
];

fn ask(net: &mut Net, query: Query) -> Vec<Snapshot> {
    let received = net.survey(query);
    net.settle();
    let mut answers: Vec<Snapshot> = received.try_iter().collect();
    assert_eq!(answers.len(), net.sites.len(), "{net:?}");
    answers.sort_by_key(|answer| answer.shard);
    answers
}

fn connections(net: &mut Net, query: ConnectionQuery) -> Vec<Arc<ConnectionFacts>> {
    let answers = ask(net, Query { connections: Some(query), ..Query::default() });
    answers.into_iter().flat_map(|answer| answer.connections).collect()
}

fn everybody(sort: Sort, first: usize) -> ConnectionQuery {
    ConnectionQuery { open: true, closed: true, sort, first, ..ConnectionQuery::default() }
}

/// Clients that come, subscribe, publish and partly go.
fn busy(seed: u64, shards: usize) -> (Net, u64) {
    let mut net = Net::new(seed, config(shards));
    let mut published = 0;
    for number in 0..12 {
        let client = net.join(number % shards, QUIET);
        for sid in 0..number {
            net.send(client, format!("SUB s.{sid} {sid}\r\n"));
        }
        net.ask(client, "PING\r\n");
        for to in 0..number / 2 {
            net.send(client, publish(&format!("s.{to}"), vec![b'x'; number]));
            published += 1;
        }
        net.ask(client, "PING\r\n");
        if number % 3 == 0 {
            net.close(client);
            net.settle();
        }
        net.advance(7);
    }
    (net, published)
}

#[test]
fn counters_are_exact_and_know_those_who_left() {
    for_seeds(0..10, |seed| {
        for shards in [1, 3] {
            let (mut net, published) = busy(seed, shards);
            let totals: Vec<_> = ask(&mut net, Query::default()).iter().map(|answer| answer.totals).collect();
            let sum = |of: fn(&crate::snapshot::Totals) -> u64| totals.iter().map(of).sum::<u64>();
            assert_eq!(sum(|totals| totals.opened), 12);
            assert_eq!(sum(|totals| totals.connections as u64), 8);
            assert_eq!(sum(|totals| totals.closed as u64), 4);
            assert_eq!(sum(|totals| totals.received.messages), published);
            assert_eq!(sum(|totals| totals.subscribed), (0..12).sum::<u64>());
            assert_eq!(
                sum(|totals| totals.subscriptions as u64),
                (0..12).filter(|number| number % 3 != 0).sum::<u64>()
            );
            // What each connection says of itself adds up to the totals.
            let all = connections(&mut net, everybody(Sort::Cid, 100));
            assert_eq!(all.len(), 12);
            assert_eq!(
                all.iter().map(|facts| facts.numbers.sent.messages).sum::<u64>(),
                sum(|totals| totals.sent.messages)
            );
            assert_eq!(all.iter().map(|facts| facts.numbers.sent.bytes).sum::<u64>(), sum(|totals| totals.sent.bytes));
            assert_eq!(
                all.iter().map(|facts| facts.numbers.received.bytes).sum::<u64>(),
                sum(|totals| totals.received.bytes)
            );
            assert!(sum(|totals| totals.sent.messages) > 0);
        }
    });
}

#[test]
fn a_page_is_the_beginning_of_the_whole_in_every_order() {
    let (mut net, _) = busy(1, 3);
    for sort in SORTS {
        let in_order = |mut list: Vec<Arc<ConnectionFacts>>, now: Duration| -> Vec<u64> {
            list.sort_by_key(|facts| (sort.rank(&facts.numbers, now), facts.numbers.cid));
            list.iter().map(|facts| facts.numbers.cid).collect()
        };
        let now = Duration::from_millis(net.now);
        let all = connections(&mut net, everybody(sort, 100));
        let whole = in_order(all, now);
        assert_eq!(whole.len(), 12);
        for first in [0, 1, 5, 12] {
            let page = connections(&mut net, everybody(sort, first));
            let page: Vec<u64> = in_order(page, now).into_iter().take(first).collect();
            assert_eq!(page, whole[..first], "{sort:?}, {first}");
        }
    }
}

#[test]
fn filters() {
    let mut net = Net::new(3, config(2));
    let bob = net.join(0, r#"{"verbose":false,"user":"bob","pass":"secret","name":"b"}"#);
    net.join(1, r#"{"verbose":false,"auth_token":"secret"}"#);
    net.ask(bob, "SUB a.* q 1\r\nSUB b 2\r\nUNSUB 2 9\r\nPING\r\n");
    let of_bob = ConnectionQuery { user: Some("bob".to_owned()), subscriptions: true, ..everybody(Sort::Cid, 9) };
    let found = connections(&mut net, of_bob);
    assert_eq!(found.len(), 1);
    let subscriptions: Vec<_> = found[0]
        .subscriptions
        .iter()
        .map(|facts| (String::from_utf8_lossy(&facts.subject).into_owned(), facts.queue.is_some(), facts.max))
        .collect();
    assert_eq!(subscriptions, [("a.*".to_owned(), true, 0), ("b".to_owned(), false, 9)]);
    let second = ConnectionQuery { cid: Some(2), ..everybody(Sort::Cid, 9) };
    assert_eq!(connections(&mut net, second)[0].user.as_deref(), Some("[REDACTED]"));
    let test = SubscriptionQuery { test: Some(b"a.b".to_vec()), first: 9 };
    let answers = ask(&mut net, Query { subscriptions: Some(test), ..Query::default() });
    assert_eq!(answers.iter().map(|answer| answer.matching).collect::<Vec<_>>(), [1, 0]);
}

#[test]
fn closed_connections_are_remembered_up_to_a_limit() {
    let limits = Limits { max_closed_clients: 3, ..Limits::default() };
    let mut net = Net::new(5, crate::config::Config { limits, ..config(1) });
    for number in 0..5 {
        let client = net.join(0, &format!(r#"{{"verbose":false,"name":"n{number}"}}"#));
        let subscriptions: String = (0..100).map(|sid| format!("SUB a.{sid} {sid}\r\n")).collect();
        net.ask(client, subscriptions + "PING\r\n");
        net.close(client);
        net.advance(5);
    }
    let closed = connections(&mut net, ConnectionQuery { open: false, ..everybody(Sort::Stop, 9) });
    let names: Vec<_> = closed.iter().filter_map(|facts| facts.name.as_deref()).collect();
    assert_eq!(names, ["n4", "n3", "n2"]);
    for facts in &closed {
        assert_eq!(facts.numbers.stop.map(|(_, reason)| reason), Some(CloseReason::ClientClosed));
        assert_eq!((facts.numbers.subscriptions, facts.subscriptions.len()), (100, 32));
    }
}

#[test]
fn clients_are_served_while_a_long_answer_is_made() {
    const SUBSCRIPTIONS: usize = 50_000;
    let mut net = Net::new(7, config(1));
    let client = net.join(0, QUIET);
    let subscriptions: String = (0..SUBSCRIPTIONS).map(|sid| format!("SUB a.{sid} {sid}\r\n")).collect();
    net.ask(client, subscriptions + "PING\r\n");
    let all = SubscriptionQuery { test: None, first: usize::MAX };
    let connections = ConnectionQuery { subscriptions: true, ..everybody(Sort::Cid, usize::MAX) };
    let received = net.survey(Query { connections: Some(connections), subscriptions: Some(all), ..Query::default() });
    net.send(client, "PING\r\n");
    let mut pong = false;
    let answer = loop {
        net.step();
        pong |= net.take(client).contains(&Frame::Pong);
        if let Ok(answer) = received.try_recv() {
            break answer;
        }
    };
    assert!(pong, "the answer took more turns than a PONG does");
    assert_eq!(answer.matching, SUBSCRIPTIONS);
    assert_eq!(answer.subscriptions.len(), SUBSCRIPTIONS);
    assert_eq!(answer.connections[0].subscriptions.len(), SUBSCRIPTIONS);
}

#[test]
fn round_trips_are_measured_with_connect_and_with_every_ping() {
    let mut net = Net::new(11, config(1));
    let client = net.connect();
    let rtt = |net: &mut Net| connections(net, everybody(Sort::Cid, 1))[0].numbers.rtt;
    net.settle();
    assert_eq!(rtt(&mut net), Duration::ZERO);
    net.advance(30);
    net.ask(client, format!("CONNECT {QUIET}\r\n"));
    assert_eq!(rtt(&mut net), Duration::from_millis(30));
    while !net.take(client).contains(&Frame::Ping) {
        net.advance(100);
    }
    let before = net.now;
    net.advance(1000);
    net.ask(client, "PONG\r\n");
    // The PING left at most one step of the loop above earlier.
    let measured = rtt(&mut net);
    assert!((1000..=1100).contains(&measured.as_millis()), "{measured:?} since {before}");
    // Another PONG answers nothing.
    net.advance(1000);
    net.ask(client, "PONG\r\n");
    assert_eq!(rtt(&mut net), measured);
}

/// Whoever asked has given up, or never existed.
#[test]
fn an_answer_that_nobody_waits_for_is_thrown_away() {
    let mut net = Net::new(9, config(2));
    let client = net.join(0, QUIET);
    drop(net.survey(Query { connections: Some(everybody(Sort::Cid, 9)), ..Query::default() }));
    assert_eq!(net.ask(client, "PING\r\n"), [Frame::Pong]);
}
