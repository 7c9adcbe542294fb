//! The books: which messages a subscriber or a queue group has had, and what breaks the promise.

use std::collections::VecDeque;

use crate::frame::Stamp;

/// A message that should not have come, or not now.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A message came before an earlier one of its publisher.
    #[error(
        "{who}: from publisher {publisher} message {got} came where {expected} was due: {} lost or overtaken",
        got - expected
    )]
    Gap {
        /// Who received it.
        who: String,
        /// Who published it.
        publisher: u16,
        /// The message that was due.
        expected: u64,
        /// The message that came.
        got: u64,
    },
    /// A message came again, or after a later one of its publisher.
    #[error("{who}: from publisher {publisher} message {got} came again or late, the next one due is {expected}")]
    Repeated {
        /// Who received it.
        who: String,
        /// Who published it.
        publisher: u16,
        /// The message that was due.
        expected: u64,
        /// The message that came.
        got: u64,
    },
    /// A message of a publisher that does not exist.
    #[error("{who}: message from publisher {publisher}, which does not exist")]
    UnknownPublisher {
        /// Who received it.
        who: String,
        /// The number found in the message.
        publisher: u16,
    },
}

/// The books of one plain subscriber: every message of every publisher, once and in order.
#[derive(Debug)]
pub struct InOrder {
    who: String,
    next: Vec<u64>,
}

impl InOrder {
    /// Whose books these are.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Opens the books for messages of this many publishers.
    pub fn new(who: String, publishers: u16) -> Self {
        InOrder { who, next: vec![0; usize::from(publishers)] }
    }

    /// Enters one received message.
    pub fn enter(&mut self, stamp: Stamp) -> Result<(), Violation> {
        let Stamp { publisher, sequence } = stamp;
        let Some(next) = self.next.get_mut(usize::from(publisher)) else {
            return Err(Violation::UnknownPublisher { who: self.who.clone(), publisher });
        };
        let expected = *next;
        if sequence == expected {
            *next += 1;
            return Ok(());
        }
        let who = self.who.clone();
        Err(if sequence > expected {
            Violation::Gap { who, publisher, expected, got: sequence }
        } else {
            Violation::Repeated { who, publisher, expected, got: sequence }
        })
    }
}

/// The books of one queue group: every message once, by whichever member.
///
/// Each member also must get what it gets in the publisher's order: see [`Rising`].
#[derive(Debug)]
pub struct OnceEach {
    who: String,
    seen: Vec<Seen>,
}

/// Messages of one publisher: all below `base`, and those marked in `above`.
#[derive(Debug, Default)]
struct Seen {
    base: u64,
    above: VecDeque<bool>,
}

/// No message may be further ahead of the oldest missing one: it bounds what the books hold.
const MAX_AHEAD: usize = 1 << 24;

impl OnceEach {
    /// Opens the books for messages of this many publishers.
    pub fn new(who: String, publishers: u16) -> Self {
        OnceEach { who, seen: (0..publishers).map(|_| Seen::default()).collect() }
    }

    /// Enters one message that some member received.
    pub fn enter(&mut self, stamp: Stamp) -> Result<(), Violation> {
        let Stamp { publisher, sequence } = stamp;
        let Some(seen) = self.seen.get_mut(usize::from(publisher)) else {
            return Err(Violation::UnknownPublisher { who: self.who.clone(), publisher });
        };
        let (who, expected) = (&self.who, seen.base);
        let repeated = || Violation::Repeated { who: who.clone(), publisher, expected, got: sequence };
        let gap = || Violation::Gap { who: who.clone(), publisher, expected, got: sequence };

        let ahead = sequence.checked_sub(expected).ok_or_else(repeated)?;
        let ahead = usize::try_from(ahead).ok().filter(|ahead| *ahead < MAX_AHEAD).ok_or_else(gap)?;
        if seen.above.len() <= ahead {
            seen.above.resize(ahead + 1, false);
        }
        match seen.above.get_mut(ahead) {
            Some(mark) if !*mark => *mark = true,
            _ => return Err(repeated()),
        }
        while seen.above.front() == Some(&true) {
            seen.above.pop_front();
            seen.base += 1;
        }
        Ok(())
    }
}

/// The books of one member of a queue group: gaps are the other members' share, but the order must hold.
#[derive(Debug)]
pub struct Rising {
    who: String,
    next: Vec<u64>,
}

impl Rising {
    /// Whose books these are.
    pub fn who(&self) -> &str {
        &self.who
    }

    /// Opens the books for messages of this many publishers.
    pub fn new(who: String, publishers: u16) -> Self {
        Rising { who, next: vec![0; usize::from(publishers)] }
    }

    /// Enters one message that this member received.
    pub fn enter(&mut self, stamp: Stamp) -> Result<(), Violation> {
        let Stamp { publisher, sequence } = stamp;
        let Some(next) = self.next.get_mut(usize::from(publisher)) else {
            return Err(Violation::UnknownPublisher { who: self.who.clone(), publisher });
        };
        if sequence < *next {
            let who = self.who.clone();
            return Err(Violation::Repeated { who, publisher, expected: *next, got: sequence });
        }
        *next = sequence + 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(publisher: u16, sequence: u64) -> Stamp {
        Stamp { publisher, sequence }
    }

    #[test]
    fn in_order_takes_each_publisher_in_its_own_order() {
        let mut books = InOrder::new("s".into(), 2);
        for (publisher, sequence) in [(0, 0), (1, 0), (0, 1), (0, 2), (1, 1)] {
            assert_eq!(books.enter(stamp(publisher, sequence)), Ok(()));
        }
    }

    #[test]
    fn in_order_names_losses_and_repeats() {
        let mut books = InOrder::new("s".into(), 1);
        assert!(books.enter(stamp(0, 0)).is_ok());
        let loss = books.enter(stamp(0, 3)).unwrap_err();
        assert_eq!(loss.to_string(), "s: from publisher 0 message 3 came where 1 was due: 2 lost or overtaken");
        assert!(matches!(books.enter(stamp(0, 0)), Err(Violation::Repeated { expected: 1, got: 0, .. })));
        assert!(matches!(books.enter(stamp(1, 0)), Err(Violation::UnknownPublisher { publisher: 1, .. })));
    }

    #[test]
    fn a_group_takes_any_order_but_no_message_twice() {
        let mut books = OnceEach::new("g".into(), 1);
        for sequence in [2, 0, 1, 5, 3] {
            assert_eq!(books.enter(stamp(0, sequence)), Ok(()));
        }
        for again in [0, 3, 5] {
            assert!(matches!(books.enter(stamp(0, again)), Err(Violation::Repeated { expected: 4, .. })), "{again}");
        }
        assert!(matches!(books.enter(stamp(0, u64::MAX >> 16)), Err(Violation::Gap { .. })));
    }

    #[test]
    fn a_member_may_skip_but_not_go_back() {
        let mut books = Rising::new("m".into(), 1);
        assert!(books.enter(stamp(0, 4)).is_ok());
        assert!(books.enter(stamp(0, 9)).is_ok());
        assert!(books.enter(stamp(0, 9)).is_err());
        assert!(books.enter(stamp(0, 5)).is_err());
    }
}
