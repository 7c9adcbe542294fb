//! Invariant 10, its fair-weather half: a connection that sends without end does not starve the others.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use anyhow::{Result, ensure};
use pinmesh_harness::{Client, Frame};

use crate::arena::Arena;

on_every_server!(a_firehose_starves_nobody);

/// What the firehoses may send, at most, during one round trip of the quiet connections. A round trip takes some turns
/// of each shard, and one turn takes 64 KiB from each firehose; the rest is for machines with fewer cores than threads.
const FIREHOSE_BYTES: usize = 1 << 29;

/// Two firehoses, of which one has a subscriber, next to ten quiet connections: some of them share its shard.
pub fn a_firehose_starves_nobody(arena: &mut Arena) -> Result<()> {
    let mut firehoses = arena.clients(2)?;
    let mut drain = arena.clients(1)?.remove(0);
    drain.subscribe("firehose.0", "", 1)?;
    drain.flush()?;
    let mut quiet = arena.observers(10)?;
    for (index, client) in quiet.iter_mut().enumerate() {
        client.subscribe(&format!("quiet.{index}"), "", 1)?;
        client.flush()?;
    }
    let trips = arena.rounds(120);
    let (done, poured) = (AtomicBool::new(false), AtomicUsize::new(0));
    let running = thread::scope(|scope| -> Result<usize> {
        let (done, poured) = (&done, &poured);
        for (index, client) in firehoses.iter_mut().enumerate() {
            scope.spawn(move || pour(client, index, poured, done));
        }
        scope.spawn(move || while !done.load(Ordering::Acquire) && drain.try_frame().is_ok() {});
        let mut made = 0;
        let checked = (0..trips).try_for_each(|trip| -> Result<()> {
            let neighbour = trip % quiet.len();
            poured.store(0, Ordering::Release);
            for client in &mut quiet {
                client.publish(&format!("quiet.{neighbour}"), "", b"still there?");
                client.queue(b"PING\r\n");
                client.send_queued()?;
            }
            let mut messages = 0;
            for client in &mut quiet {
                messages += client.until_pong()?.len();
            }
            messages += quiet[neighbour].flush()?.len();
            ensure!(messages == quiet.len(), "trip {trip}: {messages} of {} messages", quiet.len());
            made += usize::from(!done.load(Ordering::Acquire));
            Ok(())
        });
        done.store(true, Ordering::Release);
        checked.map(|()| made)
    })?;
    ensure!(running == trips, "{running} of {trips} round trips while the firehoses were running");
    Ok(())
}

/// Sends until told to stop, or until too much is sent: then the quiet ones were too late, and `done` tells.
fn pour(client: &mut Client, index: usize, poured: &AtomicUsize, done: &AtomicBool) {
    let mut chunk = Vec::new();
    while chunk.len() < 1 << 20 {
        pinmesh_harness::client::put_publish(&mut chunk, &format!("firehose.{index}"), "", b"0123456789abcdef");
    }
    while !done.load(Ordering::Acquire) {
        let sent = client.send(&chunk).is_ok() && !matches!(client.try_frame(), Ok(Some(Frame::Err(_))));
        if !sent || poured.fetch_add(chunk.len(), Ordering::AcqRel) > FIREHOSE_BYTES {
            done.store(true, Ordering::Release);
        }
    }
}
