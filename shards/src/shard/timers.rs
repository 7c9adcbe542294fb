//! A shard's timers: a heap of times, never searched. What fires looks whether it still matters.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::connection::Key;

/// What a timer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// PING, or close who does not answer. Valid for one epoch of the connection.
    Ping(u32),
    /// CONNECT did not come in time.
    Authentication,
    /// A blocked write may be over its deadline.
    Write,
    /// A stalled publisher goes on.
    Resume,
}

/// Times in milliseconds of the clock that the shard is given.
#[derive(Debug, Default)]
pub struct Timers {
    heap: BinaryHeap<Reverse<(u64, u32, u32, Timer)>>,
}

impl Timers {
    /// Fires at `at` or soon after.
    pub fn set(&mut self, at: u64, key: Key, timer: Timer) {
        self.heap.push(Reverse((at, key.index, key.generation, timer)));
    }

    /// When the next one fires.
    pub fn next(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, ..))| *at)
    }

    /// One that is due.
    pub fn pop(&mut self, now: u64) -> Option<(Key, Timer)> {
        if self.next()? > now {
            return None;
        }
        let Reverse((_, index, generation, timer)) = self.heap.pop()?;
        Some((Key { index, generation }, timer))
    }
}
