//! Out-buffers: what waits to be written to one connection, in order.
//!
//! Three kinds of segment, because copying is cheapest for small frames and dearest for large ones:
//! * *owned* bytes, in buffers lent by the shard's pool;
//! * ranges of the turn's *arena*, where a frame that many connections get alike is written once. The arena lives for one turn: what a
//!   socket did not take by then is copied out of it ([`OutBuffer::keep`]), so nobody pins it;
//! * *shared* large messages, which stay where they were read.
//!
//! An idle connection owns nothing but this empty struct.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::sync::Arc;

use smallvec::SmallVec;

use super::pool::BufferPool;

/// Segments handed to one `writev`.
const SLICES: usize = 64;
/// So many arena ranges may stand apart before small frames are copied instead: a slice of some bytes costs the kernel more than a copy.
const RANGES_APART: usize = 8;
/// A frame of so many bytes is worth a range of its own however many there are.
const WORTH_A_RANGE: usize = 512;
/// Room behind what is asked for: writers copy blocks of fixed size and cut off what is too much.
const SLACK: usize = 64;
/// A list of segments that grew longer than this is not kept while the connection is idle.
const IDLE_SEGMENTS: usize = 8;

#[derive(Debug)]
enum Segment {
    Owned { buffer: Vec<u8>, start: usize },
    Arena { start: usize, end: usize },
    Shared { data: Arc<Vec<u8>>, start: usize },
}

impl Segment {
    fn bytes<'a>(&'a self, arena: &'a [u8]) -> &'a [u8] {
        match self {
            Segment::Owned { buffer, start } => buffer.get(*start..),
            Segment::Arena { start, end } => arena.get(*start..*end),
            Segment::Shared { data, start } => data.get(*start..),
        }
        .unwrap_or(&[])
    }

