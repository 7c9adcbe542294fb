//! The life of a route to another server on its shard: from the handed-over socket to the end of what it told.
//!
//! The handshake is over when a route comes here, and what concerns the cluster goes back to the mesh: later INFOs, the first PONG, and
//! the end.

use std::sync::Arc;
use std::time::Duration;

use super::mail::{Control, Origin};
use super::timers::Timer;
use super::trace::Quoted;
use super::{Core, LARGE_OPERATION, Shard, mark_dirty};
use crate::account;
use crate::connection::{CloseReason, Closing, Connection, Incoming, Key, Large, Route, Traffic};
use crate::mesh::{Farewell, RouteKind, RouteLabel, RouteStart};
use crate::protocol::connect::redact;
use crate::protocol::frame;
use crate::protocol::route::{RouteOp, RouteParseError, RouteStep, RoutedInterest};
use crate::subject;

/// A new route is pinged soon, so that its round-trip time is known.
const FIRST_PING_MS: u64 = 1000;

impl Shard {
    /// A connection has become a route. What was read from it already is acted on as if it came now.
    pub fn open_route(&mut self, start: RouteStart) -> Key {
        self.core.open_route(start)
    }

    /// Acts on all complete operations of a route's `input`; answers how many bytes are done with.
    pub(super) fn process_route(&mut self, key: Key, input: &[u8], large: Option<&Large>) -> usize {
        let Some(connection) = self.core.connection(key) else { return input.len() };
        let verbose = connection.flags.verbose;
        let Some(route) = connection.route.as_deref_mut() else { return input.len() };
        let mut parser = std::mem::take(&mut route.parser);
        let (limits, peer, bare) = (route.limits(), route.peer, route.account_of(None));
        let origin = Origin { shard: self.core.id, connection: key, echo: true, peer: Some(peer) };
        let mut received = Traffic::default();
        let mut at = 0;
        self.core.disturbed = true;
        while let Some(rest) = input.get(at..).filter(|rest| !rest.is_empty()) {
            if std::mem::take(&mut self.core.disturbed) {
                let Some(connection) = self.core.connection(key).filter(|found| found.closing.is_none()) else {
                    at = input.len();
                    break;
                };
                if connection.pause.is_some() {
                    break;
                }
            }
            let step = parser.next(rest, &limits);
            if let RouteStep::Op { op: RouteOp::Msg(routed), consumed } = &step {
                at += consumed;
                let publish = &routed.publish;
                received.messages += 1;
                received.bytes += publish.body.len() as u64;
                if self.core.tracing {
                    self.core.trace_operation(key, publish.name(), publish.args);
                    self.core.trace_payload(key, "<<-", publish.body, publish.header_len);
                }
                match routed.account.map_or(bare, account::find) {
                    Some(account) => self.routed(account, origin, routed, rest, *consumed, large),
                    None => {
                        self.core.unknown_account(key, routed.account, "routed message on subject:", publish.subject)
                    }
                }
                if verbose {
                    self.core.ok(key);
                }
                continue;
            }
            self.close_run();
            match step {
                RouteStep::Op { op, consumed } => {
                    at += consumed;
                    self.core.operate_route(key, op);
                }
                RouteStep::Skipped { consumed } => at += consumed,
                RouteStep::Incomplete { needed } => {
                    if let Some(needed) = needed.filter(|needed| *needed > LARGE_OPERATION)
                        && let Some(connection) = self.core.connection(key)
                    {
                        connection.input.large = Some(Incoming::new(rest, needed));
                        at = input.len();
                    }
                    break;
                }
                RouteStep::Error(error) => {
                    self.core.route_error(key, error.within(at));
                    at = input.len();
                    break;
                }
            }
        }
        self.close_run();
        let now = self.core.now;
        if let Some(connection) = self.core.connection(key) {
            if let Some(route) = &mut connection.route {
                route.parser = parser;
            }
            if received.messages > 0 {
                connection.received += received;
                connection.last_active = now;
            }
        }
        self.core.history.received += received;
        self.core.history.routed_in += received;
        at
    }
}

impl Core {
    pub(super) fn route(&mut self, key: Key) -> Option<&mut Route> {
        self.connection(key)?.route.as_deref_mut()
    }

