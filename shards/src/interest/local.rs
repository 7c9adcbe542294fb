//! One shard's own subscriptions, exact: what the directory only hints at is decided here.
//!
//! A *topic* is a subject or pattern that somebody on this shard subscribes to; plain subscriptions and queue groups hang on it. Literal
//! topics are found by hash, patterns through the trie. A topic's first and last plain subscription, and a group's first and last member,
//! are what the rest of the server hears about.
//!
//! Versions: every change here moves the version of its key's slot, so that plans made from the table know when they are stale. They are
//! plain numbers; only this shard looks at them.

use std::sync::Arc;

use hashbrown::HashTable;
use smallvec::SmallVec;

use super::directory::{Directory, Interest};
use super::keys::{Hasher, InterestKey, SubjectKeys};
use super::news::News;
use super::paged::Paged;
use super::sid::{Sid, SidHint};
use super::trie::Trie;
use crate::account::AccountId;
use crate::lane::counts::GroupCounts;

const SLOTS: usize = 1 << 12;
/// The table of literals is in parts, so that growing stops the shard for a moment that nobody notices.
const SUBTABLES: usize = 64;
const NO_GROUP: u32 = u32::MAX;

/// Number of a subscription in its shard's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubId(pub u32);

/// One subscription of one connection.
#[derive(Debug)]
pub struct Subscription {
    /// Slab index of the connection.
    pub connection: u32,
    topic: u32,
    group: u32,
    /// Place in the topic's or group's list, so that leaving costs no search.
    place: u32,
    /// Messages given to it since its SUB; stays at the top once there.
    pub delivered: u32,
    /// Auto-unsubscribe after so many; 0: never.
    pub max: u32,
    /// The client's name for it.
    pub sid: Sid,
}

impl Subscription {
    /// Member of a queue group?
    pub fn is_queue(&self) -> bool {
        self.group != NO_GROUP
    }
}

#[derive(Debug)]
struct Topic {
    subject: Box<[u8]>,
    plain: SmallVec<[u32; 4]>,
    #[allow(clippy::box_collection, reason = "most topics have no group: one word for the rest")]
    groups: Option<Box<Vec<Option<LocalGroup>>>>,
}

/// A queue group's members on this shard, on one topic.
#[derive(Debug)]
pub struct LocalGroup {
    /// Name of the group.
    pub name: Arc<[u8]>,
    /// Its members.
    pub members: Vec<u32>,
    counts: Option<Arc<GroupCounts>>,
}

#[derive(Debug)]
struct AccountTable {
    literals: [HashTable<u32>; SUBTABLES],
    patterns: Trie,
}

impl Default for AccountTable {
    fn default() -> Self {
        AccountTable { literals: std::array::from_fn(|_| HashTable::new()), patterns: Trie::default() }
    }
}

impl AccountTable {
    fn literals(&self, hash: u64) -> &HashTable<u32> {
        &self.literals[subtable(hash)]
    }

    fn literals_mut(&mut self, hash: u64) -> &mut HashTable<u32> {
        &mut self.literals[subtable(hash)]
    }
}

/// Which part of the table; other bits than the parts themselves use.
fn subtable(hash: u64) -> usize {
    (hash >> 32) as usize & (SUBTABLES - 1)
}

/// See the module.
#[derive(Debug)]
pub struct LocalInterest {
    shard: usize,
    directory: Arc<Directory>,
    hasher: Hasher,
    accounts: Vec<AccountTable>,
    topics: Paged<Topic>,
    subscriptions: Paged<Subscription>,
    versions: Box<[u32]>,
    generation: u64,
    subscribed: u64,
    /// What peers are to be told; nothing is written down if there can be none.
    news: News,
}

/// What a new subscription is.
#[derive(Clone, Copy, Debug)]
pub struct NewSubscription<'a> {
    /// Account that it is in.
    pub account: AccountId,
    /// Slab index of its connection.
    pub connection: u32,
    /// Valid subject or pattern.
    pub subject: &'a [u8],
    /// Queue group, if any.
    pub queue: Option<&'a [u8]>,
    /// The client's name for it.
    pub sid: &'a [u8],
}

