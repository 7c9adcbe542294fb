//! Buffers that belong to a shard and are lent to its connections while they have something to write.
//!
//! Two sizes: a message for a quiet connection takes a small one, so that a message to ten thousand connections does not take ten thousand
//! large ones; a busy connection goes on with large ones.

/// Capacity of a small buffer in bytes.
pub const SMALL: usize = 1024;
/// Capacity of a large buffer in bytes.
pub const LARGE: usize = 64 * 1024;

/// Buffers kept for reuse: 1 MiB of small ones, 4 MiB of large ones.
const SMALL_KEPT: usize = 1024;
const LARGE_KEPT: usize = 64;

/// Empty buffers, ready to be lent.
#[derive(Debug, Default)]
pub struct BufferPool {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl BufferPool {
    /// A buffer with room for `bytes`; small if it may be.
    pub fn take(&mut self, bytes: usize, small: bool) -> Vec<u8> {
        if small && bytes <= SMALL {
            self.small.pop().unwrap_or_else(|| Vec::with_capacity(SMALL))
        } else if bytes <= LARGE {
            self.large.pop().unwrap_or_else(|| Vec::with_capacity(LARGE))
        } else {
            Vec::with_capacity(bytes)
        }
    }

    /// Takes a buffer back. Odd sizes and what is over the limit are freed.
    pub fn give(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        let (shelf, kept) = match buffer.capacity() {
            SMALL => (&mut self.small, SMALL_KEPT),
            LARGE => (&mut self.large, LARGE_KEPT),
            _ => return,
        };
        if shelf.len() < kept {
            shelf.push(buffer);
        }
    }
}
