//! A raw client: it sends the bytes a test gives it and reads what comes back frame by frame.
//!
//! It is synchronous, keeps one buffer in each direction and hands out borrowed frames, because the tests do thousands
//! of rounds. Nothing waits for ever: a read or write that sees no progress for [`DEADLINE`] is an error.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use socket2::{Domain, SockRef, Socket, Type};

use crate::frame::{Frame, Received, Span};
use crate::poll::DEADLINE;

/// How long one system call waits before the deadline is looked at again.
const TICK: Duration = Duration::from_millis(50);
/// Smallest and usual largest size of the read buffer; a larger frame makes it grow further.
const SMALL_BUFFER: usize = 4 * 1024;
const FULL_BUFFER: usize = 256 * 1024;
/// What a test sends that does not care about the options.
pub const PLAIN: &str = r#"{"verbose":false,"pedantic":false}"#;
/// [`PLAIN`] with headers and 503 replies.
pub const RESPONDERS: &str = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: TcpStream,
    nonblocking: bool,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    closed: bool,
    shows_pings: bool,
    out: Vec<u8>,
    info: String,
}

impl Client {
    /// Connects and reads nothing.
    pub fn dial(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        Client::over(stream)
    }

    /// Connects with kernel buffers of about `bytes` in both directions, and reads nothing.
    pub fn dial_with_buffers(address: SocketAddr, bytes: usize) -> Result<Client> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        socket.set_recv_buffer_size(bytes)?;
        socket.set_send_buffer_size(bytes)?;
        socket.connect(&address.into()).with_context(|| format!("cannot connect to {address}"))?;
        Client::over(socket.into())
    }

    fn over(stream: TcpStream) -> Result<Client> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TICK))?;
        stream.set_write_timeout(Some(TICK))?;
        Ok(Client {
            stream,
            nonblocking: false,
            buffer: vec![0; SMALL_BUFFER],
            start: 0,
            end: 0,
            closed: false,
            shows_pings: false,
            out: Vec::new(),
            info: String::new(),
        })
    }

    /// Connects and reads the INFO.
    pub fn open(address: SocketAddr) -> Result<Client> {
        Client::dial(address)?.greeted()
    }

    /// Connects, reads the INFO, sends CONNECT with `options` (JSON) and PING, and waits for the PONG.
    pub fn connect_with(address: SocketAddr, options: &str) -> Result<Client> {
        Client::open(address)?.introduced(options)
    }

    /// [`Client::connect_with`] the options [`PLAIN`].
    pub fn connect(address: SocketAddr) -> Result<Client> {
        Client::connect_with(address, PLAIN)
    }

    /// Reads the INFO that a server sends first.
    pub fn greeted(mut self) -> Result<Client> {
        self.info = match self.frame()? {
            Frame::Info(json) => String::from_utf8_lossy(json).into_owned(),
            other => bail!("the server began with {other:?} instead of INFO"),
        };
        Ok(self)
    }

    /// Sends CONNECT with `options` and PING, and waits for the PONG; a `+OK` on the way is fine.
    pub fn introduced(mut self, options: &str) -> Result<Client> {
        self.send(format!("CONNECT {options}\r\nPING\r\n").as_bytes())?;
        loop {
            match self.frame()? {
                Frame::Pong => return Ok(self),
                Frame::Ok | Frame::Info(_) => {}
                other => bail!("CONNECT {options} was answered with {other:?}"),
            }
        }
    }

    /// Makes [`Client::frame`] return PINGs of the server, too. Otherwise they are passed over, unanswered, since an
    /// answer could end up in the middle of an operation; a server takes that for some minutes.
    pub fn show_pings(&mut self) {
        self.shows_pings = true;
    }

    /// The JSON of the INFO that [`Client::greeted`] read.
    pub fn info(&self) -> &str {
        &self.info
    }

    /// This end of the connection, as the server's log names it.
    pub fn local_address(&self) -> Result<SocketAddr> {
        Ok(self.stream.local_addr()?)
    }

    /// Sends bytes at once, behind everything queued.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        if self.out.is_empty() {
            return self.write_all(bytes);
        }
        self.out.extend_from_slice(bytes);
        self.send_queued()
    }

    /// Queues bytes for [`Client::send_queued`].
    pub fn queue(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Queues a PUB; an empty `reply` is none.
    pub fn publish(&mut self, subject: &str, reply: &str, payload: &[u8]) {
        put_publish(&mut self.out, subject, reply, payload);
    }

    /// Sends what was queued.
    pub fn send_queued(&mut self) -> Result<()> {
        let out = std::mem::take(&mut self.out);
        let sent = self.write_all(&out);
        self.out = out;
        self.out.clear();
        self.out.shrink_to(FULL_BUFFER);
        sent
    }

    /// Sends a SUB; an empty `queue` makes it a plain one.
    pub fn subscribe(&mut self, subject: &str, queue: &str, sid: impl std::fmt::Display) -> Result<()> {
        let space = if queue.is_empty() { "" } else { " " };
        self.send(format!("SUB {subject}{space}{queue} {sid}\r\n").as_bytes())
    }

    /// Sends an UNSUB.
    pub fn unsubscribe(&mut self, sid: impl std::fmt::Display) -> Result<()> {
        self.send(format!("UNSUB {sid}\r\n").as_bytes())
    }

    /// Sends what was queued and a PING, and returns the messages that came before the PONG.
    pub fn flush(&mut self) -> Result<Vec<Received>> {
        self.queue(b"PING\r\n");
        self.send_queued()?;
        self.until_pong()
    }

    /// The messages that come before the next PONG.
    pub fn until_pong(&mut self) -> Result<Vec<Received>> {
        let mut messages = Vec::new();
        loop {
            match self.frame()? {
                Frame::Pong => return Ok(messages),
                Frame::Message(message) => messages.push(message.to_received()),
                Frame::Ok | Frame::Info(_) | Frame::Ping => {}
                Frame::Err(text) => bail!("-ERR {}", String::from_utf8_lossy(text)),
            }
        }
    }

    /// The next message; anything but a message (and `+OK`) is an error.
    pub fn message(&mut self) -> Result<Received> {
        loop {
            match self.frame()? {
                Frame::Message(message) => return Ok(message.to_received()),
                Frame::Ok => {}
                other => bail!("expected a message, got {other:?}"),
            }
        }
    }

    /// The next frame. An error after [`DEADLINE`] without one, and when the connection is closed.
    pub fn frame(&mut self) -> Result<Frame<'_>> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(span) = self.take()? {
                return Ok(span.frame(&self.buffer));
            }
            self.wait(deadline).with_context(|| format!("unread: {:?}", self.unread_text()))?;
        }
    }

    /// The next frame, if it is already there. `None` also when the connection is closed: see [`Client::is_closed`].
    pub fn try_frame(&mut self) -> Result<Option<Frame<'_>>> {
        let mut span = self.take()?;
        if span.is_none() && !self.closed {
            self.set_nonblocking(true)?;
            self.fill()?;
            span = self.take()?;
        }
        Ok(span.map(|span| span.frame(&self.buffer)))
    }

    /// Whether the server has closed the connection (noticed by reading).
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Writes as much of `bytes` as the kernel takes at once and says how much that was.
    pub fn write_some(&mut self, bytes: &[u8]) -> Result<usize> {
        self.set_nonblocking(true)?;
        match self.stream.write(bytes) {
            Ok(written) => Ok(written),
            Err(error) if is_wait(&error) => Ok(0),
            Err(error) => Err(error).context("cannot write to the server"),
        }
    }

    /// Reads, and throws away, until the server closes.
    pub fn wait_for_close(&mut self) -> Result<()> {
        self.read_to_close().map(drop)
    }

    /// Everything not yet read, up to the close by the server (a reset is a close, too).
    pub fn read_to_close(&mut self) -> Result<Vec<u8>> {
        let mut all = Vec::new();
        let mut deadline = Instant::now() + DEADLINE;
        loop {
            if self.start < self.end {
                all.extend_from_slice(&self.buffer[self.start..self.end]);
                self.start = self.end;
                deadline = Instant::now() + DEADLINE;
            }
            if self.closed {
                return Ok(all);
            }
            if let Err(error) = self.wait(deadline)
                && !self.closed
            {
                return Err(error.context(format!("no close; read: {:?}", String::from_utf8_lossy(&all))));
            }
        }
    }

    /// Says that nothing more will be sent; reading goes on.
    pub fn half_close(&mut self) -> Result<()> {
        match self.stream.shutdown(Shutdown::Write) {
            Err(error) if error.kind() != ErrorKind::NotConnected => Err(error).context("cannot half-close"),
            _ => Ok(()),
        }
    }

    /// Closes with a reset in place of an orderly end.
    pub fn abort(self) -> Result<()> {
        SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)).context("cannot set linger")
    }

    /// Takes one complete frame off the buffer.
    fn take(&mut self) -> Result<Option<Span>> {
        loop {
            let Some(span) = Span::of(&self.buffer, self.start, self.end)? else { return Ok(None) };
            self.start = span.end();
            if self.shows_pings || !span.is_ping() {
                return Ok(Some(span));
            }
        }
    }

    /// Reads once, waiting for it.
    fn wait(&mut self, deadline: Instant) -> Result<()> {
        if self.closed {
            bail!("the server has closed the connection");
        }
        self.set_nonblocking(false)?;
        if self.fill()? == 0 {
            if self.closed {
                bail!("the server has closed the connection");
            }
            if Instant::now() >= deadline {
                bail!("nothing came from the server for {DEADLINE:?}");
            }
        }
        Ok(())
    }

    /// Reads once; 0 when nothing was there.
    fn fill(&mut self) -> Result<usize> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        match self.stream.read(&mut self.buffer[self.end..]) {
            Ok(0) => {
                self.closed = true;
                Ok(0)
            }
            Ok(read) => {
                self.end += read;
                if self.end == self.buffer.len() && self.buffer.len() < FULL_BUFFER {
                    self.buffer.resize(self.buffer.len() * 2, 0);
                }
                Ok(read)
            }
            Err(error) if is_wait(&error) => Ok(0),
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                self.closed = true;
                Ok(0)
            }
            Err(error) => Err(error).context("cannot read from the server"),
        }
    }

    fn write_all(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.set_nonblocking(false)?;
        let mut deadline = Instant::now() + DEADLINE;
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(written) => {
                    bytes = &bytes[written..];
                    deadline = Instant::now() + DEADLINE;
                }
                Err(error) if !is_wait(&error) => return Err(error).context("cannot write to the server"),
                Err(_) if Instant::now() >= deadline => {
                    bail!("the server has read nothing for {DEADLINE:?}; {} bytes are left", bytes.len())
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn set_nonblocking(&mut self, nonblocking: bool) -> Result<()> {
        if self.nonblocking != nonblocking {
            self.stream.set_nonblocking(nonblocking).map_err(|error| anyhow!(error))?;
            self.nonblocking = nonblocking;
        }
        Ok(())
    }

    fn unread_text(&self) -> String {
        let unread = &self.buffer[self.start..self.end];
        String::from_utf8_lossy(&unread[..unread.len().min(200)]).into_owned()
    }
}

/// Appends a PUB; an empty `reply` is none.
pub fn put_publish(out: &mut Vec<u8>, subject: &str, reply: &str, payload: &[u8]) {
    out.extend_from_slice(b"PUB ");
    out.extend_from_slice(subject.as_bytes());
    if !reply.is_empty() {
        out.push(b' ');
        out.extend_from_slice(reply.as_bytes());
    }
    out.extend_from_slice(format!(" {}\r\n", payload.len()).as_bytes());
    out.extend_from_slice(payload);
    out.extend_from_slice(b"\r\n");
}

fn is_wait(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}
