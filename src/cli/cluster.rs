//! The flags of the cluster: a listener in the form of a URL, and who to connect to.

use shards::config::Secret;

use super::Flags;
use super::apply::{non_empty, set};
use crate::go_net::{AddressError, Url, UrlError, split_host_port};
use crate::go_text::quote;
use crate::options::{ClusterOptions, RANDOM_PORT, RouteUrlError, route_url};

/// Why these flags cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterFlagError {
    /// `--cluster` wants a URL.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// Without host or port in it.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Its port is empty: the reference's words.
    #[error("EOF")]
    EmptyPort,
    /// Its port is no number that fits anywhere.
    #[error("strconv.ParseInt: parsing {}: value out of range", quote(.0))]
    Port(String),
    /// A user alone protects nothing.
    #[error("expected cluster password to be set")]
    NoPassword,
    /// One of `--routes` cannot be used.
    #[error(transparent)]
    Route(#[from] RouteUrlError),
    /// Routes make sense in a cluster only.
    #[error("solicited routes require cluster capabilities, e.g. --cluster")]
    RoutesWithoutCluster,
}

/// Lays the flags over what a file says.
pub(super) fn over_config(flags: &Flags, cluster: &mut ClusterOptions) -> Result<(), ClusterFlagError> {
    set(&mut cluster.name, flags.cluster_name.clone().map(non_empty));
    set(&mut cluster.advertise, flags.cluster_advertise.clone().map(non_empty));
    set(&mut cluster.no_advertise, flags.no_advertise);
    set(&mut cluster.connect_retries, flags.connect_retries);
    match flags.cluster.as_deref() {
        None => {}
        Some("") => cluster.port = 0,
        Some(url) => listen(url, cluster)?,
    }
    let Some(routes) = flags.routes.as_deref() else {
        return Ok(());
    };
    let routes = routes.split(',').map(str::trim).filter(|_| !routes.is_empty());
    cluster.routes = routes.map(route_url).collect::<Result<_, _>>()?;
    let somewhere = !cluster.host.is_empty() || cluster.is_enabled();
    if cluster.routes.is_empty() || somewhere { Ok(()) } else { Err(ClusterFlagError::RoutesWithoutCluster) }
}

/// `--cluster`: host, port, user and password. Without the latter two there are none, whatever a file says.
fn listen(text: &str, cluster: &mut ClusterOptions) -> Result<(), ClusterFlagError> {
    // -1 is no port of a URL.
    let random = text.strip_suffix(":-1");
    let url = Url::parse(&random.map_or_else(|| text.to_owned(), |front| format!("{front}:0")))?;
    let (host, port) = split_host_port(&url.host)?;
    let port = match port {
        _ if random.is_some() => RANDOM_PORT,
        "" => return Err(ClusterFlagError::EmptyPort),
        digits => digits.parse().map_err(|_| ClusterFlagError::Port(digits.to_owned()))?,
    };
    host.clone_into(&mut cluster.host);
    cluster.port = port;
    (cluster.user, cluster.password) = match url.user {
        None => (None, None),
        Some(user) => {
            let password = user.password.ok_or(ClusterFlagError::NoPassword)?;
            (non_empty(user.name), Some(Secret(password.into())))
        }
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(cluster: Option<&str>, routes: Option<&str>) -> Result<ClusterOptions, String> {
        let mut options = ClusterOptions { user: Some("from the file".to_owned()), ..ClusterOptions::default() };
        let flags =
            Flags { cluster: cluster.map(str::to_owned), routes: routes.map(str::to_owned), ..Flags::default() };
        over_config(&flags, &mut options).map(|()| options).map_err(|error| error.to_string())
    }

    #[test]
    fn a_url_says_where_to_listen() {
        let options = applied(Some("nats://localhost:4248"), None).expect("a URL");
        assert_eq!((options.host.as_str(), options.port, options.user), ("localhost", 4248, None));
        let options = applied(Some("nats://u:p%40@[::1]:-1"), None).expect("a URL");
        assert_eq!((options.host.as_str(), options.port), ("::1", RANDOM_PORT));
        assert_eq!(options.user.as_deref(), Some("u"));
        assert_eq!(options.password.as_ref().map(|password| &*password.0), Some("p@"));
        assert!(!applied(Some(""), None).expect("nothing").is_enabled());
        assert_eq!(applied(None, None).expect("silence").user.as_deref(), Some("from the file"));
    }

    #[test]
    fn what_is_no_listener_is_refused() {
        let refusal = |url| applied(Some(url), None).expect_err(url);
        assert_eq!(refusal("localhost:4248"), "missing port in address");
        assert_eq!(refusal("nats://h"), "address h: missing port in address");
        assert_eq!(refusal("nats://u@h:1"), "expected cluster password to be set");
        assert_eq!(refusal("nats://h:"), "EOF");
    }

    #[test]
    fn routes_are_a_list() {
        let routes = |text| applied(Some("nats://h:1"), Some(text)).map(|options| options.routes);
        let found = routes("nats://a:1, nats://u:p@b:2").expect("two URLs");
        let shown: Vec<&str> = found.iter().map(|route| route.shown.as_str()).collect();
        assert_eq!(shown, ["nats://a:1", "nats://u:xxxxx@b:2"]);
        assert!(routes("").expect("none").is_empty());
        assert_eq!(
            routes("127.0.0.1:1").expect_err("no URL"),
            "parse \"127.0.0.1:1\": first path segment in URL cannot contain colon"
        );
        let error = applied(None, Some("nats://a:1")).expect_err("no cluster");
        assert_eq!(error, ClusterFlagError::RoutesWithoutCluster.to_string());
        assert!(applied(None, Some("")).is_ok());
    }
}
