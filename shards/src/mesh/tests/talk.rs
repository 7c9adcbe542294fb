//! One mesh and a peer that says what a test wants: who is refused with which words, and what the others hear.

use std::net::SocketAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::net::url;
use crate::config::{Cluster, Config, RouteAuthorization, Secret};
use crate::connection::CloseReason;
use crate::mesh::{Effect, Mesh, RouteKind, RouteStart};
use crate::shard::mail::Control;
use crate::testing::cluster;

const CONNECT: &str = "CONNECT {\"name\":\"NP\",\"cluster\":\"C\"}\r\n";

/// A server `NTEST` with two shards, and what it has done.
struct Talk {
    mesh: Mesh,
    effects: Vec<Effect>,
    /// Next connection.
    rid: u64,
}

impl Talk {
    fn new(cluster: Cluster) -> Talk {
        let mut config = Config { cluster: Some(cluster), ..crate::testing::config(1) };
        config.shards.count = 2;
        let mut talk = Talk { mesh: Mesh::new(Arc::new(config), 1), effects: Vec::new(), rid: 1 };
        talk.mesh.start(1000);
        talk
    }

    fn act(&mut self, act: impl FnOnce(&mut Mesh)) -> Vec<Effect> {
        act(&mut self.mesh);
        let mut effects = Vec::new();
        self.mesh.take_effects(&mut effects);
        effects
    }

    /// A connection comes in and says this; what it is told behind the greeting, and whether it is closed then.
    fn hears(&mut self, lines: &str) -> (String, bool) {
        let (rid, peer) = (self.rid, SocketAddr::from(([10, 0, 0, 9], 9999)));
        self.rid += 1;
        let mut effects = self.act(|mesh| mesh.accepted(1000, rid, peer));
        assert!(said(&effects, rid).starts_with("INFO {\"server_id\":\"NTEST\","), "{effects:?}");
        effects = self.act(|mesh| mesh.received(1000, rid, lines.as_bytes()));
        let result = (said(&effects, rid), effects.iter().any(|effect| matches!(effect, Effect::Close { .. })));
        self.effects = effects;
        result
    }

    /// The route that the last words have made.
    fn route(&self) -> Option<(u16, &RouteStart)> {
        self.effects.iter().find_map(|effect| match effect {
            Effect::Establish { shard, start } => Some((*shard, &**start)),
            _ => None,
        })
    }

    /// A shard reports an INFO; what its routes are told.
    fn gossips(&mut self, rid: u64, json: &str) -> Vec<Effect> {
        let json = json.as_bytes().into();
        self.act(|mesh| mesh.report(1000, 0, Control::RouteInfo { rid, json }))
    }
}

fn said(effects: &[Effect], to: u64) -> String {
    let mut text = String::new();
    for effect in effects {
        if let Effect::Send { rid, bytes } = effect
            && *rid == to
        {
            text.push_str(&String::from_utf8_lossy(bytes));
        }
    }
    text
}

/// CONNECT and INFO of a server with that id, and something in its INFO besides.
fn introduction(id: &str, more: &str) -> String {
    format!(
        "CONNECT {{\"name\":\"{id}\",\"cluster\":\"C\"}}\r\nINFO {{\"server_id\":\"{id}\",\"server_name\":\"{id}\",\
         \"cluster\":\"C\",\"headers\":true,\"host\":\"h\",\"port\":7{more}}}\r\n"
    )
}

const POOL: &str = ",\"route_pool_size\":3";

/// The second line of [`introduction`].
fn info_of(id: &str, more: &str) -> String {
    introduction(id, more).lines().skip(1).map(|line| format!("{line}\r\n")).collect()
}

