//! What an operator says about the cluster: `cluster {}` and the flags that go with it.

use std::collections::BTreeSet;
use std::time::Duration;

use shards::config::{RoutePermissions, RouteUrl, Secret};

use super::{AuthOptions, OptionsError, WriteTimeout, replace_zero};
use crate::config::{Unsupported, duration};
use crate::go_net::{Url, UrlError, split_host_port};

/// Connections to each other server when nothing is said.
const DEFAULT_POOL_SIZE: i64 = 3;
/// Account of the servers themselves; it has a route of its own wherever there are pools.
const SYSTEM_ACCOUNT: &str = "$SYS";

/// `cluster {}`
#[derive(Clone, Debug)]
pub struct ClusterOptions {
    /// `name`; `None`: one is generated, which gives way to another's.
    pub name: Option<String>,
    /// `host`: where other servers connect; empty: all addresses.
    pub host: String,
    /// `port`; 0: no cluster, [`super::RANDOM_PORT`] lets the kernel choose.
    pub port: i64,
    /// `authorization { user }`
    pub user: Option<String>,
    /// `authorization { password }`, plain or bcrypt.
    pub password: Option<Secret>,
    /// `authorization { timeout }`; `None`: 2 seconds.
    pub auth_timeout: Option<Duration>,
    /// `routes`
    pub routes: Vec<RouteUrl>,
    /// `advertise`: `host:port` that other servers are told instead.
    pub advertise: Option<String>,
    /// `no_advertise`: clients are told nothing of the cluster.
    pub no_advertise: bool,
    /// `connect_retries`: attempts after the first towards a server that others told of.
    pub connect_retries: i64,
    /// `connect_backoff`: wait longer after each failed attempt.
    pub connect_backoff: bool,
    /// `permissions`
    pub permissions: Option<RoutePermissions>,
    /// `pool_size`: connections to each other server; 0: the default, negative: no pooling.
    pub pool_size: i64,
    /// `accounts` with a route of their own.
    pub accounts: Vec<String>,
    /// `compression`
    pub compression: CompressionOptions,
    /// `ping_interval`; zero: the clients'.
    pub ping_interval: Duration,
    /// `ping_max`; 0: the clients'.
    pub ping_max: i64,
    /// `write_deadline`; zero: the clients'.
    pub write_deadline: Duration,
    /// `write_timeout`
    pub write_timeout: WriteTimeout,
    /// Where the file has `tls`, which routes do not support yet.
    pub tls: Option<Unsupported>,
}

impl Default for ClusterOptions {
    fn default() -> Self {
        ClusterOptions {
            name: None,
            host: String::new(),
            port: 0,
            user: None,
            password: None,
            auth_timeout: None,
            routes: Vec::new(),
            advertise: None,
            no_advertise: false,
            connect_retries: 0,
            connect_backoff: false,
            permissions: None,
            pool_size: 0,
            accounts: Vec::new(),
            compression: CompressionOptions::default(),
            ping_interval: Duration::ZERO,
            ping_max: 0,
            write_deadline: Duration::ZERO,
            write_timeout: WriteTimeout::Default,
            tls: None,
        }
    }
}

impl ClusterOptions {
    /// Whether there is a cluster: with a port for other servers, and only then.
    pub fn is_enabled(&self) -> bool {
        self.port != 0
    }

    /// How long another server may take until its CONNECT.
    pub fn auth_timeout(&self) -> Duration {
        self.auth_timeout.filter(|timeout| !timeout.is_zero()).unwrap_or(AuthOptions::DEFAULT_TIMEOUT)
    }

    pub(super) fn fill_defaults(&mut self) {
        if self.is_enabled() {
            if self.host.is_empty() {
                super::DEFAULT_HOST.clone_into(&mut self.host);
            }
            replace_zero(&mut self.pool_size, DEFAULT_POOL_SIZE);
        }
    }

