//! Runs: consecutive messages on one subject, delivered as one.
//!
//! A publisher mostly goes on with the subject that it just used. From the second message on, frames of such messages are written one after
//! the other into the turn's arena, and their subscribers are looked up and booked once for all of them. Whatever else is to be done on
//! the shard closes the run first, so nothing that is written can come between its frames or before them.

use std::ops::Range;

use super::mail::{Lengths, Message, Origin, RunOfFrames, WIDE, append_tail};
use super::{Core, Shard, mark_dirty};
use crate::account::AccountId;
use crate::connection::Traffic;
use crate::interest::plan::{Generations, HEAD_BYTES, Head};
use crate::interest::{Found, Plan, Target};

/// Consecutive messages of one publisher on one subject to plain subscriptions that get the same bytes. Their frames lie one after the
/// other in the arena, so each subscriber is looked up and booked once for all of them, and other shards get them in one piece.
#[derive(Debug)]
pub(super) struct Run {
    /// The publisher.
    pub origin: Origin,
    /// Where the plan is.
    pub place: usize,
    account: AccountId,
    /// It is true as long as these are.
    generations: Generations,
    head: Head,
    /// Where its frames begin in the arena.
    start: usize,
    sent: Traffic,
    /// Are there other shards, that need to know where messages begin?
    remote: bool,
    lengths: Vec<Lengths>,
}

impl Run {
    /// Does the publisher's next message, on this subject, belong to it? A run ends before its publisher's bytes do.
    #[inline]
    pub fn goes_on(&self, subject: &[u8], now: Generations) -> bool {
        self.generations == now && self.head.is_for(subject)
    }

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
            generations: plan.generations,
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
        let messages = u32::try_from(sent.messages).unwrap_or(u32::MAX);
        for target in targets {
            let Some(connection) = self.connections.get_mut(target.connection as usize) else { continue };
            let Some(subscription) = self.local.get_mut(target.subscription) else { continue };
            if !self.receiving.accepts(connection, subscription, target, origin, messages) {
                continue;
            }
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
}

impl Shard {
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
}
