//! Plans: who gets the messages of one subject, worked out once and used for as long as it stays true.
//!
//! A plan has the shard's own targets and the other shards that want the subject. A hit costs one hash, one comparison and two loads: the
//! generations of the local table and of the directory. If one of them moved, the versions of the four slots that the subject depends on
//! decide whether the plan is stale. The cache is a table of fixed size with one place for each hash; a subject gets a place when it is
//! seen twice in a row there, so subjects that are never seen again (every reply to a request is one) cost neither an allocation nor
//! somebody else's place. Plans of too many targets in all give way one by one. Nothing is ever swept.

use std::sync::Arc;

use smallvec::SmallVec;

use super::directory::{Directory, PeerWeights, Remote, RemoteGroup};
use super::keys::{Hasher, SubjectKeys};
use super::local::{LocalInterest, SubId};
use super::sid::SidHint;
use crate::account::AccountId;
use crate::lane::counts::GroupCounts;

const PLACES: usize = 1 << 13;
/// Targets that all kept plans have together, at most: a plan is as long as its subject is popular, so a number of plans is no bound.
const KEPT_TARGETS: usize = 1 << 22;
/// Most frame beginnings that a plan keeps.
const HEADS: usize = 16;

/// One plain subscription, as a plan knows it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its number.
    pub subscription: SubId,
    /// Slab index of its connection.
    pub connection: u32,
    /// It has the same sid as the target before it: the frame may be the same.
    pub same_sid: bool,
}

/// The beginning of a subscriber's frames, `HMSG <subject> <sid> `, or of a route's, `RMSG <account> <subject> `, made once for the subjects
/// that a plan is kept for. It lies in an array of fixed size, because copying that is a few instructions where copying a slice of any
/// length is a call.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: [u8; HEAD_BYTES + 1],
    subject: (u8, u8),
    len: u8,
}

/// Most bytes of a [`Head`] with `MSG`.
pub const HEAD_BYTES: usize = 64;

impl Head {
    fn new(subject: &[u8], sid: &[u8]) -> Option<Head> {
        Head::of_parts([b"HMSG ", subject, b" ", sid, b" "])
    }

    /// What routes that name the account get.
    fn of_routes(account: AccountId, subject: &[u8]) -> Option<Head> {
        // The first byte is what frames without headers leave out.
        Head::of_parts([b" RMSG ", account.name().as_bytes(), b" ", subject, b" "])
    }

    /// The subject is the second part, or the fourth if there is an account.
    fn of_parts(parts: [&[u8]; 5]) -> Option<Head> {
        let mut bytes = [0; HEAD_BYTES + 1];
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let mut place = bytes.get_mut(..len)?;
        let mut at = 0;
        let mut ends = [0; 5];
        for (part, end) in parts.iter().zip(&mut ends) {
            let (here, behind) = place.split_at_mut_checked(part.len())?;
            here.copy_from_slice(part);
            place = behind;
            at += part.len();
            // It fits in the array.
            *end = at as u8;
        }
        let [before, second, separator, fourth, len] = ends;
        let subject = if parts[0].starts_with(b" ") { (separator, fourth) } else { (before, second) };
        Some(Head { bytes, subject, len })
    }

    /// Is it for this subject?
    #[inline]
    pub fn is_for(&self, subject: &[u8]) -> bool {
        let (start, end) = self.subject;
        self.bytes.get(usize::from(start)..usize::from(end)).is_some_and(|own| same_bytes(own, subject))
    }

    /// Is it what routes get?
    pub fn is_of_routes(&self) -> bool {
        self.bytes[0] == b' '
    }

    /// The same as bytes, with `MSG`.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(1..usize::from(self.len)).unwrap_or(&[])
    }

    /// Appends it, with `HMSG` or `MSG`. Fastest if `out` has room for [`HEAD_BYTES`] more.
    #[inline]
    pub fn append(&self, out: &mut Vec<u8>, headers: bool) {
        let before = out.len();
        if headers {
            out.extend_from_slice(self.bytes.get(..usize::from(self.len)).unwrap_or(&[]));
        } else if let Some(wide) = self.bytes.last_chunk::<HEAD_BYTES>() {
            out.extend_from_slice(wide);
            out.truncate(before + usize::from(self.len) - 1);
        }
    }
}

/// One queue group that matches, over all of its patterns.
#[derive(Debug)]
pub struct PlanGroup {
    /// Its name.
    pub name: Arc<[u8]>,
    /// Members on this shard.
    pub local: SmallVec<[Target; 2]>,
    /// Members everywhere, pattern by pattern; empty when there is one shard only.
    pub counts: SmallVec<[Arc<GroupCounts>; 1]>,
    /// Members of peers, over all patterns.
    pub peers: PeerWeights,
}

