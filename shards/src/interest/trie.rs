//! Patterns by their tokens: which of many wildcard subscriptions match a subject.
//!
//! A node stands for the tokens that lead to it. A subject walks down token by token and at each node tries the child of that name and
//! the child `*`; a `>` that hangs on a node matches whatever is left, if anything is. Every visit is of another node, so a look-up costs
//! at most as many steps as the trie has nodes, whatever the patterns are. Literal subjects do not belong here: a hash table finds them
//! in one step.

use hashbrown::HashMap;
use slab::Slab;
use smallvec::SmallVec;

use crate::subject::tokens;

const NONE: u32 = u32::MAX;
const ROOT: usize = 0;

/// A map from patterns to numbers (of topics, in the tables above).
#[derive(Debug)]
pub struct Trie {
    nodes: Slab<Node>,
    len: usize,
}

#[derive(Debug)]
struct Node {
    children: Option<Box<HashMap<Box<[u8]>, u32>>>,
    star: u32,
    /// Value of the pattern that ends here.
    here: u32,
    /// Value of the pattern that goes on with `>`.
    rest: u32,
}

impl Node {
    fn new() -> Self {
        Node { children: None, star: NONE, here: NONE, rest: NONE }
    }

    fn is_bare(&self) -> bool {
        self.children.is_none() && self.star == NONE && self.here == NONE && self.rest == NONE
    }

    fn child(&self, token: &[u8]) -> u32 {
        if token == b"*" {
            return self.star;
        }
        self.children.as_ref().and_then(|children| children.get(token)).copied().unwrap_or(NONE)
    }
}

impl Default for Trie {
    fn default() -> Self {
        let mut nodes = Slab::new();
        nodes.insert(Node::new());
        Trie { nodes, len: 0 }
    }
}

impl Trie {
    /// Number of patterns.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without any pattern.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The value of exactly this pattern.
    pub fn get(&self, pattern: &[u8]) -> Option<u32> {
        let (node, is_rest) = self.locate(pattern)?;
        let node = self.nodes.get(node)?;
        let value = if is_rest { node.rest } else { node.here };
        (value != NONE).then_some(value)
    }

    /// Adds a valid pattern that is not there yet.
    pub fn insert(&mut self, pattern: &[u8], value: u32) {
        let mut node = ROOT;
        let mut is_rest = false;
        for token in tokens(pattern) {
            if token == b">" {
                is_rest = true;
                break;
            }
            node = self.child_or_new(node, token);
        }
        let node = &mut self.nodes[node];
        if is_rest {
            node.rest = value;
        } else {
            node.here = value;
        }
        self.len += 1;
    }

    fn child_or_new(&mut self, parent: usize, token: &[u8]) -> usize {
        let child = self.nodes[parent].child(token);
        if child != NONE {
            return child as usize;
        }
        let child = self.nodes.insert(Node::new());
        let parent = &mut self.nodes[parent];
        if token == b"*" {
            parent.star = child as u32;
        } else {
            parent.children.get_or_insert_default().insert(token.into(), child as u32);
        }
        child
    }

    /// Takes a pattern away, and the nodes that only it needed.
    pub fn remove(&mut self, pattern: &[u8]) -> Option<u32> {
        let mut path: SmallVec<[(usize, &[u8]); 8]> = SmallVec::new();
        let mut node = ROOT;
        let mut is_rest = false;
        for token in tokens(pattern) {
            if token == b">" {
                is_rest = true;
                break;
            }
            let child = self.nodes.get(node)?.child(token);
            if child == NONE {
                return None;
            }
            path.push((node, token));
            node = child as usize;
        }
        let last = self.nodes.get_mut(node)?;
        let value = std::mem::replace(if is_rest { &mut last.rest } else { &mut last.here }, NONE);
        if value == NONE {
            return None;
        }
        self.len -= 1;
        while let Some((parent, token)) = path.pop() {
            if !self.nodes[node].is_bare() {
                break;
            }
            self.nodes.remove(node);
            let above = &mut self.nodes[parent];
            if token == b"*" {
                above.star = NONE;
            } else if let Some(children) = &mut above.children {
                children.remove(token);
                if children.is_empty() {
                    above.children = None;
                }
            }
            node = parent;
        }
        Some(value)
    }

