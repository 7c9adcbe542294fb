//! Hashes that interest goes by.
//!
//! A literal goes by its whole subject. A pattern goes by its two leading tokens if both are literal, else by the first, and is *broad* if
//! it starts with a wildcard. So a subject can be touched by interest under at most four keys: its own, its two prefixes', and the broad one.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use crate::account::AccountId;
use crate::subject::{self, Class};

/// The hash function of one server: seeded at random once, the same on all of its shards.
#[derive(Clone, Debug)]
pub struct Hasher(FixedState);

impl Hasher {
    /// A hash function of its own for each seed.
    pub fn new(seed: u64) -> Self {
        Hasher(FixedState::with_seed(seed))
    }

    /// Hash of some bytes within an account.
    pub fn hash(&self, account: AccountId, bytes: &[u8]) -> u64 {
        self.0.hash_one(bytes) ^ u64::from(account.0).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    /// All keys under which interest in `subject` may be kept.
    pub fn subject_keys(&self, account: AccountId, subject: &[u8]) -> SubjectKeys {
        self.subject_keys_from(account, subject, self.hash(account, subject))
    }

    /// The same when the hash of the whole subject is known already.
    pub fn subject_keys_from(&self, account: AccountId, subject: &[u8], literal: u64) -> SubjectKeys {
        let (one, two) = subject::prefix_lengths(subject);
        let prefix = |length: usize| {
            if length == subject.len() { literal } else { self.hash(account, subject.get(..length).unwrap_or(subject)) }
        };
        SubjectKeys { literal, two: prefix(two), one: prefix(one), broad: self.broad(account) }
    }

    /// The one key under which interest in a literal or pattern is kept.
    pub fn interest_key(&self, account: AccountId, pattern: &[u8]) -> InterestKey {
        let prefix = |length: usize| self.hash(account, pattern.get(..length).unwrap_or(pattern));
        match subject::classify(pattern) {
            Class::Literal => InterestKey { hash: self.hash(account, pattern), literal: true },
            Class::TwoTokens(length) | Class::OneToken(length) => InterestKey { hash: prefix(length), literal: false },
            Class::Broad => InterestKey { hash: self.broad(account), literal: false },
        }
    }

    fn broad(&self, account: AccountId) -> u64 {
        // No subject has a blank in it, so this is nobody's key.
        self.hash(account, b" ")
    }
}

/// Where interest that touches a subject may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectKeys {
    /// Hash of the subject.
    pub literal: u64,
    /// Hash of its first two tokens.
    pub two: u64,
    /// Hash of its first token.
    pub one: u64,
    /// Key of the patterns that begin with a wildcard.
    pub broad: u64,
}

impl SubjectKeys {
    /// The four keys.
    pub fn all(&self) -> [u64; 4] {
        [self.literal, self.two, self.one, self.broad]
    }
}

/// Where one interest is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterestKey {
    /// Its key.
    pub hash: u64,
    /// Literal or pattern.
    pub literal: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::GLOBAL;

    #[test]
    fn a_subject_meets_every_pattern_that_matches_it() {
        let hasher = Hasher::new(7);
        let patterns: [&[u8]; 9] = [b"a.b.c", b"a.b.*", b"a.b.>", b"a.*.c", b"a.>", b"*.b.c", b">", b"a.*.>", b"*.*.*"];
        let keys = hasher.subject_keys(GLOBAL, b"a.b.c");
        for pattern in patterns {
            assert!(subject::matches(pattern, b"a.b.c"));
            assert!(keys.all().contains(&hasher.interest_key(GLOBAL, pattern).hash), "{pattern:?}");
        }
        assert_ne!(hasher.subject_keys(AccountId(1), b"a.b.c"), keys, "accounts are apart");
    }
}