/// Who gets a subject's messages.
#[derive(Debug, Default)]
pub struct Plan {
    /// Plain subscriptions of this shard.
    pub plain: Vec<Target>,
    /// The beginnings of their frames, in the same order; fewer or none if there are many or they are long.
    pub heads: Vec<Head>,
    /// Queue groups, wherever their members are.
    pub groups: Vec<PlanGroup>,
    /// Other shards with plain subscriptions.
    pub shards: SmallVec<[u16; 8]>,
    /// Peers with plain interest.
    pub peers: SmallVec<[u16; 4]>,
    /// The plain subscriptions of this shard all have the same sid and no limit: they get the same bytes.
    pub alike: bool,
    /// With what the frames of a run of messages begin that go to plain subscriptions of this server only, if those of this shard are
    /// alike.
    pub local_head: Option<Head>,
    /// With what the frames of a run of a client's messages begin, if nobody else is to be chosen among: the same, or for want of
    /// subscriptions the beginning of what routes get.
    pub run_head: Option<Head>,
    /// When it was last seen to be true.
    pub generations: Generations,
    remote_sid: SidHint,
}

impl Plan {
    fn clear(&mut self) {
        self.plain.clear();
        self.heads.clear();
        self.alike = false;
        self.local_head = None;
        self.run_head = None;
        self.groups.clear();
        self.shards.clear();
        self.peers.clear();
    }

    fn targets(&self) -> usize {
        self.plain.len() + self.groups.iter().map(|group| group.local.len()).sum::<usize>()
    }

    fn group(&mut self, name: &Arc<[u8]>) -> Option<&mut PlanGroup> {
        let at = match self.groups.iter().position(|group| group.name == *name) {
            Some(at) => at,
            None => {
                let (name, local, counts) = (Arc::clone(name), SmallVec::new(), SmallVec::new());
                self.groups.push(PlanGroup { name, local, counts, peers: SmallVec::new() });
                self.groups.len() - 1
            }
        };
        self.groups.get_mut(at)
    }

    fn fill(&mut self, sources: &Sources<'_>, subject: &[u8], keys: &SubjectKeys, remote: &mut Remote) {
        self.clear();
        let Sources { local, directory, account, shard } = *sources;
        let mut group_members: SmallVec<[(Arc<[u8]>, Target); 4]> = SmallVec::new();
        local.for_each_match(
            account,
            subject,
            keys.literal,
            |subscription, found| {
                self.plain.push(Target { subscription, connection: found.connection, same_sid: false });
            },
            |group| {
                for &member in &group.members {
                    if let Some(found) = local.get(SubId(member)) {
                        let target =
                            Target { subscription: SubId(member), connection: found.connection, same_sid: false };
                        group_members.push((Arc::clone(&group.name), target));
                    }
                }
            },
        );
        for (name, target) in group_members {
            if let Some(group) = self.group(&name) {
                group.local.push(target);
            }
        }
        if directory.is_alone() {
            return;
        }
        directory.look_up(account, keys, subject, shard, remote);
        self.shards.extend(remote.shards.iter().copied());
        self.peers.extend(remote.peers.iter().copied());
        self.remote_sid = remote.sid;
        for RemoteGroup { name, counts, peers } in remote.groups.drain(..) {
            let Some(group) = self.group(&name) else { continue };
            group.counts.push(counts);
            for (peer, weight) in peers {
                match group.peers.iter_mut().find(|(other, _)| *other == peer) {
                    Some((_, sum)) => *sum = sum.saturating_add(weight),
                    None => group.peers.push((peer, weight)),
                }
            }
        }
    }

    /// Prepares a plan that is kept.
    fn finish(&mut self, account: AccountId, local: &LocalInterest, subject: &[u8]) {
        self.order_by_sid(local, subject);
        let unlimited = |target: &Target| local.get(target.subscription).is_some_and(|found| found.max == 0);
        self.alike = self.plain.iter().skip(1).all(|target| target.same_sid) && self.plain.iter().all(unlimited);
        self.local_head = match (&self.plain[..], &self.shards[..]) {
            _ if !self.alike => None,
            ([], []) => None,
            ([], _) => Head::new(subject, self.remote_sid.as_bytes()),
            _ => self.heads.first().cloned(),
        };
        self.run_head = match (&self.plain[..], &self.shards[..], &self.peers[..]) {
            _ if !self.alike || !self.groups.is_empty() => None,
            ([], [], [_, ..]) => Head::of_routes(account, subject),
            _ => self.local_head.clone(),
        };
    }

