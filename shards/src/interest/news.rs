//! News: which interest of a shard has changed, to be told to peers.
//!
//! They name what changed, not how: whoever tells a peer looks how things are by then, so news that were overtaken do no harm.

use hashbrown::HashSet;

/// Bytes of messages that are as much work as a byte of news.
const WORK: u64 = 8;

/// See the module. One buffer for all, because a joining peer is told of a million interests.
#[derive(Debug, Default)]
pub struct News {
    entries: Vec<Entry>,
    bytes: Vec<u8>,
    /// Entries about queue groups.
    groups: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    subject_len: u32,
    /// Length of the queue group's name plus one; 0: plain subscriptions.
    queue: u32,
}

impl News {
    /// Something changed about the plain subscriptions to a subject or pattern, or about a queue group there.
    pub fn push(&mut self, subject: &[u8], queue: Option<&[u8]>) {
        self.bytes.extend_from_slice(subject);
        self.bytes.extend_from_slice(queue.unwrap_or_default());
        self.groups += usize::from(queue.is_some());
        // Both came in a control line, which is shorter than that.
        let queue = queue.map_or(0, |name| name.len() as u32 + 1);
        self.entries.push(Entry { subject_len: subject.len() as u32, queue });
    }

    /// Names each queue group once, however often it changed: a client that leaves with many members of it is one piece of
    /// news. Plain subscriptions to a subject are only news when the first one comes or the last one goes.
    pub fn merge_groups(&mut self) {
        if self.groups < 2 {
            return;
        }
        let all = std::mem::take(self);
        let mut seen = HashSet::new();
        for (subject, queue) in all.iter().filter(|&news| news.1.is_none() || seen.insert(news)) {
            self.push(subject, queue);
        }
    }

    /// What they count against the credit of a lane: more than their bytes, because telling a route of them is more work than passing
    /// messages on.
    pub fn weight(&self) -> u64 {
        let bytes = self.bytes.len() + self.entries.len() * size_of::<Entry>();
        (bytes as u64).saturating_mul(WORK)
    }

    /// True without news.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Ready for the next, with its buffers.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes.clear();
        self.groups = 0;
    }

    /// Subjects with their queue groups, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut rest = &self.bytes[..];
        self.entries.iter().map_while(move |entry| {
            let (subject, behind) = rest.split_at_checked(entry.subject_len as usize)?;
            let (queue, behind) = behind.split_at_checked(entry.queue.saturating_sub(1) as usize)?;
            rest = behind;
            Some((subject, (entry.queue > 0).then_some(queue)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_in_comes_out() {
        let mut news = News::default();
        for _ in 0..2 {
            assert!(news.is_empty());
            let all: [(&[u8], Option<&[u8]>); 4] =
                [(b"a.b", None), (b"a", Some(b"q")), (b">", None), (b"b", Some(b""))];
            all.iter().for_each(|(subject, queue)| news.push(subject, *queue));
            assert_eq!(news.iter().collect::<Vec<_>>(), all);
            news.clear();
        }
    }

    #[test]
    fn groups_are_named_once() {
        let mut news = News::default();
        let all: [(&[u8], Option<&[u8]>); 6] =
            [(b"a", Some(b"q")), (b"a", None), (b"b", Some(b"q")), (b"a", None), (b"a", Some(b"q")), (b"a", Some(b""))];
        all.iter().for_each(|(subject, queue)| news.push(subject, *queue));
        for _ in 0..2 {
            news.merge_groups();
            assert_eq!(news.iter().collect::<Vec<_>>(), [all[0], all[1], all[2], all[3], all[5]]);
        }
    }
}
