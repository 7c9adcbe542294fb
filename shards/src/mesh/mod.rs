//! The cluster, as one server sees it: whom it connects to, who connects to it, and what they tell each other about third ones.
//!
//! A state machine without sockets and clock. Its host (the service thread) hands it what happens to connections that are not yet routes,
//! and what shards report of those that are; it answers with [`Effect`]s. A connection belongs to the mesh while it shakes hands; once it
//! is registered as a route of a remote server, its socket goes to a shard together with a [`RouteStart`].

mod admission;
mod compare;
mod dialing;
mod gossip;
mod greeting;
mod handshake;
mod lanes;
mod name;
mod numbers;
mod own;
mod registration;
mod remotes;
#[cfg(test)]
mod tests;
mod urls;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Cluster, Config};
use crate::connection::{CloseReason, Codec};
use crate::protocol::s2::Compression;
use crate::shard::mail::Control;
use compare::Comparing;
use dialing::{Dialing, Errand, Occasion, Purpose, Way};
use greeting::Then;
use handshake::{Handshake, Stage};
use lanes::LaneSet;
use name::ClusterName;
use numbers::PeerNumbers;
use remotes::Remote;
use urls::ConnectUrls;

/// Most servers that can be remotes of one server at a time.
pub const MAX_PEERS: usize = 256;

/// Before a configured server is dialled again, in milliseconds.
const RECONNECT_PAUSE: u64 = 1000;

/// How long, in milliseconds, a server whose cluster's name may give way waits for the INFO before it says CONNECT. Nearly
/// all say INFO at once, but one that waits for the CONNECT is no less right.
const CONNECT_PAUSE: u64 = 250;
/// Added at random to pauses, in milliseconds, so that two servers do not go on meeting half-way.
const JITTER: u64 = 100;

/// Another server, as its INFO described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteServer {
    /// `server_id`
    pub id: String,
    /// `server_name`
    pub name: String,
    /// May be sent messages with headers.
    pub headers: bool,
    /// Knows of compression, used or not.
    pub compresses: bool,
}

/// What a route is good for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteKind {
    /// One connection of a pool, or the only one to a server that knows no pools.
    Pool {
        /// Its place; 0 without pools.
        index: u32,
        /// This server's interest and messages for the remote go this way.
        carries: bool,
    },
    /// For one account alone, whose name is left out of every line.
    Dedicated {
        /// That account.
        account: Arc<str>,
        /// It is an account of this server's clients, so its interest and messages go this way.
        carries: bool,
    },
    /// One of the lanes between two servers of this kind.
    Lane {
        /// Its number, and the shard it is on.
        lane: u16,
        /// How many there are; a shard beyond uses lane `shard % lanes`.
        lanes: u16,
    },
}

/// A registered route on its way to the shard that will have its socket.
#[derive(Debug)]
pub struct RouteStart {
    /// Its number in logs and monitoring.
    pub rid: u64,
    /// Far end: as dialled, or as accepted.
    pub address: SocketAddr,
    /// The server there.
    pub remote: Arc<RemoteServer>,
    /// That server's number in directory and plans, below [`MAX_PEERS`].
    pub peer: u16,
    /// What it is good for.
    pub kind: RouteKind,
    /// This server dialled (or would have).
    pub solicited: bool,
    /// Its address is configured.
    pub explicit: bool,
    /// When the connection was made (µs of the server's clock).
    pub opened: u64,
    /// `INFO.import` and `export` of the remote as JSON objects, for monitoring.
    pub remote_permissions: Option<Arc<str>>,
    /// What compresses the connection, if that was agreed on; it may hold bytes that were read already.
    pub codec: Option<Box<Codec>>,
    /// It wants `+OK` for interest and messages.
    pub verbose: bool,
    /// What it sent behind its INFO, decompressed; the shard begins with this.
    pub input: Vec<u8>,
    /// What must leave before anything else.
    pub output: Vec<u8>,
    /// Ask with a PING, and report its PONG: only then the next connection of a pool is dialled.
    pub report_pong: bool,
}

/// Which way a shard's interest and messages for a remote go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerPath {
    /// The shard that has the route's socket.
    pub shard: u16,
    /// The route.
    pub rid: u64,
    /// It is a lane to a server of this kind.
    pub is_lane: bool,
}