    /// Puts targets with equal sids next to each other, so that their frames can be written once.
    fn order_by_sid(&mut self, local: &LocalInterest, subject: &[u8]) {
        let sid = |target: &Target| local.get(target.subscription).map_or(&[][..], |found| found.sid.as_bytes());
        if self.plain.len() > 1 {
            self.plain.sort_by(|a, b| sid(a).cmp(sid(b)));
            self.mark_equal_sids(local);
        }
        self.heads.extend(self.plain.iter().take(HEADS).map_while(|target| Head::new(subject, sid(target))));
    }

    fn mark_equal_sids(&mut self, local: &LocalInterest) {
        let mut before: &[u8] = &[];
        for (at, target) in self.plain.iter_mut().enumerate() {
            let sid = local.get(target.subscription).map_or(&[][..], |found| found.sid.as_bytes());
            target.same_sid = at > 0 && sid == before;
            before = sid;
        }
    }
}

/// Where plans come from.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The shard's own table.
    pub local: &'a LocalInterest,
    /// Everybody's.
    pub directory: &'a Directory,
    /// Account of the message.
    pub account: AccountId,
    /// The asking shard.
    pub shard: usize,
}

/// What a plan was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    local: [u32; 4],
    directory: [u64; 4],
}

impl Stamp {
    fn of(sources: &Sources<'_>, keys: &SubjectKeys) -> Self {
        let versions = sources.directory.versions();
        let directory = if sources.directory.is_alone() {
            [0; 4]
        } else {
            keys.all().map(|key| versions.get(versions.slot_of(key)))
        };
        Stamp { local: sources.local.versions_of(keys), directory }
    }
}

/// Neither table has changed while these are the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Generations {
    local: u64,
    directory: u64,
}

impl Generations {
    /// As they are now.
    #[inline]
    pub fn of(sources: &Sources<'_>) -> Self {
        let directory = if sources.directory.is_alone() { 0 } else { sources.directory.versions().generation() };
        Generations { local: sources.local.generation(), directory }
    }
}

#[derive(Debug)]
struct Cached {
    account: AccountId,
    subject: Box<[u8]>,
    keys: SubjectKeys,
    stamp: Stamp,
    plan: Plan,
    /// Targets that it was booked with.
    targets: usize,
}

#[derive(Debug, Default)]
struct Place {
    /// Hash of who was turned away last.
    candidate: u32,
    cached: Option<Box<Cached>>,
}

/// Where a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// In the cache, at this place.
    Kept(usize),
    /// Made for this once.
    Scratch,
}

/// A shard's plans. Counts its slow paths.
#[derive(Debug)]
pub struct PlanCache {
    places: Box<[Place]>,
    scratch: Plan,
    remote: Remote,
    /// Place of the subject that was looked up last.
    recent: usize,
    /// Targets of all plans that are kept.
    kept: usize,
    most_kept: usize,
    /// The place that gave way last.
    hand: usize,
    /// Looks that found a plan.
    pub hits: u64,
    /// Looks that made a plan and did not keep it.
    pub misses: u64,
    /// Plans made anew because what they were made from changed.
    pub refills: u64,
}

impl Default for PlanCache {
    fn default() -> Self {
        PlanCache {
            places: (0..PLACES).map(|_| Place::default()).collect(),
            scratch: Plan::default(),
            remote: Remote::default(),
            recent: 0,
            kept: 0,
            most_kept: KEPT_TARGETS,
            hand: 0,
            hits: 0,
            misses: 0,
            refills: 0,
        }
    }
}

impl PlanCache {
    /// Finds the plan for a subject, true at this moment.
    #[inline]
    pub fn look_up(&mut self, sources: &Sources<'_>, hasher: &Hasher, subject: &[u8]) -> Found {
        // A publisher mostly goes on with the subject that it just used.
        if !self.is_at(self.recent, sources.account, subject) {
            let hash = hasher.hash(sources.account, subject);
            let place = hash as usize & (PLACES - 1);
            if !self.is_at(place, sources.account, subject) {
                return self.miss(sources, hasher, subject, hash);
            }
            self.recent = place;
        }
        // Generations and versions are read before what they speak of, so a change in between makes the plan look older, not newer.
        let generations = Generations::of(sources);
        let PlanCache { places, remote, hits, refills, recent, .. } = self;
        if let Some(cached) = &mut places[*recent].cached {
            *hits += 1;
            if cached.plan.generations != generations {
                let stamp = Stamp::of(sources, &cached.keys);
                if stamp != cached.stamp {
                    *refills += 1;
                    cached.plan.fill(sources, subject, &cached.keys, remote);
                    cached.plan.finish(sources.account, sources.local, subject);
                    cached.stamp = stamp;
                    cached.plan.generations = generations;
                    let recent = *recent;
                    return self.book(recent);
                }
                cached.plan.generations = generations;
            }
        }
        Found::Kept(*recent)
    }

