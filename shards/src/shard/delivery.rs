//! From a message and a plan to frames in out-buffers and entries in parcels.
//!
//! A frame is `MSG <subject> <sid> <tail>`: only the sid differs between subscribers. Where several have the same sid (clients number
//! theirs alike), the frame is written once, into the turn's arena, and each of them gets a range of it.

use std::sync::Arc;

use smallvec::SmallVec;

use super::mail::{Addressing, Control, Deliveries, Delivery, Message, Origin, append_tail};
use super::routed::Redirected;
use super::{Core, Shard, mark_dirty, user_info};
use crate::account::AccountId;
use crate::connection::{Connection, Key, Pause};
use crate::interest::plan::{Head, PlanGroup};
use crate::interest::{Plan, SubId, Subscription, Target};
use crate::protocol::frame;

/// Names of queue groups.
type Names = SmallVec<[Arc<[u8]>; 2]>;

/// Who else must be sent one message.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// Other shards: for plain subscriptions, for queue groups.
    pub shards: SmallVec<[(u16, bool, Names); 4]>,
    /// Peers, for plain interest and queue groups.
    pub peers: SmallVec<[(u16, Names); 2]>,
}

impl Shard {
    /// A message that another shard published for subscribers here.
    pub(super) fn deliver_from_lane(&mut self, batch: &Deliveries, entry: &Delivery, message: &Message<'_>) {
        let origin = entry.origin;
        if let Some(peer) = entry.peer {
            let queues: Names = batch.queue_names(entry).map(Arc::from).collect();
            self.forward_from_lane(peer, message, origin, &queues);
            return;
        }
        let Shard { cache, core, .. } = self;
        let found = cache.look_up(&core.sources(message.account), &core.hasher, message.subject);
        let plan = cache.plan(found);
        let rewritten = origin.peer.and_then(|_| Redirected::of(message));
        let (shown, heads) = match &rewritten {
            Some(redirected) => (&redirected.message(message), &[][..]),
            None => (message, &plan.heads[..]),
        };
        let mut reached = entry.plain && core.deliver_plain(&plan.plain, heads, shown, origin);
        for name in batch.queue_names(entry) {
            let group = plan.groups.iter().find(|group| *group.name == *name);
            reached |= match group {
                Some(group) => core.deliver_group(group, shown, origin) || core.pass_on(plan, group, message, entry),
                None => false,
            };
        }
        core.remove_expired();
        if entry.answer && !reached {
            let nobody = Control::Nobody {
                publisher: origin.connection,
                account: message.account,
                subject: message.subject.into(),
                reply: message.reply().unwrap_or_default().into(),
            };
            core.outbox.control(origin.shard, nobody);
        }
        // Publishers on other shards wait because of credit or stalls; this is for those of this shard only.
        core.pressure = None;
    }

    /// Another shard found no responder where the directory said there was one. If it says so no more, the requester is told.
    pub(super) fn nobody_there(&mut self, publisher: Key, account: AccountId, subject: &[u8], reply: &[u8]) {
        let Shard { cache, core, .. } = self;
        let found = cache.look_up(&core.sources(account), &core.hasher, subject);
        let plan = cache.plan(found);
        let echo = core.connection(publisher).is_some_and(|publisher| publisher.flags.echo);
        let other = |target: &Target| echo || target.connection != publisher.index;
        let members = |group: &PlanGroup| {
            group.local.iter().any(other) || core.members_elsewhere(group) > 0 || core.members_of_peers(group) > 0
        };
        let peers = plan.peers.iter().any(|peer| core.peers.path(*peer).is_some());
        if plan.shards.is_empty() && !peers && !plan.plain.iter().any(other) && !plan.groups.iter().any(members) {
            core.no_responders(publisher, account, subject, reply);
        }
    }
}

impl Core {
    /// Delivers a client's message to everybody in the plan.
    pub(super) fn deliver(&mut self, plan: &Plan, message: &Message<'_>, origin: Origin) {
        let mut reached = self.deliver_plain(&plan.plain, &plan.heads, message, origin);
        if plan.groups.is_empty() {
            for &peer in &plan.peers {
                reached |= self.forward(peer, message, origin, &[]);
            }
            for (at, &target) in plan.shards.iter().enumerate() {
                let answer = at == 0 && !reached && self.wants_answer(message, origin);
                self.send(target, message, origin, Addressing { answer, ..Addressing::PLAIN });
            }
        } else {
            let mut elsewhere = Elsewhere {
                shards: plan.shards.iter().map(|&shard| (shard, true, Names::new())).collect(),
                peers: plan.peers.iter().map(|&peer| (peer, Names::new())).collect(),
            };
            for group in &plan.groups {
                reached |= self.deliver_to_one(group, message, origin, &mut elsewhere);
            }
            for (peer, queues) in &elsewhere.peers {
                reached |= self.forward(*peer, message, origin, queues);
            }
            for (at, (target, plain, queues)) in elsewhere.shards.iter().enumerate() {
                let answer = at == 0 && !reached && self.wants_answer(message, origin);
                self.send(*target, message, origin, Addressing { plain: *plain, queues, answer, ..Addressing::PLAIN });
            }
            reached |= !elsewhere.shards.is_empty();
        }
        if !self.receiving.expired.is_empty() {
            self.remove_expired();
        }
        if !reached && plan.shards.is_empty() && self.wants_answer(message, origin) {
            let reply = message.reply().unwrap_or_default();
            self.no_responders(origin.connection, message.account, message.subject, reply);
        }
        if self.is_full() {
            self.pressure.get_or_insert(Pause::Turn);
        }
    }

