//! Numbers of connections: clients and routes count together, whichever thread accepts or dials them.

use std::sync::atomic::{AtomicU64, Ordering};

/// The reference's own clients per account take the numbers before.
const FIRST: u64 = 5;

/// Gives each connection of the server a number of its own (`cid`, `rid`).
#[derive(Debug)]
pub struct ConnectionIds {
    next: AtomicU64,
}

impl ConnectionIds {
    /// No connection has come yet.
    pub fn new() -> Self {
        ConnectionIds { next: AtomicU64::new(FIRST) }
    }

    /// The next number. Relaxed: it only has to differ from all others.
    pub fn take(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl Default for ConnectionIds {
    fn default() -> Self {
        Self::new()
    }
}
