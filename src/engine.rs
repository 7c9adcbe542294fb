//! Options, as an operator says them, turned into the engine's configuration.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use shards::config::{Auth, Cluster, Config, Identity, Limits, RouteAuthorization, Secret, ShardLayout, Trace};
use shards::server::StartError;

use crate::options::{AuthOptions, Options, WriteTimeout};
use crate::program::COMPATIBLE_VERSION;
use crate::{go_text, listen};

/// What options do not say, but the start has found out.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Id of this server.
    pub server_id: String,
    /// Threads and cores.
    pub shards: ShardLayout,
    /// Port for clients, as bound.
    pub port: u16,
    /// `client_advertise`, taken apart.
    pub advertise: Option<(String, u16)>,
    /// If there is a cluster: what is known of its port.
    pub cluster: Option<ClusterFacts>,
}

/// What the start has found out about the cluster.
#[derive(Clone, Debug)]
pub struct ClusterFacts {
    /// Name of the cluster, configured or new.
    pub name: String,
    /// Where other servers connect.
    pub bound: SocketAddr,
    /// `advertise`, taken apart.
    pub advertise: Option<(String, u16)>,
}

/// The engine's configuration.
pub fn config(options: &Options, facts: Facts) -> Config {
    let Facts { server_id, shards, port, advertise, cluster } = facts;
    let client_urls = listen::client_urls(&options.host, port, advertise.as_ref());
    let cluster = cluster.map(|facts| self::cluster(options, facts, client_urls));
    let cluster_name = cluster.as_ref().map(|cluster| &cluster.name).or(options.cluster.name.as_ref());
    let (host, port) = advertise.unwrap_or_else(|| (options.host.clone(), port));
    let identity = Identity {
        server_name: options.server_name.clone().unwrap_or_else(|| server_id.clone()),
        server_id,
        version: COMPATIBLE_VERSION.to_owned(),
        git_commit: option_env!("PINMESH_GIT_COMMIT").unwrap_or("0000000").to_owned(),
        host,
        port,
        cluster: cluster_name.cloned(),
        started: SystemTime::now(),
    };
    let trace = Trace {
        enabled: options.logging.trace,
        headers_only: options.logging.trace_headers,
        max_len: non_negative(options.logging.max_traced_msg_len),
    };
    Config { shards, identity, limits: limits(options), auth: auth(&options.auth), trace, cluster }
}

/// What was not said about the cluster is as for clients.
fn cluster(options: &Options, facts: ClusterFacts, client_urls: Vec<String>) -> Cluster {
    /// Routes are asked at least this often.
    const LONGEST_PING_INTERVAL: Duration = Duration::from_secs(30);
    let (cluster, timers, logging) = (&options.cluster, &options.timers, &options.logging);
    let said = |span: Duration, otherwise| if span.is_zero() { otherwise } else { span };
    let reports = |number: i64| clamped(number.max(1));
    let policy =
        if cluster.write_timeout == WriteTimeout::Default { timers.write_timeout } else { cluster.write_timeout };
    let authorization = cluster.user.clone().map(|user| RouteAuthorization {
        user,
        password: cluster.password.clone().unwrap_or_else(|| Secret(Arc::from(""))),
    });
    Cluster {
        name_is_dynamic: cluster.name.is_none(),
        name: facts.name,
        host: cluster.host.clone(),
        port: facts.bound.port(),
        advertise: facts.advertise,
        no_advertise: cluster.no_advertise,
        client_urls,
        authorization,
        auth_timeout: cluster.auth_timeout(),
        routes: cluster.routes.clone(),
        connect_retries: clamped(cluster.connect_retries),
        connect_backoff: cluster.connect_backoff,
        connect_error_reports: reports(logging.connect_error_reports),
        reconnect_error_reports: reports(logging.reconnect_error_reports),
        permissions: cluster.permissions.clone(),
        pool_size: u32::try_from(cluster.pool_size).ok(),
        accounts: cluster.accounts.clone(),
        system_account: !options.no_system_account,
        compression: cluster.compression.mode.clone(),
        rtt_thresholds: cluster.compression.rtt_thresholds.clone(),
        ping_interval: said(cluster.ping_interval, timers.ping_interval).min(LONGEST_PING_INTERVAL),
        ping_max: clamped(if cluster.ping_max == 0 { timers.ping_max } else { cluster.ping_max }),
        write_deadline: said(cluster.write_deadline, timers.write_deadline),
        write_timeout_retry: policy != WriteTimeout::Close,
    }
}

