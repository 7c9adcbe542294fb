//! Publishers and subscribers of one run in one event loop, with everything they receive checked.
//!
//! Publishers stay at most a window of messages ahead of the slowest subscriber, so that a server is kept
//! busy but never has reason to drop a message.

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use mio::{Events, Poll, Token};

use crate::check::{InOrder, OnceEach, Rising};
use crate::client::{self, Connection, Socket};
use crate::frame::{Frame, Plan, Stamp};
use crate::probe;
use crate::progress::Progress;
use crate::wire::{self, Incoming};

const READ_BUFFER: usize = 256 * 1024;

/// Who publishes and who receives in a run.
#[derive(Clone, Debug)]
pub struct Layout {
    /// What the messages look like.
    pub plan: Plan,
    /// Subscribers that get every message.
    pub subscribers: usize,
    /// Queue groups.
    pub groups: usize,
    /// Members of each group.
    pub members: usize,
    /// Bytes that may be published and not yet received by the slowest.
    pub window: usize,
    /// Bytes handed to the kernel in one write.
    pub batch: usize,
}

/// Which server the two kinds of connections go to.
#[derive(Clone, Debug)]
pub struct Ends {
    /// The server of those that publish or ask.
    pub near: SocketAddr,
    /// The servers of those that receive or answer, one after the other; none if it is the same one.
    pub far: Vec<SocketAddr>,
}

impl Ends {
    /// Everybody on one server.
    pub fn one(address: SocketAddr) -> Self {
        Ends { near: address, far: Vec::new() }
    }

    /// The server of a receiver.
    pub fn of_receiver(&self, number: usize) -> SocketAddr {
        self.far.iter().cycle().nth(number).copied().unwrap_or(self.near)
    }

    /// Waits until what the receivers asked for is in force where the others are.
    pub fn join(&self, near: &mut [TcpStream], far: &mut [TcpStream]) -> Result<()> {
        // One server guarantees it with the answer to a PING.
        if self.far.is_empty() { Ok(()) } else { probe::reach(near, far) }
    }
}

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A NATS server.
    Nats,
    /// Our relay: no protocol, frames go out as they come in.
    Relay,
}

struct Publisher {
    connection: Connection,
    number: u16,
    /// Messages handed to the connection so far, and so the next sequence number.
    stamped: u64,
    batch: Vec<u8>,
    filled: usize,
    written: usize,
}

enum Books {
    Plain(InOrder),
    Member { group: usize, own: Rising },
}

impl Books {
    fn open(group: Option<usize>, member: usize, publishers: u16) -> Self {
        match group {
            None => Books::Plain(InOrder::new(format!("subscriber {member}"), publishers)),
            Some(group) => {
                Books::Member { group, own: Rising::new(format!("member {member} of queue group {group}"), publishers) }
            }
        }
    }
}

struct Receiver {
    connection: Connection,
    books: Books,
    expected: Vec<u8>,
    received: u64,
    pongs: u64,
}

struct Group {
    books: OnceEach,
    received: u64,
}

/// The event loop of a run.
pub struct Flow {
    poll: Poll,
    events: Events,
    publishers: Vec<Publisher>,
    receivers: Vec<Receiver>,
    groups: Vec<Group>,
    publish_frame: Frame,
    deliver_frame: Frame,
    window: u64,
    published: u64,
    peer: Peer,
}

