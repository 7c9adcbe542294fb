//! Backpressure: when more waits for a connection than should, who feeds it is slowed down, and only then it is closed.
//!
//! A connection with more than three quarters of `max_pending` waiting has its *gate* raised. Clients that publish to it rest for some
//! milliseconds (not longer than ten for what was read at once), or until the gate falls. A publisher also rests for the remainder of a
//! turn in which it made enough parcels, and while a shard that it feeds has no credit for it. A connection that is paused is not
//! read, so the pressure goes on to its sender.

use std::io::{self, IoSlice};
use std::time::Duration;

use super::Core;
use super::mail::{Control, Origin};
use super::timers::Timer;
use crate::connection::{Blocked, CloseReason, Closing, Flushed, Key, Pause};

/// A stall when more than three quarters of `max_pending` wait, and when all of it does, in milliseconds.
const STALL_MS: u64 = 2;
const LONG_STALL_MS: u64 = 5;

/// Most that a publisher is stalled for the bytes of one read, in milliseconds.
const STALL_BUDGET_MS: u64 = 10;
/// A shard warns of stalls at most so often.
const STALL_WARNING_MS: u64 = 1000;

impl Core {
    /// Lets a publisher rest.
    pub(super) fn pause(&mut self, key: Key, pause: Pause) {
        let Some(connection) = self.connection(key) else { return };
        if connection.closing.is_some() || connection.pause.is_some() {
            return;
        }
        connection.pause = Some(pause);
        self.disturbed = true;
        match pause {
            Pause::Turn => {
                // What there is leaves now; else each further publisher would add a read's worth to it.
                self.wants_flush = true;
                self.waiting_for_turn.push(key);
            }
            Pause::Credit { target } => self.waiting_for_credit.push((target, key)),
            Pause::Stall { .. } | Pause::Verification => {}
        }
    }

    /// Lets a publisher go on.
    pub(super) fn resume(&mut self, key: Key) {
        if let Some(connection) = self.connection(key)
            && connection.pause.take().is_some()
        {
            self.resumed.push(key);
        }
    }

    /// A new turn begins: those that had enough of the last one go on.
    pub(super) fn resume_those_of_the_last_turn(&mut self) {
        for key in std::mem::take(&mut self.waiting_for_turn) {
            self.resume(key);
        }
    }

    /// A publisher rests for a while because the connection `slow` is behind; `by` is its key if it is on this shard.
    pub(super) fn stall(&mut self, publisher: Key, milliseconds: u64, slow: u64, by: Option<Key>) {
        let now = self.now;
        let Some(connection) = self.connection(publisher) else { return };
        // Of a route: many publishers, most of whom have nothing to do with it.
        if connection.route.is_some()
            || connection.stalled >= STALL_BUDGET_MS
            || connection.closing.is_some()
            || connection.pause.is_some()
        {
            return;
        }
        let milliseconds = milliseconds.min(STALL_BUDGET_MS - connection.stalled);
        connection.stalled += milliseconds;
        connection.stalls += 1;
        log::debug!("{} - Producer stalled for {milliseconds}ms, cid:{slow} is behind", connection.label());
        let until = now + milliseconds;
        connection.pause = Some(Pause::Stall { until });
        self.disturbed = true;
        self.counters.stalls += 1;
        self.timers.set(until, publisher, Timer::Resume);
        if let Some(by) = by {
            self.stalled_by.push((by, publisher));
        }
    }

    /// New bytes of a publisher were read: says how long it was stalled for those before.
    #[cold]
    pub(super) fn end_stalls(&mut self, publisher: Key) {
        let Some(connection) = self.connection(publisher) else { return };
        let total = std::mem::take(&mut connection.stalled);
        let (label, account) = (connection.label().to_string(), connection.account.name());
        if self.now.saturating_sub(self.last_stall_warning) >= STALL_WARNING_MS || self.last_stall_warning == 0 {
            self.last_stall_warning = self.now;
            log::warn!("{label} - Producer was stalled for a total of {total}ms - Account:{account}");
        }
    }

