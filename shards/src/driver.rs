//! The driver of one shard: sockets, the poll, the clock. What it drives knows none of them.
//!
//! A turn: take what the poll, the inbox and the timers have; let the core act; send its parcels; only then write sockets. One read of each
//! readable socket in a turn keeps a firehose from starving the others; what may have more is remembered, because mio's events are edges.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::connection::{CloseReason, Key};
use crate::interest::ring;
use crate::lane::gauge::Gauges;
use crate::lane::ids::ConnectionIds;
use crate::lane::{Endpoint, Outgoing};
use crate::mesh::RouteStart;
use crate::shard::mail::{Control, Mail};
use crate::shard::{Filled, Shard};
use crate::sockets::{self, Acceptor, Bell};

/// The waker's token; connections have their slab index.
pub(crate) const WAKER: Token = Token(usize::MAX);
const LISTENER: Token = Token(usize::MAX - 1);

/// Events taken in one turn.
const EVENTS: usize = 1024;
/// Connections accepted in one turn; the backlog holds the others.
const ACCEPTS: usize = 64;
/// A turn without a look at the poll costs a system call less; more of them would make others wait.
const TURNS_WITHOUT_POLL: u32 = 3;
/// After a parcel came, the shard looks out for the next one for so long before spinning is given up.
const SPIN_AFTER_MAIL: Duration = Duration::from_millis(2);
/// Looks at the inbox between two looks at the poll while spinning.
const SPINS: u32 = 200;
/// One of the shard's directory partitions is looked after in this interval, if the shard is awake anyway.
const UPKEEP_INTERVAL_MS: u64 = 1000;
/// A shutdown does not wait longer than this for sockets that take nothing.
const SHUTDOWN_MS: u64 = 500;

/// What travels between drivers: the cores' mail, and sockets.
#[derive(Debug)]
pub(crate) enum Freight {
    /// For the core.
    Mail(Mail),
    /// A connection that was accepted for this shard. Dropped on the way, it closes itself.
    Connection(Arrival),
    /// A route for this shard. Dropped on the way, it closes itself, too.
    Route(RouteArrival),
}

/// A connection on its way to its shard, counted there already.
#[derive(Debug)]
pub(crate) struct Arrival {
    stream: TcpStream,
    peer: SocketAddr,
    cid: u64,
    refused: bool,
}

/// A route on its way to its shard.
#[derive(Debug)]
pub(crate) struct RouteArrival {
    /// Its socket.
    pub stream: TcpStream,
    /// What the shard must know of it.
    pub start: Box<RouteStart>,
}

struct Socket {
    stream: TcpStream,
    key: Key,
    /// Counted among the clients of the shard.
    client: bool,
    /// The far end closed; read on until the end is there.
    ending: bool,
    /// In the list of those to be served.
    queued: bool,
}

/// What all shards of a server have in common.
pub(crate) struct Shared {
    /// Connections by shard.
    pub gauges: Gauges,
    /// Numbers of connections.
    pub ids: ConnectionIds,
    /// The beginning of time.
    pub start: Instant,
    /// More connections than this are refused.
    pub max_connections: usize,
    /// Spin for so long before sleeping.
    pub spin: Duration,
}

/// See the module.
pub(crate) struct Driver {
    shard: Shard,
    endpoint: Endpoint<Freight, Bell>,
    shared: Arc<Shared>,
    poll: Poll,
    acceptor: Option<Acceptor>,
    /// Where the search for the shard with the fewest connections begins.
    next_shard: usize,
    /// By the index of the connection's key.
    sockets: Vec<Option<Socket>>,
    ready: Vec<Key>,
    batch: Vec<Outgoing<Freight>>,
    keys: Vec<Key>,
    targets: Vec<usize>,
    now: u64,
    last_mail: Option<Instant>,
    turns_without_poll: u32,
    last_upkeep: u64,
    owned: Vec<usize>,
    ending: Option<u64>,
}

impl Driver {
    pub fn new(
        shard: Shard,
        endpoint: Endpoint<Freight, Bell>,
        shared: Arc<Shared>,
        poll: Poll,
        listener: Option<TcpListener>,
    ) -> std::io::Result<Self> {
        let acceptor = listener.map(|listener| Acceptor::new(listener, "Client", poll.registry(), LISTENER));
        let acceptor = acceptor.transpose()?;
        // The service thread is no shard.
        let shards = endpoint.shards() - 1;
        let me = endpoint.shard();
        let owned = (0..ring::PARTITIONS).filter(|&partition| ring::owner(partition, shards) == me).collect();
        Ok(Driver {
            shard,
            endpoint,
            shared,
            poll,
            acceptor,
            next_shard: 0,
            sockets: Vec::new(),
            ready: Vec::new(),
            batch: Vec::new(),
            keys: Vec::new(),
            targets: Vec::new(),
            now: 0,
            last_mail: None,
            turns_without_poll: 0,
            last_upkeep: 0,
            owned,
            ending: None,
        })
    }

