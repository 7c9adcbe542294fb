//! The ports: where to listen, what to advertise to clients, and the words for what goes wrong.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, ToSocketAddrs};

use log::debug;
use rustix::io::Errno;
use shards::server::{Listener, StartError};

use crate::go_net::{AddressProblem, split_host_port};
use crate::go_text::{join_host_port, os_error, quote};
use crate::interfaces::reachable_addresses;
use crate::options::RANDOM_PORT;

/// Why the client port cannot be had; the text of the reference's fatal log line.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address does not work.
    #[error("Error listening on port: {address}, {}", quote(.reason))]
    Address {
        /// Host and port as configured.
        address: String,
        /// What is wrong, as Go's network package says it.
        reason: String,
    },
    /// The monitoring port does not work.
    #[error("Can't start monitoring: can't listen to the monitor port: {reason}")]
    Monitor {
        /// What is wrong, as Go's network package says it.
        reason: String,
    },
    /// The port for other servers does not work.
    #[error("Error listening on router port: {port} - {reason}")]
    Routes {
        /// Port as configured.
        port: i64,
        /// What is wrong, as Go's network package says it.
        reason: String,
    },
    /// `client_advertise` does not work.
    #[error("Error setting server INFO with ClientAdvertise value of {value}, err={reason}")]
    Advertise {
        /// As configured.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// `advertise` of the cluster does not work.
    #[error("Error setting route INFO with Cluster.Advertise value of {value}, err={reason}")]
    ClusterAdvertise {
        /// As configured.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// Binds the client port; a port of -1 lets the kernel choose.
pub fn bind(host: &str, port: i64) -> Result<(Listener, SocketAddr), ListenError> {
    let port = if port == RANDOM_PORT { 0 } else { port };
    try_bind(host, port).map_err(|reason| ListenError::Address { address: join_host_port(host, port), reason })
}

/// Binds the port for other servers.
pub fn bind_routes(host: &str, port: i64) -> Result<(Listener, SocketAddr), ListenError> {
    let number = if port == RANDOM_PORT { 0 } else { port };
    try_bind(host, number).map_err(|reason| ListenError::Routes { port, reason })
}

/// Binds the monitoring port, for a thread that waits.
pub fn bind_monitor(host: &str, port: i64) -> Result<(TcpListener, SocketAddr), ListenError> {
    let port = if port == RANDOM_PORT { 0 } else { port };
    let (listener, bound) = try_bind(host, port).map_err(|reason| ListenError::Monitor { reason })?;
    let listener = listener.into_blocking().map_err(|error| ListenError::Monitor { reason: os_error(&error) })?;
    Ok((listener, bound))
}

fn try_bind(host: &str, port: i64) -> Result<(Listener, SocketAddr), String> {
    if host.contains(['[', ']']) {
        let reason = if host.ends_with(']') { "missing port" } else { "unexpected '['" };
        return Err(format!("listen tcp: address {}: {reason} in address", join_host_port(host, port)));
    }
    let number = u16::try_from(port).map_err(|_| format!("listen tcp: address {port}: invalid port"))?;
    let address = resolve(host, number).ok_or_else(|| format!("listen tcp: lookup {host}: no such host"))?;
    let failure = |source: &io::Error| format!("listen tcp {address}: bind: {}", os_error(source));
    let listener = bind_resolved(address.ip(), number).map_err(|error| match error {
        StartError::Bind { source, .. } => failure(&source),
        other => other.to_string(),
    })?;
    let bound = listener.local_addr().map_err(|error| failure(&error))?;
    Ok((listener, bound))
}

/// "Every address" means those of IPv6 too, on systems that have it.
fn bind_resolved(address: IpAddr, port: u16) -> Result<Listener, StartError> {
    if address == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
        match Listener::bind("::", port) {
            Err(StartError::Bind { source, .. }) if lacks_ipv6(&source) => {}
            bound_or_failed => return bound_or_failed,
        }
    }
    Listener::bind(&address.to_string(), port)
}

fn lacks_ipv6(error: &io::Error) -> bool {
    let no_ipv6 = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
    error.raw_os_error().is_some_and(|code| no_ipv6.contains(&code))
}

/// The host's first IPv4 address, else its first one.
fn resolve(host: &str, port: u16) -> Option<SocketAddr> {
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().ok()?.collect();
    addresses.iter().find(|address| address.is_ipv4()).or(addresses.first()).copied()
}

/// Host and port of `client_advertise`; without a port, the one of the listener.
pub fn advertised(value: &str, default_port: u16) -> Result<(String, u16), ListenError> {
    advertised_address(value, default_port).map_err(|reason| ListenError::Advertise { value: value.to_owned(), reason })
}

/// The same for `advertise` of the cluster.
pub fn advertised_to_routes(value: &str, default_port: u16) -> Result<(String, u16), ListenError> {
    advertised_address(value, default_port)
        .map_err(|reason| ListenError::ClusterAdvertise { value: value.to_owned(), reason })
}

fn advertised_address(value: &str, default_port: u16) -> Result<(String, u16), String> {
    let with_port = format!("{value}:{default_port}");
    let (host, port) = match split_host_port(value) {
        Err(error) if error.problem() == AddressProblem::MissingPort => split_host_port(&with_port),
        split_or_failed => split_or_failed,
    }
    .map_err(|error| error.to_string())?;
    let port = match port.trim().parse::<i64>() {
        Ok(-1 | 0) => default_port,
        Ok(number) => u16::try_from(number).map_err(|_| format!("address {value}: invalid port"))?,
        Err(_) => return Err(format!("strconv.Atoi: parsing {}: invalid syntax", quote(port.trim()))),
    };
    Ok((host.trim().to_owned(), port))
}

/// Where clients reach a server, for other servers to pass on: as advertised, else every address of this machine that
/// others may use if it listens on all of them, else its host.
pub fn client_urls(host: &str, port: u16, advertised: Option<&(String, u16)>) -> Vec<String> {
    match (advertised, host.parse::<IpAddr>()) {
        (Some((host, port)), _) => vec![join_host_port(host, (*port).into())],
        (None, Ok(address)) if address.is_unspecified() => {
            reachable_addresses().into_iter().map(|address| join_host_port(&address.to_string(), port.into())).collect()
        }
        (None, _) => vec![join_host_port(host, port.into())],
    }
}

/// Logs which addresses a server that listens on all of them tells others.
pub fn show_addresses(host: &str) {
    if host.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified()) {
        debug!("Get non local IPs for {}", quote(host));
        reachable_addresses().iter().for_each(|address| debug!("  ip={address}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_named() {
        let (_first, bound) = bind("127.0.0.1", RANDOM_PORT).unwrap();
        let text = bind("127.0.0.1", bound.port().into()).unwrap_err().to_string();
        assert_eq!(
            text,
            format!("Error listening on port: {bound}, \"listen tcp {bound}: bind: address already in use\"")
        );
    }

    #[test]
    fn odd_addresses_are_refused_in_the_references_words() {
        let text = |host, port| bind(host, port).unwrap_err().to_string();
        assert_eq!(
            text("0.0.0.0", 99_999),
            "Error listening on port: 0.0.0.0:99999, \"listen tcp: address 99999: invalid port\""
        );
        assert_eq!(
            text("[::1]", -1),
            "Error listening on port: [[::1]]:0, \"listen tcp: address [[::1]]:0: missing port in address\""
        );
    }

    #[test]
    fn advertises_host_and_port() {
        assert_eq!(advertised("example.org:5", 4222).unwrap(), ("example.org".to_owned(), 5));
        assert_eq!(advertised("example.org", 4222).unwrap(), ("example.org".to_owned(), 4222));
        assert_eq!(advertised("[::1]:5", 4222).unwrap(), ("::1".to_owned(), 5));
        assert_eq!(
            advertised("x:y:z", 4222).unwrap_err().to_string(),
            "Error setting server INFO with ClientAdvertise value of x:y:z, err=address x:y:z: too many colons in address"
        );
        assert!(advertised("example.org:abc", 4222).is_err());
    }
}
