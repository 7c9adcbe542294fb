//! One connection to a server: opened and greeted while blocking, then driven by an event loop.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use mio::{Interest, Registry, Token};

use crate::progress::patience;
use crate::wire::{self, Incoming, Message};

const CONNECT: &[u8] = b"CONNECT {\"verbose\":false,\"pedantic\":false,\"echo\":true,\"protocol\":1,\
    \"headers\":true,\"no_responders\":true,\"lang\":\"rust\",\"version\":\"1\",\"name\":\"fanout-bench\"}\r\n";

/// Opens a connection and waits until the server has answered a PING.
///
/// `first` is sent behind CONNECT, so what it asks for is in force when this returns.
pub fn open(address: SocketAddr, first: &[u8]) -> Result<TcpStream> {
    let mut stream = connect(address)?;
    let mut hello = CONNECT.to_vec();
    hello.extend_from_slice(first);
    stream.write_all(&hello)?;
    barrier(&mut stream)?;
    Ok(stream)
}

/// Opens a connection and says nothing.
pub fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(patience()))?;
    stream.set_write_timeout(Some(patience()))?;
    Ok(stream)
}

/// Sends PING and reads up to the PONG; messages may not come before it.
pub fn barrier(stream: &mut TcpStream) -> Result<()> {
    collect(stream, |message| bail!("a message came before any was published: {message:?}"))
}

/// Sends PING and hands on every message that comes before the PONG.
pub fn collect(stream: &mut TcpStream, mut take: impl FnMut(&Message<'_>) -> Result<()>) -> Result<()> {
    stream.write_all(b"PING\r\n")?;
    let deadline = Instant::now() + patience();
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let mut answered = false;
    loop {
        let mut at = 0;
        while let Some((incoming, length)) = wire::next(bytes.get(at..).unwrap_or_default())? {
            at += length;
            match incoming {
                Incoming::Message(message) => take(&message)?,
                Incoming::Pong => answered = true,
                Incoming::Ping => stream.write_all(b"PONG\r\n")?,
                Incoming::Ignorable => {}
            }
        }
        bytes.drain(..at);
        // What came in the same read behind the PONG (an INFO, a PING) has been taken as well.
        if answered && bytes.is_empty() {
            return Ok(());
        }
        if Instant::now() > deadline {
            bail!("the server did not answer a PING within {:?}", patience());
        }
        match stream.read(&mut chunk) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => bytes.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error).context("while waiting for the server's PONG"),
        }
    }
}

/// What is left of a socket after an attempt to read or write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Socket {
    /// It may have or take more.
    Ready,
    /// It tells through the event loop when it is ready again.
    Waits,
}

/// A connection inside an event loop, with what was read from it and not used yet.
#[derive(Debug)]
pub struct Connection {
    stream: mio::net::TcpStream,
    input: Vec<u8>,
    start: usize,
    end: usize,
    output: Vec<u8>,
    sent: usize,
}

impl Connection {
    /// Takes an open connection into an event loop; reads up to `capacity` bytes at a time.
    pub fn new(stream: TcpStream, registry: &Registry, token: Token, capacity: usize) -> Result<Self> {
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        Ok(Connection { stream, input: vec![0; capacity], start: 0, end: 0, output: Vec::new(), sent: 0 })
    }

    /// What was read and not used yet.
    pub fn unread(&self) -> &[u8] {
        self.input.get(self.start..self.end).unwrap_or_default()
    }

    /// Marks bytes of [`unread`](Self::unread) as used.
    pub fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
    }

    /// Reads once.
    pub fn fill(&mut self) -> Result<Socket> {
        self.input.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let Some(room) = self.input.get_mut(self.end..).filter(|room| !room.is_empty()) else {
            bail!("the server sent an operation longer than {} bytes", self.input.len());
        };
        let size = room.len();
        match self.stream.read(room) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(count) => {
                self.end += count;
                // A short read has emptied the socket: the next bytes raise a new event.
                Ok(if count < size { Socket::Waits } else { Socket::Ready })
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(Socket::Waits),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Socket::Ready),
            Err(error) => Err(error).context("reading from the server"),
        }
    }

    /// Queues bytes; [`flush`](Self::flush) sends them.
    pub fn queue(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Whether everything queued has gone out.
    pub fn is_flushed(&self) -> bool {
        self.output.is_empty()
    }

    /// Sends what is queued, as far as the socket takes it.
    pub fn flush(&mut self) -> Result<Socket> {
        while let Some(rest) = self.output.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match write_some(&mut self.stream, rest)? {
                0 => return Ok(Socket::Waits),
                count => self.sent += count,
            }
        }
        self.output.clear();
        self.sent = 0;
        Ok(Socket::Ready)
    }

    /// Sends bytes past the queue, which must be empty; tells how many the socket took.
    pub fn write_directly(&mut self, bytes: &[u8]) -> Result<usize> {
        write_some(&mut self.stream, bytes)
    }
}

/// One write; 0 means that the socket is full.
fn write_some(stream: &mut impl Write, bytes: &[u8]) -> Result<usize> {
    loop {
        match stream.write(bytes) {
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(0),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error).context("writing to the server"),
        }
    }
}
