//! The names of what a client may send.

use crate::protocol::name::{Behind, Entry, Named, entry};
use crate::protocol::publish::Verb;

/// What a client may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Message(Verb),
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
    entry(Operation::Ping, b"PING", &[29, 34, 35, 36], Behind::Ignored),
    entry(Operation::Pong, b"PONG", &[29, 37, 38, 39], Behind::Ignored),
    entry(Operation::Message(Verb::Pub), b"PUB", &[29, 30, 31], Behind::Blank),
];
const S: &[Entry<Operation>] = &[entry(Operation::Sub, b"SUB", &[43, 44, 45], Behind::Blank)];
const U: &[Entry<Operation>] = &[entry(Operation::Unsub, b"UNSUB", &[59, 60, 61, 62, 63], Behind::Blank)];
const H: &[Entry<Operation>] = &[entry(Operation::Message(Verb::Hpub), b"HPUB", &[18, 19, 20, 21], Behind::Blank)];
const C: &[Entry<Operation>] =
    &[entry(Operation::Connect, b"CONNECT", &[10, 11, 12, 13, 14, 15, 16], Behind::Arguments)];
const I: &[Entry<Operation>] = &[entry(Operation::Info, b"INFO", &[71, 72, 73, 74], Behind::Arguments)];
const PLUS: &[Entry<Operation>] = &[entry(Operation::Ok, b"+OK", &[1, 2, 3], Behind::Ignored)];
const MINUS: &[Entry<Operation>] = &[entry(Operation::Err, b"-ERR", &[4, 5, 6, 7], Behind::Blank)];

impl Named for Operation {
    const PARSER: &'static str = "Client";

    fn beginning_with(letter: u8) -> &'static [Entry<Self>] {
        match letter {
            b'P' => P,
            b'S' => S,
            b'U' => U,
            b'H' => H,
            b'C' => C,
            b'I' => I,
            b'+' => PLUS,
            b'-' => MINUS,
            _ => &[],
        }
    }
}