impl LocalInterest {
    /// An empty table.
    pub fn new(shard: usize, directory: Arc<Directory>) -> Self {
        let hasher = directory.hasher().clone();
        LocalInterest {
            shard,
            directory,
            hasher,
            accounts: Vec::new(),
            topics: Paged::default(),
            subscriptions: Paged::default(),
            versions: vec![0; SLOTS].into_boxed_slice(),
            generation: 0,
            subscribed: 0,
            news: News::default(),
        }
    }

    /// Number of subscriptions.
    pub fn len(&self) -> usize {
        self.subscriptions.len()
    }

    /// Number of subscriptions that were ever made.
    pub fn subscribed(&self) -> u64 {
        self.subscribed
    }

    /// The numbers of all subscriptions are below this one.
    pub fn slots(&self) -> usize {
        self.subscriptions.slots()
    }

    /// True without subscriptions.
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Moves with every change.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Versions of the slots that a subject depends on.
    pub fn versions_of(&self, keys: &SubjectKeys) -> [u32; 4] {
        keys.all().map(|key| self.versions[slot(key)])
    }

    /// The subscription with this number.
    pub fn get(&self, id: SubId) -> Option<&Subscription> {
        self.subscriptions.get(id.0)
    }

    /// The same, to count a delivery or set a limit.
    pub fn get_mut(&mut self, id: SubId) -> Option<&mut Subscription> {
        self.subscriptions.get_mut(id.0)
    }

    /// Lets a subscription end after `max` messages in all.
    pub fn set_max(&mut self, account: AccountId, id: SubId, max: u32) {
        let Some(subscription) = self.subscriptions.get_mut(id.0) else { return };
        subscription.max = max;
        // Plans treat those without a limit all alike.
        if let Some(topic) = self.topics.get(subscription.topic) {
            self.changed(self.hasher.interest_key(account, &topic.subject));
        }
    }

    /// Subject or pattern of a subscription.
    pub fn subject_of(&self, subscription: &Subscription) -> &[u8] {
        self.topics.get(subscription.topic).map_or(&[], |topic| &topic.subject)
    }

    /// Queue group of a subscription.
    pub fn queue_of(&self, subscription: &Subscription) -> Option<Arc<[u8]>> {
        let groups = self.topics.get(subscription.topic)?.groups.as_ref()?;
        let group = groups.get(subscription.group as usize)?.as_ref()?;
        Some(Arc::clone(&group.name))
    }

    /// Adds a subscription; when it returns, every shard's next publish sees it.
    pub fn subscribe(&mut self, new: NewSubscription<'_>) -> SubId {
        let key = self.hasher.interest_key(new.account, new.subject);
        let topic_id = self.topic(new.account, new.subject, key);
        let id = self.subscriptions.next_index();
        let topic = &mut self.topics[topic_id];
        let interest = Interest { key, pattern: new.subject, holder: self.shard as u16, sid: SidHint::new(new.sid) };
        let (group, place) = match new.queue {
            None => {
                topic.plain.push(id);
                if topic.plain.len() == 1 {
                    self.directory.add(interest);
                    self.write_down(new.subject, None);
                }
                (NO_GROUP, self.topics[topic_id].plain.len() - 1)
            }
            Some(name) => {
                let place = topic.join(name, id, interest, &self.directory);
                self.write_down(new.subject, Some(name));
                place
            }
        };
        self.subscriptions.insert(Subscription {
            connection: new.connection,
            topic: topic_id,
            group,
            place: place as u32,
            delivered: 0,
            max: 0,
            sid: Sid::new(new.sid),
        });
        self.subscribed += 1;
        self.changed(key);
        SubId(id)
    }

