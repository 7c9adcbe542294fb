//! What a run yields: metrics, and their medians and ratios over several runs.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::cpu::{self, Account};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nanoseconds.
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Something per second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// A share, 1 being the whole.
    Share,
    /// How many of something there are for each of something else.
    Each,
}

impl Unit {
    /// The unit as a word for machines.
    pub fn name(self) -> &'static str {
        match self {
            Unit::Nanoseconds => "ns",
            Unit::Microseconds => "us",
            Unit::PerSecond => "1/s",
            Unit::Bytes => "bytes",
            Unit::Share => "share",
            Unit::Each => "each",
        }
    }

    /// A number of this unit for people.
    pub fn show(self, value: f64) -> String {
        match self {
            Unit::Nanoseconds => format!("{value:.1} ns"),
            Unit::Microseconds if value >= 1e4 => format!("{:.1} ms", value / 1e3),
            Unit::Microseconds => format!("{value:.1} µs"),
            Unit::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Unit::PerSecond if value >= 1e4 => format!("{:.0} k/s", value / 1e3),
            Unit::PerSecond => format!("{value:.0} /s"),
            Unit::Bytes if value.abs() >= 1e7 => format!("{:.1} MiB", value / 1_048_576.0),
            Unit::Bytes if value.abs() >= 1e4 => format!("{:.1} KiB", value / 1024.0),
            Unit::Bytes => format!("{value:.0} B"),
            Unit::Share => format!("{:.1} %", value * 100.0),
            // As many digits as tell one surplus among many thousands.
            Unit::Each => format!("{value:.6}").trim_end_matches('0').trim_end_matches('.').to_string(),
        }
    }
}

/// Something that is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// For machines.
    pub key: &'static str,
    /// For people.
    pub title: &'static str,
    /// What it counts.
    pub unit: Unit,
}

/// Delivered messages per second.
pub const RATE: Metric = Metric { key: "delivered_per_s", title: "delivered messages", unit: Unit::PerSecond };
/// Processor time of the server per delivered message.
pub const CPU_PER_MESSAGE: Metric =
    Metric { key: "server_cpu_ns_per_message", title: "server CPU per delivered message", unit: Unit::Nanoseconds };
/// Cores that the server kept busy.
pub const SERVER_BUSY: Metric = Metric { key: "server_busy", title: "server busy (of one core)", unit: Unit::Share };
/// Cores that the load generator kept busy.
pub const LOAD_BUSY: Metric = Metric { key: "load_busy", title: "load busy (of one core)", unit: Unit::Share };
/// Resident memory of the server.
pub const RESIDENT: Metric = Metric { key: "resident_bytes", title: "server resident memory", unit: Unit::Bytes };
/// Anonymous resident memory of the server.
pub const ANONYMOUS: Metric = Metric { key: "anonymous_bytes", title: "server user memory", unit: Unit::Bytes };

/// The metrics of one run, in the order in which they are shown.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<(Metric, f64)>);

impl Sample {
    /// Adds a metric.
    pub fn push(&mut self, metric: Metric, value: f64) {
        self.0.push((metric, value));
    }

    /// Adds what the server holds in memory now.
    pub fn push_memory(&mut self, server: &impl Account) -> Result<()> {
        if let Some(memory) = server.memory()? {
            self.push(RESIDENT, memory.resident as f64);
            self.push(ANONYMOUS, memory.anonymous as f64);
        }
        Ok(())
    }

    fn get(&self, key: &str) -> Option<f64> {
        self.0.iter().find(|(metric, _)| metric.key == key).map(|(_, value)| *value)
    }
}

/// What a stretch of time cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Time on the wall.
    pub wall: Duration,
    /// Processor time of the server, if its process is known.
    pub server: Option<Duration>,
    /// Processor time of the load generator.
    pub load: Duration,
}

