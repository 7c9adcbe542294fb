//! A slab in pages: numbers for values, stable until they are removed.
//!
//! A `Vec` that grows copies everything it has, which for a million subscriptions is a stall of the shard and leaves the old copy's memory
//! behind. Here growing is one more page.

use std::ops::{Index, IndexMut};

/// Values in a page, as a power of two.
const PAGE_LOG2: u32 = 10;
const PAGE: usize = 1 << PAGE_LOG2;
const NONE: u32 = u32::MAX;

#[derive(Debug)]
enum Entry<T> {
    /// Free; the next free one.
    Vacant(u32),
    Occupied(T),
}

/// See the module.
#[derive(Debug)]
pub struct Paged<T> {
    pages: Vec<Vec<Entry<T>>>,
    free: u32,
    len: usize,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Paged { pages: Vec::new(), free: NONE, len: 0 }
    }
}

fn split(index: u32) -> (usize, usize) {
    ((index >> PAGE_LOG2) as usize, index as usize & (PAGE - 1))
}

impl<T> Paged<T> {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without values.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All numbers in use are below this one.
    pub fn slots(&self) -> usize {
        self.pages.last().map_or(0, |page| (self.pages.len() - 1) * PAGE + page.len())
    }

    /// The number that the next value gets.
    pub fn next_index(&self) -> u32 {
        if self.free != NONE {
            return self.free;
        }
        match self.pages.last() {
            Some(page) => ((self.pages.len() - 1) * PAGE + page.len()) as u32,
            None => 0,
        }
    }

    /// Takes a value in; its number is [`next_index`](Self::next_index).
    pub fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        let index = self.next_index();
        if self.free != NONE {
            let (page, place) = split(index);
            let entry = &mut self.pages[page][place];
            if let Entry::Vacant(next) = *entry {
                self.free = next;
            }
            *entry = Entry::Occupied(value);
            return index;
        }
        match self.pages.last_mut() {
            Some(page) if page.len() < PAGE => page.push(Entry::Occupied(value)),
            _ => {
                // A table of a few need not pay for a whole page.
                let mut page = if self.pages.is_empty() { Vec::new() } else { Vec::with_capacity(PAGE) };
                page.push(Entry::Occupied(value));
                self.pages.push(page);
            }
        }
        index
    }

    /// The value of this number.
    #[inline]
    pub fn get(&self, index: u32) -> Option<&T> {
        let (page, place) = split(index);
        match self.pages.get(page)?.get(place)? {
            Entry::Occupied(value) => Some(value),
            Entry::Vacant(_) => None,
        }
    }

    /// The same, to change it.
    #[inline]
    pub fn get_mut(&mut self, index: u32) -> Option<&mut T> {
        let (page, place) = split(index);
        match self.pages.get_mut(page)?.get_mut(place)? {
            Entry::Occupied(value) => Some(value),
            Entry::Vacant(_) => None,
        }
    }

    /// Takes a value out. The memory of all is given back with the last.
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let (page, place) = split(index);
        let entry = self.pages.get_mut(page)?.get_mut(place)?;
        if let Entry::Vacant(_) = entry {
            return None;
        }
        let Entry::Occupied(value) = std::mem::replace(entry, Entry::Vacant(self.free)) else { return None };
        self.free = index;
        self.len -= 1;
        if self.len == 0 {
            *self = Paged::default();
        }
        Some(value)
    }
}

impl<T> Index<u32> for Paged<T> {
    type Output = T;

    /// # Panics
    /// If there is no value of this number: only for numbers that the tables keep themselves.
    fn index(&self, index: u32) -> &T {
        match self.get(index) {
            Some(value) => value,
            None => panic!("a table lost its entry {index}"),
        }
    }
}

impl<T> IndexMut<u32> for Paged<T> {
    fn index_mut(&mut self, index: u32) -> &mut T {
        match self.get_mut(index) {
            Some(value) => value,
            None => panic!("a table lost its entry {index}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn agrees_with_a_map() {
        let mut random = fastrand::Rng::with_seed(1);
        let (mut paged, mut map) = (Paged::default(), HashMap::new());
        for value in 0..20_000u64 {
            if random.u8(..) < 150 || map.is_empty() {
                let index = paged.next_index();
                assert_eq!(paged.insert(value), index);
                assert_eq!(map.insert(index, value), None, "{index} was taken");
            } else {
                let index = random.u32(0..4096);
                assert_eq!(paged.remove(index), map.remove(&index));
            }
            assert_eq!((paged.len(), paged.is_empty()), (map.len(), map.is_empty()));
        }
        assert!(map.iter().all(|(index, value)| paged.get(*index) == Some(value)));
        for index in map.into_keys() {
            assert!(paged.remove(index).is_some());
        }
        assert_eq!(paged.pages.capacity(), 0);
    }
}