    /// Takes a subscription away; no message reaches it after this.
    pub fn unsubscribe(&mut self, account: AccountId, id: SubId) -> Option<Subscription> {
        let gone = self.subscriptions.remove(id.0)?;
        let topic = &mut self.topics[gone.topic];
        if self.directory.is_clustered() && (gone.is_queue() || topic.plain.len() == 1) {
            self.news.push(&topic.subject, topic.group(gone.group).map(|group| &*group.name));
        }
        let key = self.hasher.interest_key(account, &topic.subject);
        let moved = topic.remove(
            &gone,
            Interest { key, pattern: &[], holder: self.shard as u16, sid: SidHint::default() },
            &self.directory,
        );
        if let Some(moved) = moved
            && let Some(subscription) = self.subscriptions.get_mut(moved)
        {
            subscription.place = gone.place;
        }
        if topic.is_bare() {
            self.forget_topic(account, gone.topic, key);
        }
        self.changed(key);
        Some(gone)
    }

    /// True if nothing is left of what was ever added.
    #[cfg(test)]
    pub(super) fn is_forgotten(&self) -> bool {
        let bare = |table: &AccountTable| table.literals.iter().all(HashTable::is_empty) && table.patterns.is_empty();
        self.subscriptions.is_empty() && self.topics.is_empty() && self.accounts.iter().all(bare)
    }

    fn write_down(&mut self, subject: &[u8], queue: Option<&[u8]>) {
        if self.directory.is_clustered() {
            self.news.push(subject, queue);
        }
    }

    /// What changed since the news were cleared, for peers.
    pub fn news(&mut self) -> &mut News {
        &mut self.news
    }

    /// How many members a queue group has here on exactly this subject or pattern; without a group: plain subscriptions.
    pub fn members(&self, account: AccountId, key: InterestKey, subject: &[u8], queue: Option<&[u8]>) -> usize {
        let Some(table) = self.accounts.get(account.0 as usize) else { return 0 };
        let found = if key.literal {
            table.literals(key.hash).find(key.hash, |&id| *self.topics[id].subject == *subject).copied()
        } else {
            table.patterns.get(subject)
        };
        let Some(topic) = found.and_then(|id| self.topics.get(id)) else { return 0 };
        match queue {
            None => topic.plain.len(),
            Some(name) => {
                let mut groups = topic.groups.iter().flat_map(|groups| groups.iter().flatten());
                groups.find(|group| *group.name == *name).map_or(0, |group| group.members.len())
            }
        }
    }

    /// The subjects and patterns with numbers in a range, with what there is on each: plain subscriptions (no name) and queue groups.
    pub fn for_each_interest(&self, numbers: std::ops::Range<usize>, mut visit: impl FnMut(&[u8], Option<&[u8]>)) {
        for topic in numbers.filter_map(|number| self.topics.get(number as u32)) {
            if !topic.plain.is_empty() {
                visit(&topic.subject, None);
            }
            for group in topic.groups.iter().flat_map(|groups| groups.iter().flatten()) {
                visit(&topic.subject, Some(&group.name));
            }
        }
    }

    /// The numbers of all subjects and patterns are below this one.
    pub fn interest_slots(&self) -> usize {
        self.topics.slots()
    }

    fn changed(&mut self, key: InterestKey) {
        self.generation += 1;
        let version = &mut self.versions[slot(key.hash)];
        *version = version.wrapping_add(1);
    }

    fn topic(&mut self, account: AccountId, subject: &[u8], key: InterestKey) -> u32 {
        let index = account.0 as usize;
        if self.accounts.len() <= index {
            self.accounts.resize_with(index + 1, AccountTable::default);
        }
        let table = &mut self.accounts[index];
        let found = if key.literal {
            table.literals(key.hash).find(key.hash, |&id| *self.topics[id].subject == *subject).copied()
        } else {
            table.patterns.get(subject)
        };
        if let Some(id) = found {
            return id;
        }
        let id = self.topics.insert(Topic { subject: subject.into(), plain: SmallVec::new(), groups: None });
        if key.literal {
            let (topics, hasher) = (&self.topics, &self.hasher);
            let rehash = |&id: &u32| hasher.hash(account, &topics[id].subject);
            table.literals_mut(key.hash).insert_unique(key.hash, id, rehash);
        } else {
            table.patterns.insert(subject, id);
        }
        id
    }

