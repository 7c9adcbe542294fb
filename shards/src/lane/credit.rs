//! The credit account of one ordered pair of shards: how many bytes the receiver has settled, and when to tell the sender.
//!
//! The sender alone knows how much it sent, the receiver alone adds to what is settled. A sender that waits leaves the
//! sum at which it wants to be told. Sums only grow, so exactly one settlement passes a given sum: nobody has to take a
//! registration back, and a registration that was overtaken is harmless.

use super::sync::{AtomicU64, Ordering};

pub(super) struct Credit {
    /// Bytes that the receiver no longer keeps alive, since the start.
    settled: AtomicU64,
    /// The sender wants to be told when `settled` passes this sum. What lies behind (0 at first) is never passed again.
    tell_at: AtomicU64,
}

impl Credit {
    pub(super) fn new() -> Self {
        Credit { settled: AtomicU64::new(0), tell_at: AtomicU64::new(0) }
    }

    /// The sender: what has been settled so far, or somewhat less.
    pub(super) fn settled(&self) -> u64 {
        // Relaxed: only the number is used. That a sender which was told sees it comes with the doorbell's Release/Acquire.
        self.settled.load(Ordering::Relaxed)
    }

    /// The receiver: `bytes` more are settled. `true`: the sender waits for this and must be told.
    pub(super) fn settle(&self, bytes: u64) -> bool {
        // Acquire: partner of the Release in `tell_at`. Both are read-modify-writes of the same word: if ours is the
        // later one, we see the sender's `tell_at`; if it is the earlier one, the sender sees our sum.
        let before = self.settled.fetch_add(bytes, Ordering::Acquire);
        // Relaxed: ordered by the Acquire above.
        let tell_at = self.tell_at.load(Ordering::Relaxed);
        before < tell_at && tell_at <= before + bytes
    }

    /// The sender: asks to be told when `sum` is settled. `false`: it is already, and nobody will tell.
    pub(super) fn tell_at(&self, sum: u64) -> bool {
        // Relaxed: published by the Release below.
        self.tell_at.store(sum, Ordering::Relaxed);
        // Adds nothing, but takes part in the word's order. Release: partner of the Acquire in `settle`.
        self.settled.fetch_add(0, Ordering::Release) < sum
    }
}
