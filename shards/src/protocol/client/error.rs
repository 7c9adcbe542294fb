//! Why a client's connection is closed for what it sent: the words for the log and those for the wire.

use crate::protocol::quote::{quoted, snippet};

/// A fatal mistake in the byte stream. `Display` is the log line, in the reference's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No operation begins like this, or a payload does not end where its size says.
    #[error("Client parser ERROR, state={state}, i={offset}: proto='{snippet}...'")]
    UnknownOperation {
        /// The reference's number for the parser state, which people search the web for.
        state: u8,
        /// Where in the input the unexpected byte is.
        offset: usize,
        /// The input from there on, quoted and cut.
        snippet: Box<str>,
    },
    /// The argument part of a line is too long.
    #[error("maximum control line exceeded")]
    ControlLineExceeded,
    /// The payload that was announced is too large.
    #[error("maximum payload exceeded: {size} vs {max}")]
    PayloadExceeded {
        /// Announced size.
        size: u64,
        /// The limit.
        max: usize,
    },
    /// `HPUB` without headers negotiated in CONNECT.
    #[error("message headers not supported")]
    HeadersNotSupported,
    /// Wrong number of arguments, or a size that is none.
    #[error("{0}")]
    Arguments(Box<str>),
}

impl ParseError {
    /// What the client is told with `-ERR` before the close; `None`: it is closed without a word.
    pub fn wire_text(&self) -> Option<&'static str> {
        match self {
            ParseError::UnknownOperation { .. } => Some("Unknown Protocol Operation"),
            ParseError::ControlLineExceeded => Some("maximum control line exceeded"),
            ParseError::PayloadExceeded { .. } => Some("Maximum Payload Violation"),
            ParseError::HeadersNotSupported | ParseError::Arguments(_) => None,
        }
    }

    /// The same, where the input given to the parser was the part from `start` on of what was read.
    pub fn within(mut self, start: usize) -> ParseError {
        if let ParseError::UnknownOperation { offset, .. } = &mut self {
            *offset = offset.saturating_add(start);
        }
        self
    }

    #[cold]
    pub(super) fn unknown(state: u8, offset: usize, input: &[u8]) -> ParseError {
        let snippet = snippet(input.get(offset..).unwrap_or_default());
        ParseError::UnknownOperation { state, offset, snippet }
    }

    #[cold]
    pub(super) fn arguments(complaint: &str, args: &[u8]) -> ParseError {
        ParseError::Arguments(format!("{complaint}: {}", quoted(args)).into_boxed_str())
    }
}
