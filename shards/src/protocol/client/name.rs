//! The names of what a client may send.

use crate::protocol::name::{self, Entry, Name, entry};

/// What a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Pub,
    Hpub,
    Sub,
    Unsub,
    Connect,
    Info,
    Ping,
    Pong,
    Ok,
    Err,
}

const P: &[Entry<Operation>] = &[
    entry(Operation::Ping, b"PING", &[29, 34, 35, 36], false),
    entry(Operation::Pong, b"PONG", &[29, 37, 38, 39], false),
    entry(Operation::Pub, b"PUB", &[29, 30, 31], true),
];
const S: &[Entry<Operation>] = &[entry(Operation::Sub, b"SUB", &[43, 44, 45], true)];
const U: &[Entry<Operation>] = &[entry(Operation::Unsub, b"UNSUB", &[59, 60, 61, 62, 63], true)];
const H: &[Entry<Operation>] = &[entry(Operation::Hpub, b"HPUB", &[18, 19, 20, 21], true)];
const C: &[Entry<Operation>] = &[entry(Operation::Connect, b"CONNECT", &[10, 11, 12, 13, 14, 15, 16], false)];
const I: &[Entry<Operation>] = &[entry(Operation::Info, b"INFO", &[71, 72, 73, 74], false)];
const PLUS: &[Entry<Operation>] = &[entry(Operation::Ok, b"+OK", &[1, 2, 3], false)];
const MINUS: &[Entry<Operation>] = &[entry(Operation::Err, b"-ERR", &[4, 5, 6, 7], true)];

/// Reads the operation name at the beginning of `input`.
pub(super) fn read(input: &[u8]) -> Name<Operation> {
    let candidates = match input.first().map(u8::to_ascii_uppercase) {
        Some(b'P') => P,
        Some(b'S') => S,
        Some(b'U') => U,
        Some(b'H') => H,
        Some(b'C') => C,
        Some(b'I') => I,
        Some(b'+') => PLUS,
        Some(b'-') => MINUS,
        _ => &[],
    };
    name::read(input, candidates)
}
