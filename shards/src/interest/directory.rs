//! The directory: which shards and which peers want a subject.
//!
//! One for the whole server, cut into partitions by the keys of [`super::keys`]. Only a shard's own first and last interest in a subject
//! come here, so ten thousand subscribers to one subject are at most one entry per shard; and what each route tells of its peer's interest.
//! Readers come on a cache miss and hold one partition's read lock for one look-up; between misses they only compare versions
//! ([`Versions`]).
//!
//! The directory may answer too much, never too little: literals are kept by hash alone, and exactness lives in the shards' own tables
//! and in those of the routes.
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
use crate::config::MAX_SHARDS;
use crate::lane::counts::GroupCounts;
use crate::lane::versions::Versions;

/// Version slots, as a power of two: 32768 slots, so one newcomer's literal refills one cached subject in 32768.
const VERSION_SLOTS_LOG2: u32 = 15;

/// The numbers of holders from here on are those of peers.
const PEERS_FROM: u16 = MAX_SHARDS as u16;

/// A peer's number among those who hold interest: shards come first.
pub fn peer_holder(peer: u16) -> u16 {
    PEERS_FROM.saturating_add(peer)
}

/// What others want of one subject.
#[derive(Debug, Default)]
pub struct Remote {
    /// Other shards with plain subscriptions.
    pub shards: SmallVec<[u16; 8]>,
    /// Peers with plain interest.
    pub peers: SmallVec<[u16; 4]>,
    /// The sid of a subscriber there.
    pub sid: SidHint,
    /// Queue groups, one entry for each pattern.
    pub groups: SmallVec<[RemoteGroup; 2]>,
}

/// A queue group on one subject or pattern.
#[derive(Clone, Debug)]
pub struct RemoteGroup {
    /// Its name.
    pub name: Arc<[u8]>,
    /// Members by shard, the asking one included.
    pub counts: Arc<GroupCounts>,
    /// Members by peer. Unlike the counts these change with a new version only.
    pub peers: PeerWeights,
}

/// How many members of a queue group peers have.
pub type PeerWeights = SmallVec<[(u16, u32); 2]>;

impl Remote {
    /// A holder that was found.
    pub(super) fn note(&mut self, holder: u16, asking: u16, sid: SidHint) {
        if let Some(peer) = holder.checked_sub(PEERS_FROM) {
            if !self.peers.contains(&peer) {
                self.peers.push(peer);
            }
        } else if holder != asking && !self.shards.contains(&holder) {
            self.shards.push(holder);
            self.sid = sid;
        }
    }

    fn clear(&mut self) {
        self.shards.clear();
        self.peers.clear();
        self.sid = SidHint::default();
        self.groups.clear();
    }
}

/// See the module.
#[derive(Debug)]
pub struct Directory {
    shards: usize,
    clustered: bool,
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
struct Groups(Vec<RemoteGroup>);

impl Groups {
    /// The group, and whether it is new.
    fn find_or_add(&mut self, name: &Arc<[u8]>, shards: usize) -> (&mut RemoteGroup, bool) {
        let found = self.0.iter().position(|group| group.name == *name);
        let at = found.unwrap_or_else(|| {
            let counts = Arc::new(GroupCounts::new(shards));
            self.0.push(RemoteGroup { name: Arc::clone(name), counts, peers: SmallVec::new() });
            self.0.len() - 1
        });
        // Found, or just pushed.
        (&mut self.0[at], found.is_none())
    }

    /// Forgets a group without members; true if there was one.
    fn forget_if_empty(&mut self, name: &[u8]) -> bool {
        let before = self.0.len();
        self.0.retain(|group| *group.name != *name || !group.is_empty());
        self.0.len() < before
    }
}

impl RemoteGroup {
    fn is_empty(&self) -> bool {
        self.counts.is_empty() && self.peers.is_empty()
    }

    /// A peer's members, changed by this many.
    fn weigh(&mut self, peer: u16, change: i64) {
        let at = self.peers.iter().position(|(other, _)| *other == peer);
        let before = at.and_then(|at| self.peers.get(at)).map_or(0, |(_, weight)| i64::from(*weight));
        let weight = u32::try_from(before.saturating_add(change).max(0)).unwrap_or(u32::MAX);
        match at {
            Some(at) if weight == 0 => {
                self.peers.swap_remove(at);
            }
            Some(at) => self.peers[at].1 = weight,
            None if weight > 0 => self.peers.push((peer, weight)),
            None => {}
        }
    }
}

/// One interest of one holder.
#[derive(Clone, Copy, Debug)]
pub struct Interest<'a> {
    /// Its key.
    pub key: InterestKey,
    /// Literal or pattern.
    pub pattern: &'a [u8],
    /// Shard that has it, or [`peer_holder`].
    pub holder: u16,
    /// Its first subscriber's sid.
    pub sid: SidHint,
}

