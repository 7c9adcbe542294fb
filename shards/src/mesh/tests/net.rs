//! A little network in memory: servers that are meshes with shards that do what a route needs, and wires that take their time.

use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::config::{Cluster, Config, RouteUrl};
use crate::connection::CloseReason;
use crate::mesh::{DialError, Effect, Mesh, PeerPath, RouteKind, RouteStart};
use crate::protocol::route::{RouteLimits, RouteOp, RouteParser, RouteStep};
use crate::shard::mail::Control;
use crate::testing::cluster;

const PORT: u16 = 6222;

pub(super) fn ip(server: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, u8::try_from(server).unwrap()).into()
}

pub(super) fn url(server: usize) -> RouteUrl {
    let host = ip(server).to_string();
    RouteUrl { shown: format!("nats://{host}:{PORT}"), host, port: Some(PORT), credentials: None }
}

/// What is configured of a server.
#[derive(Clone)]
pub(super) struct Plan {
    pub shards: usize,
    pub cluster: Cluster,
    /// Offers lanes.
    pub lanes: bool,
    pub name: Option<String>,
}

impl Plan {
    pub fn new(shards: usize, routes: &[usize]) -> Plan {
        let cluster = Cluster { routes: routes.iter().map(|&server| url(server)).collect(), ..cluster() };
        Plan { shards, cluster, lanes: true, name: None }
    }

    /// Like a Go server, with that many connections to each other one (0: without pools).
    pub fn go(pool_size: u32, routes: &[usize]) -> Plan {
        let mut plan = Plan { lanes: false, ..Plan::new(2, routes) };
        plan.cluster.pool_size = Some(pool_size).filter(|size| *size > 0);
        plan
    }
}

pub(super) struct Route {
    pub start: RouteStart,
    pub shard: u16,
    input: Vec<u8>,
    reported: bool,
}

impl Route {
    fn take(&mut self, bytes: &[u8]) {
        let Some(codec) = &mut self.start.codec else { return self.input.extend_from_slice(bytes) };
        codec.feed(bytes);
        let mut room = [0; 1000];
        while let Ok((count, _)) = codec.read(&mut room, &mut |_| Err(ErrorKind::WouldBlock.into())) {
            self.input.extend_from_slice(&room[..count]);
        }
    }
}

pub(super) struct Server {
    pub plan: Plan,
    pub id: String,
    pub mesh: Option<Mesh>,
    pub routes: BTreeMap<u64, Route>,
    /// Of each shard: the way to each peer.
    pub ways: Vec<BTreeMap<u16, PeerPath>>,
    pub urls: Vec<Option<Arc<[String]>>>,
    starts: u32,
}

#[derive(Debug)]
struct Wire {
    /// Server and number of the connection there, of who dialled and who was dialled.
    ends: [(usize, u64); 2],
    open: [bool; 2],
    /// Nothing arrives any more.
    broken: bool,
    /// When the last thing under way arrives at each end.
    latest: [u64; 2],
}

#[derive(Debug)]
enum Event {
    Start(usize),
    Stop(usize),
    /// The other end notices.
    Accept(usize),
    Connect {
        server: usize,
        start: u32,
        attempt: u64,
        to: (String, u16),
    },
    Dialed {
        server: usize,
        start: u32,
        attempt: u64,
        result: Result<usize, String>,
    },
    Arrives {
        wire: usize,
        end: usize,
        bytes: Option<Vec<u8>>,
    },
    Report {
        server: usize,
        start: u32,
        shard: u16,
        control: Control,
    },
    Cut(usize, usize),
    Heal(usize, usize),
    /// An end of a broken wire gives up.
    Timeout(usize, usize),
}

struct Due {
    at: u64,
    number: u64,
    event: Event,
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.number == other.number
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Due) -> std::cmp::Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

pub(super) struct Net {
    pub now: u64,
    pub servers: Vec<Server>,
    pub rng: fastrand::Rng,
    seed: u64,
    /// Everything takes up to so many milliseconds.
    pub delay: u64,
    wires: Vec<Wire>,
    cuts: BTreeSet<(usize, usize)>,
    events: BinaryHeap<Due>,
    numbers: u64,
    reported_at: BTreeMap<(usize, u16), u64>,
}

impl Net {
    /// Servers that are yet to start.
    pub fn new(seed: u64, plans: Vec<Plan>) -> Net {
        let server = |plan: Plan| Server {
            id: String::new(),
            mesh: None,
            routes: BTreeMap::new(),
            ways: vec![BTreeMap::new(); plan.shards],
            urls: vec![None; plan.shards],
            starts: 0,
            plan,
        };
        Net {
            now: 1000,
            servers: plans.into_iter().map(server).collect(),
            rng: fastrand::Rng::with_seed(seed),
            seed,
            delay: 5,
            wires: Vec::new(),
            cuts: BTreeSet::new(),
            events: BinaryHeap::new(),
            numbers: 0,
            reported_at: BTreeMap::new(),
        }
    }

