//! Resolving and connecting, in short-lived threads because both take their time.
//!
//! What comes of it is left on the service thread's desk. Only so many threads are at it at once; other attempts wait for their turn.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::thread;
use std::time::Duration;

use super::{Desk, Order};
use crate::mesh::DialError;
use crate::system_error;

/// A connection must be there after this time.
const TIMEOUT: Duration = Duration::from_secs(1);
/// Most threads at a time.
const THREADS: usize = 64;

/// A connection and its far end, or why there is none.
pub(super) type Dialed = Result<(TcpStream, SocketAddr), DialError>;

/// Where somebody wants to get to.
#[derive(Debug)]
struct Attempt {
    number: u64,
    host: String,
    port: u16,
}

/// See the module.
pub(super) struct Dialer {
    desk: Desk,
    /// Where this server listens for routes.
    own: Option<SocketAddr>,
    running: usize,
    waiting: VecDeque<Attempt>,
}

impl Dialer {
    /// Nothing is dialled yet. `own`: where this server listens for routes; what turns out to be itself is not connected to.
    pub fn new(desk: Desk, own: Option<SocketAddr>) -> Self {
        Dialer { desk, own, running: 0, waiting: VecDeque::new() }
    }

    /// Begins an attempt, or lets it wait. The answer is an [`Order::Dialed`].
    pub fn dial(&mut self, number: u64, host: String, port: u16) {
        self.waiting.push_back(Attempt { number, host, port });
        self.start_some();
    }

    /// An answer was taken from the desk.
    pub fn on_answer(&mut self) {
        self.running = self.running.saturating_sub(1);
        self.start_some();
    }

    fn start_some(&mut self) {
        while self.running < THREADS
            && let Some(Attempt { number, host, port }) = self.waiting.pop_front()
        {
            self.running += 1;
            let (desk, own) = (self.desk.clone(), self.own);
            let work = move || {
                let result = dial(&host, port, own);
                // Without the service thread there is nobody who wants the connection.
                let _ = desk.leave(Order::Dialed { attempt: number, result });
            };
            if let Err(error) = thread::Builder::new().name("dial".to_owned()).spawn(work) {
                let result = Err(DialError::Failed(format!("no thread to dial with: {error}")));
                let _ = self.desk.leave(Order::Dialed { attempt: number, result });
            }
        }
    }
}

fn dial(host: &str, port: u16, own: Option<SocketAddr>) -> Dialed {
    let address = resolve(host, port, own)?;
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    log::debug!("Trying to connect to route on {shown} ({address})");
    match TcpStream::connect_timeout(&address, TIMEOUT) {
        Ok(stream) => Ok((stream, address)),
        Err(error) => Err(DialError::Failed(format!("dial tcp {address}: {}", connect_error(&error)))),
    }
}

/// An address as it is; of a name one of its addresses, but never this server's own.
fn resolve(host: &str, port: u16, own: Option<SocketAddr>) -> Result<SocketAddr, DialError> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(SocketAddr::new(ip, port));
    }
    let failed = |error: io::Error| DialError::Failed(lookup_error(host, &error.to_string()));
    let mut addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(failed)?.collect();
    addresses.retain(|address| !own.is_some_and(|own| is_own(*address, own)));
    fastrand::choice(addresses).ok_or(DialError::SelfOnly)
}

/// Is it this server? Its port on any interface of the machine counts, for a name may stand for all of them.
fn is_own(address: SocketAddr, own: SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    address.port() == own.port() && (ip == own.ip() || is_of_an_interface(ip))
}

fn is_of_an_interface(ip: IpAddr) -> bool {
    match ip {
        // Servers of a test may have others of that net.
        IpAddr::V4(ip) if ip.is_loopback() => ip == Ipv4Addr::LOCALHOST,
        // Only addresses of this machine can be bound.
        _ => UdpSocket::bind((ip, 0)).is_ok(),
    }
}

fn connect_error(error: &io::Error) -> String {
    match error.raw_os_error() {
        // It is ours, not the system's.
        None if error.kind() == io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => format!("connect: {}", system_error::text(error)),
    }
}

fn lookup_error(host: &str, text: &str) -> String {
    const UNKNOWN: [&str; 3] = ["Name or service not known", "No address associated with", "nodename nor servname"];
    let reason = if UNKNOWN.iter().any(|unknown| text.contains(unknown)) {
        "no such host"
    } else {
        text.strip_prefix("failed to lookup address information: ").unwrap_or(text)
    };
    format!("lookup for host \"{host}\": lookup {host}: {reason}")
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn its_own_address_is_not_dialled() {
        let own = address("127.0.0.1:4248");
        assert!(is_own(address("127.0.0.1:4248"), own));
        assert!(!is_own(address("127.0.0.1:4249"), own));
        // Another server may listen there.
        assert!(!is_own(address("127.0.0.2:4248"), own));
        assert!(is_own(address("127.0.0.2:4248"), address("127.0.0.2:4248")));
        // A network for documentation.
        assert!(!is_own(address("192.0.2.1:4248"), own));

        let resolved = |port| resolve("localhost", port, Some(own)).map(|address| address.port());
        assert_eq!((resolved(4248), resolved(4249)), (Err(DialError::SelfOnly), Ok(4249)));
        assert_eq!(resolve("127.0.0.1", 4248, Some(own)), Ok(own));
    }

    #[test]
    fn failures_in_the_words_of_the_reference() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = listener.local_addr().unwrap();
        drop(listener);
        let refused = dial("127.0.0.1", free.port(), None).unwrap_err();
        assert_eq!(refused, DialError::Failed(format!("dial tcp {free}: connect: connection refused")));

        assert_eq!(connect_error(&io::Error::new(io::ErrorKind::TimedOut, "connection timed out")), "i/o timeout");
        assert_eq!(connect_error(&io::Error::from_raw_os_error(110)), "connect: connection timed out");

        let unknown = "failed to lookup address information: Name or service not known";
        assert_eq!(lookup_error("h", unknown), "lookup for host \"h\": lookup h: no such host");
        let busy = "failed to lookup address information: Temporary failure in name resolution";
        assert!(lookup_error("h", busy).ends_with("lookup h: Temporary failure in name resolution"));
    }
}
