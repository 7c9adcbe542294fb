//! The one typed picture of flags and configuration file.
//!
//! [`Options::default`] holds the defaults, [`crate::config::load`] lays a file over them, the command line lays its
//! flags over that, [`Options::fill_defaults`] gives zeros their meaning, and [`Options::validate`] has the last word
//! before the server starts. Numbers that an operator may write as zero or negative keep their sign here.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::Unsupported;

mod cluster;

pub use cluster::{ClusterOptions, CompressionOptions, RouteUrlError, route_url};

/// Port that clients expect.
pub const DEFAULT_PORT: i64 = 4222;
/// `port` value that lets the kernel choose.
pub const RANDOM_PORT: i64 = -1;
/// Address that `host` has when nothing else is said: all of them.
pub const DEFAULT_HOST: &str = "0.0.0.0";
/// A `max_payload` above this draws a warning at the start.
pub const MAX_PAYLOAD_ADVISED: i64 = 8 * 1024 * 1024;

/// Everything that an operator can say to the server.
#[derive(Clone, Debug)]
pub struct Options {
    /// `host`: where clients connect.
    pub host: String,
    /// `port`; [`RANDOM_PORT`] lets the kernel choose, 0 means [`DEFAULT_PORT`].
    pub port: i64,
    /// `http`: host of the monitoring port; empty: the host of the clients' port.
    pub http_host: String,
    /// `http_port`; 0: no monitoring, [`RANDOM_PORT`] lets the kernel choose.
    pub http_port: i64,
    /// `http_base_path`: what stands before the paths of the monitoring port, as the operator wrote it.
    pub http_base_path: String,
    /// `client_advertise`: `host:port` that INFO shows instead.
    pub client_advertise: Option<String>,
    /// `server_name`; `None`: the server's id.
    pub server_name: Option<String>,
    /// `server_tags`, lower-cased and without repeats.
    pub server_tags: Vec<String>,
    /// `server_metadata`.
    pub server_metadata: BTreeMap<String, String>,
    /// `feature_flags`, known or not.
    pub feature_flags: BTreeMap<String, bool>,
    /// The configuration file, as the operator named it.
    pub config_file: Option<PathBuf>,
    /// `pid_file`.
    pub pid_file: Option<PathBuf>,
    /// `ports_file_dir`.
    pub ports_file_dir: Option<PathBuf>,
    /// `prof_port`: accepted; there is no profiler to serve.
    pub prof_port: i64,
    /// `prof_block_rate`: accepted, without effect.
    pub prof_block_rate: i64,
    /// What is logged, and where.
    pub logging: LogOptions,
    /// Limits of connections.
    pub limits: LimitOptions,
    /// Timers of connections and of the shutdown.
    pub timers: TimerOptions,
    /// Who may connect.
    pub auth: AuthOptions,
    /// Other servers.
    pub cluster: ClusterOptions,
    /// `gateway { name }`: the cluster is called so, too.
    pub gateway_name: Option<String>,
    /// `no_system_account`
    pub no_system_account: bool,
    /// `no_fast_producer_stall`: drop for connections that are behind instead of slowing their publishers.
    pub no_fast_producer_stall: bool,
    /// `no_header_support`: refuse message headers.
    pub no_header_support: bool,
    /// `disable_sublist_cache`: accepted, without effect: the directory's caches are part of how shards route.
    pub disable_sublist_cache: bool,
    /// Threads and cores.
    pub shards: ShardOptions,
    /// What the file asks for and this server does not have yet, but for what depends on flags: see
    /// [`Options::missing_parts`].
    pub unsupported: Vec<Unsupported>,
}

/// What is logged, and where.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// `debug`
    pub debug: bool,
    /// `trace`
    pub trace: bool,
    /// `trace_verbose`: the system account's traffic too.
    pub trace_verbose: bool,
    /// `trace_headers`: of messages, only the header block.
    pub trace_headers: bool,
    /// `max_traced_msg_len` in bytes; 0: unlimited.
    pub max_traced_msg_len: i64,
    /// `logtime`: begin lines with date and time.
    pub logtime: bool,
    /// `logtime_utc`: in UTC instead of the local zone.
    pub logtime_utc: bool,
    /// `log_file`; `None`: standard error.
    pub log_file: Option<PathBuf>,
    /// `log_size_limit` in bytes; 0: never rotate.
    pub log_size_limit: i64,
    /// `log_max_num`: log files kept, the live one included; 0: all.
    pub log_max_num: i64,
    /// `connect_error_reports`: of a new peer's failures, log the first and every Nth as errors.
    pub connect_error_reports: i64,
    /// `reconnect_error_reports`: the same for a peer that was connected before.
    pub reconnect_error_reports: i64,
}

