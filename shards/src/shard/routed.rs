//! Messages between servers: from a client here to peers, and from a route to subscribers here.
//!
//! A peer gets a message once, on the way that the publisher's shard has to it: a route of its own, or another shard's. What came over a
//! route goes to subscribers of this server only, with one exception: a queue group that has no member left here.

use std::ops::Range;
use std::sync::Arc;

use super::delivery::Elsewhere;
use super::mail::{Addressing, Message, Origin, RunOfFrames, append_tail};
use super::peers::Path;
use super::runs::Pieces;
use super::{Core, Shard, mark_dirty};
use crate::account::{self, AccountId};
use crate::connection::{Key, Large, Traffic};
use crate::interest::plan::Generations;
use crate::interest::{Plan, Sources};
use crate::protocol::route::{RoutedMessage, write};

/// So many times `max_pending` may wait for a route; what comes then is dropped and counted.
const MOST_PENDING: usize = 2;
/// A shard complains of dropped messages at most so often, in milliseconds.
const DROP_WARNING_MS: u64 = 1000;

/// What an acknowledged message of a stream names as its reply: where to answer, and behind the `@` the subject to deliver it on.
const ACK_REPLY: &[u8] = b"$JS.ACK.";
/// Dots before that `@`, at least.
const ACK_DOTS: usize = 8;

/// A message that is delivered on another subject than the one that it is matched by: that of a stream of another server.
#[derive(Debug)]
pub(super) struct Redirected {
    subject: Vec<u8>,
    tail: Vec<u8>,
    reply_len: usize,
}

impl Redirected {
    /// If the reply of a message from a route says so.
    #[inline]
    pub fn of(message: &Message<'_>) -> Option<Redirected> {
        if message.reply_len == 0 { None } else { Self::read(message) }
    }

    #[cold]
    fn read(message: &Message<'_>) -> Option<Redirected> {
        let reply = message.reply().filter(|reply| reply.starts_with(ACK_REPLY))?;
        let mut dots = 0;
        let at = reply.iter().position(|byte| {
            dots += usize::from(*byte == b'.');
            *byte == b'@' && dots >= ACK_DOTS
        })?;
        let (answer, subject) = (reply.get(..at)?, reply.get(at + 1..)?);
        let mut tail = answer.to_vec();
        tail.extend_from_slice(message.tail.get(message.reply_len..)?);
        Some(Redirected { subject: subject.to_vec(), tail, reply_len: answer.len() })
    }

    /// As subscribers see it.
    pub fn message<'a>(&'a self, original: &Message<'a>) -> Message<'a> {
        let Redirected { subject, tail, reply_len } = self;
        Message { subject, tail, reply_len: *reply_len, wide: None, large: None, ..*original }
    }
}

/// Is the first name there twice?
fn is_for_groups_alone<'a>(mut names: impl Iterator<Item = &'a [u8]>) -> bool {
    let first = names.next();
    first.is_some() && first == names.next()
}

impl Core {
    /// Sends a client's message to a peer; true if there is a way.
    pub(super) fn forward(&mut self, peer: u16, message: &Message<'_>, origin: Origin, queues: &[Arc<[u8]>]) -> bool {
        if !self.may_forward(message.subject) {
            return false;
        }
        match self.peers.path(peer) {
            Some(Path::Own(key)) => self.write_routed(key, message, origin, queues),
            Some(Path::Via(shard)) => {
                self.send(shard, message, origin, Addressing::peer(peer, queues));
                true
            }
            None => false,
        }
    }

    /// May messages on this subject go to peers?
    #[inline]
    fn may_forward(&self, subject: &[u8]) -> bool {
        let permissions = self.config.cluster.as_ref().and_then(|cluster| cluster.permissions.as_ref());
        permissions.is_none_or(|permissions| permissions.forwards(subject))
    }

