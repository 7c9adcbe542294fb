//! Operation names: which operation does the input begin with, and if none, at which byte is that certain?

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

/// What the beginning of the input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// A whole name (with one blank behind it, where one is required) of `length` bytes.
    Whole { operation: Operation, length: usize },
    /// The input ends within a name.
    Partial,
    /// The byte at `offset` fits no operation.
    Unknown { state: u8, offset: usize },
}

/// A name, and the reference's number for the parser state in which each of its letters was accepted.
struct Entry {
    operation: Operation,
    letters: &'static [u8],
    states: &'static [u8],
    needs_blank: bool,
}

const fn entry(operation: Operation, letters: &'static [u8], states: &'static [u8], needs_blank: bool) -> Entry {
    Entry { operation, letters, states, needs_blank }
}

const P: &[Entry] = &[
    entry(Operation::Ping, b"PING", &[29, 34, 35, 36], false),
    entry(Operation::Pong, b"PONG", &[29, 37, 38, 39], false),
    entry(Operation::Pub, b"PUB", &[29, 30, 31], true),
];
const S: &[Entry] = &[entry(Operation::Sub, b"SUB", &[43, 44, 45], true)];
const U: &[Entry] = &[entry(Operation::Unsub, b"UNSUB", &[59, 60, 61, 62, 63], true)];
const H: &[Entry] = &[entry(Operation::Hpub, b"HPUB", &[18, 19, 20, 21], true)];
const C: &[Entry] = &[entry(Operation::Connect, b"CONNECT", &[10, 11, 12, 13, 14, 15, 16], false)];
const I: &[Entry] = &[entry(Operation::Info, b"INFO", &[71, 72, 73, 74], false)];
const PLUS: &[Entry] = &[entry(Operation::Ok, b"+OK", &[1, 2, 3], false)];
const MINUS: &[Entry] = &[entry(Operation::Err, b"-ERR", &[4, 5, 6, 7], true)];

/// Reads the operation name at the beginning of `input`.
pub(super) fn read(input: &[u8]) -> Name {
    let candidates = match input.first().map(u8::to_ascii_uppercase) {
        Some(b'P') => P,
        Some(b'S') => S,
        Some(b'U') => U,
        Some(b'H') => H,
        Some(b'C') => C,
        Some(b'I') => I,
        Some(b'+') => PLUS,
        Some(b'-') => MINUS,
        Some(_) => return Name::Unknown { state: 0, offset: 0 },
        None => return Name::Partial,
    };
    let mut farthest = Name::Unknown { state: 0, offset: 0 };
    for candidate in candidates {
        let same = candidate.letters.iter().zip(input).take_while(|(a, b)| a.eq_ignore_ascii_case(b)).count();
        let Some(behind) = input.get(same) else { return Name::Partial };
        let whole = same == candidate.letters.len();
        if whole && (!candidate.needs_blank || matches!(behind, b' ' | b'\t')) {
            let length = same.saturating_add(usize::from(candidate.needs_blank));
            return Name::Whole { operation: candidate.operation, length };
        }
        let state = same.checked_sub(1).and_then(|last| candidate.states.get(last)).copied().unwrap_or_default();
        if !matches!(farthest, Name::Unknown { offset, .. } if offset >= same) {
            farthest = Name::Unknown { state, offset: same };
        }
    }
    farthest
}
