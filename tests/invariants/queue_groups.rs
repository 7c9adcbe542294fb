//! Invariant 6 on one server: exactly one member of a group gets a message, chosen evenly over all members; and a
//! message is not lost because the chosen member left while it was under way.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use pinmesh_harness::client::RESPONDERS;
use pinmesh_harness::{Client, Frame, poll_until};

use crate::arena::{Arena, flush_all};

on_every_server!(members_share_evenly, leaving_loses_nothing, closed_members_are_skipped);

/// All match [`SUBJECT`]: a group is one group whatever the pattern of its members.
const PATTERNS: [&str; 4] = ["fair.a.b", "fair.*.b", "fair.>", "*.a.*"];
const SUBJECT: &str = "fair.a.b";

/// A connection with nine members gets nine times what a connection with one gets: the number of members counts, not
/// the number of connections, patterns or shards that have some.
pub fn members_share_evenly(arena: &mut Arena) -> Result<()> {
    let total = arena.rounds(24_000);
    let layouts = [&[9, 1, 1, 1][..], &[1, 1, 1, 1, 1, 1, 1], &[5, 3], &[1, 1, 1, 6, 1, 2]];
    for (number, layout) in layouts.into_iter().enumerate() {
        // Of its own: the server may not have noticed yet that the connections of the layout before are gone.
        let group = format!("group{number}");
        let mut connections = arena.observers(layout.len())?;
        let mut publishers = arena.clients(3)?;
        let mut member = 0;
        for (connection, &members) in connections.iter_mut().zip(layout) {
            for _ in 0..members {
                connection.subscribe(PATTERNS[arena.rng.usize(0..PATTERNS.len())], &group, member)?;
                member += 1;
            }
        }
        flush_all(&mut connections)?;
        let mut counts = vec![0; member];
        let mut sent = 0;
        while sent < total {
            let publisher = sent % publishers.len();
            let publisher = &mut publishers[publisher];
            let burst = arena.rng.usize(1..600);
            for _ in 0..burst {
                publisher.publish(SUBJECT, "", b"0123456789abcdef");
            }
            sent += burst;
            publisher.flush()?;
            for connection in &mut connections {
                count_until_pong(connection, &mut counts)?;
            }
            let got: usize = counts.iter().sum();
            ensure!(got == sent, "layout {layout:?}: {sent} published, {got} arrived");
        }
        ensure_even(&counts).with_context(|| format!("layout {layout:?}"))?;
    }
    Ok(())
}

fn count_until_pong(client: &mut Client, counts: &mut [usize]) -> Result<()> {
    client.send(b"PING\r\n")?;
    loop {
        match client.frame()? {
            Frame::Pong => return Ok(()),
            Frame::Message(message) => {
                let member: usize = std::str::from_utf8(message.sid)?.parse()?;
                counts[member] += 1;
            }
            other => bail!("{other:?} among the messages"),
        }
    }
}

/// Each count must lie within six standard deviations of an equal share: chance alone does not get there.
pub fn ensure_even(counts: &[usize]) -> Result<()> {
    let total: usize = counts.iter().sum();
    let share = 1.0 / counts.len() as f64;
    let expected = total as f64 * share;
    let allowed = 6.0 * (expected * (1.0 - share)).sqrt();
    for (member, &count) in counts.iter().enumerate() {
        ensure!(
            (count as f64 - expected).abs() <= allowed,
            "member {member} got {count} of {total}; {expected:.0} ± {allowed:.0} is even; all: {counts:?}"
        );
    }
    Ok(())
}