    /// Writes a message to a route of this shard.
    pub(super) fn write_routed(
        &mut self,
        key: Key,
        message: &Message<'_>,
        origin: Origin,
        queues: &[Arc<[u8]>],
    ) -> bool {
        let most = self.config.limits.max_pending.saturating_mul(MOST_PENDING);
        let Some(connection) = self.connections.get_mut(key.index as usize).filter(|found| found.key == key) else {
            return false;
        };
        let Some(route) = connection.route.as_mut().filter(|_| connection.closing.is_none()) else { return false };
        if connection.out.pending() > most {
            self.drop_routed(key, Traffic { messages: 1, bytes: message.body_len as u64 });
            return true;
        }
        if is_for_groups_alone(queues.iter().map(|name| &**name)) && !route.is_lane() {
            // To others this cannot be said, and their plain subscribers would get it twice.
            self.receiving.dropped += 1;
            return false;
        }
        let account = route.account_token(message.account).map(str::as_bytes);
        let stripped = message.header_len > 0 && !route.remote.headers;
        if queues.is_empty() && !stripped && message.large.is_none() {
            let account_len = account.map_or(0, |name| name.len() + 1);
            let length = b"RMSG ".len() + account_len + message.subject.len() + 1 + message.tail.len();
            let out = connection.out.reserve(&mut self.pool, length);
            write::message_head(out, account, message.subject, message.header_len > 0);
            append_tail(out, message.tail, message.wide);
        } else {
            let headers = (message.header_len > 0 && !stripped).then_some(message.header_len);
            let body_len = if stripped { message.body_len - message.header_len } else { message.body_len };
            let names = queues.iter().map(|name| &**name);
            self.scratch.clear();
            write::message(&mut self.scratch, account, message.subject, message.reply(), names, headers, body_len);
            connection.out.append(&mut self.pool, &self.scratch);
            let from = message.tail.len().saturating_sub(body_len + 2);
            match message.large {
                Some((data, offset)) => connection.out.append_shared(data, offset + from),
                None => connection.out.append(&mut self.pool, message.tail.get(from..).unwrap_or(&[])),
            }
        }
        mark_dirty(&mut self.dirty, connection);
        if connection.count_sent(message.body_len) > self.gate {
            self.behind(key, origin);
        }
        if self.tracing {
            self.trace_routed(key, message, queues);
        }
        true
    }

    /// A run for peers. `to_routes`: its frames are what routes get.
    pub(super) fn forward_run(
        &mut self,
        peers: &[u16],
        pieces: &Pieces<'_>,
        to_routes: bool,
        sent: Traffic,
        origin: Origin,
    ) {
        if !self.may_forward(pieces.subject) {
            return;
        }
        let mut routed = pieces.clone();
        if !to_routes {
            self.rehead(&mut routed, Some(pieces.account.name()));
        }
        for &peer in peers {
            match self.peers.path(peer) {
                Some(Path::Own(key)) if self.peers.takes_runs(peer) => {
                    self.append_routed(key, routed.frames.clone(), sent, origin);
                }
                Some(Path::Own(key)) => {
                    let mut bare = pieces.clone();
                    self.rehead(&mut bare, None);
                    self.append_routed(key, bare.frames, sent, origin);
                }
                Some(Path::Via(shard)) => self.send_run(shard, &routed, origin, Some(peer)),
                None => {}
            }
        }
    }

    /// Writes the messages of a run once more, as routes get them.
    fn rehead(&mut self, pieces: &mut Pieces<'_>, account: Option<&str>) {
        let start = self.arena.len();
        let mut head = std::mem::take(&mut self.scratch);
        head.clear();
        write::message_head(&mut head, account.map(str::as_bytes), pieces.subject, false);
        let mut at = pieces.frames.start;
        for &(tail_len, _) in pieces.lengths {
            let tail = at + pieces.head_len..at + pieces.head_len + tail_len as usize;
            at = tail.end;
            self.arena.extend_from_slice(&head);
            if tail.end <= start {
                self.arena.extend_from_within(tail);
            }
        }
        pieces.frames = start..self.arena.len();
        pieces.head_len = head.len();
        self.scratch = head;
    }

    /// Frames in the arena for a route of this shard.
    fn append_routed(&mut self, key: Key, frames: Range<usize>, sent: Traffic, origin: Origin) {
        let most = self.config.limits.max_pending.saturating_mul(MOST_PENDING);
        let Some(connection) = self.connections.get_mut(key.index as usize).filter(|found| found.key == key) else {
            return;
        };
        if connection.closing.is_some() {
            return;
        }
        if connection.out.pending() > most {
            self.drop_routed(key, sent);
            return;
        }
        connection.out.append_arena(&mut self.pool, &self.arena, frames);
        connection.sent += sent;
        mark_dirty(&mut self.dirty, connection);
        if connection.out.pending() > self.gate {
            self.behind(key, origin);
        }
    }

    #[cold]
    fn drop_routed(&mut self, key: Key, messages: Traffic) {
        self.receiving.dropped += messages.messages;
        let (now, last) = (self.now, self.last_drop_warning);
        let Some(connection) = self.connection(key) else { return };
        let label = connection.label().to_string();
        let Some(route) = &mut connection.route else { return };
        route.dropped += messages;
        let (dropped, name) = (route.dropped.messages, Arc::clone(&route.remote));
        if last.is_none_or(|last| now.saturating_sub(last) >= DROP_WARNING_MS) {
            self.last_drop_warning = Some(now);
            log::warn!(
                "{label} - Messages dropped because too much waits for the route: {dropped} - Remote: {}",
                name.name
            );
        }
    }