    fn open_route(&mut self, mut start: RouteStart) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.connections.vacant_entry();
        let key = Key { index: entry.key() as u32, generation: self.generation };
        let mut connection = Connection::new(key, start.rid, start.address, start.opened, true);
        let route = Route::new(&mut start);
        let (carries, report_pong) = (route.coverage().is_some(), start.report_pong);
        connection.flags.verbose = start.verbose;
        connection.route = Some(Box::new(route));
        connection.input.rest = start.input;
        connection.out.append(&mut self.pool, &start.output);
        mark_dirty(&mut self.dirty, &mut connection);
        entry.insert(connection);
        self.peers.open(start.rid, key, carries);
        if report_pong {
            self.ping_route(key);
        }
        let spread = self.rng.u64(0..=FIRST_PING_MS / 5);
        self.timers.set(self.now + FIRST_PING_MS + spread, key, Timer::Ping(0));
        // There may be something to act on although the socket has nothing more.
        self.resumed.push(key);
        key
    }

    fn operate_route(&mut self, key: Key, op: RouteOp<'_>) {
        let micros = self.now_micros;
        match op {
            RouteOp::Interest(interest) => self.learn(key, &interest),
            RouteOp::NoInterest { args, account, subject, queue } => {
                if self.tracing {
                    self.trace_operation(key, "RS-", args);
                }
                self.touch(key, self.now);
                self.unlearn(key, account, subject, queue);
            }
            RouteOp::Ping => {
                if self.tracing {
                    self.trace_line(key, "<<-", "PING");
                    self.trace_line(key, "->>", "PONG");
                }
                self.tell(key, frame::PONG);
            }
            RouteOp::Pong => {
                if self.tracing {
                    self.trace_line(key, "<<-", "PONG");
                }
                let Some(connection) = self.connection(key) else { return };
                connection.pings_out = 0;
                if let Some(pinged) = connection.pinged.take() {
                    connection.rtt = micros.saturating_sub(pinged).max(1);
                }
                let (rid, rtt) = (connection.cid, Duration::from_micros(connection.rtt));
                if let Some(codec) = connection.codec() {
                    codec.measured(rtt);
                }
                if self.route(key).is_some_and(|route| std::mem::take(&mut route.report_pong)) {
                    self.report(Control::RoutePong { rid });
                }
            }
            RouteOp::Info { json } => self.report_words(key, |rid| Control::RouteInfo { rid, json: json.into() }),
            RouteOp::Connect { json } => {
                if self.tracing {
                    self.trace_operation(key, "CONNECT", &redact(json));
                }
                self.report_words(key, |rid| Control::RouteConnect { rid, json: json.into() });
            }
            RouteOp::Err { text } => {
                let text = String::from_utf8_lossy(text);
                self.log_error(key, &format!("Route Error {text}"));
                self.close(key, Closing::Flush(CloseReason::ParseError));
            }
            RouteOp::Ok | RouteOp::Ignored | RouteOp::Msg(_) => {}
        }
    }

    /// For the mesh: what it reads itself. A route that says more of it than the mesh can read is not read meanwhile.
    fn report_words(&mut self, key: Key, words: impl FnOnce(u64) -> Control) {
        let Some(connection) = self.connection(key) else { return };
        let control = words(connection.cid);
        self.report(control);
        if let Some(pressure) = self.outbox.pressure(self.config.shards.count as u16) {
            self.pause(key, pressure.into());
        }
    }

    /// `RS+`
    fn learn(&mut self, key: Key, interest: &RoutedInterest<'_>) {
        if self.tracing {
            self.trace_operation(key, "RS+", interest.args);
        }
        self.touch(key, self.now);
        let subject = interest.subject;
        let Core { connections, directory, config, .. } = self;
        let connection = connections.get_mut(key.index as usize).filter(|found| found.key == key);
        let Some(connection) = connection else { return };
        let label = RouteLabel { address: connection.peer, rid: connection.cid };
        let Some(route) = &mut connection.route else { return };
        if route.account_of(interest.account).is_none() {
            if interest.account.is_some_and(|account| account != account::SYSTEM) {
                let (account, subject) = (Quoted(interest.account.unwrap_or_default()), Quoted(subject));
                log::error!("{label} - Unknown account {account} for remote subject {subject}");
            }
            return;
        }
        if !subject::is_valid_subscription(subject) {
            log::error!("{label} - Could not insert subscription: sublist: invalid subject");
            self.tell_error(key, "Invalid Subscription");
            return;
        }
        let permissions = config.cluster.as_ref().and_then(|cluster| cluster.permissions.as_ref());
        if permissions.is_some_and(|permissions| !permissions.accepts(subject)) {
            let subject = Quoted(subject);
            log::debug!("{label} - Can not export {subject}, ignoring remote subscription request");
            return;
        }
        match interest.queue {
            None => route.learned.add(directory, subject),
            Some((name, weight)) => {
                // A weight that is not positive is never chosen.
                route.learned.set_weight(directory, subject, name, u32::try_from(weight).unwrap_or(0));
            }
        }
        self.ok_if_verbose(key);
    }

    /// `RS-`
    fn unlearn(&mut self, key: Key, account: Option<&[u8]>, subject: &[u8], queue: Option<&[u8]>) {
        let Core { connections, directory, .. } = self;
        let connection = connections.get_mut(key.index as usize).filter(|found| found.key == key);
        let Some(route) = connection.and_then(|connection| connection.route.as_mut()) else { return };
        if route.account_of(account).is_none() {
            self.unknown_account(key, account, "subject", subject);
            return;
        }
        match queue {
            None => route.learned.remove(directory, subject),
            Some(name) => route.learned.set_weight(directory, subject, name, 0),
        }
        self.ok_if_verbose(key);
    }

    #[cold]
    pub(super) fn unknown_account(&mut self, key: Key, account: Option<&[u8]>, what: &str, subject: &[u8]) {
        // Nobody here has anything to do with the system account.
        let Some(account) = account.filter(|account| *account != account::SYSTEM) else { return };
        if let Some(connection) = self.connection(key) {
            let (account, subject) = (Quoted(account), Quoted(subject));
            log::debug!("{} - Unknown account {account} for {what} {subject}", connection.label());
        }
    }

    /// Ends a route for what it sent.
    fn route_error(&mut self, key: Key, error: RouteParseError) {
        let error = match self.route(key).map(|route| &route.kind) {
            Some(RouteKind::Dedicated { account, .. }) => error.about(account),
            _ => error,
        };
        self.log_error(key, &error.to_string());
        if let Some(told) = error.wire_text() {
            self.tell_error(key, told);
        }
        let reason = match error {
            RouteParseError::ControlLineExceeded => CloseReason::MaxControlLineExceeded,
            _ => CloseReason::ProtocolViolation,
        };
        self.close(key, Closing::Flush(reason));
    }

    /// From the mesh: whole lines for a route.
    pub(super) fn tell_route_lines(&mut self, rid: u64, lines: &[u8]) {
        if let Some(&key) = self.peers.routes.get(&rid) {
            self.tell(key, lines);
        }
    }

    /// From the mesh: a route must go.
    pub(super) fn close_route(&mut self, rid: u64, error: Option<&str>, reason: CloseReason) {
        let Some(&key) = self.peers.routes.get(&rid) else { return };
        if let Some(text) = error {
            self.tell_error(key, text);
        }
        self.close(key, Closing::Flush(reason));
    }

    /// From the mesh: a route counts as dialled by this server.
    pub(super) fn upgrade_route(&mut self, rid: u64, explicit: bool) {
        if let Some(&key) = self.peers.routes.get(&rid)
            && let Some(route) = self.route(key)
        {
            route.solicited = true;
            route.explicit |= explicit;
        }
    }

    /// From the mesh: the remote has other permissions.
    pub(super) fn permit_route(&mut self, rid: u64, permissions: Option<Arc<str>>) {
        if let Some(&key) = self.peers.routes.get(&rid)
            && let Some(route) = self.route(key)
        {
            route.remote_permissions = permissions;
        }
    }

    /// Something for the mesh, which lives behind the last shard.
    pub(super) fn report(&mut self, control: Control) {
        let service = self.config.shards.count as u16;
        self.outbox.control(service, control);
    }

    /// A route ends: what it told is taken back, over several turns if it is much.
    pub(super) fn end_route(&mut self, key: Key, reason: CloseReason) {
        let Some(connection) = self.connection(key) else { return };
        let (rid, label) = (connection.cid, connection.label().to_string());
        let Some(route) = &connection.route else { return };
        log::info!("{label} - {}", Farewell { reason, name: &route.remote.name });
        if !route.learned.is_empty() {
            let account = account::GLOBAL.name();
            log::debug!("{label} - Removing {} subscriptions for account \"{account}\"", route.learned.len());
        }
        self.peers.close(rid, key);
        self.report(Control::RouteClosed { rid, reason });
    }

    fn ping_route(&mut self, key: Key) {
        let micros = self.now_micros;
        if let Some(connection) = self.connection(key) {
            connection.pings_out += 1;
            connection.pinged = Some(micros);
            self.tell(key, frame::PING);
            if self.tracing {
                self.trace_line(key, "->>", "PING");
            }
        }
    }

    /// Time to ping a route, whatever came from it lately.
    pub(super) fn route_ping_timer(&mut self, key: Key) {
        let Some(cluster) = &self.config.cluster else { return };
        let (interval, ping_max) = (cluster.ping_interval.as_millis() as u64, cluster.ping_max);
        let Some(connection) = self.connection(key) else { return };
        log::debug!("{} - Router Ping Timer", connection.label());
        if connection.pings_out >= ping_max {
            log::debug!("{} - Stale Client Connection - Closing", connection.label());
            self.counters.stale_connections += 1;
            self.counters.stale_routes += 1;
            self.tell(key, super::session::STALE_CONNECTION);
            self.close(key, Closing::Flush(CloseReason::StaleConnection));
            return;
        }
        self.ping_route(key);
        let epoch = self.connection(key).map_or(0, |connection| connection.ping_epoch);
        self.timers.set(self.now + interval, key, Timer::Ping(epoch));
    }
}
