//! What the lanes between shards cost: a parcel's way from thread to thread, a wake-up, and the look that is made when
//! there is nothing.
//!
//! `cargo bench --bench lane`. Numbers of two threads mean something only if each has a core.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use shards::lane::{Endpoint, Outgoing, Wake, mesh};

const CREDIT_BYTES: u64 = 1024;

/// For shards that never sleep.
struct NoWaker;

impl Wake for NoWaker {
    fn wake(&self) {}
}

/// What the driver wakes with.
struct PollWaker(mio::Waker);

impl Wake for PollWaker {
    fn wake(&self) {
        self.0.wake().expect("eventfd");
    }
}

/// Both ends of a mesh of two.
fn two<T, W: Wake>(wakers: [W; 2]) -> [Endpoint<T, W>; 2] {
    mesh(wakers.into(), CREDIT_BYTES).try_into().unwrap_or_else(|_| unreachable!("one endpoint per waker"))
}

/// Parcels from one spinning thread to another, `batch` in a turn, throttled by credit as real ones are.
fn transfer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transfer");
    for batch in [1_u64, 4, 16] {
        group.throughput(Throughput::Elements(batch));
        group.bench_function(format!("turn_of_{batch}"), |bencher| {
            bencher.iter_custom(|turns| {
                let [mut sender, mut receiver] = two::<u64, _>([NoWaker, NoWaker]);
                let drain = thread::spawn(move || {
                    let mut left = turns * batch;
                    while left > 0 {
                        while let Some(parcel) = receiver.receive() {
                            black_box(parcel.payload);
                            receiver.settle(parcel.from, parcel.bytes);
                            left -= 1;
                        }
                        // A spinning shard that shares its core would keep the other from working.
                        thread::yield_now();
                    }
                });
                let mut turn = Vec::new();
                let start = Instant::now();
                for _ in 0..turns {
                    while sender.exhausted(1) {
                        thread::yield_now();
                    }
                    turn.extend((0..batch).map(|payload| Outgoing { target: 1, bytes: 1, payload }));
                    sender.send_turn(&mut turn);
                }
                drain.join().expect("receiver");
                start.elapsed()
            });
        });
    }
    group.finish();
}

/// One thread is both shards: what sending and receiving cost by themselves, with every cache line at hand.
fn same_thread(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("same_thread");
    for targets in [1, 3] {
        group.bench_function(format!("turn_to_{targets}"), |bencher| {
            let mut ends = mesh::<u64, _>((0..=targets).map(|_| NoWaker).collect(), CREDIT_BYTES);
            let mut sender = ends.remove(0);
            let mut turn = Vec::new();
            bencher.iter(|| {
                turn.extend((1..=targets).map(|target| Outgoing { target, bytes: 1, payload: 0 }));
                sender.send_turn(&mut turn);
                for receiver in &mut ends {
                    while let Some(parcel) = receiver.receive() {
                        receiver.settle(parcel.from, parcel.bytes);
                    }
                }
            });
        });
    }
    group.finish();
}

/// A shard that sleeps in its poll whenever there is nothing.
struct Sleeper {
    lanes: Endpoint<u64, PollWaker>,
    poll: mio::Poll,
    events: mio::Events,
}

impl Sleeper {
    fn next(&mut self) -> u64 {
        loop {
            if let Some(parcel) = self.lanes.receive() {
                return parcel.payload;
            }
            if self.lanes.prepare_sleep() {
                self.poll.poll(&mut self.events, None).expect("poll");
                self.lanes.awake();
            }
        }
    }

    fn send(&mut self, target: usize, payload: u64) {
        self.lanes.send_turn(&mut vec![Outgoing { target, bytes: 0, payload }]);
    }
}

/// There and back between two shards that both sleep in between: two wake-ups.
fn wake_round_trip(criterion: &mut Criterion) {
    let polls = [(); 2].map(|()| mio::Poll::new().expect("poll"));
    let waker = |poll: &mio::Poll| PollWaker(mio::Waker::new(poll.registry(), mio::Token(0)).expect("waker"));
    let ends = two(polls.each_ref().map(waker));
    let mut sleepers =
        ends.into_iter().zip(polls).map(|(lanes, poll)| Sleeper { lanes, poll, events: mio::Events::with_capacity(8) });
    let (mut here, mut there) = (sleepers.next().expect("two"), sleepers.next().expect("two"));
    let echo = thread::spawn(move || {
        loop {
            match there.next() {
                0 => break,
                payload => there.send(0, payload),
            }
        }
    });
    criterion.bench_function("wake_round_trip", |bencher| {
        bencher.iter(|| {
            here.send(1, 1);
            black_box(here.next())
        });
    });
    here.send(1, 0);
    echo.join().expect("echo");
}

/// The look that a spinning shard makes, when nothing is there: ours, and what the channel itself would cost.
fn idle_look(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("idle_look");
    let [_sender, mut receiver] = two::<u64, _>([NoWaker, NoWaker]);
    group.bench_function("may_have_mail", |bencher| bencher.iter(|| black_box(&receiver).may_have_mail()));
    group.bench_function("receive", |bencher| bencher.iter(|| black_box(&mut receiver).receive().is_none()));
    let (_keep, channel) = crossbeam_channel::unbounded::<u64>();
    group.bench_function("crossbeam_try_recv", |bencher| bencher.iter(|| black_box(&channel).try_recv().is_err()));
    group.finish();
}

/// Is a remembered result still good? With a generation that stands still, and with one that other shards move.
fn versions(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("versions");
    let versions = Arc::new(shards::lane::Versions::new(12));
    group.bench_function("generation", |bencher| bencher.iter(|| black_box(&versions).generation()));
    group.bench_function("generation_and_3_slots", |bencher| {
        bencher.iter(|| {
            let versions = black_box(&versions);
            versions.generation() + versions.get(1) + versions.get(77) + versions.get(3000)
        });
    });
    let stop = Arc::new(AtomicBool::new(false));
    let churn = {
        let (versions, stop) = (versions.clone(), stop.clone());
        thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                versions.bump(77);
                thread::sleep(Duration::from_micros(10));
            }
        })
    };
    group.bench_function("generation_under_churn", |bencher| bencher.iter(|| black_box(&versions).generation()));
    stop.store(true, Ordering::Relaxed);
    churn.join().expect("churn");
    group.finish();
}

criterion_group!(benches, same_thread, transfer, wake_round_trip, idle_look, versions);
criterion_main!(benches);
