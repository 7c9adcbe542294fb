//! The parser of what clients send: zero-copy, allocation-free, and blind to how the stream was cut into reads.
//!
//! [`ClientParser::next`] looks at the bytes at hand and gives one complete operation that borrows from them. What is not complete stays with
//! the caller, who calls again with the same bytes and more behind them.
//!
//! What must stay true: any cut of a byte stream gives the same operations and the same end.

mod name;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod splits;
#[cfg(test)]
mod tests;

pub use super::{ParseError, Publish};

use super::error::Shown;
use super::line::{Line, LineReader, NoLine};
use super::publish::{self, Announced, NoPayload, Verb};
use super::scan;
use super::words::Words;
#[cfg(test)]
use super::{cuts, plain};
use name::Operation;

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

/// One client's parser; two bytes of state.
#[derive(Debug, Default)]
pub struct ClientParser {
    lines: LineReader<Operation>,
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
        if self.lines.at_start()
            && let Some(step) = usual(input, limits)
        {
            return step;
        }
        self.any(input, limits)
    }

    fn any<'a>(&mut self, input: &'a [u8], limits: &ParserLimits) -> Step<'a> {
        let (operation, line) = match self.lines.read(input, limits.max_control_line) {
            Ok(found) => found,
            Err(NoLine::Skipped(consumed)) => return Step::Skipped { consumed },
            Err(NoLine::Incomplete) => return Step::Incomplete { needed: None, line: None },
            Err(NoLine::Error(error)) => return Step::Error { error, line: None },
        };
        let op = match operation {
            Operation::Message(verb) => {
                let step = publish(verb, input, &line, limits);
                if let Step::Op { .. } = step {
                    self.lines.go_on();
                }
                return step;
            }
            Operation::Sub => subscribe(line.args),
            Operation::Unsub => unsubscribe(line.args),
            Operation::Connect => Ok(ClientOp::Connect { json: line.args }),
            Operation::Info => Ok(ClientOp::Info { json: line.args }),
            Operation::Ping => Ok(ClientOp::Ping),
            Operation::Pong => Ok(ClientOp::Pong),
            Operation::Ok => Ok(ClientOp::Ok),
            Operation::Err => Ok(ClientOp::Err { text: line.args }),
        };
        self.lines.go_on();
        match op {
            Ok(op) => Step::Op { op, consumed: line.end },
            Err((name, error)) => {
                Step::Error { error, line: Some(ControlLine { name, args: line.args, subject: None }) }
            }
        }
    }
}

/// The usual message, straight through; `None` decides nothing: [`publish`] does.
#[inline(always)]
fn usual<'a>(input: &'a [u8], limits: &ParserLimits) -> Option<Step<'a>> {
    const PUB: u32 = u32::from_le_bytes(*b"PUB ");
    const HPUB: u32 = u32::from_le_bytes(*b"HPUB");
    let (max_args, max_payload) = (limits.max_control_line, limits.max_payload);
    let (publish, consumed) = match u32::from_le_bytes(*input.first_chunk()?) {
        PUB => publish::usual(Verb::Pub, input, 4, 4, max_args, max_payload),
        HPUB if limits.headers && *input.get(4)? == b' ' => {
            publish::usual(Verb::Hpub, input, 5, 5, max_args, max_payload)
        }
        _ => None,
    }?;
    Some(Step::Op { op: ClientOp::Pub(publish), consumed })
}

/// `PUB <subject> [reply] <#total>` or `HPUB <subject> [reply] <#header> <#total>`
fn publish<'a>(verb: Verb, input: &'a [u8], line: &Line<'a>, limits: &ParserLimits) -> Step<'a> {
    let control_line = ControlLine { name: verb.name(), args: line.args, subject: None };
    let refused = |error| Step::Error { error, line: Some(control_line) };
    if verb == Verb::Hpub && !limits.headers {
        return refused(ParseError::HeadersNotSupported);
    }
    let announced = match Announced::read(verb, line.args, Words(line.args), limits.max_payload) {
        Ok(announced) => announced,
        Err(error) => return refused(error),
    };
    let control_line = Some(ControlLine { subject: Some(announced.subject), ..control_line });
    match announced.with_payload::<Operation>(input, line) {
        Ok((publish, consumed)) => Step::Op { op: ClientOp::Pub(publish), consumed },
        Err(NoPayload::Incomplete { needed }) => Step::Incomplete { needed: Some(needed), line: control_line },
        Err(NoPayload::Unterminated(error)) => Step::Error { error, line: control_line },
    }
}

/// What a line's arguments mean; or the operation's name, and what is wrong.
type Read<'a> = Result<ClientOp<'a>, (&'static str, ParseError)>;

fn subscribe(args: &[u8]) -> Read<'_> {
    let mut words = Words(args);
    match [words.next(), words.next(), words.next(), words.next()] {
        [Some(subject), Some(sid), None, _] => Ok(ClientOp::Sub { args, subject, queue: None, sid }),
        [Some(subject), queue, Some(sid), None] => Ok(ClientOp::Sub { args, subject, queue, sid }),
        _ => Err(("SUB", ParseError::arguments("processSub Parse Error", Shown::Quoted(args)))),
    }
}

fn unsubscribe(args: &[u8]) -> Read<'_> {
    let mut words = Words(args);
    match [words.next(), words.next(), words.next()] {
        [Some(sid), max, None] => {
            let max = max.and_then(scan::parse_size).filter(|&max| max > 0).map(|max| max as u64);
            Ok(ClientOp::Unsub { args, sid, max })
        }
        _ => Err(("UNSUB", ParseError::arguments("processUnsub Parse Error", Shown::Quoted(args)))),
    }
}