impl Flow {
    /// Opens all connections; when it returns, all subscriptions are in force.
    pub fn open(ends: &Ends, peer: Peer, layout: &Layout) -> Result<Self> {
        let plan = &layout.plan;
        let deliver_frame = plan.delivered();
        let publish_frame = if peer == Peer::Relay { plan.delivered() } else { plan.published() };
        let connect = |address: SocketAddr, first: &[u8]| match peer {
            Peer::Nats => client::open(address, first),
            Peer::Relay => client::connect(address),
        };

        let plain = (0..layout.subscribers).map(|member| (None, member));
        let members = (0..layout.groups).flat_map(|group| (0..layout.members).map(move |member| (Some(group), member)));
        let mut books = Vec::new();
        let mut far = Vec::new();
        for (number, (group, member)) in plain.chain(members).enumerate() {
            let name = group.map(|group| format!("group{group}"));
            books.push(Books::open(group, member, plan.publishers));
            far.push(connect(ends.of_receiver(number), &plan.subscribe(name.as_deref()))?);
        }
        let mut near = (0..plan.publishers).map(|_| connect(ends.near, b"")).collect::<Result<Vec<_>>>()?;
        ends.join(&mut near, &mut far)?;

        let poll = Poll::new()?;
        let mut receivers = Vec::new();
        for (number, (stream, books)) in far.into_iter().zip(books).enumerate() {
            let capacity = READ_BUFFER.max(deliver_frame.len() * 2);
            let connection = Connection::new(stream, poll.registry(), Token(number), capacity)?;
            receivers.push(Receiver { connection, books, expected: deliver_frame.repeat(1), received: 0, pongs: 0 });
        }
        let groups = (0..layout.groups)
            .map(|group| Group { books: OnceEach::new(format!("queue group {group}"), plan.publishers), received: 0 })
            .collect();
        let frames = (layout.batch / publish_frame.len()).max(1);
        let mut publishers = Vec::new();
        for (number, stream) in (0..plan.publishers).zip(near) {
            let token = Token(receivers.len() + usize::from(number));
            let connection = Connection::new(stream, poll.registry(), token, 64 * 1024)?;
            let batch = publish_frame.repeat(frames);
            publishers.push(Publisher { connection, number, stamped: 0, batch, filled: 0, written: 0 });
        }
        let window = (layout.window / deliver_frame.len()).max(1) as u64;
        let events = Events::with_capacity(1024);
        Ok(Flow {
            poll,
            events,
            publishers,
            receivers,
            groups,
            publish_frame,
            deliver_frame,
            window,
            published: 0,
            peer,
        })
    }

    /// Messages published so far by everybody together.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Messages received so far by everybody together.
    pub fn delivered(&self) -> u64 {
        self.receivers.iter().map(|receiver| receiver.received).sum()
    }

    /// Publishes as fast as the window allows for this long, then waits until everything has arrived.
    pub fn publish_for(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.publish(true)?;
            self.turn(Duration::from_millis(50))?;
        }
        self.drain()
    }

    /// Waits until everything published has arrived, and makes sure that nothing comes after it.
    fn drain(&mut self) -> Result<()> {
        let mut progress = Progress::start();
        while self.slowest() < self.published || !self.publishers.iter().all(Publisher::is_flushed) {
            self.publish(false)?;
            self.turn(Duration::from_millis(50))?;
            let missing = self.published.saturating_sub(self.slowest());
            progress.expect(self.delivered(), || {
                format!("lost: {missing} messages did not arrive at the slowest receiver")
            })?;
        }
        if self.peer == Peer::Nats {
            self.barrier()?;
        }
        let due = self.published * (self.receivers.iter().filter(|r| r.is_plain()).count() + self.groups.len()) as u64;
        let delivered = self.delivered();
        if delivered != due {
            bail!("{delivered} messages were delivered where {due} were due");
        }
        Ok(())
    }

    /// A PING and its PONG on every receiver: whatever the server still had for it has come by then.
    fn barrier(&mut self) -> Result<()> {
        let target = self.receivers.iter().map(|receiver| receiver.pongs).sum::<u64>() + self.receivers.len() as u64;
        for receiver in &mut self.receivers {
            receiver.connection.queue(b"PING\r\n");
            receiver.connection.flush()?;
        }
        let mut progress = Progress::start();
        loop {
            let pongs = self.receivers.iter().map(|receiver| receiver.pongs).sum::<u64>();
            if pongs >= target {
                return Ok(());
            }
            self.turn(Duration::from_millis(50))?;
            progress.expect(pongs, || "the server does not answer PING".to_string())?;
        }
    }

    /// Messages that even the slowest subscriber or group has had.
    fn slowest(&self) -> u64 {
        let plain = self.receivers.iter().filter(|receiver| receiver.is_plain()).map(|receiver| receiver.received);
        plain.chain(self.groups.iter().map(|group| group.received)).min().unwrap_or(self.published)
    }

    /// Lets every publisher send, within the window and as far as the sockets take it; without `more` only
    /// what has been started.
    fn publish(&mut self, more: bool) -> Result<()> {
        let limit = if more { self.slowest() + self.window } else { 0 };
        // A batch each in turn, so that no publisher takes the whole window.
        loop {
            let mut may_go_on = false;
            for publisher in &mut self.publishers {
                may_go_on |= publisher.send_batch(&self.publish_frame, &mut self.published, limit)?;
            }
            if !may_go_on {
                return Ok(());
            }
        }
    }

    fn turn(&mut self, patience: Duration) -> Result<()> {
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &self.events {
            let Token(number) = event.token();
            let readers = self.receivers.len();
            if let Some(receiver) = self.receivers.get_mut(number) {
                if event.is_readable() {
                    receiver.read(&self.deliver_frame, &mut self.groups)?;
                }
                receiver.connection.flush()?;
            } else if let Some(publisher) = self.publishers.get_mut(number - readers)
                && event.is_readable()
            {
                publisher.read().with_context(|| format!("publisher {}", publisher.number))?;
            }
        }
        Ok(())
    }
}

