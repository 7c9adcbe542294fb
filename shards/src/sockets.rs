//! What the drivers and the service thread have in common: accepting, closing, and being woken out of a poll.

use std::io::{self, ErrorKind, Read};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use crate::lane::Wake;
use crate::system_error;

/// Accepting failed (too few file descriptors, mostly): try again after so long, or when a connection ends.
const ACCEPT_PAUSE_MS: u64 = 100;
/// Reads that throw away what a peer sent behind its mistake, so that closing does not reset what it was told.
const DISCARDS: usize = 4;

/// Wakes a thread out of its poll; clones wake the same one.
#[derive(Clone, Debug)]
pub(crate) struct Bell(Arc<mio::Waker>);

impl Bell {
    /// For the thread that polls with this registry.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Self> {
        Ok(Bell(Arc::new(mio::Waker::new(registry, token)?)))
    }
}

impl Wake for Bell {
    fn wake(&self) {
        if let Err(error) = self.0.wake() {
            log::error!("a thread could not be woken: {error}");
        }
    }
}

/// A listener among other sockets: its owner accepts some connections in each turn, and rests when the system has nothing to give.
pub(crate) struct Acceptor {
    listener: TcpListener,
    /// Whom it accepts, as the log says it.
    whom: &'static str,
    ready: bool,
    paused_until: Option<u64>,
}

impl Acceptor {
    /// Events come with this token. `whom`: `Client` or `Route`.
    pub fn new(
        listener: std::net::TcpListener,
        whom: &'static str,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let mut listener = TcpListener::from_std(listener);
        registry.register(&mut listener, token, Interest::READABLE)?;
        Ok(Acceptor { listener, whom, ready: false, paused_until: None })
    }

    /// The poll says that somebody waits.
    pub fn on_event(&mut self) {
        self.ready = true;
    }

    /// May somebody wait?
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// When to try again after a failure.
    pub fn paused_until(&self) -> Option<u64> {
        self.paused_until
    }

    /// A connection ended, and its file descriptor may be what was missing.
    pub fn on_freed(&mut self) {
        if self.paused_until.take().is_some() {
            self.ready = true;
        }
    }

    /// The next connection, if somebody waits.
    pub fn accept(&mut self, now: u64) -> Option<(TcpStream, SocketAddr)> {
        if self.paused_until.is_some_and(|until| now >= until) {
            self.on_freed();
        }
        while self.ready {
            match self.listener.accept() {
                // An IPv4 peer of a listener for both is an IPv4 peer.
                Ok((stream, peer)) => return Some((stream, SocketAddr::new(peer.ip().to_canonical(), peer.port()))),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock => self.ready = false,
                    ErrorKind::Interrupted | ErrorKind::ConnectionAborted => {}
                    _ => {
                        let error = system_error::text(&error);
                        log::error!("Temporary {} Accept Error({error}), sleeping {ACCEPT_PAUSE_MS}ms", self.whom);
                        self.ready = false;
                        self.paused_until = Some(now + ACCEPT_PAUSE_MS);
                    }
                },
            }
        }
        None
    }
}

impl Drop for Acceptor {
    fn drop(&mut self) {
        log::debug!("{} accept loop exiting..", self.whom);
    }
}

/// Frames leave in batches of their own making; the kernel need not wait for more.
pub(crate) fn do_not_delay(stream: &TcpStream) {
    if let Err(error) = stream.set_nodelay(true) {
        log::debug!("TCP_NODELAY: {error}");
    }
}

/// Closes a socket so that what was written to it arrives: what is unread then makes the kernel send a reset, which may overtake it.
pub(crate) fn close(mut stream: TcpStream) {
    let mut discarded = [0; 4096];
    for _ in 0..DISCARDS {
        if !matches!(stream.read(&mut discarded), Ok(read) if read > 0) {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}
