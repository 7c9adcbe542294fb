//! The lines of a stream: an operation's name, blanks, and arguments up to the LF, with or without a CR in front of it.
//!
//! The reader remembers only what would otherwise be kept for nothing: that the rest of a `PING` line is to be ignored, or that a name was
//! read and blanks follow. So nobody can make a connection keep more than one control line.
//!
//! A line ends at the first LF. The reference does not look at the first byte of the arguments, so there an LF right behind the name
//! begins them (`SUB`, LF, `a 1`), and a CR within a line parts arguments, belongs to one or vanishes as its reads happen to end. No client
//! can live on that; here a line is a line, and a CR that no LF follows is a byte like others.

use super::ParseError;
use super::name::{self, Behind, Name, Named};
use super::scan::skip_blanks;

/// Longest name with its blanks that is kept in front of an unfinished line, so that it need not be remembered.
const KEPT_PREFIX_BYTES: usize = 16;

/// Reads the lines of one stream.
#[derive(Debug)]
pub(super) struct LineReader<O> {
    begun: Begun<O>,
}

/// What earlier, consumed bytes have begun.
#[derive(Clone, Copy, Debug)]
enum Begun<O> {
    Nothing,
    /// The name was read; blanks or arguments follow.
    Arguments(O),
    /// The name was read; all up to the LF is ignored.
    Ignored(O),
}

/// A complete control line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line<'a> {
    /// The arguments as they came.
    pub args: &'a [u8],
    /// Where they end in the input.
    pub args_end: usize,
    /// First byte behind the LF.
    pub end: usize,
}

/// Why there is no line.
#[derive(Debug)]
pub(super) enum NoLine {
    /// Only bytes that need not be kept, so many.
    Skipped(usize),
    /// The line at the input's beginning goes on behind its end.
    Incomplete,
    /// There never will be one.
    Error(ParseError),
}

impl<O> Default for LineReader<O> {
    fn default() -> Self {
        LineReader { begun: Begun::Nothing }
    }
}

impl<O: Named> LineReader<O> {
    /// Does a line begin where the input does, and not before?
    #[inline]
    pub(super) fn at_start(&self) -> bool {
        matches!(self.begun, Begun::Nothing)
    }

    /// Reads the line at the beginning of `input`, whose arguments may have `max_args` bytes. The next call will read it again, with what
    /// was missing behind it, unless [`LineReader::go_on`] is called.
    // Always: each parser calls it in one place, and for some lines it is most of the work.
    #[inline(always)]
    pub(super) fn read<'a>(&mut self, input: &'a [u8], max_args: usize) -> Result<(O, Line<'a>), NoLine> {
        let (operation, behind_name) = match self.begun {
            Begun::Nothing => match name::read(input) {
                Name::Whole { operation, length, behind: Behind::Ignored } => {
                    return self.ignored(operation, input, length);
                }
                Name::Whole { operation, length, .. } => (operation, length),
                Name::Partial => return Err(NoLine::Incomplete),
                Name::Unknown { state, offset } => {
                    return Err(NoLine::Error(ParseError::unknown::<O>(state, offset, input)));
                }
            },
            Begun::Arguments(operation) => (operation, 0),
            Begun::Ignored(operation) => return self.ignored(operation, input, 0),
        };
        let start = skip_blanks(input, behind_name);
        let begun = input.get(start..).unwrap_or_default();
        let Some(length) = memchr::memchr(b'\n', begun) else {
            return Err(self.unfinished(operation, begun, start, max_args));
        };
        let args = without_return(begun.get(..length).unwrap_or_default());
        if args.len() > max_args {
            return Err(NoLine::Error(ParseError::ControlLineExceeded));
        }
        let args_end = start.saturating_add(args.len());
        Ok((operation, Line { args, args_end, end: start.saturating_add(length).saturating_add(1) }))
    }

    /// The line that was read is done with: the next one begins with a name.
    #[inline]
    pub(super) fn go_on(&mut self) {
        self.begun = Begun::Nothing;
    }

    fn ignored<'a>(&mut self, operation: O, input: &'a [u8], from: usize) -> Result<(O, Line<'a>), NoLine> {
        match memchr::memchr(b'\n', input.get(from..).unwrap_or_default()) {
            Some(length) => {
                let args_end = from.saturating_add(length);
                Ok((operation, Line { args: &[], args_end, end: args_end.saturating_add(1) }))
            }
            None => {
                self.begun = Begun::Ignored(operation);
                Err(NoLine::Skipped(input.len()))
            }
        }
    }

    /// `begun` is what is there of the arguments, and `start` is where they begin.
    #[cold]
    fn unfinished(&mut self, operation: O, begun: &[u8], start: usize, max_args: usize) -> NoLine {
        if without_return(begun).len() > max_args {
            return NoLine::Error(ParseError::ControlLineExceeded);
        }
        if begun.is_empty() || start > KEPT_PREFIX_BYTES {
            self.begun = Begun::Arguments(operation);
            return NoLine::Skipped(start);
        }
        NoLine::Incomplete
    }
}

#[inline]
fn without_return(text: &[u8]) -> &[u8] {
    text.strip_suffix(b"\r").unwrap_or(text)
}