    fn locate(&self, pattern: &[u8]) -> Option<(usize, bool)> {
        let mut node = ROOT;
        for token in tokens(pattern) {
            if token == b">" {
                return Some((node, true));
            }
            let child = self.nodes.get(node)?.child(token);
            if child == NONE {
                return None;
            }
            node = child as usize;
        }
        Some((node, false))
    }

    /// Calls `found` with the value of every pattern that matches. A subject with an empty token matches nothing.
    pub fn matches(&self, subject: &[u8], found: &mut impl FnMut(u32)) {
        if self.len == 0 {
            return;
        }
        let mut parts: SmallVec<[&[u8]; 16]> = SmallVec::new();
        for token in tokens(subject) {
            if token.is_empty() {
                return;
            }
            parts.push(token);
        }
        // Nodes to visit and their depths; a stack of our own, because a subject may have more tokens than a thread's stack has room for.
        let mut open: SmallVec<[(u32, usize); 16]> = SmallVec::new();
        open.push((ROOT as u32, 0));
        while let Some((node, depth)) = open.pop() {
            let Some(node) = self.nodes.get(node as usize) else { continue };
            let Some(token) = parts.get(depth) else {
                if node.here != NONE {
                    found(node.here);
                }
                continue;
            };
            if node.rest != NONE {
                found(node.rest);
            }
            if node.star != NONE {
                open.push((node.star, depth + 1));
            }
            if let Some(&child) = node.children.as_ref().and_then(|children| children.get(*token)) {
                open.push((child, depth + 1));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::subject;

    fn found(trie: &Trie, subject: &[u8]) -> Vec<u32> {
        let mut values = Vec::new();
        trie.matches(subject, &mut |value| values.push(value));
        values.sort_unstable();
        values
    }

    #[test]
    fn any_number_of_tokens_finds_room() {
        let subject = b"a.".repeat(300_000);
        let subject = &subject[..subject.len() - 1];
        let pattern = [subject, b".*"].concat();
        let mut trie = Trie::default();
        trie.insert(&pattern, 7);
        assert_eq!(found(&trie, &[subject, b".b"].concat()), [7]);
        assert!(found(&trie, subject).is_empty());
        assert_eq!(trie.remove(&pattern), Some(7));
    }

    #[test]
    fn agrees_with_the_one_by_one_match() {
        let words: [&[u8]; 4] = [b"a", b"b", b"*", b">"];
        let mut patterns: Vec<Vec<u8>> = Vec::new();
        for length in 1..=4usize {
            for mut n in 0..words.len().pow(length as u32) {
                let mut parts = Vec::new();
                for _ in 0..length {
                    parts.push(words[n % words.len()]);
                    n /= words.len();
                }
                let pattern = parts.join(&b'.');
                if subject::is_valid_subscription(&pattern) {
                    patterns.push(pattern);
                }
            }
        }
        let mut trie = Trie::default();
        for (value, pattern) in patterns.iter().enumerate() {
            trie.insert(pattern, value as u32);
        }
        assert_eq!(trie.len(), patterns.len());
        let subjects: [&[u8]; 9] = [b"a", b"a.b", b"a.b.a", b"b.a.b.a", b"a.b.a.b.a", b"a.", b".a", b"a..b", b"a.*"];
        for subject in subjects {
            let expected: Vec<u32> = (0..patterns.len() as u32)
                .filter(|&value| subject::matches(&patterns[value as usize], subject))
                .collect();
            assert_eq!(found(&trie, subject), expected, "{:?}", String::from_utf8_lossy(subject));
        }
        for (value, pattern) in patterns.iter().enumerate() {
            assert_eq!(trie.get(pattern), Some(value as u32));
            assert_eq!(trie.remove(pattern), Some(value as u32));
            assert_eq!(trie.get(pattern), None);
            assert_eq!(trie.remove(pattern), None);
        }
        assert!(trie.is_empty());
        assert_eq!(trie.nodes.len(), 1, "only the root is left");
    }
}
