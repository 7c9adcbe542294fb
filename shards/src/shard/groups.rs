//! Queue groups: exactly one member gets a message, and every member in the cluster has the same chance.
//!
//! The publisher's shard picks a shard or a peer by the members that it has, who picks one of its own. If those are gone by then, the
//! message is passed on to a shard that still has some, a few times at most, and if there is none any more, to a peer.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Core;
use super::delivery::Elsewhere;
use super::mail::{Addressing, Delivery, Message, Origin};
use crate::interest::Plan;
use crate::interest::plan::PlanGroup;

/// How often a message for a queue group is passed on when the member that was chosen is gone.
const MAX_HOPS: u8 = 8;

impl Core {
    /// Delivers to one member of a queue group of this shard, if any of them takes it.
    pub(super) fn deliver_group(&mut self, group: &PlanGroup, message: &Message<'_>, origin: Origin) -> bool {
        if group.local.is_empty() {
            return false;
        }
        let start = self.rng.usize(..group.local.len());
        let (before, from) = group.local.split_at(start);
        from.iter().chain(before).any(|member| self.deliver_copy(member, None, message, origin))
    }

    /// Gives a client's message to one member of a queue group, wherever it is; each member has the same chance.
    pub(super) fn deliver_to_one(
        &mut self,
        group: &PlanGroup,
        message: &Message<'_>,
        origin: Origin,
        sent: &mut Elsewhere,
    ) -> bool {
        let elsewhere = self.members_elsewhere(group);
        // What came over a route stays here.
        let of_peers = if origin.peer.is_none() { self.members_of_peers(group) } else { 0 };
        let here = group.local.len() as u64;
        if elsewhere + of_peers == 0 {
            return self.deliver_group(group, message, origin);
        }
        let pick = self.rng.u64(0..here + elsewhere + of_peers);
        if pick < here && self.deliver_group(group, message, origin) {
            return true;
        }
        let name = Arc::clone(&group.name);
        if pick < here + elsewhere
            && let Some(shard) = self.pick_elsewhere(group, elsewhere)
        {
            match sent.shards.iter_mut().find(|(target, ..)| *target == shard) {
                Some((_, _, queues)) => queues.push(name),
                None => sent.shards.push((shard, false, SmallVec::from_iter([name]))),
            }
            return false;
        }
        if of_peers > 0
            && let Some(peer) = self.pick_peer(group, |_| true)
        {
            match sent.peers.iter_mut().find(|(target, _)| *target == peer) {
                Some((_, queues)) => queues.push(name),
                None => sent.peers.push((peer, SmallVec::from_iter([name]))),
            }
            return false;
        }
        // Those elsewhere have left since they were counted.
        self.deliver_group(group, message, origin)
    }

    /// Members that peers have to which there is a way.
    pub(super) fn members_of_peers(&self, group: &PlanGroup) -> u64 {
        let reachable = group.peers.iter().filter(|(peer, _)| self.peers.path(*peer).is_some());
        reachable.map(|(_, weight)| u64::from(*weight)).sum()
    }

    /// One of the eligible peers with members, each member with the same chance.
    fn pick_peer(&mut self, group: &PlanGroup, is_eligible: impl Fn(u16) -> bool) -> Option<u16> {
        let Core { peers, rng, .. } = self;
        let candidates = || group.peers.iter().filter(|(peer, _)| peers.path(*peer).is_some() && is_eligible(*peer));
        let members: u64 = candidates().map(|(_, weight)| u64::from(*weight)).sum();
        if members == 0 {
            return None;
        }
        let mut pick = rng.u64(0..members);
        for (peer, weight) in candidates() {
            match pick.checked_sub(u64::from(*weight)) {
                Some(rest) => pick = rest,
                None => return Some(*peer),
            }
        }
        None
    }

    /// Nobody on this server is left in a queue group: a peer's member gets the message, rather not one of the peer that it came from.
    ///
    /// Plain subscribers of that peer may have got the message already: it is told that this one is for the group alone. Where that cannot
    /// be said, a peer without plain interest is the better choice.
    pub(super) fn rescue(&mut self, plan: &Plan, group: &PlanGroup, message: &Message<'_>, origin: Origin) -> bool {
        let listens = |peer: u16| plan.peers.contains(&peer);
        let is_another = |peer: u16| origin.peer != Some(peer);
        let peer = self
            .pick_peer(group, |peer| is_another(peer) && !listens(peer))
            .or_else(|| self.pick_peer(group, is_another))
            .or_else(|| self.pick_peer(group, |_| true));
        let Some(peer) = peer else { return false };
        self.counters.rescued += 1;
        let name = &group.name;
        match self.peers.has_lanes(peer) || listens(peer) {
            true => self.forward(peer, message, origin, &[Arc::clone(name), Arc::clone(name)]),
            false => self.forward(peer, message, origin, &[Arc::clone(name)]),
        }
    }

    pub(super) fn members_elsewhere(&self, group: &PlanGroup) -> u64 {
        let others = || (0..self.config.shards.count).filter(|shard| *shard != usize::from(self.id));
        group.counts.iter().map(|counts| others().map(|shard| u64::from(counts.get(shard))).sum::<u64>()).sum()
    }

    fn pick_elsewhere(&mut self, group: &PlanGroup, members: u64) -> Option<u16> {
        if members == 0 {
            return None;
        }
        let mut pick = self.rng.u64(0..members);
        let mut last = None;
        for shard in (0..self.config.shards.count).filter(|shard| *shard != usize::from(self.id)) {
            let weight: u64 = group.counts.iter().map(|counts| u64::from(counts.get(shard))).sum();
            if weight > 0 {
                last = Some(shard as u16);
            }
            match pick.checked_sub(weight) {
                Some(rest) => pick = rest,
                None => return last,
            }
        }
        // Members left since they were counted.
        last
    }

    /// The member that was meant is gone: another shard's members get the message.
    pub(super) fn pass_on(&mut self, plan: &Plan, group: &PlanGroup, message: &Message<'_>, entry: &Delivery) -> bool {
        if entry.hops >= MAX_HOPS {
            return false;
        }
        let members = self.members_elsewhere(group);
        let Some(target) = self.pick_elsewhere(group, members) else {
            return self.rescue(plan, group, message, entry.origin);
        };
        self.counters.rescued += 1;
        let queues = [Arc::clone(&group.name)];
        let (answer, hops) = (entry.answer, entry.hops + 1);
        let to = Addressing { plain: false, queues: &queues, answer, hops, peer: None };
        self.send(target, message, entry.origin, to);
        true
    }
}