impl Publisher {
    fn is_flushed(&self) -> bool {
        self.written == self.filled && self.connection.is_flushed()
    }

    /// Sends what is left of the last batch, or a new one; tells whether the socket may take another.
    fn send_batch(&mut self, frame: &Frame, published: &mut u64, limit: u64) -> Result<bool> {
        if self.written == self.filled {
            // Between two batches is the only place for an answer to the server's PING.
            if self.connection.flush()? == Socket::Waits || *published >= limit {
                return Ok(false);
            }
            *published += self.refill(frame, limit - *published);
        }
        while let Some(rest) = self.batch.get(self.written..self.filled).filter(|rest| !rest.is_empty()) {
            match self.connection.write_directly(rest)? {
                0 => return Ok(false),
                count => self.written += count,
            }
        }
        Ok(true)
    }

    /// Stamps the next batch of at most `most` messages and tells how many it holds.
    fn refill(&mut self, frame: &Frame, most: u64) -> u64 {
        let mut count = 0;
        for slot in self.batch.chunks_exact_mut(frame.len()) {
            if count == most {
                break;
            }
            frame.stamp(slot, Stamp { publisher: self.number, sequence: self.stamped });
            self.stamped += 1;
            count += 1;
        }
        self.written = 0;
        self.filled = count as usize * frame.len();
        count
    }

    fn read(&mut self) -> Result<()> {
        loop {
            let socket = self.connection.fill()?;
            while let Some((incoming, length)) = wire::next(self.connection.unread())? {
                let is_ping = incoming == Incoming::Ping;
                self.connection.consume(length);
                if is_ping {
                    self.connection.queue(b"PONG\r\n");
                }
            }
            if socket == Socket::Waits {
                break;
            }
        }
        if self.written == self.filled {
            self.connection.flush()?;
        }
        Ok(())
    }
}

impl Receiver {
    fn is_plain(&self) -> bool {
        matches!(self.books, Books::Plain(_))
    }

    fn who(&self) -> &str {
        match &self.books {
            Books::Plain(books) => books.who(),
            Books::Member { own, .. } => own.who(),
        }
    }

    fn read(&mut self, frame: &Frame, groups: &mut [Group]) -> Result<()> {
        loop {
            let socket = self.connection.fill().with_context(|| self.who().to_string())?;
            self.take_frames(frame, groups)?;
            if socket == Socket::Waits {
                return Ok(());
            }
        }
    }

    /// Checks and enters all complete frames that have been read.
    fn take_frames(&mut self, frame: &Frame, groups: &mut [Group]) -> Result<()> {
        loop {
            let mut used = 0;
            for received in self.connection.unread().chunks_exact(frame.len()) {
                let Some(stamp) = frame.read_stamp(received) else { break };
                frame.stamp(&mut self.expected, stamp);
                if received != self.expected {
                    break;
                }
                match &mut self.books {
                    Books::Plain(books) => books.enter(stamp)?,
                    Books::Member { group, own } => {
                        own.enter(stamp)?;
                        if let Some(group) = groups.get_mut(*group) {
                            group.books.enter(stamp)?;
                            group.received += 1;
                        }
                    }
                }
                self.received += 1;
                used += frame.len();
            }
            self.connection.consume(used);
            if !self.take_other(frame.len())? {
                return Ok(());
            }
        }
    }

    /// Takes one operation that is not an expected message; tells whether there was one.
    fn take_other(&mut self, frame_length: usize) -> Result<bool> {
        let unread = self.connection.unread();
        if unread.is_empty() || (unread.starts_with(b"M") && unread.len() < frame_length) {
            return Ok(false);
        }
        let next = wire::next(unread).with_context(|| self.who().to_string())?;
        let Some((incoming, length)) = next else { return Ok(false) };
        match incoming {
            Incoming::Message(_) => {
                bail!(
                    "{}: a message that nobody published, or with other content: {:?}",
                    self.who(),
                    wire::excerpt(unread)
                )
            }
            Incoming::Ping => self.connection.queue(b"PONG\r\n"),
            Incoming::Pong => self.pongs += 1,
            Incoming::Ignorable => {}
        }
        self.connection.consume(length);
        Ok(true)
    }
}