    fn skip(&mut self, bytes: usize) {
        match self {
            Segment::Owned { start, .. } | Segment::Arena { start, .. } | Segment::Shared { start, .. } => {
                *start += bytes
            }
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct OutBuffer {
    segments: VecDeque<Segment>,
    pending: usize,
    ranges: usize,
}

/// How a flush ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flushed {
    /// Nothing is left.
    Done,
    /// The socket takes no more for now.
    Blocked,
}

impl OutBuffer {
    /// Bytes that wait.
    pub fn pending(&self) -> usize {
        self.pending
    }

    /// Pieces in which it waits.
    pub fn chunks(&self) -> usize {
        self.segments.len()
    }

    /// True if nothing waits.
    pub fn is_empty(&self) -> bool {
        self.pending == 0
    }

    /// True if it holds no memory but a short list.
    #[cfg(test)]
    pub fn owns_nothing(&self) -> bool {
        self.segments.is_empty() && self.segments.capacity() <= IDLE_SEGMENTS
    }

    /// A buffer with room for `bytes` more; the caller appends exactly so many.
    #[inline]
    pub fn reserve(&mut self, pool: &mut BufferPool, bytes: usize) -> &mut Vec<u8> {
        self.pending += bytes;
        let room = match self.segments.back() {
            Some(Segment::Owned { buffer, .. }) => buffer.capacity() - buffer.len() >= bytes + SLACK,
            _ => false,
        };
        if !room {
            // A connection that fills a small buffer is busy.
            let small = self.segments.is_empty();
            self.segments.push_back(Segment::Owned { buffer: pool.take(bytes + SLACK, small), start: 0 });
        }
        match self.segments.back_mut() {
            Some(Segment::Owned { buffer, .. }) => buffer,
            _ => unreachable!("the last segment was just made an owned one"),
        }
    }

    /// Appends bytes.
    pub fn append(&mut self, pool: &mut BufferPool, bytes: &[u8]) {
        self.reserve(pool, bytes.len()).extend_from_slice(bytes);
    }

    /// Appends a range of this turn's arena, by reference or by copy, whichever is cheaper.
    #[inline]
    pub fn append_arena(&mut self, pool: &mut BufferPool, arena: &[u8], range: Range<usize>) {
        if let Some(Segment::Arena { end, .. }) = self.segments.back_mut()
            && *end == range.start
        {
            *end = range.end;
            self.pending += range.len();
        } else if self.ranges < RANGES_APART || range.len() >= WORTH_A_RANGE {
            self.ranges += 1;
            self.pending += range.len();
            self.segments.push_back(Segment::Arena { start: range.start, end: range.end });
        } else if let Some(bytes) = arena.get(range) {
            self.append(pool, bytes);
        }
    }

    /// Appends `data[start..]` by reference.
    pub fn append_shared(&mut self, data: &Arc<Vec<u8>>, start: usize) {
        if let Some(bytes) = data.len().checked_sub(start)
            && bytes > 0
        {
            self.pending += bytes;
            self.segments.push_back(Segment::Shared { data: Arc::clone(data), start });
        }
    }

    /// Writes until nothing is left or `write` says `WouldBlock`; `write` behaves like a socket's `write_vectored`. Answers how many
    /// bytes were written and whether more must wait.
    pub fn flush(
        &mut self,
        arena: &[u8],
        pool: &mut BufferPool,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<(usize, Flushed)> {
        let mut total = 0;
        while self.pending > 0 {
            let slices: SmallVec<[IoSlice<'_>; SLICES]> =
                self.segments.iter().take(SLICES).map(|segment| IoSlice::new(segment.bytes(arena))).collect();
            let taken = match write(&slices) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok((total, Flushed::Blocked)),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            drop(slices);
            total += taken;
            self.advance(taken, arena, pool);
        }
        self.clear(pool);
        Ok((total, Flushed::Done))
    }

    fn advance(&mut self, mut taken: usize, arena: &[u8], pool: &mut BufferPool) {
        self.pending = self.pending.saturating_sub(taken);
        while let Some(first) = self.segments.front_mut() {
            let length = first.bytes(arena).len();
            if taken < length {
                first.skip(taken);
                return;
            }
            taken -= length;
            if let Some(Segment::Owned { buffer, .. }) = self.segments.pop_front() {
                pool.give(buffer);
            }
        }
    }

    /// Copies what still lies in the arena, before the arena is used anew.
    pub fn keep(&mut self, arena: &[u8], pool: &mut BufferPool) {
        if self.ranges == 0 {
            return;
        }
        self.ranges = 0;
        let mut kept = OutBuffer::default();
        for segment in std::mem::take(&mut self.segments) {
            match segment {
                Segment::Arena { start, end } => kept.append(pool, arena.get(start..end).unwrap_or(&[])),
                other => kept.segments.push_back(other),
            }
        }
        self.segments = kept.segments;
    }

    /// Throws everything away.
    pub fn clear(&mut self, pool: &mut BufferPool) {
        for segment in self.segments.drain(..) {
            if let Segment::Owned { buffer, .. } = segment {
                pool.give(buffer);
            }
        }
        self.pending = 0;
        self.ranges = 0;
        if self.segments.capacity() > IDLE_SEGMENTS {
            self.segments = VecDeque::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A socket that takes at most `limit` bytes a call and `room` in all.
    fn drain(out: &mut OutBuffer, arena: &[u8], pool: &mut BufferPool, limit: usize, mut room: usize) -> Vec<u8> {
        let mut got = Vec::new();
        let result = out.flush(arena, pool, &mut |slices| {
            let mut taken = 0;
            for slice in slices {
                let n = slice.len().min(limit - taken).min(room);
                got.extend_from_slice(&slice[..n]);
                taken += n;
                room -= n;
            }
            if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        });
        assert_eq!(result.unwrap().1 == Flushed::Done, out.is_empty());
        got
    }

    #[test]
    fn keeps_order_over_all_kinds_and_short_writes() {
        for limit in [1, 2, 3, 7, 1000] {
            for room in [0, 1, 5, 11, 1000] {
                let mut pool = BufferPool::default();
                let mut out = OutBuffer::default();
                let mut arena = b"arena-one|arena-two|".to_vec();
                out.append(&mut pool, b"first|");
                out.append_arena(&mut pool, &arena, 0..10);
                out.append_arena(&mut pool, &arena, 10..20);
                out.append_shared(&Arc::new(b"head shared|".to_vec()), 5);
                out.append(&mut pool, b"last|");
                let whole = b"first|arena-one|arena-two|shared|last|";
                assert_eq!(out.pending(), whole.len());
                let mut got = drain(&mut out, &arena, &mut pool, limit, room);
                out.keep(&arena, &mut pool);
                arena.fill(b'x');
                got.extend(drain(&mut out, &arena, &mut pool, limit, usize::MAX));
                assert_eq!(got, whole, "limit {limit}, room {room}");
            }
        }
    }

    #[test]
    fn many_small_ranges_are_copied() {
        let mut pool = BufferPool::default();
        let mut out = OutBuffer::default();
        let arena: Vec<u8> = (0..200).collect();
        let mut expected = Vec::new();
        for at in (0..200).step_by(4) {
            out.append_arena(&mut pool, &arena, at..at + 2);
            expected.extend_from_slice(&arena[at..at + 2]);
        }
        assert!(out.segments.len() <= RANGES_APART + 1);
        assert_eq!(drain(&mut out, &arena, &mut pool, 1000, usize::MAX), expected);
    }

    #[test]
    fn an_idle_buffer_owns_nothing() {
        let mut pool = BufferPool::default();
        let mut out = OutBuffer::default();
        for _ in 0..100 {
            out.append(&mut pool, &[b'x'; 3000]);
            out.append_shared(&Arc::new(vec![1; 3000]), 0);
        }
        drain(&mut out, &[], &mut pool, usize::MAX, usize::MAX);
        assert!(out.owns_nothing());
    }
}
