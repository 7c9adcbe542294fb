//! Versions of the directory: how a shard knows, without a lock, that what it remembers is still so.
//!
//! Interest is hashed to *slots*. Each slot has a version, and all slots together one *generation*: while the generation
//! stands still nothing changed anywhere, and when it moves, only what hangs on a changed slot is forgotten. A slot also
//! counts the interests in it, so that a subject never seen before needs no lock if nobody wants anything that hashes there.
//!
//! # The rule of writers
//!
//! Change the partition under its lock, count the interest ([`Versions::add`], [`Versions::remove`]), and then
//! [`Versions::bump`]. With that the change is complete.
//!
//! # The rule of readers
//!
//! Load the generation first, then the versions of the slots, and only then read the partition (or
//! [`Versions::is_empty`]); remember all three. Later: if the generation is the remembered one, the result is good. If
//! not, compare the slots: if they are the remembered ones, the result is good, and the generation *loaded before the
//! comparison* is remembered in place of the old one. Otherwise, read again.
//!
//! What it gives: whoever knows, by whatever way, that a change is complete never uses a result from before the change.
//! For the generation then differs from the remembered one, unless that one was loaded after the bump; and a result
//! whose versions were loaded after the bump was read after the change.

use super::sync::{AtomicU32, AtomicU64, Ordering};

/// Not padded: slots are read by all and seldom written, and packed ones need less of everybody's cache.
struct Slot {
    version: AtomicU64,
    interests: AtomicU32,
}

/// Slot versions, their generation, and the number of interests per slot.
pub struct Versions {
    /// A power of two.
    slots: Box<[Slot]>,
    /// On a line of its own: every look-up of every shard loads it.
    generation: crossbeam_utils::CachePadded<AtomicU64>,
}

impl std::fmt::Debug for Versions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Versions").field("slots", &self.slots.len()).finish_non_exhaustive()
    }
}

impl Versions {
    /// `2^slots_log2` slots, all empty.
    pub fn new(slots_log2: u32) -> Self {
        let slot = |_| Slot { version: AtomicU64::new(0), interests: AtomicU32::new(0) };
        Versions {
            slots: (0..1u32 << slots_log2).map(slot).collect(),
            generation: crossbeam_utils::CachePadded::new(AtomicU64::new(0)),
        }
    }

    /// The slot of a hash: its low bits.
    pub fn slot_of(&self, hash: u64) -> u32 {
        (hash & (self.slots.len() as u64 - 1)) as u32
    }

    /// The version of a slot.
    ///
    /// # Panics
    /// Like all that take a slot: if it does not come from [`Versions::slot_of`] of this table.
    pub fn get(&self, slot: u32) -> u64 {
        // Acquire: partner of the Release on `version` in `bump`; who sees the version sees the change.
        self.slots[slot as usize].version.load(Ordering::Acquire)
    }

    /// The number of changes so far, over all slots.
    pub fn generation(&self) -> u64 {
        // Acquire: partner of the Release on `generation` in `bump`; who sees it sees the slot's new version too.
        self.generation.load(Ordering::Acquire)
    }

    /// A writer, after its change is complete: makes all that was remembered about this slot old.
    pub fn bump(&self, slot: u32) {
        // Release: partner of the Acquire in `get`.
        self.slots[slot as usize].version.fetch_add(1, Ordering::Release);
        // After the version: a look in between must not find a version that is still good for a new generation.
        // Release: partner of the Acquire in `generation`. Read-modify-write, so that who sees the bump of a later
        // writer sees this one too.
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// A writer, before [`Versions::bump`]: one more interest hashes here.
    pub fn add(&self, slot: u32) {
        // Relaxed: published by the Release in `bump`.
        self.slots[slot as usize].interests.fetch_add(1, Ordering::Relaxed);
    }

    /// A writer, before [`Versions::bump`]: one of the interests counted by [`Versions::add`] is gone.
    pub fn remove(&self, slot: u32) {
        // Relaxed: published by the Release in `bump`.
        self.slots[slot as usize].interests.fetch_sub(1, Ordering::Relaxed);
    }

    /// Does no complete interest hash here? To be asked where the partition would be read: after the versions.
    pub fn is_empty(&self, slot: u32) -> bool {
        // Relaxed: the number alone is used; the Acquire loads of the versions before it make it new enough.
        self.slots[slot as usize].interests.load(Ordering::Relaxed) == 0
    }
}
