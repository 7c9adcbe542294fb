//! A whole server in one thread, for tests: real shards and real lanes, but sockets, clock and order of events are made from a seed.
//!
//! * [`Site`] is a shard with what the driver does around it, cut into steps, so that anything may happen elsewhere between a read and the
//!   acting on it, or between the parcels' leaving and the sockets' writing;
//! * [`Wire`] is a connection's two byte streams: what a client sends arrives in pieces, what a server writes finds room or none;
//! * [`Client`] sends text and takes the answer apart;
//! * [`Net`] has them all and lets one of them do one step at a time, whichever the seed says.
//!
//! What fails with a seed fails with it again. It lives in the library's tests because nothing outside needs it.

mod client;
mod site;
mod wire;
pub(crate) mod world;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, bounded};

pub(crate) use self::client::{Client, Frame};
pub(crate) use self::site::Site;
pub(crate) use self::wire::Wire;
use crate::config::{Auth, Cluster, Config, Identity, Limits, ShardLayout, Trace};
use crate::interest::Directory;
use crate::lane::{Endpoint, Outgoing, Wake, mesh};
use crate::mesh::{RemoteServer, RouteKind, RouteStart};
use crate::shard::mail::{Control, Mail};
use crate::shard::{Shard, Survey};
use crate::snapshot::{Query, Snapshot};

/// Nobody sleeps here: the scheduler asks everybody.
pub(crate) struct NoBell;

impl Wake for NoBell {
    fn wake(&self) {}
}

/// What travels on the lanes of a server.
#[derive(Debug)]
pub(crate) enum Freight {
    /// For the core.
    Mail(Mail),
    /// A connection, by its wire, that has become a route.
    Route(usize, Box<RouteStart>),
}

/// A timer that is due this soon is part of what is going on: a stall ends, a parcel is late.
const SOON_MS: u64 = 50;

/// A configuration with everything at its default.
pub(crate) fn config(shards: usize) -> Config {
    Config {
        shards: ShardLayout { count: shards, cores: Vec::new(), spin: Duration::ZERO },
        identity: Identity {
            server_id: "NTEST".to_owned(),
            server_name: "test".to_owned(),
            version: "0.0.0".to_owned(),
            git_commit: String::new(),
            host: "127.0.0.1".to_owned(),
            port: 4222,
            cluster: None,
            started: SystemTime::UNIX_EPOCH,
        },
        limits: Limits::default(),
        auth: Auth::Open,
        trace: Trace::default(),
        cluster: None,
    }
}

/// The shards of a server, and the service thread's end of their lanes.
pub(crate) fn shards(
    config: &Arc<Config>,
    credit_bytes: u64,
    rng: &mut fastrand::Rng,
) -> (Vec<Site>, Endpoint<Freight, NoBell>) {
    let shards = config.shards.count;
    let directory = Arc::new(Directory::new(shards, config.cluster.is_some(), rng.u64(..)));
    let mut ends = mesh((0..=shards).map(|_| NoBell).collect(), credit_bytes);
    let service = ends.pop().expect("one more than there are shards");
    let sites = ends.into_iter().enumerate().map(|(number, endpoint)| {
        let shard = Shard::new(number, Arc::clone(config), Arc::clone(&directory), rng.u64(..));
        Site::new(shard, endpoint)
    });
    (sites.collect(), service)
}

/// A cluster's part of the configuration, without anything special.
pub(crate) fn cluster() -> Cluster {
    Cluster {
        name: "C".to_owned(),
        name_is_dynamic: false,
        host: "0.0.0.0".to_owned(),
        port: 6222,
        advertise: None,
        no_advertise: false,
        client_urls: Vec::new(),
        authorization: None,
        auth_timeout: Duration::from_secs(2),
        routes: Vec::new(),
        connect_retries: 0,
        connect_backoff: false,
        connect_error_reports: 3600,
        reconnect_error_reports: 1,
        permissions: None,
        pool_size: Some(3),
        accounts: Vec::new(),
        system_account: true,
        compression: "accept".to_owned(),
        rtt_thresholds: Vec::new(),
        ping_interval: Duration::from_secs(30),
        ping_max: 2,
        write_deadline: Duration::from_secs(10),
        write_timeout_retry: true,
    }
}

