//! Whole clusters in one thread: servers with their shards and meshes, clients, and a network between the servers that delays, cuts and
//! forgets. A seed decides everything, so what happened with it happens again.
//!
//! * [`Server`] has shards, and what the service thread does around a mesh;
//! * [`Link`] is one connection between two servers, each of which has a [`Wire`] of it;
//! * [`World`] has them all, and lets one of them do one step at a time. Time goes by in between, and at a stroke when nobody has
//!   anything to do.

mod link;
mod server;

use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) use self::link::{End, Link};
pub(crate) use self::server::Server;
use super::{Client, SOON_MS, Wire};
use crate::config::Config;
use crate::mesh::{DialError, MeshStatus};

/// The server on seat 0 listens for routes here, the others on the ports behind.
pub(crate) const FIRST_PORT: u16 = 5000;
/// Attempts to connect over a cut give up after this time.
const DIAL_TIMEOUT: u64 = 1000;

/// A place for a server.
pub(crate) struct Seat {
    /// Who is there.
    pub server: Option<Server>,
    /// Counts those that were.
    pub life: u64,
}

/// A client, and where it is.
pub(crate) struct Guest {
    pub client: Client,
    pub seat: usize,
    life: u64,
    pub wire: usize,
    /// It closed its connection.
    pub has_left: bool,
}

/// A connection that a server wants.
struct Dial {
    at: u64,
    seat: usize,
    life: u64,
    attempt: u64,
    port: u16,
    /// Nobody answered.
    timed_out: bool,
}

/// See the module.
pub(crate) struct World {
    pub seats: Vec<Seat>,
    pub guests: Vec<Guest>,
    pub rng: fastrand::Rng,
    /// Milliseconds.
    pub now: u64,
    /// Counts the steps.
    pub tick: u64,
    /// Longest time that bytes take from server to server.
    pub delay: u64,
    /// Directions in which nothing passes.
    cuts: Vec<(usize, usize)>,
    links: Vec<Link>,
    dials: Vec<Dial>,
    seed: u64,
}

impl World {
    /// So many seats, all empty.
    pub fn new(seed: u64, seats: usize) -> Self {
        World {
            seats: (0..seats).map(|_| Seat { server: None, life: 0 }).collect(),
            guests: Vec::new(),
            rng: fastrand::Rng::with_seed(seed),
            now: 0,
            tick: 0,
            delay: 0,
            cuts: Vec::new(),
            links: Vec::new(),
            dials: Vec::new(),
            seed,
        }
    }

    /// A server takes a seat.
    pub fn start(&mut self, seat: usize, config: Config, lanes: bool, credit: u64) {
        let server = Server::new(&Arc::new(config), lanes, credit, self.now, &mut self.rng);
        let place = &mut self.seats[seat];
        assert!(place.server.is_none(), "two servers on seat {seat}");
        place.server = Some(server);
        place.life += 1;
        self.take_dials(seat);
    }

    /// A server is killed: its connections end, and nobody is told but by them.
    pub fn kill(&mut self, seat: usize) {
        self.seats[seat].server = None;
    }

    /// Seats with servers.
    pub fn occupied(&self) -> impl Iterator<Item = usize> {
        self.seats.iter().enumerate().filter(|(_, seat)| seat.server.is_some()).map(|(number, _)| number)
    }

    fn is_cut(&self, from: usize, to: usize) -> bool {
        self.cuts.contains(&(from, to))
    }

    /// Nothing passes from one seat to another any more, though what is there already arrives.
    pub fn cut(&mut self, from: usize, to: usize) {
        if from != to && !self.is_cut(from, to) {
            self.cuts.push((from, to));
        }
    }

    /// Everything passes again.
    pub fn heal(&mut self) {
        self.cuts.clear();
    }

    /// A connection between servers breaks. What was under way is lost, and if there is a cut, only one of them knows.
    pub fn break_some_link(&mut self) {
        if self.links.is_empty() {
            return;
        }
        let number = self.rng.usize(..self.links.len());
        self.links[number].lose_all();
        let first = self.rng.usize(..2);
        for end in [first, 1 - first] {
            let [from, to] = [self.links[number].ends[1 - end].seat, self.links[number].ends[end].seat];
            if end == first || !self.is_cut(from, to) {
                self.close_end(number, end);
            }
        }
    }

