//! Queue groups over the whole cluster: each message to exactly one member, whichever server it is on.

use std::collections::BTreeMap;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::{Cluster, DEADLINE, Frame, Received};

use super::{Ear, finish, settle, text};

/// All match [`SUBJECT`]: a group is one group whatever the pattern of its members.
const PATTERNS: [&str; 3] = ["fair.a.b", "fair.*.b", "fair.>"];
const SUBJECT: &str = "fair.a.b";

/// The chance of a member is the same whoever publishes and however many members its server has.
pub fn shared_evenly(cluster: &Cluster) -> Result<()> {
    const EACH: usize = 2000;
    for (number, layout) in [&[1, 1, 1, 1, 1][..], &[3, 1, 0, 2, 1], &[1, 9, 2, 0, 1]].into_iter().enumerate() {
        let scene = format!("fair{number}");
        let mut ears = Ear::everywhere(cluster, &scene)?;
        let mut members = 0;
        for (ear, &count) in ears.iter_mut().zip(layout) {
            for _ in 0..count {
                // One pattern for a whole server: a nats-server takes patterns of one group for groups of their own
                // when it tells other servers of its members.
                ear.client.subscribe(PATTERNS[number % PATTERNS.len()], &scene, members)?;
                members += 1;
            }
        }
        settle(cluster, &mut ears)?;
        for (server, mut publisher) in cluster.clients()?.into_iter().enumerate() {
            for message in 0..EACH {
                publisher.publish(SUBJECT, "", message.to_string().as_bytes());
            }
            finish(&mut publisher, &scene)?;
            let got = ears.iter_mut().map(|ear| ear.hear(1)).collect::<Result<Vec<_>>>()?.concat();
            each_once(&got, EACH)
                .and_then(|()| even(&got, members))
                .with_context(|| format!("members on the servers: {layout:?}; publisher on {server}"))?;
        }
    }
    Ok(())
}

/// Several groups and plain subscriptions to the same messages on several servers: the groups do not touch each other,
/// nor the plain ones.
pub fn beside_plain(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "groups";
    const EACH: usize = 500;
    let mut ears = Ear::everywhere(cluster, SCENE)?;
    let last = ears.len() - 1;
    for (server, pattern, queue, sid) in [
        (0, "groups.a", "red", "red"),
        (1, "groups.a", "red", "red"),
        (1, "groups.*", "blue", "blue"),
        (last, "groups.*", "blue", "blue"),
        (last, "groups.>", "green", "green"),
        (1, "groups.a", "", "plain1"),
        (1, "groups.>", "", "plain2"),
        (last, "*.a", "", "plain3"),
    ] {
        ears[server].client.subscribe(pattern, queue, sid)?;
    }
    settle(cluster, &mut ears)?;
    for (server, mut publisher) in cluster.clients()?.into_iter().enumerate() {
        for message in 0..EACH {
            publisher.publish("groups.a", "", message.to_string().as_bytes());
        }
        finish(&mut publisher, SCENE)?;
        let got = ears.iter_mut().map(|ear| ear.hear(1)).collect::<Result<Vec<_>>>()?.concat();
        for sid in ["red", "blue", "green", "plain1", "plain2", "plain3"] {
            let part: Vec<Received> = got.iter().filter(|message| message.sid == sid).cloned().collect();
            each_once(&part, EACH).with_context(|| format!("{sid}; publisher on {server}"))?;
        }
    }
    Ok(())
}

