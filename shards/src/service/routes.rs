//! The host of the mesh: its sockets, its clock, and its way to the shards.
//!
//! A connection between servers is here as long as it shakes hands. When the mesh has made a route of it, it is handed to a shard, socket
//! and all. Everything that strangers can do to the cluster port happens here, so shards and their clients do not notice: so many
//! connections are accepted in a turn, each is read once in a turn, and of those that never become routes the oldest go.

use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Registry, Token};

use super::dial::{Dialed, Dialer};
use super::{Desk, Lanes};
use crate::config::Config;
use crate::connection::CloseReason;
use crate::driver::{Freight, RouteArrival, Shared};
use crate::lane::Outgoing;
use crate::mesh::{DialError, Effect, Mesh, MeshStatus, RouteStart};
use crate::shard::mail::{Control, Mail};
use crate::sockets::{self, Acceptor};

/// The listener's token; connections have their number.
pub(super) const LISTENER: Token = Token(usize::MAX - 1);
/// Most bytes taken from a connection in one read.
const READ_BYTES: usize = 64 * 1024;
/// Connections accepted in one turn.
const ACCEPTS: usize = 64;
/// Connections that may shake hands at once. One more, and the oldest that was accepted must go.
const HANDSHAKES: usize = 1024;
/// Who does not read its last words is not waited for longer than this.
const FAREWELL_MS: u64 = 1000;

/// A connection that is no route yet.
struct Handshake {
    stream: TcpStream,
    /// The other end dialled.
    accepted: bool,
    /// In the list of those that may be read.
    queued: bool,
    /// What its socket did not take.
    out: Vec<u8>,
    /// The mesh has done with it; it goes when all is written.
    closing: bool,
}

/// See the module.
pub(super) struct Routes {
    mesh: Mesh,
    registry: Registry,
    shared: Arc<Shared>,
    acceptor: Option<Acceptor>,
    dialer: Dialer,
    /// By number, and so by age.
    handshakes: BTreeMap<u64, Handshake>,
    ready: Vec<u64>,
    /// Connections to be closed at a time in any case, the earliest first.
    farewells: VecDeque<(u64, u64)>,
    effects: Vec<Effect>,
    batch: Vec<Outgoing<Freight>>,
    chunk: Vec<u8>,
    now: u64,
}

impl Routes {
    /// A mesh that has not begun to dial.
    pub fn new(
        config: Arc<Config>,
        seed: u64,
        listener: TcpListener,
        registry: Registry,
        shared: Arc<Shared>,
        desk: Desk,
    ) -> std::io::Result<Self> {
        let dialer = Dialer::new(desk, listener.local_addr().ok());
        let acceptor = Acceptor::new(listener, "Route", &registry, LISTENER)?;
        Ok(Routes {
            mesh: Mesh::new(config, seed),
            registry,
            shared,
            acceptor: Some(acceptor),
            dialer,
            handshakes: BTreeMap::new(),
            ready: Vec::new(),
            farewells: VecDeque::new(),
            effects: Vec::new(),
            batch: Vec::new(),
            chunk: vec![0; READ_BYTES],
            now: 0,
        })
    }

    /// The first dials.
    pub fn start(&mut self, now: u64, lanes: &mut Lanes) {
        self.now = now;
        self.mesh.start(now);
        self.act(lanes);
    }

    /// What the poll says of its sockets.
    pub fn begin_turn(&mut self, now: u64, events: &Events) {
        self.now = now;
        for event in events {
            self.on_event(event);
        }
    }

    fn on_event(&mut self, event: &Event) {
        if event.token() == LISTENER {
            if let Some(acceptor) = &mut self.acceptor {
                acceptor.on_event();
            }
            return;
        }
        let rid = event.token().0 as u64;
        let Some(handshake) = self.handshakes.get_mut(&rid) else { return };
        if (event.is_readable() || event.is_read_closed() || event.is_error()) && !handshake.queued {
            handshake.queued = true;
            self.ready.push(rid);
        }
        if event.is_writable() {
            self.write(rid);
        }
    }

