//! Invariant 10, its fair-weather half: a connection that sends without end does not starve the others.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, ensure};
use pinmesh_harness::{Client, Frame};

use crate::arena::Arena;

on_every_server!(a_firehose_starves_nobody);

/// What each firehose may send, at most, until every quiet connection has had its round trips.
const FIREHOSE_BYTES: usize = 1 << 30;

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
    let trips = arena.rounds(400);
    let done = AtomicBool::new(false);
    let running = thread::scope(|scope| -> Result<usize> {
        let done = &done;
        for (index, client) in firehoses.iter_mut().enumerate() {
            scope.spawn(move || pour(client, index, done));
        }
        scope.spawn(move || while !done.load(Ordering::Acquire) && drain.try_frame().is_ok() {});
        let mut made = 0;
        let checked = (0..trips).try_for_each(|trip| -> Result<()> {
            let neighbour = trip % quiet.len();
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

/// Sends until told to stop, or until everything is sent: then the quiet ones were too late, and `done` tells.
fn pour(client: &mut Client, index: usize, done: &AtomicBool) {
    let mut chunk = Vec::new();
    while chunk.len() < 1 << 20 {
        pinmesh_harness::client::put_publish(&mut chunk, &format!("firehose.{index}"), "", b"0123456789abcdef");
    }
    let mut left = FIREHOSE_BYTES;
    while !done.load(Ordering::Acquire) {
        if client.send(&chunk).is_err() || left < chunk.len() {
            done.store(true, Ordering::Release);
        }
        left = left.saturating_sub(chunk.len());
        if let Ok(Some(Frame::Err(_))) = client.try_frame() {
            done.store(true, Ordering::Release);
        }
    }
}
