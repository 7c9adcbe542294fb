//! A connection's subscriptions by the names that the client gave them.
//!
//! Each entry keeps a part of its name's hash, so that a table that grows need not look at a million names to put them in new places.

use hashbrown::HashTable;

use crate::interest::{LocalInterest, SubId};

/// A table with less room than this is not worth shrinking.
const SHRINK_ABOVE: usize = 1024;

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u32,
    id: SubId,
}

/// See the module. Names are compared in the shard's own table.
#[derive(Debug, Default)]
pub struct Sids {
    table: HashTable<Entry>,
}

fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Sids {
    /// Number of subscriptions.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// True without subscriptions.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The subscription of that name; `hash` is the name's.
    pub fn find(&self, local: &LocalInterest, hash: u64, sid: &[u8]) -> Option<SubId> {
        let hash = hash as u32;
        let is_it = |entry: &Entry| {
            entry.hash == hash && local.get(entry.id).is_some_and(|subscription| subscription.sid.as_bytes() == sid)
        };
        self.table.find(spread(hash), is_it).map(|entry| entry.id)
    }

    /// Takes in a subscription whose name is not there yet.
    pub fn insert(&mut self, hash: u64, id: SubId) {
        let hash = hash as u32;
        self.table.insert_unique(spread(hash), Entry { hash, id }, |entry| spread(entry.hash));
    }

    /// Takes out a subscription; a connection that once had a hundred thousand inboxes need not pay for them for ever.
    pub fn remove(&mut self, hash: u64, id: SubId) {
        if let Ok(entry) = self.table.find_entry(spread(hash as u32), |entry| entry.id == id) {
            entry.remove();
        }
        if self.table.capacity() > SHRINK_ABOVE && self.table.capacity() / 8 > self.table.len() {
            self.table.shrink_to(self.table.len() * 2, |entry| spread(entry.hash));
        }
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = SubId> {
        self.table.iter().map(|entry| entry.id)
    }

    /// Takes out all.
    pub fn take(&mut self) -> Vec<SubId> {
        std::mem::take(&mut self.table).into_iter().map(|entry| entry.id).collect()
    }
}
