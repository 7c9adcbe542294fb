//! A shard and what the driver does around it, in the driver's order but step by step.

use std::collections::{HashMap, VecDeque};

use super::{Freight, NoBell, Wire};
use crate::connection::Key;
use crate::lane::{Endpoint, Outgoing};
use crate::shard::{Filled, Shard};

/// Where in its turn a shard is.
#[derive(Debug, Default)]
enum Phase {
    #[default]
    Between,
    /// These are to be read.
    Serve(VecDeque<Key>),
    /// This one was read; what is in the inbox comes before what was read.
    Act { key: Key, again: bool, others: VecDeque<Key> },
    /// Parcels are to leave.
    Send,
    /// Parcels have left; sockets are to be written.
    Write,
}

/// See the module.
pub(crate) struct Site {
    pub shard: Shard,
    pub endpoint: Endpoint<Freight, NoBell>,
    /// Wires by the index of their connection's key.
    sockets: HashMap<u32, (Key, usize)>,
    arrivals: Vec<usize>,
    ready: VecDeque<Key>,
    phase: Phase,
}

impl Site {
    pub fn new(shard: Shard, endpoint: Endpoint<Freight, NoBell>) -> Self {
        let (sockets, arrivals, ready) = (HashMap::new(), Vec::new(), VecDeque::new());
        Site { shard, endpoint, sockets, arrivals, ready, phase: Phase::Between }
    }

    /// A connection was accepted for this shard.
    pub fn arrive(&mut self, wire: usize) {
        self.arrivals.push(wire);
    }

    /// Would the driver sleep now, and longer than until `now`?
    pub fn is_asleep(&mut self, wires: &[Wire], now: u64) -> bool {
        let idle = matches!(self.phase, Phase::Between)
            && self.ready.is_empty()
            && self.arrivals.is_empty()
            && !self.shard.is_busy()
            && self.shard.next_timer().is_none_or(|at| at > now)
            && self.sockets.values().all(|&(_, wire)| !wires[wire].readable && !wires[wire].writable);
        if idle && self.endpoint.prepare_sleep() {
            self.endpoint.awake();
            return true;
        }
        false
    }

    /// One step of a turn.
    pub fn step(&mut self, wires: &mut [Wire], now: u64, rng: &mut fastrand::Rng) {
        self.phase = match std::mem::take(&mut self.phase) {
            Phase::Between => {
                self.begin(wires, now, rng);
                Phase::Serve(std::mem::take(&mut self.ready))
            }
            Phase::Serve(mut others) => match others.pop_front() {
                Some(key) => self.fill(key, others, wires),
                None => Phase::Send,
            },
            Phase::Act { key, again, others } => {
                self.receive(wires, rng);
                self.shard.act(key);
                if self.shard.wants_flush() {
                    self.send();
                    self.write(wires, rng);
                }
                if again {
                    self.queue(key);
                }
                Phase::Serve(others)
            }
            Phase::Send => {
                self.send();
                Phase::Write
            }
            Phase::Write => {
                self.write(wires, rng);
                self.shard.answer_some();
                Phase::Between
            }
        };
    }

    /// The rest of a turn, or a whole one.
    pub fn turn(&mut self, wires: &mut [Wire], now: u64, rng: &mut fastrand::Rng) {
        self.step(wires, now, rng);
        while !matches!(self.phase, Phase::Between) {
            self.step(wires, now, rng);
        }
    }

    fn queue(&mut self, key: Key) {
        if !self.ready.contains(&key) {
            self.ready.push_back(key);
        }
    }

