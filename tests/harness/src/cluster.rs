//! Clusters of servers: any mix of ours, the reference and an old one, on ports that stay theirs, so that a server can
//! come back or another one can take its seat.
//!
//! Interest travels from server to server without an answer, so a test that publishes on one server what a client of
//! another has subscribed to calls [`Cluster::settle`] in between. It asks for nothing but what every cluster promises:
//! interest and messages of one account arrive in the order in which they were sent.

use std::collections::BTreeSet;
use std::env;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::client::{Client, RESPONDERS};
use crate::frame::Frame;
use crate::monitoring;
use crate::poll::{DEADLINE, poll_until};
use crate::server::{Builder, Server};
use crate::side::Side;

/// The name of every cluster that [`Cluster::start`] makes.
pub const CLUSTER_NAME: &str = "test-cluster";
/// The sid of the subscription that [`Cluster::settle`] makes for a while.
const FENCE: &str = "fence";
/// Between two looks at what a fence has brought.
const PAUSE: Duration = Duration::from_millis(2);
/// The first of the ports for seats, and how many there are: below those that the kernel gives to outgoing connections
/// and to listeners that take any, so a stopped server's port is still free when it comes back.
const FIRST_PORT: u32 = 12_000;
const PORTS: u32 = 20_000;

/// What kind of server plays a part in a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ours, with so many shards.
    Ours(usize),
    /// The reference.
    Reference,
    /// The reference's older version 2.9.10, which knows neither pools of routes nor compression.
    Old,
}

impl Kind {
    /// The program of this kind.
    ///
    /// # Panics
    /// When there is none, with what to do about it.
    pub fn program(self) -> PathBuf {
        match self {
            Kind::Ours(_) => Side::Ours.program(),
            Kind::Reference => Side::Reference.program(),
            Kind::Old => match env::var_os("NATS_SERVER_OLD").map(PathBuf::from) {
                Some(path) if path.exists() => path,
                Some(path) => panic!("no nats-server 2.9.10 at {}; run tools/peers and read why", path.display()),
                None => panic!("no nats-server 2.9.10: NATS_SERVER_OLD is not set; run tools/test, which installs it"),
            },
        }
    }

    /// A server of this kind, to be configured and started.
    pub fn server(self) -> Builder {
        match self {
            Kind::Ours(shards) => Side::Ours.server().shards(shards),
            Kind::Reference | Kind::Old => Side::Reference.server().program(self.program()),
        }
    }

    /// Whether it is ours.
    pub fn is_ours(self) -> bool {
        matches!(self, Kind::Ours(_))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Kind::Ours(shards) => write!(f, "pinmesh/{shards}"),
            Kind::Reference => f.write_str("nats-server"),
            Kind::Old => f.write_str("nats-server 2.9"),
        }
    }
}

/// Where one server of a cluster listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// The port for clients.
    pub client: u16,
    /// The port for routes.
    pub route: u16,
    /// The port for monitoring.
    pub monitor: u16,
}

impl Seat {
    /// Free ports that no other seat has.
    pub fn take() -> Seat {
        Seat { client: free_port(), route: free_port(), monitor: free_port() }
    }

    /// [`Seat::take`] for several.
    pub fn several(count: usize) -> Vec<Seat> {
        (0..count).map(|_| Seat::take()).collect()
    }

    /// What other servers dial.
    pub fn route_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.route)
    }

    /// What clients dial.
    pub fn client_url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.client)
    }

    /// What INFO tells clients about a server in this seat.
    pub fn connect_url(&self) -> String {
        format!("127.0.0.1:{}", self.client)
    }

    /// A configuration file that listens here, with the inner part of its block `cluster` and whatever else.
    pub fn config(&self, cluster: &str, other: &str) -> String {
        let Seat { client, route, monitor } = self;
        format!(
            "listen: \"127.0.0.1:{client}\"\nhttp: \"127.0.0.1:{monitor}\"\n{other}\n\
             cluster {{\n  listen: \"127.0.0.1:{route}\"\n  {cluster}\n}}\n"
        )
    }
}

