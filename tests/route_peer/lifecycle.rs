//! How routes live on and end: signs of life, later news of a peer, and the end of the server.

use std::time::Duration;

use anyhow::{Result, ensure};
use pinmesh_harness::{Introduction, Kind, RouteListener, poll_until};
use serde_json::{Value, json};

use crate::scene::{OURS, Scene};

fn compare<T: PartialEq + std::fmt::Debug>(play: impl Fn(Kind) -> Result<T>) -> Result<()> {
    let (expected, got) = (play(Kind::Reference)?, play(OURS)?);
    ensure!(expected == got, "     ours: {got:#?}\nreference: {expected:#?}");
    Ok(())
}

#[test]
fn a_peer_that_answers_no_ping_is_stale() -> Result<()> {
    compare(|kind| {
        let scene = Scene::start(kind, "ping_interval: \"200ms\"\n  ping_max: 1", "")?;
        let peer = Introduction::new();
        let mut route = scene.join(&peer)?;
        let address = route.local_address()?;
        route.answer_no_pings();
        let mut told = scene.transcript(&route.until_closed()?, &[&peer]);
        told.dedup();
        let asked = told.iter().position(|line| line == "PING");
        ensure!(asked == Some(0), "no PING came first: {told:?}");
        told.append(&mut scene.log_of(address, 0, &[&peer], |_| true));
        Ok(told)
    })
}

/// A peer with a changed configuration asks that an account get its own route; the answer is the question, without the account.
#[test]
fn a_request_to_add_an_account() -> Result<()> {
    compare(|kind| {
        let scene = Scene::start(kind, "", "")?;
        let peer = Introduction::new().info("route_pool_size", json!(3));
        let mut route = scene.join(&peer)?;
        route.until_pong()?;
        let request = peer
            .clone()
            .info("server_id", json!(""))
            .info("server_name", json!(""))
            .info("host", json!(""))
            .info("port", json!(0))
            .info("route_account", json!("$G"))
            .info("route_acc_add_reqid", json!("abc"));
        route.send(request.info_line())?;
        let (answer, _) = route.until("INFO ")?;
        let mut transcript = scene.transcript(&[answer], &[&peer]);
        transcript.append(&mut scene.transcript(&route.until_pong()?, &[&peer]));
        Ok(transcript)
    })
}

/// Of later news only what has a meaning counts; a route lives on with the rest.
#[test]
fn later_news_of_a_peer() -> Result<()> {
    compare(|kind| {
        let scene = Scene::start(kind, "", "")?;
        let peer = Introduction::new();
        let mut route = scene.join(&peer)?;
        let mut transcript = Vec::new();
        for news in [
            peer.clone(),
            peer.clone().info("headers", json!(false)),
            peer.clone().info("x_foo", json!([1, {"a": "b"}])),
            peer.clone().info("gateway", json!("G")),
            peer.clone().info("ldm", json!(true)),
            peer.clone().info("cluster", json!(null)),
            peer.clone().info("import", json!({"allow": ["a"]})).info("export", json!({"deny": ["b"]})),
            peer.clone().info("compression", json!("s2_fast")),
        ] {
            route.send(news.info_line())?;
            route.until_pong()?;
        }
        let mut client = scene.client()?;
        client.subscribe("still.here", "", 1)?;
        client.flush()?;
        transcript.append(&mut scene.transcript(&route.until_pong()?, &[&peer]));
        // Another cluster has no place here.
        let address = route.local_address()?;
        route.send(peer.clone().info("cluster", json!("other")).info_line())?;
        transcript.append(&mut scene.transcript(&route.until_closed()?, &[&peer]));
        transcript.append(&mut scene.log_of(address, 0, &[&peer], |_| true));
        Ok(transcript)
    })
}

/// What a peer lets in and out may change. Nobody acts on it, but monitoring shows it.
#[test]
fn permissions_of_a_peer() -> Result<()> {
    compare(|kind| {
        let scene = Scene::start(kind, "", "")?;
        let peer = Introduction::new().info("import", json!({"allow": ["a", "b.*"]}));
        let mut route = scene.join(&peer)?;
        route.until_pong()?;
        let only = |import: Value, export: Value| peer.clone().info("import", import).info("export", export);
        let mut shown = Vec::new();
        for news in [
            peer.clone(),
            only(json!({"allow": ["a"]}), json!(null)),
            only(json!(null), json!({"deny": ["a"]})),
            only(json!({"deny": [">"]}), json!({"allow": ["c"], "deny": ["c.*"]})).info("ldm", json!(true)),
            only(json!(null), json!(null)),
        ] {
            route.send(news.info_line())?;
            route.until_pong()?;
            let member = &scene.member;
            let mut seen = Ok(Vec::new());
            // Ours looks at INFO while it goes on.
            let mut look = || {
                seen = member.routes();
                let routes = seen.as_ref().ok()?;
                let wanted = |field: &str| {
                    news.info.get("ldm").is_some()
                        || routes.iter().all(|route| route.get(field) == news.info.get(field))
                };
                (wanted("import") && wanted("export")).then_some(())
            };
            poll_until(Duration::from_secs(2), &mut look);
            let rules = |route: &Value| (route["import"].clone(), route["export"].clone());
            shown.push(seen?.iter().map(rules).collect::<Vec<_>>());
        }
        Ok(shown)
    })
}

/// The end of a server is not announced, nor that its clients want nothing any more.
#[test]
fn the_end_of_the_server() -> Result<()> {
    compare(|kind| {
        let mut listener = RouteListener::open()?;
        let mut scene = Scene::start(kind, &format!("routes: [\"nats://127.0.0.1:{}\"]", listener.port()?), "")?;
        let (dialled, joined) = (Introduction::new(), Introduction::new());
        let (mut first, _, _) = listener.meet(&dialled)?;
        let mut second = scene.join(&joined)?;
        let mut clients = Vec::new();
        for number in 0..8 {
            let mut client = scene.client()?;
            client.subscribe(&format!("a.{number}"), "", 1)?;
            client.subscribe("all", "", 2)?;
            client.subscribe("all", "group", 3)?;
            client.flush()?;
            clients.push(client);
        }
        for route in [&mut first, &mut second] {
            route.until_pong()?;
            route.until_pong()?;
        }
        let status = scene.member.server.terminate();
        let heard = [first.until_closed()?, second.until_closed()?];
        Ok((status.code(), heard.map(|heard| scene.transcript(&heard, &[&dialled, &joined]))))
    })
}
