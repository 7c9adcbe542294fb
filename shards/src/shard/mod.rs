//! The core of one shard: events in, effects out; no sockets, no clock, no threads.
//!
//! The driver calls, in a turn: [`Shard::begin_turn`], then [`Shard::receive`] for mail of other shards, [`Shard::fill`] and [`Shard::act`]
//! for readable connections, [`Shard::run_timers`]; then it sends what [`Shard::outbox`] holds, and only then lets [`Shard::flush`] write
//! what [`Shard::take_dirty`] names. That order is what keeps the flush barrier and causal order: whatever a client is told in a turn, the
//! parcels that were made before it are in their inboxes.
//!
//! * `input`: reading, and acting on what was read.
//! * `operations`, `subscriptions`: what a client's operations do; `session`: its life apart from messages.
//! * `cluster`: what clients are told of the cluster.
//! * `user_info`: the one request that the server itself answers.
//! * `delivery`, `runs`, `groups`: from a message and a plan to frames in out-buffers and entries in parcels.
//! * `routes`: the life of a route to another server; `peers`: the ways to them; `routed`: messages over routes.
//! * `pressure`: pauses and stalls of publishers, and the sockets that cause them.
//! * [`mail`], `outbox`: what shards tell each other.
//! * [`timers`]: pings, deadlines, stalls.
//! * `history`, `survey`: what is counted and remembered for monitoring, and how it is asked for.
//! * `trace`: the protocol in the log, on request.

mod cluster;
mod delivery;
mod groups;
mod history;
mod input;
pub mod mail;
mod operations;
mod outbox;
mod peers;
mod pressure;
mod routed;
mod routes;
mod runs;
mod session;
mod subscriptions;
mod survey;
#[cfg(test)]
mod tests;
pub mod timers;
mod trace;
mod user_info;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;

use slab::Slab;

use self::cluster::ClusterView;
use self::delivery::Receiving;
use self::history::History;
pub use self::input::Filled;
use self::mail::{Control, Deliveries, Lengths, Mail};
pub use self::outbox::{Outbox, Pressure};
use self::peers::Peers;
use self::runs::Run;
use self::subscriptions::Leaving;
pub use self::survey::Survey;
use self::timers::Timers;
use crate::account::AccountId;
use crate::config::{Auth, Config};
use crate::connection::{BufferPool, CloseReason, Closing, Connection, Key, Pause};
use crate::interest::keys::Hasher;
use crate::interest::{Directory, Found, LocalInterest, PlanCache, Sources};
use crate::protocol::frame;

/// Most bytes taken from one socket in one read.
pub const READ_BYTES: usize = 64 * 1024;
/// Larger operations are read into a buffer of their own, which all receivers share.
const LARGE_OPERATION: usize = 32 * 1024;
/// Frames that many connections get alike, gathered in one turn, before the turn should end.
const ARENA_BYTES: usize = 1024 * 1024;
/// Bytes copied into out-buffers in one turn before it should end: a read's worth of messages for ten thousand subscribers is half a gigabyte.
const COPIED_BYTES: usize = 16 * 1024 * 1024;

