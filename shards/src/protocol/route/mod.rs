//! The parser of what other servers send: zero-copy, allocation-free, and blind to how the stream was cut into reads.
//!
//! It works like [that of clients](super::client): [`RouteParser::next`] gives one complete operation that borrows from the bytes at hand,
//! what is incomplete stays with the caller, and nobody can make a connection keep more than one control line and one message.
//!
//! This server never announces that it understands leaf nodes (`lnoc`), so their operations (`LS+`, `LS-`, `LMSG`) are unknown here.

mod account;
mod connect;
mod error;
mod info;
mod interest;
mod message;
mod name;
#[cfg(test)]
mod oracle;
mod permissions;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod splits;
#[cfg(test)]
mod tests;
mod words;
pub mod write;

pub use account::account_index;
pub use connect::RouteConnect;
pub use error::RouteParseError;
pub use info::{LanesOffer, RouteInfo, SubjectPermission};
pub use interest::RoutedInterest;
pub use message::{RoutedMessage, RoutedQueues};

use super::name::Name;
use super::scan;
use name::Operation;

/// Longest control line of a route, here as in the reference: never more than this is sent, either.
pub const MAX_CONTROL_LINE: usize = 65_536;

/// Longest name with its blanks that is kept in front of an unfinished line, so that it need not be remembered.
const KEPT_PREFIX_BYTES: usize = 16;

/// What the parser must be told; it may change between calls.
#[derive(Clone, Copy, Debug)]
pub struct RouteLimits {
    /// Bytes of the arguments of a line.
    pub max_control_line: usize,
    /// The connection is for one account, and no line names it.
    pub dedicated: bool,
    /// Bytes of a message. Routes have no such limit, so this only guards memory; `None`: unlimited.
    pub max_payload: Option<usize>,
}

/// One route's parser; a few bytes of state.
#[derive(Debug, Default)]
pub struct RouteParser {
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

/// What [`RouteParser::next`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum RouteStep<'a> {
    /// One complete operation; `consumed` bytes of the input are done with.
    Op {
        /// The operation.
        op: RouteOp<'a>,
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
    },
    /// The connection must be closed, and nothing behind this processed.
    Error(RouteParseError),
}

/// An operation from another server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteOp<'a> {
    /// `CONNECT <json>`
    Connect {
        /// For [`RouteConnect::parse`].
        json: &'a [u8],
    },
    /// `INFO <json>`
    Info {
        /// For [`RouteInfo::parse`].
        json: &'a [u8],
    },
    /// `RS+`
    Interest(RoutedInterest<'a>),
    /// `RS- [account] <subject> [queue]`
    NoInterest {
        /// The arguments as they came, for traces and logs.
        args: &'a [u8],
        /// The account; `None` on a connection that is for one account.
        account: Option<&'a [u8]>,
        /// Not checked yet.
        subject: &'a [u8],
        /// Queue group.
        queue: Option<&'a [u8]>,
    },
    /// `RMSG` or `HMSG`
    Msg(RoutedMessage<'a>),
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `+OK`
    Ok,
    /// `-ERR <text>`
    Err {
        /// What the other server complains about, as it came: mostly in single quotes.
        text: &'a [u8],
    },
    /// What has no meaning on a route, but is no mistake either.
    Ignored,
}

impl RouteParser {
    /// A parser at the beginning of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Looks at the unprocessed bytes; `input` begins where the bytes consumed so far end.
    #[inline]
    pub fn next<'a>(&mut self, input: &'a [u8], limits: &RouteLimits) -> RouteStep<'a> {
        if self.pending == Pending::Nothing
            && let Some(step) = message::usual(input, limits)
        {
            return step;
        }
        self.any(input, limits)
    }

    fn any<'a>(&mut self, input: &'a [u8], limits: &RouteLimits) -> RouteStep<'a> {
        let (operation, behind_name) = match self.pending {
            Pending::Nothing => match name::read(input) {
                Name::Whole { operation, length } => (operation, length),
                Name::Partial => return RouteStep::Incomplete { needed: None },
                Name::Unknown { state, offset } => {
                    return RouteStep::Error(RouteParseError::unknown(state, offset, input));
                }
            },
            Pending::Arguments(operation) => (operation, 0),
            Pending::LineEnd(operation) => return self.ignore_line(operation, input, 0),
        };
        if matches!(operation, Operation::Ping | Operation::Pong | Operation::Ok) {
            return self.ignore_line(operation, input, behind_name);
        }
        let start = scan::skip_blanks(input, behind_name);
        let Some((text_end, end)) = scan::find_end(input, start) else {
            return self.unfinished_line(operation, input, start, limits);
        };
        let args = input.get(start..text_end).unwrap_or_default();
        if args.len() > limits.max_control_line {
            return RouteStep::Error(RouteParseError::ControlLineExceeded);
        }
        let op = match operation {
            Operation::Message(verb) => {
                let step = message::message(verb, input, (start, text_end, end), limits);
                if let RouteStep::Op { .. } = step {
                    self.pending = Pending::Nothing;
                }
                return step;
            }
            Operation::Interest => RoutedInterest::read(args, limits).map(RouteOp::Interest),
            Operation::NoInterest => interest::no_interest(args, limits),
            Operation::Connect => Ok(RouteOp::Connect { json: args }),
            Operation::Info => Ok(RouteOp::Info { json: args }),
            Operation::Err => Ok(RouteOp::Err { text: args }),
            _ => Ok(RouteOp::Ignored),
        };
        self.pending = Pending::Nothing;
        op.map_or_else(RouteStep::Error, |op| RouteStep::Op { op, consumed: end })
    }

    fn ignore_line<'a>(&mut self, operation: Operation, input: &'a [u8], from: usize) -> RouteStep<'a> {
        let ignored = input.get(from..).unwrap_or_default();
        let Some(length) = memchr::memchr(b'\n', ignored) else {
            self.pending = Pending::LineEnd(operation);
            return RouteStep::Skipped { consumed: input.len() };
        };
        self.pending = Pending::Nothing;
        let op = match operation {
            Operation::Ping => RouteOp::Ping,
            Operation::Pong => RouteOp::Pong,
            _ => RouteOp::Ok,
        };
        RouteStep::Op { op, consumed: from.saturating_add(length).saturating_add(1) }
    }

    #[cold]
    fn unfinished_line<'a>(
        &mut self,
        operation: Operation,
        input: &'a [u8],
        start: usize,
        limits: &RouteLimits,
    ) -> RouteStep<'a> {
        let begun = input.get(start..).unwrap_or_default();
        let length = begun.strip_suffix(b"\r").unwrap_or(begun).len();
        if length > limits.max_control_line {
            return RouteStep::Error(RouteParseError::ControlLineExceeded);
        }
        if begun.is_empty() || start > KEPT_PREFIX_BYTES {
            self.pending = Pending::Arguments(operation);
            return RouteStep::Skipped { consumed: start };
        }
        RouteStep::Incomplete { needed: None }
    }
}
