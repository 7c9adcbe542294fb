//! What one route told of its peer's interest, exact: the directory is changed by differences only, and a route that ends takes back what it
//! told, no more and no less.
//!
//! A million of these are an ordinary peer, so an entry is a boxed subject in a table, and the table is in parts that grow one after the
//! other, so that growing stops the shard for a moment that nobody notices.

use std::sync::Arc;

use hashbrown::HashTable;

use super::directory::{Directory, Interest, peer_holder};
use super::sid::SidHint;
use crate::account::AccountId;

const PARTS: usize = 64;
/// A part with less room than this is not worth shrinking.
const SHRINK_ABOVE: usize = 256;

/// A peer's members in a queue group.
#[derive(Debug)]
struct Weighed {
    subject: Box<[u8]>,
    name: Arc<[u8]>,
    weight: u32,
}

/// See the module. All of it is in one account.
#[derive(Debug)]
pub struct LearnedInterest {
    peer: u16,
    account: AccountId,
    plain: Box<[HashTable<Box<[u8]>>]>,
    groups: HashTable<Weighed>,
    len: usize,
}

/// One interest, for monitoring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LearnedSubscription<'a> {
    /// Subject or pattern.
    pub subject: &'a [u8],
    /// Queue group.
    pub queue: Option<&'a [u8]>,
    /// Members that the peer has in it; one if there is no group.
    pub members: u32,
}

/// The part that a hash belongs to, by [`PLACES_LOG2`] of its bits. Each part gets more hashes than the one before it, the last one twice as
/// many as the first: parts of one size would all be full, and grow, at the same time.
const PLACES: [u8; 1 << PLACES_LOG2] = {
    const ONE: u128 = 1 << 32;
    /// The 64th root of two, in units of 2^-32.
    const ROOT: u128 = 4_341_736_423;
    let mut places = [0; 1 << PLACES_LOG2];
    let (mut place, mut part, mut power) = (0, 0, ROOT);
    while place < places.len() {
        if part + 1 < PARTS && place as u128 * ONE >= (power - ONE) << PLACES_LOG2 {
            part += 1;
            power = power * ROOT / ONE;
        }
        places[place] = part as u8;
        place += 1;
    }
    places
};
const PLACES_LOG2: u32 = 12;

fn part(hash: u64) -> usize {
    // Other bits than those by which the parts themselves look things up.
    let place = (hash >> 32) as usize % PLACES.len();
    PLACES.get(place).map_or(0, |part| usize::from(*part))
}

impl LearnedInterest {
    /// How many parts [`Self::part`] knows: the tables of plain interests, and the one of queue groups.
    pub const PARTS: usize = PARTS + 1;

    /// Nothing yet, of this peer in this account.
    pub fn new(peer: u16, account: AccountId) -> Self {
        let plain = (0..PARTS).map(|_| HashTable::new()).collect();
        LearnedInterest { peer, account, plain, groups: HashTable::new(), len: 0 }
    }