    /// Turns until the server is shut down.
    pub fn run(mut self) -> std::io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.wait(&mut events)?;
            let micros = self.shared.start.elapsed().as_micros() as u64;
            self.now = micros / 1000;
            self.shard.begin_turn_at(micros);
            for event in &events {
                match event.token() {
                    WAKER => {}
                    LISTENER => {
                        if let Some(acceptor) = &mut self.acceptor {
                            acceptor.on_event();
                        }
                    }
                    Token(index) => self.socket_event(index, event),
                }
            }
            events.clear();
            self.receive();
            self.accept();
            self.shard.run_timers();
            self.serve();
            self.finish_turn();
            self.upkeep();
            self.shard.answer_some();
            if let Some(deadline) = self.ending
                && (self.shard.connections() == 0 || self.now >= deadline)
            {
                return Ok(());
            }
        }
    }

    /// Waits for something to do; not at all if there is something already.
    fn wait(&mut self, events: &mut Events) -> std::io::Result<()> {
        let busy = !self.ready.is_empty()
            || self.shard.is_busy()
            || self.endpoint.may_have_mail()
            || self.acceptor.as_ref().is_some_and(Acceptor::is_ready);
        if busy {
            self.turns_without_poll += 1;
            if self.turns_without_poll <= TURNS_WITHOUT_POLL {
                return Ok(());
            }
            self.turns_without_poll = 0;
            return self.poll_once(events, Some(Duration::ZERO));
        }
        self.turns_without_poll = 0;
        if self.spin(events)? {
            return Ok(());
        }
        if !self.endpoint.prepare_sleep() {
            return self.poll_once(events, Some(Duration::ZERO));
        }
        let result = self.poll_once(events, self.timeout());
        self.endpoint.awake();
        result
    }

    fn poll_once(&mut self, events: &mut Events, timeout: Option<Duration>) -> std::io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// Looks out for mail and events for a while, if mail came lately; true if some came.
    fn spin(&mut self, events: &mut Events) -> std::io::Result<bool> {
        let Some(last_mail) = self.last_mail.filter(|_| !self.shared.spin.is_zero()) else { return Ok(false) };
        let start = Instant::now();
        if start.duration_since(last_mail) > SPIN_AFTER_MAIL {
            self.last_mail = None;
            return Ok(false);
        }
        while start.elapsed() < self.shared.spin {
            for _ in 0..SPINS {
                if self.endpoint.may_have_mail() {
                    return Ok(true);
                }
                std::hint::spin_loop();
            }
            self.poll_once(events, Some(Duration::ZERO))?;
            if !events.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn timeout(&self) -> Option<Duration> {
        let now = self.shared.start.elapsed().as_millis() as u64;
        let paused = self.acceptor.as_ref().and_then(Acceptor::paused_until);
        let times = [self.shard.next_timer(), paused, self.ending];
        let next = times.into_iter().flatten().min()?;
        // One more, because the poll's milliseconds and ours begin at different moments.
        Some(Duration::from_millis(next.saturating_sub(now).saturating_add(1)))
    }

    fn socket_event(&mut self, index: usize, event: &mio::event::Event) {
        let Some(Some(socket)) = self.sockets.get_mut(index) else { return };
        let key = socket.key;
        if event.is_read_closed() || event.is_error() {
            socket.ending = true;
        }
        if (event.is_readable() || socket.ending) && !socket.queued {
            socket.queued = true;
            self.ready.push(key);
        }
        if event.is_writable() {
            self.write(key, true);
        }
    }

    fn receive(&mut self) {
        if !self.endpoint.may_have_mail() {
            return;
        }
        // Shards that send without a pause would keep this one from its sockets: what comes in behind is for the next look.
        // One look more than there are parcels finds the inbox empty, and lets the shard sleep.
        for _ in 0..=self.endpoint.backlog() {
            let Some(incoming) = self.endpoint.receive() else { break };
            match incoming.payload {
                Freight::Mail(Mail::Control(Control::Shutdown)) => self.shut_down(),
                Freight::Mail(mail) => {
                    self.shard.receive(incoming.from, mail);
                    while self.shard.is_receiving() {
                        self.finish_turn();
                        self.shard.go_on();
                    }
                }
                Freight::Connection(arrival) => self.open(arrival),
                Freight::Route(RouteArrival { stream, start }) => {
                    let key = self.shard.open_route(*start);
                    self.add_socket(key, stream, false);
                }
            }
            if incoming.bytes > 0 {
                self.endpoint.settle(incoming.from, incoming.bytes);
                if !self.shared.spin.is_zero() {
                    self.last_mail = Some(Instant::now());
                }
            }
            if self.shard.wants_flush() {
                self.finish_turn();
            }
        }
        self.endpoint.credit_returned(&mut self.targets);
        for target in self.targets.drain(..) {
            self.shard.credit_returned(target);
        }
    }

    fn serve(&mut self) {
        self.shard.take_resumed(&mut self.keys);
        for key in self.keys.drain(..) {
            if let Some(Some(socket)) = self.sockets.get_mut(key.index as usize)
                && socket.key == key
                && !socket.queued
            {
                socket.queued = true;
                self.ready.push(key);
            }
        }
        let mut ready = std::mem::take(&mut self.ready);
        ready.retain(|&key| self.serve_one(key));
        // Those that came while the others were served.
        ready.append(&mut self.ready);
        self.ready = ready;
    }

    /// Reads and acts once; true if the connection should be served again in the next turn.
    fn serve_one(&mut self, key: Key) -> bool {
        let Some(Some(socket)) = self.sockets.get_mut(key.index as usize) else { return false };
        if socket.key != key {
            return false;
        }
        let filled = self.shard.fill(key, &mut |buffer| socket.stream.read(buffer));
        let again = match filled {
            Filled::More => true,
            // A short read means that nothing is left, but the end of the stream must be seen.
            Filled::Drained => socket.ending && !self.shard.at_end(key),
            Filled::Paused => false,
        };
        socket.queued = again;
        if filled != Filled::Paused {
            // What is in the inbox came before what was just read: see the flush barrier.
            self.receive();
            self.shard.act(key);
            if self.shard.wants_flush() {
                self.finish_turn();
            }
        }
        again
    }

    /// Parcels leave, then sockets are written, then what is to be closed is closed.
    fn finish_turn(&mut self) {
        let batch = &mut self.batch;
        self.shard.outbox().drain(|target, bytes, mail| {
            batch.push(Outgoing { target, bytes, payload: Freight::Mail(mail) });
        });
        if !self.batch.is_empty() {
            self.targets.extend(self.batch.iter().filter(|parcel| parcel.bytes > 0).map(|parcel| parcel.target));
            self.endpoint.send_turn(&mut self.batch);
            for target in self.targets.drain(..) {
                if self.endpoint.exhausted(target) && self.endpoint.wait_for_credit(target) {
                    self.shard.outbox().set_exhausted(target, true);
                }
            }
        }
        let mut keys = std::mem::take(&mut self.keys);
        self.shard.take_dirty(&mut keys);
        for key in keys.drain(..) {
            self.write(key, false);
        }
        self.shard.end_turn();
        self.shard.take_closed(&mut keys);
        for key in keys.drain(..) {
            self.drop_socket(key);
        }
        self.keys = keys;
    }

    fn write(&mut self, key: Key, writable: bool) {
        if let Some(Some(socket)) = self.sockets.get_mut(key.index as usize)
            && socket.key == key
        {
            let stream = &mut socket.stream;
            self.shard.flush(key, writable, &mut |slices| stream.write_vectored(slices));
        }
    }

    fn accept(&mut self) {
        for _ in 0..ACCEPTS {
            let Some(acceptor) = &mut self.acceptor else { return };
            let Some((stream, peer)) = acceptor.accept(self.now) else { return };
            let Shared { gauges, ids, max_connections, .. } = &*self.shared;
            let refused = gauges.total() >= *max_connections;
            let target = gauges.least_loaded(self.next_shard);
            self.next_shard = target + 1;
            gauges.add(target);
            let arrival = Arrival { stream, peer, cid: ids.take(), refused };
            if target == self.endpoint.shard() {
                self.open(arrival);
            } else {
                self.batch.push(Outgoing { target, bytes: 0, payload: Freight::Connection(arrival) });
            }
        }
    }

    fn open(&mut self, arrival: Arrival) {
        let Arrival { stream, peer, cid, refused } = arrival;
        sockets::do_not_delay(&stream);
        let key = self.shard.open(cid, peer, refused);
        self.add_socket(key, stream, true);
    }

    fn add_socket(&mut self, key: Key, mut stream: TcpStream, client: bool) {
        let index = key.index as usize;
        let both = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, Token(index), both) {
            log::error!("shard {} cannot poll a connection: {error}", self.endpoint.shard());
            self.shard.broken(key, CloseReason::ReadError);
        }
        if self.sockets.len() <= index {
            self.sockets.resize_with(index + 1, || None);
        }
        if let Some(place) = self.sockets.get_mut(index) {
            *place = Some(Socket { stream, key, client, ending: false, queued: false });
        }
    }

    fn drop_socket(&mut self, key: Key) {
        if let Some(place) = self.sockets.get_mut(key.index as usize)
            && place.as_ref().is_some_and(|socket| socket.key == key)
            && let Some(socket) = place.take()
        {
            sockets::close(socket.stream);
            if socket.client {
                self.shared.gauges.remove(self.endpoint.shard());
            }
            self.shard.remove(key);
        }
        if let Some(acceptor) = &mut self.acceptor {
            acceptor.on_freed();
        }
    }

    fn shut_down(&mut self) {
        self.acceptor = None;
        self.shard.receive(self.endpoint.shard(), Mail::Control(Control::Shutdown));
        self.ending = Some(self.now + SHUTDOWN_MS);
    }

    fn upkeep(&mut self) {
        if self.now < self.last_upkeep + UPKEEP_INTERVAL_MS {
            return;
        }
        self.last_upkeep = self.now;
        if let Some(partition) = self.owned.pop() {
            self.owned.insert(0, partition);
            self.shard.upkeep(partition);
        }
    }
}