#[test]
fn who_is_refused_with_which_words() {
    let violation = "-ERR 'Authorization Violation'\r\n";
    for (lines, words) in [
        ("INFO {}\r\n".to_owned(), violation),
        ("PING\r\n".to_owned(), violation),
        ("GET / HTTP/1.1\r\n".to_owned(), violation),
        (CONNECT.replace("}", ",\"account\":\"A\"}"), violation),
        (CONNECT.replace("}", ",\"lang\":\"go\"}"), "-ERR 'attempted to connect to route port'\r\n"),
        (
            CONNECT.replace("}", ",\"gateway\":\"X\"}"),
            "-ERR 'Rejecting connection from gateway \"X\" on the Route port'\r\n",
        ),
        (CONNECT.replace("\"C\"", "\"D\""), "-ERR 'Rejecting connection, cluster name \"D\" does not match \"C\"'\r\n"),
        (CONNECT.replace("\"C\"", "3"), ""),
        (introduction("NP", "").replace("\"C\",\"headers\"", "\"D\",\"headers\""), ""),
        (introduction("NTEST", POOL), ""),
        (introduction("test", POOL), ""),
        (introduction("NP", ",\"port\":\"x\""), ""),
        (
            introduction("NP", ",\"route_pool_size\":3,\"route_pool_idx\":3"),
            "-ERR 'Invalid route pool index: 3 - pool size is 3'\r\n",
        ),
        (
            introduction("NP", ",\"route_pool_size\":3,\"route_account\":\"A\""),
            "-ERR 'Unable to lookup account \"A\": account missing'\r\n",
        ),
        (
            introduction("NP", ",\"route_pool_size\":3,\"route_account\":\"$G\""),
            "-ERR 'No route for account \"$G\"'\r\n",
        ),
        (
            introduction("NP", ",\"route_account\":\"$SYS\""),
            "-ERR 'Not possible to have a dedicated route for account \"$SYS\" between those servers'\r\n",
        ),
        (introduction("NP", ",\"compression\":\"zip\""), "-ERR 'unsupported route compression mode \"zip\"'\r\n"),
        (
            introduction("NP", ",\"x_pinmesh_route\":{\"v\":1,\"lanes\":3,\"lane\":0,\"inst\":\"i\"}"),
            "-ERR 'Too many lanes: 2 were offered'\r\n",
        ),
        (introduction("NP", ",\"x_pinmesh_route\":{\"v\":1,\"lanes\":2,\"lane\":1,\"inst\":\"i\"}"), ""),
        (format!("{CONNECT}-ERR 'no'\r\n"), ""),
        (format!("{CONNECT}INFO {{{}", " ".repeat(70_000)), "-ERR 'maximum control line exceeded'\r\n"),
    ] {
        let mut talk = Talk::new(Cluster { name: "C".to_owned(), ..cluster() });
        let shown = &lines[..lines.len().min(200)];
        assert_eq!(talk.hears(&lines), (words.to_owned(), true), "{shown}");
        assert!(talk.route().is_none() && talk.mesh.handshakes.is_empty() && talk.mesh.remotes.is_empty());
    }
}

#[test]
fn credentials() {
    for password in ["secret".to_owned(), bcrypt::hash("secret", 4).unwrap()] {
        let authorization = RouteAuthorization { user: "u".to_owned(), password: Secret(password.as_str().into()) };
        let mut talk = Talk::new(Cluster { authorization: Some(authorization), ..cluster() });
        let with = |more: &str| CONNECT.replace("}", &format!("{more}}}"));
        assert_eq!(talk.hears(&with(",\"user\":\"u\",\"pass\":\"secret\"")), (String::new(), false));
        for more in ["", ",\"user\":\"u\"", ",\"user\":\"x\",\"pass\":\"secret\"", ",\"user\":\"u\",\"pass\":\"x\""] {
            let refused = ("-ERR 'Authorization Violation'\r\n".to_owned(), true);
            assert_eq!(talk.hears(&with(more)), refused, "{more}");
        }
        assert_eq!(talk.hears(""), (String::new(), false));
        let silent = talk.rid - 1;
        assert!(talk.act(|mesh| mesh.run_timers(2999)).is_empty());
        let late = talk.act(|mesh| mesh.run_timers(3000));
        assert_eq!(said(&late, silent), "-ERR 'Authentication Timeout'\r\n");
    }
}

