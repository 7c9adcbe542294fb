//! Invariant 2: after the PONG behind a SUB every later publish is seen, after the PONG behind an UNSUB none is; a
//! subscription never sees what was published, and confirmed, before it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use pinmesh_harness::{Client, Frame};

use crate::arena::{Arena, expect_silence};

on_every_server!(
    a_subscription_is_seen_at_once,
    a_subscription_is_seen_at_once_beside_churn,
    nothing_comes_after_unsubscribing,
    the_past_is_not_delivered,
);

/// All of them match [`SUBJECTS`]`[0]`.
const PATTERNS: [&str; 9] =
    ["seen.b.c.x", "seen.b.c.*", "seen.b.*.x", "seen.*.c.x", "*.b.c.x", "seen.b.>", "seen.>", "*.*.*.x", ">"];
const SUBJECTS: [&str; 4] = ["seen.b.c.x", "seen.b.c.y", "seen.b.d.x", "other.b.c.x"];

/// The publishers have published on the very subject many times before, so every cache knows that nobody wants it.
pub fn a_subscription_is_seen_at_once(arena: &mut Arena) -> Result<()> {
    let rounds = arena.rounds(2500);
    see_subscriptions(arena, rounds)
}

fn see_subscriptions(arena: &mut Arena, rounds: usize) -> Result<()> {
    let mut publishers = arena.clients(6)?;
    let mut subscribers = arena.observers(6)?;
    for publisher in &mut publishers {
        for subject in SUBJECTS.iter().cycle().take(64) {
            publisher.publish(subject, "", b"warm");
        }
        publisher.flush()?;
    }
    for round in 0..rounds {
        let pattern = PATTERNS[arena.rng.usize(0..PATTERNS.len())];
        let queue = if arena.rng.u8(0..4) == 0 { "group" } else { "" };
        // A second holder of the same interest must not hide what the first one's coming or going means.
        let mut holders: Vec<usize> = (0..subscribers.len()).collect();
        arena.rng.shuffle(&mut holders);
        holders.truncate(arena.rng.usize(1..=2));
        see_once(&mut publishers, &mut subscribers, &holders, pattern, queue, &mut arena.rng)
            .with_context(|| format!("round {round}: pattern {pattern}, queue {queue:?}, holders {holders:?}"))?;
    }
    Ok(())
}

fn see_once(
    publishers: &mut [Client],
    subscribers: &mut [Client],
    holders: &[usize],
    pattern: &str,
    queue: &str,
    rng: &mut Rng,
) -> Result<()> {
    for left in (1..=holders.len()).rev() {
        let holder = &mut subscribers[holders[left - 1]];
        holder.subscribe(pattern, queue, "s")?;
        ensure!(holder.flush()?.is_empty(), "a message although nobody publishes");
    }
    for left in (0..=holders.len()).rev() {
        let publisher = rng.usize(0..publishers.len());
        let publisher = &mut publishers[publisher];
        publisher.publish(SUBJECTS[0], "", b"now");
        publisher.flush()?;
        let mut got = 0;
        for &holder in &holders[..left] {
            got += subscribers[holder].flush()?.len();
        }
        let expected = if queue.is_empty() { left } else { left.min(1) };
        ensure!(got == expected, "{left} subscriptions there, {expected} copies due, {got} came");
        if left > 0 {
            let leaving = &mut subscribers[holders[left - 1]];
            leaving.unsubscribe("s")?;
            ensure!(leaving.flush()?.is_empty(), "a message although nobody publishes");
        } else {
            for &holder in holders {
                ensure!(subscribers[holder].flush()?.is_empty(), "a message after UNSUB and PONG");
            }
        }
    }
    Ok(())
}

/// The same while others subscribe and unsubscribe at full speed: same subject, same first tokens, broad patterns.
/// A cache that is refilled while the directory changes must not keep the older answer.
pub fn a_subscription_is_seen_at_once_beside_churn(arena: &mut Arena) -> Result<()> {
    let rounds = arena.rounds(1200);
    let mut churning = arena.clients(2)?;
    let seed = arena.rng.u64(..);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for (number, client) in churning.iter_mut().enumerate() {
            let done = &done;
            scope.spawn(move || churn(client, done, Rng::with_seed(seed + number as u64)));
        }
        let seen = see_subscriptions(arena, rounds);
        done.store(true, Ordering::Release);
        seen
    })
}