    /// Accepts, reads, and lets the mesh act on what is due.
    pub fn turn(&mut self, lanes: &mut Lanes) {
        self.accept(lanes);
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|&rid| self.serve(rid, lanes));
        ready.append(&mut self.ready);
        self.ready = ready;
        while let Some(&(until, rid)) = self.farewells.front()
            && until <= self.now
        {
            self.farewells.pop_front();
            self.drop_socket(rid);
        }
        if self.mesh.next_timer().is_some_and(|at| at <= self.now) {
            self.mesh.run_timers(self.now);
            self.act(lanes);
        }
    }

    /// Is there more to do already?
    pub fn is_busy(&self) -> bool {
        !self.ready.is_empty() || self.acceptor.as_ref().is_some_and(Acceptor::is_ready)
    }

    /// When something is due.
    pub fn next_timer(&self) -> Option<u64> {
        let paused = self.acceptor.as_ref().and_then(Acceptor::paused_until);
        let farewell = self.farewells.front().map(|&(until, _)| until);
        [self.mesh.next_timer(), paused, farewell].into_iter().flatten().min()
    }

    /// What a shard says of its routes.
    pub fn report(&mut self, shard: usize, control: Control, lanes: &mut Lanes) {
        self.mesh.report(self.now, shard as u16, control);
        self.act(lanes);
    }

    /// What came of an attempt.
    pub fn dialed(&mut self, attempt: u64, result: Dialed, lanes: &mut Lanes) {
        self.dialer.on_answer();
        let result = result.and_then(|(stream, address)| {
            let added = stream.set_nonblocking(true).and_then(|()| self.add(TcpStream::from_std(stream), false));
            added.map(|rid| (rid, address)).map_err(|error| DialError::Failed(error.to_string()))
        });
        self.mesh.dialed(self.now, attempt, result);
        self.act(lanes);
    }

    /// How the cluster looks from here.
    pub fn status(&self) -> MeshStatus {
        self.mesh.status()
    }

    /// No more connections; those that shake hands end.
    pub fn shut_down(&mut self, lanes: &mut Lanes) {
        self.acceptor = None;
        self.mesh.shut_down();
        self.act(lanes);
        while let Some((_, handshake)) = self.handshakes.pop_first() {
            sockets::close(handshake.stream);
        }
    }

    fn accept(&mut self, lanes: &mut Lanes) {
        for _ in 0..ACCEPTS {
            let Some(acceptor) = &mut self.acceptor else { return };
            let Some((stream, peer)) = acceptor.accept(self.now) else {
                if acceptor.paused_until().is_some() {
                    // A stranger may have the file descriptor that is missing.
                    self.end_oldest(lanes);
                }
                return;
            };
            if self.handshakes.len() >= HANDSHAKES {
                self.end_oldest(lanes);
            }
            match self.add(stream, true) {
                Ok(rid) => {
                    self.mesh.accepted(self.now, rid, peer);
                    self.act(lanes);
                }
                Err(error) => log::error!("{peer} - a route cannot be polled: {error}"),
            }
        }
    }

    /// Room for another.
    fn end_oldest(&mut self, lanes: &mut Lanes) {
        let oldest = self.handshakes.iter().find(|(_, handshake)| handshake.accepted).map(|(&rid, _)| rid);
        if let Some(rid) = oldest {
            self.ended(rid, CloseReason::MaxConnectionsExceeded, lanes);
        }
    }

    /// A socket that shakes hands from now on; its number.
    fn add(&mut self, mut stream: TcpStream, accepted: bool) -> std::io::Result<u64> {
        sockets::do_not_delay(&stream);
        let rid = self.shared.ids.take();
        self.registry.register(&mut stream, Token(rid as usize), Interest::READABLE | Interest::WRITABLE)?;
        let handshake = Handshake { stream, accepted, queued: false, out: Vec::new(), closing: false };
        self.handshakes.insert(rid, handshake);
        Ok(rid)
    }

    /// Reads once; true if there may be more.
    fn serve(&mut self, rid: u64, lanes: &mut Lanes) -> bool {
        let Some(handshake) = self.handshakes.get_mut(&rid) else { return false };
        let result = handshake.stream.read(&mut self.chunk);
        match result {
            Ok(0) => self.ended(rid, CloseReason::ClientClosed, lanes),
            Ok(read) if !handshake.closing => {
                self.mesh.received(self.now, rid, self.chunk.get(..read).unwrap_or_default());
                self.act(lanes);
            }
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                handshake.queued = false;
                return false;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => self.ended(rid, CloseReason::ReadError, lanes),
        }
        true
    }

    /// A connection is gone that the mesh may still count on.
    fn ended(&mut self, rid: u64, reason: CloseReason, lanes: &mut Lanes) {
        let known = self.handshakes.get(&rid).is_some_and(|handshake| !handshake.closing);
        self.drop_socket(rid);
        if known {
            self.mesh.ended(self.now, rid, reason);
            self.act(lanes);
        }
    }

    fn drop_socket(&mut self, rid: u64) {
        if let Some(handshake) = self.handshakes.remove(&rid) {
            sockets::close(handshake.stream);
            if let Some(acceptor) = &mut self.acceptor {
                acceptor.on_freed();
            }
        }
    }

    /// Does what the mesh wants, and what it wants because of that.
    fn act(&mut self, lanes: &mut Lanes) {
        let mut effects = std::mem::take(&mut self.effects);
        loop {
            self.mesh.take_effects(&mut effects);
            if effects.is_empty() {
                break;
            }
            for effect in effects.drain(..) {
                // Those for shards that follow one another become visible together.
                if !matches!(effect, Effect::Establish { .. } | Effect::Tell { .. }) {
                    lanes.send_turn(&mut self.batch);
                }
                match effect {
                    Effect::Dial { attempt, host, port } => self.dialer.dial(attempt, host, port),
                    Effect::Send { rid, bytes } => {
                        if let Some(handshake) = self.handshakes.get_mut(&rid) {
                            handshake.out.extend_from_slice(&bytes);
                            self.write(rid);
                        }
                    }
                    Effect::Close { rid } => self.close(rid),
                    Effect::Establish { shard, start } => self.establish(shard, start),
                    Effect::Tell { shard, control } => {
                        let payload = Freight::Mail(Mail::Control(control));
                        self.batch.push(Outgoing { target: usize::from(shard), bytes: 0, payload });
                    }
                }
            }
            lanes.send_turn(&mut self.batch);
        }
        self.effects = effects;
    }

    fn write(&mut self, rid: u64) {
        let Some(handshake) = self.handshakes.get_mut(&rid) else { return };
        while !handshake.out.is_empty() {
            match handshake.stream.write(&handshake.out) {
                Ok(written) => drop(handshake.out.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => {
                    // Reading tells how it ended, and what came before.
                    handshake.out.clear();
                    if !std::mem::replace(&mut handshake.queued, true) {
                        self.ready.push(rid);
                    }
                }
            }
        }
        if handshake.closing {
            self.drop_socket(rid);
        }
    }

    /// The mesh has done with a connection.
    fn close(&mut self, rid: u64) {
        if let Some(handshake) = self.handshakes.get_mut(&rid) {
            handshake.closing = true;
            if handshake.out.is_empty() {
                self.drop_socket(rid);
            } else {
                self.farewells.push_back((self.now + FAREWELL_MS, rid));
            }
        }
    }

    /// A connection becomes a route, and its socket a shard's.
    fn establish(&mut self, shard: u16, start: Box<RouteStart>) {
        let rid = start.rid;
        // Who did not take a few lines while shaking hands will take no more as a route.
        let sound = self.handshakes.remove(&rid).filter(|handshake| handshake.out.is_empty());
        let handed_over = sound.and_then(|mut handshake| {
            self.registry.deregister(&mut handshake.stream).ok()?;
            Some(handshake.stream)
        });
        match handed_over {
            Some(stream) => {
                let payload = Freight::Route(RouteArrival { stream, start });
                self.batch.push(Outgoing { target: usize::from(shard), bytes: 0, payload });
            }
            None => {
                self.mesh.report(self.now, shard, Control::RouteClosed { rid, reason: CloseReason::WriteError });
                self.mesh.report(self.now, shard, Control::RouteForgotten { rid });
            }
        }
    }
}