/// Everything but the plan cache, which is borrowed while a message is delivered.
#[derive(Debug)]
pub(crate) struct Core {
    id: u16,
    config: Arc<Config>,
    connections: Slab<Connection>,
    generation: u32,
    local: LocalInterest,
    directory: Arc<Directory>,
    hasher: Hasher,
    outbox: Outbox,
    pool: BufferPool,
    arena: Vec<u8>,
    run: Option<Run>,
    /// Where the plan of the message before was.
    previous: Found,
    /// The last run's list, for the next one.
    spare_lengths: Vec<Lengths>,
    scratch: Vec<u8>,
    timers: Timers,
    dirty: Vec<Key>,
    closing: Vec<Key>,
    leaving: Vec<Leaving>,
    resumed: Vec<Key>,
    waiting_for_turn: Vec<Key>,
    waiting_for_credit: Vec<(u16, Key)>,
    stalled_by: Vec<(Key, Key)>,
    last_stall_warning: u64,
    receiving: Receiving,
    /// What the publisher whose bytes are acted on must wait for.
    pressure: Option<Pause>,
    /// A connection was paused or closed: whoever acts on input looks whether it may go on.
    disturbed: bool,
    wants_flush: bool,
    /// Bytes copied into out-buffers in this turn, about.
    copied: usize,
    /// Protocol lines are logged.
    tracing: bool,
    /// Ways to other servers.
    peers: Peers,
    /// When it was last said that messages to a route were dropped.
    last_drop_warning: Option<u64>,
    /// Bytes that may wait for a connection before its publishers are slowed down.
    gate: usize,
    /// Until when nobody is told in the log that there are too many subscriptions.
    quiet_until: u64,
    /// Messages of the server itself.
    own_messages: u64,
    now: u64,
    /// The same in microseconds.
    now_micros: u64,
    rng: fastrand::Rng,
    counters: Counters,
    history: History,
    cluster: ClusterView,
    /// Questions of the monitoring, the oldest first.
    surveys: VecDeque<Survey>,
}

/// What a shard counts; slow paths included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters {
    /// Connections closed because they could not keep up.
    pub slow_consumers: u64,
    /// Of those, or kept in spite of it: routes.
    pub slow_routes: u64,
    /// Connections closed because they did not answer pings.
    pub stale_connections: u64,
    /// Of those: routes.
    pub stale_routes: u64,
    /// Stalls of publishers.
    pub stalls: u64,
    /// Messages dropped because a connection was behind and `no_fast_producer_stall` is set.
    pub dropped: u64,
    /// Messages for a queue group passed on because the member was gone.
    pub rescued: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Shard {
    cache: PlanCache,
    core: Core,
    chunk: Vec<u8>,
    filled: usize,
    /// A parcel, and the first entry that was not acted on.
    unfinished: Option<(Deliveries, usize)>,
}

impl Shard {
    /// A shard without connections. `seed` is for its random choices.
    pub fn new(id: usize, config: Arc<Config>, directory: Arc<Directory>, seed: u64) -> Self {
        let shards = config.shards.count;
        let core = Core {
            id: id as u16,
            connections: Slab::new(),
            generation: 0,
            local: LocalInterest::new(id, Arc::clone(&directory)),
            hasher: directory.hasher().clone(),
            directory,
            // One more than there are shards: the service thread.
            outbox: Outbox::new(shards + 1),
            pool: BufferPool::default(),
            arena: Vec::new(),
            run: None,
            previous: Found::Scratch,
            spare_lengths: Vec::new(),
            scratch: Vec::new(),
            timers: Timers::default(),
            dirty: Vec::new(),
            closing: Vec::new(),
            leaving: Vec::new(),
            resumed: Vec::new(),
            waiting_for_turn: Vec::new(),
            waiting_for_credit: Vec::new(),
            stalled_by: Vec::new(),
            last_stall_warning: 0,
            receiving: Receiving {
                shard: id as u16,
                drop_gated: config.limits.no_fast_producer_stall,
                ..Receiving::default()
            },
            pressure: None,
            disturbed: false,
            wants_flush: false,
            copied: 0,
            tracing: config.trace.enabled,
            peers: Peers::default(),
            last_drop_warning: None,
            gate: config.limits.max_pending / 4 * 3,
            quiet_until: 0,
            own_messages: 0,
            now: 0,
            now_micros: 0,
            rng: fastrand::Rng::with_seed(seed),
            counters: Counters::default(),
            // Connections are spread evenly, and so are those that end.
            history: History::new(config.limits.max_closed_clients.div_ceil(shards.max(1))),
            cluster: ClusterView::new(config.identity.cluster.as_deref()),
            surveys: VecDeque::new(),
            config,
        };
        Shard { cache: PlanCache::default(), core, chunk: vec![0; 2 * READ_BYTES], filled: 0, unfinished: None }
    }

