//! Interest and messages between clients and a scripted server, whoever has dialled.

use anyhow::{Result, ensure};
use pinmesh_harness::{Client, Introduction, Kind, Received, RouteListener, ScriptedRoute};
use serde_json::json;

use crate::scene::{OURS, Scene};

/// Who says something.
#[derive(Clone, Copy, Debug)]
enum Who {
    Client,
    Peer,
}

use Who::{Client as C, Peer as P};

/// What is said. The other one hears of it before the next line.
const ROUNDS: &[(Who, &str)] = &[
    // Interest.
    (C, "SUB foo 1\r\n"),
    (C, "SUB foo 2\r\n"),
    (C, "UNSUB 1\r\n"),
    (C, "UNSUB 2\r\n"),
    (C, "SUB w.* 3\r\nSUB w.> 4\r\nSUB > 5\r\n"),
    (C, "UNSUB 3\r\nUNSUB 4\r\nUNSUB 5\r\n"),
    (C, "SUB q.x g1 11\r\n"),
    (C, "SUB q.x g1 12\r\n"),
    (C, "SUB q.x g2 13\r\nSUB q.x 14\r\n"),
    (C, "UNSUB 12\r\n"),
    (C, "UNSUB 11\r\n"),
    (C, "UNSUB 13\r\nUNSUB 14\r\n"),
    (C, "SUB q.y g 21\r\nSUB q.y g 22\r\nSUB q.y g 23\r\nUNSUB 23\r\n"),
    (C, "UNSUB 21\r\nUNSUB 22\r\n"),
    (C, "SUB au 31\r\nUNSUB 31 2\r\n"),
    (P, "RMSG $G au 2\r\nm1\r\n"),
    (P, "RMSG $G au 2\r\nm2\r\n"),
    (P, "RMSG $G au 2\r\nm3\r\n"),
    // Messages to the peer.
    (C, "PUB a.b 3\r\nabc\r\n"),
    (P, "RS+ $G a.*\r\n"),
    (C, "PUB a.b 3\r\nabc\r\n"),
    (C, "PUB a.b r.r 3\r\nabc\r\n"),
    (C, "PUB a.b 0\r\n\r\n"),
    (C, "PUB  a.b\t r.r  003\r\nabc\r\n"),
    (C, "PUB a.b.c 3\r\nabc\r\n"),
    (C, "HPUB a.b 22 25\r\nNATS/1.0\r\nK: vvvvv\r\n\r\nabc\r\n"),
    (C, "HPUB a.b r.r 22 25\r\nNATS/1.0\r\nK: vvvvv\r\n\r\nabc\r\n"),
    (P, "RS+ $G aq q1 1\r\nRS+ $G aq q2 2\r\n"),
    (C, "PUB aq 3\r\nabc\r\n"),
    (C, "PUB aq r.r 3\r\nabc\r\n"),
    (C, "HPUB aq 22 25\r\nNATS/1.0\r\nK: vvvvv\r\n\r\nabc\r\n"),
    (C, "HPUB aq r.r 22 25\r\nNATS/1.0\r\nK: vvvvv\r\n\r\nabc\r\n"),
    (P, "RS+ $G aq\r\nRS+ $G *\r\nRS+ $G aq\r\n"),
    (C, "PUB aq 3\r\nabc\r\n"),
    (C, "PUB one 3\r\nabc\r\nPUB two 3\r\nabc\r\nPUB one 3\r\ndef\r\n"),
    (P, "RS+ $G aq q1 0\r\nRS+ $G aq q2 -1\r\n"),
    (C, "PUB aq 3\r\nabc\r\n"),
    (P, "RS- $G aq\r\nRS- $G *\r\nRS- $G aq q1\r\nRS- $G aq q2\r\n"),
    (C, "PUB aq 3\r\nabc\r\nPUB one 3\r\nabc\r\n"),
    // Requests.
    (C, "SUB inbox 41\r\n"),
    (C, "PUB nobody inbox 1\r\nx\r\n"),
    (P, "RS+ $G somebody\r\n"),
    (C, "PUB somebody inbox 1\r\nx\r\n"),
    (P, "RMSG $G inbox 5\r\nreply\r\n"),
    (P, "RS- $G somebody\r\n"),
    (C, "PUB somebody inbox 1\r\nx\r\n"),
    (C, "UNSUB 41\r\n"),
    // Messages from the peer.
    (C, "SUB b 51\r\nSUB b qa 52\r\nSUB b qb 53\r\nSUB > 54\r\n"),
    (P, "RMSG $G b 3\r\nabc\r\n"),
    (P, "RMSG $G b rep.ly 3\r\nabc\r\n"),
    (P, "RMSG $G b | qa 3\r\nabc\r\n"),
    (P, "RMSG $G b | qa qb 3\r\nabc\r\n"),
    (P, "RMSG $G b + rep.ly qa qb 3\r\nabc\r\n"),
    (P, "RMSG $G b + rep.ly 3\r\nabc\r\n"),
    (P, "RMSG $G b | 3\r\nabc\r\n"),
    (P, "RMSG $G b | nosuchq 3\r\nabc\r\n"),
    (P, "RMSG $G b | nosuchq qa 3\r\nabc\r\n"),
    (P, "HMSG $G b 22 25\r\nNATS/1.0\r\nK: vvvvv\r\n\r\nabc\r\n"),
    (P, "HMSG $G b rep.ly 22 25\r\nNATS/1.0\r\nK: vvvvv\r\n\r\nabc\r\n"),
    (P, "HMSG $G b | qa 22 25\r\nNATS/1.0\r\nK: vvvvv\r\n\r\nabc\r\n"),
    (P, "HMSG $G b + rep.ly qa 22 25\r\nNATS/1.0\r\nK: vvvvv\r\n\r\nabc\r\n"),
    (P, "HMSG $G b 0 3\r\nabc\r\n"),
    (P, "RMSG   $G\tb   3\r\nabc\r\n"),
    (P, "rmsg $G b 3\r\nabc\r\n"),
    (P, "RMSG $G b 0\r\n\r\n"),
    (P, "RMSG $G b 1\r\n1\r\nRMSG $G c 1\r\n2\r\nRMSG $G b 1\r\n3\r\n"),
    (P, "RMSG NOPE b 3\r\nabc\r\nRS+ NOPE foo\r\nRS- NOPE foo\r\n"),
    (P, "RMSG $G b $JS.ACK.s.c.1.2.3.4.5@b 3\r\nabc\r\n"),
    (P, "RMSG $G b $JS.ACK.d.h.s.c.1.2.3.4.5@away 3\r\nabc\r\n"),
    (P, "RMSG $G b | qa 3\r\nabc\r\nRMSG $G b 3\r\ndef\r\n"),
    (C, "PUB b 3\r\nabc\r\n"),
];

