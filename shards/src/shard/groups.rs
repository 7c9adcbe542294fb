//! Queue groups: exactly one member gets a message, and every member on the server has the same chance.
//!
//! The publisher's shard picks a shard by the members that it has, that shard picks one of its own. If those are gone by then, the message
//! is passed on to a shard that still has some, a few times at most.

use std::sync::Arc;

use smallvec::SmallVec;

use super::Core;
use super::delivery::RemoteTargets;
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
        remote: &mut RemoteTargets,
    ) -> bool {
        let elsewhere = self.members_elsewhere(group);
        let here = group.local.len() as u64;
        if elsewhere == 0 || self.rng.u64(0..here + elsewhere) < here {
            if self.deliver_group(group, message, origin) {
                return true;
            }
            if elsewhere == 0 {
                return false;
            }
        }
        let Some(shard) = self.pick_elsewhere(group, elsewhere) else { return false };
        let name = Arc::clone(&group.name);
        match remote.iter_mut().find(|(target, ..)| *target == shard) {
            Some((_, _, queues)) => queues.push(name),
            None => remote.push((shard, false, SmallVec::from_iter([name]))),
        }
        false
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
        let Some(target) = self.pick_elsewhere(group, members) else { return false };
        self.counters.rescued += 1;
        let queues = [Arc::clone(&group.name)];
        let to = Addressing { plain: false, queues: &queues, answer: entry.answer, hops: entry.hops + 1 };
        self.send(target, message, entry.origin, to);
        true
    }
}
