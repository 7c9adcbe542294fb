//! What monitoring is told of routes: each with its numbers, and what the servers at their other ends want.

use std::collections::BTreeSet;

use super::routes::{Peer, clustered};
use super::{QUIET, publish};
use crate::protocol::s2::Compression;
use crate::snapshot::{Query, RouteFacts, RouteQuery, Snapshot, Totals};
use crate::testing::Net;

fn ask(net: &mut Net, interest: bool) -> Vec<Snapshot> {
    let received = net.survey(Query { routes: Some(RouteQuery { interest }), ..Query::default() });
    net.settle();
    let answers: Vec<Snapshot> = received.try_iter().collect();
    assert_eq!(answers.len(), net.sites.len(), "{net:?}");
    answers
}

fn routes(net: &mut Net, interest: bool) -> Vec<RouteFacts> {
    ask(net, interest).into_iter().flat_map(|answer| answer.routes).collect()
}

fn count(net: &mut Net, of: impl Fn(&Totals) -> u64) -> u64 {
    ask(net, false).iter().map(|answer| of(&answer.totals)).sum()
}

#[test]
fn routes_have_numbers_and_interest() {
    let mut net = Net::new(5, clustered(2));
    let client = net.join(0, QUIET);
    net.ask(client, "SUB a 1\r\nPING\r\n");
    let peer = Peer::join(&mut net, 4, 1, None);
    peer.say(&mut net, 0, "RS+ $G b\r\nRS+ $G g.* q 2\r\nRS+ $SYS s\r\nRMSG $G a 3\r\nabc\r\nRMSG $G a 1\r\nd\r\n");
    net.send(client, publish("b", "12345"));
    net.ask(client, "PING\r\n");

    let [route] = &routes(&mut net, true)[..] else { panic!("one route") };
    assert_eq!((&*route.remote.id, &*route.remote.name), ("N4", "S4"));
    assert_eq!((route.account.as_deref(), route.compression), (None, Compression::NotSupported));
    let numbers = route.numbers;
    assert_eq!((numbers.received.messages, numbers.received.bytes), (2, 4));
    assert_eq!((numbers.sent.messages, numbers.sent.bytes), (1, 5));
    assert_eq!(numbers.subscriptions, 2, "none of another account");
    let interests: BTreeSet<_> =
        route.interests.iter().map(|interest| (&*interest.subject, interest.queue.as_deref())).collect();
    assert_eq!(interests, BTreeSet::from([(&b"b"[..], None), (&b"g.*"[..], Some(&b"q"[..]))]));
    assert!(routes(&mut net, false)[0].interests.is_empty());

    assert_eq!(count(&mut net, |totals| totals.connections as u64), 1, "routes are no clients");
    assert_eq!(count(&mut net, |totals| totals.routes as u64), 1);
    assert_eq!(count(&mut net, |totals| totals.interests as u64), 2);
    assert_eq!(count(&mut net, |totals| totals.received.messages), 3);
    assert_eq!(count(&mut net, |totals| totals.routed_in.messages), 2);
    assert_eq!(count(&mut net, |totals| totals.routed_out.bytes), 5);

    net.close(client);
    peer.say(&mut net, 0, "RS- $G b\r\nRS- $G g.* q\r\n");
    assert_eq!(count(&mut net, |totals| totals.interests as u64), 0);
}

#[test]
fn a_long_list_of_interest_is_complete() {
    const INTERESTS: usize = 20_000;
    let mut net = Net::new(6, clustered(2));
    let peer = Peer::join(&mut net, 0, 0, Some(2));
    let told: String = (0..INTERESTS).map(|number| format!("RS+ $G a.{number}\r\n")).collect();
    peer.say(&mut net, 1, told);
    let answers = routes(&mut net, true);
    let lists: Vec<usize> = answers.iter().map(|route| route.interests.len()).collect();
    assert_eq!(lists.iter().sum::<usize>(), INTERESTS);
    assert_eq!(lists.len(), 2, "a route for each lane");
}
