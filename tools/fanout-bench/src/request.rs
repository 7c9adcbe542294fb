//! Mode `request`: requesters with a fixed number of requests in flight, responders that echo, times of the round trip.

use std::collections::VecDeque;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use mio::{Events, Poll, Token};

use crate::client::{self, Connection, Socket};
use crate::cpu::Account;
use crate::fanout::Timing;
use crate::flow::Ends;
use crate::progress::Progress;
use crate::rounds::{Side, take_turns};
use crate::sample::{Metric, Sample, Series, Unit, cost_of};
use crate::wire::{self, Incoming};

const SUBJECT: &str = "bench.service";
const READ_BUFFER: usize = 128 * 1024;

const REQUEST_RATE: Metric = Metric { key: "requests_per_s", title: "requests", unit: Unit::PerSecond };
const CPU_PER_REQUEST: Metric =
    Metric { key: "server_cpu_ns_per_request", title: "server CPU per request", unit: Unit::Nanoseconds };
/// Median of the round trips.
pub const MEDIAN: Metric = Metric { key: "p50_us", title: "round trip, median", unit: Unit::Microseconds };
const PERCENTILES: [(f64, Metric); 4] = [
    (50.0, MEDIAN),
    (90.0, Metric { key: "p90_us", title: "round trip, 90 %", unit: Unit::Microseconds }),
    (99.0, Metric { key: "p99_us", title: "round trip, 99 %", unit: Unit::Microseconds }),
    (99.9, Metric { key: "p999_us", title: "round trip, 99.9 %", unit: Unit::Microseconds }),
];
const SLOWEST: Metric = Metric { key: "max_us", title: "round trip, slowest", unit: Unit::Microseconds };

/// Round trips longer than this (in nanoseconds) count as this.
const LONGEST_TIME: u64 = 60_000_000_000;

/// How a requester gets its replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inbox {
    /// One wildcard subscription for all replies of a connection, as clients do today.
    Shared,
    /// A subscription for each request.
    Each,
}

/// Who asks and who answers.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Connections that ask.
    pub requesters: usize,
    /// Connections that answer, one queue group.
    pub responders: usize,
    /// Requests a requester has in flight.
    pub in_flight: usize,
    /// Bytes of a request and of its reply.
    pub payload: usize,
    /// How replies come back.
    pub inbox: Inbox,
    /// Poll without sleeping, which takes the wake-up of the load generator out of the times.
    pub spin: bool,
}

/// Measures one layout on every side.
pub fn run(title: &str, sides: &[Side], timing: &Timing, layout: &Layout) -> Result<Vec<Series>> {
    take_turns(title, sides, timing.rounds, 0, |server, _| measure(server, &Ends::one(server.address), timing, layout))
}

/// Measures one layout once: requesters near, responders far.
pub fn measure(account: &impl Account, ends: &Ends, timing: &Timing, layout: &Layout) -> Result<Sample> {
    let mut dialogue = Dialogue::open(ends, layout)?;
    dialogue.ask_for(timing.warmup)?;
    dialogue.times.reset();
    let (cost, ()) = cost_of(account, || dialogue.ask_for(timing.measured))?;

    let mut sample = Sample::default();
    let times = &dialogue.times;
    let requests = times.len().max(1) as f64;
    sample.push(REQUEST_RATE, requests / cost.wall.as_secs_f64());
    for (percentile, metric) in PERCENTILES {
        sample.push(metric, times.value_at_percentile(percentile) as f64 / 1e3);
    }
    sample.push(SLOWEST, times.max() as f64 / 1e3);
    if let Some(used) = cost.server {
        sample.push(CPU_PER_REQUEST, used.as_nanos() as f64 / requests);
    }
    sample.push_memory(account)?;
    Ok(sample)
}

struct Dialogue {
    poll: Poll,
    events: Events,
    requesters: Vec<Requester>,
    responders: Vec<Responder>,
    layout: Layout,
    /// Round trips in nanoseconds.
    times: Histogram<u64>,
}

impl Dialogue {
    fn open(ends: &Ends, layout: &Layout) -> Result<Self> {
        let subscribe = format!("SUB {SUBJECT} workers 1\r\n");
        let open_responder = |number| client::open(ends.of_receiver(number), subscribe.as_bytes());
        let mut far = (0..layout.responders).map(open_responder).collect::<Result<Vec<_>>>()?;
        let inboxes: Vec<String> =
            (0..layout.requesters).map(|number| format!("_INBOX.{}{number:06}", random_token(16))).collect();
        let open_requester = |inbox: &String| match layout.inbox {
            Inbox::Shared => client::open(ends.near, format!("SUB {inbox}.* 1\r\n").as_bytes()),
            Inbox::Each => client::open(ends.near, b""),
        };
        let mut near = inboxes.iter().map(open_requester).collect::<Result<Vec<_>>>()?;
        // The way back needs no probe: interest in an inbox must reach the responder's server before the request.
        ends.join(&mut near, &mut far)?;

        let poll = Poll::new()?;
        let connect = |number: usize, stream: TcpStream| {
            let capacity = READ_BUFFER.max(layout.payload.saturating_mul(2));
            Connection::new(stream, poll.registry(), Token(number), capacity)
        };
        let mut requesters = Vec::new();
        for (number, (stream, inbox)) in near.into_iter().zip(inboxes).enumerate() {
            let connection = connect(number, stream)?;
            requesters.push(Requester { connection, inbox, open: VecDeque::new(), oldest: 0, in_flight: 0 });
        }
        let mut responders = Vec::new();
        for (number, stream) in far.into_iter().enumerate() {
            let connection = connect(layout.requesters + number, stream)?;
            responders.push(Responder { connection, answers: Vec::new() });
        }
        let times = Histogram::new_with_bounds(1, LONGEST_TIME, 3)?;
        Ok(Dialogue { poll, events: Events::with_capacity(256), requesters, responders, layout: *layout, times })
    }