/// Runs `work` and tells what it cost.
pub fn cost_of<T>(server: &impl Account, work: impl FnOnce() -> Result<T>) -> Result<(Cost, T)> {
    let own = std::process::id();
    let (load, start, before) = (cpu::processor_time(own)?, Instant::now(), server.processor_time()?);
    let result = work()?;
    let (after, wall, load_after) = (server.processor_time()?, start.elapsed(), cpu::processor_time(own)?);
    let used = before.zip(after).map(|(before, after)| after.saturating_sub(before));
    Ok((Cost { wall, server: used, load: load_after.saturating_sub(load) }, result))
}

impl Cost {
    /// Adds rate, processor time per message and who was busy to a sample.
    pub fn push_to(&self, sample: &mut Sample, messages: u64) {
        let wall = self.wall.as_secs_f64();
        sample.push(RATE, messages as f64 / wall);
        if let Some(server) = self.server {
            sample.push(CPU_PER_MESSAGE, server.as_nanos() as f64 / messages.max(1) as f64);
            sample.push(SERVER_BUSY, server.as_secs_f64() / wall);
        }
        sample.push(LOAD_BUSY, self.load.as_secs_f64() / wall);
    }
}

/// Median and spread of one metric over several runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle value, or the mean of the two middle ones.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

impl Spread {
    /// Of some values, or `None` if there are none.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (low, high) = (values.get((values.len() - 1) / 2)?, values.get(values.len() / 2)?);
        Some(Spread { median: (low + high) / 2.0, min, max })
    }

    /// Median and spread with their unit.
    pub fn show(&self, unit: Unit) -> String {
        if self.min == self.max {
            return unit.show(self.median);
        }
        format!("{} ({} – {})", unit.show(self.median), unit.show(self.min), unit.show(self.max))
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} × ({:.2} – {:.2})", self.median, self.min, self.max)
    }
}

/// All runs of one side.
#[derive(Clone, Debug)]
pub struct Series {
    /// Name of the side.
    pub name: String,
    /// Whether the side is the floor, against which the others are held.
    pub is_floor: bool,
    /// One sample a run.
    pub samples: Vec<Sample>,
}

impl Series {
    /// The metrics of its runs.
    pub fn metrics(&self) -> Vec<Metric> {
        self.samples.first().map(|sample| sample.0.iter().map(|(metric, _)| *metric).collect()).unwrap_or_default()
    }

    /// All values of a metric, in the order of the runs.
    pub fn values(&self, metric: Metric) -> Vec<f64> {
        self.samples.iter().filter_map(|sample| sample.get(metric.key)).collect()
    }

    /// Median and spread of a metric.
    pub fn spread(&self, metric: Metric) -> Option<Spread> {
        Spread::of(self.values(metric))
    }

    /// Of a metric, this side divided by another one, run by run.
    pub fn ratio(&self, other: &Series, metric: Metric) -> Option<Spread> {
        let pairs = self.values(metric).into_iter().zip(other.values(metric));
        Spread::of(pairs.filter(|(_, below)| *below != 0.0).map(|(above, below)| above / below).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads() {
        assert_eq!(Spread::of(vec![3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of(vec![4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(vec![]), None);
    }

    #[test]
    fn ratios_go_run_by_run() {
        let series = |values: [f64; 3]| {
            let samples = values.map(|value| Sample(vec![(RATE, value)])).to_vec();
            Series { name: String::new(), is_floor: false, samples }
        };
        let ratio = series([10.0, 40.0, 90.0]).ratio(&series([1.0, 2.0, 3.0]), RATE).unwrap();
        assert_eq!(ratio, Spread { median: 20.0, min: 10.0, max: 30.0 });
    }

    #[test]
    fn cost_per_message() {
        let cost = Cost {
            wall: Duration::from_secs(2),
            server: Some(Duration::from_secs(1)),
            load: Duration::from_millis(500),
        };
        let mut sample = Sample::default();
        cost.push_to(&mut sample, 10_000_000);
        assert_eq!(sample.get(CPU_PER_MESSAGE.key), Some(100.0));
        assert_eq!(sample.get(RATE.key), Some(5e6));
        assert_eq!(sample.get(LOAD_BUSY.key), Some(0.25));
    }
}
