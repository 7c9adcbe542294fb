//! What a server tells its peers of each other, and its clients of its peers.

use anyhow::{Context, Result, ensure};
use pinmesh_harness::cluster::connect_urls;
use pinmesh_harness::{Client, Frame, Introduction, Kind, RouteListener, ScriptedRoute};
use serde_json::json;

use crate::scene::{OURS, Scene};

fn compare<T: PartialEq + std::fmt::Debug>(play: impl Fn(Kind) -> Result<T>) -> Result<()> {
    let (expected, got) = (play(Kind::Reference).context("the reference")?, play(OURS).context("ours")?);
    ensure!(expected == got, "     ours: {got:#?}\nreference: {expected:#?}");
    Ok(())
}

/// News are for those that were there before, once, with what others need to dial and without what is not theirs.
#[test]
fn of_peers_that_join() -> Result<()> {
    compare(|kind| {
        let scene = Scene::start(kind, "", "")?;
        let first = Introduction::new();
        let second = Introduction::new().info("nonce", json!("abc")).info("port", json!(4711));
        let third = Introduction::new()
            .info("ip", json!("nats-route://somewhere.example:9999/"))
            .info("auth_required", json!(true))
            .info("connect_urls", json!(["10.0.0.1:4222"]))
            .info("x_private", json!(1));
        let silent = Introduction::new().info("gossip_mode", json!(1));
        let all = [&first, &second, &third, &silent];
        let mut routes: Vec<ScriptedRoute> = Vec::new();
        let mut transcript = Vec::new();
        for peer in all {
            routes.push(scene.join(peer)?);
            for route in &mut routes {
                transcript.push(scene.transcript(&route.until_pong()?, &all));
            }
        }
        Ok(transcript)
    })
}

/// A peer that tells of another one makes the server dial that.
#[test]
fn from_a_peer() -> Result<()> {
    compare(|kind| {
        let scene = Scene::start(kind, "", "")?;
        let teller = Introduction::new();
        let mut route = scene.join(&teller)?;
        let (mut transcript, mut kept) = (Vec::new(), Vec::new());
        for mode in [json!(null), json!(1), json!(2)] {
            let mut listener = RouteListener::open()?;
            let port = listener.port()?;
            let news = Introduction::new().info("port", json!(port));
            let told =
                news.clone().info("ip", json!(format!("nats-route://127.0.0.1:{port}/"))).info("gossip_mode", mode);
            route.send(told.info_line())?;
            let (mut other, connect, info) = listener.meet(&news)?;
            let mut heard = vec![connect, info];
            heard.append(&mut other.until_pong()?);
            transcript.push(scene.transcript(&heard, &[&teller, &news]));
            kept.push((listener, other));
        }
        // What it knows already, and what it is itself.
        let here = scene.member.seat.route;
        let itself = Introduction::new()
            .info("server_id", json!(scene.id()))
            .info("ip", json!(format!("nats-route://127.0.0.1:{here}/")));
        route.send(teller.info_line())?;
        route.until_pong()?;
        route.send(itself.info_line())?;
        let heard = route.until_closed()?;
        transcript.push(vec![format!("{} INFO", heard.iter().filter(|heard| heard.line.starts_with("INFO")).count())]);
        Ok(transcript)
    })
}

/// Whom the server has dialled because its configuration says so is told to pass the news on.
#[test]
fn to_a_peer_that_was_dialled() -> Result<()> {
    compare(|kind| {
        let mut listener = RouteListener::open()?;
        let scene = Scene::start(kind, &format!("routes: [\"nats://127.0.0.1:{}\"]", listener.port()?), "")?;
        let (dialled, joined) = (Introduction::new(), Introduction::new());
        let (mut route, _, _) = listener.meet(&dialled)?;
        route.until_pong()?;
        let mut other = scene.join(&joined)?;
        let heard = [route.until_pong()?, other.until_pong()?];
        Ok(heard.map(|heard| scene.transcript(&heard, &[&dialled, &joined])))
    })
}

/// The URLs that a client is told next, its own server's first.
fn next_urls(client: &mut Client, scene: &Scene) -> Result<Option<Vec<String>>> {
    loop {
        if let Frame::Info(info) = client.frame()? {
            let urls = connect_urls(&String::from_utf8_lossy(info));
            return Ok(urls.map(|urls| plain_urls(urls, scene)));
        }
    }
}

fn plain_urls(urls: Vec<String>, scene: &Scene) -> Vec<String> {
    let mut urls: Vec<String> = urls.iter().map(|url| scene.plain(url, &[])).collect();
    // What follows the server's own has no order.
    if let Some(others) = urls.get_mut(1..) {
        others.sort();
    }
    urls
}

#[test]
fn to_clients() -> Result<()> {
    compare(|kind| {
        let scene = Scene::start(kind, "", "")?;
        let mut client = scene.member.client_with("{\"protocol\":1,\"verbose\":false,\"pedantic\":false}")?;
        // Behind the first PONG comes the INFO once more.
        client.flush()?;
        let urls = |client: &Client| connect_urls(client.info()).map(|urls| plain_urls(urls, &scene));
        let mut told = vec![urls(&client)];
        let first = Introduction::new().info("connect_urls", json!(["10.0.0.1:4222", "10.0.0.2:4222"]));
        let mut first_route = scene.join(&first)?;
        told.push(next_urls(&mut client, &scene)?);
        let leaving = first.clone().info("ldm", json!(true));
        first_route.send(leaving.info_line())?;
        told.push(next_urls(&mut client, &scene)?);
        let second = Introduction::new().info("connect_urls", json!(["10.0.0.3:4222"]));
        let second_route = scene.join(&second)?;
        told.push(next_urls(&mut client, &scene)?);
        // Other changes are not heard of.
        first_route.send(first.clone().info("connect_urls", json!(["10.0.0.9:4222"])).info_line())?;
        first_route.until_pong()?;
        drop(second_route);
        told.push(next_urls(&mut client, &scene)?);
        told.push(urls(&scene.client()?));
        Ok(told)
    })
}
