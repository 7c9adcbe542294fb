//! What the engine must be told before it starts: one plain value, already validated by the program.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Most shards that a server may have; a shard's number fits in a byte.
pub const MAX_SHARDS: usize = 256;

/// What INFO and monitoring say about the compiler: clients ignore it, but it was promised to be there.
pub const BUILT_WITH: &str = concat!("pinmesh-", env!("CARGO_PKG_VERSION"));

/// Everything the engine needs to know. The program makes it from flags and configuration file.
#[derive(Clone, Debug)]
pub struct Config {
    /// How many shards (1 to [`MAX_SHARDS`]), and where they run.
    pub shards: ShardLayout,
    /// What INFO says about this server.
    pub identity: Identity,
    /// Limits of connections and buffers.
    pub limits: Limits,
    /// Who may connect.
    pub auth: Auth,
    /// Log protocol lines (`TRC`); costs a look at one flag a message when off.
    pub trace: Trace,
    /// The cluster that it is part of.
    pub cluster: Option<Cluster>,
}

/// Threads and cores.
#[derive(Clone, Debug)]
pub struct ShardLayout {
    /// Number of shards, 1 to [`MAX_SHARDS`].
    pub count: usize,
    /// Core (kernel CPU number) of each shard; empty: shards are not pinned. Shard `i` takes `cores[i % len]`.
    pub cores: Vec<usize>,
    /// How long a shard looks at its inbox before it sleeps, if a parcel came lately. Zero: never spin.
    /// The program sets zero when there are more shards than cores that the process may use.
    pub spin: Duration,
}

/// The server's own data in INFO.
#[derive(Clone, Debug)]
pub struct Identity {
    /// 56 characters, `N…`.
    pub server_id: String,
    /// Configured name, else the id.
    pub server_name: String,
    /// Version that INFO shows, without a leading `v`.
    pub version: String,
    /// Short commit hash; left out when empty.
    pub git_commit: String,
    /// Host as configured, or the host of `client_advertise`.
    pub host: String,
    /// Port as bound, or the port of `client_advertise`. 0 until [`crate::config::Config`] meets a listener.
    pub port: u16,
    /// Name of the cluster that it belongs to, or would belong to if it had a port for routes.
    pub cluster: Option<String>,
    /// When the server started; the time of day in its messages counts from here.
    pub started: SystemTime,
}

/// Limits and timers; names and defaults are those of the configuration file.
#[derive(Clone, Debug)]
pub struct Limits {
    /// `max_connections`; 0 admits nobody.
    pub max_connections: usize,
    /// `max_subscriptions` of one connection; 0: unlimited.
    pub max_subscriptions: usize,
    /// `max_subscription_tokens`; 0: unlimited.
    pub max_subscription_tokens: usize,
    /// `max_payload` in bytes; `None`: unlimited (INFO says -1).
    pub max_payload: Option<usize>,
    /// `max_control_line`: bytes of the argument part.
    pub max_control_line: usize,
    /// `max_pending`: bytes queued for one connection.
    pub max_pending: usize,
    /// `ping_interval`.
    pub ping_interval: Duration,
    /// `ping_max`: unanswered pings before the connection counts as stale.
    pub ping_max: u32,
    /// `authorization.timeout`.
    pub auth_timeout: Duration,
    /// `write_deadline`.
    pub write_deadline: Duration,
    /// `write_timeout: retry`: a client that took some bytes within the deadline is kept.
    pub write_timeout_retry: bool,
    /// `no_fast_producer_stall`: drop messages to connections that are behind instead of slowing their publishers.
    pub no_fast_producer_stall: bool,
    /// `max_closed_clients`: closed connections that monitoring remembers, over all shards.
    pub max_closed_clients: usize,
    /// `no_header_support` turned around.
    pub headers: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 65_536,
            max_subscriptions: 0,
            max_subscription_tokens: 0,
            max_payload: Some(1024 * 1024),
            max_control_line: 4096,
            max_pending: 64 * 1024 * 1024,
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            auth_timeout: Duration::from_secs(2),
            write_deadline: Duration::from_secs(10),
            write_timeout_retry: false,
            no_fast_producer_stall: false,
            max_closed_clients: 10_000,
            headers: true,
        }
    }
}

/// Who may connect. A configured value that looks like a bcrypt hash is compared as one.
#[derive(Clone, Debug)]
pub enum Auth {
    /// Everybody, into account `$G`.
    Open,
    /// `authorization { token }`
    Token(Secret),
    /// `authorization { user, password }`
    UserPassword {
        /// User name.
        user: String,
        /// Plain password or bcrypt hash.
        password: Secret,
    },
}