    fn wire(&mut self, end: End) -> Option<&mut Wire> {
        let seat = &mut self.seats[end.seat];
        if seat.life == end.life { seat.server.as_mut().map(|server| &mut server.wires[end.wire]) } else { None }
    }

    fn close_end(&mut self, link: usize, end: usize) {
        let end = self.links[link].ends[end];
        if let Some(wire) = self.wire(end) {
            wire.close();
        }
    }

    /// A client of the server on a seat, on a shard of the seed's choice.
    pub fn connect(&mut self, seat: usize) -> usize {
        let Seat { server, life } = &mut self.seats[seat];
        let server = server.as_mut().expect("a server to connect to");
        let wire = server.add_wire();
        let site = self.rng.usize(..server.sites.len());
        server.sites[site].arrive(wire);
        self.guests.push(Guest { client: Client::default(), seat, life: *life, wire, has_left: false });
        self.guests.len() - 1
    }

    fn guest_wire(&mut self, guest: usize) -> Option<&mut Wire> {
        let Guest { seat, life, wire, .. } = self.guests[guest];
        self.wire(End { seat, life, wire })
    }

    /// Has the client's connection not ended?
    pub fn is_connected(&mut self, guest: usize) -> bool {
        !self.guests[guest].has_left && self.guest_wire(guest).is_some_and(|wire| !wire.closed)
    }

    /// The server that it was connected to is still the same.
    pub fn has_server(&mut self, guest: usize) -> bool {
        self.guest_wire(guest).is_some()
    }

    /// How the cluster looks from each of its servers.
    pub fn meshes(&self) -> Vec<MeshStatus> {
        self.seats.iter().filter_map(|seat| Some(seat.server.as_ref()?.mesh.status())).collect()
    }

    /// The client's bytes set out.
    pub fn send(&mut self, guest: usize, bytes: impl AsRef<[u8]>) {
        self.tick += 1;
        if let Some(wire) = self.guest_wire(guest) {
            wire.send(bytes.as_ref());
        }
    }

    /// The client closes its end, after what it sent.
    pub fn close(&mut self, guest: usize) {
        self.tick += 1;
        self.guests[guest].has_left = true;
        if let Some(wire) = self.guest_wire(guest) {
            wire.close();
        }
    }

    /// One thing happens somewhere.
    pub fn step(&mut self) {
        self.tick += 1;
        match self.rng.u8(..8) {
            0 if !self.links.is_empty() => {
                let link = self.rng.usize(..self.links.len());
                self.pump(link);
            }
            1 => self.arrive_somewhere(),
            2 if !self.guests.is_empty() => {
                let guest = self.rng.usize(..self.guests.len());
                self.guest_reads(guest);
            }
            3 => {
                let seat = self.rng.usize(..self.seats.len());
                self.serve(seat);
            }
            4 => {
                if self.rng.u8(..8) == 0 {
                    self.now += 1;
                }
                self.connect_some();
            }
            _ => {
                let seat = self.rng.usize(..self.seats.len());
                if let Some(server) = &mut self.seats[seat].server {
                    let site = self.rng.usize(..server.sites.len());
                    server.sites[site].step(&mut server.wires, self.now, &mut self.rng);
                }
            }
        }
    }

    /// Everybody does something, so that nobody is forgotten.
    fn sweep(&mut self) {
        self.connect_some();
        for seat in 0..self.seats.len() {
            self.serve(seat);
            let Some(server) = &mut self.seats[seat].server else { continue };
            for site in &mut server.sites {
                site.turn(&mut server.wires, self.now, &mut self.rng);
            }
            server.wires.iter_mut().for_each(|wire| wire.arrive(&mut self.rng));
        }
        for guest in 0..self.guests.len() {
            self.guest_reads(guest);
        }
        for link in (0..self.links.len()).rev() {
            self.pump(link);
        }
    }

    fn arrive_somewhere(&mut self) {
        let seat = self.rng.usize(..self.seats.len());
        let Some(server) = &mut self.seats[seat].server else { return };
        if !server.wires.is_empty() {
            let wire = self.rng.usize(..server.wires.len());
            server.wires[wire].arrive(&mut self.rng);
        }
    }

