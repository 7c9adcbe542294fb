//! What the program may ask the running shards for its monitoring, and what one shard answers.
//!
//! Times are spans since the start of the server, because a shard knows no other clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::account::AccountId;
use crate::connection::{CloseReason, Traffic};
use crate::interest::Sid;
use crate::mesh::RemoteServer;
use crate::protocol::s2::Compression;

/// A question to all shards. The counters in [`Totals`] come with every answer and cost nothing.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Connections, one by one.
    pub connections: Option<ConnectionQuery>,
    /// Subscriptions, one by one.
    pub subscriptions: Option<SubscriptionQuery>,
    /// Routes to other servers, one by one.
    pub routes: Option<RouteQuery>,
}

/// Which connections are wanted.
#[derive(Clone, Debug, Default)]
pub struct ConnectionQuery {
    /// Those that are connected.
    pub open: bool,
    /// Those that were, as far as they are remembered.
    pub closed: bool,
    /// Only the one of this number.
    pub cid: Option<u64>,
    /// Only those of this user.
    pub user: Option<String>,
    /// In which order.
    pub sort: Sort,
    /// How many from the beginning of that order: where the page begins, plus its length.
    pub first: usize,
    /// With their subscriptions.
    pub subscriptions: bool,
}

/// Which subscriptions are wanted.
#[derive(Clone, Debug, Default)]
pub struct SubscriptionQuery {
    /// Only those that a message to this subject would reach.
    pub test: Option<Vec<u8>>,
    /// How many from the beginning.
    pub first: usize,
}

/// What is wanted of routes.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteQuery {
    /// With what the servers at their other ends want.
    pub interest: bool,
}

/// What one shard answers.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Number of the shard.
    pub shard: usize,
    /// When it finished the answer.
    pub now: Duration,
    /// Its counters.
    pub totals: Totals,
    /// The connections asked for, in the order asked for.
    pub connections: Vec<Arc<ConnectionFacts>>,
    /// The subscriptions asked for.
    pub subscriptions: Vec<SubscriptionFacts>,
    /// How many subscriptions fit the question, those behind the end included.
    pub matching: usize,
    /// The routes, if they were asked for.
    pub routes: Vec<RouteFacts>,
}

/// What a shard has and has counted since the start, connections that are gone included.
#[derive(Clone, Copy, Debug, Default)]
pub struct Totals {
    /// Open connections.
    pub connections: usize,
    /// Closed connections that are remembered.
    pub closed: usize,
    /// Connections that ever came.
    pub opened: u64,
    /// Routes to other servers.
    pub routes: usize,
    /// Messages from clients and other servers.
    pub received: Traffic,
    /// Messages to clients and other servers.
    pub sent: Traffic,
    /// Of those received: from other servers.
    pub routed_in: Traffic,
    /// Of those sent: to other servers.
    pub routed_out: Traffic,
    /// Subscriptions of clients.
    pub subscriptions: usize,
    /// Interests that other servers have told of.
    pub interests: usize,
    /// Subscriptions that were ever made.
    pub subscribed: u64,
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
}

/// One connection.
#[derive(Clone, Debug)]
pub struct ConnectionFacts {
    /// What it can be sorted by.
    pub numbers: Numbers,
    /// Far end.
    pub peer: SocketAddr,
    /// Its account.
    pub account: AccountId,
    /// How often it was stalled as a publisher.
    pub stalls: u64,
    /// Its own name.
    pub name: Option<Box<str>>,
    /// Language of its library.
    pub lang: Option<Box<str>>,
    /// Version of its library.
    pub version: Option<Box<str>>,
    /// The user that it said it was; never a secret.
    pub user: Option<Box<str>>,
    /// Its subscriptions, if they were asked for. Of a closed connection the first few are remembered.
    pub subscriptions: Vec<SubscriptionFacts>,
}

/// What connections can be sorted by.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    /// Its number on the server.
    pub cid: u64,
    /// When it came.
    pub start: Duration,
    /// When it last did or got something.
    pub last_activity: Duration,
    /// When it was closed, and why.
    pub stop: Option<(Duration, CloseReason)>,
    /// Round-trip time; zero while unknown.
    pub rtt: Duration,
    /// Bytes that wait to be written to it, or waited when it was closed.
    pub pending: usize,
    /// Number of its subscriptions, or those that it had when it was closed.
    pub subscriptions: usize,
    /// Messages from it.
    pub received: Traffic,
    /// Messages to it.
    pub sent: Traffic,
}

