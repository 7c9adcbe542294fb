//! A scripted server that opens a whole pool of routes, and one that comes twice.

use anyhow::{Context, Result, ensure};
use pinmesh_harness::{Introduction, Kind, ScriptedRoute};
use serde_json::{Value, json};

use crate::scene::{OURS, Scene};
use crate::streams::{Case, Outcome, outcome};

fn in_pool(peer: &Introduction, index: Value, account: Value) -> Introduction {
    peer.clone().info("route_pool_size", json!(3)).info("route_pool_idx", index).info("route_account", account)
}

/// What is heard on each route, once all of it must have come.
fn hear_all(scene: &Scene, peer: &Introduction, routes: &mut [ScriptedRoute]) -> Result<Vec<Vec<String>>> {
    let mut all = Vec::new();
    for route in routes {
        let mut heard = route.until_pong()?;
        heard.append(&mut route.until_pong()?);
        all.push(scene.transcript(&heard, &[peer]));
    }
    Ok(all)
}

/// What is heard on all of them: on which route of a pool a message comes is the sender's choice.
fn hear_any(scene: &Scene, peer: &Introduction, routes: &mut [ScriptedRoute]) -> Result<Vec<String>> {
    let mut all: Vec<String> = hear_all(scene, peer, routes)?.into_iter().flatten().collect();
    all.sort();
    Ok(all)
}

/// Interest of an account takes one route of a pool, messages may come on any.
fn traffic(kind: Kind) -> Result<Vec<Vec<String>>> {
    let scene = Scene::start(kind, "", "")?;
    let mut client = scene.client()?;
    let peer = Introduction::new();
    let mut routes = Vec::new();
    for index in [json!(null), json!(1), json!(2)] {
        routes.push(scene.join(&in_pool(&peer, index, json!(null)))?);
    }
    routes.push(scene.join(&in_pool(&peer, json!(null), json!("$SYS")))?);
    let mut transcript = hear_all(&scene, &peer, &mut routes)?;
    client.send(b"SUB early 1\r\nSUB q g 2\r\n")?;
    client.flush()?;
    transcript.append(&mut hear_all(&scene, &peer, &mut routes)?);
    for (number, route) in routes.iter_mut().take(3).enumerate() {
        route.send(format!("RS+ $G back.{number}\r\nRMSG $G early 1\r\n{number}\r\n"))?;
        route.until_pong()?;
        let came = client.flush()?;
        transcript.push(came.iter().map(|message| format!("{message:?}")).collect());
    }
    for number in 0..3 {
        client.publish(&format!("back.{number}"), "", b"x");
    }
    client.flush()?;
    transcript.push(hear_any(&scene, &peer, &mut routes)?);
    // What was told on a route goes with it, and nothing else.
    routes.remove(1).leave()?;
    for subject in ["back.0", "back.1", "back.2"] {
        client.publish(subject, "", b"y");
    }
    client.flush()?;
    transcript.push(hear_any(&scene, &peer, &mut routes)?);
    Ok(transcript)
}

#[test]
fn a_pool_that_a_peer_opens() -> Result<()> {
    let (expected, got) = (traffic(Kind::Reference)?, traffic(OURS)?);
    ensure!(expected.iter().flatten().count() >= 10, "nearly nothing was heard: {expected:?}");
    ensure!(got == expected, "     ours: {got:#?}\nreference: {expected:#?}");
    Ok(())
}

/// Who has a place already gets none again.
fn second_comers(kind: Kind, expected: Option<&[Outcome]>) -> Result<Vec<Outcome>> {
    let scene = Scene::start(kind, "", "")?;
    let (alone, pooled) = (Introduction::new(), Introduction::new());
    let _first = scene.join(&alone)?;
    let mut kept = Vec::new();
    for (index, account) in [(json!(null), json!(null)), (json!(1), json!(null)), (json!(null), json!("$SYS"))] {
        kept.push(scene.join(&in_pool(&pooled, index, account))?);
    }
    let again = [
        alone,
        in_pool(&pooled, json!(null), json!(null)),
        in_pool(&pooled, json!(1), json!(null)),
        in_pool(&pooled, json!(null), json!("$SYS")),
        in_pool(&pooled, json!(3), json!(null)),
    ];
    let mut outcomes = Vec::new();
    for (number, peer) in again.into_iter().enumerate() {
        let bytes = [peer.connect_line(), peer.info_line()].concat().into_bytes();
        let case = Case { name: format!("number {number}"), peer, bytes };
        let expected = expected.and_then(|expected| expected.get(number));
        let outcome = outcome(&scene, |scene, _| scene.dial(), &case, expected);
        outcomes.push(outcome.with_context(|| case.name.clone())?);
    }
    for route in &mut kept {
        route.until_pong().context("the first comer")?;
    }
    Ok(outcomes)
}

#[test]
fn peers_that_come_twice() -> Result<()> {
    let expected = second_comers(Kind::Reference, None)?;
    let got = second_comers(OURS, Some(&expected))?;
    ensure!(expected.iter().all(|outcome| outcome.closed), "{expected:?}");
    ensure!(got == expected, "     ours: {got:#?}\nreference: {expected:#?}");
    Ok(())
}