    /// A new turn at this time (milliseconds of any clock that does not go back).
    pub fn begin_turn(&mut self, now: u64) {
        self.begin_turn_at(now * 1000);
    }

    /// The same, in microseconds: round-trip times are measured in them.
    pub fn begin_turn_at(&mut self, micros: u64) {
        self.core.now = micros / 1000;
        self.core.now_micros = micros;
        self.core.resume_those_of_the_last_turn();
        if !self.core.leaving.is_empty() {
            self.core.end_some_subscriptions();
        }
        self.core.tell_some_of_the_cluster();
        if self.core.can_announce() {
            self.core.announce_some();
        }
    }

    /// A connection came. `refused`: there are too many. Says INFO.
    pub fn open(&mut self, cid: u64, peer: SocketAddr, refused: bool) -> Key {
        self.core.open(cid, peer, refused)
    }

    /// Mail from another shard. If [`is_receiving`](Self::is_receiving) then says so, it is more than this turn should write: the turn
    /// ends, and [`go_on`](Self::go_on) takes the rest.
    pub fn receive(&mut self, from: usize, mail: Mail) {
        match mail {
            Mail::Deliveries(batch) => {
                self.unfinished = Some((batch, 0));
                self.go_on();
            }
            Mail::Interest { news, peer } => self.hear_news(from, &news, peer),
            Mail::Control(control) => self.control(from, control),
        }
    }

    /// Is there a rest of a parcel?
    pub fn is_receiving(&self) -> bool {
        self.unfinished.is_some()
    }

    /// Goes on with the parcel that was not finished.
    pub fn go_on(&mut self) {
        let Some((batch, first)) = self.unfinished.take() else { return };
        for (at, entry) in batch.entries().iter().enumerate().skip(first) {
            if at > first && self.wants_flush() {
                self.unfinished = Some((batch, at));
                return;
            }
            if entry.messages > 0 {
                match (batch.run(entry), entry.peer) {
                    (Some(run), Some(peer)) => self.forward_run_from_lane(peer, &run, entry.origin),
                    (Some(run), None) => self.deliver_run_from_lane(&run, entry.origin),
                    (None, _) => {}
                }
            } else if let Some(message) = batch.message(entry) {
                self.deliver_from_lane(&batch, entry, &message);
            }
        }
        self.core.outbox.recycle(batch);
    }

    fn control(&mut self, _from: usize, control: Control) {
        match control {
            Control::Stall { publisher, milliseconds, slow } => {
                self.core.stall(publisher, milliseconds, slow, None);
            }
            Control::Nobody { publisher, account, subject, reply } => {
                self.nobody_there(publisher, account, &subject, &reply);
            }
            Control::Verified { connection, credential } => self.core.verified(connection, credential),
            Control::Verify { .. } => {}
            Control::Survey(survey) => self.core.surveys.push_back(*survey),
            Control::ClusterChanged { name, connect_urls } => self.core.cluster_changed(name, connect_urls),
            Control::Shutdown => self.core.close_all(CloseReason::ServerShutdown),
            Control::PeerUp { peer, path } => self.core.peer_up(peer, path),
            Control::PeerDown { peer } => self.core.peer_down(peer),
            Control::RouteTell { rid, bytes } => self.core.tell_route_lines(rid, &bytes),
            Control::RouteClose { rid, error, reason } => self.core.close_route(rid, error.as_deref(), reason),
            Control::RouteUpgrade { rid, explicit } => self.core.upgrade_route(rid, explicit),
            Control::RoutePermissions { rid, permissions } => self.core.permit_route(rid, permissions),
            // For the service thread.
            Control::RouteConnect { .. }
            | Control::RouteInfo { .. }
            | Control::RoutePong { .. }
            | Control::RouteClosed { .. }
            | Control::RouteForgotten { .. } => {}
        }
    }

    /// Acts on all timers that are due.
    pub fn run_timers(&mut self) {
        while let Some((key, timer)) = self.core.timers.pop(self.core.now) {
            self.core.timer(key, timer);
        }
    }

    /// When the next timer is due.
    pub fn next_timer(&self) -> Option<u64> {
        self.core.timers.next()
    }