/// A route that comes to its shard with nothing said on it.
pub(crate) fn route_start(rid: u64, peer: u16, kind: RouteKind) -> RouteStart {
    let (id, name) = (format!("N{peer}"), format!("S{peer}"));
    RouteStart {
        rid,
        address: ([127, 0, 0, 1], 1).into(),
        remote: Arc::new(RemoteServer { id, name, headers: true, compresses: false }),
        peer,
        kind,
        solicited: false,
        explicit: false,
        opened: 0,
        remote_permissions: None,
        codec: None,
        verbose: false,
        input: Vec::new(),
        output: Vec::new(),
        report_pong: false,
    }
}

/// See the module.
pub(crate) struct Net {
    pub sites: Vec<Site>,
    pub wires: Vec<Wire>,
    pub clients: Vec<Client>,
    pub rng: fastrand::Rng,
    /// Milliseconds.
    pub now: u64,
    /// Counts the steps: a clock for what happened before what.
    pub tick: u64,
    service: Endpoint<Freight, NoBell>,
    seed: u64,
}

impl Net {
    /// A server; `seed` decides everything that is left to chance.
    pub fn new(seed: u64, config: Config) -> Self {
        Self::with_credit(seed, config, 1024 * 1024)
    }

    /// The same, with so many bytes of credit between two shards.
    pub fn with_credit(seed: u64, config: Config, credit_bytes: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (sites, service) = shards(&Arc::new(config), credit_bytes, &mut rng);
        Net { sites, wires: Vec::new(), clients: Vec::new(), rng, now: 0, tick: 0, service, seed }
    }

    /// A client on a shard of the seed's choice; answers its number.
    pub fn connect(&mut self) -> usize {
        let site = self.rng.usize(..self.sites.len());
        self.connect_to(site)
    }

    /// A client on this shard; it has not said anything.
    pub fn connect_to(&mut self, site: usize) -> usize {
        let client = self.clients.len();
        self.wires.push(Wire::new());
        self.clients.push(Client::default());
        self.sites[site].arrive(client);
        client
    }

    /// Another server whose connection has just become a route of this shard; answers its number among the clients.
    pub fn connect_route(&mut self, site: usize, start: impl FnOnce(u64) -> RouteStart) -> usize {
        let peer = self.clients.len();
        self.wires.push(Wire::new());
        self.clients.push(Client::server());
        let payload = Freight::Route(peer, Box::new(start(peer as u64 + 1)));
        self.service.send_turn(&mut vec![Outgoing { target: site, bytes: 0, payload }]);
        peer
    }

    /// A client that said CONNECT with this JSON and read the PONG.
    pub fn join(&mut self, site: usize, options: &str) -> usize {
        let client = self.connect_to(site);
        self.send(client, format!("CONNECT {options}\r\nPING\r\n"));
        self.settle();
        assert_eq!(self.take(client).last(), Some(&Frame::Pong), "{self:?}");
        client
    }

    /// The client's bytes set out.
    pub fn send(&mut self, client: usize, bytes: impl AsRef<[u8]>) {
        self.tick += 1;
        self.wires[client].send(bytes.as_ref());
    }

    /// The client closes its end, after what it sent.
    pub fn close(&mut self, client: usize) {
        self.tick += 1;
        self.wires[client].close();
    }

    /// What the client has got since it was last asked.
    pub fn take(&mut self, client: usize) -> Vec<Frame> {
        std::mem::take(&mut self.clients[client].frames).into_iter().map(|(_, frame)| frame).collect()
    }

    /// Sends, lets everything happen, and answers what the client got.
    pub fn ask(&mut self, client: usize, bytes: impl AsRef<[u8]>) -> Vec<Frame> {
        self.send(client, bytes);
        self.settle();
        self.take(client)
    }

