//! Peers that break the protocol, stop in the middle of the handshake or come in crowds: they are closed, and nobody else
//! notices.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use pinmesh_harness::cluster::{CLUSTER_NAME, Member, Seat};
use pinmesh_harness::load::Load;
use pinmesh_harness::witness::{open_files, wait_until_meshed};
use pinmesh_harness::{Cluster, DEADLINE, LineUp, Peer, eventually, line_ups};

line_ups!(garbage_is_closed);
line_ups!(half_handshakes_time_out);

const AUTHORIZATION: &str = "Authorization Violation";
const UNKNOWN: &str = "Unknown Protocol Operation";
/// Closed without a word.
const SILENT: &str = "";

/// What a stranger sends, and the error that it is told before it is closed.
const STRANGERS: &[(&str, &str)] = &[
    ("GET /varz HTTP/1.1\r\nHost: localhost\r\n\r\n", AUTHORIZATION),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\u{fc}\x03\x03", AUTHORIZATION),
    ("\r\n\r\n", AUTHORIZATION),
    ("PING\r\n", AUTHORIZATION),
    ("INFO {}\r\n", AUTHORIZATION),
    ("RS+ $G foo\r\n", AUTHORIZATION),
    ("CONNECT {\r\n", SILENT),
    ("CONNECT {\"cluster\":7}\r\n", SILENT),
    ("CONNECT {\"lang\":\"go\",\"version\":\"1\"}\r\n", "attempted to connect to route port"),
    (
        "CONNECT {\"cluster\":\"other\",\"name\":\"N\"}\r\n",
        "Rejecting connection, cluster name \"other\" does not match \"test-cluster\"",
    ),
    ("CONNECT {\"cluster\":\"test-cluster\",\"name\":\"N\"}\r\nINFO {\"server_id\":7}\r\n", SILENT),
    ("CONNECT {\"cluster\":\"test-cluster\",\"name\":\"N\"}\r\nINFO {\r\n", SILENT),
    ("CONNECT {\"cluster\":\"test-cluster\",\"name\":\"N\"}\r\nHELLO\r\n", UNKNOWN),
];

/// The same for a peer that has completed the handshake.
const PEERS: &[(&str, &str)] = &[
    ("RS+ $G\r\n", SILENT),
    ("RS+ $G foo bar\r\n", SILENT),
    ("RS- $G foo bar 3 4\r\n", SILENT),
    ("RMSG $G\r\n", SILENT),
    ("RMSG $G foo -1\r\n", SILENT),
    ("RMSG $G foo 99999999999999999999\r\n", SILENT),
    ("RMSG $G foo x bar 1\r\n", SILENT),
    ("RMSG $G foo 2\r\nabcd\r\n", UNKNOWN),
    ("HMSG $G foo 10 5\r\nabcde\r\n", SILENT),
    ("HMSG $G foo 5\r\nabcde\r\n", SILENT),
    ("HELLO\r\n", UNKNOWN),
    ("-ERR 'I do not like you'\r\n", SILENT),
    ("INFO {\"server_id\":[]}\r\n", SILENT),
];

fn garbage_is_closed(line_up: LineUp) -> Result<()> {
    let cluster = Cluster::start(&line_up.kinds(3))?;
    wait_until_meshed(&cluster.members)?;
    let victim = &cluster.members[0];
    let load = Load::start(cluster.members.iter().map(|member| member.server.address()));
    load.wait_for_progress(&[0, 1, 2]);
    let files = open_files(&victim.server)?;

    let offend = |mut peer: Peer, sent: &str, error: &str| -> Result<()> {
        peer.send_bytes(sent.as_bytes())?;
        let answer = peer.read_to_close().with_context(|| format!("after {sent:?}"))?;
        let told = answer.lines().filter_map(|line| line.strip_prefix("-ERR ")).collect::<String>();
        let expected = if error.is_empty() { String::new() } else { format!("'{error}'") };
        ensure!(told == expected, "{victim} says {told:?} to {sent:?}");
        Ok(())
    };
    for (sent, error) in STRANGERS {
        offend(Peer::dial(victim.seat.route)?, sent, error)?;
    }
    for (own_port, (sent, error)) in (1..).zip(PEERS) {
        let mut peer = Peer::join(victim.seat.route, own_port)?;
        peer.flush()?;
        offend(peer, sent, error)?;
    }
    // One line without an end, longer than any server can be asked to keep.
    let mut endless = Peer::dial(victim.seat.route)?;
    endless.send_bytes(b"CONNECT {\"cluster\":\"test-cluster\",\"name\":\"N\"}\r\nRS+ $G ")?;
    while endless.send_bytes(&[b'x'; 4096]).is_ok() {}

    eventually("all of these connections to be gone", || (open_files(&victim.server).ok()? <= files).then_some(()));
    wait_until_meshed(&cluster.members)?;
    load.wait_for_progress(&[0, 1, 2]);
    load.finish(&[0, 1, 2]).nothing_lost_between(&[0, 1, 2]);
    Ok(())
}

/// How many connections of each sort stop in the middle of the handshake.
const CROWD: usize = 100;

fn half_handshakes_time_out(line_up: LineUp) -> Result<()> {
    let kinds = line_up.kinds(3);
    let seats = Seat::several(3);
    let start = |number: usize| {
        let cluster = format!(
            "name: {CLUSTER_NAME}\n  routes: [\"nats://route:secret@127.0.0.1:{}\"]\n  ping_interval: \"1s\"\n  \
             authorization {{ user: route, password: secret, timeout: 1 }}",
            seats[0].route
        );
        Member::start(kinds[number], seats[number], &cluster, "")
    };
    let mut members = vec![start(0), start(1)];
    wait_until_meshed(&members)?;
    let load = Load::start(members.iter().map(|member| member.server.address()));
    load.wait_for_progress(&[0, 1]);

    let port = members[0].seat.route;
    let peers = |greeting: &[u8]| -> Result<Vec<Peer>> {
        let peer = |_| {
            let mut peer = Peer::dial(port)?;
            peer.send_bytes(greeting)?;
            Ok(peer)
        };
        (0..CROWD).map(peer).collect()
    };
    let silent = peers(b"")?;
    let mut slow = peers(b"CONNECT ")?;
    let half =
        peers(b"CONNECT {\"cluster\":\"test-cluster\",\"name\":\"N\",\"user\":\"route\",\"pass\":\"secret\"}\r\n")?;
    // In the midst of it, one more server finds its place.
    members.push(start(2));
    wait_until_meshed(&members)?;

    let end = Instant::now() + DEADLINE;
    while !slow.is_empty() {
        ensure!(Instant::now() < end, "{} of {CROWD} slow peers are still there", slow.len());
        slow.retain_mut(|peer| peer.send_bytes(b" ").is_ok());
        load.wait_for_progress(&[0, 1]);
    }
    for (peers, error) in [(silent, "-ERR 'Authentication Timeout'"), (half, "-ERR 'Stale Connection'")] {
        for mut peer in peers {
            let answer = peer.read_to_close()?;
            ensure!(answer.contains(error), "{answer:?} instead of {error}");
        }
    }
    wait_until_meshed(&members)?;
    load.finish(&[0, 1]).nothing_lost_between(&[0, 1]);
    Ok(())
}
