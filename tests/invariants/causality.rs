//! Invariant 4: A publishes to C, then to B; B, on receipt, publishes to C: C sees A's first.

use anyhow::{Context, Result, ensure};
use pinmesh_harness::client::put_publish;

use crate::arena::{Arena, flush_all, payload};

on_every_server!(answers_never_overtake, a_turn_is_seen_as_a_whole);

/// Chains of 1 to 5 connections between the first message and its consequence; the watcher has a literal
/// subscription or a wildcard.
pub fn answers_never_overtake(arena: &mut Arena) -> Result<()> {
    let rounds = arena.rounds(500);
    for batch in 0..6 {
        let mut links = arena.observers(6)?;
        for (index, link) in links.iter_mut().enumerate() {
            link.subscribe(&format!("cause.link{index}"), "", "link")?;
            link.flush()?;
        }
        let mut watcher = arena.observers(1)?.remove(0);
        let pattern = *arena.rng.choice(["cause.watch.*", "cause.watch.>", "*.watch.*"].iter()).expect("a pattern");
        watcher.subscribe(pattern, "", "watch")?;
        watcher.flush()?;
        for round in 0..rounds {
            let length = arena.rng.usize(2..=links.len());
            let mut order: Vec<usize> = (0..links.len()).collect();
            arena.rng.shuffle(&mut order);
            // Many before the one that sets off the chain: the longer the parcel, the wider the gap.
            let burst = if arena.rng.u8(0..4) == 0 { arena.rng.usize(1..200) } else { 1 };
            let size = if arena.rng.u8(0..8) == 0 { 30_000 } else { 16 };
            let mut stream = Vec::new();
            for step in 0..length {
                let link = &mut links[order[step]];
                if step > 0 {
                    link.message().with_context(|| format!("batch {batch}, round {round}, link {step}"))?;
                }
                stream.clear();
                for _ in 0..if step == 0 { burst } else { 1 } {
                    put_publish(&mut stream, &format!("cause.watch.s{step}"), "", payload(step, size));
                }
                if arena.rng.bool() {
                    link.send(&stream)?;
                    stream.clear();
                }
                if step + 1 < length {
                    put_publish(&mut stream, &format!("cause.link{}", order[step + 1]), "", b"go");
                }
                link.send(&stream)?;
            }
            for copy in 0..burst + length - 1 {
                let message = watcher.message()?;
                let expected = format!("cause.watch.s{}", (copy + 1).saturating_sub(burst));
                ensure!(
                    message.subject == expected,
                    "batch {batch}, round {round}: {} came before {expected}",
                    message.subject
                );
            }
        }
    }
    Ok(())
}

/// One write of the publisher has something for connections everywhere: the one that reacts comes first, the watcher
/// last. Whoever sees the beginning of that turn must not be able to act before the watcher's shard has its part.
pub fn a_turn_is_seen_as_a_whole(arena: &mut Arena) -> Result<()> {
    let rounds = arena.rounds(200);
    for batch in 0..24 {
        let count = arena.rng.usize(2..8);
        let mut others = arena.observers(count)?;
        for (index, client) in others.iter_mut().enumerate() {
            client.subscribe(&format!("turn.other{index}"), "", "other")?;
        }
        flush_all(&mut others)?;
        let mut pair = arena.observers(2)?;
        pair[0].subscribe("turn.react.*", "", "react")?;
        pair[1].subscribe("turn.watch.*", "", "watch")?;
        flush_all(&mut pair)?;
        let mut publisher = arena.clients(1)?.remove(0);
        for round in 0..rounds {
            let mut order: Vec<usize> = (0..others.len()).collect();
            arena.rng.shuffle(&mut order);
            let mut stream = Vec::new();
            put_publish(&mut stream, "turn.react.soon", "", b"");
            for index in order {
                put_publish(&mut stream, &format!("turn.other{index}"), "", b"");
            }
            put_publish(&mut stream, "turn.watch.cause", "", b"");
            put_publish(&mut stream, "turn.react.now", "", b"");
            publisher.send(&stream)?;
            // Without sleeping, to be quick.
            let mut due = 2;
            while due > 0 {
                match pair[0].try_frame()? {
                    Some(_) => due -= 1,
                    None => ensure!(!pair[0].is_closed(), "the connection that reacts was closed"),
                }
            }
            pair[0].publish("turn.watch.effect", "", b"");
            pair[0].send_queued()?;
            for expected in ["turn.watch.cause", "turn.watch.effect"] {
                let subject = pair[1].message()?.subject;
                ensure!(subject == expected, "batch {batch}, round {round}: {subject} came in place of {expected}");
            }
        }
        flush_all(&mut others)?;
    }
    Ok(())
}
