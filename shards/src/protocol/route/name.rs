//! The names of what another server may send.
//!
//! The reference's parser takes some names of clients on a route, too, and ours does what comes of that there.

use crate::protocol::name::{self, Entry, Name, entry};

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

/// The names of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Rmsg,
    Hmsg,
    Pub,
    Hpub,
}

const R: &[Entry<Operation>] = &[
    entry(Operation::Message(Verb::Rmsg), b"RMSG", &[57, 66, 67, 68], true),
    entry(Operation::Interest, b"RS+", &[57, 58, 45], true),
    entry(Operation::NoInterest, b"RS-", &[57, 58, 63], true),
];
const H: &[Entry<Operation>] = &[
    entry(Operation::Message(Verb::Hmsg), b"HMSG", &[18, 24, 25, 26], true),
    entry(Operation::Message(Verb::Hpub), b"HPUB", &[18, 19, 20, 21], true),
];
const P: &[Entry<Operation>] = &[
    entry(Operation::Ping, b"PING", &[29, 34, 35, 36], false),
    entry(Operation::Pong, b"PONG", &[29, 37, 38, 39], false),
    entry(Operation::Message(Verb::Pub), b"PUB", &[29, 30, 31], true),
];
const C: &[Entry<Operation>] = &[entry(Operation::Connect, b"CONNECT", &[10, 11, 12, 13, 14, 15, 16], false)];
const I: &[Entry<Operation>] = &[entry(Operation::Info, b"INFO", &[71, 72, 73, 74], false)];
const A: &[Entry<Operation>] =
    &[entry(Operation::Ignored, b"A+", &[48, 49], true), entry(Operation::Ignored, b"A-", &[48, 52], true)];
const S: &[Entry<Operation>] = &[entry(Operation::Ignored, b"SUB", &[43, 44, 45], true)];
const U: &[Entry<Operation>] = &[entry(Operation::NoInterest, b"UNSUB", &[59, 60, 61, 62, 63], true)];
const PLUS: &[Entry<Operation>] = &[entry(Operation::Ok, b"+OK", &[1, 2, 3], false)];
const MINUS: &[Entry<Operation>] = &[entry(Operation::Err, b"-ERR", &[4, 5, 6, 7], true)];

/// Reads the operation name at the beginning of `input`.
pub(super) fn read(input: &[u8]) -> Name<Operation> {
    let candidates = match input.first().map(u8::to_ascii_uppercase) {
        Some(b'R') => R,
        Some(b'H') => H,
        Some(b'P') => P,
        Some(b'I') => I,
        Some(b'C') => C,
        Some(b'A') => A,
        Some(b'S') => S,
        Some(b'U') => U,
        Some(b'+') => PLUS,
        Some(b'-') => MINUS,
        _ => &[],
    };
    name::read(input, candidates)
}
