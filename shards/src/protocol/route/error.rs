//! Why a route is closed for what it sent: the words for the log and those for the wire.

use std::fmt;

use super::words::Words;
use crate::protocol::quote::{quoted, snippet};

/// A fatal mistake in the byte stream. `Display` is the log line, in the reference's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RouteParseError {
    /// No operation begins like this, or a payload does not end where its size says.
    #[error("Router parser ERROR, state={state}, i={offset}: proto='{snippet}...'")]
    UnknownOperation {
        /// The reference's number for the parser state.
        state: u8,
        /// Where in the input the unexpected byte is.
        offset: usize,
        /// The input from there on, quoted and cut.
        snippet: Box<str>,
    },
    /// The argument part of a line is too long.
    #[error("maximum control line exceeded")]
    ControlLineExceeded,
    /// The payload that was announced is larger than this server takes from a route.
    #[error("maximum payload exceeded: {size} vs {max}")]
    PayloadExceeded {
        /// Announced size.
        size: usize,
        /// The limit.
        max: usize,
    },
    /// Wrong number of arguments, or a size that is none.
    #[error("{0}")]
    Arguments(Box<str>),
}

impl RouteParseError {
    /// What the other server is told with `-ERR` before the close; `None`: it is closed without a word.
    pub fn wire_text(&self) -> Option<&'static str> {
        match self {
            RouteParseError::UnknownOperation { .. } => Some("Unknown Protocol Operation"),
            RouteParseError::ControlLineExceeded => Some("maximum control line exceeded"),
            RouteParseError::PayloadExceeded { .. } => Some("Maximum Payload Violation"),
            RouteParseError::Arguments(_) => None,
        }
    }

    /// The same, where the input given to the parser was the part from `start` on of what was read.
    pub fn within(mut self, start: usize) -> RouteParseError {
        if let RouteParseError::UnknownOperation { offset, .. } = &mut self {
            *offset = offset.saturating_add(start);
        }
        self
    }

    #[cold]
    pub(super) fn unknown(state: u8, offset: usize, input: &[u8]) -> RouteParseError {
        let snippet = snippet(input.get(offset..).unwrap_or_default());
        RouteParseError::UnknownOperation { state, offset, snippet }
    }

    /// `complaint` and what it is about, as the reference shows it in this place.
    #[cold]
    pub(super) fn arguments(complaint: impl fmt::Display, shown: Shown<'_>) -> RouteParseError {
        RouteParseError::Arguments(format!("{complaint}: {shown}").into_boxed_str())
    }
}

/// The ways in which the reference shows the arguments that it did not understand.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    /// `'a  b'`
    AsTheyCame(&'a [u8]),
    /// `'[a b]'`
    Words(&'a [u8]),
    /// `"a  b"`
    Quoted(&'a [u8]),
    /// `'R a  b'`
    Interest(&'a [u8]),
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::AsTheyCame(args) => write!(f, "'{}'", String::from_utf8_lossy(args)),
            Shown::Words(args) => {
                let words: Vec<&[u8]> = Words(args).collect();
                write!(f, "'[{}]'", String::from_utf8_lossy(&words.join(&b' ')))
            }
            Shown::Quoted(args) => f.write_str(&quoted(args)),
            Shown::Interest(args) => write!(f, "'R {}'", String::from_utf8_lossy(args)),
        }
    }
}
