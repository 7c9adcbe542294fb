//! Queue groups: exactly one member gets a message, and every member in the cluster has the same chance.
//!
//! The publisher's shard picks a shard or a peer by the members that it has, who picks one of its own. If those are gone by then, the
//! message is passed on to a shard that still has some, a few times at most, and if there is none any more, to a peer.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Core;
use super::delivery::Elsewhere;
use super::mail::{Addressing, Delivery, Message, Origin};
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
        if pick >= here + elsewhere || elsewhere == 0 {
            if let Some(peer) = self.pick_peer(group, of_peers, None) {
                match sent.peers.iter_mut().find(|(target, _)| *target == peer) {
                    Some((_, queues)) => queues.push(name),
                    None => sent.peers.push((peer, SmallVec::from_iter([name]))),
                }
            }
        } else if let Some(shard) = self.pick_elsewhere(group, elsewhere) {
            match sent.shards.iter_mut().find(|(target, ..)| *target == shard) {
                Some((_, _, queues)) => queues.push(name),
                None => sent.shards.push((shard, false, SmallVec::from_iter([name]))),
            }
        }
        false
    }

    /// Members that peers have to which there is a way.
    pub(super) fn members_of_peers(&self, group: &PlanGroup) -> u64 {
        let reachable = group.peers.iter().filter(|(peer, _)| self.peers.path(*peer).is_some());
        reachable.map(|(_, weight)| u64::from(*weight)).sum()
    }

    /// One of the peers with members, each member with the same chance; `unless` if no other has any.
    fn pick_peer(&mut self, group: &PlanGroup, members: u64, unless: Option<u16>) -> Option<u16> {
        let avoided = |peer: u16| unless == Some(peer);
        let weight_of = |weight: u32| u64::from(weight);
        let reachable = |peer: &u16| self.peers.path(*peer).is_some();
        let others: u64 =
            group.peers.iter().filter(|(peer, _)| reachable(peer) && !avoided(*peer)).map(|(_, w)| weight_of(*w)).sum();
        if others == 0 {
            return (members > 0).then_some(unless).flatten();
        }
        let mut pick = self.rng.u64(0..others);
        for (peer, weight) in &group.peers {
            if self.peers.path(*peer).is_none() || avoided(*peer) {
                continue;
            }
            match pick.checked_sub(weight_of(*weight)) {
                Some(rest) => pick = rest,
                None => return Some(*peer),
            }
        }
        None
    }

    /// Nobody on this server is left in a queue group: a peer's member gets the message, rather not one of the peer that it came from.
    pub(super) fn rescue(&mut self, group: &PlanGroup, message: &Message<'_>, origin: Origin) -> bool {
        let members = self.members_of_peers(group);
        let Some(peer) = self.pick_peer(group, members, origin.peer) else { return false };
        self.counters.rescued += 1;
        self.forward(peer, message, origin, &[Arc::clone(&group.name)])
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
    pub(super) fn pass_on(&mut self, group: &PlanGroup, message: &Message<'_>, entry: &Delivery) -> bool {
        if entry.hops >= MAX_HOPS {
            return false;
        }
        let members = self.members_elsewhere(group);
        let Some(target) = self.pick_elsewhere(group, members) else {
            return self.rescue(group, message, entry.origin);
        };
        self.counters.rescued += 1;
        let queues = [Arc::clone(&group.name)];
        let (answer, hops) = (entry.answer, entry.hops + 1);
        let to = Addressing { plain: false, queues: &queues, answer, hops, peer: None };
        self.send(target, message, entry.origin, to);
        true
    }
}
