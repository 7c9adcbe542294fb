//! A connection between two servers, as the network between them sees it: bytes that take their time, and ends that do not know of each
//! other's.

use std::collections::VecDeque;

/// Bytes that one direction holds before its sender's socket fills.
const WINDOW: usize = 64 * 1024;

/// One end: a wire of a server that may not run any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// The server's place.
    pub seat: usize,
    /// Which of the servers that ran there.
    pub life: u64,
    /// Its number for the connection.
    pub wire: usize,
}

/// What is under way in one direction.
#[derive(Debug, Default)]
struct Way {
    /// When each piece arrives; nothing stands for the end of the stream.
    pieces: VecDeque<(u64, Option<Vec<u8>>)>,
    bytes: usize,
    ended: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Link {
    pub ends: [End; 2],
    ways: [Way; 2],
}

impl Link {
    pub fn new(ends: [End; 2]) -> Self {
        Link { ends, ways: Default::default() }
    }

    /// Does the direction from this end take more?
    pub fn has_room(&self, from: usize) -> bool {
        self.ways[from].bytes < WINDOW
    }

    /// Has the end of the stream from this end set out?
    pub fn has_ended(&self, from: usize) -> bool {
        self.ways[from].ended
    }

    /// Bytes set out from an end, and arrive at a time that is never before that of others.
    pub fn send(&mut self, from: usize, at: u64, bytes: Vec<u8>) {
        let way = &mut self.ways[from];
        way.bytes += bytes.len();
        way.push(at, Some(bytes));
    }

    /// So does the end of the stream.
    pub fn end(&mut self, from: usize, at: u64) {
        let way = &mut self.ways[from];
        if !std::mem::replace(&mut way.ended, true) {
            way.push(at, None);
        }
    }

    /// What has arrived from an end by now.
    pub fn arrive(&mut self, from: usize, now: u64) -> Option<Option<Vec<u8>>> {
        let way = &mut self.ways[from];
        let (_, piece) = way.pieces.pop_front_if(|(at, _)| *at <= now)?;
        way.bytes -= piece.as_ref().map_or(0, Vec::len);
        Some(piece)
    }

    /// When the next piece from an end arrives.
    pub fn next_arrival(&self, from: usize) -> Option<u64> {
        self.ways[from].pieces.front().map(|(at, _)| *at)
    }

    /// What was under way is lost.
    pub fn lose_all(&mut self) {
        for way in &mut self.ways {
            way.pieces.retain(|(_, piece)| piece.is_none());
            way.bytes = 0;
        }
    }

    /// Nothing will happen here any more.
    pub fn is_over(&self) -> bool {
        self.ways.iter().all(|way| way.ended && way.pieces.is_empty())
    }
}

impl Way {
    fn push(&mut self, at: u64, piece: Option<Vec<u8>>) {
        let last = self.pieces.back().map_or(0, |(at, _)| *at);
        self.pieces.push_back((at.max(last), piece));
    }
}