    fn wants_answer(&mut self, message: &Message<'_>, origin: Origin) -> bool {
        message.reply_len > 0
            && !user_info::is_request(message.subject)
            && self.connection(origin.connection).is_some_and(|publisher| publisher.flags.no_responders)
    }

    /// Appends a message to another shard's parcel.
    pub(super) fn send(&mut self, target: u16, message: &Message<'_>, origin: Origin, to: Addressing<'_>) {
        let Some(batch) = self.outbox.batch(target) else { return };
        batch.push(message, origin, to);
        if let Some(pressure) = self.outbox.pressure(target) {
            self.pressure = Some(pressure.into());
        }
    }

    /// Delivers to plain subscriptions of this shard; did anybody get it?
    #[inline]
    pub(super) fn deliver_plain(
        &mut self,
        targets: &[Target],
        heads: &[Head],
        message: &Message<'_>,
        origin: Origin,
    ) -> bool {
        if let [target] = targets {
            return self.deliver_copy(target, heads.first(), message, origin);
        }
        if message.large.is_none() {
            self.copied += targets.len() * message.tail.len();
        }
        let mut reached = false;
        let mut at = 0;
        while let Some((_, behind)) = targets.get(at..).and_then(<[Target]>::split_first) {
            let alike = behind.iter().take_while(|target| target.same_sid).count() + 1;
            let run = targets.get(at..at + alike).unwrap_or(&[]);
            let head = heads.get(at);
            reached |= if alike == 1 || message.large.is_some() {
                run.iter().fold(false, |reached, target| self.deliver_copy(target, head, message, origin) | reached)
            } else {
                self.deliver_alike(run, head, message, origin)
            };
            at += alike;
        }
        reached
    }

    /// One frame for many connections: written once for those that take headers, once for those that do not.
    fn deliver_alike(&mut self, run: &[Target], head: Option<&Head>, message: &Message<'_>, origin: Origin) -> bool {
        let mut frames = [None, None];
        let mut reached = false;
        for target in run {
            let Some(connection) = self.connections.get_mut(target.connection as usize) else { continue };
            let Some(subscription) = self.local.get_mut(target.subscription) else { continue };
            if !self.receiving.accepts(connection, subscription, target, origin, 1) {
                continue;
            }
            let stripped = message.header_len > 0 && !connection.flags.headers;
            let range = frames[usize::from(stripped)].get_or_insert_with(|| {
                let start = self.arena.len();
                write_frame(&mut self.arena, message, subscription.sid.as_bytes(), head, stripped);
                start..self.arena.len()
            });
            connection.out.append_arena(&mut self.pool, &self.arena, range.clone());
            reached = true;
            mark_dirty(&mut self.dirty, connection);
            if connection.count_sent(message.body_len) > self.gate || self.tracing {
                self.look_closer(target, message, origin, stripped);
            }
        }
        reached
    }

    /// A frame of its own.
    pub(super) fn deliver_copy(
        &mut self,
        target: &Target,
        head: Option<&Head>,
        message: &Message<'_>,
        origin: Origin,
    ) -> bool {
        let Some(connection) = self.connections.get_mut(target.connection as usize) else { return false };
        let Some(subscription) = self.local.get_mut(target.subscription) else { return false };
        if !self.receiving.accepts(connection, subscription, target, origin, 1) {
            return false;
        }
        let sid = subscription.sid.as_bytes();
        let stripped = message.header_len > 0 && !connection.flags.headers;
        match message.large {
            None if !stripped => {
                let out = connection.out.reserve(&mut self.pool, frame_len(message, sid));
                write_frame(out, message, sid, head, false);
            }
            None => {
                self.scratch.clear();
                write_frame(&mut self.scratch, message, sid, None, true);
                connection.out.append(&mut self.pool, &self.scratch);
            }
            Some((data, offset)) => {
                self.scratch.clear();
                let from = write_large_head(&mut self.scratch, message, sid, stripped);
                connection.out.append(&mut self.pool, &self.scratch);
                connection.out.append_shared(data, offset + from);
            }
        }
        mark_dirty(&mut self.dirty, connection);
        if connection.count_sent(message.body_len) > self.gate || self.tracing {
            self.look_closer(target, message, origin, stripped);
        }
        true
    }