    /// What is to be sent to other shards. The target after the last shard is the service thread.
    pub fn outbox(&mut self) -> &mut Outbox {
        self.core.spread_news();
        &mut self.core.outbox
    }

    /// Should the turn end early, because much waits to be written?
    pub fn wants_flush(&self) -> bool {
        self.core.wants_flush || self.core.is_full()
    }

    /// Credit towards a shard came back: who waited for it goes on.
    pub fn credit_returned(&mut self, target: usize) {
        self.core.outbox.set_exhausted(target, false);
        let core = &mut self.core;
        let mut waiting = std::mem::take(&mut core.waiting_for_credit);
        waiting.retain(|&(wanted, key)| {
            if usize::from(wanted) == target {
                core.resume(key);
            }
            usize::from(wanted) != target
        });
        core.waiting_for_credit = waiting;
    }

    /// Is somebody about to go on, or work left over? Then the next turn should not wait for anything.
    pub fn is_busy(&self) -> bool {
        let core = &self.core;
        !core.resumed.is_empty()
            || !core.waiting_for_turn.is_empty()
            || !core.leaving.is_empty()
            || !core.surveys.is_empty()
            || core.cluster.is_being_told()
            || core.can_announce()
    }

    /// Connections that may go on reading or have input left to act on.
    pub fn take_resumed(&mut self, out: &mut Vec<Key>) {
        out.append(&mut self.core.resumed);
    }

    /// Connections with something new to write, or with something in the arena.
    pub fn take_dirty(&mut self, out: &mut Vec<Key>) {
        out.append(&mut self.core.dirty);
    }

    /// Writes what waits for a connection, unless its socket is known to be full and `writable` is false.
    pub fn flush(&mut self, key: Key, writable: bool, write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>) {
        self.core.flush(key, writable, write);
    }

    /// The turn's frames are written or kept: the arena is free.
    pub fn end_turn(&mut self) {
        let core = &mut self.core;
        core.arena.clear();
        if core.arena.capacity() > 4 * ARENA_BYTES {
            core.arena.shrink_to(ARENA_BYTES);
        }
        core.wants_flush = false;
        core.copied = 0;
    }

    /// Connections that are to be closed now; the driver drops their sockets and forgets them with [`remove`](Self::remove).
    pub fn take_closed(&mut self, out: &mut Vec<Key>) {
        let core = &mut self.core;
        let connections = &core.connections;
        core.closing.retain(|key| {
            let Some(connection) = connections.get(key.index as usize).filter(|found| found.key == *key) else {
                return false;
            };
            let done = match connection.closing {
                Some(Closing::Flush(_)) => connection.is_written(),
                _ => true,
            };
            if done {
                out.push(*key);
            }
            !done
        });
    }

    /// Forgets a connection whose socket is gone.
    pub fn remove(&mut self, key: Key) {
        if self.core.leaving.iter().any(|leaving| leaving.key == key) {
            if let Some(connection) = self.core.connection(key) {
                connection.flags.gone = true;
            }
        } else {
            self.core.forget(key);
        }
    }

    /// The socket said that the connection is broken.
    pub fn broken(&mut self, key: Key, reason: CloseReason) {
        self.core.close(key, Closing::Now(reason));
    }

    /// Number of connections.
    pub fn connections(&self) -> usize {
        self.core.connections.len()
    }

    /// Keeps one of the partitions that this shard owns in shape.
    pub fn upkeep(&mut self, partition: usize) {
        self.core.directory.upkeep(partition);
    }

    /// What other servers want, as their routes here have told: the server's id, subject, queue group, and its members.
    #[cfg(test)]
    pub(crate) fn learned(&self) -> Vec<(String, String, Option<String>, u32)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let routes = self.core.connections.iter().filter_map(|(_, connection)| connection.route.as_ref());
        let all = routes.flat_map(|route| {
            let parts = (0..crate::interest::LearnedInterest::PARTS).flat_map(|part| route.learned.part(part));
            parts.map(|known| (route.remote.id.clone(), text(known.subject), known.queue.map(text), known.members))
        });
        all.collect()
    }

    /// Messages that came over routes.
    #[cfg(test)]
    pub(crate) fn routed_in(&self) -> u64 {
        self.core.history.routed_in.messages
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        Counters { dropped: self.core.receiving.dropped, ..self.core.counters }
    }
}