    /// Keeps requests in flight for this long, then waits for the last replies.
    fn ask_for(&mut self, duration: Duration) -> Result<()> {
        let end = Instant::now() + duration;
        let mut progress = Progress::start();
        loop {
            let asking = Instant::now() < end;
            let mut waiting = 0;
            for requester in &mut self.requesters {
                while asking && requester.in_flight < self.layout.in_flight {
                    requester.ask(&self.layout);
                }
                requester.connection.flush()?;
                waiting += requester.in_flight;
            }
            if waiting == 0 {
                return Ok(());
            }
            self.turn()?;
            progress.expect(self.times.len(), || format!("lost: {waiting} requests have no reply"))?;
        }
    }

    fn turn(&mut self) -> Result<()> {
        let patience = if self.layout.spin { Duration::ZERO } else { Duration::from_millis(50) };
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &self.events {
            let Token(number) = event.token();
            if let Some(requester) = self.requesters.get_mut(number) {
                if event.is_readable() {
                    requester.read(&self.layout, &mut self.times).with_context(|| format!("requester {number}"))?;
                }
            } else if let Some(responder) = self.responders.get_mut(number - self.requesters.len()) {
                if event.is_readable() {
                    responder.read().context("responder")?;
                }
                responder.connection.flush()?;
            }
        }
        Ok(())
    }
}

struct Requester {
    connection: Connection,
    inbox: String,
    /// When the requests from number `oldest` on were sent; `None` once they have been answered.
    open: VecDeque<Option<Instant>>,
    oldest: u64,
    in_flight: usize,
}

impl Requester {
    fn ask(&mut self, layout: &Layout) {
        let Requester { inbox, .. } = self;
        let number = self.oldest + self.open.len() as u64;
        if layout.inbox == Inbox::Each {
            self.connection.queue(format!("SUB {inbox}.{number} {number}\r\nUNSUB {number} 1\r\n").as_bytes());
        }
        let size = layout.payload;
        self.connection.queue(format!("PUB {SUBJECT} {inbox}.{number} {size}\r\n").as_bytes());
        self.connection.queue(&payload(number, size));
        self.connection.queue(b"\r\n");
        self.open.push_back(Some(Instant::now()));
        self.in_flight += 1;
    }

    fn read(&mut self, layout: &Layout, times: &mut Histogram<u64>) -> Result<()> {
        loop {
            let socket = self.connection.fill()?;
            while let Some((incoming, length)) = wire::next(self.connection.unread())? {
                let mut is_ping = false;
                match incoming {
                    Incoming::Message(message) => {
                        let number = message.subject.rsplit(|byte| *byte == b'.').next().unwrap_or_default();
                        let number: u64 =
                            std::str::from_utf8(number).ok().and_then(|text| text.parse().ok()).with_context(|| {
                                format!("a message that is no reply: {:?}", wire::excerpt(message.subject))
                            })?;
                        if message.payload != payload(number, layout.payload) {
                            bail!("the reply to request {number} has the content of another");
                        }
                        let slot = number.checked_sub(self.oldest).and_then(|ahead| usize::try_from(ahead).ok());
                        let slot = slot.and_then(|slot| self.open.get_mut(slot)).and_then(Option::take);
                        let Some(sent) = slot else { bail!("the reply to request {number} came twice") };
                        times.saturating_record(u64::try_from(sent.elapsed().as_nanos()).unwrap_or(u64::MAX));
                        self.in_flight -= 1;
                    }
                    Incoming::Ping => is_ping = true,
                    Incoming::Pong | Incoming::Ignorable => {}
                }
                self.connection.consume(length);
                if is_ping {
                    self.connection.queue(b"PONG\r\n");
                }
            }
            while self.open.front() == Some(&None) {
                self.open.pop_front();
                self.oldest += 1;
            }
            if socket == Socket::Waits {
                return Ok(());
            }
        }
    }
}

struct Responder {
    connection: Connection,
    answers: Vec<u8>,
}

impl Responder {
    fn read(&mut self) -> Result<()> {
        loop {
            let socket = self.connection.fill()?;
            while let Some((incoming, length)) = wire::next(self.connection.unread())? {
                match incoming {
                    Incoming::Message(message) => {
                        let reply = message.reply.context("a request without a reply subject")?;
                        self.answers.extend_from_slice(b"PUB ");
                        self.answers.extend_from_slice(reply);
                        self.answers.extend_from_slice(format!(" {}\r\n", message.payload.len()).as_bytes());
                        self.answers.extend_from_slice(message.payload);
                        self.answers.extend_from_slice(b"\r\n");
                    }
                    Incoming::Ping => self.answers.extend_from_slice(b"PONG\r\n"),
                    Incoming::Pong | Incoming::Ignorable => {}
                }
                self.connection.consume(length);
            }
            self.connection.queue(&self.answers);
            self.answers.clear();
            if socket == Socket::Waits {
                return Ok(());
            }
        }
    }
}

/// What request `number` carries, and its reply: the number in 8 bytes, repeated and cut to size.
fn payload(number: u64, size: usize) -> Vec<u8> {
    number.to_le_bytes().into_iter().cycle().take(size).collect()
}

/// Letters and digits that no other run uses.
pub fn random_token(length: usize) -> String {
    (0..length).map(|_| fastrand::alphanumeric()).collect()
}
