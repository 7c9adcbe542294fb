//! Errands: the connections that this server wants to make, when it tries again, and what it says when it cannot.
//!
//! For each destination and purpose there is one errand at most. It leaves this table when its connection is made; whoever ends that
//! connection begins it again, or not.

use std::net::SocketAddr;
use std::sync::Arc;

use super::{Effect, MAX_PEERS};
use crate::config::{Cluster, RouteUrl};

/// Between attempts, in milliseconds.
const PAUSE: u64 = 1000;
/// Longest pause with `connect_backoff`, in milliseconds.
const LONGEST_PAUSE: u64 = 30_000;
/// Between attempts to find a lost server again that nobody has configured, in milliseconds.
const SEARCH_PAUSE: u64 = 10_000;
/// How often that is tried: for an hour.
const SEARCHES: u32 = 360;
/// Most errands at a time for what was learned by gossip, and as many for what of it was lost: any server may tell tales.
const MOST_LEARNED: usize = 2 * MAX_PEERS;

/// Where a server may be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Destination {
    /// One of the configured routes; never given up.
    Configured(usize),
    /// Learned by gossip.
    Learned {
        host: String,
        port: u16,
        /// It asks for credentials, and gets those that this server asks for.
        authenticate: bool,
    },
}

/// A way to a server that is worth remembering, once it has led there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub to: Destination,
    /// What the gossip said of passing it on; the server hears of it.
    pub gossip_mode: u8,
}

impl Way {
    pub fn configured(index: usize) -> Way {
        Way { to: Destination::Configured(index), gossip_mode: 0 }
    }

    pub fn is_explicit(&self) -> bool {
        matches!(self.to, Destination::Configured(_))
    }

    /// The URL as logs show it.
    pub fn shown(&self, routes: &[RouteUrl]) -> String {
        match &self.to {
            Destination::Configured(index) => routes.get(*index).map(|url| url.shown.clone()).unwrap_or_default(),
            Destination::Learned { host, port, .. } => format!("nats-route://{}/", joined(host, *port)),
        }
    }
}

/// What a connection is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The first connection to a server, or the next one of a pool.
    Any,
    /// One account.
    Account(Arc<str>),
    /// A further lane.
    Lane {
        /// `server_id` of who must be there.
        server: String,
        /// Random name of the lanes that belong together.
        instance: String,
        lane: u16,
    },
}

/// A connection to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Errand {
    pub way: Way,
    pub purpose: Purpose,
    /// Where the way led before: tried first, because a name may lead to another server each time.
    pub address: Option<SocketAddr>,
    /// How often a connection was made, but did not become a route.
    pub refusals: u32,
}

impl Errand {
    pub fn new(way: Way, purpose: Purpose) -> Errand {
        Errand { way, purpose, address: None, refusals: 0 }
    }

    /// Would the other one be the same connection?
    pub fn is_like(&self, other: &Errand) -> bool {
        self.way.to == other.way.to && self.purpose == other.purpose
    }
}

/// Has there been a connection already?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    First,
    Again,
}

#[derive(Debug)]
pub(super) struct Task {
    pub errand: Errand,
    occasion: Occasion,
    /// Attempts so far, without those at an address remembered.
    attempts: u32,
    state: State,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting { until: u64 },
    Dialling { attempt: u64 },
}

/// All errands that have no connection yet.
#[derive(Debug, Default)]
pub(super) struct Dialing {
    tasks: Vec<Task>,
    last_attempt: u64,
}

impl Dialing {
    /// Sets out at the given time, unless somebody has already.
    pub fn begin(&mut self, errand: Errand, occasion: Occasion, at: u64) {
        if self.tasks.iter().any(|task| task.errand.is_like(&errand)) {
            return;
        }
        let is_learned = |task: &&Task| !task.errand.way.is_explicit() && task.occasion == occasion;
        if !errand.way.is_explicit() && self.tasks.iter().filter(is_learned).count() >= MOST_LEARNED {
            return log::debug!("Ignoring what was heard of {:?}: too many servers", errand.way.to);
        }
        self.tasks.push(Task { errand, occasion, attempts: 0, state: State::Waiting { until: at } });
    }

    /// Forgets what nobody needs any more.
    pub fn cancel(&mut self, unwanted: impl Fn(&Errand) -> bool) {
        self.tasks.retain(|task| !unwanted(&task.errand));
    }

    pub fn next_timer(&self) -> Option<u64> {
        let waiting = self.tasks.iter().filter_map(|task| match task.state {
            State::Waiting { until } => Some(until),
            State::Dialling { .. } => None,
        });
        waiting.min()
    }

