//! Modes `across` and `across-request`: publishers or requesters on one server of a cluster, everybody else on the others.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::cluster::{Cluster, ClusterSide, LETTERS, routes, take_turns};
use crate::fanout::Timing;
use crate::flow::{Flow, Layout, Peer};
use crate::monitoring::Routes;
use crate::progress::patience;
use crate::request;
use crate::sample::{Metric, Sample, Series, Unit, cost_of};

/// Messages that the publishers' server sent to another one, for each message published.
pub const COPIES: Metric =
    Metric { key: "copies_per_peer", title: "A's messages to each peer, per message", unit: Unit::Each };

/// Routes of the publishers' server that the messages went over.
pub const CARRIERS: Metric =
    Metric { key: "carrying_routes", title: "A's routes that carried messages", unit: Unit::Each };

macro_rules! cpu_of {
    ($($letter:literal)*) => {
        [$(Metric {
            key: concat!("server_cpu_ns_per_published_message_", $letter),
            title: concat!("CPU of ", $letter, " per published message"),
            unit: Unit::Nanoseconds,
        }),*]
    };
}

/// Processor time of each server, by its place in the cluster.
const CPU_OF: [Metric; LETTERS.len()] = cpu_of!("A" "B" "C" "D" "E" "F" "G" "H" "I" "J" "K" "L" "M" "N" "O" "P");

/// Measures on every cluster the layout that goes with it.
pub fn run(title: &str, sides: &[(ClusterSide, Layout)], timing: &Timing) -> Result<Vec<Series>> {
    let clusters: Vec<&ClusterSide> = sides.iter().map(|(side, _)| side).collect();
    take_turns(title, &clusters, timing.rounds, |number, servers, cluster| {
        let Some((_, layout)) = sides.get(number) else { bail!("there is no side {number}") };
        cluster.join_all(servers)?;
        let mut flow = Flow::open(&cluster.ends()?, Peer::Nats, layout)?;
        flow.publish_for(timing.warmup)?;
        let (delivered, published) = (flow.delivered(), flow.published());
        let (times, before) = (cluster.processor_times()?, routes(cluster.first()?)?);
        let (cost, ()) = cost_of(cluster, || flow.publish_for(timing.measured))?;
        let published = flow.published() - published;

        let mut sample = Sample::default();
        cost.push_to(&mut sample, flow.delivered() - delivered);
        for ((before, after), metric) in times.into_iter().zip(cluster.processor_times()?).zip(CPU_OF) {
            sample.push(metric, after.saturating_sub(before).as_nanos() as f64 / published.max(1) as f64);
        }
        let (copies, after) = copies(cluster, before.messages_out(), published)?;
        sample.push(COPIES, copies);
        sample.push(CARRIERS, after.carriers_since(&before) as f64);
        sample.push_memory(cluster)?;
        Ok(sample)
    })
}

/// Messages that A has sent to each peer since its count was `before`, for each of those published since; and its routes then.
fn copies(cluster: &Cluster, before: u64, published: u64) -> Result<(f64, Routes)> {
    let due = published * cluster.len().saturating_sub(1) as u64;
    // All of them have arrived; a count that is put together from several threads may take a moment longer.
    let deadline = Instant::now() + patience();
    loop {
        let routes = routes(cluster.first()?)?;
        let sent = routes.messages_out().saturating_sub(before);
        if sent >= due || Instant::now() > deadline {
            return Ok((sent as f64 / due.max(1) as f64, routes));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Measures round trips on every cluster.
pub fn run_requests(
    title: &str,
    sides: &[ClusterSide],
    timing: &Timing,
    layout: &request::Layout,
) -> Result<Vec<Series>> {
    let clusters: Vec<&ClusterSide> = sides.iter().collect();
    take_turns(title, &clusters, timing.rounds, |_, servers, cluster| {
        cluster.join_all(servers)?;
        request::measure(cluster, &cluster.ends()?, timing, layout)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_server_has_its_metric() {
        for (letter, metric) in LETTERS.iter().zip(CPU_OF) {
            assert_eq!(metric.key, format!("server_cpu_ns_per_published_message_{letter}"));
        }
    }
}
