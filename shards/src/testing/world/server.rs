//! One server of a cluster: its shards, and what the service thread does for its mesh.

use std::collections::BTreeMap;
use std::io::IoSlice;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::connection::CloseReason;
use crate::lane::{Endpoint, Outgoing};
use crate::mesh::{DialError, Effect, Mesh, RouteStart};
use crate::shard::mail::{Control, Mail};
use crate::testing::{Freight, NoBell, Site, Wire, shards};

/// A connection that is no route yet.
struct Handshake {
    wire: usize,
    /// What its socket did not take.
    out: Vec<u8>,
    /// The mesh has done with it; it goes when all is written.
    closing: bool,
}

/// See the module. A connection's number is that of its wire, plus one.
pub(crate) struct Server {
    pub sites: Vec<Site>,
    pub wires: Vec<Wire>,
    pub mesh: Mesh,
    /// Its `server_id`.
    pub id: String,
    /// Connections that it wants: number of the attempt, and port.
    pub dials: Vec<(u64, u16)>,
    service: Endpoint<Freight, NoBell>,
    handshakes: BTreeMap<u64, Handshake>,
    batch: Vec<Outgoing<Freight>>,
}

impl Server {
    /// A server that has begun to dial.
    pub fn new(config: &Arc<Config>, lanes: bool, credit: u64, now: u64, rng: &mut fastrand::Rng) -> Self {
        let (sites, service) = shards(config, credit, rng);
        let mut mesh = Mesh::new(Arc::clone(config), rng.u64(..));
        if !lanes {
            mesh.offer_no_lanes();
        }
        mesh.start(now);
        let (wires, dials, batch) = (Vec::new(), Vec::new(), Vec::new());
        let id = config.identity.server_id.clone();
        let mut server = Server { sites, wires, mesh, id, dials, service, handshakes: BTreeMap::new(), batch };
        server.act(now, rng);
        server
    }

    /// Another socket; its number.
    pub fn add_wire(&mut self) -> usize {
        self.wires.push(Wire::new());
        self.wires.len() - 1
    }

    /// A connection of another server.
    pub fn accept(&mut self, wire: usize, peer: SocketAddr, now: u64, rng: &mut fastrand::Rng) {
        let rid = self.shake_hands(wire);
        self.mesh.accepted(now, rid, peer);
        self.act(now, rng);
    }

    /// What came of dialling: a wire and its far end, or why not.
    pub fn dialed(
        &mut self,
        attempt: u64,
        outcome: Result<(usize, SocketAddr), DialError>,
        now: u64,
        rng: &mut fastrand::Rng,
    ) {
        let outcome = outcome.map(|(wire, address)| (self.shake_hands(wire), address));
        self.mesh.dialed(now, attempt, outcome);
        self.act(now, rng);
    }

    fn shake_hands(&mut self, wire: usize) -> u64 {
        let rid = wire as u64 + 1;
        self.handshakes.insert(rid, Handshake { wire, out: Vec::new(), closing: false });
        rid
    }

    /// A turn of the service thread.
    pub fn serve(&mut self, now: u64, rng: &mut fastrand::Rng) {
        while let Some(incoming) = self.service.receive() {
            self.service.settle(incoming.from, incoming.bytes);
            if let Freight::Mail(Mail::Control(control)) = incoming.payload {
                self.mesh.report(now, incoming.from as u16, control);
                self.act(now, rng);
            }
        }
        if self.mesh.next_timer().is_some_and(|at| at <= now) {
            self.mesh.run_timers(now);
            self.act(now, rng);
        }
        let rids: Vec<u64> = self.handshakes.keys().copied().collect();
        for rid in rids {
            self.read(rid, now, rng);
        }
    }

    fn read(&mut self, rid: u64, now: u64, rng: &mut fastrand::Rng) {
        let mut buffer = [0; 4096];
        while let Some(handshake) = self.handshakes.get(&rid) {
            let wire = &mut self.wires[handshake.wire];
            if std::mem::take(&mut wire.writable) {
                self.write(rid, rng);
                continue;
            }
            if !wire.readable {
                return;
            }
            match wire.read(&mut buffer) {
                Ok(0) => return self.ended(rid, now, rng),
                Ok(count) if !handshake.closing => {
                    self.mesh.received(now, rid, &buffer[..count]);
                    self.act(now, rng);
                }
                Ok(_) => {}
                Err(_) => wire.readable = false,
            }
        }
    }