    /// Another bound than [`KEPT_TARGETS`].
    #[cfg(test)]
    pub(super) fn keep_at_most(&mut self, targets: usize) {
        self.most_kept = targets;
    }

    /// Targets of all kept plans, counted anew.
    #[cfg(test)]
    pub(super) fn kept_targets(&self) -> usize {
        let counted = self.places.iter().flat_map(|place| &place.cached).map(|cached| cached.plan.targets()).sum();
        assert_eq!(self.kept, counted);
        counted
    }

    /// Counts the targets of a plan that was just made, and lets others go if there are too many.
    fn book(&mut self, place: usize) -> Found {
        if let Some(cached) = &mut self.places[place].cached {
            self.kept -= std::mem::replace(&mut cached.targets, cached.plan.targets());
            self.kept += cached.targets;
        }
        for _ in 0..PLACES {
            if self.kept <= self.most_kept {
                break;
            }
            self.hand = (self.hand + 1) & (PLACES - 1);
            if self.hand != place {
                self.forget(self.hand);
            }
        }
        Found::Kept(place)
    }

    fn forget(&mut self, place: usize) {
        if let Some(gone) = self.places[place].cached.take() {
            self.kept -= gone.targets;
        }
    }

    /// What was found, as long as nothing else was looked up since.
    #[inline]
    pub fn plan(&self, found: Found) -> &Plan {
        match found {
            Found::Kept(place) => self.places[place].cached.as_ref().map_or(&self.scratch, |cached| &cached.plan),
            Found::Scratch => &self.scratch,
        }
    }

    /// The subject at a place, and its plan as it was when last looked up.
    pub fn kept(&self, place: usize) -> Option<(&[u8], &Plan)> {
        self.places[place].cached.as_ref().map(|cached| (&*cached.subject, &cached.plan))
    }

    #[inline]
    fn is_at(&self, place: usize, account: AccountId, subject: &[u8]) -> bool {
        self.places[place]
            .cached
            .as_ref()
            .is_some_and(|cached| same_bytes(&cached.subject, subject) && cached.account == account)
    }

    fn miss(&mut self, sources: &Sources<'_>, hasher: &Hasher, subject: &[u8], hash: u64) -> Found {
        self.misses += 1;
        let keys = hasher.subject_keys_from(sources.account, subject, hash);
        let place = &mut self.places[hash as usize & (PLACES - 1)];
        let candidate = (hash >> 32) as u32;
        if place.candidate != candidate {
            place.candidate = candidate;
            self.scratch.fill(sources, subject, &keys, &mut self.remote);
            self.scratch.mark_equal_sids(sources.local);
            return Found::Scratch;
        }
        let (generations, stamp) = (Generations::of(sources), Stamp::of(sources, &keys));
        let mut plan = Plan::default();
        plan.fill(sources, subject, &keys, &mut self.remote);
        plan.finish(sources.account, sources.local, subject);
        plan.generations = generations;
        place.candidate = 0;
        let account = sources.account;
        let cached = Cached { account, subject: subject.into(), keys, stamp, plan, targets: 0 };
        self.recent = hash as usize & (PLACES - 1);
        self.forget(self.recent);
        self.places[self.recent].cached = Some(Box::new(cached));
        self.book(self.recent)
    }
}

/// Equality without a call for the lengths that subjects have.
#[inline]
fn same_bytes(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    match (a.first_chunk::<8>(), b.first_chunk::<8>(), a.last_chunk::<8>(), b.last_chunk::<8>()) {
        (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) => {
            a_first == b_first && a_last == b_last && (a.len() <= 16 || a == b)
        }
        _ => match (a.first_chunk::<4>(), b.first_chunk::<4>(), a.last_chunk::<4>(), b.last_chunk::<4>()) {
            (Some(a_first), Some(b_first), Some(a_last), Some(b_last)) => a_first == b_first && a_last == b_last,
            _ => a.iter().zip(b).all(|(a, b)| a == b),
        },
    }
}
