//! S2 on routes: which compression two servers use, and the framed stream that they then speak.
//!
//! The framing is Snappy's: chunks of one byte of type, three of length and the body. Data chunks begin with a masked
//! CRC-32C of what they decode to. Every flush of a server is a stream of its own, identifier in front, so identifiers
//! come all the time. The block format is left to `minlz`; its stream types are not used because they lose bytes when
//! a socket has no more for now.

mod compression;
mod decoder;
mod encoder;
#[cfg(test)]
mod tests;

pub use compression::{Compression, Level, UnsupportedMode, UnsupportedRemoteMode, level_for_rtt, negotiate};
pub use decoder::{Decoder, S2Error};
pub use encoder::Encoder;

/// A stream's first chunk.
const IDENTIFIER: &[u8; 10] = b"\xff\x06\x00\x00S2sTwO";

/// Type of a chunk with a compressed block.
const COMPRESSED: u8 = 0x00;
/// Type of a chunk with the data as they are.
const PLAIN: u8 = 0x01;
/// Types from here on up to the stream identifier are jumped over; data of a later format are below.
const SKIPPABLE: u8 = 0x80;
/// Type of a stream identifier.
const STREAM: u8 = 0xff;

/// Type and length of a chunk.
const HEADER_LENGTH: usize = 4;
/// In front of the data of a chunk.
const CHECKSUM_LENGTH: usize = 4;

/// CRC-32C, rotated and shifted as the framing wants it.
fn checksum(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}
