//! The names of what another server may send.
//!
//! The reference's parser takes some names of clients on a route, too, and ours does what comes of that there.

use crate::protocol::name::{Behind, Entry, Named, entry};
use crate::protocol::publish::Verb;

/// What another server may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Connect,
    Info,
    Interest,
    NoInterest,
    Message(Verb),
    Ping,
    Pong,
    Ok,
    Err,
    Ignored,
}

const R: &[Entry<Operation>] = &[
    entry(Operation::Message(Verb::Rmsg), b"RMSG", &[57, 66, 67, 68], Behind::Blank),
    entry(Operation::Interest, b"RS+", &[57, 58, 45], Behind::Blank),
    entry(Operation::NoInterest, b"RS-", &[57, 58, 63], Behind::Blank),
];
const H: &[Entry<Operation>] = &[
    entry(Operation::Message(Verb::Hmsg), b"HMSG", &[18, 24, 25, 26], Behind::Blank),
    entry(Operation::Message(Verb::Hpub), b"HPUB", &[18, 19, 20, 21], Behind::Blank),
];
const P: &[Entry<Operation>] = &[
    entry(Operation::Ping, b"PING", &[29, 34, 35, 36], Behind::Ignored),
    entry(Operation::Pong, b"PONG", &[29, 37, 38, 39], Behind::Ignored),
    entry(Operation::Message(Verb::Pub), b"PUB", &[29, 30, 31], Behind::Blank),
];
const C: &[Entry<Operation>] =
    &[entry(Operation::Connect, b"CONNECT", &[10, 11, 12, 13, 14, 15, 16], Behind::Arguments)];
const I: &[Entry<Operation>] = &[entry(Operation::Info, b"INFO", &[71, 72, 73, 74], Behind::Arguments)];
const A: &[Entry<Operation>] = &[
    entry(Operation::Ignored, b"A+", &[48, 49], Behind::Blank),
    entry(Operation::Ignored, b"A-", &[48, 52], Behind::Blank),
];
const S: &[Entry<Operation>] = &[entry(Operation::Ignored, b"SUB", &[43, 44, 45], Behind::Blank)];
const U: &[Entry<Operation>] = &[entry(Operation::NoInterest, b"UNSUB", &[59, 60, 61, 62, 63], Behind::Blank)];
/// Of leaf nodes, which are not understood here.
const L: &[Entry<Operation>] = &[
    entry(Operation::Ignored, b"LS+", &[55, 56, 45], Behind::Nothing),
    entry(Operation::Ignored, b"LS-", &[55, 56, 63], Behind::Nothing),
    entry(Operation::Ignored, b"LMSG", &[55, 66, 67, 68], Behind::Nothing),
];
const PLUS: &[Entry<Operation>] = &[entry(Operation::Ok, b"+OK", &[1, 2, 3], Behind::Ignored)];
const MINUS: &[Entry<Operation>] = &[entry(Operation::Err, b"-ERR", &[4, 5, 6, 7], Behind::Blank)];

impl Named for Operation {
    const PARSER: &'static str = "Router";

    fn beginning_with(letter: u8) -> &'static [Entry<Self>] {
        match letter {
            b'R' => R,
            b'H' => H,
            b'P' => P,
            b'I' => I,
            b'C' => C,
            b'A' => A,
            b'S' => S,
            b'U' => U,
            b'L' => L,
            b'+' => PLUS,
            b'-' => MINUS,
            _ => &[],
        }
    }
}