/// A port on which nobody listens; each is given out once.
pub fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    for _ in 0..PORTS {
        // Different processes begin at different ports, so that they seldom look at the same one.
        let number = process::id().wrapping_mul(61).wrapping_add(GIVEN.fetch_add(1, Ordering::Relaxed));
        let port = u16::try_from(FIRST_PORT + number % PORTS).expect("a port below 65536");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("none of {PORTS} ports is free");
}

/// The list of routes for the block `cluster`.
pub fn routes<'a>(seats: impl IntoIterator<Item = &'a Seat>) -> String {
    let urls: Vec<String> = seats.into_iter().map(|seat| format!("\"{}\"", seat.route_url())).collect();
    format!("routes: [{}]", urls.join(", "))
}

/// A server in its seat.
#[derive(Debug)]
pub struct Member {
    /// Which server it is.
    pub kind: Kind,
    /// Where it listens.
    pub seat: Seat,
    /// The running process.
    pub server: Server,
}

impl Member {
    /// Starts a server in a seat, with the inner part of its block `cluster` and whatever else is in its configuration.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn start(kind: Kind, seat: Seat, cluster: &str, other: &str) -> Member {
        Member::with(kind, seat, cluster, other, &[])
    }

    /// [`Member::start`] with further arguments.
    ///
    /// # Panics
    /// When it does not become ready.
    pub fn with(kind: Kind, seat: Seat, cluster: &str, other: &str, arguments: &[&str]) -> Member {
        let config = seat.config(cluster, other);
        let server = kind.server().without_listen_flags().config(config).args(arguments).start();
        Member { kind, seat, server }
    }

    /// A client that takes headers and 503 replies.
    pub fn client(&self) -> Result<Client> {
        self.client_with(RESPONDERS)
    }

    /// A client with these options (JSON).
    pub fn client_with(&self, options: &str) -> Result<Client> {
        Client::connect_with(self.server.address(), options).with_context(|| format!("no client on {self}"))
    }

    /// What the monitoring says under `path`.
    pub fn json(&self, path: &str) -> Result<Value> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.seat.monitor));
        monitoring::json(address, path).with_context(|| self.to_string())
    }

    /// The server's id.
    pub fn id(&self) -> Result<String> {
        let varz = self.json("/varz")?;
        Ok(varz["server_id"].as_str().context("no server_id in /varz")?.to_owned())
    }

    /// The connections to other servers, as `/routez` has them.
    pub fn routes(&self) -> Result<Vec<Value>> {
        match self.json("/routez")?["routes"].take() {
            Value::Array(routes) => Ok(routes),
            other => bail!("the routes of {self} are {other}"),
        }
    }

    /// The ids of the servers that it has routes to.
    pub fn remotes(&self) -> Result<BTreeSet<String>> {
        Ok(self.routes()?.iter().filter_map(|route| Some(route["remote_id"].as_str()?.to_owned())).collect())
    }

    /// Waits until new clients are told that these are the URLs of the cluster.
    pub fn wait_for_urls(&self, wanted: &[String]) -> Result<()> {
        let wanted: BTreeSet<&String> = wanted.iter().collect();
        let mut told = Ok(Vec::new());
        let found = poll_until(DEADLINE, || {
            told = Client::open(self.server.address()).map(|client| connect_urls(client.info()).unwrap_or_default());
            told.as_ref().is_ok_and(|told| told.iter().collect::<BTreeSet<_>>() == wanted).then_some(())
        });
        found.with_context(|| format!("clients of {self} are told {told:?} in place of {wanted:?}"))
    }
}

/// The `connect_urls` of an INFO, if it has some.
pub fn connect_urls(info: &str) -> Option<Vec<String>> {
    let info: Value = serde_json::from_str(info).ok()?;
    info["connect_urls"].as_array()?.iter().map(|url| Some(url.as_str()?.to_owned())).collect()
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} on port {}", self.kind, self.seat.client)
    }
}

