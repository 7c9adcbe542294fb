//! Versions: who knows of a change does not use what was remembered before it.

use std::sync::Arc;

use super::platform::{Mutex, check, thread};
use crate::lane::Versions;

/// A directory of one partition: for each of two subjects, whether somebody wants it.
struct Directory {
    versions: Versions,
    partition: Mutex<[bool; 2]>,
}

impl Directory {
    fn new() -> Arc<Self> {
        Arc::new(Directory { versions: Versions::new(1), partition: Mutex::new([false; 2]) })
    }

    /// The rule of writers.
    fn set(&self, subject: u32, wanted: bool) {
        self.partition.lock().unwrap()[subject as usize] = wanted;
        if wanted {
            self.versions.add(subject);
        } else {
            self.versions.remove(subject);
        }
        self.versions.bump(subject);
    }
}

/// One remembered result.
struct Entry {
    subject: u32,
    generation: u64,
    version: u64,
    wanted: bool,
}

impl Entry {
    /// The rule of readers, on a miss.
    fn read(directory: &Directory, subject: u32) -> Self {
        let generation = directory.versions.generation();
        let version = directory.versions.get(subject);
        let empty = directory.versions.is_empty(subject);
        let wanted = !empty && directory.partition.lock().unwrap()[subject as usize];
        Entry { subject, generation, version, wanted }
    }

    /// The rule of readers, with what is remembered.
    fn wanted(&mut self, directory: &Directory) -> bool {
        let generation = directory.versions.generation();
        if generation != self.generation {
            if directory.versions.get(self.subject) == self.version {
                self.generation = generation;
            } else {
                *self = Entry::read(directory, self.subject);
            }
        }
        self.wanted
    }
}

/// Two writers of two slots; the reader fills its cache while they write, and then learns from each that it is done.
#[test]
fn a_known_change_is_seen() {
    check(|| {
        let directory = Directory::new();
        // Each tells of its change in the way in which a parcel would: over a channel.
        let (told, mut news) = crate::lane::sync::inbox();
        let told = Arc::new(told);
        let writers = [0, 1].map(|subject| {
            let (directory, told) = (directory.clone(), told.clone());
            thread::spawn(move || {
                directory.set(subject, true);
                told.push(subject);
            })
        });
        let mut entries = [0, 1].map(|subject| Entry::read(&directory, subject));
        for _ in 0..2 {
            if let Some(subject) = news.pop() {
                assert!(entries[subject as usize].wanted(&directory), "an old result, or \"empty\"");
            }
        }
        for writer in writers {
            writer.join().unwrap();
        }
        for entry in &mut entries {
            assert!(entry.wanted(&directory));
        }
    });
}

/// One subject is wanted, then not: the reader that knows of the first must not miss it, nor deliver after the second.
#[test]
fn a_change_back_is_seen() {
    check(|| {
        let directory = Directory::new();
        directory.set(0, true);
        let mut entry = Entry::read(&directory, 0);
        let writer = {
            let directory = directory.clone();
            thread::spawn(move || {
                directory.set(0, false);
                directory.set(0, true);
                directory.set(0, false);
            })
        };
        entry.wanted(&directory);
        entry.wanted(&directory);
        writer.join().unwrap();
        assert!(!entry.wanted(&directory));
        assert!(directory.versions.is_empty(0));
        assert!(!Entry::read(&directory, 0).wanted);
    });
}

/// A look half-way through a change finds the old result still good; that must not count for the time after it.
#[test]
fn a_look_during_a_change_is_not_the_last() {
    check(|| {
        let directory = Directory::new();
        directory.set(0, true);
        let mut entry = Entry::read(&directory, 0);
        let writer = {
            let directory = directory.clone();
            thread::spawn(move || {
                directory.set(1, true);
                directory.set(0, false);
            })
        };
        entry.wanted(&directory);
        writer.join().unwrap();
        assert!(!entry.wanted(&directory));
    });
}

/// Interests that share a slot: one goes while the other, complete before, stays. The slot is never empty.
#[test]
fn a_slot_with_a_complete_interest_is_not_empty() {
    check(|| {
        let versions = Arc::new(Versions::new(0));
        versions.add(0);
        versions.bump(0);
        let churn = {
            let versions = versions.clone();
            thread::spawn(move || {
                versions.add(0);
                versions.bump(0);
                versions.remove(0);
                versions.bump(0);
            })
        };
        assert!(!versions.is_empty(0));
        assert!(!versions.is_empty(0));
        churn.join().unwrap();
        assert!(!versions.is_empty(0));
    });
}

/// A change in one slot leaves the others' versions alone.
#[test]
fn churn_ages_its_own_slot_only() {
    check(|| {
        let versions = Versions::new(4);
        let (churned, other) = (versions.slot_of(0xabc3), versions.slot_of(0x5));
        assert_ne!(churned, other);
        let before = (versions.get(churned), versions.get(other), versions.generation());
        versions.bump(churned);
        assert_ne!(versions.get(churned), before.0);
        assert_eq!(versions.get(other), before.1);
        assert_ne!(versions.generation(), before.2);
    });
}
