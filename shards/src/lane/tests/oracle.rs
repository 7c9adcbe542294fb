//! Everything at once: shards that send random turns to random targets, react to each other, wait for credit and sleep,
//! checked against an oracle.
//!
//! Each parcel carries what its sender knew: a matrix of how many parcels each shard had sent to each other one. Whoever
//! acts on a parcel must have acted before on all that its sender knew to be on the way to him (causal order; first in,
//! first out is the special case of what the sender itself had sent). Beside it runs the plainest oracle of a lane, one
//! `VecDeque` per ordered pair.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use super::platform::{check, thread};
use super::{Shard, shards};
use crate::lane::Outgoing;

/// Turns that each shard sends of itself, and how many reactions one of their parcels may cause, one after the other.
const TURNS: u32 = if cfg!(loom) { 1 } else { 20 };
const HOPS: u32 = if cfg!(loom) { 0 } else { 2 };
const CREDIT_BYTES: u64 = 4;

/// Matrix clock: `[from][to]`, parcels sent.
type Sent<const N: usize> = [[u64; N]; N];

/// By sender, then target: what is on the way.
type OnTheWay<const N: usize> = Arc<[[Mutex<VecDeque<u64>>; N]; N]>;

struct Letter<const N: usize> {
    number: u64,
    /// What its sender knew before this turn.
    known: Sent<N>,
    kind: Kind,
}

enum Kind {
    /// May cause reactions, this many in a row.
    News { hops: u32 },
    /// The sender is done: the shards say this in rounds, a round for each hop, so that reactions are done too.
    Done,
}

struct Actor<const N: usize> {
    shard: Shard<Letter<N>>,
    on_the_way: OnTheWay<N>,
    /// What this shard knows to be sent, by anybody to anybody.
    known: Sent<N>,
    /// Parcels acted on, by sender.
    acted: [u64; N],
    /// `Kind::Done` from others.
    done: usize,
    random: fastrand::Rng,
}

impl<const N: usize> Actor<N> {
    fn run(mut self) {
        for _ in 0..TURNS {
            self.send_news(HOPS);
            self.wait_for_credit();
        }
        for round in 1..=HOPS as usize + 1 {
            let others = (0..N).filter(|&target| target != self.id());
            self.send_turn(others.map(|target| (target, Kind::Done)).collect());
            while self.done < round * (N - 1) {
                self.receive();
            }
        }
        assert!(self.shard.lanes.receive().is_none());
        for from in 0..N {
            assert!(self.on_the_way[from][self.id()].lock().unwrap().is_empty(), "lost");
        }
    }

    fn id(&self) -> usize {
        self.shard.lanes.shard()
    }

    /// A turn of one to three parcels to others.
    fn send_news(&mut self, hops: u32) {
        let id = self.id();
        let mut news = |_| ((id + self.random.usize(1..N)) % N, Kind::News { hops });
        let turn = (0..if N > 2 { 3 } else { 2 }).map(&mut news).collect();
        self.send_turn(turn);
    }

    fn send_turn(&mut self, turn: Vec<(usize, Kind)>) {
        let id = self.id();
        let before = self.known;
        let mut batch = Vec::new();
        for (target, kind) in turn {
            let number = self.known[id][target];
            self.known[id][target] += 1;
            self.on_the_way[id][target].lock().unwrap().push_back(number);
            batch.push(Outgoing { target, bytes: 1, payload: Letter { number, known: before, kind } });
        }
        self.shard.lanes.send_turn(&mut batch);
    }

    /// Goes on with what comes, reactions included, until no target is without credit.
    fn wait_for_credit(&mut self) {
        let (id, lanes) = (self.id(), &mut self.shard.lanes);
        let starved = |&target: &usize| target != id && lanes.exhausted(target) && lanes.wait_for_credit(target);
        let waiting = (0..N).filter(starved).count();
        let mut returned = Vec::new();
        while returned.len() < waiting {
            self.receive();
            self.shard.lanes.credit_returned(&mut returned);
        }
    }

    /// Acts on what is there; sleeps if there is nothing.
    fn receive(&mut self) {
        match self.shard.lanes.receive() {
            Some(parcel) => {
                self.check(parcel.from, &parcel.payload);
                self.shard.lanes.settle(parcel.from, parcel.bytes);
                match parcel.payload.kind {
                    Kind::News { hops: 0 } => {}
                    // A third of the news leads to more.
                    Kind::News { hops } => {
                        if self.random.u8(..3) == 0 {
                            self.send_news(hops - 1);
                        }
                    }
                    Kind::Done => self.done += 1,
                }
            }
            None => self.shard.sleep(),
        }
    }

    /// Asks both oracles, and learns what the sender knew.
    fn check(&mut self, from: usize, letter: &Letter<N>) {
        let id = self.id();
        assert_eq!(
            self.on_the_way[from][id].lock().unwrap().pop_front(),
            Some(letter.number),
            "overtaken on its own lane"
        );
        for sender in 0..N {
            assert!(self.acted[sender] >= letter.known[sender][id], "acted on before its cause");
            for target in 0..N {
                self.known[sender][target] = self.known[sender][target].max(letter.known[sender][target]);
            }
        }
        self.acted[from] += 1;
        self.known[from][id] = self.known[from][id].max(letter.number + 1);
    }
}

fn exchange<const N: usize>(seed: u64) {
    let on_the_way: OnTheWay<N> = Arc::new(std::array::from_fn(|_| std::array::from_fn(|_| Mutex::default())));
    let actors = shards::<Letter<N>, N>(CREDIT_BYTES).map(|shard| Actor {
        random: fastrand::Rng::with_seed(seed.wrapping_add(shard.lanes.shard() as u64)),
        shard,
        on_the_way: on_the_way.clone(),
        known: [[0; N]; N],
        acted: [0; N],
        done: 0,
    });
    let threads = actors.map(|actor| thread::spawn(move || actor.run()));
    for thread in threads {
        thread.join().unwrap();
    }
}

/// Two shards.
#[test]
fn two_shards_agree_with_the_oracle() {
    let seed = std::sync::atomic::AtomicU64::new(0);
    check(move || exchange::<2>(if cfg!(loom) { 0 } else { seed.fetch_add(2, std::sync::atomic::Ordering::Relaxed) }));
}

/// Four shards, where causes can be overtaken.
#[test]
#[cfg(not(loom))]
fn four_shards_agree_with_the_oracle() {
    let seed = std::sync::atomic::AtomicU64::new(0);
    check(move || exchange::<4>(seed.fetch_add(4, std::sync::atomic::Ordering::Relaxed)));
}
