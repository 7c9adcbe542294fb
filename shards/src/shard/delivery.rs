//! From a message and a plan to frames in out-buffers and entries in parcels.
//!
//! A frame is `MSG <subject> <sid> <tail>`: only the sid differs between subscribers. Where several have the same sid (clients number
//! theirs alike), the frame is written once, into the turn's arena, and each of them gets a range of it.

use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::mail::{
    Addressing, Control, Deliveries, Delivery, Lengths, Message, Origin, RunOfFrames, WIDE, append_tail,
};
use super::{Core, Shard, mark_dirty, user_info};
use crate::account::AccountId;
use crate::connection::{CloseReason, Closing, Connection, Key, Pause, Traffic};
use crate::interest::plan::{HEAD_BYTES, Head, PlanGroup};
use crate::interest::{Found, Plan, SubId, Subscription, Target};
use crate::protocol::frame;

/// How often a message for a queue group is passed on when the member that was chosen is gone.
const MAX_HOPS: u8 = 8;
/// A stall when more than three quarters of `max_pending` wait, and when all of it does, in milliseconds.
const STALL_MS: u64 = 2;
const LONG_STALL_MS: u64 = 5;

/// What other shards must be sent of one message: plain subscriptions, queue groups.
type RemoteTargets = SmallVec<[(u16, bool, SmallVec<[Arc<[u8]>; 2]>); 4]>;