/// When the members on one server have left, those on another one get all messages; then those that come again get
/// some.
pub fn members_leave(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "leave";
    const EACH: usize = 300;
    let mut ears = Ear::everywhere(cluster, SCENE)?;
    let mut publisher = cluster.client(0)?;
    let mut round = |ears: &mut [Ear], members: &[usize]| -> Result<()> {
        settle(cluster, ears)?;
        for message in 0..EACH {
            publisher.publish("leave", "", message.to_string().as_bytes());
        }
        finish(&mut publisher, SCENE)?;
        let got = ears.iter_mut().map(|ear| ear.hear(1)).collect::<Result<Vec<_>>>()?;
        each_once(&got.concat(), EACH).with_context(|| format!("members on {members:?}"))?;
        for (server, messages) in got.iter().enumerate() {
            let some = members.contains(&server);
            ensure!(some != messages.is_empty(), "{} on {server}, members on {members:?}", messages.len());
        }
        Ok(())
    };
    for ear in &mut ears[..2] {
        ear.client.subscribe("leave", "workers", 1)?;
    }
    round(&mut ears, &[0, 1])?;
    ears[0].client.unsubscribe(1)?;
    round(&mut ears, &[1])?;
    ears[0].client.subscribe("leave", "workers", 2)?;
    ears[1].client.unsubscribe(1)?;
    round(&mut ears, &[0])?;
    ears[1].client.subscribe("leave", "workers", 2)?;
    round(&mut ears, &[0, 1])
}

/// Members come and go while messages for them are under way; one member stays. Whatever comes to a server whose last
/// member has just left goes to a member elsewhere.
pub fn members_leave_under_load(cluster: &Cluster) -> Result<()> {
    const MESSAGES: usize = 4000;
    const BURST: usize = 10;
    const WINDOW: usize = 100;
    for stays_on in [cluster.members.len() - 1, 0] {
        let subject = format!("busy.{stays_on}");
        let mut publisher = cluster.client(0)?;
        let mut stays = cluster.client(stays_on)?;
        stays.subscribe(&subject, "workers", 0)?;
        cluster.settle([&mut stays])?;
        let mut leaves = [cluster.client(1)?, cluster.client(1)?];
        let (mut got, mut progress) = (Vec::new(), Instant::now());
        let (mut sent, mut turn) = (0, 0);
        while got.len() < MESSAGES {
            ensure!(
                progress.elapsed() < DEADLINE,
                "{} of {MESSAGES} messages came; the member that stays is on {stays_on}",
                got.len()
            );
            let end = if sent < got.len() + WINDOW { (sent + BURST).min(MESSAGES) } else { sent };
            for message in sent..end {
                publisher.publish(&subject, "", message.to_string().as_bytes());
            }
            // A round trip: the interest of those who come must have time to get around.
            publisher.flush()?;
            sent = end;
            let member = &mut leaves[turn / 2 % 2];
            match turn % 2 {
                0 => member.subscribe(&subject, "workers", turn)?,
                _ => member.unsubscribe(turn - 1)?,
            }
            turn += 1;
            for client in leaves.iter_mut().chain([&mut stays]) {
                while let Some(frame) = client.try_frame()? {
                    if let Frame::Message(message) = frame {
                        got.push(message.to_received());
                        progress = Instant::now();
                    }
                }
            }
        }
        each_once(&got, MESSAGES).with_context(|| format!("the member that stays is on {stays_on}"))?;
        let left = got.iter().filter(|message| message.sid != "0").count();
        ensure!(left > 0, "no message came to those who come and go");
    }
    Ok(())
}

/// The payloads are all numbers below `count`, each once.
fn each_once(messages: &[Received], count: usize) -> Result<()> {
    let mut seen = vec![0; count];
    for message in messages {
        let number: usize = text(message).parse().with_context(|| format!("{message:?}"))?;
        *seen.get_mut(number).with_context(|| format!("{message:?}"))? += 1;
    }
    let wrong: BTreeMap<usize, usize> = seen.into_iter().enumerate().filter(|&(_, times)| times != 1).collect();
    ensure!(wrong.is_empty(), "{} of {count} messages did not come once but (number: times) {wrong:?}", wrong.len());
    Ok(())
}

/// The count of each member, by its sid, lies within six standard deviations of an equal share: chance alone does not
/// get there.
fn even(messages: &[Received], members: usize) -> Result<()> {
    let mut counts = vec![0usize; members];
    for message in messages {
        counts[message.sid.parse::<usize>()?] += 1;
    }
    let share = 1.0 / members as f64;
    let expected = messages.len() as f64 * share;
    let allowed = 6.0 * (expected * (1.0 - share)).sqrt();
    let fair = counts.iter().all(|&count| (count as f64 - expected).abs() <= allowed);
    ensure!(fair, "{expected:.0} ± {allowed:.0} is even, the members got {counts:?}");
    Ok(())
}
