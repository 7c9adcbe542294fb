//! Why a connection is closed for what came on it: the words for the log and those for the wire.

use std::fmt;

use super::name::Named;
use super::quote::{quoted, snippet};
use super::words::Words;

/// A fatal mistake in the byte stream. `Display` is the log line, in the reference's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// No operation begins like this, or a payload does not end where its size says.
    #[error("{parser} parser ERROR, state={state}, i={offset}: proto='{snippet}...'")]
    UnknownOperation {
        /// The reference's name for the parser.
        parser: &'static str,
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
        size: usize,
        /// The limit.
        max: usize,
    },
    /// `HPUB` of a client without headers negotiated in CONNECT.
    #[error("message headers not supported")]
    HeadersNotSupported,
    /// Wrong number of arguments, or a size that is none.
    #[error("{0}")]
    Arguments(Box<str>),
    /// The same in the line of another server's message, whose words the reference shows with the account in front.
    #[error("{complaint}: '[{words}]'")]
    MessageArguments {
        /// Who complains of what.
        complaint: Box<str>,
        /// The words, with one blank between two.
        words: Box<str>,
    },
}

impl ParseError {
    /// What the other side is told with `-ERR` before the close; `None`: it is closed without a word.
    pub fn wire_text(&self) -> Option<&'static str> {
        match self {
            ParseError::UnknownOperation { .. } => Some("Unknown Protocol Operation"),
            ParseError::ControlLineExceeded => Some("maximum control line exceeded"),
            ParseError::PayloadExceeded { .. } => Some("Maximum Payload Violation"),
            ParseError::HeadersNotSupported | ParseError::Arguments(_) | ParseError::MessageArguments { .. } => None,
        }
    }

    /// The same, where the input given to the parser was the part from `start` on of what was read.
    pub fn within(mut self, start: usize) -> ParseError {
        if let ParseError::UnknownOperation { offset, .. } = &mut self {
            *offset = offset.saturating_add(start);
        }
        self
    }

    /// The same on a connection that is for this account alone, which no line names.
    pub fn about(mut self, account: &str) -> ParseError {
        if let ParseError::MessageArguments { words, .. } = &mut self {
            *words = [account, words].join(" ").trim_end().into();
        }
        self
    }

    /// The byte at `offset` is none that can follow there.
    #[cold]
    pub(super) fn unknown<O: Named>(state: u8, offset: usize, input: &[u8]) -> ParseError {
        let snippet = snippet(input.get(offset..).unwrap_or_default());
        ParseError::UnknownOperation { parser: O::PARSER, state, offset, snippet }
    }

    /// `complaint` and what it is about, as the reference shows it in this place.
    #[cold]
    pub(super) fn arguments(complaint: impl fmt::Display, shown: Shown<'_>) -> ParseError {
        ParseError::Arguments(format!("{complaint}: {shown}").into_boxed_str())
    }

    /// `complaint` about the arguments of another server's message.
    #[cold]
    pub(super) fn message_arguments(complaint: impl fmt::Display, args: &[u8]) -> ParseError {
        let words: Vec<&[u8]> = Words(args).collect();
        let words = String::from_utf8_lossy(&words.join(&b' ')).into();
        ParseError::MessageArguments { complaint: complaint.to_string().into(), words }
    }
}

/// The ways in which the reference shows the arguments that it did not understand.
#[derive(Clone, Copy)]
pub(super) enum Shown<'a> {
    /// `'a  b'`
    AsTheyCame(&'a [u8]),
    /// `"a  b"`
    Quoted(&'a [u8]),
    /// `'R a  b'`
    Interest(&'a [u8]),
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Shown::AsTheyCame(args) => write!(f, "'{}'", String::from_utf8_lossy(args)),
            Shown::Quoted(args) => f.write_str(&quoted(args)),
            Shown::Interest(args) => write!(f, "'R {}'", String::from_utf8_lossy(args)),
        }
    }
}
