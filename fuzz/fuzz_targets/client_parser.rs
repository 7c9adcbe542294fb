//! The client parser: no panic, the oracle's operations, and the same ones for any cut of the stream.
//!
//! The first byte of the input chooses the limits, the second the cut; the rest is the stream.

#![no_main]

use libfuzzer_sys::fuzz_target;
use shards::protocol::Publish;
use shards::protocol::client::{ClientOp, ClientParser, ParserLimits, Step};

#[path = "../../shards/src/protocol/cuts.rs"]
mod cuts;
#[path = "../../shards/src/protocol/client/oracle.rs"]
mod oracle;
#[path = "../../shards/src/protocol/plain.rs"]
mod plain;
#[path = "../../shards/src/protocol/client/replay.rs"]
mod replay;

fuzz_target!(|data: &[u8]| {
    let [options, cut, stream @ ..] = data else { return };
    let limits = oracle::Limits {
        control_line: if options & 1 == 0 { 64 } else { 4096 },
        payload: (options & 2 == 0).then_some(100),
        headers: options & 4 == 0,
    };
    cuts::assert_oracles(stream, limits, u32::from(*cut));
});