impl Core {
    fn connection(&mut self, key: Key) -> Option<&mut Connection> {
        self.connections.get_mut(key.index as usize).filter(|connection| connection.key == key)
    }

    fn sources(&self, account: AccountId) -> Sources<'_> {
        Sources { local: &self.local, directory: &self.directory, account, shard: usize::from(self.id) }
    }

    /// Has this turn made as much to write as a turn should?
    fn is_full(&self) -> bool {
        self.copied > COPIED_BYTES || self.arena.len() > ARENA_BYTES
    }

    fn needs_credentials(&self) -> bool {
        !matches!(self.config.auth, Auth::Open)
    }

    /// Appends bytes for a connection.
    fn tell(&mut self, key: Key, bytes: &[u8]) {
        let Some(connection) = self.connections.get_mut(key.index as usize).filter(|found| found.key == key) else {
            return;
        };
        connection.out.append(&mut self.pool, bytes);
        mark_dirty(&mut self.dirty, connection);
    }

    /// Tells a connection what is wrong.
    fn tell_error(&mut self, key: Key, text: &str) {
        let mut line = std::mem::take(&mut self.scratch);
        line.clear();
        frame::write_error(&mut line, text.as_bytes());
        self.tell(key, &line);
        self.scratch = line;
        if self.tracing {
            self.trace_line(key, "->>", &format!("-ERR {text}"));
        }
    }

    /// Lets a connection end; its interest ends at once.
    fn close(&mut self, key: Key, closing: Closing) {
        let Some(connection) = self.connection(key) else { return };
        match connection.closing {
            Some(Closing::Now(_)) => return,
            Some(Closing::Flush(reason)) => {
                if let Closing::Now(_) = closing {
                    connection.closing = Some(Closing::Now(reason));
                }
                return;
            }
            None => connection.closing = Some(closing),
        }
        self.disturbed = true;
        if self.route(key).is_none() {
            self.note_farewell(key);
        }
        if let Closing::Flush(_) = closing
            && let Some(connection) = self.connections.get_mut(key.index as usize)
        {
            mark_dirty(&mut self.dirty, connection);
        }
        self.closing.push(key);
        if let Some(connection) = self.connections.get_mut(key.index as usize) {
            connection.input = Default::default();
            connection.pause = None;
            if connection.route.is_none() {
                log::debug!("{} - Client connection closed: {}", connection.label(), closing.reason());
            }
        }
        self.end_route(key, closing.reason());
        self.leave(key);
        self.stalled_by.retain(|&(_, publisher)| publisher != key);
        self.release_stalled_by(key);
    }

    fn forget(&mut self, key: Key) {
        if self.connection(key).is_some()
            && let Some(mut connection) = self.connections.try_remove(key.index as usize)
        {
            connection.out.clear(&mut self.pool);
            if connection.route.is_some() {
                self.report(Control::RouteForgotten { rid: connection.cid });
            } else {
                self.bury(connection);
            }
        }
    }

    fn close_all(&mut self, reason: CloseReason) {
        // Routes first, and then there are no peers: of clients that all go at once they need not hear one by one.
        let mut keys: Vec<(bool, Key)> =
            self.connections.iter().map(|(_, connection)| (connection.route.is_none(), connection.key)).collect();
        keys.sort_by_key(|(is_client, _)| *is_client);
        for (_, key) in keys {
            self.close(key, Closing::Flush(reason));
        }
        self.peers = Peers::default();
    }
}

fn mark_dirty(dirty: &mut Vec<Key>, connection: &mut Connection) {
    if !connection.flags.dirty {
        connection.flags.dirty = true;
        dirty.push(connection.key);
    }
}