    /// One thing happens somewhere.
    pub fn step(&mut self) {
        self.tick += 1;
        let wires = self.wires.len();
        match self.rng.u8(..4) {
            0 if wires > 0 => {
                let wire = self.rng.usize(..wires);
                self.wires[wire].arrive(&mut self.rng);
            }
            1 if wires > 0 => {
                let client = self.rng.usize(..wires);
                self.client_reads(client);
            }
            2 if self.rng.u8(..8) == 0 => self.serve(),
            _ => {
                let site = self.rng.usize(..self.sites.len());
                self.sites[site].step(&mut self.wires, self.now, &mut self.rng);
            }
        }
    }

    fn client_reads(&mut self, client: usize) {
        if self.clients[client].reads {
            let bytes = self.wires[client].take(&mut self.rng);
            self.clients[client].read(&bytes, self.tick);
        }
    }

    /// What the service thread does.
    fn serve(&mut self) {
        while let Some(incoming) = self.service.receive() {
            self.service.settle(incoming.from, incoming.bytes);
            if let Freight::Mail(Mail::Control(Control::Verify { connection, verification })) = incoming.payload {
                let credential = verification.run().then_some(verification.credential);
                let payload = Freight::Mail(Mail::Control(Control::Verified { connection, credential }));
                self.service.send_turn(&mut vec![Outgoing { target: incoming.from, bytes: 0, payload }]);
            }
        }
    }

    /// Is there nothing left to do without a timer or a client?
    fn is_quiet(&mut self) -> bool {
        let Net { sites, wires, clients, service, .. } = self;
        let asleep = sites.iter_mut().all(|site| site.is_asleep(wires, self.now));
        asleep
            && !service.may_have_mail()
            && wires.iter().zip(clients).all(|(wire, client)| wire.is_quiet(client.reads))
    }

    /// Lets things happen until nothing does any more; stalls end on the way.
    pub fn settle(&mut self) {
        for round in 0u64.. {
            for _ in 0..16 {
                self.step();
            }
            // A step of everybody's, so that it ends.
            self.serve();
            for client in 0..self.clients.len() {
                self.wires[client].arrive(&mut self.rng);
                self.client_reads(client);
            }
            if !self.is_quiet() {
                assert!(round < 1_000_000, "never quiet: {self:?}");
                continue;
            }
            let next = self.sites.iter().filter_map(|site| site.shard.next_timer()).min();
            match next.filter(|at| *at <= self.now + SOON_MS) {
                Some(at) => self.now = self.now.max(at),
                None => return,
            }
        }
    }

    /// Time goes by in small steps, and everything that it brings about happens.
    pub fn advance(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        loop {
            self.settle();
            let next = self.sites.iter().filter_map(|site| site.shard.next_timer()).min();
            match next {
                Some(at) if at < end => self.now = self.now.max(at),
                _ => break,
            }
        }
        self.now = self.now.max(end);
        self.settle();
    }

    /// Sum of what the shards counted.
    pub fn count(&self, what: impl Fn(&crate::shard::Counters) -> u64) -> u64 {
        self.sites.iter().map(|site| what(&site.shard.counters())).sum()
    }

    /// The service thread tells all shards something.
    pub fn tell_shards(&mut self, control: impl Fn() -> Control) {
        for target in 0..self.sites.len() {
            let payload = Freight::Mail(Mail::Control(control()));
            self.service.send_turn(&mut vec![Outgoing { target, bytes: 0, payload }]);
        }
    }

    /// Asks all shards as monitoring does; the answers are there once everything has settled.
    pub fn survey(&mut self, query: Query) -> Receiver<Snapshot> {
        let (answers, received) = bounded(self.sites.len());
        let query = Arc::new(query);
        self.tell_shards(|| Control::Survey(Box::new(Survey::new(Arc::clone(&query), answers.clone()))));
        received
    }

    /// Connections of all shards, to see that none is left over.
    pub fn connections(&self) -> usize {
        let open: HashSet<usize> = (0..self.wires.len()).filter(|&wire| !self.wires[wire].closed).collect();
        let known: usize = self.sites.iter().map(|site| site.shard.connections()).sum();
        assert_eq!(open.len(), known, "{self:?}");
        known
    }
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "seed {}, {} shards, step {}", self.seed, self.sites.len(), self.tick)
    }
}
