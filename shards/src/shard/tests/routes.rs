//! What other servers are told and tell: interest and messages, over one route, over lanes, and over routes of other shards.

use std::collections::BTreeSet;

use super::{FULL, QUIET, for_seeds, messages, publish};
use crate::config::Config;
use crate::mesh::{PeerPath, RouteKind};
use crate::shard::mail::Control;
use crate::testing::{Frame, Net, cluster, config, route_start};

pub(super) fn clustered(shards: usize) -> Config {
    Config { cluster: Some(cluster()), ..config(shards) }
}

/// One end of a route, as another server has it.
pub(super) struct Peer {
    /// By lane; without lanes there is one.
    wires: Vec<usize>,
}

impl Peer {
    /// A peer joins with one route on this shard, or with so many lanes.
    pub fn join(net: &mut Net, peer: u16, shard: usize, lanes: Option<u16>) -> Peer {
        let kinds: Vec<(usize, RouteKind)> = match lanes {
            None => vec![(shard, RouteKind::Pool { index: 0, carries: true })],
            Some(lanes) => (0..lanes).map(|lane| (usize::from(lane), RouteKind::Lane { lane, lanes })).collect(),
        };
        let mut wires = Vec::new();
        for (shard, kind) in kinds {
            wires.push(net.connect_route(shard, |rid| route_start(rid, peer, kind)));
        }
        net.settle();
        let mut target = 0;
        let shards = net.sites.len() as u16;
        let paths: Vec<PeerPath> = (0..shards)
            .map(|own| match lanes {
                None => PeerPath { shard: shard as u16, rid: wires[0] as u64 + 1, is_lane: false },
                Some(lanes) => {
                    PeerPath { shard: own % lanes, rid: wires[usize::from(own % lanes)] as u64 + 1, is_lane: true }
                }
            })
            .collect();
        let next = std::cell::Cell::new(0);
        net.tell_shards(|| {
            let own = next.replace(next.get() + 1);
            Control::PeerUp { peer, path: paths[own] }
        });
        target += next.get();
        assert_eq!(target, usize::from(shards));
        net.settle();
        Peer { wires }
    }

    /// What it got, by lane.
    fn take(&self, net: &mut Net) -> Vec<String> {
        net.settle();
        self.wires.iter().map(|&wire| net.clients[wire].take_raw().replace("PING\r\n", "")).collect()
    }

    pub fn say(&self, net: &mut Net, lane: usize, bytes: impl AsRef<[u8]>) {
        net.send(self.wires[lane], bytes);
        net.settle();
    }
}

fn lines(text: &str) -> BTreeSet<&str> {
    text.split_terminator("\r\n").collect()
}

#[test]
fn a_peer_is_told_of_interest_that_was_there_and_of_every_change() {
    for_seeds(0..20, |seed| {
        let mut net = Net::new(seed, clustered(3));
        let clients = [0, 1, 2].map(|site| net.join(site, QUIET));
        net.ask(clients[0], "SUB a 1\r\nSUB a.* 2\r\nSUB g q 3\r\nPING\r\n");
        net.ask(clients[1], "SUB a 1\r\nSUB g q 3\r\nSUB g q 4\r\nPING\r\n");
        let peer = Peer::join(&mut net, 4, 1, None);
        let [told] = &peer.take(&mut net)[..] else { panic!("one route") };
        assert_eq!(lines(told), BTreeSet::from(["RS+ $G a", "RS+ $G a.*", "RS+ $G g q 3"]));
        net.ask(clients[2], "SUB b 1\r\nPING\r\n");
        assert_eq!(peer.take(&mut net), ["RS+ $G b\r\n"]);
        net.ask(clients[0], "UNSUB 1\r\nPING\r\n");
        let [told] = &peer.take(&mut net)[..] else { panic!("one route") };
        assert!(!told.contains("RS-"), "another shard wants it still: {told}");
        net.ask(clients[1], "UNSUB 1\r\nUNSUB 4\r\nPING\r\n");
        let [told] = &peer.take(&mut net)[..] else { panic!("one route") };
        assert_eq!(lines(told), BTreeSet::from(["RS- $G a", "RS+ $G g q 2"]));
        net.close(clients[1]);
        net.close(clients[0]);
        net.settle();
        let [told] = &peer.take(&mut net)[..] else { panic!("one route") };
        assert_eq!(lines(told).last().copied(), Some("RS- $G g q"));
        assert!(lines(told).contains("RS- $G a.*"));
    });
}

