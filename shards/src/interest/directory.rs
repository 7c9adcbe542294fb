//! The directory: which shards want a subject.
//!
//! One for the whole server, cut into partitions by the keys of [`super::keys`]. Only a shard's own first and last interest in a subject
//! come here, so ten thousand subscribers to one subject are at most one entry per shard. Readers come on a cache miss and hold one
//! partition's read lock for one look-up; between misses they only compare versions ([`Versions`]).
//!
//! The directory may answer too much, never too little: literals are kept by hash alone, and exactness lives in the shards' own tables.
//! A change is complete before its version changes, and both happen before the subscription's next operation.

use std::sync::Arc;

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::RwLock;
use rustc_hash::FxBuildHasher;
use slab::Slab;
use smallvec::SmallVec;

use super::holders::Holders;
use super::keys::{Hasher, InterestKey, SubjectKeys};
use super::literals::{Literals, SHRINK_ABOVE};
use super::ring::{self, PARTITIONS};
use super::sid::SidHint;
use super::trie::Trie;
use crate::account::AccountId;
use crate::lane::counts::GroupCounts;
use crate::lane::versions::Versions;

/// Version slots, as a power of two: 32768 slots, so one newcomer's literal refills one cached subject in 32768.
const VERSION_SLOTS_LOG2: u32 = 15;

/// What other shards want of one subject.
#[derive(Debug, Default)]
pub struct Remote {
    /// Other shards with plain subscriptions.
    pub shards: SmallVec<[u16; 8]>,
    /// The sid of a subscriber there.
    pub sid: SidHint,
    /// Queue groups, with the counts of all shards, the asking one included. One entry for each pattern.
    pub groups: SmallVec<[NamedGroup; 2]>,
}

/// A queue group's name and its members by shard.
pub type NamedGroup = (Arc<[u8]>, Arc<GroupCounts>);

impl Remote {
    fn clear(&mut self) {
        self.shards.clear();
        self.sid = SidHint::default();
        self.groups.clear();
    }
}

/// See the module.
#[derive(Debug)]
pub struct Directory {
    shards: usize,
    hasher: Hasher,
    partitions: Box<[RwLock<Partition>]>,
    versions: Versions,
}

/// Keys are hashes already, of a seeded function, so the table need not hash again.
#[derive(Debug, Default)]
struct Partition {
    literals: Literals,
    literal_groups: HashMap<u64, Groups, FxBuildHasher>,
    patterns: HashMap<u64, Patterns, FxBuildHasher>,
}

/// The patterns under one key.
#[derive(Debug, Default)]
struct Patterns {
    trie: Trie,
    topics: Slab<PatternTopic>,
}

#[derive(Debug, Default)]
struct PatternTopic {
    holders: Holders,
    groups: Groups,
}

/// Queue groups of one subject or pattern.
#[derive(Debug, Default)]
struct Groups(Vec<NamedGroup>);

impl Groups {
    /// The group's counts, and whether it is new.
    fn join(&mut self, name: &Arc<[u8]>, shards: usize) -> (Arc<GroupCounts>, bool) {
        if let Some((_, counts)) = self.0.iter().find(|(group, _)| group == name) {
            return (Arc::clone(counts), false);
        }
        let counts = Arc::new(GroupCounts::new(shards));
        self.0.push((Arc::clone(name), Arc::clone(&counts)));
        (counts, true)
    }

    fn leave(&mut self, name: &[u8]) {
        self.0.retain(|(group, counts)| &**group != name || !counts.is_empty());
    }
}

/// One interest of one shard.
#[derive(Clone, Copy, Debug)]
pub struct Interest<'a> {
    /// Its key.
    pub key: InterestKey,
    /// Literal or pattern.
    pub pattern: &'a [u8],
    /// Shard that has it.
    pub shard: usize,
    /// Its first subscriber's sid.
    pub sid: SidHint,
}

impl Directory {
    /// An empty directory for `shards` shards. `seed` makes the server's hash function.
    pub fn new(shards: usize, seed: u64) -> Self {
        Directory {
            shards,
            hasher: Hasher::new(seed),
            partitions: (0..PARTITIONS).map(|_| RwLock::default()).collect(),
            versions: Versions::new(VERSION_SLOTS_LOG2),
        }
    }

    /// The server's hash function.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// True if there is no other shard to ask about.
    pub fn is_alone(&self) -> bool {
        self.shards == 1
    }

