//! A server that dials a scripted one.

use anyhow::{Context, Result, ensure};
use pinmesh_harness::{Introduction, Kind, RouteListener};
use serde_json::{Value, json};

use crate::scene::{OURS, Scene};

/// Starts a server that is to dial this listener.
fn dialling(kind: Kind, listener: &RouteListener, user: &str) -> Result<Scene> {
    Scene::start(kind, &format!("routes: [\"nats://{user}127.0.0.1:{}\"]", listener.port()?), "")
}

fn compare<T: PartialEq + std::fmt::Debug>(play: impl Fn(Kind) -> Result<T>) -> Result<()> {
    let (expected, got) = (play(Kind::Reference).context("the reference")?, play(OURS).context("ours")?);
    ensure!(expected == got, "     ours: {got:#?}\nreference: {expected:#?}");
    Ok(())
}

/// What a server says to a peer without pools, and how it goes on: interest, and no further connections.
#[test]
fn to_a_peer_without_pools() -> Result<()> {
    compare(|kind| {
        let mut listener = RouteListener::open()?;
        let scene = dialling(kind, &listener, "user:secret@")?;
        let mut client = scene.client()?;
        client.subscribe("early", "", 1)?;
        client.subscribe("early.q", "g", 2)?;
        client.flush()?;
        let peer = Introduction::new();
        let (mut route, connect, info) = listener.meet(&peer)?;
        let mut heard = vec![connect, info];
        heard.append(&mut route.until_pong()?);
        Ok(scene.transcript(&heard, &[&peer]))
    })
}

/// A peer without pools that has dialled, and is lost, is dialled where it said that it listens.
#[test]
fn to_a_peer_without_pools_that_is_lost() -> Result<()> {
    compare(|kind| {
        let mut listener = RouteListener::open()?;
        let scene = Scene::start(kind, "", "")?;
        let peer = Introduction::new().info("port", json!(listener.port()?));
        scene.join(&peer)?.leave()?;
        let (mut route, connect, info) = listener.meet(&peer)?;
        let mut heard = vec![connect, info];
        heard.append(&mut route.until_pong()?);
        Ok(scene.transcript(&heard, &[&peer]))
    })
}

/// A pool is opened one connection after the other, each when the one before it has answered a PING.
#[test]
fn to_a_peer_with_a_pool() -> Result<()> {
    compare(|kind| {
        let mut listener = RouteListener::open()?;
        let scene = dialling(kind, &listener, "")?;
        let mut client = scene.client()?;
        client.subscribe("early", "", 1)?;
        client.flush()?;
        let peer = Introduction::new().info("route_pool_size", json!(3)).info("compression", json!("off"));
        let (mut routes, mut transcript) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            let (mut route, connect, info) = listener.meet(&peer)?;
            let mut heard = vec![connect, info];
            heard.append(&mut route.until_pong()?);
            transcript.push(scene.transcript(&heard, &[&peer]));
            routes.push(route);
        }
        client.subscribe("late", "", 2)?;
        client.flush()?;
        for route in &mut routes {
            transcript.push(scene.transcript(&route.until_pong()?, &[&peer]));
        }
        Ok(transcript)
    })
}

/// What comes of an answer that is none: what the dialler says, and logs as an error; then it dials again.
fn refused(kind: Kind, answer: &str) -> Result<(Vec<String>, Vec<String>)> {
    let listener = RouteListener::open()?;
    let scene = dialling(kind, &listener, "")?;
    let peer = Introduction::new();
    let mut route = listener.accept()?;
    route.send(answer.replace("<server>", scene.id()).replace("<peer>", peer.id()))?;
    let heard = route.until_closed()?;
    let address = format!("127.0.0.1:{}", listener.port()?).parse()?;
    let mut log = scene.log_of(address, 0, &[&peer], |_| true);
    log.retain(|line| line.starts_with("[ERR]") || line.contains("connection closed"));
    log.dedup();
    listener.accept().context("no further attempt")?;
    Ok((scene.transcript(&heard, &[&peer]), log))
}

#[test]
fn to_a_peer_that_answers_nonsense() -> Result<()> {
    let info = |field: &str, value: Value| {
        let peer = Introduction::new().info("server_id", json!("<peer>")).info("route_pool_size", json!(3));
        peer.info(field, value).info_line()
    };
    for (name, answer) in [
        ("an error", "-ERR 'boom'\r\n".to_owned()),
        ("garbage", "HTTP/1.1 400 Bad Request\r\n\r\n".to_owned()),
        ("an array", "INFO []\r\n".to_owned()),
        ("an unknown verb", "FOO\r\n".to_owned()),
        ("another cluster", info("cluster", json!("other"))),
        ("a pool index", info("route_pool_idx", json!(1))),
        ("an unknown compression", info("compression", json!("zstd"))),
        ("a type that is wrong", info("port", json!("x"))),
    ] {
        compare(|kind| refused(kind, &answer)).with_context(|| name.to_owned())?;
    }
    Ok(())
}
