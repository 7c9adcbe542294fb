//! A connection's two streams, as sockets show them: arrivals in pieces, full buffers, edges.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};

/// Bytes that a socket's send buffer holds.
const CAPACITY: usize = 16 * 1024;
/// Most bytes that arrive at once.
const PIECE: usize = 80 * 1024;

/// See the module.
pub(crate) struct Wire {
    /// Sent by the client and not there yet.
    under_way: VecDeque<u8>,
    /// There, and not read by the server.
    arrived: VecDeque<u8>,
    /// The client sends no more.
    closing: bool,
    /// And the server can see it.
    ended: bool,
    /// Written by the server, and not read by the client.
    written: VecDeque<u8>,
    /// Room that the server's end has.
    pub capacity: usize,
    /// Most bytes of one arrival.
    pub piece: usize,
    /// A write found no room.
    blocked: bool,
    /// Edges that the poll would report.
    pub readable: bool,
    pub writable: bool,
    /// The server dropped its end.
    pub closed: bool,
}

impl Wire {
    pub fn new() -> Self {
        Wire {
            under_way: VecDeque::new(),
            arrived: VecDeque::new(),
            closing: false,
            ended: false,
            written: VecDeque::new(),
            capacity: CAPACITY,
            piece: PIECE,
            blocked: false,
            readable: false,
            writable: false,
            closed: false,
        }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.under_way.extend(bytes);
    }

    pub fn close(&mut self) {
        self.closing = true;
    }

    /// Some of what is under way arrives: mostly a lot, often a few bytes.
    pub fn arrive(&mut self, rng: &mut fastrand::Rng) {
        let most = self.under_way.len().min(if rng.bool() { self.piece } else { 8 });
        if most > 0 {
            let now = rng.usize(1..=most);
            self.arrived.extend(self.under_way.drain(..now));
            self.readable = true;
        } else if self.closing && !self.ended {
            self.ended = true;
            self.readable = true;
        }
    }

    /// The client reads.
    pub fn take(&mut self, rng: &mut fastrand::Rng) -> Vec<u8> {
        let most = self.written.len();
        if most == 0 {
            return Vec::new();
        }
        let now = if rng.bool() { most } else { rng.usize(1..=most) };
        // A kernel says that there is room when there is some worth the trouble.
        if std::mem::take(&mut self.blocked) {
            self.writable = true;
        }
        self.written.drain(..now).collect()
    }

    /// The server reads: all that is there, if it fits.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.arrived.is_empty() {
            return if self.ended { Ok(0) } else { Err(ErrorKind::WouldBlock.into()) };
        }
        let count = self.arrived.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.arrived.make_contiguous()[..count]);
        self.arrived.drain(..count);
        Ok(count)
    }

    /// The server writes: some of what there is room for.
    pub fn write(&mut self, slices: &[IoSlice<'_>], rng: &mut fastrand::Rng) -> io::Result<usize> {
        let room = self.capacity.saturating_sub(self.written.len());
        let offered: usize = slices.iter().map(|slice| slice.len()).sum();
        assert!(offered > 0, "a write of nothing");
        if room == 0 {
            self.blocked = true;
            return Err(ErrorKind::WouldBlock.into());
        }
        let taken = if rng.u8(..4) == 0 { rng.usize(1..=room.min(offered)) } else { room.min(offered) };
        let mut left = taken;
        for slice in slices {
            let now = slice.len().min(left);
            self.written.extend(&slice[..now]);
            left -= now;
        }
        Ok(taken)
    }

    /// Is something written that the client did not read?
    pub fn has_output(&self) -> bool {
        !self.written.is_empty()
    }

    /// Can the server see that the client sends no more?
    pub fn has_ended(&self) -> bool {
        self.ended
    }

    /// Nothing can happen here unless somebody sends.
    pub fn is_quiet(&self, client_reads: bool) -> bool {
        let inbound = self.closed || (self.under_way.is_empty() && self.closing == self.ended);
        inbound && (!client_reads || self.written.is_empty())
    }
}