    /// Events of the poll, mail, new connections, timers.
    fn begin(&mut self, wires: &mut [Wire], now: u64, rng: &mut fastrand::Rng) {
        self.shard.begin_turn(now);
        let mut sockets: Vec<(Key, usize)> = self.sockets.values().copied().collect();
        sockets.sort_by_key(|(key, _)| key.index);
        for (key, number) in sockets {
            let wire = &mut wires[number];
            if std::mem::take(&mut wire.readable) {
                self.queue(key);
            }
            if std::mem::take(&mut wire.writable) {
                self.shard.flush(key, true, &mut |slices| wire.write(slices, rng));
            }
        }
        self.receive(wires, rng);
        for wire in std::mem::take(&mut self.arrivals) {
            let key = self.shard.open(wire as u64 + 1, "127.0.0.1:1".parse().expect("an address"), false);
            self.register(key, wire, wires);
        }
        self.shard.run_timers();
        let mut resumed = Vec::new();
        self.shard.take_resumed(&mut resumed);
        resumed.into_iter().for_each(|key| self.queue(key));
    }

    fn register(&mut self, key: Key, wire: usize, wires: &mut [Wire]) {
        self.sockets.insert(key.index, (key, wire));
        // What came before the socket was registered is an edge, too.
        wires[wire].readable = true;
    }

    fn fill(&mut self, key: Key, others: VecDeque<Key>, wires: &mut [Wire]) -> Phase {
        let Some(&(_, wire)) = self.sockets.get(&key.index).filter(|(found, _)| *found == key) else {
            return Phase::Serve(others);
        };
        match self.shard.fill(key, &mut |buffer| wires[wire].read(buffer)) {
            Filled::Paused => Phase::Serve(others),
            filled => {
                // The poll reports the end of a stream again and again until it was seen; here the first report does.
                let again = filled == Filled::More || (wires[wire].has_ended() && !self.shard.at_end(key));
                Phase::Act { key, again, others }
            }
        }
    }

    fn receive(&mut self, wires: &mut [Wire], rng: &mut fastrand::Rng) {
        if !self.endpoint.may_have_mail() {
            return;
        }
        for _ in 0..=self.endpoint.backlog() {
            let Some(incoming) = self.endpoint.receive() else { break };
            match incoming.payload {
                Freight::Mail(mail) => self.shard.receive(incoming.from, mail),
                Freight::Route(wire, start) => {
                    let key = self.shard.open_route(*start);
                    self.register(key, wire, wires);
                }
            }
            while self.shard.is_receiving() {
                self.send();
                self.write(wires, rng);
                self.shard.go_on();
            }
            if incoming.bytes > 0 {
                self.endpoint.settle(incoming.from, incoming.bytes);
            }
            if self.shard.wants_flush() {
                self.send();
                self.write(wires, rng);
            }
        }
        let mut targets = Vec::new();
        self.endpoint.credit_returned(&mut targets);
        targets.into_iter().for_each(|target| self.shard.credit_returned(target));
    }

    fn send(&mut self) {
        let mut batch = Vec::new();
        self.shard.outbox().drain(|target, bytes, mail| {
            batch.push(Outgoing { target, bytes, payload: Freight::Mail(mail) });
        });
        let fed: Vec<usize> = batch.iter().filter(|parcel| parcel.bytes > 0).map(|parcel| parcel.target).collect();
        self.endpoint.send_turn(&mut batch);
        for target in fed {
            if self.endpoint.exhausted(target) && self.endpoint.wait_for_credit(target) {
                self.shard.outbox().set_exhausted(target, true);
            }
        }
    }

    fn write(&mut self, wires: &mut [Wire], rng: &mut fastrand::Rng) {
        let mut keys = Vec::new();
        self.shard.take_dirty(&mut keys);
        for key in keys.drain(..) {
            if let Some(&(_, wire)) = self.sockets.get(&key.index).filter(|(found, _)| *found == key) {
                self.shard.flush(key, false, &mut |slices| wires[wire].write(slices, rng));
            }
        }
        self.shard.end_turn();
        self.shard.take_closed(&mut keys);
        for key in keys {
            if let Some((_, wire)) = self.sockets.remove(&key.index) {
                wires[wire].closed = true;
                self.shard.remove(key);
            }
        }
    }
}
