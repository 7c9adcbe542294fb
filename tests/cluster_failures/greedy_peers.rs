//! Peers that keep to the protocol and take more than their share: some that want everything and read nothing, and one
//! that announces a million interests.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use pinmesh_harness::cluster::{CLUSTER_NAME, Seat, routes};
use pinmesh_harness::witness::{resident, wait_until_meshed, wait_until_wanted};
use pinmesh_harness::{
    Client, Cluster, DEADLINE, Kind, LineUp, Member, Peer, Signal, eventually, line_ups, poll_until,
};

line_ups!(one_that_never_reads);
line_ups!(one_that_is_stopped);
line_ups!(one_with_a_million_interests: reference = Reference, ours_1 = Ours(1), ours_3 = Ours(3));

const MIB: usize = 1024 * 1024;
/// What every message carries, to fill buffers fast.
const PAYLOAD: [u8; 4096] = [b'x'; 4096];
/// How many messages are published between two looks at what has become of who does not read.
const BATCH: u64 = 64;
/// How many of them the subscribers may be behind.
const AHEAD: u64 = 8 * BATCH;
/// What servers keep for one connection at most.
const MAX_PENDING: usize = 8 * MIB;
/// How much a server may grow meanwhile, with all that is not the buffer itself.
const GROWTH: usize = 5 * MAX_PENDING;
/// The end of who does not read.
const GIVEN_UP: &str = "Router connection closed: Slow Consumer (Write Deadline)";

fn one_that_never_reads(line_up: LineUp) -> Result<()> {
    let mut scene = Scene::start(&line_up.kinds(2))?;
    let mut peer = Peer::dial_with_buffer(scene.cluster.members[0].seat.route, 64 * 1024)?.introduced(1)?;
    peer.send("RS+ $G >")?;
    peer.flush()?;
    scene.publish_to_the_deaf()?;
    peer.read_to_close()?;
    Ok(())
}

fn one_that_is_stopped(line_up: LineUp) -> Result<()> {
    let mut scene = Scene::start(&line_up.kinds(3))?;
    let mut ear = scene.cluster.client(2)?;
    ear.subscribe("news", "", 1)?;
    scene.cluster.settle([&mut ear])?;
    scene.cluster.members[2].server.signal(Signal::STOP);
    scene.publish_to_the_deaf()?;
    scene.cluster.members[2].server.signal(Signal::CONT);
    wait_until_meshed(&scene.cluster.members)
}

/// A server with a publisher, and subscribers on it and on the second server.
struct Scene {
    cluster: Cluster,
    subscribers: [Client; 2],
    publisher: Client,
}

impl Scene {
    fn start(kinds: &[Kind]) -> Result<Scene> {
        let seats = Seat::several(kinds.len());
        let start = |(&kind, &seat): (&Kind, &Seat)| {
            let cluster = format!("name: {CLUSTER_NAME}\n  {}\n  write_deadline: \"1s\"", routes(&seats[..1]));
            Member::start(kind, seat, &cluster, &format!("max_pending: {MAX_PENDING}"))
        };
        let cluster = Cluster { members: kinds.iter().zip(&seats).map(start).collect() };
        wait_until_meshed(&cluster.members)?;
        let mut subscribers = [cluster.client(0)?, cluster.client(1)?];
        for subscriber in &mut subscribers {
            subscriber.subscribe("news", "", 1)?;
        }
        cluster.settle(&mut subscribers)?;
        Ok(Scene { publisher: cluster.client(0)?, cluster, subscribers })
    }

    /// Publishes past somebody who reads nothing, until the server has given that one up and some more; everybody else
    /// gets everything.
    fn publish_to_the_deaf(&mut self) -> Result<()> {
        let ended = AtomicBool::new(false);
        let received = [AtomicU64::new(0), AtomicU64::new(0)];
        let server = &self.cluster.members[0];
        thread::scope(|scope| {
            let listen = |(subscriber, received)| {
                let ended = &ended;
                scope.spawn(move || count_in_order(subscriber, received, ended))
            };
            let readers: Vec<_> = self.subscribers.iter_mut().zip(&received).map(listen).collect();
            let published = publish_until_given_up(server, &mut self.publisher, &received);
            ended.store(true, Ordering::Relaxed);
            for reader in readers {
                reader.join().expect("a subscriber has panicked")?;
            }
            published
        })?;
        let log = server.server.log();
        let said = log.lines().find(|line| line.contains("Slow Consumer Detected: WriteDeadline of 1s exceeded with "));
        said.with_context(|| format!("no word of the slow consumer in {log}")).map(drop)
    }
}

