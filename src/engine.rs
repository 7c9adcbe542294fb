//! Options, as an operator says them, turned into the engine's configuration.

use std::sync::Arc;
use std::time::SystemTime;

use rustix::io::Errno;
use shards::config::{Auth, Config, Identity, Limits, Secret, ShardLayout, Trace};
use shards::server::StartError;

use crate::go_text;
use crate::options::{AuthOptions, Options, WriteTimeout};
use crate::program::COMPATIBLE_VERSION;

/// The engine's configuration; `port` is the one that was bound.
pub fn config(
    options: &Options,
    server_id: &str,
    shards: ShardLayout,
    advertise: Option<(String, u16)>,
    port: u16,
) -> Config {
    let (host, port) = advertise.unwrap_or_else(|| (options.host.clone(), port));
    let identity = Identity {
        server_id: server_id.to_owned(),
        server_name: options.server_name.clone().unwrap_or_else(|| server_id.to_owned()),
        version: COMPATIBLE_VERSION.to_owned(),
        git_commit: option_env!("PINMESH_GIT_COMMIT").unwrap_or("0000000").to_owned(),
        host,
        port,
        started: SystemTime::now(),
    };
    let trace = Trace {
        enabled: options.logging.trace,
        headers_only: options.logging.trace_headers,
        max_len: non_negative(options.logging.max_traced_msg_len),
    };
    Config { shards, identity, limits: limits(options), auth: auth(&options.auth), trace, cluster: None }
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
        ping_max: u32::try_from(timers.ping_max.max(0)).unwrap_or(u32::MAX),
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

fn non_negative(number: i64) -> usize {
    usize::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn configured(change: impl FnOnce(&mut Options)) -> Config {
        let mut options = Options::default();
        change(&mut options);
        let shards = ShardLayout { count: 1, cores: Vec::new(), spin: Duration::ZERO };
        config(&options, "NID", shards, None, 4222)
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