/// Why the shards did not start, and what to do about it.
pub fn start_failure(error: &StartError) -> String {
    match error {
        StartError::Shard { shard, source } if source.raw_os_error() == Some(Errno::MFILE.raw_os_error()) => format!(
            "Unable to start shard {shard}: too many open files. Raise the limit (ulimit -n, or LimitNOFILE of a \
             service), or lower --shards"
        ),
        StartError::Shard { shard, source } => {
            format!("Unable to start shard {shard}: {}", go_text::os_error(source))
        }
        StartError::Bind { address, source } => {
            format!("Error listening on port: {address}, {}", go_text::os_error(source))
        }
    }
}

fn limits(options: &Options) -> Limits {
    let (limits, timers) = (&options.limits, &options.timers);
    Limits {
        max_connections: non_negative(limits.max_connections),
        max_subscriptions: non_negative(limits.max_subscriptions),
        max_subscription_tokens: limits.max_sub_tokens.into(),
        max_payload: usize::try_from(limits.max_payload).ok(),
        max_control_line: non_negative(limits.max_control_line),
        max_pending: non_negative(limits.max_pending),
        ping_interval: timers.ping_interval,
        ping_max: clamped(timers.ping_max),
        auth_timeout: options.auth_timeout(),
        write_deadline: timers.write_deadline,
        write_timeout_retry: timers.write_timeout == WriteTimeout::Retry,
        max_closed_clients: non_negative(limits.max_closed_clients),
        no_fast_producer_stall: options.no_fast_producer_stall,
        headers: !options.no_header_support,
    }
}

fn auth(auth: &AuthOptions) -> Auth {
    let secret = |text: &Option<String>| Secret(Arc::from(text.as_deref().unwrap_or_default()));
    // Like the reference: a token beats a user, and a password without a user asks for nothing.
    match (&auth.token, &auth.user) {
        (Some(_), _) => Auth::Token(secret(&auth.token)),
        (None, Some(user)) => Auth::UserPassword { user: user.clone(), password: secret(&auth.password) },
        (None, None) => Auth::Open,
    }
}