    fn guest_reads(&mut self, guest: usize) {
        let Guest { seat, life, wire, .. } = self.guests[guest];
        let place = &mut self.seats[seat];
        if let Some(server) = place.server.as_mut().filter(|_| place.life == life) {
            let bytes = server.wires[wire].take(&mut self.rng);
            self.guests[guest].client.read(&bytes, self.tick);
        }
    }

    fn serve(&mut self, seat: usize) {
        if let Some(server) = &mut self.seats[seat].server {
            server.serve(self.now, &mut self.rng);
            self.take_dials(seat);
        }
    }

    fn travel_time(&mut self) -> u64 {
        self.rng.u64(0..=self.delay)
    }

    fn take_dials(&mut self, seat: usize) {
        let Seat { server: Some(server), life } = &mut self.seats[seat] else { return };
        let life = *life;
        for (attempt, port) in std::mem::take(&mut server.dials) {
            let at = self.now + self.travel_time();
            self.dials.push(Dial { at, seat, life, attempt, port, timed_out: false });
        }
    }

    /// Attempts whose time has come succeed, or not.
    fn connect_some(&mut self) {
        while let Some(index) = self.dials.iter().position(|dial| dial.at <= self.now) {
            let dial = self.dials.remove(index);
            let target = usize::from(dial.port.saturating_sub(FIRST_PORT));
            if self.seats[dial.seat].life != dial.life || self.seats[dial.seat].server.is_none() {
                continue;
            }
            if !dial.timed_out && (self.is_cut(dial.seat, target) || self.is_cut(target, dial.seat)) {
                self.dials.push(Dial { at: self.now + DIAL_TIMEOUT, timed_out: true, ..dial });
                continue;
            }
            self.connect_servers(&dial, target);
        }
    }

    fn connect_servers(&mut self, dial: &Dial, target: usize) {
        let answers = !dial.timed_out && self.seats.get(target).is_some_and(|seat| seat.server.is_some());
        let (now, rng) = (self.now, &mut self.rng);
        if !answers {
            let why = if dial.timed_out { "i/o timeout" } else { "connect: connection refused" };
            let error = DialError::Failed(format!("dial tcp 127.0.0.1:{}: {why}", dial.port));
            if let Some(server) = &mut self.seats[dial.seat].server {
                server.dialed(dial.attempt, Err(error), now, rng);
            }
            self.take_dials(dial.seat);
            return;
        }
        let mut ends = [dial.seat, target].into_iter().map(|seat| {
            let Seat { server, life } = &mut self.seats[seat];
            let wire = server.as_mut().map(Server::add_wire).unwrap_or_default();
            End { seat, life: *life, wire }
        });
        let (Some(near), Some(far)) = (ends.next(), ends.next()) else { return };
        drop(ends);
        self.links.push(Link::new([near, far]));
        if let Some(server) = &mut self.seats[near.seat].server {
            server.dialed(dial.attempt, Ok((near.wire, address(dial.port))), now, rng);
        }
        if let Some(server) = &mut self.seats[far.seat].server {
            // Ports of the dialling side are any.
            server.accept(far.wire, address(40_000 + near.wire as u16), now, rng);
        }
        self.take_dials(near.seat);
        self.take_dials(far.seat);
    }

    /// Moves what it can between the two ends of a connection.
    fn pump(&mut self, number: usize) {
        for from in 0..2 {
            self.depart(number, from);
            self.arrive(number, from);
        }
        if self.links[number].is_over() {
            self.links.swap_remove(number);
        }
    }

    fn depart(&mut self, number: usize, from: usize) {
        let at = self.now + self.travel_time();
        let link = &mut self.links[number];
        let End { seat, life, wire } = link.ends[from];
        let place = &mut self.seats[seat];
        let Some(server) = place.server.as_mut().filter(|_| place.life == life) else { return link.end(from, at) };
        let wire = &mut server.wires[wire];
        if link.has_room(from) {
            let bytes = wire.take(&mut self.rng);
            if !bytes.is_empty() {
                link.send(from, at, bytes);
            }
        }
        if wire.closed && !wire.has_output() {
            link.end(from, at);
        }
    }

