//! From plain bytes to an S2 stream, one for each flush of a route.

use super::{CHECKSUM_LENGTH, COMPRESSED, HEADER_LENGTH, IDENTIFIER, Level, PLAIN, checksum};

/// Plain data of one chunk at most. Small enough for tables that stay in the processor's cache.
const BLOCK_LENGTH: usize = 64 * 1024;

/// Below this a block cannot become smaller.
const SHORTEST_COMPRESSED: usize = 32;

/// Writes S2 streams.
pub struct Encoder {
    level: Level,
    /// Keeps its tables from one block to the next; they are empty until the first.
    blocks: minlz::s2::Encoder,
}

impl Encoder {
    /// An encoder that owns no memory until it compresses something.
    pub fn new(level: Level) -> Self {
        Self { level, blocks: minlz::s2::Encoder::new() }
    }

    /// Effort that goes into the streams.
    pub fn level(&self) -> Level {
        self.level
    }

    /// Changes the effort from the next stream on. The tables of another level, up to some megabytes, go.
    pub fn set_level(&mut self, level: Level) {
        if level != self.level {
            *self = Self::new(level);
        }
    }

    /// Appends `plain` to `out` as a stream of its own. Nothing becomes nothing.
    pub fn encode(&mut self, plain: &[u8], out: &mut Vec<u8>) {
        if plain.is_empty() {
            return;
        }
        out.extend_from_slice(IDENTIFIER);
        for block in plain.chunks(BLOCK_LENGTH) {
            match self.compress(block) {
                Some(compressed) => append_chunk(COMPRESSED, checksum(block), &compressed, out),
                None => append_chunk(PLAIN, checksum(block), block, out),
            }
        }
    }

    /// The block in S2's format, unless that saves next to nothing.
    fn compress(&mut self, block: &[u8]) -> Option<Vec<u8>> {
        if block.len() < SHORTEST_COMPRESSED {
            return None;
        }
        let compressed = match self.level {
            Level::Uncompressed => return None,
            Level::Fast => self.blocks.encode(block),
            Level::Better => self.blocks.encode_better(block),
            Level::Best => self.blocks.encode_best(block),
        };
        let worthwhile = block.len().saturating_sub(block.len() / 32).saturating_sub(5);
        (compressed.len() <= worthwhile).then_some(compressed)
    }
}

/// `body` is never longer than a block, so its length has three bytes.
fn append_chunk(kind: u8, checksum: u32, body: &[u8], out: &mut Vec<u8>) {
    let length = body.len().saturating_add(CHECKSUM_LENGTH);
    let [first, second, third, ..] = length.to_le_bytes();
    out.reserve(HEADER_LENGTH.saturating_add(length));
    out.extend_from_slice(&[kind, first, second, third]);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(body);
}
