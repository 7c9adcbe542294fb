//! Mode `idle`: what a connection costs that does nothing.

use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::client;
use crate::cpu::{Account, Memory};
use crate::rounds::{Side, take_turns};
use crate::sample::{Metric, Sample, Series, Unit, cost_of};

/// User memory of the server for one idle connection.
pub const USER_MEMORY: Metric =
    Metric { key: "anonymous_bytes_per_connection", title: "user memory per connection", unit: Unit::Bytes };
const RESIDENT_MEMORY: Metric =
    Metric { key: "resident_bytes_per_connection", title: "resident memory per connection", unit: Unit::Bytes };
const OPEN_RATE: Metric = Metric { key: "connections_per_s", title: "connections opened", unit: Unit::PerSecond };
const CPU_PER_CONNECTION: Metric =
    Metric { key: "server_cpu_ns_per_connection", title: "server CPU per connection", unit: Unit::Nanoseconds };

/// Opens connections on every side and measures what they hold.
pub fn run(title: &str, sides: &[Side], rounds: usize, connections: usize) -> Result<Vec<Series>> {
    allow_files(connections)?;
    take_turns(title, sides, rounds, 0, |server, _| {
        // The first connection makes the server set up what it needs once.
        let mut streams = vec![client::open(server.address, b"")?];
        let before = server.memory()?;
        let (cost, ()) = cost_of(server, || {
            for number in 0..connections {
                streams.push(client::open(server.address, b"").with_context(|| format!("connection {number}"))?);
            }
            Ok(())
        })?;
        let mut sample = Sample::default();
        push_growth(&mut sample, server, before, connections, [USER_MEMORY, RESIDENT_MEMORY])?;
        sample.push(OPEN_RATE, connections as f64 / cost.wall.as_secs_f64());
        if let Some(used) = cost.server {
            sample.push(CPU_PER_CONNECTION, used.as_nanos() as f64 / connections as f64);
        }
        sample.push_memory(server)?;
        for (number, stream) in streams.iter_mut().enumerate() {
            client::barrier(stream).with_context(|| format!("connection {number} is dead"))?;
        }
        Ok(sample)
    })
}

/// Adds how much the server's user and resident memory have grown for each of `count` things.
pub fn push_growth(
    sample: &mut Sample,
    server: &impl Account,
    before: Option<Memory>,
    count: usize,
    [user, resident]: [Metric; 2],
) -> Result<()> {
    if let Some((before, after)) = before.zip(server.memory()?) {
        let each = |after: u64, before: u64| (after as f64 - before as f64) / count.max(1) as f64;
        sample.push(user, each(after.anonymous, before.anonymous));
        sample.push(resident, each(after.resident, before.resident));
    }
    Ok(())
}

/// Raises the number of files that this process, and a server it starts, may have open.
fn allow_files(connections: usize) -> Result<()> {
    let needed = connections as u64 + 100;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_none_or(|current| current >= needed) {
        return Ok(());
    }
    let wanted = Rlimit { current: maximum.map_or(Some(needed), |maximum| Some(maximum.min(needed))), maximum };
    setrlimit(Resource::Nofile, wanted)?;
    anyhow::ensure!(
        maximum.is_none_or(|maximum| maximum >= needed),
        "{connections} connections need {needed} open files, and {} are allowed: raise `ulimit -Hn`",
        maximum.unwrap_or_default()
    );
    Ok(())
}
