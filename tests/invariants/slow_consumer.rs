//! Invariant 9: whoever does not read costs the server a bounded amount of memory, loses its own connection, and
//! nobody else loses anything.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use pinmesh_harness::client::{PLAIN, put_publish};
use pinmesh_harness::{Client, Server};

use crate::arena::{Arena, flush_all, identity, payload};

on_every_server!(config "max_pending: 2MB"; a_reader_that_stopped_is_closed);
on_every_server!(config "max_pending: 2MB\nwrite_deadline: \"500ms\""; an_echo_that_is_not_read_closes_its_publisher);
on_every_server!(config "write_deadline: \"300ms\""; the_write_deadline_closes);
on_every_server!(config "max_pending: 2MB\nno_fast_producer_stall: true"; nobody_waits_for_a_reader_that_stopped);
on_every_server!(a_small_backlog_keeps_little_alive, a_shard_with_more_work_slows_its_publishers);

const MIB: usize = 1024 * 1024;
const MAX_PENDING: usize = 2 * MIB;
const KERNEL_BUFFER: usize = 16 * 1024;
/// What a server may take beside what its slow readers are owed: buffers in use, an allocator's or a garbage
/// collector's slack.
const SLACK: usize = 64 * MIB;

/// Payloads of 16 B to 1 MB, a few slow readers or many.
pub fn a_reader_that_stopped_is_closed(arena: &mut Arena) -> Result<()> {
    for (size, slow_readers) in [(16, 3), (1000, 3), (60_000, 20), (1_000_000, 3)] {
        close_slow_readers(arena, size, slow_readers)
            .with_context(|| format!("{slow_readers} slow readers, payloads of {size}"))?;
    }
    Ok(())
}

fn close_slow_readers(arena: &mut Arena, size: usize, slow_readers: usize) -> Result<()> {
    let line = format!("Slow Consumer Detected: MaxPending of {MAX_PENDING} Exceeded");
    let closed_before = arena.server.log().matches(&line).count();
    let mut slow = slow_clients(arena, slow_readers, "flood.>")?;
    let mut healthy = arena.observers(2)?;
    for client in &mut healthy {
        client.subscribe("flood.a", "", "healthy")?;
    }
    flush_all(&mut healthy)?;
    let mut publisher = arena.clients(1)?.remove(0);
    let base = resident(&arena.server)?;
    let bound = base + slow_readers * MAX_PENDING * 2 + SLACK;
    let batch = (MIB / 2 / size).clamp(1, 4000);
    let mut published = 0;
    while arena.server.log().matches(&line).count() < closed_before + slow_readers {
        for number in 0..batch {
            publisher.publish("flood.a", "", payload(number, size));
        }
        published += batch * size.max(32);
        publisher.flush()?;
        for messages in flush_all(&mut healthy)? {
            ensure!(messages.len() == batch, "a healthy reader got {} of {batch} messages", messages.len());
            let intact = messages.iter().enumerate().all(|(number, message)| message.payload == payload(number, size));
            ensure!(intact, "a healthy reader got damaged or misplaced messages");
        }
        let resident = resident(&arena.server)?;
        ensure!(resident <= bound, "{} MiB resident, {} MiB allowed", resident / MIB, bound / MIB);
        ensure!(published < 256 * MIB, "the slow readers are still connected after {} MiB", published / MIB);
    }
    slow.iter_mut().try_for_each(|client| client.wait_for_close().context("the close of a slow reader"))
}

/// It subscribes to what it publishes and never reads.
pub fn an_echo_that_is_not_read_closes_its_publisher(arena: &mut Arena) -> Result<()> {
    let mut pair = arena.observers(2)?;
    pair[0].subscribe("pair.a", "", 1)?;
    pair[0].flush()?;
    let base = resident(&arena.server)?;
    for round in 0..3 {
        let mut deaf = slow_clients(arena, 1, "echo.>")?.remove(0);
        let mut chunk = Vec::new();
        while chunk.len() < MIB / 4 {
            put_publish(&mut chunk, "echo.a", "", payload(round, [16, 900, 30_000][round]));
        }
        let mut sent = 0;
        // Fails when the server has closed.
        while deaf.send(&chunk).is_ok() {
            sent += chunk.len();
            ensure!(sent < 512 * MIB, "still connected after {} MiB of unread echoes", sent / MIB);
            pair[1].publish("pair.a", "", b"beside");
            pair[1].flush()?;
            ensure!(pair[0].flush()?.len() == 1, "a message between others was lost");
            let resident = resident(&arena.server)?;
            ensure!(resident <= base + MAX_PENDING * 2 + SLACK, "{} MiB resident", resident / MIB);
        }
        // Whichever limit is reached first: the reference waits in a write of its own, and stops reading meanwhile.
        pinmesh_harness::eventually(&format!("a slow consumer in the log, {} in all", round + 1), || {
            (arena.server.log().matches("Slow Consumer Detected: ").count() > round).then_some(())
        });
    }
    Ok(())
}

