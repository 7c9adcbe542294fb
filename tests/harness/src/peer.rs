//! A made-up server: it joins a cluster as the simplest peer there is, without a pool of routes, and then says whatever
//! a test wants said.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::{Context, Result, bail};

use crate::cluster::CLUSTER_NAME;
use crate::poll::DEADLINE;

/// The far end of one route.
#[derive(Debug)]
pub struct Peer {
    stream: TcpStream,
    lines: BufReader<TcpStream>,
}

impl Peer {
    /// Dials a server's port for routes and introduces itself; it claims that it listens on `own_port`.
    pub fn join(route_port: u16, own_port: u16) -> Result<Peer> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, route_port)).context("the port for routes")?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut peer = Peer { lines: BufReader::new(stream.try_clone()?), stream };
        let id = format!("N{own_port:A>55}");
        peer.send(&format!(r#"CONNECT {{"verbose":false,"headers":true,"name":"{id}","cluster":"{CLUSTER_NAME}"}}"#))?;
        peer.send(&format!(
            r#"INFO {{"server_id":"{id}","server_name":"{id}","version":"2.9.10","proto":2,"host":"127.0.0.1","port":{own_port},"headers":true,"max_payload":1048576,"cluster":"{CLUSTER_NAME}"}}"#
        ))?;
        Ok(peer)
    }

    /// Sends a line, or a message: several lines.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.stream.write_all(format!("{text}\r\n").as_bytes()).context("the server does not read")
    }

    /// Reads up to the line that begins like this, and returns it.
    pub fn wait_for(&mut self, beginning: &str) -> Result<String> {
        let mut heard = Vec::new();
        loop {
            let mut line = String::new();
            let read = self.lines.read_line(&mut line);
            if line.starts_with(beginning) {
                return Ok(line);
            }
            if !matches!(read, Ok(1..)) {
                bail!("{beginning:?} did not come, but {heard:?} ({read:?})");
            }
            if line == "PING\r\n" {
                self.send("PONG")?;
            }
            heard.push(line);
        }
    }
}