/// Negative numbers are none.
fn clamped(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

fn non_negative(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::route_url;

    fn configured(change: impl FnOnce(&mut Options)) -> Config {
        let mut options = Options::default();
        change(&mut options);
        options.fill_defaults();
        options.validate().unwrap();
        let cluster = options.cluster.is_enabled().then(|| ClusterFacts {
            name: options.cluster.name.clone().unwrap_or_else(|| "generated".to_owned()),
            bound: SocketAddr::from(([0, 0, 0, 0], 6222)),
            advertise: None,
        });
        let shards = ShardLayout { count: 1, cores: Vec::new(), spin: Duration::ZERO };
        config(&options, Facts { server_id: "NID".to_owned(), shards, port: 4222, advertise: None, cluster })
    }

    fn clustered(change: impl FnOnce(&mut Options)) -> Cluster {
        let options = |options: &mut Options| {
            options.cluster.port = -1;
            change(options);
        };
        configured(options).cluster.unwrap()
    }

    #[test]
    fn a_cluster_is_what_was_said_else_as_for_clients() {
        assert!(configured(|options| options.cluster.name = Some("C".to_owned())).cluster.is_none());
        let plain = clustered(|_| {});
        assert_eq!((plain.name.as_str(), plain.name_is_dynamic), ("generated", true));
        assert_eq!((plain.host.as_str(), plain.port), ("0.0.0.0", 6222));
        assert_eq!((plain.pool_size, plain.compression.as_str()), (Some(3), "accept"));
        assert_eq!((plain.ping_interval, plain.ping_max), (Duration::from_secs(30), 2));
        assert_eq!((plain.write_deadline, plain.write_timeout_retry), (Duration::from_secs(10), true));
        assert_eq!(plain.auth_timeout, Duration::from_secs(2));
        assert!(plain.authorization.is_none() && plain.permissions.is_none() && plain.routes.is_empty());
        assert!(plain.rtt_thresholds.is_empty() && plain.system_account);

        let said = clustered(|options| {
            options.timers.write_timeout = WriteTimeout::Close;
            options.timers.ping_interval = Duration::from_secs(5);
            options.logging.connect_error_reports = -1;
            options.cluster.name = Some("C".to_owned());
            options.cluster.user = Some("u".to_owned());
            options.cluster.pool_size = -1;
            options.cluster.connect_retries = -5;
            options.cluster.ping_max = 7;
            options.no_system_account = true;
            options.cluster.write_deadline = Duration::from_secs(3);
            options.cluster.compression.mode = "auto".to_owned();
            options.cluster.routes = vec![route_url("nats://h:1").unwrap()];
        });
        assert_eq!((said.name.as_str(), said.name_is_dynamic), ("C", false));
        assert_eq!(said.authorization.map(|authorization| authorization.user).as_deref(), Some("u"));
        assert_eq!((said.pool_size, said.connect_retries, said.connect_error_reports), (None, 0, 1));
        assert_eq!((said.ping_interval, said.ping_max), (Duration::from_secs(5), 7));
        assert_eq!((said.write_deadline, said.write_timeout_retry), (Duration::from_secs(3), false));
        assert_eq!((said.compression.as_str(), said.rtt_thresholds.len()), ("s2_auto", 3));
        assert_eq!((said.routes.len(), said.system_account), (1, false));
    }

    #[test]
    fn peers_are_told_where_clients_connect() {
        assert_eq!(clustered(|options| options.host = "localhost".to_owned()).client_urls, ["localhost:4222"]);
        assert_eq!(clustered(|options| options.host = "::1".to_owned()).client_urls, ["[::1]:4222"]);
        let everywhere = clustered(|_| {}).client_urls;
        assert!(everywhere.iter().all(|url| !url.starts_with("0.0.0.0") && !url.starts_with("127.")), "{everywhere:?}");
    }

    #[test]
    fn defaults_are_the_engines() {
        let limits = format!("{:?}", configured(|_| {}).limits);
        assert_eq!(limits, format!("{:?}", Limits::default()));
    }

    #[test]
    fn negative_limits_admit_nobody() {
        assert_eq!(configured(|options| options.limits.max_connections = -1).limits.max_connections, 0);
        assert_eq!(configured(|options| options.limits.max_payload = -1).limits.max_payload, None);
    }

    #[test]
    fn who_may_connect() {
        let auth = |user: Option<&str>, password: Option<&str>, token: Option<&str>| {
            let config = configured(|options| {
                options.auth.user = user.map(str::to_owned);
                options.auth.password = password.map(str::to_owned);
                options.auth.token = token.map(str::to_owned);
            });
            config.auth
        };
        assert!(matches!(auth(None, None, None), Auth::Open));
        assert!(matches!(auth(None, Some("p"), None), Auth::Open));
        assert!(matches!(auth(Some("u"), None, None), Auth::UserPassword { .. }));
        assert!(matches!(auth(Some("u"), Some("p"), Some("t")), Auth::Token(_)));
    }

    #[test]
    fn the_id_is_the_name_of_the_nameless() {
        assert_eq!(configured(|_| {}).identity.server_name, "NID");
        assert_eq!(configured(|options| options.server_name = Some("A".to_owned())).identity.server_name, "A");
    }
}
