//! Interest comes and goes: other servers know of it exactly as long as it is there.

use anyhow::{Result, ensure};

use crate::{Client, Cluster, DEADLINE, poll_until};

use super::requests::is_refusal;
use super::{Ear, finish};

/// A client that leaves without a word takes its interest with it, on all servers.
pub fn ends_with_the_client(cluster: &Cluster) -> Result<()> {
    let mut leaving = cluster.client(1)?;
    for number in 0..50 {
        leaving.subscribe(&format!("leaving.{number}"), ["", "group"][number % 2], number)?;
    }
    cluster.settle([&mut leaving])?;
    drop(leaving);
    for (server, client) in cluster.clients()?.iter_mut().enumerate() {
        for number in 0..50 {
            refused_in_the_end(client, &format!("leaving.{number}"))
                .map_err(|error| error.context(format!("on server {server}")))?;
        }
    }
    Ok(())
}

/// A subscription with a limit gets as many messages from other servers, and is forgotten after the last one.
pub fn ends_with_the_last_message(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "limited";
    let mut ear = Ear::new(cluster, 1, SCENE)?;
    let mut publisher = cluster.client(0)?;
    for queue in ["", "group"] {
        ear.client.subscribe("limited", queue, 1)?;
        ear.client.send(b"UNSUB 1 5\r\n")?;
        cluster.settle([&mut ear.client])?;
        for number in 0..10 {
            publisher.publish("limited", "", number.to_string().as_bytes());
        }
        finish(&mut publisher, SCENE)?;
        let got: Vec<Vec<u8>> = ear.hear(1)?.into_iter().map(|message| message.payload).collect();
        ensure!(got == [b"0", b"1", b"2", b"3", b"4"], "five messages are due, {got:?} came");
        refused_in_the_end(&mut publisher, "limited")?;
    }
    Ok(())
}

/// Thousands of subscriptions come and go, some of them several times; in the end each server forwards what is wanted
/// and refuses the rest.
pub fn exact_after_changes(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "changes";
    const SUBJECTS: usize = 400;
    let mut draw = fastrand::Rng::with_seed(11);
    let mut ear = Ear::new(cluster, 1, SCENE)?;
    let mut other = cluster.client(1)?;
    let mut wanted = vec![false; SUBJECTS];
    for (number, wanted) in wanted.iter_mut().enumerate() {
        for _ in 0..draw.usize(1..8) {
            // Also of a second client and of a second subscription of the same client: interest is one for all three.
            ear.client.queue(format!("SUB changes.{number} {number}\r\n").as_bytes());
            other.queue(format!("SUB changes.{number} {number}\r\nUNSUB {number}\r\n").as_bytes());
            ear.client.queue(format!("SUB changes.{number} x{number}\r\nUNSUB x{number}\r\n").as_bytes());
            *wanted = draw.bool();
            if !*wanted {
                ear.client.queue(format!("UNSUB {number}\r\n").as_bytes());
            }
        }
    }
    ear.client.flush()?;
    other.flush()?;
    cluster.settle([&mut ear.client, &mut other])?;
    for (server, client) in cluster.clients()?.iter_mut().enumerate() {
        client.subscribe("_INBOX.changes.*", "", "inbox")?;
        for number in 0..SUBJECTS {
            client.publish(&format!("changes.{number}"), &format!("_INBOX.changes.{number}"), b"?");
        }
        let refused = client.flush()?;
        ensure!(refused.iter().all(is_refusal), "on {server}: {refused:?}");
        let name = |number: usize| number.to_string();
        let mut refused: Vec<usize> =
            refused.iter().filter_map(|answer| answer.subject.rsplit('.').next()?.parse().ok()).collect();
        refused.sort_unstable();
        let due: Vec<usize> = (0..SUBJECTS).filter(|&number| !wanted[number]).collect();
        ensure!(refused == due, "server {server} refused {refused:?} in place of {due:?}");
        finish(client, SCENE)?;
        let got: Vec<String> = ear.hear(1)?.into_iter().map(|message| message.sid).collect();
        let due: Vec<String> = (0..SUBJECTS).filter(|&number| wanted[number]).map(name).collect();
        ensure!(got == due, "from server {server} came {got:?} in place of {due:?}");
    }
    Ok(())
}

/// Asks again and again until the answer is that nobody listens.
fn refused_in_the_end(client: &mut Client, subject: &str) -> Result<()> {
    let refused = poll_until(DEADLINE, || {
        // A message to a subscription that is going brings no answer at all: no blocking read here.
        let mut attempt = || -> Result<bool> {
            client.subscribe("_INBOX.refused", "", "refused")?;
            client.publish(subject, "_INBOX.refused", b"?");
            let refused = client.flush()?.iter().any(is_refusal);
            client.unsubscribe("refused")?;
            Ok(refused)
        };
        match attempt() {
            Ok(false) => None,
            other => Some(other),
        }
    });
    match refused {
        Some(refused) => refused.map(drop),
        None => Err(anyhow::anyhow!("{subject} still has a taker")),
    }
}
