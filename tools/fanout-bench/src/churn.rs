//! Mode `churn`: what SUB and UNSUB of others cost a steady publisher.
//!
//! Three stretches on one server: the publisher alone, the churn alone, both together. What the publisher keeps
//! is its messages per CPU second beside the churn, compared with those without. Two numbers hold the truth
//! between them: *gross* charges all of the churn's own work to the messages, *net* first takes off what the churn
//! used alone at that rate, which is too much, since an otherwise idle server must wake up for it.

use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use mio::{Events, Poll, Token};

use crate::client::{self, Connection, Socket};
use crate::fanout::Timing;
use crate::flow::{self, Ends, Flow};
use crate::request::random_token;
use crate::rounds::{Side, take_turns};
use crate::sample::{CPU_PER_MESSAGE, Cost, Metric, RATE, Sample, Series, Unit, cost_of};
use crate::wire::{self, Incoming};

const CHURN_RATE: Metric = Metric { key: "churn_per_s", title: "SUB + UNSUB beside it", unit: Unit::PerSecond };
const CPU_PER_CHURN: Metric =
    Metric { key: "server_cpu_ns_per_churn", title: "server CPU per SUB + UNSUB alone", unit: Unit::Nanoseconds };
const RATE_BESIDE: Metric =
    Metric { key: "delivered_per_s_beside", title: "delivered messages beside churn", unit: Unit::PerSecond };
const CPU_GROSS: Metric = Metric {
    key: "server_cpu_ns_per_message_gross",
    title: "CPU per message, churn included",
    unit: Unit::Nanoseconds,
};
const CPU_NET: Metric =
    Metric { key: "server_cpu_ns_per_message_net", title: "CPU per message, churn taken off", unit: Unit::Nanoseconds };
/// Messages per CPU second beside the churn, as a share of those without, with the churn's own work charged to them.
pub const KEPT: Metric = Metric { key: "kept_gross", title: "rate kept per CPU second, gross", unit: Unit::Share };
const KEPT_NET: Metric = Metric { key: "kept_net", title: "rate kept per CPU second, net", unit: Unit::Share };

/// What churns.
#[derive(Clone, Copy, Debug)]
pub struct Churn {
    /// Connections that subscribe and unsubscribe.
    pub connections: usize,
    /// Pairs of SUB and UNSUB per second, all connections together; without it as many as the server takes.
    pub rate: Option<u32>,
}

/// Measures the layout with and without churn on every side.
pub fn run(title: &str, sides: &[Side], timing: &Timing, layout: &flow::Layout, churn: Churn) -> Result<Vec<Series>> {
    take_turns(title, sides, timing.rounds, layout.subscribers, |server, peer| {
        let mut flow = Flow::open(&Ends::one(server.address), peer, layout)?;
        flow.publish_for(timing.warmup)?;
        let before = flow.delivered();
        let (alone, ()) = cost_of(server, || flow.publish_for(timing.measured))?;
        let messages_alone = flow.delivered() - before;

        let churner = Churner::start(server.address, churn)?;
        thread::sleep(timing.warmup);
        let before = churner.pairs();
        let (churning, ()) = cost_of(server, || {
            thread::sleep(timing.measured);
            Ok(())
        })?;
        let pairs_alone = churner.pairs() - before;

        flow.publish_for(timing.warmup)?;
        let (before, pairs_before) = (flow.delivered(), churner.pairs());
        let (both, ()) = cost_of(server, || flow.publish_for(timing.measured))?;
        let (messages, pairs) = (flow.delivered() - before, churner.pairs() - pairs_before);
        churner.stop()?;

        let mut sample = Sample::default();
        sample.push(RATE, messages_alone as f64 / alone.wall.as_secs_f64());
        sample.push(RATE_BESIDE, messages as f64 / both.wall.as_secs_f64());
        sample.push(CHURN_RATE, pairs as f64 / both.wall.as_secs_f64());
        if let Some(price) = Prices::of([(&alone, messages_alone), (&churning, pairs_alone), (&both, messages)], pairs)
        {
            sample.push(CPU_PER_MESSAGE, price.message);
            sample.push(CPU_PER_CHURN, price.pair);
            sample.push(CPU_GROSS, price.gross);
            sample.push(CPU_NET, price.net);
            sample.push(KEPT, price.message / price.gross);
            sample.push(KEPT_NET, price.message / price.net);
        }
        Ok(sample)
    })
}

/// Processor time in nanoseconds.
#[derive(Debug, PartialEq)]
struct Prices {
    /// Of a message without churn.
    message: f64,
    /// Of a SUB and an UNSUB without messages.
    pair: f64,
    /// Of a message beside churn, if it has to pay for all.
    gross: f64,
    /// Of a message beside churn, if the churn pays what it pays alone.
    net: f64,
}