/// Far below `max_pending`, but nothing of it leaves in time.
pub fn the_write_deadline_closes(arena: &mut Arena) -> Result<()> {
    let mut slow = slow_clients(arena, 2, "late.>")?;
    let mut healthy = arena.observers(1)?;
    healthy[0].subscribe("late.a", "", 1)?;
    healthy[0].flush()?;
    let mut publisher = arena.clients(1)?.remove(0);
    for number in 0..200 {
        publisher.publish("late.a", "", payload(number, 80_000));
        publisher.flush()?;
        ensure!(healthy[0].message()?.payload == payload(number, 80_000), "message {number} came damaged");
    }
    let detected = "Slow Consumer Detected: WriteDeadline of 300ms exceeded with ";
    arena.server.wait_for_log(detected);
    let log = arena.server.log();
    let line = log.lines().find(|line| line.contains(detected)).unwrap_or_default();
    ensure!(line.contains(" chunks of ") && line.ends_with(" total bytes."), "another line: {line}");
    slow.iter_mut().try_for_each(|client| client.wait_for_close().context("the close of a slow reader"))?;
    publisher.publish("late.a", "", b"afterwards");
    publisher.flush()?;
    ensure!(healthy[0].flush()?.len() == 1, "a message was lost after the slow readers were closed");
    Ok(())
}

/// What does not fit is not for it, and the connection stays. Nobody else notices, and when it has read what there is,
/// it gets messages again.
pub fn nobody_waits_for_a_reader_that_stopped(arena: &mut Arena) -> Result<()> {
    const SIZE: usize = 10_000;
    let mut slow = slow_clients(arena, 1, "drop.>")?.remove(0);
    let mut healthy = arena.observers(1)?.remove(0);
    healthy.subscribe("drop.a", "", "healthy")?;
    healthy.flush()?;
    let mut publisher = arena.clients(1)?.remove(0);
    let published = arena.rounds(2400);
    for number in 0..published {
        publisher.publish("drop.a", &format!("0.{number}"), payload(number, SIZE));
        if number % 32 == 31 {
            publisher.flush()?;
            let got = healthy.flush()?.len();
            ensure!(got == 32, "message {number}: the healthy reader got {got} of 32");
        }
    }
    ensure!(!arena.server.log().contains("Slow Consumer"), "closed instead of left out");
    let got = slow.flush()?;
    ensure!(!got.is_empty() && got.len() < published, "the slow reader got {} of {published}", got.len());
    let mut next = 0;
    for message in &got {
        let (_, number) = identity(message.reply.as_bytes())?;
        ensure!(number >= next, "message {number} came where {next} or a later one was due");
        ensure!(message.payload == payload(number, SIZE), "message {number} came damaged");
        next = number + 1;
    }
    let again = pinmesh_harness::poll_until(pinmesh_harness::DEADLINE, || {
        publisher.publish("drop.a", "", b"again");
        publisher.flush().ok()?;
        slow.flush().ok().filter(|messages| !messages.is_empty())
    });
    again.map(drop).context("who has read everything gets nothing more")
}

/// Each message is little work where it comes in, and more where the subscriptions are. Their reader is quick, so little
/// waits in its out-buffer: what grows here without a bound is what waits between shards.
pub fn a_shard_with_more_work_slows_its_publishers(arena: &mut Arena) -> Result<()> {
    // On a busy machine the reader may not get its turn in time and be closed for that. Then nothing was learned: once more.
    for _ in 0..4 {
        let closed = |arena: &Arena| arena.server.log().matches("Slow Consumer Detected").count();
        let closed_before = closed(arena);
        match work_for_many_copies(arena) {
            Err(_) if closed(arena) > closed_before => {}
            result => return result,
        }
    }
    work_for_many_copies(arena)
}

