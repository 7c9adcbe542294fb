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

    /// How many wait to fire.
    #[cfg(test)]
    pub fn waiting(&self) -> usize {
        self.heap.len()
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_fires_once_in_order_and_never_early(times in prop::collection::vec(0u64..50, 0..60), step in 1u64..20) {
            let mut timers = Timers::default();
            for (number, &at) in times.iter().enumerate() {
                timers.set(at, Key { index: number as u32, generation: at as u32 }, Timer::Write);
            }
            prop_assert_eq!(timers.next(), times.iter().min().copied());
            let mut fired = Vec::new();
            for now in (0..70).step_by(step as usize) {
                let before = fired.len();
                while let Some((key, timer)) = timers.pop(now) {
                    prop_assert_eq!(timer, Timer::Write);
                    prop_assert!(u64::from(key.generation) <= now && u64::from(key.generation) + step > now);
                    fired.push(key.index);
                }
                let at = |index: &u32| times[*index as usize];
                prop_assert!(fired[before..].iter().map(at).is_sorted());
            }
            fired.sort_unstable();
            let due = (0..70).step_by(step as usize).last().unwrap_or(0);
            let expected: Vec<u32> = (0..times.len() as u32).filter(|index| times[*index as usize] <= due).collect();
            prop_assert_eq!(fired, expected);
        }
    }
}