    pub fn start(&mut self, server: usize, after: u64) {
        self.push(self.now + after, Event::Start(server));
    }

    /// Nothing passes between two servers for so long. What is connected notices at some time.
    pub fn cut(&mut self, one: usize, other: usize, after: u64, milliseconds: u64) {
        self.push(self.now + after, Event::Cut(one, other));
        self.push(self.now + after + milliseconds, Event::Heal(one, other));
    }

    pub fn stop(&mut self, server: usize, after: u64) {
        self.push(self.now + after, Event::Stop(server));
    }

    fn push(&mut self, at: u64, event: Event) {
        self.numbers += 1;
        self.events.push(Due { at, number: self.numbers, event });
    }

    fn soon(&mut self) -> u64 {
        self.now + self.rng.u64(0..=self.delay)
    }

    /// Lets so many milliseconds pass.
    pub fn run(&mut self, milliseconds: u64) {
        let end = self.now + milliseconds;
        loop {
            let timer = self.servers.iter().filter_map(|server| server.mesh.as_ref()?.next_timer()).min();
            let event = self.events.peek().map(|due| due.at);
            let next = timer.into_iter().chain(event).min().unwrap_or(end).max(self.now);
            if next > end {
                self.now = end;
                return;
            }
            if next == end && timer.is_none_or(|at| at > end) && event.is_none_or(|at| at > end) {
                self.now = end;
                return;
            }
            self.now = next;
            if event.is_some_and(|at| at <= next) {
                if let Some(due) = self.events.pop() {
                    self.happens(due.event);
                }
            } else {
                for server in 0..self.servers.len() {
                    let now = self.now;
                    if let Some(mesh) = &mut self.servers[server].mesh
                        && mesh.next_timer().is_some_and(|at| at <= now)
                    {
                        mesh.run_timers(now);
                        self.act(server);
                    }
                }
            }
        }
    }

    fn happens(&mut self, event: Event) {
        let now = self.now;
        match event {
            Event::Start(index) => {
                let server = &mut self.servers[index];
                server.starts += 1;
                server.id = format!("N{:03}{index:03}{}", self.rng.u32(0..1000), server.starts);
                let mut config = Config { cluster: Some(server.plan.cluster.clone()), ..crate::testing::config(1) };
                config.shards.count = server.plan.shards;
                config.identity.server_id = server.id.clone();
                config.identity.server_name = server.plan.name.clone().unwrap_or_else(|| server.id.clone());
                let mut mesh = Mesh::new(Arc::new(config), self.rng.u64(..));
                if !server.plan.lanes {
                    mesh.offer_no_lanes();
                }
                mesh.start(now);
                server.mesh = Some(mesh);
                self.act(index);
            }
            Event::Stop(index) => {
                let server = &mut self.servers[index];
                server.mesh = None;
                server.routes.clear();
                server.ways.iter_mut().for_each(BTreeMap::clear);
                for wire in 0..self.wires.len() {
                    for end in 0..2 {
                        if self.wires[wire].ends[end].0 == index {
                            self.hang_up(wire, end);
                        }
                    }
                }
            }
            Event::Accept(wire) => {
                let (server, rid) = self.wires[wire].ends[1];
                let peer = SocketAddr::new(ip(self.wires[wire].ends[0].0), 40_000);
                if let Some(mesh) = &mut self.servers[server].mesh {
                    mesh.accepted(now, rid, peer);
                    self.act(server);
                }
            }
            Event::Connect { server, start, attempt, to } => {
                if self.servers[server].starts == start {
                    self.connects(server, start, attempt, to);
                }
            }
            Event::Dialed { server, start, attempt, result } => {
                if self.servers[server].starts != start {
                    return;
                }
                let outcome = match result {
                    Ok(wire) => {
                        let (target, _) = self.wires[wire].ends[1];
                        Ok((self.wires[wire].ends[0].1, SocketAddr::new(ip(target), PORT)))
                    }
                    Err(error) => Err(DialError::Failed(error)),
                };
                if let Some(mesh) = &mut self.servers[server].mesh {
                    mesh.dialed(now, attempt, outcome);
                    self.act(server);
                }
            }
            Event::Arrives { wire, .. } if self.wires[wire].broken => {}
            Event::Arrives { wire, end, bytes } => self.arrives(wire, end, bytes),
            Event::Timeout(wire, end) => self.arrives(wire, end, None),
            Event::Cut(one, other) => {
                self.cuts.insert((one.min(other), one.max(other)));
                for wire in 0..self.wires.len() {
                    let ends = self.wires[wire].ends.map(|(server, _)| server);
                    if ends == [one, other] || ends == [other, one] {
                        self.wires[wire].broken = true;
                        for end in 0..2 {
                            let at = now + self.rng.u64(0..90_000);
                            self.push(at, Event::Timeout(wire, end));
                        }
                    }
                }
            }
            Event::Heal(one, other) => {
                self.cuts.remove(&(one.min(other), one.max(other)));
            }
            Event::Report { server, start, shard, control } => {
                if self.servers[server].starts == start
                    && let Some(mesh) = &mut self.servers[server].mesh
                {
                    mesh.report(now, shard, control);
                    self.act(server);
                }
            }
        }
    }

