//! Order under load.

use std::collections::BTreeMap;
use std::thread;

use anyhow::{Context, Result, ensure};

use crate::{Client, Cluster};

use super::{Ear, finish, settle, text};

const SCENE: &str = "order";
const PUBLISHERS_EACH: usize = 3;
const MESSAGES: usize = 1000;
const SUBJECTS: usize = 5;

/// Three publishers on each server at once, each on several subjects in turn; whoever listens to all of them hears
/// each publisher in its order, across subjects, without a gap and nothing twice.
pub fn of_each_publisher(cluster: &Cluster) -> Result<()> {
    let mut ears = Ear::everywhere(cluster, SCENE)?;
    ears.extend(Ear::everywhere(cluster, SCENE)?);
    let half = cluster.members.len();
    for ear in &mut ears[..half] {
        ear.client.subscribe("order.>", "", "all")?;
    }
    // The others get the same through several subscriptions.
    for ear in &mut ears[half..] {
        for subject in 0..SUBJECTS {
            ear.client.subscribe(&format!("order.*.{subject}"), "", subject)?;
        }
    }
    settle(cluster, &mut ears)?;
    let publishers = half * PUBLISHERS_EACH;
    let mut clients = (0..publishers).map(|name| cluster.client(name)).collect::<Result<Vec<Client>>>()?;
    thread::scope(|scope| -> Result<()> {
        let publishing: Vec<_> =
            clients.iter_mut().enumerate().map(|(name, client)| scope.spawn(move || publish(client, name))).collect();
        let listening: Vec<_> = ears.iter_mut().map(|ear| scope.spawn(move || listen(ear, publishers))).collect();
        for work in publishing {
            work.join().expect("no panic in a publisher")?;
        }
        for (ear, work) in listening.into_iter().enumerate() {
            let server = ear % half;
            work.join().expect("no panic in a listener").with_context(|| format!("ear {ear} on server {server}"))?;
        }
        Ok(())
    })
}

fn publish(client: &mut Client, name: usize) -> Result<()> {
    let mut draw = fastrand::Rng::with_seed(name as u64);
    for number in 0..MESSAGES {
        let subject = format!("order.{name}.{}", draw.usize(0..SUBJECTS));
        let filling = "x".repeat(draw.usize(0..200));
        client.publish(&subject, "", format!("{number} {filling}").as_bytes());
        if draw.usize(0..50) == 0 {
            client.send_queued()?;
        }
    }
    finish(client, SCENE)
}

fn listen(ear: &mut Ear, publishers: usize) -> Result<()> {
    let mut next: BTreeMap<String, usize> = BTreeMap::new();
    for message in ear.hear(publishers)? {
        let name = message.subject.split('.').nth(1).context("a publisher's name")?;
        let payload = text(&message);
        let number: usize = payload.split(' ').next().context("a number")?.parse()?;
        let next = next.entry(name.to_owned()).or_default();
        ensure!(number == *next, "from publisher {name} came {number} in place of {next}");
        *next += 1;
    }
    let complete = next.len() == publishers && next.values().all(|&next| next == MESSAGES);
    ensure!(complete, "{publishers} publishers sent {MESSAGES} messages each, these came: {next:?}");
    Ok(())
}
