//! A load that goes on while a cluster is broken and healed, and an account of what every client got of it.
//!
//! Each client subscribes to what all of them publish, itself included, and numbers what it publishes. A client that loses
//! its connection goes where the cluster has told it to, under a new name. So what one client got from another is a
//! *stream* of numbers: out of order is always wrong, and a gap is wrong while both ends and the way between them were well.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::client::Client;
use crate::cluster::connect_urls;
use crate::frame::Frame;
use crate::poll::{DEADLINE, eventually};

/// How many messages a client publishes before it looks for the answer to its PING.
const BATCH: u64 = 10;
/// How long it rests then, so that the load leaves the machine some time for what is tested.
const REST: Duration = Duration::from_millis(5);
/// Asynchronous INFO comes to clients of protocol 1 alone.
const OPTIONS: &str = r#"{"verbose":false,"pedantic":false,"protocol":1}"#;

/// How a client connects from the place where it lives.
pub type Dial = Box<dyn Fn(SocketAddr) -> Result<Client> + Send>;

/// A client under a name that it keeps as long as its connection: its number and how often it has reconnected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name {
    /// Which of the load's clients, in the order given.
    pub client: usize,
    /// How often it has reconnected.
    pub session: usize,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.client, self.session)
    }
}

/// What one client got from another one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// How many messages.
    pub received: u64,
    /// How many are missing between the first and the last.
    pub missing: u64,
    /// How many came twice or late.
    pub disordered: u64,
    last: u64,
}

/// What a client knows of itself.
#[derive(Debug, Default)]
struct Account {
    session: usize,
    /// The last number it has published in this session.
    published: u64,
    server: Option<SocketAddr>,
    /// What it got from whom, for all of its sessions.
    streams: BTreeMap<(usize, Name), Stream>,
    failure: Option<String>,
}

#[derive(Debug, Default)]
struct Shared {
    quiet: AtomicBool,
    done: AtomicBool,
    accounts: Vec<Mutex<Account>>,
}

impl Shared {
    fn account(&self, client: usize) -> MutexGuard<'_, Account> {
        self.accounts[client].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A running load.
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts one client for each of these servers, on this machine.
    pub fn start(servers: impl IntoIterator<Item = SocketAddr>) -> Load {
        Load::dialling(servers.into_iter().map(|server| -> (SocketAddr, Dial) { (server, Box::new(connect)) }))
    }

    /// [`Load::start`] with a way for each client to connect.
    pub fn dialling(clients: impl IntoIterator<Item = (SocketAddr, Dial)>) -> Load {
        let clients: Vec<(SocketAddr, Dial)> = clients.into_iter().collect();
        let accounts = clients.iter().map(|_| Mutex::default()).collect();
        let shared = Arc::new(Shared { accounts, ..Shared::default() });
        let start = |(number, (server, dial)): (usize, (SocketAddr, Dial))| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                let mut worker = Worker { number, shared: &shared, dial, urls: Vec::new() };
                if let Err(error) = worker.work(server) {
                    shared.account(number).failure = Some(format!("client {number} of the load: {error:#}"));
                }
            })
        };
        let threads = clients.into_iter().enumerate().map(start).collect();
        Load { shared, threads }
    }

    /// Waits until all these clients have got 50 more messages from each other.
    ///
    /// # Panics
    /// When they do not, or a client has given up.
    pub fn wait_for_progress(&self, clients: &[usize]) {
        let before = self.received(clients);
        eventually(&format!("messages between the clients {clients:?}"), || {
            self.check();
            let now = self.received(clients);
            now.iter().all(|(pair, &count)| count >= before.get(pair).copied().unwrap_or(0) + 50).then_some(())
        });
    }

    /// Waits until a client has connected to another server than `server`.
    ///
    /// # Panics
    /// When it does not.
    pub fn wait_for_move(&self, client: usize, from: SocketAddr) -> SocketAddr {
        eventually(&format!("client {client} away from {from}"), || {
            self.check();
            self.shared.account(client).server.filter(|&server| server != from)
        })
    }

    /// How much each of these clients has got from each of them, in the present sessions.
    fn received(&self, clients: &[usize]) -> BTreeMap<(usize, Name), u64> {
        let names: Vec<Name> = clients.iter().map(|&client| self.name(client)).collect();
        let mut counts = BTreeMap::new();
        for to in &names {
            let account = self.shared.account(to.client);
            for from in &names {
                let stream = account.streams.get(&(to.session, *from)).copied().unwrap_or_default();
                counts.insert((to.client, *from), stream.received);
            }
        }
        counts
    }

    /// The present name of a client.
    pub fn name(&self, client: usize) -> Name {
        Name { client, session: self.shared.account(client).session }
    }

    /// Stops publishing, waits until what was published last has reached all of these clients from all of them, ends
    /// the load and checks what always holds: nothing came twice or out of order, and no client had to give up.
    ///
    /// # Panics
    /// When one of these things is not so.
    pub fn finish(mut self, clients: &[usize]) -> Outcome {
        self.shared.quiet.store(true, Ordering::Relaxed);
        eventually(&format!("the last messages between the clients {clients:?}"), || {
            self.check();
            let last: Vec<(Name, u64)> =
                clients.iter().map(|&client| (self.name(client), self.shared.account(client).published)).collect();
            let got_all = |to: &Name| {
                let account = self.shared.account(to.client);
                last.iter().all(|(from, number)| {
                    let stream = account.streams.get(&(to.session, *from)).copied().unwrap_or_default();
                    stream.last >= *number
                })
            };
            last.iter().all(|(to, _)| got_all(to)).then_some(())
        });
        self.shared.done.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a client of the load has panicked");
        }
        self.check();
        let mut streams = BTreeMap::new();
        for client in 0..self.shared.accounts.len() {
            for (&(session, from), &stream) in &self.shared.account(client).streams {
                streams.insert((Name { client, session }, from), stream);
            }
        }
        let outcome = Outcome { streams };
        assert!(outcome.streams.values().all(|stream| stream.disordered == 0), "out of order: {outcome}");
        outcome
    }

    fn check(&self) {
        for account in &self.shared.accounts {
            if let Some(failure) = &account.lock().unwrap_or_else(PoisonError::into_inner).failure {
                panic!("{failure}");
            }
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.done.store(true, Ordering::Relaxed);
    }
}

