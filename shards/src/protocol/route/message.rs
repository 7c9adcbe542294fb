//! Messages: from the control line to what can be written to subscribers with three copies.

use super::error::{RouteParseError, Shown};
use super::name::Verb;
use super::words::Words;
use super::{RouteLimits, RouteOp, RouteStep};
use crate::protocol::scan::{find_low, parse_size, size_and_line_end};

/// A complete `RMSG` or `HMSG`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutedMessage<'a> {
    verb: Verb,
    /// The arguments as they came, for traces and logs.
    pub args: &'a [u8],
    /// The account; `None` on a connection that is for one account.
    pub account: Option<&'a [u8]>,
    /// Subject as published; nothing has been checked.
    pub subject: &'a [u8],
    /// Subject for replies; nothing has been checked.
    pub reply: Option<&'a [u8]>,
    /// Queue groups of which the receiver is to pick a member.
    pub queues: RoutedQueues<'a>,
    /// Size of the header block as it was written; `None` without headers.
    pub header_text: Option<&'a [u8]>,
    /// Size of header block and payload together, as it was written.
    pub total_text: &'a [u8],
    /// Bytes of the header block; 0: none.
    pub header_len: usize,
    /// Header block and payload.
    pub body: &'a [u8],
    /// What follows `MSG <subject> <sid> ` on its way to a subscriber, if the input has it in one piece:
    /// `[<reply> ][<#header> ]<#total>`, line end, body, line end. Else [`RoutedMessage::write_tail`] makes it.
    pub tail: Option<&'a [u8]>,
}

/// The names of the queue groups that a message lists.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoutedQueues<'a>(Words<'a>);

impl RoutedQueues<'_> {
    /// Does the line list none?
    pub fn is_empty(mut self) -> bool {
        self.0.next().is_none()
    }
}

impl<'a> Iterator for RoutedQueues<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.next()
    }
}

impl RoutedMessage<'_> {
    /// Do subscribers get `HMSG`? (With an empty header block they do not.)
    #[inline]
    pub fn has_headers(&self) -> bool {
        self.header_len > 0
    }

    /// The operation's name, for traces.
    pub fn name(&self) -> &'static str {
        match self.verb {
            Verb::Rmsg => "RMSG",
            Verb::Hmsg => "HMSG",
            Verb::Pub => "PUB",
            Verb::Hpub => "HPUB",
        }
    }

    /// Appends the tail, whether or not the input had it in one piece.
    pub fn write_tail(&self, out: &mut Vec<u8>) {
        if let Some(tail) = self.tail {
            out.extend_from_slice(tail);
            return;
        }
        for part in self.reply.into_iter().chain(self.header_text) {
            out.extend_from_slice(part);
            out.push(b' ');
        }
        for part in [self.total_text, b"\r\n", self.body, b"\r\n"] {
            out.extend_from_slice(part);
        }
    }
}

/// The usual `RMSG`, straight through: no queue groups, one blank between arguments, CR LF, and the payload is there.
///
/// `None` decides nothing, neither that it is wrong nor that it is unfinished: [`message`] does.
// Always: what it returns is large, and moving it costs as much as finding it.
#[inline(always)]
pub(super) fn usual<'a>(input: &'a [u8], limits: &RouteLimits) -> Option<RouteStep<'a>> {
    const NAME: u32 = u32::from_le_bytes(*b"RMSG");
    const ARGS: usize = 5;
    if u32::from_le_bytes(*input.first_chunk()?) != NAME || *input.get(4)? != b' ' {
        return None;
    }
    let (account, subject_start) = if limits.dedicated {
        (None, ARGS)
    } else {
        let (account, behind) = usual_word(input, ARGS)?;
        (Some(account), behind)
    };
    let (subject, tail_start) = usual_word(input, subject_start)?;
    let (reply, total_start, (size, total_end)) = match size_and_line_end(input, tail_start) {
        Some(total) => (None, tail_start, total),
        None => {
            let (reply, behind) = usual_word(input, tail_start)?;
            (Some(reply), behind, size_and_line_end(input, behind)?)
        }
    };
    let args = input.get(ARGS..total_end)?;
    if args.len() > limits.max_control_line || limits.max_payload.is_some_and(|max| size > max) {
        return None;
    }
    let body_start = total_end.checked_add(2)?;
    let body_end = body_start.checked_add(size)?;
    let end = body_end.checked_add(2)?;
    let tail = input.get(tail_start..end)?;
    if !tail.ends_with(b"\r\n") {
        return None;
    }
    let op = RouteOp::Msg(RoutedMessage {
        verb: Verb::Rmsg,
        args,
        account,
        subject,
        reply,
        queues: RoutedQueues::default(),
        header_text: None,
        total_text: input.get(total_start..total_end)?,
        header_len: 0,
        body: input.get(body_start..body_end)?,
        tail: Some(tail),
    });
    Some(RouteStep::Op { op, consumed: end })
}

/// The word that begins at `start`, if one blank follows, and the offset behind that.
#[inline]
fn usual_word(input: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let end = find_low(input, start);
    let word = input.get(start..end).filter(|word| !word.is_empty())?;
    (*input.get(end)? == b' ').then_some((word, end.saturating_add(1)))
}

