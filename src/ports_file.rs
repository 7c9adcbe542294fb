//! The ports file: where the server really listens, for whoever started it with random ports.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::go_text::join_host_port;
use crate::interfaces::local_addresses;

/// What the file says: URLs by listener.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ports {
    /// Where clients connect.
    pub nats: Vec<String>,
    /// Where monitoring answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub monitoring: Vec<String>,
    /// Where other servers connect.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
}

impl Ports {
    /// The URLs of a client listener.
    pub fn new(host: &str, port: u16) -> Ports {
        Ports { nats: urls("nats", host, port), monitoring: Vec::new(), cluster: Vec::new() }
    }

    /// Those of the monitoring port, too.
    pub fn with_monitoring(self, bound: SocketAddr) -> Ports {
        Ports { monitoring: urls("http", &bound.ip().to_string(), bound.port()), ..self }
    }

    /// Those of the port for other servers, too.
    pub fn with_cluster(self, bound: SocketAddr) -> Ports {
        Ports { cluster: urls("nats", &bound.ip().to_string(), bound.port()), ..self }
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

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn urls_show_hosts_as_configured() {
        assert_eq!(Ports::new("localhost", 4222).nats, ["nats://localhost:4222"]);
        assert_eq!(Ports::new("::1", 4222).nats, ["nats://[::1]:4222"]);
        assert_eq!(Ports::new("0.0.0.0", 4222).nats[0], "nats://127.0.0.1:4222");
        let both = Ports::new("localhost", 4222).with_monitoring(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 8222));
        assert_eq!(both.monitoring, ["http://[::1]:8222"]);
        let both = Ports::new("localhost", 4222).with_cluster(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 6222));
        assert_eq!(both.cluster, ["nats://[::1]:6222"]);
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