    fn arrives(&mut self, wire: usize, end: usize, bytes: Option<Vec<u8>>) {
        let (server, rid) = self.wires[wire].ends[end];
        if !self.wires[wire].open[end] {
            return;
        }
        let now = self.now;
        let Some(bytes) = bytes else {
            self.wires[wire].open[end] = false;
            if self.servers[server].routes.contains_key(&rid) {
                self.close_route(server, rid, CloseReason::ClientClosed);
            } else if let Some(mesh) = &mut self.servers[server].mesh {
                mesh.ended(now, rid, CloseReason::ClientClosed);
                self.act(server);
            }
            return;
        };
        if self.servers[server].routes.contains_key(&rid) {
            self.read_route(server, rid, &bytes);
        } else if let Some(mesh) = &mut self.servers[server].mesh {
            mesh.received(now, rid, &bytes);
            self.act(server);
        }
    }

    /// What a shard does with what a route says.
    fn read_route(&mut self, server: usize, rid: u64, bytes: &[u8]) {
        if let Some(route) = self.servers[server].routes.get_mut(&rid) {
            route.take(bytes);
        }
        loop {
            let Some(route) = self.servers[server].routes.get_mut(&rid) else { return };
            let limits = RouteLimits { max_control_line: 65_536, dedicated: false, max_payload: None };
            let (consumed, answer) = match RouteParser::new().next(&route.input, &limits) {
                RouteStep::Op { op, consumed } => {
                    let answer = match op {
                        RouteOp::Ping => Err(b"PONG\r\n".to_vec()),
                        RouteOp::Pong if route.start.report_pong && !route.reported => {
                            route.reported = true;
                            Ok(Some(Control::RoutePong { rid }))
                        }
                        RouteOp::Info { json } => Ok(Some(Control::RouteInfo { rid, json: json.into() })),
                        RouteOp::Err { .. } => Ok(None),
                        _ => Err(Vec::new()),
                    };
                    (consumed, answer)
                }
                RouteStep::Skipped { .. } | RouteStep::Incomplete { .. } => return,
                RouteStep::Error(error) => panic!("{error}"),
            };
            route.input.drain(..consumed);
            let shard = route.shard;
            match answer {
                Err(bytes) => self.say(server, rid, &bytes),
                Ok(Some(control)) => self.report(server, shard, control),
                Ok(None) => return self.close_route(server, rid, CloseReason::ParseError),
            }
        }
    }

    fn close_route(&mut self, server: usize, rid: u64, reason: CloseReason) {
        if let Some(route) = self.servers[server].routes.remove(&rid) {
            self.hang_up_by_rid(server, rid);
            self.report(server, route.shard, Control::RouteClosed { rid, reason });
            self.report(server, route.shard, Control::RouteForgotten { rid });
        }
    }

    fn report(&mut self, server: usize, shard: u16, control: Control) {
        let at = self.soon();
        let latest = self.reported_at.entry((server, shard)).or_default();
        *latest = at.max(*latest);
        let (at, start) = (*latest, self.servers[server].starts);
        self.push(at, Event::Report { server, start, shard, control });
    }

    fn wire_of(&self, server: usize, rid: u64) -> Option<(usize, usize)> {
        let end_of = |wire: &Wire| wire.ends.iter().position(|end| *end == (server, rid));
        let wire = self.wires.iter().rposition(|wire| end_of(wire).is_some())?;
        Some((wire, end_of(&self.wires[wire])?))
    }

    fn hang_up_by_rid(&mut self, server: usize, rid: u64) {
        if let Some((wire, end)) = self.wire_of(server, rid) {
            self.hang_up(wire, end);
        }
    }