/// Any message, whose arguments are from `start` to `text_end`, and whose line ends at `line_end`.
pub(super) fn message<'a>(
    verb: Verb,
    input: &'a [u8],
    (start, text_end, line_end): (usize, usize, usize),
    limits: &RouteLimits,
) -> RouteStep<'a> {
    let args = input.get(start..text_end).unwrap_or_default();
    let line = match Arguments::read(verb, args, limits) {
        Ok(line) => line,
        Err(error) => return RouteStep::Error(error),
    };
    let body_end = line_end.saturating_add(line.size);
    let end = body_end.saturating_add(2);
    match (input.get(body_end), input.get(body_end.saturating_add(1))) {
        (Some(b'\r'), Some(b'\n')) => {}
        (None, _) | (Some(b'\r'), None) => return RouteStep::Incomplete { needed: Some(end) },
        (Some(b'\r'), Some(_)) => return unterminated(input, MSG_END_N, body_end.saturating_add(1)),
        (Some(_), _) => return unterminated(input, MSG_END_R, body_end),
    }
    let ends_with_crlf = line_end.wrapping_sub(text_end) == 2;
    let tail_start = line.tail_length().filter(|_| ends_with_crlf).and_then(|length| text_end.checked_sub(length));
    let op = RouteOp::Msg(RoutedMessage {
        verb,
        args,
        account: line.account,
        subject: line.subject,
        reply: line.reply,
        queues: line.queues,
        header_text: line.header_text,
        total_text: line.total_text,
        header_len: line.header_len,
        body: input.get(line_end..body_end).unwrap_or_default(),
        tail: tail_start.and_then(|start| input.get(start..end)),
    });
    RouteStep::Op { op, consumed: end }
}

/// The reference's numbers of the two states behind a payload.
const MSG_END_R: u8 = 41;
const MSG_END_N: u8 = 42;

#[cold]
fn unterminated<'a>(input: &[u8], state: u8, offset: usize) -> RouteStep<'a> {
    RouteStep::Error(RouteParseError::unknown(state, offset, input))
}

/// A control line that was understood.
struct Arguments<'a> {
    args: &'a [u8],
    account: Option<&'a [u8]>,
    subject: &'a [u8],
    reply: Option<&'a [u8]>,
    queues: RoutedQueues<'a>,
    header_text: Option<&'a [u8]>,
    total_text: &'a [u8],
    header_len: usize,
    size: usize,
}

impl<'a> Arguments<'a> {
    fn read(verb: Verb, args: &'a [u8], limits: &RouteLimits) -> Result<Arguments<'a>, RouteParseError> {
        let mut words = Words(args);
        let few = || verb.complaint("Parse Error", args);
        let account: Option<&[u8]> = match (verb.is_a_clients(), limits.dedicated) {
            // There is no account of this name, so nobody gets the message.
            (true, _) => Some(b""),
            (false, true) => None,
            (false, false) => Some(words.next().ok_or_else(few)?),
        };
        let subject = words.next().ok_or_else(few)?;
        let total_text = words.next_back().ok_or_else(few)?;
        let header_text = if verb.has_header_size() { Some(words.next_back().ok_or_else(few)?) } else { None };
        let (reply, queues) = match (words.next(), words.0) {
            (reply, rest) if Words(rest).next().is_none() => (reply, Words::default()),
            _ if verb.is_a_clients() => return Err(few()),
            (Some(b"|"), _) => (None, words),
            (Some(b"+"), _) => (words.next(), words),
            (other, _) => {
                let shown = Shown::AsTheyCame(other.unwrap_or_default());
                let complaint = format_args!("{} Bad or Missing Reply Indicator", verb.function());
                return Err(RouteParseError::arguments(complaint, shown));
            }
        };
        let header_len = match header_text.map(parse_size) {
            None => 0,
            Some(length) => length.ok_or_else(|| verb.header_complaint("Bad or Missing Header Size", args))?,
        };
        let size = parse_size(total_text).ok_or_else(|| verb.complaint(verb.bad_size(), args))?;
        if header_len > size {
            return Err(verb.header_complaint("Header Size larger then TotalSize", args));
        }
        if let Some(max) = limits.max_payload.filter(|&max| size > max) {
            return Err(RouteParseError::PayloadExceeded { size, max });
        }
        let (queues, header_text) = (RoutedQueues(queues), header_text.filter(|_| header_len > 0));
        Ok(Arguments { args, account, subject, reply, queues, header_text, total_text, header_len, size })
    }

    /// How much of the line's end belongs to the tail, if that is exactly what a subscriber is sent.
    fn tail_length(&self) -> Option<usize> {
        let mut before = self.args.strip_suffix(self.total_text)?;
        for part in self.header_text.into_iter().chain(self.reply) {
            before = before.strip_suffix(b" ")?.strip_suffix(part)?;
        }
        self.args.len().checked_sub(before.len())
    }
}

impl Verb {
    fn is_a_clients(self) -> bool {
        matches!(self, Verb::Pub | Verb::Hpub)
    }

    fn has_header_size(self) -> bool {
        matches!(self, Verb::Hmsg | Verb::Hpub)
    }

    /// The function of the reference that complains.
    fn function(self) -> &'static str {
        match self {
            Verb::Rmsg => "processRoutedMsgArgs",
            Verb::Hmsg => "processRoutedHeaderMsgArgs",
            Verb::Pub => "processPub",
            Verb::Hpub => "processHeaderPub",
        }
    }

    fn bad_size(self) -> &'static str {
        if self == Verb::Hpub { "Bad or Missing Total Size" } else { "Bad or Missing Size" }
    }

    #[cold]
    fn complaint(self, what: &str, args: &[u8]) -> RouteParseError {
        let shown = if self.is_a_clients() { Shown::Quoted(args) } else { Shown::Words(args) };
        RouteParseError::arguments(format_args!("{} {what}", self.function()), shown)
    }

    #[cold]
    fn header_complaint(self, what: &str, args: &[u8]) -> RouteParseError {
        let shown = if self.is_a_clients() { Shown::Quoted(args) } else { Shown::AsTheyCame(args) };
        RouteParseError::arguments(format_args!("{} {what}", self.function()), shown)
    }
}
