//! The client parser: no panic, the oracle's operations, and the same ones for any cut of the stream.
//!
//! The first byte of the input chooses the limits, the second the cut; the rest is the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shards::protocol::client::{ClientOp, ClientParser, ParserLimits, Publish, Step};

#[path = "../../shards/src/protocol/client/oracle.rs"]
mod oracle;
#[path = "../../shards/src/protocol/client/replay.rs"]
mod replay;

fuzz_target!(|data: &[u8]| {
    let [options, cut, stream @ ..] = data else { return };
    let limits = oracle::Limits {
        control_line: if options & 1 == 0 { 64 } else { 4096 },
        payload: (options & 2 == 0).then_some(100),
        headers: options & 4 == 0,
    };
    let expected = oracle::events(stream, limits);
    assert_eq!(replay::events([stream], limits), expected, "in one piece");
    assert_eq!(replay::events(stream.chunks(1), limits), expected, "byte by byte");
    assert_eq!(replay::events(pieces(stream, *cut), limits), expected, "in pieces");
});

/// Pieces of lengths that grow and shrink with `cut`.
fn pieces(stream: &[u8], cut: u8) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream;
    let mut state = u32::from(cut);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + (state >> 28) as usize;
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        Some(piece)
    })
}