/// A client and a peer, and what both have heard.
struct Talk<'a> {
    scene: &'a Scene,
    peer: &'a Introduction,
    route: ScriptedRoute,
    client: Client,
}

impl Talk<'_> {
    /// One says something; then both are asked until all of it must have come.
    fn round(&mut self, who: Who, what: &str) -> Result<Vec<String>> {
        let mut messages = Vec::new();
        let mut heard = Vec::new();
        match who {
            Who::Client => self.client.send(what.as_bytes())?,
            Who::Peer => {
                self.route.send(what)?;
                heard.append(&mut self.route.until_pong()?);
            }
        }
        messages.append(&mut self.client.flush()?);
        heard.append(&mut self.route.until_pong()?);
        let mut lines: Vec<String> = messages.iter().map(written).collect();
        // Subscriptions that get the same message get it in any order.
        lines.sort();
        lines.append(&mut last_of_each_interest(self.scene.transcript(&heard, &[self.peer])));
        Ok(lines)
    }

    /// All rounds, numbered.
    fn all(mut self) -> Result<Vec<String>> {
        let mut transcript = Vec::new();
        for (number, (who, what)) in ROUNDS.iter().enumerate() {
            transcript.push(format!("{number}: {who:?} says {}", what.escape_default()));
            transcript.append(&mut self.round(*who, what)?);
        }
        Ok(transcript)
    }
}

fn written(message: &Received) -> String {
    let Received { subject, sid, reply, headers, payload, .. } = message;
    format!("to {sid}: {subject} {reply} {} {}", headers.escape_ascii(), payload.escape_ascii())
}