    /// A message from a route, for subscribers here and for one member of each queue group that it names.
    fn deliver_routed(&mut self, plan: &Plan, routed: &RoutedMessage<'_>, message: &Message<'_>, origin: Origin) {
        let redirected = Redirected::of(message);
        let (shown, heads) = match &redirected {
            Some(redirected) => (&redirected.message(message), &[][..]),
            None => (message, &plan.heads[..]),
        };
        let is_again =
            is_for_groups_alone(routed.queues) && self.route(origin.connection).is_some_and(|route| route.is_lane());
        let mut elsewhere = Elsewhere::default();
        if !is_again {
            self.deliver_plain(&plan.plain, heads, shown, origin);
            elsewhere.shards = plan.shards.iter().map(|&shard| (shard, true, Default::default())).collect();
        }
        for name in routed.queues.skip(usize::from(is_again)) {
            let Some(group) = plan.groups.iter().find(|group| *group.name == *name) else { continue };
            let before = elsewhere.shards.iter().map(|(.., queues)| queues.len()).sum::<usize>();
            let here = self.deliver_to_one(group, shown, origin, &mut elsewhere);
            let sent = elsewhere.shards.iter().map(|(.., queues)| queues.len()).sum::<usize>() > before;
            if !here && !sent {
                self.rescue(plan, group, message, origin);
            }
        }
        for (target, plain, queues) in &elsewhere.shards {
            self.send(*target, message, origin, Addressing { plain: *plain, queues, ..Addressing::PLAIN });
        }
        if !self.receiving.expired.is_empty() {
            self.remove_expired();
        }
    }
}

impl Shard {
    /// One message from a route. `operation` begins with it and it ends at `end`.
    #[inline]
    pub(super) fn routed(
        &mut self,
        account: AccountId,
        origin: Origin,
        routed: &RoutedMessage<'_>,
        operation: &[u8],
        end: usize,
        large: Option<&Large>,
    ) {
        let publish = &routed.publish;
        // One like the message before it.
        if let Some(run) = &mut self.core.run
            && publish.header_len == 0
            && routed.queues.is_empty()
            && let Some(tail) = publish.tail
            && publish.reply.is_none_or(|reply| !reply.starts_with(ACK_REPLY))
            && run.goes_on(
                publish.subject,
                Generations::of(&Sources {
                    local: &self.core.local,
                    directory: &self.core.directory,
                    account,
                    shard: usize::from(self.core.id),
                }),
            )
        {
            let wide = operation.get(end.saturating_sub(tail.len())..).and_then(<[u8]>::first_chunk);
            run.append(&mut self.core.arena, tail, wide, publish.body.len());
            return;
        }
        self.close_run();
        self.routed_anew(account, origin, routed, operation, end, large);
    }

    #[inline(never)]
    fn routed_anew(
        &mut self,
        account: AccountId,
        origin: Origin,
        routed: &RoutedMessage<'_>,
        operation: &[u8],
        end: usize,
        large: Option<&Large>,
    ) {
        let Shard { cache, core, .. } = self;
        let publish = &routed.publish;
        let mut message = Message {
            account,
            subject: publish.subject,
            tail: &[],
            wide: None,
            reply_len: publish.reply.map_or(0, <[u8]>::len),
            header_len: publish.header_len,
            body_len: publish.body.len(),
            large: None,
        };
        let mut rewritten = Vec::new();
        match publish.tail {
            Some(tail) => message.take_tail(tail, operation, end, large),
            None => {
                publish.write_tail(&mut rewritten);
                message.tail = &rewritten;
            }
        }
        let found = cache.look_up(&core.sources(account), &core.hasher, publish.subject);
        let plan = cache.plan(found);
        let ordinary = !core.tracing
            && routed.queues.is_empty()
            && publish.reply.is_none_or(|reply| !reply.starts_with(ACK_REPLY));
        if !(ordinary && core.begin_run(found, plan, &message, origin)) {
            core.deliver_routed(plan, routed, &message, origin);
        }
        if let Some(pause) = core.pressure.take() {
            core.pause(origin.connection, pause);
        }
    }

    /// A message that another shard has for a peer whose route is here.
    pub(super) fn forward_from_lane(&mut self, peer: u16, message: &Message<'_>, origin: Origin, queues: &[Arc<[u8]>]) {
        if let Some(Path::Own(key)) = self.core.peers.path(peer) {
            self.core.write_routed(key, message, origin, queues);
        }
        self.core.pressure = None;
    }

    /// The same for a run.
    pub(super) fn forward_run_from_lane(&mut self, peer: u16, run: &RunOfFrames<'_>, origin: Origin) {
        let core = &mut self.core;
        if let Some(Path::Own(key)) = core.peers.path(peer) {
            let sent = Traffic { messages: run.lengths.len() as u64, bytes: run.body_bytes() };
            if core.peers.takes_runs(peer) && run.account == account::GLOBAL {
                let start = core.arena.len();
                core.arena.extend_from_slice(run.frames);
                core.append_routed(key, start..core.arena.len(), sent, origin);
            } else {
                for message in run.messages() {
                    core.write_routed(key, &message, origin, &[]);
                }
            }
        }
        core.pressure = None;
    }
}