/// Publishes until a server has given somebody up and some more, never far ahead of those who read.
fn publish_until_given_up(server: &Member, publisher: &mut Client, received: &[AtomicU64]) -> Result<()> {
    let before = resident(&server.server)?;
    let mut published = 0;
    let wait_until_received = |most_missing: u64, published: u64| {
        let enough = |count: &AtomicU64| count.load(Ordering::Relaxed) + most_missing >= published;
        poll_until(DEADLINE, || received.iter().all(enough).then_some(()))
            .with_context(|| format!("of {published} messages, {received:?} have come to the subscribers"))
    };
    let mut batches_left = None;
    let end = Instant::now() + DEADLINE;
    while batches_left != Some(0) {
        ensure!(Instant::now() < end, "who does not read is still there after {published} messages");
        for _ in 0..BATCH {
            publisher.publish("news", &published.to_string(), &PAYLOAD);
            published += 1;
        }
        publisher.flush()?;
        let growth = resident(&server.server)?.saturating_sub(before);
        ensure!(growth < GROWTH, "{} MiB more than before", growth / MIB);
        wait_until_received(AHEAD, published)?;
        batches_left = match batches_left {
            Some(left) => Some(left - 1),
            None => server.server.log().contains(GIVEN_UP).then_some(20),
        };
    }
    wait_until_received(0, published)
}

/// Counts messages whose reply subjects are numbers, until somebody says that it is over.
fn count_in_order(subscriber: &mut Client, received: &AtomicU64, ended: &AtomicBool) -> Result<()> {
    while !ended.load(Ordering::Relaxed) {
        for message in subscriber.flush()? {
            let number = received.fetch_add(1, Ordering::Relaxed);
            ensure!(message.reply == number.to_string(), "message {} in place of {number}", message.reply);
        }
    }
    Ok(())
}

/// How often the peer comes, and how many interests it announces; to the reference, which is slower, fewer.
const ROUNDS: u16 = 4;
const INTERESTS: usize = 1_000_000;
const INTERESTS_FOR_THE_REFERENCE: usize = 100_000;
/// What ours may take for them.
const FOR_A_MILLION: usize = 256 * MIB;

fn one_with_a_million_interests(line_up: LineUp) -> Result<()> {
    let cluster = Cluster::start(&line_up.kinds(1))?;
    let server = &cluster.members[0];
    let mut witness = server.client()?;
    let before = resident(&server.server)?;
    let interests = if server.kind.is_ours() { INTERESTS } else { INTERESTS_FOR_THE_REFERENCE };
    let mut rounds = Vec::new();
    for round in 1..=ROUNDS {
        let mut peer = Peer::join(server.seat.route, round)?;
        let announced = AtomicBool::new(false);
        let served = thread::scope(|scope| {
            let guest = scope.spawn(|| serve_until(server, &announced));
            let told = announce(&mut peer, round, interests);
            announced.store(true, Ordering::Relaxed);
            told.and(guest.join().expect("a client has panicked"))
        })?;
        ensure!(served > 0, "no client was served while the peer announced its interests");
        wait_until_wanted(&mut witness, "last", true);
        let taken = resident(&server.server)?.saturating_sub(before);
        drop(peer);
        wait_until_wanted(&mut witness, "last", false);
        // The reference leaves its memory to a collector that takes minutes to give it back.
        if server.kind.is_ours() {
            ensure!(taken < FOR_A_MILLION, "{} MiB for a million interests", taken / MIB);
            eventually("a quarter of the memory back", || {
                (resident(&server.server).ok()? < before + taken / 4 * 3).then_some(())
            });
            rounds.push(taken);
        }
    }
    // What stays of a round shows in all that follow. One alone may be larger: the allocator's reserve grows with how far
    // a busy server falls behind the peer.
    if let [first, later @ ..] = &rounds[..] {
        let in_mib: Vec<usize> = rounds.iter().map(|taken| taken / MIB).collect();
        let least = later.iter().min().context("further rounds")?;
        ensure!(*least < first + first / 4, "MiB, round by round: {in_mib:?}");
    }
    Ok(())
}

/// Announces interest in so many subjects and in one more, and waits until the server has taken all of them.
fn announce(peer: &mut Peer, round: u16, interests: usize) -> Result<()> {
    let mut lines = Vec::new();
    for number in 0..interests {
        lines.extend_from_slice(format!("RS+ $G million.{round}.{number}\r\n").as_bytes());
        if lines.len() > MIB {
            peer.send_bytes(&lines)?;
            peer.flush()?;
            lines.clear();
        }
    }
    peer.send_bytes(&lines)?;
    peer.send("RS+ $G last")?;
    peer.flush()
}

/// Sends messages from client to client, one at a time, and counts them.
fn serve_until(server: &Member, ended: &AtomicBool) -> Result<u64> {
    let mut client = server.client()?;
    client.subscribe("guests", "", 1)?;
    let mut served = 0;
    while !ended.load(Ordering::Relaxed) {
        client.publish("guests", "", b"hello");
        ensure!(client.flush()?.len() == 1, "a message to oneself");
        served += 1;
    }
    Ok(served)
}