    /// Dials where the time has come.
    pub fn run_timers(&mut self, now: u64, cluster: &Cluster, out: &mut Vec<Effect>) {
        let due = |task: &Task| matches!(task.state, State::Waiting { until } if until <= now);
        // What cannot be dialled waits again, so each task has its turn once.
        for index in 0..self.tasks.len() {
            let Some(task) = self.tasks.get_mut(index).filter(|task| due(task)) else { continue };
            match destination(&task.errand, &cluster.routes) {
                Ok((host, port)) => {
                    self.last_attempt += 1;
                    task.state = State::Dialling { attempt: self.last_attempt };
                    out.push(Effect::Dial { attempt: self.last_attempt, host, port });
                }
                Err(error) => task.fail(now, &error, cluster),
            }
        }
    }

    /// Takes the errand out that an answer is for.
    pub fn answered(&mut self, attempt: u64) -> Option<Task> {
        let index = self.tasks.iter().position(|task| task.state == State::Dialling { attempt })?;
        Some(self.tasks.swap_remove(index))
    }

    /// After an attempt that led nowhere: says so, and tries again later. Answers the errand if it is given up.
    pub fn failed(&mut self, now: u64, mut task: Task, error: &str, cluster: &Cluster) -> Option<Errand> {
        if task.errand.address.take().is_some() {
            // The server may have moved.
            task.state = State::Waiting { until: now };
        } else {
            task.fail(now, error, cluster);
            if task.is_hopeless(cluster) {
                return Some(task.errand);
            }
        }
        self.tasks.push(task);
        None
    }
}

impl Task {
    fn fail(&mut self, now: u64, error: &str, cluster: &Cluster) {
        self.attempts = self.attempts.saturating_add(1);
        let every = match self.occasion {
            Occasion::First => cluster.connect_error_reports,
            Occasion::Again => cluster.reconnect_error_reports,
        };
        let is_search = self.is_search(cluster);
        let is_reported = self.attempts == 1 || !is_search && self.attempts.is_multiple_of(every);
        let level = if is_reported { log::Level::Error } else { log::Level::Debug };
        log::log!(level, "Error trying to connect to route (attempt {}): {error}", self.attempts);
        let doublings = if cluster.connect_backoff { self.attempts.saturating_sub(1).min(5) } else { 0 };
        let pause = if is_search { SEARCH_PAUSE } else { (PAUSE << doublings).min(LONGEST_PAUSE) };
        self.state = State::Waiting { until: now.saturating_add(pause) };
    }

    /// Have there been all the attempts that were asked for?
    fn is_search(&self, cluster: &Cluster) -> bool {
        !self.errand.way.is_explicit() && self.attempts > cluster.connect_retries
    }

    /// A server that was learned by gossip need not exist any more. But where there was a route, a broken link may be all that is wrong,
    /// and perhaps nobody will speak of that server again: so it is looked for, quietly.
    fn is_hopeless(&self, cluster: &Cluster) -> bool {
        let is_lost = self.occasion == Occasion::Again && self.errand.purpose == Purpose::Any;
        let patience = if is_lost { SEARCHES } else { 0 };
        self.is_search(cluster) && self.attempts > cluster.connect_retries.saturating_add(patience)
    }
}

fn destination(errand: &Errand, routes: &[RouteUrl]) -> Result<(String, u16), String> {
    if let Some(address) = errand.address {
        return Ok((address.ip().to_string(), address.port()));
    }
    match &errand.way.to {
        Destination::Learned { host, port, .. } => Ok((host.clone(), *port)),
        Destination::Configured(index) => {
            let Some(url) = routes.get(*index) else { return Err("no longer part of configured routes".to_owned()) };
            match url.port {
                Some(port) => Ok((url.host.clone(), port)),
                None if url.host.is_empty() => Err("missing port in address".to_owned()),
                None => Err(format!("address {}: missing port in address", url.host)),
            }
        }
    }
}

/// `host:port`, with the brackets of IPv6.
pub(super) fn joined(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Host and port of a URL; `None` if it has no port.
pub(super) fn host_and_port(url: &str) -> Option<(String, u16)> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let address = authority.rsplit_once('@').map_or(authority, |(_, address)| address);
    let (host, port) = address.rsplit_once(':')?;
    let host = host.strip_prefix('[').map_or(Some(host), |host| host.strip_suffix(']'))?;
    Some((host.to_owned(), port.parse().ok()?)).filter(|(host, _)| !host.is_empty())
}