    pub(super) fn validate(&mut self, no_system_account: bool) -> Result<(), OptionsError> {
        if self.name.as_deref().is_some_and(|name| name.contains(' ')) {
            return Err(OptionsError::ClusterNameWithSpaces);
        }
        self.compression.normalise()?;
        if self.pool_size < 0 && !self.accounts.is_empty() {
            return Err(OptionsError::AccountsWithoutPool);
        }
        let mut all: Vec<&str> = self.accounts.iter().map(String::as_str).collect();
        if self.pool_size > 0 && !no_system_account && !all.contains(&SYSTEM_ACCOUNT) {
            all.push(SYSTEM_ACCOUNT);
        }
        let mut seen = BTreeSet::new();
        match self.accounts.iter().find(|account| !seen.insert(*account)) {
            Some(account) => Err(OptionsError::RepeatedAccount { account: account.clone(), all: quoted(&all) }),
            None => Ok(()),
        }
    }
}

/// A list as the reference's messages show it.
fn quoted(texts: &[&str]) -> String {
    let texts: Vec<String> = texts.iter().map(|text| crate::go_text::quote(text)).collect();
    texts.join(" ")
}

/// `compression` of routes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CompressionOptions {
    /// As the file says it; after [`super::Options::validate`] as INFO says it. Empty: the default.
    pub mode: String,
    /// `rtt_thresholds`: up to which round trip which level is used by `s2_auto`.
    pub rtt_thresholds: Vec<Duration>,
}

/// What compresses when nothing more is said than that it should.
const MODE_FOR_ON: &str = "s2_fast";
/// Picks the level by the round trip.
const AUTO: &str = "s2_auto";
/// Levels that [`AUTO`] can choose from: none, fast, better, best.
const LEVELS: usize = 4;
/// From which round trip on [`AUTO`] compresses, and how hard.
const DEFAULT_THRESHOLDS: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(50), Duration::from_millis(100)];

impl CompressionOptions {
    fn normalise(&mut self) -> Result<(), OptionsError> {
        let mode = match self.mode.to_lowercase().as_str() {
            "" | "accept" => "accept",
            "not supported" | "not_supported" => "not supported",
            "off" | "disabled" | "false" => "off",
            "on" | "enabled" | "true" => MODE_FOR_ON,
            "auto" | AUTO => AUTO,
            "fast" | "s2_fast" => "s2_fast",
            "better" | "s2_better" => "s2_better",
            "best" | "s2_best" => "s2_best",
            _ => return Err(OptionsError::UnknownCompression(self.mode.clone())),
        };
        self.rtt_thresholds = match mode {
            AUTO if self.rtt_thresholds.is_empty() => DEFAULT_THRESHOLDS.to_vec(),
            AUTO => self.checked_thresholds()?,
            _ => Vec::new(),
        };
        mode.clone_into(&mut self.mode);
        Ok(())
    }

    /// Ascending, but for zeros, which leave a level out; those at the end say nothing.
    fn checked_thresholds(&self) -> Result<Vec<Duration>, OptionsError> {
        let shown = || {
            let texts: Vec<String> = self.rtt_thresholds.iter().map(|span| duration::format(*span)).collect();
            texts.join(" ")
        };
        let mut thresholds = self.rtt_thresholds.clone();
        if !thresholds.iter().filter(|span| !span.is_zero()).is_sorted() {
            return Err(OptionsError::UnsortedThresholds(shown()));
        }
        while thresholds.last().is_some_and(Duration::is_zero) {
            thresholds.pop();
        }
        match thresholds.len() {
            0 => Err(OptionsError::NoThreshold(self.mode.clone())),
            1..=LEVELS => Ok(thresholds),
            _ => Err(OptionsError::TooManyThresholds { mode: self.mode.clone(), thresholds: shown() }),
        }
    }
}

/// Why a text does not name another server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteUrlError {
    /// No URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// No such port.
    #[error("route url {}: port {port} is above 65535", crate::go_text::quote(.url))]
    Port {
        /// The whole URL.
        url: String,
        /// What stands in the port's place.
        port: String,
    },
}

/// A server to connect to. A URL without port is none yet: that is said whenever it should be used, as in the reference.
pub fn route_url(text: &str) -> Result<RouteUrl, RouteUrlError> {
    let url = Url::parse(text)?;
    let shown = without_password(text, &url);
    let credentials = url.user.map(|user| (user.name, Secret(user.password.as_deref().unwrap_or_default().into())));
    let (host, port) = match split_host_port(&url.host) {
        Ok((_, "")) | Err(_) => (url.host, None),
        Ok((host, port)) => match port.parse() {
            Ok(number) => (host.to_owned(), Some(number)),
            Err(_) => return Err(RouteUrlError::Port { url: shown, port: port.to_owned() }),
        },
    };
    Ok(RouteUrl { host, port, credentials, shown })
}

