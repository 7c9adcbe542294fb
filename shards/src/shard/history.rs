//! What a shard remembers for its monitoring: counters of everybody, and facts about connections that are closed.
//!
//! Nothing here is touched for a message. Messages from clients are added once a read, messages to clients once a write.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashMap;

use super::Core;
use crate::connection::{Connection, Key, Route, Traffic};
use crate::interest::SubId;
use crate::mesh::RouteKind;
use crate::protocol::s2::Compression;
use crate::snapshot::{ConnectionFacts, Numbers, RouteFacts, SubscriptionFacts, Totals};

/// Of a closed connection so many subscriptions are remembered: it may have had a million.
const SUBSCRIPTIONS_KEPT: usize = 32;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Connections that came.
    pub opened: u64,
    /// Messages from clients and routes.
    pub received: Traffic,
    /// Messages to clients and routes, as far as they were on their way to a socket.
    pub sent: Traffic,
    /// Of those received: from routes.
    pub routed_in: Traffic,
    /// Of those sent: to routes.
    pub routed_out: Traffic,
    /// The last closed connections, the oldest first.
    pub closed: VecDeque<Arc<ConnectionFacts>>,
    /// So many are remembered.
    capacity: usize,
    /// What is to be said of connections that are being closed.
    farewells: HashMap<Key, Farewell>,
}

#[derive(Debug)]
struct Farewell {
    /// µs
    at: u64,
    pending: usize,
    subscriptions: usize,
    kept: Vec<SubscriptionFacts>,
}

impl History {
    /// A memory for so many closed connections.
    pub fn new(capacity: usize) -> Self {
        History { capacity, ..History::default() }
    }

    fn remember(&mut self, facts: ConnectionFacts) {
        if self.closed.len() >= self.capacity {
            self.closed.pop_front();
        }
        if self.capacity > 0 {
            self.closed.push_back(Arc::new(facts));
        }
    }
}

impl Core {
    fn clients(&self) -> usize {
        self.connections.len().saturating_sub(self.peers.routes.len())
    }

    pub(super) fn totals(&self) -> Totals {
        Totals {
            connections: self.clients().saturating_sub(self.history.farewells.len()),
            closed: self.history.closed.len() + self.history.farewells.len(),
            opened: self.history.opened,
            routes: self.peers.routes.len(),
            received: self.history.received,
            sent: self.history.sent,
            routed_in: self.history.routed_in,
            routed_out: self.history.routed_out,
            subscriptions: self.local.len(),
            interests: self.routes().map(|(_, route)| route.learned.len()).sum(),
            subscribed: self.local.subscribed(),
            slow_consumers: self.counters.slow_consumers,
            slow_routes: self.counters.slow_routes,
            stale_connections: self.counters.stale_connections,
            stale_routes: self.counters.stale_routes,
            stalls: self.counters.stalls,
        }
    }

    /// What is to be said of a connection that is being closed, while it still has its subscriptions.
    pub(super) fn note_farewell(&mut self, key: Key) {
        let Some(connection) = self.connections.get(key.index as usize) else { return };
        let kept = connection.subscriptions.iter().take(SUBSCRIPTIONS_KEPT);
        let farewell = Farewell {
            at: self.now_micros,
            pending: connection.out.pending(),
            subscriptions: connection.subscriptions.len(),
            kept: kept.filter_map(|id| self.subscription_facts(connection, id)).collect(),
        };
        self.history.farewells.insert(key, farewell);
    }

    /// A connection is gone for good.
    pub(super) fn bury(&mut self, connection: Connection) {
        let numbers = self.numbers(&connection);
        let farewell = self.history.farewells.remove(&connection.key);
        self.history.sent += connection.sent.since(connection.flushed);
        if self.history.capacity == 0 {
            return;
        }
        let user = user_of(&connection);
        let Connection { peer, account, stalls, options, .. } = connection;
        let subscriptions = farewell.map(|farewell| farewell.kept).unwrap_or_default();
        let (name, lang, version) = (options.name, options.lang, options.version);
        self.history.remember(ConnectionFacts {
            numbers,
            peer,
            account,
            stalls,
            name,
            lang,
            version,
            user,
            subscriptions,
        });
    }

    pub(super) fn facts(&self, connection: &Connection) -> ConnectionFacts {
        let Connection { key, peer, account, stalls, options, .. } = connection;
        let farewell = self.history.farewells.get(key);
        ConnectionFacts {
            numbers: self.numbers(connection),
            peer: *peer,
            account: *account,
            stalls: *stalls,
            name: options.name.clone(),
            lang: options.lang.clone(),
            version: options.version.clone(),
            user: user_of(connection),
            subscriptions: farewell.map(|farewell| farewell.kept.clone()).unwrap_or_default(),
        }
    }

    /// The routes of this shard.
    fn routes(&self) -> impl Iterator<Item = (&Connection, &Route)> {
        self.peers.routes.values().filter_map(|key| {
            let connection = self.connections.get(key.index as usize)?;
            Some((connection, connection.route.as_deref()?))
        })
    }

    pub(super) fn route_facts(&self, connection: &Connection, route: &Route) -> RouteFacts {
        let without_codec = if route.remote.compresses { Compression::Off } else { Compression::NotSupported };
        RouteFacts {
            numbers: Numbers { subscriptions: route.learned.len(), ..self.numbers(connection) },
            address: connection.peer,
            remote: Arc::clone(&route.remote),
            solicited: route.solicited,
            explicit: route.explicit,
            account: match &route.kind {
                RouteKind::Dedicated { account, .. } => Some(Arc::clone(account)),
                RouteKind::Pool { .. } | RouteKind::Lane { .. } => None,
            },
            compression: route.codec.as_ref().map_or(without_codec, |codec| codec.in_use()),
            permissions: route.remote_permissions.clone(),
            interests: Vec::new(),
        }
    }

    pub(super) fn numbers(&self, connection: &Connection) -> Numbers {
        let farewell = self.history.farewells.get(&connection.key);
        let last = Duration::from_millis(connection.last_active.max(connection.last_served));
        let start = Duration::from_micros(connection.opened);
        Numbers {
            cid: connection.cid,
            start,
            last_activity: last.max(start),
            stop: farewell
                .zip(connection.closing)
                .map(|(farewell, closing)| (Duration::from_micros(farewell.at), closing.reason())),
            rtt: Duration::from_micros(connection.rtt),
            pending: farewell.map_or_else(|| connection.out.pending(), |farewell| farewell.pending),
            subscriptions: farewell.map_or(connection.subscriptions.len(), |farewell| farewell.subscriptions),
            received: connection.received,
            sent: connection.sent,
        }
    }

    pub(super) fn subscription_facts(&self, connection: &Connection, id: SubId) -> Option<SubscriptionFacts> {
        let subscription = self.local.get(id)?;
        Some(SubscriptionFacts {
            cid: connection.cid,
            account: connection.account,
            subject: self.local.subject_of(subscription).into(),
            queue: self.local.queue_of(subscription),
            sid: subscription.sid.clone(),
            delivered: subscription.delivered,
            max: subscription.max,
        })
    }
}

/// Who a client says it is. A token is a secret, so it has another name.
pub(super) fn user_of(connection: &Connection) -> Option<Box<str>> {
    let credentials = connection.options.credentials.as_deref()?;
    let given = |text: &Option<Box<str>>| text.clone().filter(|text| !text.is_empty());
    let token = || given(&credentials.auth_token).map(|_| "[REDACTED]".into());
    given(&credentials.nkey).or_else(|| given(&credentials.user)).or_else(token)
}
