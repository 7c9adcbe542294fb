//! The engine as the program sees it: bind, start, shut down.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use core_affinity::CoreId;
use crossbeam_channel::bounded;
use mio::Poll;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::{Config, MAX_SHARDS, ShardLayout};
use crate::driver::{self, Driver, Shared};
use crate::interest::Directory;
use crate::lane::gauge::Gauges;
use crate::lane::ids::ConnectionIds;
use crate::lane::mesh;
use crate::mesh::MeshStatus;
use crate::service::{Desk, Order, Service};
use crate::shard::Shard;
use crate::snapshot::{Query, Snapshot};
use crate::sockets::Bell;

/// Connections that may wait to be accepted; the kernel cuts it to its own limit.
const BACKLOG: i32 = 4096;
/// What all other shards together may have in flight to one shard.
const INBOX_BYTES: u64 = 64 * 1024 * 1024;
/// Less credit than some turns' worth would make every turn wait.
const MIN_CREDIT_BYTES: u64 = 512 * 1024;
/// More credit only adds latency, and what it lets through when a connection with many subscriptions is behind already.
const MAX_CREDIT_BYTES: u64 = 1024 * 1024;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A port could not be had; the program words this as the reference does.
    #[error("listen tcp {address}: {source}")]
    Bind {
        /// Host and port as configured.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A shard's thread or event loop could not be made.
    #[error("shard {shard}: {source}")]
    Shard {
        /// Number of the shard; the one behind the last shard is the service thread.
        shard: usize,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A bound listener; nothing is accepted until [`Server::start`].
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds `host:port`; port 0 lets the kernel choose. Fails when another server has the port.
    pub fn bind(host: &str, port: u16) -> Result<Listener, StartError> {
        let error = |source| StartError::Bind { address: format!("{host}:{port}"), source };
        let mut last = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
        for address in (host, port).to_socket_addrs().map_err(error)? {
            match Self::bind_address(address) {
                Ok(socket) => return Ok(Listener { socket }),
                Err(error) => last = error,
            }
        }
        Err(error(last))
    }

    fn bind_address(address: SocketAddr) -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart on the same port need not wait for old connections to time out; a second server still fails.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        socket.set_nonblocking(true)?;
        Ok(socket.into())
    }

    /// The plain socket, for another protocol and a thread that waits.
    pub fn into_blocking(self) -> io::Result<TcpListener> {
        self.socket.set_nonblocking(false)?;
        Ok(self.socket)
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// The running shards.
#[derive(Debug)]
pub struct Server {
    desk: Desk,
    shards: usize,
    threads: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts one thread per shard and begins to accept: clients with `listener`, and with `routes` the other servers of a cluster.
    pub fn start(config: Config, listener: Listener, routes: Option<Listener>) -> Result<Server, StartError> {
        let count = config.shards.count.clamp(1, MAX_SHARDS);
        let failed = |shard| move |source| StartError::Shard { shard, source };
        let mut polls = Vec::with_capacity(count);
        let mut bells = Vec::with_capacity(count + 1);
        for shard in 0..count {
            let (poll, bell) = poll_and_bell().map_err(failed(shard))?;
            polls.push(poll);
            bells.push(bell);
        }
        let (service_poll, bell) = poll_and_bell().map_err(failed(count))?;
        bells.push(bell.clone());
        let (desk, orders) = Desk::new(bell);

        let mut random = fastrand::Rng::new();
        let directory = Arc::new(Directory::new(count, config.cluster.is_some(), random.u64(..)));
        let shared = Arc::new(Shared {
            gauges: Gauges::new(count),
            ids: ConnectionIds::new(),
            start: Instant::now(),
            max_connections: config.limits.max_connections,
            spin: config.shards.spin,
        });
        let config = Arc::new(Config { shards: ShardLayout { count, ..config.shards.clone() }, ..config });
        let mut endpoints = mesh(bells, credit_bytes(count));
        let service = endpoints.pop();
        let mut listener = Some(listener.socket);
        let mut drivers = Vec::with_capacity(count);
        for (number, (endpoint, poll)) in endpoints.into_iter().zip(polls).enumerate() {
            let shard = Shard::new(number, Arc::clone(&config), Arc::clone(&directory), random.u64(..));
            let driver = Driver::new(shard, endpoint, Arc::clone(&shared), poll, listener.take());
            drivers.push(driver.map_err(failed(number))?);
        }

        let mut server = Server { desk: desk.clone(), shards: count, threads: Vec::new() };
        let core_of = |number: usize| config.shards.cores.get(number % config.shards.cores.len().max(1)).copied();
        for (number, driver) in drivers.into_iter().enumerate() {
            let core = core_of(number);
            let work = move || run_shard(number, core, driver);
            server.spawn(format!("shard-{number}"), work).map_err(failed(number))?;
        }
        if let Some(endpoint) = service {
            let mut service = Service::new(endpoint, service_poll, Arc::clone(&shared), desk.clone(), orders);
            if let Some(routes) = routes.filter(|_| config.cluster.is_some()) {
                let with_routes = service.with_routes(Arc::clone(&config), random.u64(..), desk, routes.socket);
                service = with_routes.map_err(failed(count))?;
            }
            server.spawn("service".to_owned(), move || run_service(service)).map_err(failed(count))?;
        }
        Ok(server)
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.threads.push(thread::Builder::new().name(name).spawn(work)?);
        Ok(())
    }

    /// For asking the running server how it is.
    pub fn observer(&self) -> Observer {
        Observer { desk: self.desk.clone(), shards: self.shards }
    }

    /// Closes the listener and every connection (reason `Server Shutdown`), and joins the shards.
    pub fn shutdown(self) {
        // The service thread is gone only if everything is.
        let _ = self.desk.leave(Order::ShutDown);
        for thread in self.threads {
            if thread.join().is_err() {
                log::error!("a shard had panicked");
            }
        }
    }
}

/// Asks the shards; any number of threads may have one.
#[derive(Clone, Debug)]
pub struct Observer {
    desk: Desk,
    shards: usize,
}

/// The shards did not answer: the server shuts down, or has very much to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server did not answer in time")]
pub struct Unanswered;

impl Observer {
    /// One answer of each shard, in their order. Waits for the slowest, `patience` at most.
    pub fn ask(&self, query: Query, patience: Duration) -> Result<Vec<Snapshot>, Unanswered> {
        let deadline = Instant::now() + patience;
        let (answers, received) = bounded(self.shards);
        self.desk.leave(Order::Ask(Arc::new(query), answers)).map_err(|_| Unanswered)?;
        let mut snapshots = Vec::with_capacity(self.shards);
        while snapshots.len() < self.shards {
            snapshots.push(received.recv_deadline(deadline).map_err(|_| Unanswered)?);
        }
        snapshots.sort_by_key(|snapshot| snapshot.shard);
        Ok(snapshots)
    }

    /// How the cluster looks. Without a cluster nobody answers.
    pub fn ask_mesh(&self, patience: Duration) -> Result<MeshStatus, Unanswered> {
        let (answer, received) = bounded(1);
        self.desk.leave(Order::AskMesh(answer)).map_err(|_| Unanswered)?;
        received.recv_timeout(patience).map_err(|_| Unanswered)
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards
    }
}

/// One shard's thread, from its first turn to the shutdown.
fn run_shard(number: usize, core: Option<usize>, driver: Driver) {
    if let Some(id) = core
        && !core_affinity::set_for_current(CoreId { id })
    {
        log::warn!("shard {number} could not be pinned to core {id}; it runs wherever the system puts it");
    }
    if let Err(error) = driver.run() {
        // Without its poll a shard is a hole in the server; the panic takes the process down.
        panic!("shard {number} cannot poll: {error}");
    }
}

fn run_service(service: Service) {
    if let Err(error) = service.run() {
        panic!("the service thread cannot poll: {error}");
    }
}

fn poll_and_bell() -> io::Result<(Poll, Bell)> {
    let poll = Poll::new()?;
    let bell = Bell::new(poll.registry(), driver::WAKER)?;
    Ok((poll, bell))
}

/// What each ordered pair of shards may have in flight: an equal part of what one inbox may hold, but enough for some turns.
fn credit_bytes(shards: usize) -> u64 {
    (INBOX_BYTES / shards as u64).clamp(MIN_CREDIT_BYTES, MAX_CREDIT_BYTES)
}
