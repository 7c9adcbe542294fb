//! Mode `interest`: a server with a large table of subscriptions announces them to one that joins.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::client;
use crate::cluster::{Cluster, ClusterSide, routes, take_turns};
use crate::cpu::Account;
use crate::idle::push_growth;
use crate::progress::{Progress, patience};
use crate::pulse::Pulse;
use crate::sample::{Metric, Sample, Series, Unit};
use crate::server_process::Launch;
use crate::subs;

/// From the start of the joining server until it knows everything.
pub const TIME: Metric =
    Metric { key: "announced_us", title: "all announced to B since its start", unit: Unit::Microseconds };
/// User memory of the joining server for each interest.
pub const USER_MEMORY: Metric =
    Metric { key: "anonymous_bytes_per_interest", title: "user memory of B per interest", unit: Unit::Bytes };
const RESIDENT_MEMORY: Metric =
    Metric { key: "resident_bytes_per_interest", title: "resident memory of B per interest", unit: Unit::Bytes };
const CPU_OF_TELLER: Metric =
    Metric { key: "server_cpu_ns_per_interest_A", title: "CPU of A per interest", unit: Unit::Nanoseconds };
const CPU_OF_LISTENER: Metric =
    Metric { key: "server_cpu_ns_per_interest_B", title: "CPU of B per interest", unit: Unit::Nanoseconds };
/// Longest time that a message of clients of the announcing server took meanwhile.
pub const WAIT_AT_TELLER: Metric =
    Metric { key: "longest_wait_us_A", title: "slowest message at A meanwhile", unit: Unit::Microseconds };
/// The same at the joining server.
pub const WAIT_AT_LISTENER: Metric =
    Metric { key: "longest_wait_us_B", title: "slowest message at B meanwhile", unit: Unit::Microseconds };

/// Between two looks at what the joining server knows.
const PAUSE: Duration = Duration::from_millis(10);

/// How much interest there is.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Subscriptions on the first server, each to a subject of its own.
    pub interests: usize,
    /// Connections that hold them.
    pub connections: usize,
}

/// Lets the last server of every cluster join when the first one holds all the interest.
pub fn run(title: &str, sides: &[ClusterSide], rounds: usize, layout: Layout) -> Result<Vec<Series>> {
    let clusters: Vec<&ClusterSide> = sides.iter().collect();
    take_turns(title, &clusters, rounds, |_, servers, cluster| match servers {
        [others @ .., joining] if !others.is_empty() => announce(cluster, others, joining, layout),
        _ => bail!("a server that joins needs another one: give at least two"),
    })
}

fn announce(cluster: &mut Cluster, others: &[Launch], joining: &Launch, layout: Layout) -> Result<Sample> {
    // What the joining server holds in a mesh without interest.
    cluster.join_all(others)?;
    cluster.join_all(std::slice::from_ref(joining))?;
    let empty = cluster.last()?.memory()?;
    cluster.leave();
    cluster.await_mesh()?;

    let (address, mut streams) = (cluster.first()?.address, Vec::new());
    for _ in 0..layout.connections {
        streams.push(client::open(address, b"")?);
    }
    subs::subscribe(&mut streams, layout.interests)?;
    let mut pulse = Pulse::start(address);
    pulse.await_subscription()?;
    // The pulse has a subscription as well.
    let due = layout.interests as u64 + 1;

    let (start, teller_before) = (Instant::now(), cluster.first()?.processor_time()?);
    cluster.join(joining)?;
    let listener = cluster.last()?;
    let listener_pulse = Pulse::start(listener.address);
    let mut progress = Progress::start();
    loop {
        let known = routes(listener)?.interest();
        if known >= due {
            break;
        }
        progress.expect(known, || format!("{known} of {due} interests were announced, and no more come"))?;
        thread::sleep(PAUSE);
    }
    let time = start.elapsed();
    let teller =
        teller_before.zip(cluster.first()?.processor_time()?).map(|(before, after)| after.saturating_sub(before));
    let waits = [(WAIT_AT_TELLER, pulse.stop()?), (WAIT_AT_LISTENER, listener_pulse.stop()?)];

    let mut sample = Sample::default();
    sample.push(TIME, time.as_nanos() as f64 / 1e3);
    push_growth(&mut sample, listener, empty, layout.interests, [USER_MEMORY, RESIDENT_MEMORY])?;
    for (metric, used) in [(CPU_OF_TELLER, teller), (CPU_OF_LISTENER, listener.processor_time()?)] {
        let used = used.context("a server without a process")?;
        sample.push(metric, used.as_nanos() as f64 / layout.interests.max(1) as f64);
    }
    for (metric, wait) in waits {
        sample.push(metric, wait.as_nanos() as f64 / 1e3);
    }
    // The second time shows that no message of the first one comes twice.
    for _ in 0..2 {
        subs::try_out(listener.address, &mut streams, layout.interests, patience())?;
    }
    Ok(sample)
}
