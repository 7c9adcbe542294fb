//! The arguments of a control line: blanks apart, up to the line's end.
//!
//! A line ends at the first LF. The reference does not look at the first byte of the arguments, so there an LF right behind the name
//! begins them (`SUB`, LF, `a 1`), and a CR within a line parts arguments, belongs to one or vanishes as its reads happen to end. No client
//! can live on that; here a line is a line, and a CR that no LF follows is a byte like others.

use crate::protocol::scan::find_low;

/// Arguments that any operation may have; more are counted, not kept.
pub(super) const MAX_ARGS: usize = 4;

/// A complete control line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    /// Offsets of the arguments in the input.
    pub args: [Span; MAX_ARGS],
    /// How many arguments there are, also above [`MAX_ARGS`].
    pub count: usize,
    /// Where the line's text ends: its CR LF, or bare LF.
    pub text_end: usize,
    /// First byte behind the LF.
    pub end: usize,
}

/// A range of the input.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    pub start: usize,
    pub end: usize,
}

impl Span {
    #[inline]
    pub(super) fn of(self, input: &[u8]) -> &[u8] {
        input.get(self.start..self.end).unwrap_or_default()
    }
}

/// Splits the line that begins at `start`, which must not be a blank; `None`: the input has no line end yet.
#[inline]
pub(super) fn split(input: &[u8], start: usize) -> Option<Line> {
    let mut line = Line { args: [Span::default(); MAX_ARGS], count: 0, text_end: start, end: start };
    let mut at = start;
    loop {
        while let Some(b' ' | b'\t') = input.get(at) {
            at = at.saturating_add(1);
        }
        let arg_start = at;
        let line_length = loop {
            at = find_low(input, at);
            match (input.get(at)?, input.get(at.saturating_add(1))) {
                (b' ' | b'\t', _) => break 0,
                (b'\n', _) => break 1,
                (b'\r', Some(b'\n')) => break 2,
                _ => at = at.saturating_add(1),
            }
        };
        if at > arg_start {
            if let Some(slot) = line.args.get_mut(line.count) {
                *slot = Span { start: arg_start, end: at };
            }
            line.count = line.count.saturating_add(1);
        }
        if line_length > 0 {
            line.text_end = at;
            line.end = at.saturating_add(line_length);
            return Some(line);
        }
    }
}
