//! A made-up server: it joins a cluster as the simplest peer there is, without a pool of routes, and then says whatever
//! a test wants said, well or badly, and reads as much as it is asked to.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use anyhow::{Context, Result, bail};
use socket2::{Domain, Socket, Type};

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
        Peer::dial(route_port)?.introduced(own_port)
    }

    /// Dials a server's port for routes and says nothing.
    pub fn dial(route_port: u16) -> Result<Peer> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, route_port)).context("the port for routes")?;
        Peer::over(stream)
    }

    /// [`Peer::dial`] with a kernel buffer of about `bytes` for what it does not read.
    pub fn dial_with_buffer(route_port: u16, bytes: usize) -> Result<Peer> {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
        socket.set_recv_buffer_size(bytes)?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, route_port));
        socket.connect(&address.into()).context("the port for routes")?;
        Peer::over(socket.into())
    }

    fn over(stream: TcpStream) -> Result<Peer> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_write_timeout(Some(DEADLINE))?;
        Ok(Peer { lines: BufReader::new(stream.try_clone()?), stream })
    }

    /// Introduces itself as a server that listens on `own_port`.
    pub fn introduced(mut self, own_port: u16) -> Result<Peer> {
        let id = format!("N{own_port:A>55}");
        self.send(&format!(r#"CONNECT {{"verbose":false,"headers":true,"name":"{id}","cluster":"{CLUSTER_NAME}"}}"#))?;
        self.send(&format!(
            r#"INFO {{"server_id":"{id}","server_name":"{id}","version":"2.9.10","proto":2,"host":"127.0.0.1","port":{own_port},"headers":true,"max_payload":1048576,"cluster":"{CLUSTER_NAME}"}}"#
        ))?;
        Ok(self)
    }

    /// Sends a line, or a message: several lines.
    pub fn send(&mut self, text: &str) -> Result<()> {
        self.send_bytes(format!("{text}\r\n").as_bytes())
    }

    /// Sends these bytes and no more.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).context("the server does not read")
    }

    /// Sends a PING and waits until the server has come to it.
    pub fn flush(&mut self) -> Result<()> {
        self.send("PING")?;
        self.wait_for("PONG").map(drop)
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

    /// Everything not yet read, up to the close by the server (a reset is a close, too).
    pub fn read_to_close(&mut self) -> Result<String> {
        let mut said = Vec::new();
        match self.lines.read_to_end(&mut said) {
            Err(error) if !is_reset(&error) => {
                let said = String::from_utf8_lossy(&said).into_owned();
                Err(error).with_context(|| format!("the server has not closed the route; it said {said:?}"))
            }
            _ => Ok(String::from_utf8_lossy(&said).into_owned()),
        }
    }
}

fn is_reset(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}
