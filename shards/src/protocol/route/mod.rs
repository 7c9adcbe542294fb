//! The parser of what other servers send: zero-copy, allocation-free, and blind to how the stream was cut into reads.
//!
//! It works like [that of clients](super::client): [`RouteParser::next`] gives one complete operation that borrows from the bytes at hand,
//! what is incomplete stays with the caller, and nobody can make a connection keep more than one control line and one message.
//!
//! This server never announces that it understands leaf nodes (`lnoc`), so their operations (`LS+`, `LS-`, `LMSG`) are unknown here.

mod account;
mod connect;
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
pub mod write;

pub use account::account_index;
pub use connect::RouteConnect;
pub use info::{LanesOffer, RouteInfo, SubjectPermission};
pub use interest::RoutedInterest;
pub use message::{RoutedMessage, RoutedQueues};

/// [`ParseError`], for those who deal with clients, too.
pub use super::ParseError as RouteParseError;

use super::ParseError;
use super::line::{LineReader, NoLine};
#[cfg(test)]
use super::{cuts, plain};
use name::Operation;

/// Longest control line of a route, here as in the reference: never more than this is sent, either.
pub const MAX_CONTROL_LINE: usize = 65_536;

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
    lines: LineReader<Operation>,
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
    Error(ParseError),
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
        if self.lines.at_start()
            && let Some(step) = message::usual(input, limits)
        {
            return step;
        }
        self.any(input, limits)
    }

    fn any<'a>(&mut self, input: &'a [u8], limits: &RouteLimits) -> RouteStep<'a> {
        let (operation, line) = match self.lines.read(input, limits.max_control_line) {
            Ok(found) => found,
            Err(NoLine::Skipped(consumed)) => return RouteStep::Skipped { consumed },
            Err(NoLine::Incomplete) => return RouteStep::Incomplete { needed: None },
            Err(NoLine::Error(error)) => return RouteStep::Error(error),
        };
        let op = match operation {
            Operation::Message(verb) => {
                let step = message::message(verb, input, &line, limits);
                if let RouteStep::Op { .. } = step {
                    self.lines.go_on();
                }
                return step;
            }
            Operation::Interest => RoutedInterest::read(line.args, limits).map(RouteOp::Interest),
            Operation::NoInterest => interest::no_interest(line.args, limits),
            Operation::Connect => Ok(RouteOp::Connect { json: line.args }),
            Operation::Info => Ok(RouteOp::Info { json: line.args }),
            Operation::Ping => Ok(RouteOp::Ping),
            Operation::Pong => Ok(RouteOp::Pong),
            Operation::Ok => Ok(RouteOp::Ok),
            Operation::Err => Ok(RouteOp::Err { text: line.args }),
            Operation::Ignored => Ok(RouteOp::Ignored),
        };
        self.lines.go_on();
        op.map_or_else(RouteStep::Error, |op| RouteStep::Op { op, consumed: line.end })
    }
}