/// What the mesh wants to happen, in this order. Consecutive ones for shards become visible to them together.
#[derive(Debug)]
pub enum Effect {
    /// Resolve and connect, within a second; the answer names the attempt.
    Dial {
        /// Number of the attempt.
        attempt: u64,
        /// Host name or address.
        host: String,
        /// Port.
        port: u16,
    },
    /// Bytes for a connection that is not a route yet.
    Send {
        /// The connection.
        rid: u64,
        /// As they go on the wire.
        bytes: Vec<u8>,
    },
    /// Close a connection that is not a route yet, once what was sent has left.
    Close {
        /// The connection.
        rid: u64,
    },
    /// A connection has become a route: its socket goes to a shard.
    Establish {
        /// That shard.
        shard: u16,
        /// All about it.
        start: Box<RouteStart>,
    },
    /// Something for a shard.
    Tell {
        /// That shard.
        shard: u16,
        /// What.
        control: Control,
    },
}

/// The beginning of a route's log lines: `127.0.0.1:4711 - rid:5`.
#[derive(Clone, Copy, Debug)]
pub struct RouteLabel {
    /// Far end.
    pub address: SocketAddr,
    /// Number of the route.
    pub rid: u64,
}

impl fmt::Display for RouteLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} - rid:{}", self.address, self.rid)
    }
}

/// What the log says last of a connection, with the name of the other server where one is known.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Farewell<'a> {
    /// Why it is closed.
    pub reason: CloseReason,
    /// `server_name`; empty: unknown, or it has none.
    pub name: &'a str,
}

impl fmt::Display for Farewell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Router connection closed: {}", self.reason)?;
        if self.name.is_empty() { Ok(()) } else { write!(f, " - Remote: {}", self.name) }
    }
}

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// The name leads to this server alone.
    #[error("no address but this server's own")]
    SelfOnly,
    /// What went wrong, in Go's words: `dial tcp 127.0.0.1:5: connect: connection refused`.
    #[error("{0}")]
    Failed(String),
}

/// What monitoring wants to know of the mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeshStatus {
    /// Name of the cluster, which may have changed.
    pub cluster: String,
    /// Other servers that there are routes to.
    pub remotes: usize,
    /// What INFO tells clients; `None`: nothing.
    pub connect_urls: Option<Arc<[String]>>,
}

/// A route that a shard has.
#[derive(Debug)]
struct Route {
    /// `server_id` of the remote.
    server: String,
    address: SocketAddr,
    shard: u16,
    /// The way to the remote that all shards were told of.
    carries: bool,
}

/// See the module. All times are milliseconds of one clock.
pub struct Mesh {
    config: Arc<Config>,
    cluster: Cluster,
    shards: u16,
    /// Lanes that are offered; 0: none.
    lanes: u16,
    /// Random name of this start.
    instance: String,
    random: fastrand::Rng,
    compression: Compression,
    name: ClusterName,
    urls: ConnectUrls,
    dialing: Dialing,
    comparing: Comparing,
    /// By `rid`.
    handshakes: BTreeMap<u64, Handshake>,
    /// Lanes that are not all there yet, by `server_id`.
    sets: BTreeMap<String, LaneSet>,
    /// By `server_id`.
    remotes: BTreeMap<String, Remote>,
    /// By `rid`.
    routes: BTreeMap<u64, Route>,
    numbers: PeerNumbers,
    effects: Vec<Effect>,
    is_ending: bool,
}

impl Mesh {
    /// A server without routes.
    ///
    /// # Panics
    /// If the configuration has no cluster.
    pub fn new(config: Arc<Config>, seed: u64) -> Mesh {
        let cluster = config.cluster.clone().expect("a mesh is for a server with a cluster");
        let shards = u16::try_from(config.shards.count).unwrap_or(u16::MAX).max(1);
        let mut mesh = Mesh {
            shards,
            lanes: shards,
            instance: String::new(),
            random: fastrand::Rng::with_seed(seed),
            compression: cluster.compression.parse().unwrap_or_default(),
            name: ClusterName::new(&cluster.name, cluster.name_is_dynamic),
            urls: ConnectUrls::new(cluster.client_urls.clone(), cluster.no_advertise),
            dialing: Dialing::default(),
            comparing: Comparing::default(),
            handshakes: BTreeMap::new(),
            sets: BTreeMap::new(),
            remotes: BTreeMap::new(),
            routes: BTreeMap::new(),
            numbers: PeerNumbers::default(),
            effects: Vec::new(),
            is_ending: false,
            cluster,
            config,
        };
        mesh.instance = mesh.random_name();
        mesh
    }