/// Members leave (UNSUB and drain, or a limit of messages) and come back without a pause while publishers publish as
/// fast as they can. One member stays throughout, so every message has a taker.
pub fn leaving_loses_nothing(arena: &mut Arena) -> Result<()> {
    let each = arena.rounds(16_000);
    let mut publishers = arena.clients(3)?;
    let mut leaving = arena.observers(5)?;
    let mut staying = arena.observers(1)?.remove(0);
    staying.subscribe(PATTERNS[0], "group", "stay")?;
    staying.flush()?;
    let total = each * publishers.len();
    let (arrived, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    let seed = arena.rng.u64(..);
    let mut all = Vec::new();
    thread::scope(|scope| -> Result<()> {
        let (arrived, done) = (&arrived, &done);
        let members: Vec<_> = leaving
            .iter_mut()
            .enumerate()
            .map(|(index, client)| {
                let rng = Rng::with_seed(seed + index as u64);
                scope.spawn(move || come_and_go(client, rng, arrived, done))
            })
            .collect();
        let stays = scope.spawn(move || collect_until(&mut staying, arrived, done));
        let publishing: Vec<_> = publishers
            .iter_mut()
            .enumerate()
            .map(|(index, client)| scope.spawn(move || publish(client, index, each)))
            .collect();
        let published = publishing.into_iter().try_for_each(|work| work.join().expect("no panic in a publisher"));
        // A message that needed a second try may come a little after the publisher's PONG.
        let _ = poll_until(pinmesh_harness::DEADLINE, || (arrived.load(Ordering::Acquire) >= total).then_some(()));
        done.store(true, Ordering::Release);
        for work in members {
            all.extend(work.join().expect("no panic in a member")?);
        }
        all.extend(stays.join().expect("no panic in a member")?);
        published
    })?;
    let different: HashSet<&String> = all.iter().collect();
    ensure!(all.len() == different.len(), "{} messages came twice", all.len() - different.len());
    ensure!(all.len() == total, "{total} published, {} arrived", all.len());
    Ok(())
}

fn publish(client: &mut Client, publisher: usize, count: usize) -> Result<()> {
    for sequence in 0..count {
        client.publish(SUBJECT, "", format!("{publisher}.{sequence}").as_bytes());
        if sequence % 64 == 63 {
            client.flush()?;
        }
    }
    client.flush().map(drop)
}

fn come_and_go(client: &mut Client, mut rng: Rng, arrived: &AtomicUsize, done: &AtomicBool) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for sid in 0.. {
        let before = all.len();
        let limit = (rng.u8(0..3) == 0).then(|| rng.usize(1..40));
        let wanted = limit.unwrap_or_else(|| rng.usize(0..40));
        client.subscribe(PATTERNS[rng.usize(0..PATTERNS.len())], "group", sid)?;
        if let Some(limit) = limit {
            // It may have got more than the limit by the time the limit is known; then it is removed at once.
            client.send(format!("UNSUB {sid} {limit}\r\n").as_bytes())?;
        }
        while all.len() < before + wanted && !done.load(Ordering::Acquire) {
            match client.try_frame()? {
                Some(Frame::Message(message)) => {
                    all.push(String::from_utf8_lossy(message.payload).into_owned());
                    arrived.fetch_add(1, Ordering::AcqRel);
                }
                Some(other) => bail!("{other:?} among the messages"),
                None => thread::yield_now(),
            }
            ensure!(!client.is_closed(), "the server has closed the connection of a member");
        }
        client.unsubscribe(sid)?;
        for message in client.flush()? {
            all.push(String::from_utf8_lossy(&message.payload).into_owned());
            arrived.fetch_add(1, Ordering::AcqRel);
        }
        if done.load(Ordering::Acquire) {
            break;
        }
    }
    Ok(all)
}

fn collect_until(client: &mut Client, arrived: &AtomicUsize, done: &AtomicBool) -> Result<Vec<String>> {
    let mut all = Vec::new();
    loop {
        let last = done.load(Ordering::Acquire);
        for message in client.flush()? {
            all.push(String::from_utf8_lossy(&message.payload).into_owned());
            arrived.fetch_add(1, Ordering::AcqRel);
        }
        if last {
            return Ok(all);
        }
    }
}

/// Connections of members end without a word, in every way, with messages under way. What was meant for them may be
/// lost with them, but nothing comes twice, the group goes on with who is left, and without anybody a request is
/// refused.
pub fn closed_members_are_skipped(arena: &mut Arena) -> Result<()> {
    for round in 0..arena.rounds(100) {
        let mut staying = arena.observers(1)?.remove(0);
        staying.subscribe(PATTERNS[round % PATTERNS.len()], "group", "stay")?;
        staying.flush()?;
        let mut leaving = arena.clients(3)?;
        for client in &mut leaving {
            for sid in 0..arena.rng.usize(1..4) {
                client.subscribe(PATTERNS[arena.rng.usize(0..PATTERNS.len())], "group", sid)?;
            }
        }
        flush_all(&mut leaving)?;
        let mut publisher = arena.observer_with(RESPONDERS)?;
        publisher.subscribe("answer.*", "", "answers")?;
        let mut number = 0;
        for client in leaving {
            for _ in 0..30 {
                publisher.publish(SUBJECT, "", format!("{number}").as_bytes());
                number += 1;
            }
            publisher.send_queued()?;
            end(client, &mut arena.rng)?;
        }
        publisher.flush()?;
        let got: Vec<Vec<u8>> = staying.flush()?.into_iter().map(|message| message.payload).collect();
        let different: HashSet<&Vec<u8>> = got.iter().collect();
        ensure!(got.len() == different.len(), "round {round}: {} messages came twice", got.len() - different.len());
        let batch = 12;
        let settled = poll_until(pinmesh_harness::DEADLINE, || {
            (0..batch).for_each(|_| publisher.publish(SUBJECT, "", b"later"));
            let sent = publisher.flush();
            let came = sent.and_then(|_| staying.flush()).map(|messages| messages.len());
            came.is_ok_and(|came| came == batch).then_some(())
        });
        settled.with_context(|| format!("round {round}: messages still go to members that are gone"))?;
        drop(staying);
        let refused = poll_until(pinmesh_harness::DEADLINE, || {
            publisher.publish(SUBJECT, "answer.1", b"anybody?");
            let answers = publisher.flush().unwrap_or_default();
            answers.iter().any(|answer| answer.headers.starts_with(b"NATS/1.0 503")).then_some(())
        });
        refused.with_context(|| format!("round {round}: no 503 although every member is gone"))?;
    }
    Ok(())
}

fn end(mut client: Client, rng: &mut Rng) -> Result<()> {
    match rng.u8(0..4) {
        0 => client.abort(),
        1 => client.half_close(),
        2 => client.send(b"BOGUS\r\n"),
        _ => Ok(()),
    }
}
