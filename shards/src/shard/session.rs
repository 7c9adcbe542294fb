//! A connection's life apart from messages: INFO, CONNECT, PING and PONG, timers.

use std::net::SocketAddr;
use std::time::Duration;

use super::mail::Control;
use super::timers::Timer;
use super::trace::GoDuration;
use super::{Core, mark_dirty};
use crate::auth::{self, Decision};
use crate::config::BUILT_WITH;
use crate::connection::{Blocked, CloseReason, Closing, Connection, Key, Pause, Slow};
use crate::protocol::connect::{ConnectOptions, Credentials};
use crate::protocol::frame;
use crate::protocol::info::Info;

/// A new client is pinged soon, so that its round-trip time is known.
const FIRST_PING_MS: u64 = 2000;
/// The round-trip time is measured anew after so long.
const RTT_INTERVAL_MS: u64 = 3600 * 1000;

pub(super) const STALE_CONNECTION: &[u8] = b"-ERR 'Stale Connection'\r\n";

impl Core {
    pub(super) fn open(&mut self, cid: u64, peer: SocketAddr, refused: bool) -> Key {
        self.generation = self.generation.wrapping_add(1);
        let entry = self.connections.vacant_entry();
        let key = Key { index: entry.key() as u32, generation: self.generation };
        self.history.opened += 1;
        let needs_credentials = !matches!(self.config.auth, crate::config::Auth::Open);
        entry.insert(Connection::new(key, cid, peer, self.now_micros, !needs_credentials));
        self.write_info(key, false);
        if let Some(connection) = self.connection(key) {
            log::debug!("{} - Client connection created", connection.label());
        }
        if refused {
            self.refuse_operation(key, "maximum connections exceeded", "maximum connections exceeded");
            self.close(key, Closing::Flush(CloseReason::MaxConnectionsExceeded));
            return key;
        }
        let limits = &self.config.limits;
        self.timers.set(self.now + limits.ping_interval.as_millis() as u64, key, Timer::Ping(0));
        if needs_credentials {
            self.timers.set(self.now + limits.auth_timeout.as_millis() as u64, key, Timer::Authentication);
        }
        key
    }

