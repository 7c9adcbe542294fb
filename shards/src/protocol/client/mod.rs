//! The parser of what clients send: zero-copy, allocation-free, and blind to how the stream was cut into reads.
//!
//! [`ClientParser::next`] looks at the bytes at hand and gives one complete operation that borrows from them. What is
//! not complete stays with the caller, who calls again with the same bytes and more behind them. The parser itself
//! remembers only what would otherwise be kept for nothing: that the rest of a `PING` line is to be ignored, or
//! that a name was read and blanks follow. So nobody can make a connection keep more than one control line.
//!
//! What must stay true: any cut of a byte stream gives the same operations and the same end.

mod error;
mod line;
mod name;
#[cfg(test)]
mod oracle;
mod publish;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod splits;
#[cfg(test)]
mod tests;

pub use error::ParseError;
pub use publish::Publish;

use line::Line;
use name::Operation;

use super::name::Name;
use super::scan;

/// Longest name with its blanks that is kept in front of an unfinished line, so that it need not be remembered.
const KEPT_PREFIX_BYTES: usize = 16;

/// What the parser must be told; it may change between calls.
#[derive(Clone, Copy, Debug)]
pub struct ParserLimits {
    /// `max_control_line`: bytes of the arguments of a line.
    pub max_control_line: usize,
    /// `max_payload`; `None`: unlimited.
    pub max_payload: Option<usize>,
    /// Were headers negotiated? Else `HPUB` is a mistake.
    pub headers: bool,
}

/// One client's parser; a byte of state.
#[derive(Debug, Default)]
pub struct ClientParser {
    pending: Pending,
}

/// What earlier, consumed bytes have begun.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pending {
    #[default]
    Nothing,
    /// The name was read; blanks or arguments follow.
    Arguments(Operation),
    /// The name was read; all up to the LF is ignored.
    LineEnd(Operation),
}

/// What [`ClientParser::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum Step<'a> {
    /// One complete operation; `consumed` bytes of the input are done with.
    Op {
        /// The operation.
        op: ClientOp<'a>,
        /// Bytes to drop from the input's beginning.
        consumed: usize,
    },
    /// Bytes that make no operation yet and need not be kept.
    Skipped {
        /// Bytes to drop from the input's beginning.
        consumed: usize,
    },
    /// The operation at the input's beginning goes on behind its end.
    Incomplete {
        /// Total length of the operation from the input's beginning, if that is known: a payload is to come.
        needed: Option<usize>,
        /// Control line of the publish whose payload is to come.
        line: Option<ControlLine<'a>>,
    },
    /// The connection must be closed, and nothing behind this processed.
    Error {
        /// What is wrong.
        error: ParseError,
        /// The control line, if it is whole.
        line: Option<ControlLine<'a>>,
    },
}

/// A control line whose operation is not, or never will be, complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlLine<'a> {
    /// Name of the operation.
    pub name: &'static str,
    /// The arguments as they came, for traces and logs.
    pub args: &'a [u8],
    /// Subject of a publish in which nothing but the payload is missing or wrong.
    pub subject: Option<&'a [u8]>,
}

/// An operation from a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientOp<'a> {
    /// `CONNECT <json>`
    Connect {
        /// Not looked at yet.
        json: &'a [u8],
    },
    /// `INFO <json>`
    Info {
        /// Not looked at yet.
        json: &'a [u8],
    },
    /// `PUB` or `HPUB`
    Pub(Publish<'a>),
    /// `SUB <subject> [queue] <sid>`
    Sub {
        /// The arguments as they came, for traces and logs.
        args: &'a [u8],
        /// Not checked yet.
        subject: &'a [u8],
        /// Queue group.
        queue: Option<&'a [u8]>,
        /// The client's name for the subscription.
        sid: &'a [u8],
    },
    /// `UNSUB <sid> [max]`
    Unsub {
        /// The arguments as they came, for traces and logs.
        args: &'a [u8],
        /// The client's name for the subscription.
        sid: &'a [u8],
        /// `None` means now: no number, 0, or something that is no number.
        max: Option<u64>,
    },
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `+OK`
    Ok,
    /// `-ERR <text>`
    Err {
        /// What the client complains about.
        text: &'a [u8],
    },
}