#[test]
fn a_pool_is_filled_place_by_place() {
    let mut talk = Talk::new(cluster());
    for (index, carries) in [(0, false), (2, true), (1, false)] {
        let more = format!(",\"route_pool_size\":2,\"route_pool_idx\":{index}");
        assert_eq!(talk.hears(&format!("{}PING\r\nRS+ $G a\r\n", introduction("NP", &more))), (String::new(), false));
        let (shard, start) = talk.route().expect("a route");
        assert_eq!((shard, start.peer, start.solicited, start.explicit), (0, 0, false, false));
        assert_eq!(start.kind, RouteKind::Pool { index, carries });
        assert_eq!(start.input, b"PING\r\nRS+ $G a\r\n", "the rest is for the shard");
        let told =
            talk.effects.iter().filter(|effect| matches!(effect, Effect::Tell { control: Control::PeerUp { .. }, .. }));
        assert_eq!(told.count(), if carries { 2 } else { 0 });
        assert_eq!(talk.hears(&introduction("NP", &more)), (String::new(), true), "this place is taken");
    }
    let system = format!("{POOL},\"route_account\":\"$SYS\"");
    assert_eq!(talk.hears(&introduction("NP", &system)), (String::new(), false));
    let kind = RouteKind::Dedicated { account: "$SYS".into(), carries: false };
    assert_eq!(talk.route().expect("a route").1.kind, kind);
    assert_eq!(talk.hears(&introduction("NP", &system)), (String::new(), true));
}

#[test]
fn a_pinned_global_account_goes_its_own_way() {
    let mut talk = Talk::new(Cluster { accounts: vec!["$G".to_owned()], ..cluster() });
    talk.hears(&introduction("NP", ",\"route_pool_size\":3,\"route_pool_idx\":2"));
    assert_eq!(talk.route().expect("a route").1.kind, RouteKind::Pool { index: 2, carries: false });
    talk.hears(&introduction("NP", ",\"route_pool_size\":3,\"route_account\":\"$G\""));
    assert_eq!(talk.route().expect("a route").1.kind, RouteKind::Dedicated { account: "$G".into(), carries: true });
}

#[test]
fn what_others_hear_of_a_new_server() {
    let mut talk = Talk::new(cluster());
    talk.hears(&introduction("NA", ""));
    let neighbour = talk.rid - 1;
    talk.hears(&introduction("NB", ",\"nonce\":\"x\",\"x_other\":1,\"gossip_mode\":2,\"proto\":2"));
    let told = talk.effects.iter().filter_map(|effect| match effect {
        Effect::Tell { control: Control::RouteTell { rid, bytes }, .. } => Some((*rid, String::from_utf8_lossy(bytes))),
        _ => None,
    });
    let [(rid, line)] = &told.collect::<Vec<_>>()[..] else { panic!("one server is told") };
    assert_eq!(*rid, neighbour);
    assert!(line.contains("\"server_id\":\"NB\"") && line.contains("\"ip\":\"nats-route://10.0.0.9:7/\""), "{line}");
    assert!(line.contains("\"gossip_mode\":1") && !line.contains("nonce") && !line.contains("x_other"), "{line}");
    talk.hears(&introduction("NC", ",\"gossip_mode\":1"));
    let is_told = |effect: &Effect| matches!(effect, Effect::Tell { control: Control::RouteTell { .. }, .. });
    assert!(!talk.effects.iter().any(is_told), "that was forbidden");
}

#[test]
fn whoever_is_new_is_news_twice() {
    let mut talk = Talk::new(cluster());
    for (id, more) in [("NA", ""), ("NB", POOL), ("NC", ",\"gossip_mode\":1")] {
        talk.hears(&introduction(id, more));
    }
    let told_at = |talk: &mut Talk, now: u64| {
        let mut told = Vec::new();
        for effect in talk.act(|mesh| mesh.run_timers(now)) {
            let Effect::Tell { control: Control::RouteTell { rid, bytes }, .. } = effect else { continue };
            for line in String::from_utf8_lossy(&bytes).lines() {
                let info: serde_json::Value = serde_json::from_str(line.strip_prefix("INFO ").unwrap()).unwrap();
                assert_eq!(info["gossip_mode"], 1);
                told.push((rid, info["server_id"].as_str().unwrap().to_owned()));
            }
        }
        told
    };
    assert_eq!(told_at(&mut talk, 2000), [], "not at once");
    let all = [(1, "NB"), (1, "NC"), (2, "NA"), (2, "NC"), (3, "NA"), (3, "NB")];
    assert_eq!(told_at(&mut talk, 5000), all.map(|(rid, id)| (rid, id.to_owned())), "nobody hears of itself");
    talk.hears(&introduction("ND", ""));
    let new = [1, 2, 3].map(|rid| (rid, "ND".to_owned()));
    assert_eq!(told_at(&mut talk, 100_000), new, "only of who is new");
    assert_eq!(told_at(&mut talk, 200_000), []);
}

