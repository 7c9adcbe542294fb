//! Streams in pieces, fed to a parser as a connection would, and compared with the oracle: any cut means the same.
//!
//! Test code, and the fuzz targets include it, too.

use super::Publish;
use super::plain::{self, Event, Language, Message};

/// What a parser made of its input.
pub enum Step {
    /// An operation of so many bytes.
    Op(Event, usize),
    /// So many bytes that need not be kept.
    Skipped(usize),
    /// The operation goes on behind the input, and will have so many bytes if that is known.
    Incomplete(Option<usize>),
    /// A mistake: what the other side is told.
    Closed(Option<&'static str>),
}

/// A language that a parser reads.
pub trait Parsed: Language {
    /// A fresh parser.
    fn parser(self) -> impl FnMut(&[u8]) -> Step;
}

/// Asserts that the parser gives the oracle's events for any cut of `stream`, and returns them; `seed` chooses one of the cuts.
pub fn assert_oracles<L: Parsed>(stream: &[u8], language: L, seed: u32) -> Vec<Event> {
    let expected = plain::events(stream, language);
    let shown = stream.escape_ascii();
    assert_eq!(replay([stream], language), expected, "in one piece: {shown}");
    assert_eq!(replay(stream.chunks(1), language), expected, "byte by byte: {shown}");
    assert_eq!(replay(pieces(stream, seed), language), expected, "in pieces: {shown}");
    expected
}

/// Feeds `pieces` one after the other; what is incomplete stays and the next piece is put behind it.
fn replay<'a, L: Parsed>(pieces: impl IntoIterator<Item = &'a [u8]>, language: L) -> Vec<Event> {
    let mut parse = language.parser();
    let mut events = Vec::new();
    let mut kept: Vec<u8> = Vec::new();
    for piece in pieces {
        kept.extend_from_slice(piece);
        let mut done = 0;
        loop {
            let input = &kept[done..];
            match parse(input) {
                Step::Op(event, consumed) => {
                    assert!(consumed > 0 && consumed <= input.len(), "an operation of {consumed} bytes");
                    events.push(event);
                    done += consumed;
                }
                Step::Skipped(0) => break,
                Step::Skipped(consumed) => {
                    assert!(consumed <= input.len(), "skipped {consumed} bytes");
                    done += consumed;
                }
                Step::Incomplete(needed) => {
                    assert!(needed.is_none_or(|needed| needed > input.len()), "{needed:?} of {}", input.len());
                    // What a connection must keep is bounded: a name, a control line, its end.
                    assert!(needed.is_some() || input.len() <= language.control_line() + 18, "kept {}", input.len());
                    break;
                }
                Step::Closed(told) => {
                    events.push(Event::Closed(told));
                    return events;
                }
            }
        }
        kept.drain(..done);
    }
    events
}

/// Pieces of 1 to 16 bytes, whose lengths follow from `seed`.
fn pieces(stream: &[u8], seed: u32) -> impl Iterator<Item = &[u8]> {
    let mut rest = stream;
    let mut state = seed;
    std::iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + (state >> 28) as usize;
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

impl Message {
    /// What both parsers say of a message.
    pub fn of(publish: &Publish<'_>) -> Message {
        let (mut tail, mut anew) = (Vec::new(), Vec::new());
        publish.write_tail(&mut tail);
        let mut in_two_pieces = *publish;
        in_two_pieces.tail = None;
        in_two_pieces.write_tail(&mut anew);
        assert_eq!(tail, anew);
        assert!(tail.ends_with(&[publish.body, b"\r\n"].concat()));
        assert_eq!(publish.has_headers(), publish.header_text.is_some());
        Message {
            name: publish.name(),
            account: None,
            subject: publish.subject.to_vec(),
            reply: publish.reply.map(<[u8]>::to_vec),
            queues: Vec::new(),
            headers: publish.header_len,
            tail,
        }
    }
}

/// Streams of up to 7 fragments, seldom a mistake among them, and the end cut off.
#[cfg(test)]
pub fn streams(
    fragments: &'static [&'static [u8]],
    mistakes: &'static [&'static [u8]],
) -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;

    let fragment = prop_oneof![
        9 => proptest::sample::select(fragments),
        1 => proptest::sample::select(mistakes),
    ];
    (proptest::collection::vec(fragment, 0..8), 0..8usize).prop_map(|(fragments, cut)| {
        let mut stream = fragments.concat();
        stream.truncate(stream.len().saturating_sub(cut));
        stream
    })
}