impl Prices {
    /// From the three stretches (publisher alone, churn alone, both) and the pairs of the last one.
    fn of([alone, churning, both]: [(&Cost, u64); 3], pairs: u64) -> Option<Self> {
        let nanos = |cost: &Cost| cost.server.map(|time| time.as_nanos() as f64);
        let message = nanos(alone.0)? / alone.1.max(1) as f64;
        let pair = nanos(churning.0)? / churning.1.max(1) as f64;
        let (total, messages) = (nanos(both.0)?, both.1.max(1) as f64);
        Some(Prices { message, pair, gross: total / messages, net: (total - pair * pairs as f64) / messages })
    }
}

/// The thread that churns.
struct Churner {
    thread: JoinHandle<Result<()>>,
    pairs: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

/// Most pairs a connection sends before it waits for the server.
const BURST: u64 = 64;

impl Churner {
    fn start(address: SocketAddr, churn: Churn) -> Result<Self> {
        let streams = (0..churn.connections).map(|_| client::open(address, b"")).collect::<Result<Vec<_>>>()?;
        let (pairs, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (thread_pairs, thread_stop) = (pairs.clone(), stop.clone());
        let thread = thread::spawn(move || churn_until(streams, churn.rate, &thread_pairs, &thread_stop));
        Ok(Churner { thread, pairs, stop })
    }

    /// Pairs that the server has answered for.
    fn pairs(&self) -> u64 {
        self.pairs.load(Ordering::Relaxed)
    }

    fn stop(self) -> Result<()> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the churn thread panicked"))?.context("churn")
    }
}

struct Churning {
    connection: Connection,
    inbox: String,
    next: u64,
    /// Pairs sent and not yet confirmed by a PONG.
    unconfirmed: u64,
}

fn churn_until(streams: Vec<TcpStream>, rate: Option<u32>, pairs: &AtomicU64, stop: &AtomicBool) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(64);
    let mut connections = Vec::new();
    for (number, stream) in streams.into_iter().enumerate() {
        let connection = Connection::new(stream, poll.registry(), Token(number), 16 * 1024)?;
        connections.push(Churning {
            connection,
            inbox: format!("_INBOX.{}", random_token(22)),
            next: 0,
            unconfirmed: 0,
        });
    }
    let start = Instant::now();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        for churning in &mut connections {
            let due = match rate {
                Some(rate) => ((start.elapsed().as_secs_f64() * f64::from(rate)) as u64).saturating_sub(sent),
                None => BURST,
            };
            if churning.unconfirmed == 0 && due > 0 {
                sent += churning.send(due.min(BURST))?;
            }
        }
        match poll.poll(&mut events, Some(Duration::from_millis(1))) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => return Err(error.into()),
            _ => {}
        }
        for event in &events {
            let Token(number) = event.token();
            if let Some(churning) = connections.get_mut(number) {
                churning.connection.flush()?;
                if event.is_readable() {
                    pairs.fetch_add(churning.read()?, Ordering::Relaxed);
                }
            }
        }
    }
    Ok(())
}

impl Churning {
    fn send(&mut self, count: u64) -> Result<u64> {
        for _ in 0..count {
            let (inbox, number) = (&self.inbox, self.next);
            self.connection.queue(format!("SUB {inbox}.{number} {number}\r\nUNSUB {number}\r\n").as_bytes());
            self.next += 1;
        }
        self.connection.queue(b"PING\r\n");
        self.connection.flush()?;
        self.unconfirmed = count;
        Ok(count)
    }

    /// Reads what the server says and tells how many pairs it has confirmed.
    fn read(&mut self) -> Result<u64> {
        let mut confirmed = 0;
        while self.connection.fill()? == Socket::Ready {}
        while let Some((incoming, length)) = wire::next(self.connection.unread())? {
            let is_ping = incoming == Incoming::Ping;
            if incoming == Incoming::Pong {
                confirmed += std::mem::take(&mut self.unconfirmed);
            }
            self.connection.consume(length);
            if is_ping {
                self.connection.queue(b"PONG\r\n");
                self.connection.flush()?;
            }
        }
        Ok(confirmed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_churn_pays_for_itself() {
        let cost = |millis| Cost {
            wall: Duration::from_secs(1),
            server: Some(Duration::from_millis(millis)),
            load: Duration::ZERO,
        };
        // 100 ns a message alone, 1 µs a pair alone; together 1 s for 8 million messages and 100 000 pairs.
        let prices =
            Prices::of([(&cost(1000), 10_000_000), (&cost(100), 100_000), (&cost(1000), 8_000_000)], 100_000).unwrap();
        assert_eq!(prices, Prices { message: 100.0, pair: 1000.0, gross: 125.0, net: 112.5 });
    }
}
