//! From the bytes of a route that speaks S2 to plain ones, whatever pieces they come in.

use super::{CHECKSUM_LENGTH, COMPRESSED, HEADER_LENGTH, IDENTIFIER, PLAIN, SKIPPABLE, STREAM, checksum};

/// What one call puts out before it rests: this, and what the last chunk adds.
const OUTPUT_LIMIT: usize = 1024 * 1024;

/// Longest block of an S2 stream.
const S2_BLOCK_LIMIT: usize = 4 * 1024 * 1024;
/// Longest block of a Snappy stream, whose format S2 readers understand too.
const SNAPPY_BLOCK_LIMIT: usize = 64 * 1024;

/// Memory for incomplete chunks that is kept for the next one.
const KEPT_CAPACITY: usize = 128 * 1024;

/// Why a stream cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum S2Error {
    /// Data came before any stream identifier.
    #[error("S2 stream does not begin with its identifier")]
    NoIdentifier,
    /// The identifier is neither S2's nor Snappy's.
    #[error("stream is neither S2 nor Snappy")]
    ForeignStream,
    /// A chunk that must not be skipped.
    #[error("S2 chunk of unknown type 0x{0:02x}")]
    UnknownChunk(u8),
    /// A chunk of data that is shorter than its checksum or longer than any block.
    #[error("S2 chunk of data has {0} bytes")]
    ChunkLength(usize),
    /// A block that says it is longer than a block of this stream may be.
    #[error("S2 block of {0} bytes is longer than the {1} allowed")]
    BlockLength(usize, usize),
    /// A block that cannot be decompressed.
    #[error("corrupt S2 block")]
    CorruptBlock,
    /// A block that decodes to something else than what was sent.
    #[error("S2 block has a wrong checksum")]
    Checksum,
}

/// Reads S2 streams, one behind the other.
#[derive(Default)]
pub struct Decoder {
    /// A chunk whose end has not come yet.
    incomplete: Vec<u8>,
    /// Bytes still to come of a chunk that nobody needs.
    to_skip: usize,
    /// Longest block of the stream; none before its identifier.
    block_limit: Option<usize>,
}

/// Type of a chunk, and the length of its body.
#[derive(Clone, Copy)]
struct Header {
    kind: u8,
    length: usize,
}