    /// Has every connection that there should be to each remote?
    #[cfg(test)]
    pub(crate) fn is_complete(&self) -> bool {
        self.remotes.values().all(|remote| remote.links.free_slot().is_none())
    }

    /// As if this were another kind of server.
    #[cfg(test)]
    pub(crate) fn offer_no_lanes(&mut self) {
        self.lanes = 0;
    }

    /// Sets out to all configured routes.
    pub fn start(&mut self, now: u64) {
        for index in 0..self.cluster.routes.len() {
            self.set_out(Errand::new(Way::configured(index), Purpose::Any), Occasion::First, now);
        }
        self.run_timers(now);
    }

    /// Another server has connected.
    pub fn accepted(&mut self, now: u64, rid: u64, peer: SocketAddr) {
        let patience = match &self.cluster.authorization {
            Some(_) => u64::try_from(self.cluster.auth_timeout.as_millis()).unwrap_or(u64::MAX),
            None => self.longest_silence(),
        };
        self.welcome(Handshake::new(rid, peer, now, now.saturating_add(patience), None));
        if self.greets_first() {
            self.send_info(rid, &self.own_info());
        }
    }

    /// What came of an [`Effect::Dial`]: the number of the connection, and its far end.
    pub fn dialed(&mut self, now: u64, attempt: u64, outcome: Result<(u64, SocketAddr), DialError>) {
        match (self.dialing.answered(attempt), outcome) {
            (Some(task), Ok((rid, address))) => {
                let deadline = now + self.longest_silence();
                let mut handshake = Handshake::new(rid, address, now, deadline, Some(task.errand));
                handshake.connect_due = Some(now + CONNECT_PAUSE);
                self.welcome(handshake);
                // A name that may give way had better do so before it is told.
                if !self.name.is_dynamic {
                    self.say_connect(rid);
                }
            }
            (None, Ok((rid, _))) => self.effects.push(Effect::Close { rid }),
            (Some(task), Err(DialError::Failed(error))) => match task.errand.purpose.clone() {
                Purpose::Lane { server, .. } => {
                    log::error!("Error trying to connect to route (attempt 1): {error}");
                    self.abandon_lanes(now, &server, CloseReason::RouteRemoved, Then::Retry);
                }
                _ => {
                    if let Some(errand) = self.dialing.failed(now, task, &error, &self.cluster) {
                        self.given_up(now, errand);
                    }
                }
            },
            (_, Err(_)) => {}
        }
    }

    /// An errand is hopeless. As long as the server has other connections, the one that is missing is still wanted.
    fn given_up(&mut self, now: u64, errand: Errand) {
        let is_way = |remote: &Remote| remote.ways.iter().any(|way| way.to == errand.way.to);
        if self.remotes.values().any(is_way) {
            self.set_out(errand, Occasion::Again, now + RECONNECT_PAUSE);
        }
    }

    fn welcome(&mut self, handshake: Handshake) {
        if self.is_ending {
            return self.effects.push(Effect::Close { rid: handshake.rid });
        }
        log::info!("{} - Route connection created", handshake.label());
        self.handshakes.insert(handshake.rid, handshake);
    }

    /// Bytes from a connection that is not yet a route.
    pub fn received(&mut self, now: u64, rid: u64, bytes: &[u8]) {
        if let Some(handshake) = self.handshakes.get_mut(&rid) {
            handshake.push(bytes);
            self.proceed(now, rid);
        }
    }

    /// A connection that is not yet a route is closed.
    pub fn ended(&mut self, now: u64, rid: u64, reason: CloseReason) {
        if let Some(handshake) = self.handshakes.remove(&rid) {
            self.after_handshake(now, handshake, reason, Then::Retry);
        }
    }

