//! What the kernel says about this process: memory, and how much of a core it uses.

use std::fs;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Shares of a core are measured over this many seconds at least.
const SPAN_SECONDS: f64 = 1.0;
/// What a kernel's clock tick is for programs, whatever it is inside.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resident bytes; 0 where the kernel does not tell.
pub fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes: u64 = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
    kilobytes.saturating_mul(1024)
}

/// How much of a core was used between two looks.
#[derive(Debug)]
pub struct CpuMeter {
    last: Mutex<Reading>,
}

#[derive(Debug)]
struct Reading {
    at: Instant,
    ticks: f64,
    percent: f64,
}

impl CpuMeter {
    /// Begins to measure.
    pub fn new() -> Self {
        CpuMeter { last: Mutex::new(Reading { at: Instant::now(), ticks: ticks(), percent: 0.0 }) }
    }

    /// Percent of one core since the last look that is a second old, one decimal.
    pub fn percent(&self) -> f64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = last.at.elapsed().as_secs_f64();
        if seconds >= SPAN_SECONDS {
            let now = ticks();
            let percent = (now - last.ticks) / TICKS_PER_SECOND / seconds * 100.0;
            *last = Reading { at: Instant::now(), ticks: now, percent: (percent * 10.0).round() / 10.0 };
        }
        last.percent
    }
}

impl Default for CpuMeter {
    fn default() -> Self {
        Self::new()
    }
}

/// Time in user and kernel mode: fields 14 and 15, counted from behind the name, which may contain blanks.
fn ticks() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_tells() {
        assert!(memory() > 100_000);
        let start = Instant::now();
        while ticks() == 0.0 {
            assert!(start.elapsed().as_secs() < 10, "this loop must cost some ticks");
        }
        assert!(CpuMeter::new().percent() >= 0.0);
    }
}
