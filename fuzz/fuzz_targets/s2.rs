//! S2 streams: no panic and bounded output on any bytes, the same for any cut, and every level's own streams read back.
//!
//! The first byte of the input chooses level and cut; the rest is decoded as it stands, then behind a stream identifier
//! and as a chunk with a right checksum, then encoded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shards::protocol::s2::{Decoder, Encoder, Level, S2Error};

const LEVELS: [Level; 4] = [Level::Uncompressed, Level::Fast, Level::Better, Level::Best];

fuzz_target!(|data: &[u8]| {
    let [options, bytes @ ..] = data else { return };
    let cut = 1 + usize::from(options >> 2);
    any(bytes, cut);
    any(&[b"\xff\x06\x00\x00S2sTwO", bytes].concat(), cut);
    if let Some(block) = block(bytes) {
        any(&block, cut);
    }

    let mut stream = Vec::new();
    Encoder::new(LEVELS[usize::from(options & 3)]).encode(bytes, &mut stream);
    assert_eq!(decode(stream.chunks(cut)).as_deref(), Ok(bytes));
});

/// Decodes to the same bytes, or the same mistake, in one piece and in many.
fn any(stream: &[u8], cut: usize) {
    assert_eq!(decode(stream.chunks(cut)), decode([stream]));
}

/// A stream with `bytes` as a compressed block, whose checksum is right if it can be decompressed.
fn block(bytes: &[u8]) -> Option<Vec<u8>> {
    let (length, _) = minlz::s2::decode_len(bytes).ok().filter(|(length, _)| *length <= 1 << 22)?;
    let mut plain = vec![0; length];
    let checksum = match minlz::s2::decode_into(&mut plain, bytes) {
        Ok(_) => crc32c::crc32c(&plain).rotate_right(15).wrapping_add(0xa282_ead8),
        Err(_) => 0,
    };
    let size = (bytes.len() + 4).to_le_bytes();
    Some([b"\xff\x06\x00\x00S2sTwO\x00", &size[..3], &checksum.to_le_bytes(), bytes].concat())
}

fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<u8>, S2Error> {
    let (mut decoder, mut out) = (Decoder::new(), Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() {
            let before = out.len();
            let used = decoder.decode(piece, &mut out)?;
            let produced = out.len() - before;
            assert!(produced <= 5 << 20, "{produced} bytes at once");
            assert!(used == piece.len() || produced >= 1 << 20, "stopped without a reason");
            piece = &piece[used..];
        }
    }
    Ok(out)
}
