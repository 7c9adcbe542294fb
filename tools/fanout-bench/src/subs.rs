//! Mode `subs`: what a subscription costs, with a million of them in the table.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client;
use crate::cpu::Account;
use crate::idle::push_growth;
use crate::rounds::{Side, take_turns};
use crate::sample::{Metric, Sample, Series, Unit, cost_of};

/// User memory of the server for one subscription.
pub const USER_MEMORY: Metric =
    Metric { key: "anonymous_bytes_per_subscription", title: "user memory per subscription", unit: Unit::Bytes };
const RESIDENT_MEMORY: Metric =
    Metric { key: "resident_bytes_per_subscription", title: "resident memory per subscription", unit: Unit::Bytes };
const RATE: Metric = Metric { key: "subscriptions_per_s", title: "subscriptions made", unit: Unit::PerSecond };
const CPU_PER_SUBSCRIPTION: Metric =
    Metric { key: "server_cpu_ns_per_subscription", title: "server CPU per subscription", unit: Unit::Nanoseconds };

/// Subscriptions that are tried out afterwards.
const PROBES: usize = 1000;
/// `SUB` lines handed to the kernel at once.
const LINES_PER_WRITE: usize = 1000;

/// Writes of one connection between two PINGs.
const WRITES_PER_PING: usize = 20;

/// Makes subscriptions over a few connections of every side, measures the memory, and tries some of them out.
pub fn run(
    title: &str,
    sides: &[Side],
    rounds: usize,
    subscriptions: usize,
    connections: usize,
) -> Result<Vec<Series>> {
    take_turns(title, sides, rounds, 0, |server, _| {
        let mut streams = (0..connections).map(|_| client::open(server.address, b"")).collect::<Result<Vec<_>>>()?;
        let before = server.memory()?;
        let (cost, ()) = cost_of(server, || subscribe(&mut streams, subscriptions))?;
        let mut sample = Sample::default();
        push_growth(&mut sample, server, before, subscriptions, [USER_MEMORY, RESIDENT_MEMORY])?;
        sample.push(RATE, subscriptions as f64 / cost.wall.as_secs_f64());
        if let Some(used) = cost.server {
            sample.push(CPU_PER_SUBSCRIPTION, used.as_nanos() as f64 / subscriptions as f64);
        }
        sample.push_memory(server)?;

        // The publisher's PONG promises that its messages are ahead of the answers to the subscribers.
        try_out(server.address, &mut streams, subscriptions, Duration::ZERO)?;
        Ok(sample)
    })
}

/// Makes subscriptions in turn on all connections; when it returns, they are in force.
pub fn subscribe(streams: &mut [TcpStream], subscriptions: usize) -> Result<()> {
    let connections = streams.len().max(1);
    let mut lines = Vec::new();
    for (turn, start) in (0..subscriptions).step_by(LINES_PER_WRITE).enumerate() {
        lines.clear();
        for number in start..subscriptions.min(start + LINES_PER_WRITE) {
            write!(lines, "SUB {} {number}\r\n", subject(number))?;
        }
        if let Some(stream) = streams.get_mut(turn % connections) {
            stream.write_all(&lines).context("subscribing")?;
            // Bounds what the server has still to read, and so how long its answer may take at the end.
            if (turn / connections).is_multiple_of(WRITES_PER_PING) {
                client::barrier(stream)?;
            }
        }
    }
    streams.iter_mut().try_for_each(client::barrier)
}

/// Publishes to random subjects at `address`: each message must come out once, at the subscription that asked for it,
/// and not later than `patience` from then on.
pub fn try_out(address: SocketAddr, streams: &mut [TcpStream], subscriptions: usize, patience: Duration) -> Result<()> {
    let mut due = BTreeMap::<String, usize>::new();
    let mut publisher = client::open(address, b"")?;
    for _ in 0..PROBES.min(subscriptions) {
        let number = fastrand::usize(..subscriptions);
        *due.entry(format!("{} {number}", subject(number))).or_default() += 1;
        write!(publisher, "PUB {} 2\r\nhi\r\n", subject(number))?;
    }
    client::barrier(&mut publisher)?;
    let deadline = Instant::now() + patience;
    loop {
        for stream in &mut *streams {
            client::collect(stream, |message| {
                let sid = String::from_utf8_lossy(message.sid);
                let key = format!("{} {sid}", String::from_utf8_lossy(message.subject));
                match due.get_mut(&key) {
                    Some(count) if *count > 0 => *count -= 1,
                    _ => bail!("a message that was not published came to subscription {key}"),
                }
                Ok(())
            })?;
        }
        let lost: usize = due.values().sum();
        if lost == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            bail!("lost: {lost} of {PROBES} messages to random subscriptions did not arrive");
        }
    }
}

/// Subjects of 25 bytes.
fn subject(number: usize) -> String {
    format!("device.{number:010}.reading")
}

#[cfg(test)]
mod tests {
    #[test]
    fn subjects_have_25_bytes() {
        assert_eq!(super::subject(0).len(), 25);
        assert_eq!(super::subject(999_999).len(), 25);
    }
}