#[test]
fn what_is_done_about_gossip() {
    let mut talk = Talk::new(Cluster { routes: vec![url(7)], ..cluster() });
    talk.hears(&introduction("NA", ""));
    let rid = talk.rid - 1;
    let about = |id: &str, ip: &str| format!("{{\"server_id\":\"{id}\",\"host\":\"x\",\"port\":1,\"ip\":\"{ip}\"}}");
    let dialled = |talk: &mut Talk| {
        let effects = talk.act(|mesh| mesh.run_timers(1000));
        let dials = effects.iter().filter_map(|effect| match effect {
            Effect::Dial { host, port, .. } => Some(format!("{host} {port}")),
            _ => None,
        });
        dials.collect::<Vec<_>>()
    };
    dialled(&mut talk);
    for (json, expected) in [
        (about("NZ", "nats-route://10.0.0.5:6/"), Some("10.0.0.5 6")),
        (about("NZ", "nats-route://10.0.0.5:6/"), None),
        (about("NY", "nats-route://[::1]:6/"), Some("::1 6")),
        (about("NX", "nats-route://10.0.0.7:6222/"), None),
        (about("NW", ""), None),
        (about("NA", "nats-route://10.0.0.8:6/"), None),
        ("{\"server_id\":\"NV\",\"gateway\":\"g\",\"ip\":\"nats-route://10.0.0.8:6/\"}".to_owned(), None),
    ] {
        talk.gossips(rid, &json);
        assert_eq!(dialled(&mut talk), expected.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{json}");
    }
    // Only a connection of an account has come from there.
    talk.hears(&introduction("NB", ",\"route_pool_size\":3,\"route_account\":\"$SYS\""));
    assert!(talk.route().is_some());
    dialled(&mut talk);
    talk.gossips(rid, &about("NB", "nats-route://10.0.0.9:6/"));
    assert_eq!(dialled(&mut talk), ["10.0.0.9 6"], "the others are missing");
    for number in 0..10_000 {
        talk.gossips(rid, &about(&format!("N{number}"), &format!("nats-route://10.1.0.1:{}/", number + 1)));
    }
    let dials = dialled(&mut talk).len();
    assert!((100..1000).contains(&dials), "{dials} errands because of what one server tells");
}

#[test]
fn later_infos() {
    let mut talk = Talk::new(cluster());
    talk.hears(&introduction("NA", ",\"connect_urls\":[\"a:1\"]"));
    let rid = talk.rid - 1;
    let urls = |talk: &Talk| talk.mesh.status().connect_urls.expect("there was a remote").to_vec();
    assert_eq!(urls(&talk), ["a:1"]);
    assert!(talk.gossips(rid, "{\"server_id\":\"NA\",\"connect_urls\":[\"b:1\"]}").is_empty());
    assert_eq!(talk.gossips(rid, "{\"server_id\":\"NA\",\"ldm\":true}").len(), 2, "each shard hears of it");
    assert!(urls(&talk).is_empty());

    let request = "{\"server_id\":\"\",\"route_account\":\"A\",\"route_acc_add_reqid\":\"q\",\"route_pool_size\":3}";
    let [Effect::Tell { control: Control::RouteTell { bytes, .. }, .. }] = &talk.gossips(rid, request)[..] else {
        panic!("an answer is expected")
    };
    let answer = String::from_utf8_lossy(bytes);
    assert!(answer.contains("\"route_acc_add_reqid\":\"q\"") && !answer.contains("route_account"), "{answer}");
    assert!(answer.contains("\"server_id\":\"\""));

    for (json, expected) in [
        ("{\"server_id\":\"NTEST\"}", CloseReason::DuplicateRoute),
        ("{\"server_id\":\"NA\",\"cluster\":\"D\"}", CloseReason::ClusterNameConflict),
        ("{\"server_id\":3}", CloseReason::ProtocolViolation),
    ] {
        let effects = talk.gossips(rid, json);
        let [Effect::Tell { control: Control::RouteClose { reason, .. }, .. }] = &effects[..] else {
            panic!("{json} does not close the route: {effects:?}")
        };
        assert_eq!(*reason, expected, "{json}");
    }
    let closed = Control::RouteClosed { rid, reason: CloseReason::ClientClosed };
    let effects = talk.act(|mesh| mesh.report(1000, 0, closed));
    let downs =
        effects.iter().filter(|effect| matches!(effect, Effect::Tell { control: Control::PeerDown { peer: 0 }, .. }));
    assert_eq!((downs.count(), effects.len()), (2, 2));
    talk.hears(&introduction("NB", ""));
    assert_eq!(talk.route().expect("a route").1.peer, 1, "a number is not used before it is forgotten");
    talk.act(|mesh| mesh.report(1000, 0, Control::RouteForgotten { rid }));
    talk.hears(&introduction("NC", ""));
    assert_eq!(talk.route().expect("a route").1.peer, 0);
}

/// When this server next dials, up to a time, and where.
fn dials(talk: &mut Talk, until: u64) -> Option<(u64, u64, String)> {
    let at = talk.mesh.next_timer().filter(|at| *at <= until)?;
    let effects = talk.act(|mesh| mesh.run_timers(at));
    effects.into_iter().find_map(|effect| match effect {
        Effect::Dial { attempt, host, port } => Some((at, attempt, format!("{host}:{port}"))),
        _ => None,
    })
}

#[test]
fn who_has_dialled_without_a_pool_is_dialled_when_it_is_lost() {
    let peer = SocketAddr::from(([10, 0, 0, 9], 7));
    let lost = |talk: &mut Talk, introduction: &str| {
        talk.hears(introduction);
        let rid = talk.rid - 1;
        talk.act(|mesh| mesh.report(1000, 0, Control::RouteClosed { rid, reason: CloseReason::ClientClosed }));
    };
    let mut talk = Talk::new(Cluster { name: "C".to_owned(), ..cluster() });
    lost(&mut talk, &introduction("NA", POOL));
    assert_eq!(dials(&mut talk, 100_000), None, "who has a pool comes again by itself");
    lost(&mut talk, &introduction("NB", "").replace("\"h\"", "\"0.0.0.0\""));
    assert_eq!(dials(&mut talk, 10_000).map(|(_, _, to)| to).as_deref(), Some("10.0.0.9:7"));

    let mut talk = Talk::new(Cluster { name: "C".to_owned(), ..cluster() });
    lost(&mut talk, &introduction("NA", ""));
    talk.hears(&introduction("NA", ""));
    assert_eq!(dials(&mut talk, 100_000), None, "it is there again");

    // Who refuses is not stormed, and forgotten in the end.
    let mut talk = Talk::new(Cluster { name: "C".to_owned(), ..cluster() });
    lost(&mut talk, &introduction("NA", ""));
    let mut last = 1000;
    let mut attempts = 0;
    while let Some((at, attempt, to)) = dials(&mut talk, 100_000) {
        assert!(at >= last + 1000 && to == "h:7", "{to} at {at}, after {last}");
        talk.rid += 1;
        let rid = talk.rid;
        talk.act(|mesh| mesh.dialed(at, attempt, Ok((rid, peer))));
        talk.act(|mesh| mesh.received(at, rid, b"INFO {\"server_id\":\"NA\",\"cluster\":\"D\"}\r\n"));
        (last, attempts) = (at, attempts + 1);
    }
    assert_eq!(attempts, 11);
}

#[test]
fn later_connects() {
    let authorization = RouteAuthorization { user: "u".to_owned(), password: Secret("secret".into()) };
    let mut talk = Talk::new(Cluster { authorization: Some(authorization), name: "C".to_owned(), ..cluster() });
    talk.hears(&introduction("NA", "").replacen("\"NA\"", "\"NA\",\"user\":\"u\",\"pass\":\"secret\"", 1));
    let rid = talk.rid - 1;
    let mut says = |json: &str| {
        let json = json.as_bytes().into();
        talk.act(|mesh| mesh.report(1000, 0, Control::RouteConnect { rid, json }))
    };
    for json in [
        "{\"cluster\":\"C\"}",
        "{\"cluster\":\"C\",\"user\":\"u\"}",
        "{\"cluster\":\"C\",\"user\":\"u\",\"pass\":\"secret\"}",
    ] {
        assert!(says(json).is_empty(), "{json}");
    }
    for (json, expected) in [
        ("{\"cluster\":\"D\"}", CloseReason::ClusterNameConflict),
        ("{}", CloseReason::ClusterNameConflict),
        ("{\"cluster\":\"C\",\"lang\":\"go\"}", CloseReason::IncorrectPort),
        ("{\"cluster\":\"C\",\"gateway\":\"G\"}", CloseReason::WrongGateway),
        ("{\"cluster\":\"C\",\"user\":\"x\"}", CloseReason::AuthenticationFailure),
        ("{\"cluster\":\"C\",\"pass\":\"x\"}", CloseReason::AuthenticationFailure),
        ("{\"cluster\":3}", CloseReason::ProtocolViolation),
    ] {
        let effects = says(json);
        let [Effect::Tell { control: Control::RouteClose { reason, error, .. }, .. }] = &effects[..] else {
            panic!("{json} does not close the route: {effects:?}")
        };
        assert_eq!((*reason, error.is_some()), (expected, expected != CloseReason::ProtocolViolation), "{json}");
    }
}

#[test]
fn a_generated_name_gives_way() {
    let mut talk = Talk::new(Cluster { name: "B".to_owned(), name_is_dynamic: true, ..cluster() });
    talk.hears(&introduction("NA", "").replace("\"C\"", "\"B\""));
    let former = talk.rid - 1;
    let lesser = introduction("NB", ",\"cluster_dynamic\":true").replace("\"C\"", "\"A\"").replacen(
        "}",
        ",\"cluster_dynamic\":true}",
        1,
    );
    assert!(talk.hears(&lesser).1);
    assert_eq!(talk.hears(&introduction("NC", "")), (String::new(), false));
    assert_eq!(talk.mesh.status().cluster, "C");
    let closes = |effect: &Effect| matches!(effect, Effect::Tell { control: Control::RouteClose { rid, .. }, .. } if *rid == former);
    assert!(talk.effects.iter().any(closes), "it knows us by the old name");
}

#[test]
fn interest_before_the_info_is_kept_for_the_shard() {
    let mut talk = Talk::new(Cluster { name: "C".to_owned(), ..cluster() });
    let info = info_of("NP", "");
    let lines = format!("{CONNECT}RS+ $G a\r\nPING\r\nRMSG $G b 1\r\nx\r\n{info}RS+ $G c\r\n");
    assert_eq!(talk.hears(&lines), ("PONG\r\n".to_owned(), false));
    let (_, start) = talk.route().unwrap();
    assert_eq!(start.input, b"RS+ $G a\r\nRMSG $G b 1\r\nx\r\nRS+ $G c\r\n");
}

/// Whose name may give way waits for the other's INFO, but not for ever; and who has met nobody yet takes the other's.
#[test]
fn a_newcomer_joins_under_the_name_that_is_there() {
    let dynamic = Cluster { name: "B".to_owned(), name_is_dynamic: true, routes: vec![url(7)], ..cluster() };
    let info = info_of("NA", ",\"cluster_dynamic\":true");
    let peer = SocketAddr::from(([10, 0, 0, 9], 7));
    let dialled = |first: Option<&str>| {
        let mut talk = Talk::new(dynamic.clone());
        if let Some(name) = first {
            talk.hears(&introduction("NB", "").replace("\"C\"", &format!("\"{name}\"")));
        }
        let at_once = talk.act(|mesh| mesh.dialed(1000, 1, Ok((50, peer))));
        assert_eq!(said(&at_once, 50), "");
        talk
    };

    let mut talk = dialled(None);
    let told = talk.act(|mesh| mesh.received(1001, 50, info.replace("\"C\"", "\"A\"").as_bytes()));
    assert!(said(&told, 50).starts_with("CONNECT {") && said(&told, 50).contains("\"cluster\":\"A\""), "{told:?}");
    assert_eq!(talk.mesh.status().cluster, "A");

    // Who is known by its name keeps it when it is the greater one.
    for (theirs, ours) in [("A", "B"), ("D", "D")] {
        let mut talk = dialled(Some("B"));
        let told = talk.act(|mesh| mesh.received(1001, 50, info.replace("\"C\"", &format!("{theirs:?}")).as_bytes()));
        assert!(said(&told, 50).contains(&format!("\"cluster\":{ours:?}")), "{theirs}: {told:?}");
    }

    let mut talk = dialled(None);
    assert_eq!(talk.mesh.next_timer(), Some(1250));
    let told = talk.act(|mesh| mesh.run_timers(1250));
    assert!(said(&told, 50).contains("\"cluster\":\"B\""), "{told:?}");
    let told = talk.act(|mesh| mesh.received(1260, 50, info.replace("\"C\"", "\"D\"").as_bytes()));
    assert!(!said(&told, 50).contains("CONNECT"), "{told:?}");
}

#[test]
fn attempts_and_their_pauses() {
    for (backoff, pauses) in [(false, [1000; 7]), (true, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])] {
        let mut talk = Talk::new(Cluster { routes: vec![url(7)], connect_backoff: backoff, ..cluster() });
        let mut now = 1000;
        for (attempt, pause) in (1..).zip(pauses) {
            let effects = talk.act(|mesh| mesh.run_timers(now));
            assert!(
                matches!(&effects[..], [Effect::Dial { attempt: number, .. }] if *number == attempt),
                "{effects:?}"
            );
            let refused = Err(crate::mesh::DialError::Failed("refused".to_owned()));
            talk.act(|mesh| mesh.dialed(now, attempt, refused));
            assert_eq!(talk.mesh.next_timer(), Some(now + pause));
            now += pause;
        }
    }
}