    fn hang_up(&mut self, wire: usize, end: usize) {
        if std::mem::replace(&mut self.wires[wire].open[end], false) {
            self.post(wire, 1 - end, None);
        }
    }

    fn post(&mut self, wire: usize, to: usize, bytes: Option<Vec<u8>>) {
        let at = self.soon().max(self.wires[wire].latest[to]);
        self.wires[wire].latest[to] = at;
        self.push(at, Event::Arrives { wire, end: to, bytes });
    }

    fn send(&mut self, server: usize, rid: u64, bytes: Vec<u8>) {
        if let Some((wire, end)) = self.wire_of(server, rid)
            && self.wires[wire].open[end]
            && !bytes.is_empty()
        {
            self.post(wire, 1 - end, Some(bytes));
        }
    }

    /// What a shard sends on a route.
    fn say(&mut self, server: usize, rid: u64, bytes: &[u8]) {
        let codec = self.servers[server].routes.get_mut(&rid).and_then(|route| route.start.codec.as_mut());
        let bytes = codec.map_or(bytes.to_vec(), |codec| codec.compress(bytes));
        self.send(server, rid, bytes);
    }

    fn act(&mut self, server: usize) {
        let mut effects = Vec::new();
        if let Some(mesh) = &mut self.servers[server].mesh {
            mesh.take_effects(&mut effects);
        }
        for effect in effects {
            match effect {
                Effect::Dial { attempt, host, port } => {
                    let (at, start) = (self.soon(), self.servers[server].starts);
                    self.push(at, Event::Connect { server, start, attempt, to: (host, port) });
                }
                Effect::Send { rid, bytes } => self.send(server, rid, bytes),
                Effect::Close { rid } => self.hang_up_by_rid(server, rid),
                Effect::Establish { shard, mut start } => {
                    let rid = start.rid;
                    let mut first = std::mem::take(&mut start.output);
                    // A shard may have much to say before it comes to what was read.
                    first.extend_from_slice(b"RS+ $G early\r\n");
                    if start.report_pong {
                        first.extend_from_slice(b"PING\r\n");
                    }
                    let input = std::mem::take(&mut start.input);
                    self.servers[server].routes.insert(rid, Route { start: *start, shard, input, reported: false });
                    self.say(server, rid, &first);
                    let (wire, end) = self.wire_of(server, rid).expect("a socket");
                    if self.wires[wire].open[end] {
                        self.read_route(server, rid, &[]);
                    } else {
                        self.close_route(server, rid, CloseReason::ClientClosed);
                    }
                }
                Effect::Tell { shard, control } => self.tell(server, shard, control),
            }
        }
    }

    fn tell(&mut self, server: usize, shard: u16, control: Control) {
        let at = &mut self.servers[server];
        match control {
            Control::PeerUp { peer, path } => {
                at.ways[usize::from(shard)].insert(peer, path);
            }
            Control::PeerDown { peer } => {
                at.ways[usize::from(shard)].remove(&peer);
            }
            Control::RouteTell { rid, bytes } => self.say(server, rid, &bytes),
            Control::RouteClose { rid, error, reason } => {
                if let Some(error) = error {
                    self.say(server, rid, format!("-ERR '{error}'\r\n").as_bytes());
                }
                self.close_route(server, rid, reason);
            }
            Control::RouteUpgrade { rid, explicit } => {
                if let Some(route) = at.routes.get_mut(&rid) {
                    route.start.solicited = true;
                    route.start.explicit |= explicit;
                }
            }
            Control::ClusterChanged { connect_urls, .. } => at.urls[usize::from(shard)] = connect_urls,
            other => panic!("unexpected {other:?}"),
        }
    }

    /// A connection arrives, or fails to.
    fn connects(&mut self, server: usize, start: u32, attempt: u64, (host, port): (String, u16)) {
        let target = (0..self.servers.len()).find(|&target| ip(target).to_string() == host);
        let target = target.filter(|&target| port == PORT && self.servers[target].mesh.is_some());
        let is_cut = target.is_some_and(|target| self.cuts.contains(&(server.min(target), server.max(target))));
        let result = match target {
            Some(target) if !is_cut => {
                let ends = [(server, self.numbers + 1), (target, self.numbers + 2)];
                self.numbers += 2;
                let at = self.soon();
                let wire = self.wires.len();
                self.wires.push(Wire { ends, open: [true; 2], broken: false, latest: [at; 2] });
                self.push(at, Event::Accept(wire));
                Ok(wire)
            }
            Some(_) => Err(format!("dial tcp {host}:{port}: i/o timeout")),
            None => Err(format!("dial tcp {host}:{port}: connect: connection refused")),
        };
        let at = self.soon() + if is_cut { 1000 } else { 0 };
        if let Ok(wire) = result {
            let latest = &mut self.wires[wire].latest[0];
            *latest = at.max(*latest);
        }
        self.push(at, Event::Dialed { server, start, attempt, result });
    }