    /// Number of interests.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without interest.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn interest<'a>(&self, directory: &Directory, subject: &'a [u8]) -> Interest<'a> {
        let key = directory.hasher().interest_key(self.account, subject);
        Interest { key, pattern: subject, holder: peer_holder(self.peer), sid: SidHint::default() }
    }

    /// `RS+` without a queue. The subject is a valid one. Telling it again changes nothing.
    pub fn add(&mut self, directory: &Directory, subject: &[u8]) {
        let hash = directory.hasher().hash(self.account, subject);
        let Some(table) = self.plain.get_mut(part(hash)) else { return };
        if table.find(hash, |known| **known == *subject).is_some() {
            return;
        }
        let (hasher, account) = (directory.hasher(), self.account);
        table.insert_unique(hash, subject.into(), |known| hasher.hash(account, known));
        self.len += 1;
        directory.add(self.interest(directory, subject));
    }

    /// `RS-` without a queue.
    pub fn remove(&mut self, directory: &Directory, subject: &[u8]) {
        let hash = directory.hasher().hash(self.account, subject);
        let Some(table) = self.plain.get_mut(part(hash)) else { return };
        let Ok(known) = table.find_entry(hash, |known| **known == *subject) else { return };
        known.remove();
        let (hasher, account) = (directory.hasher(), self.account);
        if table.capacity() > SHRINK_ABOVE && table.capacity() / 8 > table.len() {
            table.shrink_to(table.len() * 2, |known| hasher.hash(account, known));
        }
        self.len -= 1;
        directory.remove(self.interest(directory, subject));
    }

    /// `RS+` with a queue and how many members the peer has now, or `RS-` with one: none.
    pub fn set_weight(&mut self, directory: &Directory, subject: &[u8], name: &[u8], weight: u32) {
        let (hasher, account) = (directory.hasher(), self.account);
        let hash = group_hash(directory, account, subject, name);
        let same = |known: &Weighed| *known.subject == *subject && *known.name == *name;
        let (name, before) = match self.groups.find_entry(hash, same) {
            Ok(mut known) => {
                let before = known.get().weight;
                known.get_mut().weight = weight;
                let name = Arc::clone(&known.get().name);
                if weight == 0 {
                    known.remove();
                    self.len -= 1;
                }
                (name, before)
            }
            Err(_) if weight == 0 => return,
            Err(_) => {
                let new = Weighed { subject: subject.into(), name: name.into(), weight };
                let name = Arc::clone(&new.name);
                self.groups.insert_unique(hash, new, |known| {
                    hasher.hash(account, &known.subject) ^ hasher.hash(account, &known.name).rotate_left(1)
                });
                self.len += 1;
                (name, 0)
            }
        };
        let change = i64::from(weight) - i64::from(before);
        if change != 0 {
            directory.weigh(self.interest(directory, subject), self.peer, &name, change);
        }
    }

    /// Takes back up to `most` interests; true when nothing is left.
    pub fn take_back(&mut self, directory: &Directory, most: usize) -> bool {
        let mut subjects: Vec<Box<[u8]>> = Vec::new();
        for table in &mut self.plain {
            if subjects.len() >= most {
                break;
            }
            let mut room = most - subjects.len();
            subjects.extend(table.extract_if(|_| {
                let wanted = room > 0;
                room = room.saturating_sub(1);
                wanted
            }));
            if table.is_empty() {
                *table = HashTable::new();
            }
        }
        let room = most - subjects.len();
        self.len -= subjects.len();
        for subject in subjects {
            directory.remove(self.interest(directory, &subject));
        }
        let names = |known: &Weighed| (known.subject.clone(), Arc::clone(&known.name));
        let weighed: Vec<_> = self.groups.iter().take(room).map(names).collect();
        for (subject, name) in weighed {
            self.set_weight(directory, &subject, &name, 0);
        }
        self.is_empty()
    }

    /// A part of it, so that a walk through all of it can be interrupted: one of [`Self::PARTS`].
    pub fn part(&self, part: usize) -> impl Iterator<Item = LearnedSubscription<'_>> {
        let plain = self.plain.get(part).into_iter().flatten();
        let groups = (part == PARTS).then(|| self.groups.iter()).into_iter().flatten();
        let groups = groups.map(|known| {
            let Weighed { subject, name, weight } = known;
            LearnedSubscription { subject, queue: Some(name), members: *weight }
        });
        plain.map(|subject| LearnedSubscription { subject, queue: None, members: 1 }).chain(groups)
    }
}