    fn arrive(&mut self, number: usize, from: usize) {
        let [sender, receiver] = [self.links[number].ends[from], self.links[number].ends[1 - from]];
        if self.is_cut(sender.seat, receiver.seat) {
            return;
        }
        let is_heard = !self.is_cut(receiver.seat, sender.seat);
        while let Some(piece) = self.links[number].arrive(from, self.now) {
            let target = self.wire(receiver).filter(|wire| !wire.closed);
            match (target, piece) {
                (Some(wire), Some(bytes)) => wire.send(&bytes),
                (Some(wire), None) => wire.close(),
                // Nobody is there to take it, and the sender hears of that, if it can.
                (None, Some(_)) if is_heard => self.close_end(number, from),
                (None, _) => {}
            }
        }
    }

    fn is_quiet(&mut self) -> bool {
        let now = self.now;
        (0..self.links.len()).all(|number| self.link_is_quiet(number))
            && (0..self.guests.len()).all(|guest| self.guest_is_quiet(guest))
            && self.seats.iter_mut().filter_map(|seat| seat.server.as_mut()).all(|server| server.is_quiet(now))
            && self.dials.iter().all(|dial| dial.at > now)
    }

    fn guest_is_quiet(&mut self, guest: usize) -> bool {
        self.guest_wire(guest).is_none_or(|wire| !wire.has_output())
    }

    /// Who is not quiet, for whom it may concern.
    fn busy(&mut self) -> String {
        let now = self.now;
        let links: Vec<usize> = (0..self.links.len()).filter(|&link| !self.link_is_quiet(link)).collect();
        let guests: Vec<usize> = (0..self.guests.len()).filter(|&guest| !self.guest_is_quiet(guest)).collect();
        let seats = self.seats.iter_mut().map(|seat| seat.server.as_mut().map(|server| server.busy(now)));
        format!("links {links:?}, guests {guests:?}, servers {:?}", seats.collect::<Vec<_>>())
    }

    fn link_is_quiet(&mut self, number: usize) -> bool {
        (0..2).all(|from| {
            let link = &self.links[number];
            let [sender, receiver] = [link.ends[from], link.ends[1 - from]];
            let (has_room, has_ended) = (link.has_room(from), link.has_ended(from));
            let is_due = link.next_arrival(from).is_some_and(|at| at <= self.now);
            if is_due && !self.is_cut(sender.seat, receiver.seat) {
                return false;
            }
            match self.wire(sender) {
                Some(wire) if wire.has_output() => !has_room,
                Some(wire) => !wire.closed || has_ended,
                None => has_ended,
            }
        })
    }

    /// When something arrives at some server that is on its way already.
    fn next_arrival(&self) -> Option<u64> {
        let arrivals = self.links.iter().flat_map(|link| (0..2).map(move |from| (link, from)));
        let open = arrivals.filter(|(link, from)| !self.is_cut(link.ends[*from].seat, link.ends[1 - from].seat));
        open.filter_map(|(link, from)| link.next_arrival(from)).chain(self.dials.iter().map(|dial| dial.at)).min()
    }

    fn next_timer(&self) -> Option<u64> {
        self.seats.iter().filter_map(|seat| seat.server.as_ref()?.next_timer()).min()
    }

    /// Lets things happen until nothing does any more that does not wait for longer than a moment.
    pub fn settle(&mut self) {
        self.run(None);
    }

    /// Lets so much time go by, and all happen that happens meanwhile.
    pub fn run_for(&mut self, milliseconds: u64) {
        self.run(Some(self.now + milliseconds));
    }

    fn run(&mut self, end: Option<u64>) {
        for round in 0u64.. {
            assert!(round < 20_000, "never quiet: {self:?}; busy: {:?}", self.busy());
            for _ in 0..self.seats.len() * 16 {
                self.step();
            }
            self.sweep();
            if end.is_some_and(|end| end <= self.now) {
                return;
            }
            if !self.is_quiet() {
                continue;
            }
            let timer = self.next_timer().filter(|at| end.is_some() || *at <= self.now + SOON_MS);
            match (self.next_arrival().into_iter().chain(timer).min(), end) {
                (Some(at), Some(end)) => self.now = self.now.max(at).min(end),
                (None, Some(end)) => self.now = end,
                (Some(at), None) => self.now = self.now.max(at),
                (None, None) => return,
            }
        }
    }
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (seed, tick, now) = (self.seed, self.tick, self.now);
        write!(f, "seed {seed}, step {tick}, {now} ms, seats {:?}", self.occupied().collect::<Vec<_>>())
    }
}
