//! Invariant 8: a shard never waits, so no load makes shards wait for each other.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use pinmesh_harness::client::put_publish;
use pinmesh_harness::{Client, DEADLINE, Frame};

use crate::arena::{Arena, any_size, identity, payload};

on_every_server!(all_to_all);

/// Small buffers in the kernel, so that every write of the server is soon a partial one.
const KERNEL_BUFFER: usize = 4096;

struct Talker {
    client: Client,
    stream: Vec<u8>,
    sent: usize,
    /// The next message of each talker.
    next: Vec<usize>,
    got: usize,
}

/// Every connection publishes to all, and reads all, as fast as the server lets it. In the second half nobody reads
/// before the server has stopped reading: the worst moment to need room somewhere.
pub fn all_to_all(arena: &mut Arena) -> Result<()> {
    for (talkers, reading_late) in [(6, false), (16, false), (6, true), (16, true)] {
        let each = arena.rounds(120);
        let sizes: Vec<usize> = (0..each).map(|_| any_size(&mut arena.rng) / 4).collect();
        let mut talking = Vec::new();
        for number in 0..talkers {
            // Placed among decoys like the others, but with its own kernel buffers.
            drop(arena.clients(1)?);
            let dialled = Client::dial_with_buffers(arena.observed, KERNEL_BUFFER)?;
            let mut client = dialled.greeted()?.introduced(pinmesh_harness::client::PLAIN)?;
            client.subscribe("talk.>", "", 1)?;
            client.flush()?;
            let mut stream = Vec::new();
            for (sequence, &size) in sizes.iter().enumerate() {
                let subject = format!("talk.{number}.{}", sequence % 7);
                put_publish(&mut stream, &subject, &format!("{number}.{sequence}"), payload(number + sequence, size));
            }
            talking.push(Talker { client, stream, sent: 0, next: vec![0; talkers], got: 0 });
        }
        talk(&mut talking, &sizes, reading_late)
            .with_context(|| format!("{talkers} talkers, reading late: {reading_late}"))?;
    }
    Ok(())
}

fn talk(talking: &mut [Talker], sizes: &[usize], reading_late: bool) -> Result<()> {
    let due = talking.len() * sizes.len();
    let (mut reading, mut progress) = (!reading_late, Instant::now());
    while talking.iter().any(|talker| talker.got < due) {
        let mut moved = false;
        for talker in talking.iter_mut() {
            let written = talker.client.write_some(&talker.stream[talker.sent..])?;
            talker.sent += written;
            moved |= written > 0;
            if reading {
                moved |= talker.read(sizes)?;
            }
        }
        if moved {
            progress = Instant::now();
        } else if !reading {
            reading = true;
        } else if progress.elapsed() > DEADLINE {
            let state: Vec<_> = talking.iter().map(|talker| (talker.stream.len() - talker.sent, talker.got)).collect();
            bail!("no progress for {DEADLINE:?}; {due} due to each; (unsent bytes, messages got): {state:?}");
        } else {
            std::thread::yield_now();
        }
    }
    Ok(())
}

impl Talker {
    fn read(&mut self, sizes: &[usize]) -> Result<bool> {
        let before = self.got;
        while let Some(frame) = self.client.try_frame()? {
            let Frame::Message(message) = frame else { bail!("{frame:?} among the messages") };
            let (talker, sequence) = identity(message.reply)?;
            let expected = self.next[talker];
            ensure!(sequence == expected, "talker {talker}: {sequence} came where {expected} was due");
            ensure!(message.payload == payload(talker + sequence, sizes[sequence]), "{sequence} came damaged");
            self.next[talker] += 1;
            self.got += 1;
        }
        ensure!(!self.client.is_closed(), "the server has closed a connection");
        Ok(self.got > before)
    }
}