/// The URL with `xxxxx` for the password.
fn without_password(text: &str, url: &Url) -> String {
    let has_password = url.user.as_ref().is_some_and(|user| user.password.is_some());
    let parts = text.split_once("//").filter(|_| has_password);
    let hidden = parts.and_then(|(scheme, rest)| {
        let authority = rest.split(['/', '?', '#']).next()?;
        let (user, _) = authority.rsplit_once('@')?;
        let (name, _) = user.split_once(':')?;
        Some(format!("{scheme}//{name}:xxxxx{}", rest.get(user.len()..)?))
    });
    hidden.unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(mode: &str, thresholds: &[u64]) -> Result<CompressionOptions, String> {
        let rtt_thresholds = thresholds.iter().copied().map(Duration::from_millis).collect();
        let mut compression = CompressionOptions { mode: mode.to_owned(), rtt_thresholds };
        compression.normalise().map(|()| compression).map_err(|error| error.to_string())
    }

    #[test]
    fn modes_have_many_names() {
        let mode = |text| normalised(text, &[]).map(|compression| compression.mode);
        for (text, name) in [
            ("", "accept"),
            ("On", "s2_fast"),
            ("FALSE", "off"),
            ("best", "s2_best"),
            ("auto", "s2_auto"),
            ("not_supported", "not supported"),
        ] {
            assert_eq!(mode(text).as_deref(), Ok(name), "{text}");
        }
        assert_eq!(mode("s2_uncompressed"), Err("unsupported compression mode \"s2_uncompressed\"".to_owned()));
    }

    #[test]
    fn thresholds_ascend() {
        let thresholds = |spans: &[u64]| normalised("auto", spans).map(|found| found.rtt_thresholds.len());
        assert_eq!(thresholds(&[]), Ok(3));
        assert_eq!(thresholds(&[0, 5, 0, 10, 0]), Ok(4));
        assert_eq!(
            thresholds(&[20, 10]),
            Err("RTT threshold values [20ms 10ms] should be in ascending order".to_owned())
        );
        assert_eq!(
            thresholds(&[0, 0]),
            Err("compression mode \"auto\" requires at least one RTT threshold".to_owned())
        );
        assert_eq!(
            thresholds(&[1, 2, 3, 4, 5]),
            Err("compression mode \"auto\" should have no more than 4 RTT thresholds: [1ms 2ms 3ms 4ms 5ms]".to_owned())
        );
        assert_eq!(normalised("fast", &[20, 10]).map(|found| found.rtt_thresholds), Ok(Vec::new()));
    }

    #[test]
    fn route_urls_name_servers() {
        let route = route_url("nats-route://u:p%40x@[::1]:6222/x").expect("a URL");
        assert_eq!((route.host.as_str(), route.port), ("::1", Some(6222)));
        let (user, password) = route.credentials.expect("credentials");
        assert_eq!((user.as_str(), &*password.0), ("u", "p@x"));
        assert_eq!(route.shown, "nats-route://u:xxxxx@[::1]:6222/x");

        for (text, host) in [("nats://h", "h"), ("localhost:1", ""), ("", ""), ("nats://h:", "h:")] {
            let route = route_url(text).expect(text);
            assert_eq!((route.host.as_str(), route.port), (host, None), "{text}");
        }
        let refusal = |text| route_url(text).map_err(|error| error.to_string()).expect_err(text);
        assert_eq!(refusal("nats://u:p@h:70000"), "route url \"nats://u:xxxxx@h:70000\": port 70000 is above 65535");
        assert_eq!(refusal("1.2.3.4:1"), "parse \"1.2.3.4:1\": first path segment in URL cannot contain colon");
    }

    #[test]
    fn secrets_stay_out_of_debug_output() {
        let password = Some(Secret("secret".into()));
        let routes = vec![route_url("nats://u:secret@h:1").expect("a URL")];
        let options = ClusterOptions { password, routes, ..ClusterOptions::default() };
        assert!(!format!("{options:?}").contains("secret"));
    }
}