/// Some servers that know each other.
#[derive(Debug, Default)]
pub struct Cluster {
    /// In the order in which they were started.
    pub members: Vec<Member>,
}

impl Cluster {
    /// Starts a cluster in which everybody but the first, the seed, is told about the first alone, and waits until all
    /// of them are connected.
    pub fn start(kinds: &[Kind]) -> Result<Cluster> {
        Cluster::start_with(kinds, |_, _| String::new())
    }

    /// [`Cluster::start`] with further lines in the block `cluster`, given the number and the kind of a server.
    pub fn start_with(kinds: &[Kind], options: impl Fn(usize, Kind) -> String) -> Result<Cluster> {
        let seats = Seat::several(kinds.len());
        let members = kinds.iter().zip(&seats).enumerate().map(|(number, (&kind, &seat))| {
            let routes = if number == 0 { String::new() } else { routes(&seats[..1]) };
            let cluster = format!("name: {CLUSTER_NAME}\n  {routes}\n  {}", options(number, kind));
            Member::start(kind, seat, &cluster, "")
        });
        let cluster = Cluster { members: members.collect() };
        cluster.wait_for_mesh()?;
        Ok(cluster)
    }

    /// A client of one of the servers; one that takes headers and 503 replies.
    pub fn client(&self, member: usize) -> Result<Client> {
        self.members[member % self.members.len()].client()
    }

    /// A client of each server.
    pub fn clients(&self) -> Result<Vec<Client>> {
        self.members.iter().map(Member::client).collect()
    }

    /// Waits until messages pass from every server to every other one.
    pub fn wait_for_mesh(&self) -> Result<()> {
        self.settle(&mut self.clients()?).context("no mesh")
    }

    /// Waits until every server knows all that these clients have subscribed to, or unsubscribed from.
    ///
    /// The clients must not get messages meanwhile.
    pub fn settle<'a>(&self, clients: impl IntoIterator<Item = &'a mut Client>) -> Result<()> {
        let mut probes = self.clients()?;
        clients.into_iter().try_for_each(|client| settle(client, &mut probes))
    }

    /// Which kinds it is made of, in one line.
    pub fn line_up(&self) -> String {
        line_up(self.members.iter().map(|member| member.kind))
    }
}

/// Kinds of servers in one line.
pub fn line_up(kinds: impl IntoIterator<Item = Kind>) -> String {
    kinds.into_iter().map(|kind| kind.to_string()).collect::<Vec<_>>().join(" + ")
}

/// Subscribes once more; when messages for that subscription come from all servers, all interest sent before it has
/// come to them.
fn settle(client: &mut Client, probes: &mut [Client]) -> Result<()> {
    static FENCES: AtomicUsize = AtomicUsize::new(0);
    let subject = format!("_FENCE.{}", FENCES.fetch_add(1, Ordering::Relaxed));
    client.subscribe(&subject, "", FENCE)?;
    ensure!(client.flush()?.is_empty(), "messages came while the cluster settled");
    let mut silent: BTreeSet<usize> = (0..probes.len()).collect();
    let end = Instant::now() + DEADLINE;
    while !silent.is_empty() {
        ensure!(Instant::now() < end, "servers {silent:?} have not heard of a subscription for {DEADLINE:?}");
        for &server in &silent {
            probes[server].publish(&subject, "", server.to_string().as_bytes());
            probes[server].send_queued()?;
        }
        thread::sleep(PAUSE);
        while let Some(frame) = client.try_frame()? {
            match frame {
                Frame::Message(message) if message.sid == FENCE.as_bytes() => {
                    silent.remove(&std::str::from_utf8(message.payload)?.parse()?);
                }
                Frame::Info(_) | Frame::Ok => {}
                other => bail!("while the cluster settled came {other:?}"),
            }
        }
        ensure!(!client.is_closed(), "a server closed the connection of a client");
    }
    client.unsubscribe(FENCE)?;
    ensure!(client.flush()?.iter().all(|message| message.sid == FENCE), "messages came while the cluster settled");
    Ok(())
}