/// An error ends it early, which the test need not hear of: it is company, not under test.
fn churn(client: &mut Client, done: &AtomicBool, mut rng: Rng) {
    for sid in 0u64.. {
        let pattern = match rng.u8(0..4) {
            0 => "seen.b.c.zzz".to_owned(),
            1 => format!("seen.b.{sid}.>"),
            2 => format!("*.churn{sid}"),
            _ => format!("seen.{sid}"),
        };
        let step = client.subscribe(&pattern, "", sid).and_then(|()| client.unsubscribe(sid));
        let paced = if sid % 8 == 0 { client.flush().map(drop) } else { Ok(()) };
        if done.load(Ordering::Acquire) || step.and(paced).is_err() {
            return;
        }
    }
}

/// With publishers at full speed: messages come until the UNSUB, none behind its PONG, and the sid can be used anew.
pub fn nothing_comes_after_unsubscribing(arena: &mut Arena) -> Result<()> {
    let rounds = arena.rounds(500);
    let mut publishers = arena.clients(2)?;
    let mut subscribers = arena.observers(3)?;
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for client in &mut publishers {
            let done = &done;
            scope.spawn(move || {
                while !done.load(Ordering::Acquire) {
                    for subject in SUBJECTS {
                        client.publish(subject, "", b"0123456789abcdef");
                    }
                    if client.flush().is_err() {
                        return;
                    }
                }
            });
        }
        let checked = (0..rounds).try_for_each(|round| {
            let subscriber = arena.rng.usize(0..subscribers.len());
            let pattern = PATTERNS[arena.rng.usize(0..PATTERNS.len())];
            let queue = if arena.rng.u8(0..4) == 0 { "group" } else { "" };
            come_and_go(&mut subscribers[subscriber], pattern, queue)
                .with_context(|| format!("round {round}: pattern {pattern}, queue {queue:?}"))
        });
        done.store(true, Ordering::Release);
        checked
    })
}

fn come_and_go(client: &mut Client, pattern: &str, queue: &str) -> Result<()> {
    client.subscribe(pattern, queue, "again")?;
    client.message().context("before UNSUB")?;
    client.unsubscribe("again")?;
    client.flush()?;
    for _ in 0..2 {
        if let Some(late) = client.flush()?.first() {
            bail!("{late:?} came after the PONG behind UNSUB");
        }
    }
    // The same sid on a subject that nobody publishes on: what is still under way must not find it.
    client.subscribe("quiet.subject", "", "again")?;
    if let Some(late) = client.flush()?.first() {
        bail!("{late:?} came for another subscription with the same sid");
    }
    client.unsubscribe("again")
}

/// Somebody on every shard wants the subject, so each message is under way to all of them when the SUB comes.
pub fn the_past_is_not_delivered(arena: &mut Arena) -> Result<()> {
    let mut publishers = arena.clients(4)?;
    let mut subscribers = arena.observers(4)?;
    let mut wanting = arena.clients(8)?;
    for (client, pattern) in wanting.iter_mut().zip(PATTERNS) {
        client.subscribe(pattern, "", "holder")?;
        client.flush()?;
    }
    for round in 0..arena.rounds(2500) {
        let publisher = arena.rng.usize(0..publishers.len());
        let publisher = &mut publishers[publisher];
        let count = arena.rng.usize(1..20);
        for _ in 0..count {
            publisher.publish(SUBJECTS[0], "", b"past");
        }
        publisher.flush()?;
        let subscriber = arena.rng.usize(0..subscribers.len());
        let subscriber = &mut subscribers[subscriber];
        let pattern = PATTERNS[arena.rng.usize(0..PATTERNS.len())];
        subscriber.send(format!("SUB {pattern} s{round}\r\nPING\r\n").as_bytes())?;
        match subscriber.frame()? {
            Frame::Pong => {}
            other => bail!("round {round}: {other:?} was published, and confirmed, before the SUB {pattern}"),
        }
        subscriber.unsubscribe(format!("s{round}"))?;
        ensure!(subscriber.flush()?.is_empty(), "round {round}: a message although nobody publishes");
        if round % 16 == 0 {
            crate::arena::flush_all(&mut wanting)?;
        }
    }
    expect_silence(&mut subscribers, "after the last UNSUB")
}