/// Limits of connections.
#[derive(Clone, Debug)]
pub struct LimitOptions {
    /// `max_connections`; negative admits nobody.
    pub max_connections: i64,
    /// `max_subscriptions` of one connection; 0: unlimited.
    pub max_subscriptions: i64,
    /// `max_sub_tokens` of one subscription's subject; 0: unlimited.
    pub max_sub_tokens: u8,
    /// `max_payload` in bytes; negative: unlimited.
    pub max_payload: i64,
    /// `max_control_line` in bytes.
    pub max_control_line: i64,
    /// `max_pending` in bytes, per connection.
    pub max_pending: i64,
    /// `max_closed_clients`: closed connections that monitoring remembers.
    pub max_closed_clients: i64,
}

/// Timers of connections and of the shutdown.
#[derive(Clone, Debug)]
pub struct TimerOptions {
    /// `ping_interval`
    pub ping_interval: Duration,
    /// `ping_max`: unanswered pings before a connection counts as stale.
    pub ping_max: i64,
    /// `write_deadline`
    pub write_deadline: Duration,
    /// `write_timeout`: what happens to a connection whose write missed the deadline.
    pub write_timeout: WriteTimeout,
    /// `lame_duck_duration`
    pub lame_duck_duration: Duration,
    /// `lame_duck_grace_period`
    pub lame_duck_grace_period: Duration,
}

/// `write_timeout`: what happens to a connection whose write missed the deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteTimeout {
    /// Clients are closed, routes try again.
    #[default]
    Default,
    /// Close the connection.
    Close,
    /// Keep it if some bytes went out.
    Retry,
}

/// `authorization` with one user, or a token.
#[derive(Clone, Default)]
pub struct AuthOptions {
    /// `user`
    pub user: Option<String>,
    /// `password`, plain or bcrypt.
    pub password: Option<String>,
    /// `token`, plain or bcrypt.
    pub token: Option<String>,
    /// `timeout` for the CONNECT of a new connection; `None`: 2 seconds.
    pub timeout: Option<Duration>,
}

impl AuthOptions {
    /// What `timeout` is when it was not configured.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
}

impl fmt::Debug for AuthOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = |secret: &Option<String>| secret.as_ref().map(|_| "[REDACTED]");
        f.debug_struct("AuthOptions")
            .field("user", &self.user)
            .field("password", &hidden(&self.password))
            .field("token", &hidden(&self.token))
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// Threads and cores. Flags only: no configuration key sets these.
#[derive(Clone, Debug, Default)]
pub struct ShardOptions {
    /// `--shards`; `None`: one for each CPU that the process may use.
    pub count: Option<usize>,
    /// `--pin`
    pub pin: Pin,
    /// `--spin`; `None`: the engine's default.
    pub spin: Option<Duration>,
}

/// `--pin`: whether shards get cores of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Pin {
    /// Pin when every shard can have a core of its own.
    #[default]
    Auto,
    /// Leave it to the kernel.
    Off,
    /// These cores, in this order.
    Cores(Vec<usize>),
}

impl Default for Options {
    fn default() -> Self {
        Options {
            host: DEFAULT_HOST.to_owned(),
            port: DEFAULT_PORT,
            http_host: String::new(),
            http_port: 0,
            http_base_path: String::new(),
            client_advertise: None,
            server_name: None,
            server_tags: Vec::new(),
            server_metadata: BTreeMap::new(),
            feature_flags: BTreeMap::new(),
            config_file: None,
            pid_file: None,
            ports_file_dir: None,
            prof_port: 0,
            prof_block_rate: 0,
            logging: LogOptions::default(),
            limits: LimitOptions::default(),
            timers: TimerOptions::default(),
            auth: AuthOptions::default(),
            cluster: ClusterOptions::default(),
            gateway_name: None,
            no_system_account: false,
            no_fast_producer_stall: false,
            no_header_support: false,
            disable_sublist_cache: false,
            shards: ShardOptions::default(),
            unsupported: Vec::new(),
        }
    }
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions {
            debug: false,
            trace: false,
            trace_verbose: false,
            trace_headers: false,
            max_traced_msg_len: 0,
            logtime: true,
            logtime_utc: false,
            log_file: None,
            log_size_limit: 0,
            log_max_num: 0,
            connect_error_reports: 3600,
            reconnect_error_reports: 1,
        }
    }
}

impl Default for LimitOptions {
    fn default() -> Self {
        LimitOptions {
            max_connections: 65_536,
            max_subscriptions: 0,
            max_sub_tokens: 0,
            max_payload: 1024 * 1024,
            max_control_line: 4096,
            max_pending: 64 * 1024 * 1024,
            max_closed_clients: 10_000,
        }
    }
}

impl Default for TimerOptions {
    fn default() -> Self {
        TimerOptions {
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            write_deadline: Duration::from_secs(10),
            write_timeout: WriteTimeout::Default,
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace_period: Duration::from_secs(10),
        }
    }
}