    /// Whoever rests because of this connection goes on.
    pub(super) fn release_stalled_by(&mut self, by: Key) {
        if self.stalled_by.is_empty() {
            return;
        }
        let mut stalled = std::mem::take(&mut self.stalled_by);
        stalled.retain(|&(slow, publisher)| {
            if slow == by
                && let Some(connection) = self.connection(publisher)
                && matches!(connection.pause, Some(Pause::Stall { .. }))
            {
                self.resume(publisher);
            }
            slow != by
        });
        self.stalled_by = stalled;
    }

    /// More waits for a connection than should. First its publishers are slowed down, then it is closed.
    #[cold]
    pub(super) fn behind(&mut self, key: Key, origin: Origin) {
        let max_pending = self.config.limits.max_pending;
        let Some(connection) = self.connection(key) else { return };
        let pending = connection.out.pending();
        let (blocked, slow) = (connection.blocked.is_some(), connection.cid);
        connection.flags.gated = true;
        // What piled up in this turn alone says nothing about the socket: it was not asked yet.
        let is_route = connection.route.is_some();
        let limit = if blocked { max_pending } else { max_pending.saturating_mul(2) };
        if pending > limit && !is_route {
            log::info!("{} - Slow Consumer Detected: MaxPending of {max_pending} Exceeded", connection.label());
            self.counters.slow_consumers += 1;
            self.close(key, Closing::Now(CloseReason::SlowConsumerPendingBytes));
            return;
        }
        self.wants_flush = true;
        if self.config.limits.no_fast_producer_stall && !is_route {
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
            self.stall(origin.connection, milliseconds, slow, Some(key));
        } else {
            let stall = Control::Stall { publisher: origin.connection, milliseconds, slow };
            self.outbox.control_once(origin.shard, stall);
        }
    }

    /// Writes what waits for a connection, and sees what that means for those who feed it.
    pub(super) fn flush(
        &mut self,
        key: Key,
        writable: bool,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) {
        let now = self.now;
        let Some(connection) = self.connections.get_mut(key.index as usize).filter(|found| found.key == key) else {
            return;
        };
        connection.flags.dirty = false;
        if connection.sent.messages != connection.flushed.messages {
            let sent = connection.sent.since(connection.flushed);
            self.history.sent += sent;
            if connection.route.is_some() {
                self.history.routed_out += sent;
            }
            connection.flushed = connection.sent;
            connection.last_served = now;
        }
        if let Some(Closing::Now(_)) = connection.closing {
            return;
        }
        // Who is behind is asked again: it may have read since, and the poll tells of that between turns only.
        if connection.blocked.is_some() && !writable && !connection.flags.gated {
            connection.out.keep(&self.arena, &mut self.pool);
            return;
        }
        match connection.write(&self.arena, &mut self.pool, write) {
            Ok((_, Flushed::Done)) => {
                connection.blocked = None;
                if let Some(slow) = connection.slow.take() {
                    log::info!(
                        "{} - Slow Consumer Recovered: Flush took {:.3}s with {} chunks of {} total bytes.",
                        connection.label(),
                        Duration::from_millis(now.saturating_sub(slow.since)).as_secs_f64(),
                        slow.chunks,
                        slow.bytes
                    );
                }
            }
            Ok((written, Flushed::Blocked)) => {
                connection.out.keep(&self.arena, &mut self.pool);
                let pending = connection.out.pending();
                match &mut connection.blocked {
                    Some(blocked) if written < blocked.batch => {
                        blocked.batch -= written;
                        blocked.progress |= written > 0;
                    }
                    state => {
                        *state = Some(Blocked { since: now, batch: pending, progress: false });
                        self.watch_writes(key);
                    }
                }
            }
            Err(_) => {
                self.close(key, Closing::Now(CloseReason::WriteError));
                return;
            }
        }
        let gate = self.gate;
        if let Some(connection) = self.connection(key)
            && connection.flags.gated
            && connection.out.pending() <= gate
        {
            connection.flags.gated = false;
            self.release_stalled_by(key);
        }
    }
}
