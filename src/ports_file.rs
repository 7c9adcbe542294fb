//! The ports file: where the server really listens, for whoever started it with random ports.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::go_text::join_host_port;

/// What the file says: URLs by listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// Where clients connect.
    pub nats: Vec<String>,
    /// Where monitoring answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monitoring: Vec<String>,
}

impl Ports {
    /// The URLs of a client listener.
    pub fn new(host: &str, port: u16) -> Ports {
        Ports { nats: urls("nats", host, port), monitoring: Vec::new() }
    }

    /// Those of the monitoring port, too.
    pub fn with_monitoring(self, bound: SocketAddr) -> Ports {
        Ports { monitoring: urls("http", &bound.ip().to_string(), bound.port()), ..self }
    }
}

/// The URLs of a listener; a wildcard host stands for every address of this machine.
fn urls(scheme: &str, host: &str, port: u16) -> Vec<String> {
    let hosts = match host.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => local_addresses().iter().map(ToString::to_string).collect(),
        Ok(address) => vec![address.to_string()],
        Err(_) => vec![host.to_owned()],
    };
    hosts.iter().map(|host| format!("{scheme}://{}", join_host_port(host, port.into()))).collect()
}

/// The file in `directory` of a program started under `program`.
pub fn path(directory: &Path, program: &str) -> PathBuf {
    directory.join(format!("{program}_{}.ports", std::process::id()))
}

/// Writes the file; readers never see half of it.
pub fn write(path: &Path, ports: &Ports) -> io::Result<()> {
    let unfinished = path.with_extension("ports.new");
    let text = serde_json::to_vec(ports)?;
    fs::write(&unfinished, text)?;
    fs::rename(&unfinished, path)
}

/// Addresses under which a listener on all of them can be reached, loopback first.
fn local_addresses() -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = Vec::new();
    let routes = fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    addresses.extend(ipv4_addresses(&routes).into_iter().map(IpAddr::V4));
    let interfaces = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    addresses.extend(ipv6_addresses(&interfaces).into_iter().map(IpAddr::V6));
    if addresses.is_empty() {
        addresses.push(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    addresses.sort_by_key(|address| (!address.is_loopback(), *address));
    addresses.dedup();
    addresses
}

/// Own addresses in the kernel's routing table: an address line, and below it `/32 host LOCAL`.
fn ipv4_addresses(routes: &str) -> Vec<Ipv4Addr> {
    let lines: Vec<&str> = routes.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter_map(|pair| match pair {
            [address, "/32 host LOCAL"] => address.strip_prefix("|-- ")?.parse().ok(),
            _ => None,
        })
        .collect()
}

/// Own addresses in the kernel's list: 32 hexadecimal digits at the beginning of a line.
fn ipv6_addresses(interfaces: &str) -> Vec<Ipv6Addr> {
    interfaces
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter_map(|digits| u128::from_str_radix(digits, 16).ok().map(Ipv6Addr::from_bits))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_tables() {
        let routes = "Local:\n  +-- 0.0.0.0/0 2 0 2\n     |-- 127.0.0.0\n        /8 host LOCAL\n     |-- 127.0.0.1\n        \
                      /32 host LOCAL\n     |-- 192.0.2.2\n        /32 host LOCAL\n     |-- 192.0.2.255\n        \
                      /32 link BROADCAST\n";
        assert_eq!(ipv4_addresses(routes), [Ipv4Addr::LOCALHOST, Ipv4Addr::new(192, 0, 2, 2)]);
        let interfaces = "fe8000000000000000fc00fffe000001 04 40 20 80     eth0\n\
                          00000000000000000000000000000001 01 80 10 80       lo\n";
        assert_eq!(ipv6_addresses(interfaces).len(), 2);
        assert_eq!(ipv6_addresses(interfaces)[1], Ipv6Addr::LOCALHOST);
    }

    #[test]
    fn urls_show_hosts_as_configured() {
        assert_eq!(Ports::new("localhost", 4222).nats, ["nats://localhost:4222"]);
        assert_eq!(Ports::new("::1", 4222).nats, ["nats://[::1]:4222"]);
        assert_eq!(Ports::new("0.0.0.0", 4222).nats[0], "nats://127.0.0.1:4222");
        let both = Ports::new("localhost", 4222).with_monitoring(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 8222));
        assert_eq!(both.monitoring, ["http://[::1]:8222"]);
        assert!(Ports::new("::", 4222).nats.contains(&"nats://127.0.0.1:4222".to_owned()));
    }

    #[test]
    fn is_compact_json_under_the_programs_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = path(directory.path(), "pinmesh");
        write(&path, &Ports::new("127.0.0.1", 5)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"nats":["nats://127.0.0.1:5"]}"#);
        assert_eq!(path.file_name().unwrap().to_string_lossy(), format!("pinmesh_{}.ports", std::process::id()));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
