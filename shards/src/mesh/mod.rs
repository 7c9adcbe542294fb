//! The cluster, as one server sees it: whom it connects to, who connects to it, and what they tell each other about third ones.
//!
//! A state machine without sockets and clock. Its host (the service thread) hands it what happens to connections that are not yet routes,
//! and what shards report of those that are; it answers with [`Effect`]s. A connection belongs to the mesh while it shakes hands; once it
//! is registered as a route of a remote server, its socket goes to a shard together with a [`RouteStart`].

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::connection::Codec;
use crate::shard::mail::Control;

/// Most servers that can be remotes of one server at a time.
pub const MAX_PEERS: usize = 256;

/// Another server, as its INFO described it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteServer {
    /// `server_id`
    pub id: String,
    /// `server_name`
    pub name: String,
    /// May be sent messages with headers.
    pub headers: bool,
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
