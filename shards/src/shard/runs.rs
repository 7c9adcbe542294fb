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
    /// Is there anybody who needs to know where messages begin?
    remote: bool,
    /// The head is what routes get, and peers are the only ones who get the messages.
    to_routes: bool,
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
        if !run.to_routes {
            core.deliver_frames(&plan.plain, frames.clone(), run.sent, run.origin);
        }
        let pieces = Pieces {
            account: run.account,
            subject,
            frames: frames.clone(),
            head_len: run.head.as_bytes().len(),
            lengths: &run.lengths,
        };
        for &target in &plan.shards {
            core.send_run(target, &pieces, run.origin, None);
        }
        // What came over a route goes to no other.
        if run.origin.peer.is_none() && !plan.peers.is_empty() {
            core.forward_run(&plan.peers, &pieces, run.to_routes, run.sent, run.origin);
        }
        core.spare_lengths = run.lengths;
        if let Some(pause) = core.pressure.take() {
            core.pause(run.origin.connection, pause);
        }
    }
}

/// A run whose frames lie in the arena.
#[derive(Clone, Debug)]
pub(super) struct Pieces<'a> {
    pub account: AccountId,
    pub subject: &'a [u8],
    pub frames: Range<usize>,
    pub head_len: usize,
    pub lengths: &'a [Lengths],
}

impl<'a> Pieces<'a> {
    pub fn in_arena(&self, arena: &'a [u8]) -> RunOfFrames<'a> {
        let Pieces { account, subject, head_len, lengths, .. } = *self;
        RunOfFrames { account, subject, frames: arena.get(self.frames.clone()).unwrap_or(&[]), head_len, lengths }
    }
}

impl Core {
    /// Appends a run to another shard's parcel: for its plain subscriptions, or for a peer whose route it has.
    pub(super) fn send_run(&mut self, target: u16, pieces: &Pieces<'_>, origin: Origin, peer: Option<u16>) {
        let Core { outbox, arena, .. } = self;
        if let Some(batch) = outbox.batch(target) {
            batch.push_run(&pieces.in_arena(arena), origin, peer);
        }
        if let Some(pressure) = outbox.pressure(target) {
            self.pressure = Some(pressure.into());
        }
    }

    /// Begins a run with this message, if its subscribers get the same bytes.
    pub(super) fn begin_run(&mut self, found: Found, plan: &Plan, message: &Message<'_>, origin: Origin) -> bool {
        // One message alone is cheaper without a run: only the second on the same subject begins one.
        if std::mem::replace(&mut self.previous, found) != found {
            return false;
        }
        let head = if origin.peer.is_some() { &plan.local_head } else { &plan.run_head };
        let (Found::Kept(place), Some(head)) = (found, head) else { return false };
        if message.large.is_some() || message.header_len > 0 {
            return false;
        }
        let as_it_is = |peer: &u16| head.is_of_routes() && self.peers.takes_runs(*peer);
        let to_peers = origin.peer.is_none() && !plan.peers.iter().all(as_it_is);
        let remote = to_peers || !plan.shards.is_empty();
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
            remote,
            to_routes: head.is_of_routes(),
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
                core.deliver_plain(&plan.plain, &plan.heads, &message, origin);
            }
        }
        if !core.receiving.expired.is_empty() {
            core.remove_expired();
        }
        core.pressure = None;
    }
}