/// A configured secret; `Debug` does not show it.
#[derive(Clone)]
pub struct Secret(pub Arc<str>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[REDACTED]")
    }
}

/// Protocol tracing (`-V`, `trace`).
#[derive(Clone, Copy, Debug, Default)]
pub struct Trace {
    /// Log every protocol line.
    pub enabled: bool,
    /// `trace_headers`: only header blocks, no payloads.
    pub headers_only: bool,
    /// `max_traced_msg_len` in bytes; 0: unlimited.
    pub max_len: usize,
}

/// Where the server listens, after binding.
#[derive(Clone, Copy, Debug)]
pub struct Bound {
    /// Actual address, with the port that the kernel chose.
    pub address: SocketAddr,
}

/// `cluster {}`, and the flags that go with it. A server has one iff it listens for routes.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Name of the cluster, without blanks.
    pub name: String,
    /// The name was generated, and may give way to another's.
    pub name_is_dynamic: bool,
    /// Host as configured, for INFO and logs (`0.0.0.0` when nothing was said).
    pub host: String,
    /// Port as bound.
    pub port: u16,
    /// `advertise`: what INFO says instead of host and port.
    pub advertise: Option<(String, u16)>,
    /// `no_advertise`: clients are told nothing of the cluster, and peers nothing of this server's client address.
    pub no_advertise: bool,
    /// Where clients reach this server (`host:port`), as peers pass it on to theirs.
    pub client_urls: Vec<String>,
    /// `authorization` of routes that come in; also used towards servers that were learned by gossip.
    pub authorization: Option<RouteAuthorization>,
    /// How long a peer may take for CONNECT when there is an `authorization`.
    pub auth_timeout: Duration,
    /// `routes`
    pub routes: Vec<RouteUrl>,
    /// `connect_retries`: attempts after the first towards a server that was learned by gossip.
    pub connect_retries: u32,
    /// `connect_backoff`: attempts wait 1, 2, 4, … 30 seconds instead of one each.
    pub connect_backoff: bool,
    /// `connect_error_reports`: every which failed attempt of a first connect is an error line.
    pub connect_error_reports: u32,
    /// `reconnect_error_reports`: the same for reconnects.
    pub reconnect_error_reports: u32,
    /// `permissions`
    pub permissions: Option<RoutePermissions>,
    /// `pool_size`; `None`: pooling and dedicated accounts are off.
    pub pool_size: Option<u32>,
    /// `accounts`: each has a route connection of its own to every peer.
    pub accounts: Vec<String>,
    /// `no_system_account` turned around: the servers' own account has one, too, wherever there are pools.
    pub system_account: bool,
    /// `compression`, as in INFO (`accept`, `off`, `s2_fast`, …).
    pub compression: String,
    /// `compression { rtt_thresholds }` of `s2_auto`.
    pub rtt_thresholds: Vec<Duration>,
    /// `ping_interval`, 30 s at most.
    pub ping_interval: Duration,
    /// `ping_max`
    pub ping_max: u32,
    /// `write_deadline`
    pub write_deadline: Duration,
    /// `write_timeout: retry`: a route that took some bytes within the deadline is kept.
    pub write_timeout_retry: bool,
}

/// User and password of routes.
#[derive(Clone, Debug)]
pub struct RouteAuthorization {
    /// User name.
    pub user: String,
    /// Plain password or bcrypt hash.
    pub password: Secret,
}

/// One of `routes`: a server to connect to.
#[derive(Clone, Debug)]
pub struct RouteUrl {
    /// Host name or address.
    pub host: String,
    /// Port; `None` is an error at each attempt to connect, as in the reference.
    pub port: Option<u16>,
    /// User and password of the URL.
    pub credentials: Option<(String, Secret)>,
    /// As logs show it: the password as `xxxxx`.
    pub shown: String,
}

/// `permissions` of routes: subject patterns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutePermissions {
    /// What of this server's own interest peers are told.
    pub import: SubjectRules,
    /// What interest of peers is accepted.
    pub export: SubjectRules,
}

/// What is allowed, and what of it is not; nothing allowed explicitly means everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectRules {
    /// Patterns; `None`: all.
    pub allow: Option<Vec<String>>,
    /// Patterns that are excepted.
    pub deny: Vec<String>,
}