fn group_hash(directory: &Directory, account: AccountId, subject: &[u8], name: &[u8]) -> u64 {
    let hasher = directory.hasher();
    hasher.hash(account, subject) ^ hasher.hash(account, name).rotate_left(1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::directory::Remote;
    use super::*;
    use crate::account::GLOBAL;

    #[test]
    fn parts_grow_one_after_the_other() {
        let mut shares = [0; PARTS];
        (0..1u64 << PLACES_LOG2).for_each(|place| shares[part(place << 32)] += 1);
        assert_eq!(shares.iter().sum::<u32>(), 1 << PLACES_LOG2);
        assert!(shares.is_sorted_by(|one, next| *one <= next + 1), "{shares:?}");
        let (first, last) = (f64::from(shares[0]), f64::from(shares[PARTS - 1]));
        assert!((1.9..2.1).contains(&(last / first)), "{shares:?}");
    }

    const SUBJECTS: [&[u8]; 6] = [b"a", b"a.b", b"a.*", b"a.>", b"*.b", b">"];

    type Weights = BTreeMap<(u16, Vec<u8>), u32>;

    fn look_up(directory: &Directory, subject: &[u8]) -> (Vec<u16>, Weights) {
        let mut remote = Remote::default();
        let keys = directory.hasher().subject_keys(GLOBAL, subject);
        directory.look_up(GLOBAL, &keys, subject, 0, &mut remote);
        let mut weights = BTreeMap::new();
        for group in &remote.groups {
            for (peer, weight) in &group.peers {
                *weights.entry((*peer, group.name.to_vec())).or_default() += weight;
            }
        }
        remote.peers.sort_unstable();
        (remote.peers.to_vec(), weights)
    }

    #[test]
    fn the_directory_knows_what_the_routes_of_peers_told_and_forgets_it_with_them() {
        let directory = Directory::new(1, true, 7);
        let mut rng = fastrand::Rng::with_seed(3);
        // Two lanes of peer 0, one route of peer 5.
        let mut routes = [0, 0, 5].map(|peer| LearnedInterest::new(peer, GLOBAL));
        let mut plain: BTreeMap<(usize, &[u8]), ()> = BTreeMap::new();
        let mut weights: BTreeMap<(usize, &[u8], &[u8]), u32> = BTreeMap::new();
        for _ in 0..3000 {
            let route = rng.usize(..3);
            let subject = SUBJECTS[rng.usize(..SUBJECTS.len())];
            let name: &[u8] = if rng.bool() { b"q" } else { b"r" };
            match rng.u8(..4) {
                0 => {
                    routes[route].add(&directory, subject);
                    plain.insert((route, subject), ());
                }
                1 => {
                    routes[route].remove(&directory, subject);
                    plain.remove(&(route, subject));
                }
                _ => {
                    let weight = rng.u32(..4);
                    routes[route].set_weight(&directory, subject, name, weight);
                    weights.insert((route, subject, name), weight);
                }
            }
            weights.retain(|_, weight| *weight > 0);
            let own = |of: usize| {
                plain.keys().filter(|(route, _)| *route == of).count()
                    + weights.keys().filter(|(route, ..)| *route == of).count()
            };
            assert_eq!(routes[route].len(), own(route));
            let subject: &[u8] = if rng.bool() { b"a.b" } else { b"a" };
            let matches = |pattern: &[u8]| crate::subject::matches(pattern, subject);
            let peer = |route: usize| if route == 2 { 5 } else { 0 };
            let mut peers: Vec<u16> =
                plain.keys().filter(|(_, pattern)| matches(pattern)).map(|(route, _)| peer(*route)).collect();
            peers.sort_unstable();
            peers.dedup();
            let mut sums = BTreeMap::new();
            for ((route, pattern, name), weight) in &weights {
                if matches(pattern) {
                    *sums.entry((peer(*route), name.to_vec())).or_default() += weight;
                }
            }
            assert_eq!(look_up(&directory, subject), (peers, sums));
        }
        for route in &mut routes {
            let listed: usize = (0..LearnedInterest::PARTS).map(|part| route.part(part).count()).sum();
            assert_eq!(listed, route.len());
            while !route.take_back(&directory, 3) {}
            assert!(route.is_empty());
        }
        assert!(directory.is_forgotten());
    }
}