/// Of changes of the same interest, a server may tell the last one alone.
fn last_of_each_interest(lines: Vec<String>) -> Vec<String> {
    fn key(line: &str) -> Option<(&str, Option<&str>)> {
        let mut words = line.strip_prefix("RS")?.split(' ').skip(2);
        Some((words.next()?, words.next()))
    }
    let mut kept = Vec::new();
    for (number, line) in lines.iter().enumerate() {
        let is_repeated =
            key(line).is_some_and(|this| lines[number + 1..].iter().any(|later| key(later) == Some(this)));
        if !is_repeated {
            kept.push(line.clone());
        }
    }
    kept
}

/// Both servers have the same conversation.
fn compare(talk: impl Fn(Kind) -> Result<Vec<String>>) -> Result<()> {
    let (expected, got) = (talk(Kind::Reference)?, talk(OURS)?);
    ensure!(expected.len() > ROUNDS.len() * 3 / 2, "nearly nothing was heard: {expected:#?}");
    let differences = rounds(&got).zip(rounds(&expected)).filter(|(got, expected)| got != expected);
    let shown: Vec<String> =
        differences.map(|(got, expected)| format!("     ours: {got:#?}\nreference: {expected:#?}")).collect();
    ensure!(shown.is_empty(), "{} rounds differ:\n{}", shown.len(), shown.join("\n"));
    Ok(())
}

fn rounds(transcript: &[String]) -> impl Iterator<Item = &[String]> {
    let is_first = |line: &String| line.contains(" says ");
    transcript.chunk_by(move |_, next| !is_first(next))
}

fn joined(kind: Kind, cluster: &str, peer: &Introduction) -> Result<Vec<String>> {
    let scene = Scene::start(kind, cluster, "")?;
    let (route, client) = (scene.join(peer)?, scene.client()?);
    Talk { scene: &scene, peer, route, client }.all()
}

#[test]
fn with_a_peer_that_dialled() -> Result<()> {
    compare(|kind| joined(kind, "", &Introduction::new()))
}

#[test]
fn with_a_peer_that_knows_no_headers() -> Result<()> {
    compare(|kind| joined(kind, "", &Introduction::new().info("headers", json!(false))))
}

/// Without a pool, a server keeps to one connection, whatever the peer could do.
#[test]
fn of_a_server_without_pools() -> Result<()> {
    compare(|kind| joined(kind, "pool_size: -1", &Introduction::new().info("route_pool_size", json!(3))))
}

#[test]
fn with_a_peer_that_was_dialled() -> Result<()> {
    compare(|kind| {
        let mut listener = RouteListener::open()?;
        let scene = Scene::start(kind, &format!("routes: [\"nats://127.0.0.1:{}\"]", listener.port()?), "")?;
        let peer = Introduction::new();
        let (mut route, _, _) = listener.meet(&peer)?;
        route.until_pong()?;
        let client = scene.client()?;
        Talk { scene: &scene, peer: &peer, route, client }.all()
    })
}

/// Who is verbose is told of each thing that was understood, also of what is of no use.
#[test]
fn verbose_peers() -> Result<()> {
    let told = |kind| -> Result<Vec<String>> {
        let scene = Scene::start(kind, "", "")?;
        let mut route = scene.join(&Introduction::new().connect("verbose", json!(true)))?;
        route.send(
            "RS+ $G a\r\nRS+ $G a q 1\r\nRS- $G a q\r\nRS- $G never\r\nRS+ NOACC a\r\nRS- NOACC a\r\nRS+ $G a.\r\n",
        )?;
        let mut heard = route.until_pong()?;
        route.send("RMSG $G b 1\r\nx\r\nHMSG $G b r 12 13\r\nNATS/1.0\r\n\r\nx\r\nRMSG $G b | q 1\r\nx\r\nRMSG NOACC b 1\r\nx\r\n")?;
        heard.append(&mut route.until_pong()?);
        Ok(scene.transcript(&heard, &[]))
    };
    let (expected, got) = (told(Kind::Reference)?, told(OURS)?);
    ensure!(got == expected, "     ours: {got:?}\nreference: {expected:?}");
    ensure!(got.len() > 8, "{got:?}");
    Ok(())
}
