//! What clients are told of the cluster.

use std::sync::Arc;

use super::QUIET;
use crate::shard::mail::Control;
use crate::testing::{Frame, Net, config};

const CURIOUS: &str = r#"{"verbose":false,"pedantic":false,"protocol":1}"#;

/// A client that wants to know of changes, and has got its first PONG.
fn join_curious(net: &mut Net, site: usize) -> usize {
    let client = net.connect_to(site);
    let answer = net.ask(client, format!("CONNECT {CURIOUS}\r\nPING\r\n"));
    assert!(matches!(&answer[..], [Frame::Info(_), Frame::Pong, Frame::Info(_)]), "{answer:?}");
    client
}

fn change(net: &mut Net, urls: &[&str]) {
    let urls: Arc<[String]> = urls.iter().map(ToString::to_string).collect();
    net.tell_shards(|| Control::ClusterChanged { name: Arc::from("c"), connect_urls: Some(Arc::clone(&urls)) });
    net.settle();
}

#[test]
fn those_who_asked_are_told_once() {
    let mut net = Net::new(1, config(2));
    let curious = join_curious(&mut net, 0);
    let plain = net.join(1, QUIET);
    let silent = net.connect_to(1);
    net.send(silent, format!("CONNECT {CURIOUS}\r\n"));
    net.settle();
    assert!(matches!(&net.take(silent)[..], [Frame::Info(info)] if !info.contains("connect_urls")));

    change(&mut net, &["a:1", "b:2"]);
    let told = net.take(curious);
    let [Frame::Info(info)] = &told[..] else { panic!("{told:?}") };
    assert!(info.contains(r#""cluster":"c","connect_urls":["a:1","b:2"]"#), "{info}");
    assert!(!info.contains("connect_info"), "{info}");
    assert_eq!((net.take(plain), net.take(silent)), (vec![], vec![]));

    // The first PONG brings what was missed, and that is all.
    let answer = net.ask(silent, "PING\r\n");
    assert!(matches!(&answer[..], [Frame::Pong, Frame::Info(info)] if info.contains("connect_urls")), "{answer:?}");

    // Nothing new, nothing told.
    change(&mut net, &["a:1", "b:2"]);
    assert_eq!(net.take(curious), vec![]);
    change(&mut net, &["a:1"]);
    assert_eq!((net.take(curious).len(), net.take(silent).len(), net.take(plain).len()), (1, 1, 0));
}

#[test]
fn many_clients_take_many_turns() {
    let mut net = Net::new(2, config(1));
    let clients: Vec<usize> = (0..600).map(|_| join_curious(&mut net, 0)).collect();
    change(&mut net, &["a:1", "b:2"]);
    assert!(clients.iter().all(|&client| matches!(&net.take(client)[..], [Frame::Info(_)])));
}