    /// The remotes that a server's shards have, with the routes of each.
    pub fn remotes(&self, server: usize) -> BTreeMap<String, Vec<&Route>> {
        let mut remotes: BTreeMap<String, Vec<&Route>> = BTreeMap::new();
        for route in self.servers[server].routes.values() {
            remotes.entry(route.start.remote.id.clone()).or_default().push(route);
        }
        remotes
    }

    /// All running servers are connected with one another in the way that befits them, and nothing is pending.
    pub fn check_full_mesh(&self) {
        let running: Vec<usize> = (0..self.servers.len()).filter(|&index| self.servers[index].mesh.is_some()).collect();
        for &one in &running {
            let remotes = self.remotes(one);
            let ids: Vec<&String> = remotes.keys().collect();
            let mut expected: Vec<&String> =
                running.iter().filter(|&&other| other != one).map(|&other| &self.servers[other].id).collect();
            expected.sort();
            let lanes: Vec<bool> = self.servers.iter().map(|server| server.plan.lanes).collect();
            assert_eq!(ids, expected, "remotes of {} with seed {}, {lanes:?}", self.servers[one].id, self.seed);
            for &other in running.iter().filter(|&&other| other != one) {
                self.check_pair(one, other, &remotes[&self.servers[other].id]);
            }
            let mesh = self.servers[one].mesh.as_ref().unwrap();
            assert!(mesh.handshakes.is_empty() && mesh.sets.is_empty(), "{:?}", mesh.handshakes);
            assert_eq!(mesh.status().remotes, expected.len());
        }
    }

    fn check_pair(&self, one: usize, other: usize, routes: &[&Route]) {
        let (a, b) = (&self.servers[one], &self.servers[other]);
        let sizes = [&a.plan, &b.plan].map(|plan| plan.cluster.pool_size.unwrap_or(0));
        let mut kinds: Vec<&RouteKind> = routes.iter().map(|route| &route.start.kind).collect();
        kinds.sort_by_key(|kind| format!("{kind:?}"));
        let (lanes, pool) = if a.plan.lanes && b.plan.lanes {
            (a.plan.shards.min(b.plan.shards), 0)
        } else if sizes.contains(&0) {
            (0, 1)
        } else {
            (0, *sizes.iter().max().unwrap())
        };
        let found = |wanted: fn(&RouteKind) -> bool| kinds.iter().filter(|kind| wanted(kind)).count();
        let context = format!("{} to {}: {kinds:?}", a.id, b.id);
        assert_eq!(found(|kind| matches!(kind, RouteKind::Lane { .. })), lanes, "{context}");
        assert_eq!(found(|kind| matches!(kind, RouteKind::Pool { .. })), pool as usize, "{context}");
        let system = found(|kind| matches!(kind, RouteKind::Dedicated { .. }));
        assert_eq!(system, usize::from(lanes == 0 && !sizes.contains(&0)), "{context}");
        for pair in kinds.windows(2) {
            assert_ne!(pair[0], pair[1], "{context}");
        }
        // All shards know the way, and it is one of these routes.
        let peer = routes[0].start.peer;
        for (shard, ways) in a.ways.iter().enumerate() {
            let way = ways.get(&peer).unwrap_or_else(|| panic!("shard {shard} of {context}"));
            let route = routes.iter().find(|route| route.start.rid == way.rid).expect("a route to this peer");
            assert_eq!(route.shard, way.shard);
            assert!(!matches!(route.start.kind, RouteKind::Pool { carries: false, .. }), "{context}");
            if let RouteKind::Lane { lane, lanes } = route.start.kind {
                assert_eq!((usize::from(lane), lane), (shard % usize::from(lanes), route.shard));
            }
        }
        for route in routes {
            let (wire, end) = self.wire_of(one, route.start.rid).expect("a wire");
            assert_eq!(self.wires[wire].ends[1 - end].0, other);
            assert!(self.wires[wire].open == [true; 2]);
            let far = &b.routes[&self.wires[wire].ends[1 - end].1];
            match (&route.start.kind, &far.start.kind) {
                (RouteKind::Pool { index: near, .. }, RouteKind::Pool { index: far, .. }) => assert_eq!(near, far),
                (near, far) => assert_eq!(near, far, "{context}"),
            }
        }
    }
}