impl ClientParser {
    /// A parser at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the unprocessed bytes; `input` begins where the bytes consumed so far end.
    #[inline]
    pub fn next<'a>(&mut self, input: &'a [u8], limits: &ParserLimits) -> Step<'a> {
        if self.pending == Pending::Nothing
            && let Some(step) = publish::usual(input, limits)
        {
            return step;
        }
        let (operation, behind_name) = match self.pending {
            Pending::Nothing => match name::read(input) {
                Name::Whole { operation, length } => (operation, length),
                Name::Partial => return Step::Incomplete { needed: None, line: None },
                Name::Unknown { state, offset } => {
                    return Step::Error { error: ParseError::unknown(state, offset, input), line: None };
                }
            },
            Pending::Arguments(operation) => (operation, 0),
            Pending::LineEnd(operation) => return self.ignore_line(operation, input, 0),
        };
        if matches!(operation, Operation::Ping | Operation::Pong | Operation::Ok) {
            return self.ignore_line(operation, input, behind_name);
        }
        let start = scan::skip_blanks(input, behind_name);
        let step = match operation {
            Operation::Connect | Operation::Info | Operation::Err => whole_line(operation, input, start, limits),
            _ => match line::split(input, start) {
                Some(line) => split_line(operation, input, start, &line, limits),
                None => None,
            },
        };
        match step {
            Some(step) => {
                if let Step::Op { .. } = step {
                    self.pending = Pending::Nothing;
                }
                step
            }
            None => self.unfinished_line(operation, input, start, limits),
        }
    }

    fn ignore_line<'a>(&mut self, operation: Operation, input: &'a [u8], from: usize) -> Step<'a> {
        let ignored = input.get(from..).unwrap_or_default();
        let Some(length) = memchr::memchr(b'\n', ignored) else {
            self.pending = Pending::LineEnd(operation);
            return Step::Skipped { consumed: input.len() };
        };
        self.pending = Pending::Nothing;
        let op = match operation {
            Operation::Ping => ClientOp::Ping,
            Operation::Pong => ClientOp::Pong,
            _ => ClientOp::Ok,
        };
        Step::Op { op, consumed: from.saturating_add(length).saturating_add(1) }
    }

    #[cold]
    fn unfinished_line<'a>(
        &mut self,
        operation: Operation,
        input: &'a [u8],
        start: usize,
        limits: &ParserLimits,
    ) -> Step<'a> {
        let begun = input.get(start..).unwrap_or_default();
        let length = begun.strip_suffix(b"\r").unwrap_or(begun).len();
        if length > limits.max_control_line {
            return Step::Error { error: ParseError::ControlLineExceeded, line: None };
        }
        if begun.is_empty() || start > KEPT_PREFIX_BYTES {
            self.pending = Pending::Arguments(operation);
            return Step::Skipped { consumed: start };
        }
        Step::Incomplete { needed: None, line: None }
    }
}

/// Operations whose argument is the rest of the line as it is.
fn whole_line<'a>(operation: Operation, input: &'a [u8], start: usize, limits: &ParserLimits) -> Option<Step<'a>> {
    let (text_end, end) = scan::find_end(input, start)?;
    let text = input.get(start..text_end).unwrap_or_default();
    if text.len() > limits.max_control_line {
        return Some(Step::Error { error: ParseError::ControlLineExceeded, line: None });
    }
    let op = match operation {
        Operation::Connect => ClientOp::Connect { json: text },
        Operation::Info => ClientOp::Info { json: text },
        _ => ClientOp::Err { text },
    };
    Some(Step::Op { op, consumed: end })
}

/// Operations with arguments apart.
#[inline]
fn split_line<'a>(
    operation: Operation,
    input: &'a [u8],
    start: usize,
    line: &Line,
    limits: &ParserLimits,
) -> Option<Step<'a>> {
    if line.text_end.saturating_sub(start) > limits.max_control_line {
        return Some(Step::Error { error: ParseError::ControlLineExceeded, line: None });
    }
    Some(match operation {
        Operation::Pub => publish::publish(input, line, limits),
        Operation::Hpub => publish::publish_with_headers(input, line, limits),
        Operation::Sub => subscribe(input, start, line),
        _ => unsubscribe(input, start, line),
    })
}

#[cold]
fn wrong_arguments<'a>(name: &'static str, args: &'a [u8], complaint: &str) -> Step<'a> {
    let line = ControlLine { name, args, subject: None };
    Step::Error { error: ParseError::arguments(complaint, args), line: Some(line) }
}

fn subscribe<'a>(input: &'a [u8], start: usize, line: &Line) -> Step<'a> {
    let args = input.get(start..line.text_end).unwrap_or_default();
    let [subject, second, third, _] = line.args.map(|span| span.of(input));
    let (queue, sid) = match line.count {
        2 => (None, second),
        3 => (Some(second), third),
        _ => return wrong_arguments("SUB", args, "processSub Parse Error"),
    };
    Step::Op { op: ClientOp::Sub { args, subject, queue, sid }, consumed: line.end }
}

fn unsubscribe<'a>(input: &'a [u8], start: usize, line: &Line) -> Step<'a> {
    let args = input.get(start..line.text_end).unwrap_or_default();
    let [sid, max, ..] = line.args.map(|span| span.of(input));
    let max = match line.count {
        1 => None,
        2 => scan::parse_size(max).filter(|&max| max > 0).map(|max| max as u64),
        _ => return wrong_arguments("UNSUB", args, "processUnsub Parse Error"),
    };
    Step::Op { op: ClientOp::Unsub { args, sid, max }, consumed: line.end }
}
