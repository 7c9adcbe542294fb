//! How many connections each shard has: read by the shard that accepts, to place the next one.

use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_utils::CachePadded;

/// Connections by shard, those on their way to it included.
#[derive(Debug)]
pub struct Gauges {
    connections: Box<[CachePadded<AtomicUsize>]>,
}

impl Gauges {
    /// All zero.
    pub fn new(shards: usize) -> Self {
        Gauges { connections: (0..shards).map(|_| CachePadded::new(AtomicUsize::new(0))).collect() }
    }

    /// One more on `shard`. Relaxed here and below: the numbers are only compared with each other.
    pub fn add(&self, shard: usize) {
        if let Some(gauge) = self.connections.get(shard) {
            gauge.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One less on `shard`.
    pub fn remove(&self, shard: usize) {
        if let Some(gauge) = self.connections.get(shard) {
            gauge.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Connections of the whole server.
    pub fn total(&self) -> usize {
        self.connections.iter().map(|gauge| gauge.load(Ordering::Relaxed)).sum()
    }

    /// The shard with the fewest connections; among equals the first from `start` on.
    pub fn least_loaded(&self, start: usize) -> usize {
        let count = self.connections.len().max(1);
        (0..count)
            .map(|step| (start + step) % count)
            .min_by_key(|shard| self.connections.get(*shard).map_or(usize::MAX, |gauge| gauge.load(Ordering::Relaxed)))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_go_to_the_emptiest() {
        let gauges = Gauges::new(3);
        assert_eq!(gauges.least_loaded(1), 1);
        gauges.add(1);
        gauges.add(2);
        assert_eq!(gauges.least_loaded(1), 0);
        gauges.add(0);
        gauges.add(0);
        gauges.remove(2);
        assert_eq!((gauges.least_loaded(0), gauges.total()), (2, 3));
    }
}