    /// Versions by key.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    fn partition(&self, key: u64) -> &RwLock<Partition> {
        // `partition_of` answers below PARTITIONS.
        &self.partitions[ring::partition_of(key)]
    }

    /// A shard's first plain subscription to a subject or pattern.
    pub fn add(&self, interest: Interest<'_>) {
        if self.is_alone() {
            return;
        }
        let slot = self.versions.slot_of(interest.key.hash);
        {
            let mut partition = self.partition(interest.key.hash).write();
            partition.add(&interest);
            self.versions.add(slot);
            self.versions.bump(slot);
        }
    }

    /// A shard's last plain subscription to it is gone.
    pub fn remove(&self, interest: Interest<'_>) {
        if self.is_alone() {
            return;
        }
        let slot = self.versions.slot_of(interest.key.hash);
        {
            let mut partition = self.partition(interest.key.hash).write();
            partition.remove(&interest);
            self.versions.remove(slot);
            self.versions.bump(slot);
        }
    }

    /// A shard's first member in a queue group. The count in the answer stays the group's as long as the shard has a member: it is
    /// changed in place for further ones. The first member is counted here.
    pub fn join(&self, interest: Interest<'_>, name: &Arc<[u8]>) -> Arc<GroupCounts> {
        let slot = self.versions.slot_of(interest.key.hash);
        let mut partition = self.partition(interest.key.hash).write();
        let (counts, new) = partition.groups(&interest).join(name, self.shards);
        counts.add(interest.shard);
        if new {
            self.versions.add(slot);
        }
        self.versions.bump(slot);
        counts
    }

    /// A shard's last member of a queue group is gone; its count is taken down here.
    pub fn leave(&self, interest: Interest<'_>, name: &[u8], counts: &GroupCounts) {
        let slot = self.versions.slot_of(interest.key.hash);
        let mut partition = self.partition(interest.key.hash).write();
        counts.remove(interest.shard);
        if counts.is_empty() {
            partition.groups(&interest).leave(name);
            partition.forget_if_empty(&interest);
            self.versions.remove(slot);
        }
        self.versions.bump(slot);
    }

    /// Who else wants this subject, under all of its keys. `out` is overwritten.
    pub fn look_up(&self, _account: AccountId, keys: &SubjectKeys, subject: &[u8], asking: usize, out: &mut Remote) {
        out.clear();
        let asking = asking as u16;
        // A slot in which nobody has any interest needs no lock: the common case of a subject that was never seen before.
        if !self.versions.is_empty(self.versions.slot_of(keys.literal)) {
            let partition = self.partition(keys.literal).read();
            partition.literals.others(keys.literal, asking, out);
            if let Some(groups) = partition.literal_groups.get(&keys.literal) {
                out.groups.extend(groups.0.iter().cloned());
            }
        }
        let [_, two, one, broad] = keys.all();
        // With one token the two prefixes are the same key.
        let prefixes = if two == one { [None, Some(one), Some(broad)] } else { [Some(two), Some(one), Some(broad)] };
        for key in prefixes.into_iter().flatten() {
            if self.versions.is_empty(self.versions.slot_of(key)) {
                continue;
            }
            let partition = self.partition(key).read();
            let Some(patterns) = partition.patterns.get(&key) else { continue };
            patterns.trie.matches(subject, &mut |topic| {
                if let Some(topic) = patterns.topics.get(topic as usize) {
                    topic.holders.others(asking, out);
                    out.groups.extend(topic.groups.0.iter().cloned());
                }
            });
        }
    }

    /// True if nothing is left of what was ever added.
    #[cfg(test)]
    pub(super) fn is_forgotten(&self) -> bool {
        let bare = |lock: &RwLock<Partition>| {
            let partition = lock.read();
            partition.literals.is_empty() && partition.literal_groups.is_empty() && partition.patterns.is_empty()
        };
        self.partitions.iter().all(bare) && (0..1 << VERSION_SLOTS_LOG2).all(|slot| self.versions.is_empty(slot))
    }

    /// Gives back memory that a partition does not need any more. Each shard calls it now and then for the partitions that the ring
    /// gives it, a few at a time.
    pub fn upkeep(&self, partition: usize) {
        let Some(lock) = self.partitions.get(partition) else { return };
        // Whoever is busy with it has better things to do; there is a next time.
        if let Some(mut partition) = lock.try_write() {
            let Partition { literals, literal_groups, patterns } = &mut *partition;
            literals.shrink();
            if literal_groups.capacity() > SHRINK_ABOVE && literal_groups.capacity() / 4 > literal_groups.len() {
                literal_groups.shrink_to(literal_groups.len() * 2);
            }
            for patterns in patterns.values_mut() {
                patterns.topics.shrink_to_fit();
            }
        }
    }
}

impl Partition {
    fn add(&mut self, interest: &Interest<'_>) {
        let shard = interest.shard as u16;
        if interest.key.literal {
            self.literals.add(interest.key.hash, shard, interest.sid);
        } else {
            self.topic(interest).holders.add(shard, interest.sid);
        }
    }

    fn remove(&mut self, interest: &Interest<'_>) {
        let shard = interest.shard as u16;
        if interest.key.literal {
            self.literals.remove(interest.key.hash, shard);
        } else {
            self.topic(interest).holders.remove(shard);
            self.forget_if_empty(interest);
        }
    }

    fn groups(&mut self, interest: &Interest<'_>) -> &mut Groups {
        if interest.key.literal {
            self.literal_groups.entry(interest.key.hash).or_default()
        } else {
            &mut self.topic(interest).groups
        }
    }

    fn topic(&mut self, interest: &Interest<'_>) -> &mut PatternTopic {
        let patterns = self.patterns.entry(interest.key.hash).or_default();
        let topic = match patterns.trie.get(interest.pattern) {
            Some(topic) => topic,
            None => {
                let topic = patterns.topics.insert(PatternTopic::default()) as u32;
                patterns.trie.insert(interest.pattern, topic);
                topic
            }
        };
        // The trie and the slab change together.
        &mut patterns.topics[topic as usize]
    }

    fn forget_if_empty(&mut self, interest: &Interest<'_>) {
        let key = interest.key.hash;
        if interest.key.literal {
            if let Entry::Occupied(entry) = self.literal_groups.entry(key)
                && entry.get().0.is_empty()
            {
                entry.remove();
            }
            return;
        }
        let Entry::Occupied(mut entry) = self.patterns.entry(key) else { return };
        let patterns = entry.get_mut();
        if let Some(topic) = patterns.trie.get(interest.pattern)
            && patterns.topics.get(topic as usize).is_some_and(|t| t.holders.is_nobody() && t.groups.0.is_empty())
        {
            patterns.trie.remove(interest.pattern);
            patterns.topics.remove(topic as usize);
        }
        if patterns.trie.is_empty() {
            entry.remove();
        }
    }
}