/// One subscription.
#[derive(Clone, Debug)]
pub struct SubscriptionFacts {
    /// Its connection.
    pub cid: u64,
    /// Its account.
    pub account: AccountId,
    /// Subject or pattern.
    pub subject: Box<[u8]>,
    /// Queue group.
    pub queue: Option<Arc<[u8]>>,
    /// The client's name for it.
    pub sid: Sid,
    /// Messages given to it.
    pub delivered: u32,
    /// It ends after so many; 0: never.
    pub max: u32,
}

/// One route to another server.
#[derive(Clone, Debug)]
pub struct RouteFacts {
    /// Its numbers. `cid` is the number of the route; the subscriptions are the interests that the other server told of.
    pub numbers: Numbers,
    /// Far end.
    pub address: SocketAddr,
    /// The server there.
    pub remote: Arc<RemoteServer>,
    /// This server dialled.
    pub solicited: bool,
    /// Its address is configured.
    pub explicit: bool,
    /// The one account that it is for.
    pub account: Option<Arc<str>>,
    /// How it is compressed, as INFO says it.
    pub compression: Compression,
    /// `import` and `export` of the other server's INFO, as members of a JSON object.
    pub permissions: Option<Arc<str>>,
    /// What the other server wants, if that was asked for.
    pub interests: Vec<InterestFacts>,
}

/// Something that another server wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterestFacts {
    /// Subject or pattern.
    pub subject: Box<[u8]>,
    /// Queue group.
    pub queue: Option<Box<[u8]>>,
}

/// An order of connections. Those that are alike go by number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// By number.
    #[default]
    Cid,
    /// The oldest first.
    Start,
    /// The shortest life first.
    Uptime,
    /// The most subscriptions first.
    Subscriptions,
    /// The most waiting bytes first.
    Pending,
    /// The most messages to the client first.
    MessagesTo,
    /// The most messages from the client first.
    MessagesFrom,
    /// The most bytes to the client first.
    BytesTo,
    /// The most bytes from the client first.
    BytesFrom,
    /// The latest activity first.
    Last,
    /// The longest idle time first.
    Idle,
    /// The longest round-trip time first.
    Rtt,
    /// The last closed first.
    Stop,
    /// By the text of the reason.
    Reason,
}

impl Numbers {
    /// How long it lived until `now` or its end.
    pub fn uptime(&self, now: Duration) -> Duration {
        self.end(now).saturating_sub(self.start)
    }

    /// How long it had nothing to do until `now` or its end.
    pub fn idle(&self, now: Duration) -> Duration {
        self.end(now).saturating_sub(self.last_activity)
    }

    fn end(&self, now: Duration) -> Duration {
        self.stop.map_or(now, |(stop, _)| stop)
    }
}

impl Sort {
    /// A number that is the smaller, the earlier the connection comes in this order.
    pub fn rank(self, numbers: &Numbers, now: Duration) -> u64 {
        let micros = |span: Duration| u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        match self {
            Sort::Cid => numbers.cid,
            Sort::Start => micros(numbers.start),
            Sort::Uptime => micros(numbers.uptime(now)),
            Sort::Subscriptions => !(numbers.subscriptions as u64),
            Sort::Pending => !(numbers.pending as u64),
            Sort::MessagesTo => !numbers.sent.messages,
            Sort::MessagesFrom => !numbers.received.messages,
            Sort::BytesTo => !numbers.sent.bytes,
            Sort::BytesFrom => !numbers.received.bytes,
            Sort::Last => !micros(numbers.last_activity),
            Sort::Idle => !micros(numbers.idle(now)),
            Sort::Rtt => !micros(numbers.rtt),
            Sort::Stop => !numbers.stop.map_or(0, |(stop, _)| micros(stop)),
            Sort::Reason => numbers.stop.map_or(0, |(_, reason)| reason.alphabetical_rank()),
        }
    }
}
