//! Invariant 4: A publishes to C, then to B; B, on receipt, publishes to C: C sees A's first.

use anyhow::{Context, Result, ensure};
use pinmesh_harness::client::put_publish;

use crate::arena::{Arena, payload};

on_every_server!(answers_never_overtake);

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
