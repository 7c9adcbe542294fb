//! A large operation on its way in: read into a buffer of its own, which all its receivers will share.

/// Most bytes taken in one read.
const READ_BYTES: usize = 256 * 1024;
/// The buffer grows by at least so much at a time.
const STEP_BYTES: usize = 64 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Incoming {
    /// Zeroed where nothing was read yet, once, however small the pieces are that come.
    buffer: Vec<u8>,
    filled: usize,
    needed: usize,
}

impl Incoming {
    /// An operation of `needed` bytes of which the beginning is there.
    pub fn new(beginning: &[u8], needed: usize) -> Self {
        Incoming { buffer: beginning.to_vec(), filled: beginning.len(), needed }
    }

    /// Is all of it there?
    pub fn is_complete(&self) -> bool {
        self.filled >= self.needed
    }

    /// Where to read to. The buffer grows with what came, not with what was announced.
    pub fn room(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            let larger = (self.filled * 2).max(self.filled + STEP_BYTES).min(self.needed);
            self.buffer.reserve_exact(larger.saturating_sub(self.filled));
            self.buffer.resize(larger, 0);
        }
        let end = self.buffer.len().min(self.filled + READ_BYTES);
        self.buffer.get_mut(self.filled..end).unwrap_or(&mut [])
    }

    /// So many bytes were read.
    pub fn advance(&mut self, read: usize) {
        self.filled = (self.filled + read).min(self.buffer.len());
    }

    /// The complete operation.
    pub fn into_bytes(self) -> Vec<u8> {
        self.buffer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_with_what_comes() {
        let whole: Vec<u8> = (0..1_000_000u32).map(|n| n as u8).collect();
        for piece in [1_000, 70_000, 2_000_000] {
            let mut incoming = Incoming::new(&whole[..100], whole.len());
            let mut at = 100;
            while !incoming.is_complete() {
                let room = incoming.room();
                assert!(!room.is_empty());
                let read = room.len().min(piece);
                room[..read].copy_from_slice(&whole[at..at + read]);
                incoming.advance(read);
                at += read;
                assert!(incoming.buffer.len() <= (2 * at).max(at + STEP_BYTES));
            }
            assert!(incoming.into_bytes() == whole);
        }
    }
}
