//! How many members a queue group has on each shard.
//!
//! Presence alone would give a shard with one member as many messages as a shard with nine, so the publisher's shard picks by these counts.
//! They change with every member that comes or goes, without a new version: a pick by a count that is a moment old is only a pick, and the
//! target finds another member if the one it was meant for is gone.

use std::sync::atomic::{AtomicU32, Ordering};

/// Members of one queue group on one subject or pattern, shard by shard.
#[derive(Debug)]
pub struct GroupCounts {
    shards: Box<[AtomicU32]>,
}

impl GroupCounts {
    /// All zero.
    pub fn new(shards: usize) -> Self {
        GroupCounts { shards: (0..shards).map(|_| AtomicU32::new(0)).collect() }
    }

    /// One more member on `shard`.
    pub fn add(&self, shard: usize) {
        if let Some(count) = self.shards.get(shard) {
            // Relaxed, as in the others: nothing is published through a count, the directory's lock and versions do that.
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One member less on `shard`; only its own shard calls this, for a member that it added.
    pub fn remove(&self, shard: usize) {
        if let Some(count) = self.shards.get(shard) {
            count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Members on `shard`.
    pub fn get(&self, shard: usize) -> u32 {
        self.shards.get(shard).map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// True when no shard has a member.
    pub fn is_empty(&self) -> bool {
        self.shards.iter().all(|count| count.load(Ordering::Relaxed) == 0)
    }
}