proptest! {
    /// Whatever somebody says: nothing panics, others do not notice, and what is kept of it is bounded.
    #[test]
    fn nonsense_hurts_nobody(
        words in prop::collection::vec((0usize..12, any::<u8>(), any::<bool>()), 0..40),
        noise in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let mut talk = Talk::new(cluster());
        talk.hears(&introduction("NA", POOL));
        talk.hears("");
        let rid = talk.rid - 1;
        for (word, number, cut) in words {
            let lane = format!(",\"x_pinmesh_route\":{{\"v\":1,\"lanes\":2,\"lane\":{},\"inst\":\"i\"}}", number % 3);
            let line = match word {
                0 => introduction("NB", POOL),
                1 => introduction("NB", &lane),
                2 => introduction("NB", ",\"compression\":\"s2_fast\""),
                3 => introduction("", ""),
                4 => introduction("NA", &format!("{POOL},\"route_pool_idx\":{number}")),
                5 => CONNECT.to_owned(),
                6 => "PING\r\nPONG\r\n+OK\r\n".to_owned(),
                7 => "RMSG $G a 5\r\nhello\r\n".to_owned(),
                8 => format!("INFO {{\"server_id\":\"N{number}\"}}\r\n"),
                9 => String::from_utf8_lossy(&noise).into_owned(),
                10 => "-ERR 'x'\r\n".to_owned(),
                _ => "\r\n".to_owned(),
            };
            let bytes = line.as_bytes();
            let bytes = if cut { &bytes[..bytes.len() * usize::from(number) / 256] } else { bytes };
            let now = 1000 + u64::from(number) * 100;
            let effects = talk.act(|mesh| {
                mesh.received(now, rid, bytes);
                mesh.run_timers(now);
            });
            let is_at_na = |effect: &Effect| matches!(effect, Effect::Tell { control: Control::RouteClose { .. }, .. });
            prop_assert!(!effects.iter().any(is_at_na));
            prop_assert!(talk.mesh.remotes.contains_key("NA"));
        }
    }
}
