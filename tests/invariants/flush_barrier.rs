//! Invariant 3: when a publisher reads PONG, `+OK` or the close, what it published is ahead of whatever a subscriber
//! is answered from then on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use pinmesh_harness::client::put_publish;
use pinmesh_harness::{Client, Frame, Side};

use crate::arena::{Arena, any_size, identity, payload};

on_every_server!(messages_are_there_after_the_flush, the_barrier_holds_on_a_busy_shard);

/// What the publisher takes as the sign that everything is on its way.
#[derive(Clone, Copy, Debug)]
enum Sign {
    Pong,
    /// The `+OK` of the last PUB of a verbose connection.
    Ok,
    /// It stops sending and waits for the close.
    Close,
    /// It is thrown out for a protocol error behind the messages.
    Error,
    /// PONG first, then the publisher closes its socket: the messages must survive that.
    PongAndDrop,
}

const VERBOSE: &str = r#"{"verbose":true,"pedantic":false}"#;

/// Rounds with the same connections; a sign that costs the publisher its connection gets a fresh one.
pub fn messages_are_there_after_the_flush(arena: &mut Arena) -> Result<()> {
    let batches = 10;
    let rounds = arena.rounds(250);
    for batch in 0..batches {
        let mut subscribers = arena.observers(4)?;
        for (client, pattern) in subscribers.iter_mut().zip(["barrier.a", "barrier.*", "barrier.>", "*.a"]) {
            client.subscribe(pattern, "", 1)?;
            client.flush()?;
        }
        let mut plain = arena.clients(2)?;
        let mut verbose = arena.observer_with(VERBOSE)?;
        for round in 0..rounds {
            let sign = match arena.rng.u8(0..20) {
                0 => Sign::Close,
                1 => Sign::Error,
                2 => Sign::PongAndDrop,
                // The reference writes `+OK` before it delivers, and now and then that shows.
                3..8 if arena.server.side() == Side::Ours => Sign::Ok,
                _ => Sign::Pong,
            };
            let mut fresh = None;
            let publisher = match sign {
                Sign::Pong => &mut plain[round % 2],
                Sign::Ok => &mut verbose,
                Sign::Close | Sign::Error | Sign::PongAndDrop => fresh.insert(arena.clients(1)?.remove(0)),
            };
            let count = publish(arena, publisher, sign)?;
            drop(fresh);
            // In any order: the barrier holds towards each of them.
            let first = arena.rng.usize(0..subscribers.len());
            subscribers.rotate_left(first);
            for subscriber in &mut subscribers {
                check(subscriber, count).with_context(|| format!("batch {batch}, round {round}, {sign:?}"))?;
            }
        }
    }
    Ok(())
}

fn publish(arena: &mut Arena, publisher: &mut Client, sign: Sign) -> Result<usize> {
    let count = match arena.rng.u8(0..4) {
        0 => 1,
        1 => arena.rng.usize(2..60),
        _ => arena.rng.usize(2..6),
    };
    for sequence in 0..count {
        let size = if count < 6 { any_size(&mut arena.rng) } else { 16 };
        publisher.publish("barrier.a", &format!("0.{sequence}"), payload(sequence, size));
        if arena.rng.u8(0..12) == 0 {
            publisher.send_queued()?;
        }
    }
    match sign {
        Sign::Pong | Sign::PongAndDrop => {
            publisher.flush()?;
        }
        Sign::Ok => {
            publisher.send_queued()?;
            for _ in 0..count {
                ensure!(publisher.frame()? == Frame::Ok, "a PUB without +OK");
            }
        }
        Sign::Close => {
            publisher.send_queued()?;
            publisher.half_close()?;
            publisher.wait_for_close()?;
        }
        Sign::Error => {
            publisher.send(b"BOGUS\r\n")?;
            publisher.wait_for_close()?;
        }
    }
    Ok(count)
}

fn check(subscriber: &mut Client, count: usize) -> Result<()> {
    subscriber.send(b"PING\r\n")?;
    for sequence in 0..count {
        match subscriber.frame()? {
            Frame::Message(message) => {
                let (_, got) = identity(message.reply)?;
                ensure!(got == sequence, "message {got} in place of {sequence}");
            }
            other => bail!("{other:?} after {sequence} of {count} messages"),
        }
    }
    match subscriber.frame()? {
        Frame::Pong => Ok(()),
        other => bail!("{other:?} after all {count} messages"),
    }
}

/// The subscriber's shard is in the middle of a long turn, the subscriber is about to be served in it, and its PING
/// comes in at the last moment: the messages came before, whether the shard has looked or not.
pub fn the_barrier_holds_on_a_busy_shard(arena: &mut Arena) -> Result<()> {
    let rounds = arena.rounds(160);
    let mut firehoses = arena.clients(4)?;
    let mut publishers = arena.clients(4)?;
    let mut subscribers = arena.observers(6)?;
    for subscriber in &mut subscribers {
        subscriber.subscribe("busy.a", "", 1)?;
        subscriber.flush()?;
    }
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| pour(&mut firehoses, &done));
        let checked = (0..rounds).try_for_each(|round| {
            let publisher = arena.rng.usize(0..publishers.len());
            let publisher = &mut publishers[publisher];
            publisher.publish("busy.a", "0.0", b"there");
            publisher.queue(b"PING\r\n");
            publisher.send_queued()?;
            // Nobody answers these, but whoever sends them is in line to be served.
            subscribers.iter_mut().try_for_each(|subscriber| subscriber.send(b"PONG\r\n"))?;
            publisher.until_pong()?;
            arena.rng.shuffle(&mut subscribers);
            for subscriber in &mut subscribers {
                subscriber.send(b"PING\r\n")?;
            }
            for subscriber in &mut subscribers {
                let got = subscriber.until_pong()?.len();
                ensure!(got == 1, "round {round}: {got} messages came before the PONG");
            }
            Ok(())
        });
        done.store(true, Ordering::Release);
        checked
    })
}

/// Keeps every shard busy with messages that nobody wants. An error would show in the test itself.
fn pour(firehoses: &mut [Client], done: &AtomicBool) {
    let mut chunk = Vec::new();
    while chunk.len() < 1 << 18 {
        put_publish(&mut chunk, "nobody.wants", "", b"0123456789abcdef");
    }
    let mut sent = vec![0; firehoses.len()];
    while !done.load(Ordering::Acquire) {
        for (client, sent) in firehoses.iter_mut().zip(&mut sent) {
            *sent += client.write_some(&chunk[*sent..]).unwrap_or(0);
            *sent %= chunk.len();
        }
    }
}