    /// What a shard reports of a route that it has.
    pub fn report(&mut self, now: u64, _shard: u16, control: Control) {
        match control {
            Control::RouteConnect { rid, json } => self.later_connect(now, rid, &json),
            Control::RouteInfo { rid, json } => self.later_info(now, rid, &json),
            Control::RoutePong { rid } => self.pool_confirmed(now, rid),
            Control::RouteClosed { rid, reason } => self.route_closed(now, rid, reason),
            Control::RouteForgotten { rid } => self.numbers.forget(rid),
            _ => {}
        }
    }

    /// Does what is due.
    pub fn run_timers(&mut self, now: u64) {
        self.dialing.run_timers(now, &self.cluster, &mut self.effects);
        self.compare(now);
        let late = |deadline: u64| deadline <= now;
        let sets: Vec<String> =
            self.sets.iter().filter(|(_, set)| late(set.deadline)).map(|(id, _)| id.clone()).collect();
        for id in sets {
            self.abandon_lanes(now, &id, CloseReason::StaleConnection, Then::Retry);
        }
        let handshakes: Vec<u64> = self
            .handshakes
            .values()
            .filter(|handshake| late(handshake.deadline))
            .map(|handshake| handshake.rid)
            .collect();
        for rid in handshakes {
            self.expired(now, rid);
        }
        let is_due = |handshake: &&Handshake| handshake.connect_due.is_some_and(|due| due <= now);
        let due: Vec<u64> = self.handshakes.values().filter(is_due).map(|handshake| handshake.rid).collect();
        for rid in due {
            self.say_connect(rid);
        }
    }

    fn expired(&mut self, now: u64, rid: u64) {
        let Some(handshake) = self.handshakes.get(&rid) else { return };
        if handshake.stage == Stage::Connect && self.cluster.authorization.is_some() {
            log::debug!("{} - Authentication Timeout", handshake.label());
            self.refuse(now, rid, "Authentication Timeout", CloseReason::AuthenticationTimeout);
        } else {
            log::debug!("{} - Stale Client Connection - Closing", handshake.label());
            self.refuse(now, rid, "Stale Connection", CloseReason::StaleConnection);
        }
    }

    /// When [`Mesh::run_timers`] has something to do.
    pub fn next_timer(&self) -> Option<u64> {
        let handshakes =
            self.handshakes.values().flat_map(|handshake| [Some(handshake.deadline), handshake.connect_due]).flatten();
        let sets = self.sets.values().map(|set| set.deadline);
        handshakes.chain(sets).chain(self.dialing.next_timer()).chain(self.comparing.next_timer()).min()
    }

    /// Appends what is to be done.
    pub fn take_effects(&mut self, out: &mut Vec<Effect>) {
        out.append(&mut self.effects);
    }

    /// Dials no more, and gives up what is not yet a route. Shards close the rest themselves.
    pub fn shut_down(&mut self) {
        self.is_ending = true;
        self.dialing = Dialing::default();
        self.sets.clear();
        let rids: Vec<u64> = self.handshakes.keys().copied().collect();
        for rid in rids {
            self.end_handshake(0, rid, None, CloseReason::ServerShutdown, Then::Done);
        }
    }

    /// For monitoring.
    pub fn status(&self) -> MeshStatus {
        let (cluster, connect_urls) = (self.name.name.to_string(), self.urls.told());
        MeshStatus { cluster, remotes: self.remotes.len(), connect_urls }
    }

    fn label(&self, rid: u64) -> String {
        self.handshakes.get(&rid).map(|handshake| handshake.label().to_string()).unwrap_or_default()
    }

    /// How long a connection may take to become a route when nothing else limits it: as long as a route may be silent.
    fn longest_silence(&self) -> u64 {
        let silence = self.cluster.ping_interval.saturating_mul(self.cluster.ping_max.saturating_add(1));
        u64::try_from(silence.as_millis()).unwrap_or(u64::MAX)
    }

    fn jitter(&mut self) -> u64 {
        self.random.u64(0..JITTER)
    }

    fn random_name(&mut self) -> String {
        std::iter::repeat_with(|| self.random.alphanumeric()).take(16).collect()
    }

    /// What clients are told of the cluster has changed.
    fn tell_clients(&mut self) {
        for shard in 0..self.shards {
            let (name, connect_urls) = (Arc::clone(&self.name.name), self.urls.told());
            self.effects.push(Effect::Tell { shard, control: Control::ClusterChanged { name, connect_urls } });
        }
    }
}