#[test]
fn lanes_tell_of_their_shards_alone() {
    for_seeds(0..20, |seed| {
        let mut net = Net::new(seed, clustered(3));
        let clients = [0, 1, 2].map(|site| net.join(site, QUIET));
        net.ask(clients[2], "SUB c 1\r\nPING\r\n");
        let peer = Peer::join(&mut net, 0, 0, Some(2));
        assert_eq!(peer.take(&mut net), ["RS+ $G c\r\n", ""], "two lanes: the third shard uses the first");
        net.ask(clients[0], "SUB c 1\r\nPING\r\n");
        net.ask(clients[1], "SUB c 1\r\nPING\r\n");
        let told = peer.take(&mut net);
        assert_eq!((told[0].as_str(), told[1].as_str()), ("RS+ $G c\r\n", "RS+ $G c\r\n"));
        net.ask(clients[2], "UNSUB 1\r\nPING\r\n");
        assert!(!peer.take(&mut net)[0].contains("RS-"));
        net.ask(clients[0], "UNSUB 1\r\nPING\r\n");
        assert_eq!(peer.take(&mut net), ["RS- $G c\r\n", ""]);
    });
}

#[test]
fn messages_go_once_to_each_peer_that_wants_them() {
    for_seeds(0..20, |seed| {
        let mut net = Net::new(seed, clustered(2));
        let plain = Peer::join(&mut net, 0, 1, None);
        let lanes = Peer::join(&mut net, 1, 0, Some(2));
        plain.say(&mut net, 0, "RS+ $G a\r\nRS+ $G a\r\nRS+ $G *\r\nRS+ $G b.>\r\n");
        lanes.say(&mut net, 0, "RS+ $G a\r\n");
        lanes.say(&mut net, 1, "RS+ $G a\r\n");
        let publishers = [0, 1].map(|site| net.join(site, FULL));
        for (site, &publisher) in publishers.iter().enumerate() {
            plain.take(&mut net);
            lanes.take(&mut net);
            let mut sent: Vec<u8> = (0..5).flat_map(|number| publish("a", number.to_string())).collect();
            sent.extend_from_slice(b"HPUB a reply 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
            net.ask(publisher, sent);
            let mut expected: String = (0..5).map(|number| format!("RMSG $G a 1\r\n{number}\r\n")).collect();
            expected.push_str("HMSG $G a reply 12 14\r\nNATS/1.0\r\n\r\nhi\r\n");
            assert_eq!(plain.take(&mut net), [expected.as_str()]);
            let mut by_lane = ["", ""];
            by_lane[site] = &expected;
            assert_eq!(lanes.take(&mut net), by_lane);
        }
        // Large ones by reference, and nothing for nobody.
        let large = "x".repeat(100_000);
        net.ask(publishers[0], [publish("b.c", &large), publish("c.d", "nobody")].concat());
        assert_eq!(plain.take(&mut net), [format!("RMSG $G b.c 100000\r\n{large}\r\n")]);
        lanes.say(&mut net, 0, "RS- $G a\r\n");
        net.ask(publishers[0], publish("a", "1"));
        assert_eq!(lanes.take(&mut net)[0], "RMSG $G a 1\r\n1\r\n", "the other lane's word still holds");
        lanes.say(&mut net, 1, "RS- $G a\r\n");
        net.ask(publishers[0], publish("a", "1"));
        assert_eq!(lanes.take(&mut net), ["", ""]);
    });
}

#[test]
fn what_comes_over_a_route_stays_here() {
    for_seeds(0..20, |seed| {
        let mut net = Net::new(seed, clustered(2));
        let from = Peer::join(&mut net, 0, 1, None);
        let other = Peer::join(&mut net, 1, 0, None);
        other.say(&mut net, 0, "RS+ $G >\r\n");
        from.say(&mut net, 0, "RS+ $G >\r\n");
        let clients = [0, 1].map(|site| net.join(site, FULL));
        for client in clients {
            net.ask(client, "SUB a 1\r\nSUB a q 2\r\nSUB big 3\r\nPING\r\n");
        }
        other.take(&mut net);
        from.take(&mut net);
        let large = "y".repeat(70_000);
        from.say(
            &mut net,
            0,
            format!("RMSG $G a 1\r\n1\r\nRMSG $G a 1\r\n2\r\nRMSG $G a r 1\r\n3\r\nRMSG $G big 70000\r\n{large}\r\n"),
        );
        for client in clients {
            let got = messages(&mut net, client);
            let mut expected: Vec<Frame> = ["1", "2"].map(|payload| Frame::msg("a", "1", payload)).into();
            let (subject, sid, reply) = ("a".to_owned(), "1".to_owned(), Some("r".to_owned()));
            expected.push(Frame::Msg { subject, sid, reply, headers: Vec::new(), payload: b"3".to_vec() });
            expected.push(Frame::msg("big", "3", &large));
            assert_eq!(got, expected, "no queue was listed");
        }
        from.say(&mut net, 0, "RMSG $G a | other q 1\r\n4\r\n");
        let got: Vec<Frame> = clients.iter().flat_map(|&client| messages(&mut net, client)).collect();
        let of = |sid: &str| got.iter().filter(|frame| **frame == Frame::msg("a", sid, "4")).count();
        assert_eq!((of("1"), of("2"), got.len()), (2, 1, 3));
        from.say(&mut net, 0, "HMSG $G a + $JS.ACK.a.b.c.d.e.f.g@shown q 12 13\r\nNATS/1.0\r\n\r\n5\r\n");
        let got: Vec<Frame> = clients.iter().flat_map(|&client| messages(&mut net, client)).collect();
        assert_eq!(got.len(), 3);
        for frame in got {
            let Frame::Msg { subject, reply, headers, payload, .. } = frame else { panic!() };
            assert_eq!(
                (&*subject, reply.as_deref(), headers.len(), &payload[..]),
                ("shown", Some("$JS.ACK.a.b.c.d.e.f.g"), 12, &b"5"[..])
            );
        }
        assert_eq!((other.take(&mut net), from.take(&mut net)), (vec![String::new()], vec![String::new()]));
    });
}

#[test]
fn a_group_without_members_here_is_served_by_another_peer() {
    for_seeds(0..10, |seed| {
        let mut net = Net::new(seed, clustered(2));
        let from = Peer::join(&mut net, 0, 1, None);
        let other = Peer::join(&mut net, 1, 0, None);
        from.say(&mut net, 0, "RS+ $G a q 9\r\n");
        other.say(&mut net, 0, "RS+ $G a q 1\r\n");
        from.say(&mut net, 0, "RMSG $G a + r q 2\r\nhi\r\n");
        assert_eq!(other.take(&mut net), ["RMSG $G a + r q 2\r\nhi\r\n"]);
        other.say(&mut net, 0, "RS- $G a q\r\n");
        from.take(&mut net);
        from.say(&mut net, 0, "RMSG $G a | q 2\r\nhi\r\n");
        assert_eq!(from.take(&mut net), ["RMSG $G a | q 2\r\nhi\r\n"], "as a last resort back");
    });
}

/// A run of messages on one subject ends where one is for a group, too.
#[test]
fn a_message_for_a_group_does_not_go_with_those_before_it() {
    let mut net = Net::new(3, clustered(2));
    let peer = Peer::join(&mut net, 0, 1, None);
    let client = net.join(0, QUIET);
    net.ask(client, "SUB a 1\r\nSUB a q 2\r\nPING\r\n");
    let plain = "RMSG $G a 1\r\nx\r\n".repeat(3);
    peer.say(&mut net, 0, format!("{plain}RMSG $G a | q 1\r\nx\r\n{plain}"));
    let got = messages(&mut net, client);
    let of_group = Frame::msg("a", "2", "x");
    assert_eq!((got.len(), got.iter().filter(|message| **message == of_group).count()), (8, 1), "{got:?}");
}

#[test]
fn every_member_in_the_cluster_has_the_same_chance() {
    let mut net = Net::new(7, clustered(2));
    let near = Peer::join(&mut net, 0, 1, None);
    let lanes = Peer::join(&mut net, 1, 0, Some(2));
    near.say(&mut net, 0, "RS+ $G a q 3\r\n");
    lanes.say(&mut net, 0, "RS+ $G a q 1\r\n");
    lanes.say(&mut net, 1, "RS+ $G a q 2\r\n");
    let clients = [0, 1].map(|site| net.join(site, QUIET));
    net.ask(clients[0], "SUB a q 1\r\nSUB a q 2\r\nPING\r\n");
    net.ask(clients[1], "SUB a q 1\r\nPING\r\n");
    near.take(&mut net);
    lanes.take(&mut net);
    const MESSAGES: usize = 3000;
    for _ in 0..MESSAGES {
        net.send(clients[1], publish("a", "x"));
    }
    net.settle();
    let count =
        |texts: Vec<String>| texts.iter().map(|text| text.matches("RMSG $G a | q 1\r\nx\r\n").count()).sum::<usize>();
    let shares = [
        count(near.take(&mut net)),
        count(lanes.take(&mut net)),
        messages(&mut net, clients[0]).len(),
        messages(&mut net, clients[1]).len(),
    ];
    assert_eq!(shares.iter().sum::<usize>(), MESSAGES);
    for (share, members) in shares.into_iter().zip([3, 3, 2, 1]) {
        let expected = MESSAGES * members / 9;
        assert!(share.abs_diff(expected) < MESSAGES / 15, "{shares:?}");
    }
}

/// The reply must find its way, however the shards' turns fall.
#[test]
fn interest_in_a_reply_leaves_before_the_request() {
    for_seeds(0..60, |seed| {
        let mut net = Net::new(seed, clustered(3));
        let routes = [Peer::join(&mut net, 0, 1, None), Peer::join(&mut net, 1, 0, Some(2))];
        for peer in &routes {
            peer.say(&mut net, 0, "RS+ $G service\r\n");
        }
        let clients: Vec<usize> = (0..6).map(|number| net.join(number % 3, QUIET)).collect();
        for round in 0..10 {
            for &client in &clients {
                let inbox = format!("inbox.{client}.{round}");
                net.send(client, format!("SUB {inbox} {round}\r\nPUB service {inbox} 1\r\nx\r\n"));
            }
            for _ in 0..net.rng.usize(..200) {
                net.step();
            }
        }
        for peer in &routes {
            for text in peer.take(&mut net) {
                let mut told = BTreeSet::new();
                for line in text.split_terminator("\r\n") {
                    let words: Vec<&str> = line.split(' ').collect();
                    match words[..] {
                        ["RS+", "$G", subject] => drop(told.insert(subject)),
                        ["RMSG", "$G", "service", inbox, "1"] => assert!(told.contains(inbox), "{inbox} in {text}"),
                        _ => {}
                    }
                }
            }
        }
    });
}

#[test]
fn interest_goes_with_its_route() {
    for_seeds(0..10, |seed| {
        let mut net = Net::new(seed, clustered(2));
        let peer = Peer::join(&mut net, 0, 1, None);
        let many: String = (0..10_000).map(|number| format!("RS+ $G many.{number}\r\n")).collect();
        peer.say(&mut net, 0, many);
        let requester = net.join(0, FULL);
        net.ask(requester, "SUB inbox 1\r\nPING\r\n");
        assert_eq!(net.ask(requester, "PUB many.77 inbox 0\r\n\r\nPING\r\n"), [Frame::Pong]);
        net.close(peer.wires[0]);
        net.settle();
        let got = net.ask(requester, "PUB many.77 inbox 0\r\n\r\nPING\r\n");
        assert!(
            matches!(&got[..], [Frame::Msg { headers, .. }, Frame::Pong] if headers.starts_with(b"NATS/1.0 503")),
            "{got:?}"
        );
        assert_eq!(net.connections(), 1);
    });
}