impl Shard {
    /// A message that another shard published for subscribers here.
    pub(super) fn deliver_from_lane(&mut self, batch: &Deliveries, entry: &Delivery, message: &Message<'_>) {
        let origin = entry.origin;
        let Shard { cache, core, .. } = self;
        let found = cache.look_up(&core.sources(message.account), &core.hasher, message.subject);
        let plan = cache.plan(found);
        let mut reached = entry.plain && core.deliver_plain(plan, message, origin);
        for name in batch.queue_names(entry) {
            let group = plan.groups.iter().find(|group| *group.name == *name);
            reached |= match group {
                Some(group) => core.deliver_group(group, message, origin) || core.pass_on(group, message, entry),
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

    /// Messages on one subject that another shard published for plain subscriptions here.
    pub(super) fn deliver_run_from_lane(&mut self, run: &RunOfFrames<'_>, origin: Origin) {
        let Shard { cache, core, .. } = self;
        let found = cache.look_up(&core.sources(run.account), &core.hasher, run.subject);
        let plan = cache.plan(found);
        let head = plan.heads.first().filter(|_| plan.alike);
        if head.is_some_and(|head| Some(head.as_bytes()) == run.frames.get(..run.head_len)) {
            // Written for a subscriber with the same sid: fits as it is.
            let start = core.arena.len();
            core.arena.extend_from_slice(run.frames);
            let sent = Traffic { messages: run.lengths.len() as u64, bytes: run.body_bytes() };
            core.deliver_frames(&plan.plain, start..core.arena.len(), sent, origin);
        } else {
            for message in run.messages() {
                core.deliver_plain(plan, &message, origin);
            }
        }
        if !core.receiving.expired.is_empty() {
            core.remove_expired();
        }
        core.pressure = None;
    }

    /// Another shard found no responder where the directory said there was one. If it says so no more, the requester is told.
    pub(super) fn nobody_there(&mut self, publisher: Key, account: AccountId, subject: &[u8], reply: &[u8]) {
        let Shard { cache, core, .. } = self;
        let found = cache.look_up(&core.sources(account), &core.hasher, subject);
        let plan = cache.plan(found);
        let elsewhere = |group: &PlanGroup| !group.local.is_empty() || core.members_elsewhere(group) > 0;
        if plan.plain.is_empty() && plan.shards.is_empty() && !plan.groups.iter().any(elsewhere) {
            core.no_responders(publisher, account, subject, reply);
        }
    }
}

/// Consecutive messages of one publisher on one subject to plain subscriptions that get the same bytes. Their frames lie one after the
/// other in the arena, so each subscriber is looked up and booked once for all of them, and other shards get them in one piece.
#[derive(Debug)]
pub(super) struct Run {
    /// The publisher.
    pub origin: Origin,
    /// Where the plan is.
    pub place: usize,
    account: AccountId,
    head: Head,
    /// Where its frames begin in the arena.
    start: usize,
    sent: Traffic,
    /// Are there other shards, that need to know where messages begin?
    remote: bool,
    lengths: Vec<Lengths>,
}

impl Run {
    /// One more message.
    #[inline]
    pub fn append(&mut self, arena: &mut Vec<u8>, tail: &[u8], wide: Option<&[u8; WIDE]>, body_len: usize) {
        self.sent.messages += 1;
        self.sent.bytes += body_len as u64;
        arena.reserve(HEAD_BYTES + WIDE + tail.len());
        self.head.append(arena, false);
        append_tail(arena, tail, wide);
        if self.remote {
            self.lengths.push((tail.len() as u32, body_len as u32));
        }
    }
}

impl Shard {
    /// Hands the frames of a run to its subscribers.
    #[inline]
    pub(super) fn close_run(&mut self) {
        if let Some(run) = self.core.run.take() {
            self.deliver_run(run);
        }
    }

    fn deliver_run(&mut self, run: Run) {
        let Shard { cache, core, .. } = self;
        let Some((subject, plan)) = cache.kept(run.place) else { return };
        let frames = run.start..core.arena.len();
        core.deliver_frames(&plan.plain, frames.clone(), run.sent, run.origin);
        if run.remote {
            let Core { outbox, arena, .. } = core;
            let frames = RunOfFrames {
                account: run.account,
                subject,
                frames: arena.get(frames).unwrap_or(&[]),
                head_len: run.head.as_bytes().len(),
                lengths: &run.lengths,
            };
            for &target in &plan.shards {
                if let Some(batch) = outbox.batch(target) {
                    batch.push_run(&frames, run.origin);
                }
                if let Some(pressure) = outbox.pressure(target) {
                    core.pressure = Some(pressure.into());
                }
            }
            core.spare_lengths = run.lengths;
        }
        if let Some(pause) = core.pressure.take() {
            core.pause(run.origin.connection, pause);
        }
    }
}

impl Core {
    /// Begins a run with this message, if its subscribers get the same bytes.
    pub(super) fn begin_run(&mut self, found: Found, plan: &Plan, message: &Message<'_>, origin: Origin) -> bool {
        // One message alone is cheaper without a run: only the second on the same subject begins one.
        if std::mem::replace(&mut self.previous, found) != found {
            return false;
        }
        let (Found::Kept(place), Some(head)) = (found, &plan.run_head) else { return false };
        if message.large.is_some() || message.header_len > 0 {
            return false;
        }
        let mut lengths = std::mem::take(&mut self.spare_lengths);
        lengths.clear();
        let mut run = Run {
            origin,
            place,
            account: message.account,
            head: head.clone(),
            start: self.arena.len(),
            sent: Traffic::default(),
            remote: !plan.shards.is_empty(),
            lengths,
        };
        run.append(&mut self.arena, message.tail, message.wide, message.body_len);
        self.run = Some(run);
        true
    }

    /// Hands frames in the arena to subscriptions that all get the same bytes.
    fn deliver_frames(&mut self, targets: &[Target], frames: Range<usize>, sent: Traffic, origin: Origin) {
        for target in targets {
            let Some(connection) = self.connections.get_mut(target.connection as usize) else { continue };
            let Some(subscription) = self.local.get_mut(target.subscription) else { continue };
            if !self.receiving.accepts(connection, subscription, target, origin) {
                continue;
            }
            // One was counted when it was accepted.
            let others = u32::try_from(sent.messages).unwrap_or(u32::MAX).saturating_sub(1);
            subscription.delivered = subscription.delivered.saturating_add(others);
            connection.out.append_arena(&mut self.pool, &self.arena, frames.clone());
            connection.sent.messages += sent.messages;
            connection.sent.bytes += sent.bytes;
            mark_dirty(&mut self.dirty, connection);
            if connection.out.pending() > self.gate {
                let key = connection.key;
                self.behind(key, origin);
            }
        }
    }

    /// Delivers a client's message to everybody in the plan.
    pub(super) fn deliver(&mut self, plan: &Plan, message: &Message<'_>, origin: Origin) {
        let mut reached = self.deliver_plain(plan, message, origin);
        if plan.groups.is_empty() {
            for (at, &target) in plan.shards.iter().enumerate() {
                let answer = at == 0 && !reached && self.wants_answer(message, origin);
                self.send(target, message, origin, Addressing { plain: true, queues: &[], answer, hops: 0 });
            }
        } else {
            let mut remote: RemoteTargets = plan.shards.iter().map(|&shard| (shard, true, SmallVec::new())).collect();
            for group in &plan.groups {
                reached |= self.deliver_to_one(group, message, origin, &mut remote);
            }
            for (at, (target, plain, queues)) in remote.iter().enumerate() {
                let answer = at == 0 && !reached && self.wants_answer(message, origin);
                self.send(*target, message, origin, Addressing { plain: *plain, queues, answer, hops: 0 });
            }
            reached |= !remote.is_empty();
        }
        if !self.receiving.expired.is_empty() {
            self.remove_expired();
        }
        if !reached && plan.shards.is_empty() && self.wants_answer(message, origin) {
            let reply = message.reply().unwrap_or_default();
            self.no_responders(origin.connection, message.account, message.subject, reply);
        }
    }

    fn wants_answer(&mut self, message: &Message<'_>, origin: Origin) -> bool {
        message.reply_len > 0
            && !user_info::is_request(message.subject)
            && self.connection(origin.connection).is_some_and(|publisher| publisher.flags.no_responders)
    }

    /// Appends a message to another shard's parcel.
    fn send(&mut self, target: u16, message: &Message<'_>, origin: Origin, to: Addressing<'_>) {
        let Some(batch) = self.outbox.batch(target) else { return };
        batch.push(message, origin, to);
        if let Some(pressure) = self.outbox.pressure(target) {
            self.pressure = Some(pressure.into());
        }
    }

    /// Delivers to plain subscriptions of this shard; did anybody get it?
    #[inline]
    pub(super) fn deliver_plain(&mut self, plan: &Plan, message: &Message<'_>, origin: Origin) -> bool {
        if let [target] = &plan.plain[..] {
            return self.deliver_copy(target, plan.heads.first(), message, origin);
        }
        let mut reached = false;
        let mut at = 0;
        while let Some((_, behind)) = plan.plain.get(at..).and_then(<[Target]>::split_first) {
            let alike = behind.iter().take_while(|target| target.same_sid).count() + 1;
            let run = plan.plain.get(at..at + alike).unwrap_or(&[]);
            let head = plan.heads.get(at);
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
            if !self.receiving.accepts(connection, subscription, target, origin) {
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
    fn deliver_copy(&mut self, target: &Target, head: Option<&Head>, message: &Message<'_>, origin: Origin) -> bool {
        let Some(connection) = self.connections.get_mut(target.connection as usize) else { return false };
        let Some(subscription) = self.local.get_mut(target.subscription) else { return false };
        if !self.receiving.accepts(connection, subscription, target, origin) {
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

    /// More waits for a connection than should. First its publishers are slowed down, then it is closed.
    #[cold]
    fn behind(&mut self, key: Key, origin: Origin) {
        let max_pending = self.config.limits.max_pending;
        let Some(connection) = self.connection(key) else { return };
        let pending = connection.out.pending();
        let blocked = connection.blocked.is_some();
        connection.flags.gated = true;
        // What piled up in this turn alone says nothing about the socket: it was not asked yet.
        let limit = if blocked { max_pending } else { max_pending.saturating_mul(2) };
        if pending > limit {
            log::info!("{} - Slow Consumer Detected: MaxPending of {max_pending} Exceeded", connection.label());
            self.counters.slow_consumers += 1;
            self.close(key, Closing::Now(CloseReason::SlowConsumerPendingBytes));
            return;
        }
        self.wants_flush = true;
        if self.config.limits.no_fast_producer_stall {
            return;
        }
        if !blocked {
            if origin.shard == self.id {
                self.pressure = Some(Pause::Turn);
            }
            return;
        }
        let milliseconds = if pending >= max_pending { LONG_STALL_MS } else { STALL_MS };
        if origin.shard == self.id {
            self.stall(origin.connection, milliseconds, Some(key));
        } else {
            let stall = Control::Stall { publisher: origin.connection, milliseconds };
            self.outbox.control_once(origin.shard, stall);
        }
    }

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
    fn deliver_to_one(
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

    fn members_elsewhere(&self, group: &PlanGroup) -> u64 {
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
    fn pass_on(&mut self, group: &PlanGroup, message: &Message<'_>, entry: &Delivery) -> bool {
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
    /// May this subscription have the message? If so, it counts as delivered.
    #[inline]
    fn accepts(
        &mut self,
        connection: &Connection,
        subscription: &mut Subscription,
        target: &Target,
        origin: Origin,
    ) -> bool {
        if !origin.echo && origin.connection == connection.key && origin.shard == self.shard {
            return false;
        }
        if connection.closing.is_some() {
            return false;
        }
        if self.drop_gated && connection.flags.gated {
            self.dropped += 1;
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
        subscription.delivered = subscription.delivered.saturating_add(1);
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
        None => write_head(out, message, sid),
    }
    append_tail(out, message.tail, message.wide);
}

fn write_head(out: &mut Vec<u8>, message: &Message<'_>, sid: &[u8]) {
    out.extend_from_slice(if message.header_len > 0 { b"HMSG " } else { b"MSG " });
    out.extend_from_slice(message.subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
}

/// The beginning of a large message's frame; answers from which byte of the tail on it can be shared.
fn write_large_head(out: &mut Vec<u8>, message: &Message<'_>, sid: &[u8], stripped: bool) -> usize {
    if !stripped {
        write_head(out, message, sid);
        return 0;
    }
    let payload = message.body_len - message.header_len;
    out.extend_from_slice(b"MSG ");
    out.extend_from_slice(message.subject);
    out.push(b' ');
    out.extend_from_slice(sid);
    out.push(b' ');
    if let Some(reply) = message.reply() {
        out.extend_from_slice(reply);
        out.push(b' ');
    }
    out.extend_from_slice(itoa::Buffer::new().format(payload).as_bytes());
    out.extend_from_slice(b"\r\n");
    message.tail.len().saturating_sub(payload + 2)
}