/// What all clients of a load got from each other.
#[derive(Debug)]
pub struct Outcome {
    streams: BTreeMap<(Name, Name), Stream>,
}

impl Outcome {
    /// Insists that these clients, which have never lost their connections, got all that they published.
    ///
    /// # Panics
    /// When something is missing.
    pub fn nothing_lost_between(&self, clients: &[usize]) {
        for &to in clients {
            for &from in clients {
                let names = (Name { client: to, session: 0 }, Name { client: from, session: 0 });
                let stream = self.streams.get(&names).copied().unwrap_or_default();
                assert!(stream.received > 0 && stream.missing == 0, "{from} to {to}: {stream:?} in\n{self}");
            }
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((to, from), stream) in &self.streams {
            let Stream { received, missing, disordered, last } = stream;
            writeln!(
                f,
                "{from} to {to}: {received} received, {missing} missing, {disordered} disordered, last {last}"
            )?;
        }
        Ok(())
    }
}

struct Worker<'a> {
    number: usize,
    shared: &'a Shared,
    dial: Dial,
    /// Where the cluster says that clients may go.
    urls: Vec<String>,
}

impl Worker<'_> {
    fn work(&mut self, server: SocketAddr) -> Result<()> {
        let mut client = (self.dial)(server)?;
        self.enter(&mut client, server)?;
        while !self.shared.done.load(Ordering::Relaxed) {
            if let Err(error) = self.round(&mut client) {
                ensure!(client.is_closed() || is_broken(&error), "{error:#}");
                client = self.reconnect()?;
            }
            thread::sleep(REST);
        }
        Ok(())
    }

    /// Takes a place on a server.
    fn enter(&mut self, client: &mut Client, server: SocketAddr) -> Result<()> {
        self.learn(client.info());
        client.subscribe("load.>", "", 1)?;
        self.until_pong(client)?;
        self.shared.account(self.number).server = Some(server);
        Ok(())
    }

    fn learn(&mut self, info: &str) {
        if let Some(urls) = connect_urls(info) {
            self.urls = urls;
        }
    }

    /// Publishes a batch and reads until the server has taken it.
    fn round(&mut self, client: &mut Client) -> Result<()> {
        if !self.shared.quiet.load(Ordering::Relaxed) {
            let mut account = self.shared.account(self.number);
            let subject = format!("load.{}.{}", self.number, account.session);
            for _ in 0..BATCH {
                account.published += 1;
                client.publish(&subject, "", account.published.to_string().as_bytes());
            }
        }
        self.until_pong(client)
    }

    fn until_pong(&mut self, client: &mut Client) -> Result<()> {
        client.send(b"PING\r\n")?;
        loop {
            match client.frame()? {
                Frame::Pong => return Ok(()),
                Frame::Info(info) => self.learn(&String::from_utf8_lossy(info)),
                Frame::Message(message) => {
                    let subject = std::str::from_utf8(message.subject)?;
                    let number = std::str::from_utf8(message.payload)?.parse()?;
                    let from = sender(subject).with_context(|| format!("a message on {subject}"))?;
                    self.take(from, number);
                }
                Frame::Ping | Frame::Ok => {}
                Frame::Err(text) => bail!("-ERR {}", String::from_utf8_lossy(text)),
            }
        }
    }

    fn take(&self, from: Name, number: u64) {
        let mut account = self.shared.account(self.number);
        let session = account.session;
        let stream = account.streams.entry((session, from)).or_default();
        stream.received += 1;
        if stream.received == 1 {
            stream.last = number;
        } else if number > stream.last {
            stream.missing += number - stream.last - 1;
            stream.last = number;
        } else {
            stream.disordered += 1;
        }
    }

    /// Goes to the first server that takes it, of those that it was last told about.
    fn reconnect(&mut self) -> Result<Client> {
        {
            let mut account = self.shared.account(self.number);
            account.server = None;
            account.session += 1;
            account.published = 0;
        }
        let urls: Vec<SocketAddr> = self.urls.iter().filter_map(|url| url.parse().ok()).collect();
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end && !self.shared.done.load(Ordering::Relaxed) {
            for &url in &urls {
                if let Ok(mut client) = (self.dial)(url)
                    && self.enter(&mut client, url).is_ok()
                {
                    return Ok(client);
                }
            }
            thread::sleep(REST);
        }
        bail!("none of {urls:?} takes a client whose server has gone")
    }
}

/// Whether it is the error of writing to a server that has gone.
fn is_broken(error: &anyhow::Error) -> bool {
    let kind = error.downcast_ref().map(io::Error::kind);
    matches!(kind, Some(ErrorKind::BrokenPipe | ErrorKind::ConnectionReset))
}

/// Connects from where it is called.
pub fn connect(server: SocketAddr) -> Result<Client> {
    Client::connect_with(server, OPTIONS)
}

/// Who publishes on a subject of the load.
fn sender(subject: &str) -> Option<Name> {
    let (client, session) = subject.strip_prefix("load.")?.split_once('.')?;
    Some(Name { client: client.parse().ok()?, session: session.parse().ok()? })
}
