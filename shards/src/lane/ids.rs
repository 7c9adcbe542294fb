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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::thread;

    use super::*;

    #[test]
    fn no_number_is_given_twice() {
        let ids = ConnectionIds::new();
        let taken = thread::scope(|scope| {
            let takers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| (0..1000).map(|_| ids.take()).collect::<Vec<_>>())).collect();
            takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect::<HashSet<_>>()
        });
        assert_eq!((taken.len(), taken.iter().min()), (4000, Some(&FIRST)));
    }
}