impl Directory {
    /// An empty directory for `shards` shards, and peers if `clustered`. `seed` makes the server's hash function.
    pub fn new(shards: usize, clustered: bool, seed: u64) -> Self {
        Directory {
            shards,
            clustered,
            hasher: Hasher::new(seed),
            partitions: (0..PARTITIONS).map(|_| RwLock::default()).collect(),
            versions: Versions::new(VERSION_SLOTS_LOG2),
        }
    }

    /// The server's hash function.
    pub fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    /// True if there is no other shard and no peer to ask about.
    pub fn is_alone(&self) -> bool {
        self.shards == 1 && !self.clustered
    }

    /// True if there may be peers.
    pub fn is_clustered(&self) -> bool {
        self.clustered
    }

    /// True if the only holder that could ask about this interest is the one that has it.
    fn is_of_no_interest(&self, interest: &Interest<'_>) -> bool {
        self.shards == 1 && interest.holder < PEERS_FROM
    }

    /// Versions by key.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    fn partition(&self, key: u64) -> &RwLock<Partition> {
        // `partition_of` answers below PARTITIONS.
        &self.partitions[ring::partition_of(key)]
    }

    /// A holder's first plain subscription to a subject or pattern.
    pub fn add(&self, interest: Interest<'_>) {
        if self.is_of_no_interest(&interest) {
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

    /// A holder's last plain subscription to it is gone.
    pub fn remove(&self, interest: Interest<'_>) {
        if self.is_of_no_interest(&interest) {
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
        let (group, new) = partition.groups(&interest).find_or_add(name, self.shards);
        let counts = Arc::clone(&group.counts);
        counts.add(usize::from(interest.holder));
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
        counts.remove(usize::from(interest.holder));
        self.forget_group_if_empty(&mut partition, &interest, name);
        self.versions.bump(slot);
    }

    /// A route told of more or fewer members that its peer has in a queue group.
    pub fn weigh(&self, interest: Interest<'_>, peer: u16, name: &Arc<[u8]>, change: i64) {
        let slot = self.versions.slot_of(interest.key.hash);
        let mut partition = self.partition(interest.key.hash).write();
        let (group, new) = partition.groups(&interest).find_or_add(name, self.shards);
        group.weigh(peer, change);
        if new {
            self.versions.add(slot);
        }
        self.forget_group_if_empty(&mut partition, &interest, name);
        self.versions.bump(slot);
    }

    fn forget_group_if_empty(&self, partition: &mut Partition, interest: &Interest<'_>, name: &[u8]) {
        if partition.groups(interest).forget_if_empty(name) {
            self.versions.remove(self.versions.slot_of(interest.key.hash));
        }
        partition.forget_if_empty(interest);
    }

    /// Does any shard for which `counts` have a plain subscription to exactly this subject or pattern?
    pub fn is_wanted(&self, key: InterestKey, pattern: &[u8], counts: impl Fn(u16) -> bool) -> bool {
        let counts = |holder| holder < PEERS_FROM && counts(holder);
        let partition = self.partition(key.hash).read();
        if key.literal {
            return partition.literals.any(key.hash, counts);
        }
        let topic = partition.pattern_topic(key, pattern);
        topic.is_some_and(|topic| topic.holders.as_slice().iter().any(|one| counts(one.holder)))
    }

    /// How many members those shards for which `counts` have in a queue group on exactly this subject or pattern.
    pub fn members(&self, key: InterestKey, pattern: &[u8], name: &[u8], counts: impl Fn(u16) -> bool) -> u32 {
        let partition = self.partition(key.hash).read();
        let groups = if key.literal {
            partition.literal_groups.get(&key.hash)
        } else {
            partition.pattern_topic(key, pattern).map(|topic| &topic.groups)
        };
        let group = groups.and_then(|groups| groups.0.iter().find(|group| *group.name == *name));
        let of = |group: &RemoteGroup| {
            let counted = (0..self.shards).filter(|&shard| counts(shard as u16));
            counted.map(|shard| group.counts.get(shard)).sum()
        };
        group.map_or(0, of)
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
    fn pattern_topic(&self, key: InterestKey, pattern: &[u8]) -> Option<&PatternTopic> {
        let patterns = self.patterns.get(&key.hash)?;
        patterns.topics.get(patterns.trie.get(pattern)? as usize)
    }

    fn add(&mut self, interest: &Interest<'_>) {
        if interest.key.literal {
            self.literals.add(interest.key.hash, interest.holder, interest.sid);
        } else {
            self.topic(interest).holders.add(interest.holder, interest.sid);
        }
    }

    fn remove(&mut self, interest: &Interest<'_>) {
        if interest.key.literal {
            self.literals.remove(interest.key.hash, interest.holder);
        } else {
            self.topic(interest).holders.remove(interest.holder);
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