    /// After a delivery to a connection that is behind, or that is traced.
    #[cold]
    fn look_closer(&mut self, target: &Target, message: &Message<'_>, origin: Origin, stripped: bool) {
        let Some(connection) = self.connections.get(target.connection as usize) else { return };
        let key = connection.key;
        if connection.out.pending() > self.gate {
            self.behind(key, origin);
        }
        if self.tracing
            && let Some(subscription) = self.local.get(target.subscription)
        {
            let sid = subscription.sid.clone();
            self.trace_delivery(key, message, sid.as_bytes(), stripped);
        }
    }

    /// Ends the subscriptions that have had their last message.
    #[cold]
    pub(super) fn remove_expired(&mut self) {
        while let Some(id) = self.receiving.expired.pop() {
            let Some(subscription) = self.local.get(id) else { continue };
            let index = subscription.connection as usize;
            let Some(connection) = self.connections.get(index) else { continue };
            let key = connection.key;
            log::debug!(
                "{} - Auto-unsubscribe limit of {} reached for sid '{}'",
                connection.label(),
                subscription.max,
                String::from_utf8_lossy(subscription.sid.as_bytes())
            );
            self.remove_subscription(key, id);
        }
    }

    /// Tells a requester that nobody listens, if it listens for the answer itself.
    fn no_responders(&mut self, requester: Key, account: AccountId, subject: &[u8], reply: &[u8]) {
        let hash = self.hasher.hash(account, reply);
        let mut own = None;
        self.local.for_each_match(
            account,
            reply,
            hash,
            |id, subscription| {
                if subscription.connection == requester.index {
                    own = Some(id);
                }
            },
            |_| {},
        );
        let Some(subscription) = own.and_then(|id| self.local.get(id)) else { return };
        let mut line = std::mem::take(&mut self.scratch);
        line.clear();
        frame::write_no_responders(&mut line, reply, subscription.sid.as_bytes(), subject);
        self.tell(requester, &line);
        self.scratch = line;
    }
}

/// What decides whether a subscription gets a message, and what comes of it.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    /// This shard.
    pub shard: u16,
    /// Connections that are behind get nothing, instead of slowing down their publishers.
    pub drop_gated: bool,
    /// Messages that were dropped for this.
    pub dropped: u64,
    /// Subscriptions that have had their last message.
    pub expired: Vec<SubId>,
}

impl Receiving {
    /// May this subscription have the message, or so many at once if it has no limit? If so, they count as delivered.
    #[inline]
    pub fn accepts(
        &mut self,
        connection: &Connection,
        subscription: &mut Subscription,
        target: &Target,
        origin: Origin,
        messages: u32,
    ) -> bool {
        if !origin.echo && origin.connection == connection.key && origin.shard == self.shard {
            return false;
        }
        if connection.closing.is_some() {
            return false;
        }
        if self.drop_gated && connection.flags.gated {
            self.dropped += u64::from(messages);
            return false;
        }
        if subscription.max > 0 {
            if subscription.delivered >= subscription.max {
                return false;
            }
            if subscription.delivered + 1 == subscription.max {
                self.expired.push(target.subscription);
            }
        }
        subscription.delivered = subscription.delivered.saturating_add(messages);
        true
    }
}

#[inline]
fn frame_len(message: &Message<'_>, sid: &[u8]) -> usize {
    let name = if message.header_len > 0 { 5 } else { 4 };
    name + message.subject.len() + 1 + sid.len() + 1 + message.tail.len()
}

#[inline]
fn write_frame(out: &mut Vec<u8>, message: &Message<'_>, sid: &[u8], head: Option<&Head>, stripped: bool) {
    if stripped {
        frame::write_stripped(out, message.subject, sid, message.reply(), message.payload());
        return;
    }
    match head {
        Some(head) => head.append(out, message.header_len > 0),
        None => frame::message_head(out, message.subject, sid, message.header_len > 0),
    }
    append_tail(out, message.tail, message.wide);
}

/// The beginning of a large message's frame; answers from which byte of the tail on it can be shared.
fn write_large_head(out: &mut Vec<u8>, message: &Message<'_>, sid: &[u8], stripped: bool) -> usize {
    if !stripped {
        frame::message_head(out, message.subject, sid, message.header_len > 0);
        return 0;
    }
    let payload = message.body_len - message.header_len;
    frame::message_head(out, message.subject, sid, false);
    if let Some(reply) = message.reply() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    out.extend_from_slice(itoa::Buffer::new().format(payload).as_bytes());
    out.extend_from_slice(b"\r\n");
    message.tail.len().saturating_sub(payload + 2)
}