    fn ended(&mut self, rid: u64, now: u64, rng: &mut fastrand::Rng) {
        let Some(handshake) = self.handshakes.remove(&rid) else { return };
        self.wires[handshake.wire].closed = true;
        if !handshake.closing {
            self.mesh.ended(now, rid, CloseReason::ClientClosed);
            self.act(now, rng);
        }
    }

    /// Does what the mesh wants, and what it wants because of that.
    fn act(&mut self, now: u64, rng: &mut fastrand::Rng) {
        loop {
            let mut effects = Vec::new();
            self.mesh.take_effects(&mut effects);
            if effects.is_empty() {
                return;
            }
            for effect in effects {
                if !matches!(effect, Effect::Establish { .. } | Effect::Tell { .. }) {
                    self.service.send_turn(&mut self.batch);
                }
                match effect {
                    Effect::Dial { attempt, port, .. } => self.dials.push((attempt, port)),
                    Effect::Send { rid, bytes } => {
                        if let Some(handshake) = self.handshakes.get_mut(&rid) {
                            handshake.out.extend_from_slice(&bytes);
                            self.write(rid, rng);
                        }
                    }
                    Effect::Close { rid } => {
                        if let Some(handshake) = self.handshakes.get_mut(&rid) {
                            handshake.closing = true;
                            self.write(rid, rng);
                        }
                    }
                    Effect::Establish { shard, start } => self.establish(shard, start, now),
                    Effect::Tell { shard, control } => self.tell(shard, Freight::Mail(Mail::Control(control))),
                }
            }
            self.service.send_turn(&mut self.batch);
        }
    }

    fn tell(&mut self, shard: u16, payload: Freight) {
        self.batch.push(Outgoing { target: usize::from(shard), bytes: 0, payload });
    }

    fn write(&mut self, rid: u64, rng: &mut fastrand::Rng) {
        let Some(handshake) = self.handshakes.get_mut(&rid) else { return };
        let wire = &mut self.wires[handshake.wire];
        while !handshake.out.is_empty() {
            match wire.write(&[IoSlice::new(&handshake.out)], rng) {
                Ok(count) => drop(handshake.out.drain(..count)),
                Err(_) => return,
            }
        }
        if handshake.closing {
            wire.closed = true;
            self.handshakes.remove(&rid);
        }
    }

    /// A connection becomes a route, and its socket a shard's.
    fn establish(&mut self, shard: u16, mut start: Box<RouteStart>, now: u64) {
        let rid = start.rid;
        match self.handshakes.remove(&rid) {
            Some(mut handshake) => {
                handshake.out.append(&mut start.output);
                start.output = handshake.out;
                self.tell(shard, Freight::Route(handshake.wire, start));
            }
            None => {
                let reason = CloseReason::ReadError;
                self.mesh.report(now, shard, Control::RouteClosed { rid, reason });
                self.mesh.report(now, shard, Control::RouteForgotten { rid });
            }
        }
    }

    /// Is there nothing to do without a timer or somebody else?
    pub fn is_quiet(&mut self, now: u64) -> bool {
        self.busy(now).is_empty()
    }

    /// Who has something to do.
    pub fn busy(&mut self, now: u64) -> Vec<&'static str> {
        let Server { sites, wires, service, handshakes, .. } = self;
        let edge = |wire: &Wire| wire.readable || wire.writable;
        let parts = [
            ("service", service.may_have_mail()),
            ("mesh", self.mesh.next_timer().is_some_and(|at| at <= now)),
            ("handshakes", handshakes.values().any(|handshake| edge(&wires[handshake.wire]))),
            ("wires", wires.iter().any(|wire| !wire.is_quiet(false))),
            ("shards", sites.iter_mut().any(|site| !site.is_asleep(wires, now))),
        ];
        parts.into_iter().filter(|(_, is_busy)| *is_busy).map(|(part, _)| part).collect()
    }

    /// When something is due here.
    pub fn next_timer(&self) -> Option<u64> {
        self.sites.iter().filter_map(|site| site.shard.next_timer()).chain(self.mesh.next_timer()).min()
    }
}