impl Decoder {
    /// A decoder at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends to `out` what `input` decodes to, and says how much of `input` was used.
    ///
    /// That is all of it, unless about a megabyte came out: then the caller makes room and comes back with the rest. An
    /// incomplete chunk stays here, at most 4 MiB of it. After an error nothing that follows has a meaning.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, S2Error> {
        let enough = out.len().saturating_add(OUTPUT_LIMIT);
        let mut rest = input;
        while !rest.is_empty() && out.len() < enough {
            rest = self.step(rest, out)?;
        }
        Ok(input.len().saturating_sub(rest.len()))
    }

    /// One chunk, or what there is of it; returns what lies behind.
    fn step<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], S2Error> {
        if self.to_skip > 0 {
            let (skipped, behind) = input.split_at(self.to_skip.min(input.len()));
            self.to_skip = self.to_skip.saturating_sub(skipped.len());
            return Ok(behind);
        }
        if self.incomplete.is_empty()
            && let Some((header, body)) = input.split_first_chunk()
        {
            let header = self.admit(*header)?;
            if header.kind >= SKIPPABLE && header.kind != STREAM {
                self.to_skip = header.length;
                return Ok(body);
            }
            if let Some((body, behind)) = body.split_at_checked(header.length) {
                self.act(header, body, out)?;
                return Ok(behind);
            }
        }
        self.keep(input, out)
    }

    /// Moves to `incomplete` what it lacks, first of a header, then of the chunk.
    fn keep<'a>(&mut self, input: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], S2Error> {
        let wanted = match self.incomplete.first_chunk() {
            None => HEADER_LENGTH,
            Some(header) => HEADER_LENGTH.saturating_add(self.admit(*header)?.length),
        };
        let lacking = wanted.saturating_sub(self.incomplete.len());
        let (taken, behind) = input.split_at(lacking.min(input.len()));
        self.incomplete.extend_from_slice(taken);
        if taken.len() < lacking {
            return Ok(behind);
        }
        let Some((header, body)) = self.incomplete.split_first_chunk() else { return Ok(behind) };
        let header = self.admit(*header)?;
        if header.kind >= SKIPPABLE && header.kind != STREAM {
            self.to_skip = header.length;
            self.incomplete.clear();
        } else if body.len() == header.length {
            let chunk = std::mem::take(&mut self.incomplete);
            self.act(header, chunk.get(HEADER_LENGTH..).unwrap_or_default(), out)?;
            self.reuse(chunk);
        }
        Ok(behind)
    }

    fn reuse(&mut self, mut buffer: Vec<u8>) {
        if buffer.capacity() <= KEPT_CAPACITY {
            buffer.clear();
            self.incomplete = buffer;
        }
    }

    /// Whether this chunk may come here, judged before a byte of its body is kept.
    fn admit(&self, header: [u8; HEADER_LENGTH]) -> Result<Header, S2Error> {
        let [kind, first, second, third] = header;
        let length = u32::from_le_bytes([first, second, third, 0]) as usize;
        match kind {
            STREAM if length == IDENTIFIER.len() - HEADER_LENGTH => {}
            STREAM => return Err(S2Error::ForeignStream),
            COMPRESSED | PLAIN => {
                let limit = self.block_limit.ok_or(S2Error::NoIdentifier)?;
                // A block that does not compress grows by a few bytes for each 64 KiB, and by its length.
                let longest = limit.saturating_add(limit / 1024).saturating_add(64);
                if !(CHECKSUM_LENGTH..=longest).contains(&length) {
                    return Err(S2Error::ChunkLength(length));
                }
            }
            SKIPPABLE.. if self.block_limit.is_some() => {}
            SKIPPABLE.. => return Err(S2Error::NoIdentifier),
            _ => return Err(S2Error::UnknownChunk(kind)),
        }
        Ok(Header { kind, length })
    }

    fn act(&mut self, header: Header, body: &[u8], out: &mut Vec<u8>) -> Result<(), S2Error> {
        if header.kind == STREAM {
            self.block_limit = Some(match body {
                b"S2sTwO" => S2_BLOCK_LIMIT,
                b"sNaPpY" => SNAPPY_BLOCK_LIMIT,
                _ => return Err(S2Error::ForeignStream),
            });
            return Ok(());
        }
        let Some((expected, block)) = body.split_first_chunk() else { return Err(S2Error::ChunkLength(body.len())) };
        let start = out.len();
        if header.kind == COMPRESSED {
            self.decompress(block, out)?;
        } else {
            self.allow(block.len())?;
            out.extend_from_slice(block);
        }
        let decoded = out.get(start..).unwrap_or_default();
        if checksum(decoded) != u32::from_le_bytes(*expected) {
            out.truncate(start);
            return Err(S2Error::Checksum);
        }
        Ok(())
    }

    fn decompress(&self, block: &[u8], out: &mut Vec<u8>) -> Result<(), S2Error> {
        let (length, _) = minlz::s2::decode_len(block).map_err(|_| S2Error::CorruptBlock)?;
        self.allow(length)?;
        let start = out.len();
        out.resize(start.saturating_add(length), 0);
        let room = out.get_mut(start..).unwrap_or_default();
        if minlz::s2::decode_into(room, block).is_err() {
            out.truncate(start);
            return Err(S2Error::CorruptBlock);
        }
        Ok(())
    }

    fn allow(&self, length: usize) -> Result<(), S2Error> {
        let limit = self.block_limit.unwrap_or(0);
        if length > limit { Err(S2Error::BlockLength(length, limit)) } else { Ok(()) }
    }
}
