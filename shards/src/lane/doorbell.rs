//! One shard's doorbell: is there something to look at, and does the shard have to be woken for it?
//!
//! A word with three positions. Every change is a read-modify-write, and these have one total order per word: a ring is
//! either found by the shard (which then looks) or finds the shard's announcement (and wakes it). That is why no
//! sequentially consistent fence is needed, where two words (flag and announcement) would need one on either side.

use super::sync::{AtomicU8, Ordering};

/// Nothing was rung since the shard last looked; it runs.
const QUIET: u8 = 0;
/// Rung: something was sent, released or settled since the shard last looked.
const RUNG: u8 = 1;
/// The shard sleeps or is about to; who rings must wake it.
const ASLEEP: u8 = 2;

pub(super) struct Doorbell(AtomicU8);

impl Doorbell {
    pub(super) fn new() -> Self {
        Doorbell(AtomicU8::new(QUIET))
    }

    /// Anybody, after what there is to see has been done. `true`: the caller must wake the shard.
    pub(super) fn ring(&self) -> bool {
        // Release: what was done before the ring is seen by who answers it (Acquire in `answer`). When several ring
        // before one answer, the answer sees what all of them did, because swaps continue each other's release sequence;
        // with plain stores it would see the last one's alone.
        self.0.swap(RUNG, Ordering::Release) == ASLEEP
    }

    /// The shard, without changing anything: would [`Doorbell::answer`] find it rung?
    pub(super) fn is_rung(&self) -> bool {
        // Relaxed: only a hint; who acts on it goes through `answer`, whose Acquire is the partner of `ring`.
        self.0.load(Ordering::Relaxed) == RUNG
    }

    /// The shard, before it looks at its inbox: back to quiet. `false`: it was not rung.
    pub(super) fn answer(&self) -> bool {
        // Acquire: partner of the Release in `ring`. Only the shard itself leaves RUNG, so the swap cannot hit ASLEEP.
        self.is_rung() && self.0.swap(QUIET, Ordering::Acquire) == RUNG
    }

    /// The shard, before it polls: announces that it sleeps. `false`: it was rung meanwhile.
    pub(super) fn announce_sleep(&self) -> bool {
        // Relaxed: nothing but the word itself is told. A ring before it makes it fail (and will be answered); a ring
        // after it finds ASLEEP.
        self.0.compare_exchange(QUIET, ASLEEP, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// The shard, after it polled: takes the announcement back, unless somebody took it by ringing.
    pub(super) fn awake(&self) {
        // Relaxed: as in `announce_sleep`; a ring that came first stays where it is, for `answer`.
        let _ = self.0.compare_exchange(ASLEEP, QUIET, Ordering::Relaxed, Ordering::Relaxed);
    }
}
