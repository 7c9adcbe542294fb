//! Literals in one partition of the directory: nine bytes each where one holder wants them, which is nearly always.
//!
//! The key is a part of the hash, so two literals may meet; they then share an entry, and a shard may get a message that nobody there
//! wants. An entry is one word: a holder, how often it has the key, and its subscriber's sid if that is a small number. What does not fit
//! (several holders, larger counts) goes into a list beside the table.

use hashbrown::HashTable;
use slab::Slab;

use super::directory::Remote;
use super::holders::Holders;
use super::sid::SidHint;

/// Tables with less room than this are not worth shrinking.
pub(super) const SHRINK_ABOVE: usize = 256;
const SHARED: u32 = 1 << 31;
const MAX_COUNT: u32 = (1 << 6) - 1;
const MAX_HOLDER: u16 = (1 << 9) - 1;
const NO_SID: u16 = u16::MAX;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: u32,
    /// One holder: count (6 bits), holder (9), sid (16). Else `SHARED` and the number of the list.
    word: u32,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Literals {
    table: HashTable<Entry>,
    shared: Slab<Holders>,
}

fn key_of(hash: u64) -> u32 {
    // The partition is chosen by the highest bits, version slots by the lowest.
    (hash >> 16) as u32
}

fn spread(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn pack(holder: u16, count: u32, sid: u16) -> Option<u32> {
    (holder <= MAX_HOLDER && count <= MAX_COUNT).then(|| count << 25 | u32::from(holder) << 16 | u32::from(sid))
}

fn unpack(word: u32) -> (u16, u32, u16) {
    ((word >> 16) as u16 & MAX_HOLDER, word >> 25 & MAX_COUNT, word as u16)
}

fn small_number(sid: SidHint) -> u16 {
    let text = std::str::from_utf8(sid.as_bytes()).ok();
    let number = text.and_then(|text| text.parse::<u16>().ok().filter(|number| number.to_string() == text));
    number.unwrap_or(NO_SID)
}

fn hint(number: u16) -> SidHint {
    if number == NO_SID { SidHint::default() } else { SidHint::new(number.to_string().as_bytes()) }
}

impl Literals {
    /// True if nobody wants anything.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.table.is_empty() && self.shared.is_empty()
    }

    /// One more interest of a holder.
    pub fn add(&mut self, hash: u64, new: u16, sid: SidHint) {
        let key = key_of(hash);
        let number = small_number(sid);
        let Some(entry) = self.table.find_mut(spread(key), |entry| entry.key == key) else {
            let word = pack(new, 1, number).unwrap_or_else(|| {
                let mut holders = Holders::default();
                holders.add(new, sid);
                SHARED | self.shared.insert(holders) as u32
            });
            self.table.insert_unique(spread(key), Entry { key, word }, |entry| spread(entry.key));
            return;
        };
        if entry.word & SHARED != 0 {
            if let Some(holders) = self.shared.get_mut((entry.word & !SHARED) as usize) {
                holders.add(new, sid);
            }
            return;
        }
        let (holder, count, old) = unpack(entry.word);
        if holder == new
            && let Some(word) = pack(new, count + 1, number)
        {
            entry.word = word;
            return;
        }
        let mut holders = Holders::default();
        (0..count).for_each(|_| holders.add(holder, hint(old)));
        holders.add(new, sid);
        entry.word = SHARED | self.shared.insert(holders) as u32;
    }

    /// One interest of a holder less.
    pub fn remove(&mut self, hash: u64, gone: u16) {
        let key = key_of(hash);
        let Ok(mut found) = self.table.find_entry(spread(key), |entry| entry.key == key) else { return };
        let word = found.get().word;
        if word & SHARED != 0 {
            let number = (word & !SHARED) as usize;
            let Some(holders) = self.shared.get_mut(number) else { return };
            holders.remove(gone);
            if holders.is_nobody() {
                self.shared.remove(number);
                found.remove();
            }
            return;
        }
        let (holder, count, sid) = unpack(word);
        if holder != gone {
            return;
        }
        match pack(gone, count.saturating_sub(1), sid) {
            Some(word) if count > 1 => found.get_mut().word = word,
            _ => {
                found.remove();
            }
        }
    }

    /// Adds the shards that want it, but the asking one, to `out`.
    pub fn others(&self, hash: u64, asking: u16, out: &mut Remote) {
        let key = key_of(hash);
        let Some(entry) = self.table.find(spread(key), |entry| entry.key == key) else { return };
        if entry.word & SHARED != 0 {
            if let Some(holders) = self.shared.get((entry.word & !SHARED) as usize) {
                holders.others(asking, out);
            }
            return;
        }
        let (holder, _, sid) = unpack(entry.word);
        out.note(holder, asking, hint(sid));
    }

    /// Does any holder for which `counts` have it?
    pub fn any(&self, hash: u64, counts: impl Fn(u16) -> bool) -> bool {
        let key = key_of(hash);
        let Some(entry) = self.table.find(spread(key), |entry| entry.key == key) else { return false };
        if entry.word & SHARED == 0 {
            return counts(unpack(entry.word).0);
        }
        let holders = self.shared.get((entry.word & !SHARED) as usize);
        holders.is_some_and(|holders| holders.as_slice().iter().any(|one| counts(one.holder)))
    }

    /// Gives memory back that is not needed any more.
    pub fn shrink(&mut self) {
        if self.table.capacity() > SHRINK_ABOVE && self.table.capacity() / 4 > self.table.len() {
            self.table.shrink_to(self.table.len() * 2, |entry| spread(entry.key));
        }
        if self.shared.is_empty() {
            self.shared.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn wanted_by(literals: &Literals, hash: u64, asking: u16) -> Vec<u16> {
        let mut out = Remote::default();
        literals.others(hash, asking, &mut out);
        out.shards.sort_unstable();
        out.shards.to_vec()
    }

    #[test]
    fn agrees_with_counts() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut literals = Literals::default();
        let mut counts: BTreeMap<(u64, u16), u32> = BTreeMap::new();
        for _ in 0..50_000 {
            let hash = u64::from(random.u8(0..20)) << 16;
            let shard = if random.bool() { 7 } else { random.u16(0..256) };
            if random.u8(..) < 140 {
                literals.add(hash, shard, SidHint::new(b"12"));
                *counts.entry((hash, shard)).or_default() += 1;
            } else if let Some(count) = counts.get_mut(&(hash, shard)).filter(|count| **count > 0) {
                literals.remove(hash, shard);
                *count -= 1;
            }
        }
        let expected = |hash, asking| -> Vec<u16> {
            counts
                .iter()
                .filter(|((h, shard), count)| *h == hash && **count > 0 && *shard != asking)
                .map(|((_, shard), _)| *shard)
                .collect()
        };
        for hash in (0..20).map(|n: u64| n << 16) {
            assert_eq!(wanted_by(&literals, hash, 7), expected(hash, 7));
        }
        for ((hash, shard), count) in counts {
            (0..count).for_each(|_| literals.remove(hash, shard));
        }
        assert!(literals.table.is_empty() && literals.shared.is_empty());
    }

    #[test]
    fn sids_that_are_small_numbers_are_hinted_at() {
        let mut literals = Literals::default();
        for (n, sid) in [&b"0"[..], b"1", b"65534", b"65535", b"07", b"x"].into_iter().enumerate() {
            literals.add((n as u64) << 16, 3, SidHint::new(sid));
            let mut out = Remote::default();
            literals.others((n as u64) << 16, 0, &mut out);
            let expected = if n < 3 { SidHint::new(sid) } else { SidHint::default() };
            assert_eq!(out.sid, expected);
        }
        assert_eq!(size_of::<Entry>(), 8);
    }
}