/// Why these options cannot start a server. The texts are those of the reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// `server_name` with a blank.
    #[error("server name cannot contain spaces")]
    ServerNameWithSpaces,
    /// The grace period is part of the lame duck duration.
    #[error("lame duck grace period ({grace}) should be strictly lower than lame duck duration ({duration})")]
    GraceNotBelowDuration {
        /// `lame_duck_grace_period`
        grace: String,
        /// `lame_duck_duration`
        duration: String,
    },
    /// A single message would not fit into the queue of a connection.
    #[error("max_payload ({max_payload}) cannot be higher than max_pending ({max_pending})")]
    PayloadAbovePending {
        /// `max_payload`
        max_payload: i64,
        /// `max_pending`
        max_pending: i64,
    },
    /// `cluster { name }` with a blank.
    #[error("cluster name cannot contain spaces")]
    ClusterNameWithSpaces,
    /// `gateway` and `cluster` have different names.
    #[error("cluster name conflicts between cluster and gateway definitions")]
    TwoClusterNames,
    /// `compression` with something else.
    #[error("unsupported compression mode {}", crate::go_text::quote(.0))]
    UnknownCompression(String),
    /// `rtt_thresholds` that do not grow.
    #[error("RTT threshold values [{0}] should be in ascending order")]
    UnsortedThresholds(String),
    /// More `rtt_thresholds` than there are levels.
    #[error("compression mode {} should have no more than 4 RTT thresholds: [{thresholds}]", crate::go_text::quote(.mode))]
    TooManyThresholds {
        /// `mode`
        mode: String,
        /// `rtt_thresholds`
        thresholds: String,
    },
    /// `rtt_thresholds` of nothing but zeros.
    #[error("compression mode {} requires at least one RTT threshold", crate::go_text::quote(.0))]
    NoThreshold(String),
    /// `accounts` need a pool.
    #[error("pool_size cannot be negative if pinned accounts are specified")]
    AccountsWithoutPool,
    /// One of `accounts` twice.
    #[error("found duplicate account name {} in pinned accounts list [{all}]", crate::go_text::quote(.account))]
    RepeatedAccount {
        /// That account.
        account: String,
        /// `accounts`
        all: String,
    },
}

impl Options {
    /// Gives zeros the meaning that they have for an operator: the default.
    pub fn fill_defaults(&mut self) {
        let limits = LimitOptions::default();
        let timers = TimerOptions::default();
        let logging = LogOptions::default();
        if self.host.is_empty() {
            DEFAULT_HOST.clone_into(&mut self.host);
        }
        if self.http_host.is_empty() {
            self.http_host.clone_from(&self.host);
        }
        replace_zero(&mut self.port, DEFAULT_PORT);
        replace_zero(&mut self.limits.max_connections, limits.max_connections);
        replace_zero(&mut self.limits.max_payload, limits.max_payload);
        replace_zero(&mut self.limits.max_control_line, limits.max_control_line);
        replace_zero(&mut self.limits.max_pending, limits.max_pending);
        replace_zero(&mut self.limits.max_closed_clients, limits.max_closed_clients);
        replace_zero(&mut self.timers.ping_max, timers.ping_max);
        replace_zero(&mut self.timers.ping_interval, timers.ping_interval);
        replace_zero(&mut self.timers.write_deadline, timers.write_deadline);
        replace_zero(&mut self.timers.lame_duck_duration, timers.lame_duck_duration);
        replace_zero(&mut self.timers.lame_duck_grace_period, timers.lame_duck_grace_period);
        replace_zero(&mut self.logging.connect_error_reports, logging.connect_error_reports);
        replace_zero(&mut self.logging.reconnect_error_reports, logging.reconnect_error_reports);
        self.cluster.fill_defaults();
    }

    /// What must hold before the server starts, beyond what a file is checked for when it is read. Brings what has
    /// several spellings into one.
    pub fn validate(&mut self) -> Result<(), OptionsError> {
        if self.server_name.as_deref().is_some_and(|name| name.contains(' ')) {
            return Err(OptionsError::ServerNameWithSpaces);
        }
        let TimerOptions { lame_duck_duration: duration, lame_duck_grace_period: grace, .. } = self.timers;
        if grace >= duration {
            return Err(OptionsError::GraceNotBelowDuration {
                grace: crate::config::duration::format(grace),
                duration: crate::config::duration::format(duration),
            });
        }
        let LimitOptions { max_payload, max_pending, .. } = self.limits;
        if max_payload > max_pending {
            return Err(OptionsError::PayloadAbovePending { max_payload, max_pending });
        }
        if let Some(gateway) = &self.gateway_name {
            match &self.cluster.name {
                Some(name) if name != gateway => return Err(OptionsError::TwoClusterNames),
                _ => self.cluster.name = Some(gateway.clone()),
            }
        }
        self.cluster.validate(self.no_system_account)
    }

    /// What the file asks for and this server does not have yet.
    pub fn missing_parts(&self) -> impl Iterator<Item = &Unsupported> {
        // Only with the flags it is certain whether there is a cluster.
        let route_tls = self.cluster.tls.iter().filter(|_| self.cluster.is_enabled());
        self.unsupported.iter().chain(route_tls)
    }

    /// How long a new connection may take until its CONNECT.
    pub fn auth_timeout(&self) -> Duration {
        self.auth.timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(AuthOptions::DEFAULT_TIMEOUT)
    }
}

fn replace_zero<T: Default + PartialEq>(value: &mut T, default: T) {
    if *value == T::default() {
        *value = default;
    }
}