fn work_for_many_copies(arena: &mut Arena) -> Result<()> {
    const COPIES: usize = 10;
    const CHUNK: usize = 2000;
    let chunks = arena.rounds(1500);
    let mut publisher = arena.clients(1)?.remove(0);
    let mut frames = 0;
    drop(arena.clients(1)?);
    let mut reader = TcpStream::connect(arena.server.address())?;
    reader.write_all(b"CONNECT {\"verbose\":false}\r\n")?;
    for sid in 0..COPIES {
        reader.write_all(format!("SUB work.* {sid}\r\n").as_bytes())?;
        frames += CHUNK * format!("MSG work.a {sid} 8\r\n8 bytes.\r\n").len();
    }
    reader.write_all(b"PING\r\n")?;
    let mut greeting = Vec::new();
    while !greeting.ends_with(b"PONG\r\n") {
        let mut bytes = [0; 4096];
        let count = reader.read(&mut bytes)?;
        ensure!(count > 0, "closed before the PONG");
        greeting.extend_from_slice(&bytes[..count]);
    }
    let mut chunk = Vec::new();
    // Two subjects in turn, so that nothing can be handed on for many messages at once.
    (0..CHUNK).for_each(|number| put_publish(&mut chunk, ["work.a", "work.b"][number % 2], "", b"8 bytes."));
    let base = resident(&arena.server)?;
    // What waits for the reader itself may be as much as the default max_pending.
    let bound = base + 64 * MIB + SLACK;
    let due = chunks * frames;
    thread::scope(|scope| {
        let reading = scope.spawn(move || throw_away(reader, due));
        for number in 0..chunks {
            publisher.send(&chunk)?;
            let resident = resident(&arena.server)?;
            ensure!(resident <= bound, "chunk {number}: {} MiB, {} allowed", resident / MIB, bound / MIB);
        }
        publisher.flush()?;
        reading.join().expect("no panic in the reader")
    })
}

/// Reads `due` bytes, and maybe a PING, faster than frame by frame.
fn throw_away(mut reader: TcpStream, due: usize) -> Result<()> {
    reader.set_read_timeout(Some(pinmesh_harness::DEADLINE))?;
    let mut bytes = vec![0; MIB];
    let mut got = 0;
    while got < due {
        let count = reader.read(&mut bytes).with_context(|| format!("after {got} of {due} bytes"))?;
        ensure!(count > 0, "closed after {got} of {due} bytes");
        got += count;
    }
    Ok(())
}

/// The slow reader wants one message in 64: what waits for it is small, and must not keep alive what it came with.
/// When it reads at last, everything is there.
pub fn a_small_backlog_keeps_little_alive(arena: &mut Arena) -> Result<()> {
    const SIZE: usize = 1000;
    const WANTED: usize = 4000;
    let mut slow = slow_clients(arena, 1, "rare.>")?.remove(0);
    let mut publisher = arena.clients(1)?.remove(0);
    let base = resident(&arena.server)?;
    let bound = base + WANTED * SIZE * 3 + SLACK;
    for number in 0..WANTED {
        for _ in 0..63 {
            publisher.publish("common.a", "", payload(0, SIZE));
        }
        publisher.publish("rare.a", "", payload(number, SIZE));
        if number % 16 == 0 {
            publisher.flush()?;
        }
        if number % 64 == 0 {
            let resident = resident(&arena.server)?;
            ensure!(resident <= bound, "{number} waiting: {} MiB, {} allowed", resident / MIB, bound / MIB);
        }
    }
    publisher.flush()?;
    for number in 0..WANTED {
        let message = slow.message()?;
        ensure!(message.payload == payload(number, SIZE), "message {number} of the backlog came damaged");
    }
    Ok(())
}

/// Clients that subscribe, and do not read any more.
fn slow_clients(arena: &mut Arena, count: usize, pattern: &str) -> Result<Vec<Client>> {
    let mut slow = Vec::new();
    for _ in 0..count {
        drop(arena.clients(1)?);
        let dialled = Client::dial_with_buffers(arena.server.address(), KERNEL_BUFFER)?;
        let mut client = dialled.greeted()?.introduced(PLAIN)?;
        client.subscribe(pattern, "", "slow")?;
        client.flush()?;
        slow.push(client);
    }
    Ok(slow)
}

/// Resident memory of the server, in bytes.
fn resident(server: &Server) -> Result<usize> {
    let path = format!("/proc/{}/status", server.pid());
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let Some(line) = status.lines().find_map(|line| line.strip_prefix("VmRSS:")) else { bail!("no VmRSS in {path}") };
    let kib: usize = line.trim().trim_end_matches(" kB").parse().context("VmRSS is a number of kB")?;
    Ok(kib * 1024)
}