    fn forget_topic(&mut self, account: AccountId, id: u32, key: InterestKey) {
        let Some(topic) = self.topics.remove(id) else { return };
        let Some(table) = self.accounts.get_mut(account.0 as usize) else { return };
        if !key.literal {
            table.patterns.remove(&topic.subject);
            return;
        }
        let literals = table.literals_mut(key.hash);
        if let Ok(entry) = literals.find_entry(key.hash, |&other| other == id) {
            entry.remove();
        }
        // A million inboxes that came and went must not be remembered by the table's size.
        if literals.capacity() > 256 && literals.capacity() / 8 > literals.len() {
            let (topics, hasher) = (&self.topics, &self.hasher);
            let keep = literals.len() * 2;
            literals.shrink_to(keep, |&id| hasher.hash(account, &topics[id].subject));
        }
    }

    /// Calls `plain` with each plain subscription that matches, and `group` with each queue group on a topic that matches.
    pub fn for_each_match(
        &self,
        account: AccountId,
        subject: &[u8],
        hash: u64,
        mut plain: impl FnMut(SubId, &Subscription),
        mut group: impl FnMut(&LocalGroup),
    ) {
        let Some(table) = self.accounts.get(account.0 as usize) else { return };
        let mut visit = |id: u32| {
            let Some(topic) = self.topics.get(id) else { return };
            for &sub in &topic.plain {
                if let Some(subscription) = self.subscriptions.get(sub) {
                    plain(SubId(sub), subscription);
                }
            }
            if let Some(groups) = &topic.groups {
                groups.iter().flatten().for_each(&mut group);
            }
        };
        if let Some(&id) = table.literals(hash).find(hash, |&id| *self.topics[id].subject == *subject) {
            visit(id);
        }
        table.patterns.matches(subject, &mut visit);
    }
}

fn slot(key: u64) -> usize {
    key as usize & (SLOTS - 1)
}

impl Topic {
    fn is_bare(&self) -> bool {
        self.plain.is_empty() && self.groups.is_none()
    }

    fn group(&self, at: u32) -> Option<&LocalGroup> {
        self.groups.as_ref()?.get(at as usize)?.as_ref()
    }

    fn join(&mut self, name: &[u8], id: u32, interest: Interest<'_>, directory: &Directory) -> (u32, usize) {
        let groups = self.groups.get_or_insert_default();
        let at = match groups.iter().position(|group| group.as_ref().is_some_and(|group| *group.name == *name)) {
            Some(at) => at,
            None => {
                let name: Arc<[u8]> = name.into();
                let group = Some(LocalGroup { name, members: Vec::new(), counts: None });
                match groups.iter().position(Option::is_none) {
                    Some(free) => {
                        groups[free] = group;
                        free
                    }
                    None => {
                        groups.push(group);
                        groups.len() - 1
                    }
                }
            }
        };
        let Some(group) = &mut groups[at] else { return (NO_GROUP, 0) };
        group.members.push(id);
        match &group.counts {
            Some(counts) => counts.add(usize::from(interest.holder)),
            None if !directory.is_alone() => group.counts = Some(directory.join(interest, &group.name)),
            None => {}
        }
        (at as u32, group.members.len() - 1)
    }

    /// Takes a subscription out of its list; answers who moved to its place.
    fn remove(&mut self, gone: &Subscription, interest: Interest<'_>, directory: &Directory) -> Option<u32> {
        let interest = Interest { pattern: &self.subject, ..interest };
        let place = gone.place as usize;
        if gone.group == NO_GROUP {
            self.plain.swap_remove(place);
            if self.plain.is_empty() {
                directory.remove(interest);
            }
            if self.plain.spilled() && self.plain.len() <= 2 {
                self.plain.shrink_to_fit();
            }
            return self.plain.get(place).copied();
        }
        let groups = self.groups.as_mut()?;
        let entry = groups.get_mut(gone.group as usize)?;
        let group = entry.as_mut()?;
        group.members.swap_remove(place);
        let moved = group.members.get(place).copied();
        let last = group.members.is_empty();
        if let Some(counts) = &group.counts {
            if last {
                directory.leave(interest, &group.name, counts);
            } else {
                counts.remove(usize::from(interest.holder));
            }
        }
        if last {
            *entry = None;
            if groups.iter().all(Option::is_none) {
                self.groups = None;
            }
        }
        moved
    }
}