    pub(super) fn write_info(&mut self, key: Key, connect_info: bool) {
        let needs_credentials = self.needs_credentials();
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return };
        let identity = &self.config.identity;
        let client_ip = connection.peer.ip().to_string();
        let cluster = &self.cluster;
        connection.cluster_version = cluster.version;
        let mut line = std::mem::take(&mut self.scratch);
        line.clear();
        Info {
            server_id: &identity.server_id,
            server_name: &identity.server_name,
            version: &identity.version,
            git_commit: &identity.git_commit,
            go: BUILT_WITH,
            host: &identity.host,
            port: identity.port,
            headers: self.config.limits.headers,
            auth_required: needs_credentials,
            max_payload: self.config.limits.max_payload,
            client_id: connection.cid,
            client_ip: &client_ip,
            cluster: cluster.name.as_deref(),
            connect_urls: cluster.connect_urls.as_deref().unwrap_or_default(),
            connect_info,
            remote_account: connect_info.then(|| connection.account.name()),
            ..Info::default()
        }
        .write(&mut line);
        connection.out.append(&mut self.pool, &line);
        mark_dirty(&mut self.dirty, connection);
        self.scratch = line;
    }

    pub(super) fn connect(&mut self, key: Key, json: &[u8]) {
        if self.tracing {
            let redacted = crate::protocol::connect::redact(json);
            self.trace_line(key, "<<-", &format!("CONNECT {}", String::from_utf8_lossy(&redacted)));
        }
        let micros = self.now_micros;
        let Some(connection) = self.connection(key) else { return };
        if connection.rtt == 0 {
            // INFO was sent when it came, and CONNECT is the answer.
            connection.rtt = micros.saturating_sub(connection.opened).max(1);
        }
        if let Err(error) = connection.options.merge(json) {
            self.log_error(key, &error.to_string());
            self.close(key, Closing::Flush(CloseReason::ProtocolViolation));
            return;
        }
        if connection.flags.connected {
            // A second CONNECT starts from an empty table.
            self.drop_subscriptions(key);
        }
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return };
        connection.flags.admitted = !matches!(self.config.auth, crate::config::Auth::Open);
        match auth::decide(&self.config.auth, &connection.options) {
            Decision::Admit(credential) => self.admit(key, credential),
            Decision::Refuse => self.refuse(key),
            Decision::Verify(verification) => {
                connection.flags.admitted = false;
                connection.pause = Some(Pause::Verification);
                let service = self.config.shards.count as u16;
                self.outbox.control(service, Control::Verify { connection: key, verification });
            }
        }
    }

    /// The service thread compared a password with a hash.
    pub(super) fn verified(&mut self, key: Key, credential: Option<Box<str>>) {
        match credential {
            Some(credential) => self.admit(key, Some(credential)),
            None => self.refuse(key),
        }
        self.resume(key);
    }

    fn refuse(&mut self, key: Key) {
        let Some(connection) = self.connection(key) else { return };
        let who = connection.options.credentials.as_deref().map(Credentials::to_string).unwrap_or_default();
        self.log_error(key, &format!("authentication error{who}"));
        self.tell_error(key, "Authorization Violation");
        self.close(key, Closing::Flush(CloseReason::AuthenticationFailure));
    }

    fn admit(&mut self, key: Key, credential: Option<Box<str>>) {
        let headers_supported = self.config.limits.headers;
        let Some(connection) = self.connection(key) else { return };
        let ConnectOptions {
            protocol, headers, no_responders, echo, verbose, pedantic, new_account, ref account, ..
        } = *connection.options;
        if new_account || account.as_deref().is_some_and(|account| !account.is_empty()) {
            self.refuse(key);
            return;
        }
        if !(0..=1).contains(&protocol) {
            self.refuse_options(key, "invalid client protocol", CloseReason::BadClientProtocolVersion);
            return;
        }
        let headers = headers && headers_supported;
        if no_responders && !headers {
            let text = "no responders requires headers support";
            self.refuse_options(key, text, CloseReason::NoRespondersRequiresHeaders);
            return;
        }
        let first = !connection.flags.connected;
        if first {
            connection.describe(credential.as_deref());
        }
        connection.flags.connected = true;
        connection.flags.admitted = true;
        connection.flags.headers = headers;
        connection.flags.echo = echo;
        connection.flags.verbose = verbose;
        connection.flags.pedantic = pedantic;
        connection.flags.no_responders = no_responders;
        if first {
            connection.ping_epoch += 1;
            let epoch = connection.ping_epoch;
            let interval = (self.config.limits.ping_interval.as_millis() as u64).min(FIRST_PING_MS);
            let spread = self.rng.u64(0..=interval / 5);
            self.timers.set(self.now + interval + spread, key, Timer::Ping(epoch));
        }
        if verbose {
            self.ok(key);
        }
    }

    fn refuse_options(&mut self, key: Key, text: &str, reason: CloseReason) {
        self.tell_error(key, text);
        self.close(key, Closing::Flush(reason));
        self.log_error(key, text);
    }

    pub(super) fn ok(&mut self, key: Key) {
        self.tell(key, frame::OK);
        if self.tracing {
            self.trace_line(key, "->>", "OK");
        }
    }

    pub(super) fn ping(&mut self, key: Key) {
        self.tell(key, frame::PONG);
        if self.tracing {
            self.trace_line(key, "->>", "PONG");
        }
        let now = self.now;
        let Some(connection) = self.connection(key) else { return };
        connection.last_active = now;
        if connection.flags.connected && !connection.flags.first_pong {
            connection.flags.first_pong = true;
            if connection.options.protocol >= 1 {
                self.write_info(key, true);
            }
        }
    }

    pub(super) fn timer(&mut self, key: Key, timer: Timer) {
        let now = self.now;
        let Some(connection) = self.connection(key) else { return };
        match timer {
            Timer::Ping(epoch) if connection.ping_epoch == epoch && connection.closing.is_none() => {
                if connection.route.is_some() {
                    self.route_ping_timer(key);
                } else {
                    self.ping_timer(key);
                }
            }
            Timer::Ping(_) => {}
            Timer::Authentication => {
                let waits = connection.pause == Some(Pause::Verification);
                if !connection.flags.connected && !waits && connection.closing.is_none() {
                    self.tell_error(key, "Authentication Timeout");
                    if let Some(connection) = self.connection(key) {
                        log::debug!("{} - Authentication Timeout", connection.label());
                    }
                    self.close(key, Closing::Flush(CloseReason::AuthenticationTimeout));
                }
            }
            Timer::Write => self.write_timer(key),
            Timer::Resume => {
                if let Some(Pause::Stall { until }) = connection.pause
                    && until <= now
                {
                    self.stalled_by.retain(|&(_, publisher)| publisher != key);
                    self.resume(key);
                }
            }
        }
    }

    fn ping_timer(&mut self, key: Key) {
        let micros = self.now_micros;
        let (now, interval) = (self.now, self.config.limits.ping_interval.as_millis() as u64);
        let ping_max = self.config.limits.ping_max;
        let Some(connection) = self.connection(key) else { return };
        let epoch = connection.ping_epoch;
        let quiet_for = now.saturating_sub(connection.last_active);
        let measure = connection.last_ping.is_none_or(|at| now.saturating_sub(at) > RTT_INTERVAL_MS);
        log::debug!("{} - Client Ping Timer", connection.label());
        if !measure && quiet_for < interval {
            log::debug!(
                "{} - Delaying PING due to remote client data or ping {}s ago",
                connection.label(),
                quiet_for.div_ceil(1000)
            );
        } else if connection.pings_out >= ping_max {
            log::debug!("{} - Stale Client Connection - Closing", connection.label());
            self.counters.stale_connections += 1;
            // The one error that the reference does not trace.
            self.tell(key, STALE_CONNECTION);
            self.close(key, Closing::Flush(CloseReason::StaleConnection));
            return;
        } else {
            connection.pings_out += 1;
            connection.last_ping = Some(now);
            connection.pinged = Some(micros);
            self.tell(key, frame::PING);
            if self.tracing {
                self.trace_line(key, "->>", "PING");
            }
        }
        self.timers.set(now + interval, key, Timer::Ping(epoch));
    }

    /// Sees to it that a blocked write is looked at when its time is over. One timer a connection is enough, however often it blocks.
    pub(super) fn watch_writes(&mut self, key: Key) {
        let deadline = self.write_deadline(key).0.as_millis() as u64;
        let Some(connection) = self.connection(key) else { return };
        if !std::mem::replace(&mut connection.flags.watched, true) {
            let since = connection.blocked.map_or(self.now, |blocked| blocked.since);
            self.timers.set(since + deadline, key, Timer::Write);
        }
    }

    /// How long a write may take, and whether who took some of it in that time is kept.
    fn write_deadline(&mut self, key: Key) -> (Duration, bool) {
        let is_route = self.route(key).is_some();
        match &self.config.cluster {
            Some(cluster) if is_route => (cluster.write_deadline, cluster.write_timeout_retry),
            _ => (self.config.limits.write_deadline, self.config.limits.write_timeout_retry),
        }
    }

    fn write_timer(&mut self, key: Key) {
        let (now, (deadline, retry)) = (self.now, self.write_deadline(key));
        let Some(connection) = self.connection(key) else { return };
        connection.flags.watched = false;
        let Some(blocked) = connection.blocked else { return };
        if now.saturating_sub(blocked.since) < deadline.as_millis() as u64 {
            self.watch_writes(key);
            return;
        }
        if let Some(closing) = connection.closing {
            // Its last words were not wanted.
            connection.closing = Some(Closing::Now(closing.reason()));
            return;
        }
        let keep = retry && blocked.progress;
        if keep {
            connection.blocked = Some(Blocked { since: now, progress: false, ..blocked });
        }
        // Who has not logged in yet is no consumer.
        if connection.flags.admitted {
            let (chunks, bytes) = (connection.out.chunks(), blocked.batch);
            let known = connection.slow.take();
            log::info!(
                "{} - Slow Consumer {}: WriteDeadline of {} exceeded with {chunks} chunks of {bytes} total bytes.",
                connection.label(),
                if known.is_some() { "State" } else { "Detected" },
                GoDuration(deadline),
            );
            let since = known.map_or(blocked.since, |known| known.since);
            connection.slow = keep.then(|| Box::new(Slow { since, chunks, bytes }));
            self.counters.slow_routes += u64::from(connection.route.is_some());
            self.counters.slow_consumers += 1;
        }
        if keep {
            self.watch_writes(key);
        } else {
            self.close(key, Closing::Now(CloseReason::SlowConsumerWriteDeadline));
        }
    }
}
