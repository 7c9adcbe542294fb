//! Messages on their way in, from clients and from routes: from the control line to what can be written to subscribers with three copies.

use super::error::{ParseError, Shown};
use super::line::Line;
use super::name::Named;
use super::scan::{find_low, parse_size, size_and_blank, size_and_line_end};
use super::words::Words;

/// The names of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verb {
    Pub,
    Hpub,
    Rmsg,
    Hmsg,
}

/// A complete message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    verb: Verb,
    /// The arguments as they came, for traces and logs.
    pub args: &'a [u8],
    /// Subject as published; nothing has been checked.
    pub subject: &'a [u8],
    /// Subject for replies; nothing has been checked.
    pub reply: Option<&'a [u8]>,
    /// Size of the header block as it was written; `None` without headers, and for size 0.
    pub header_text: Option<&'a [u8]>,
    /// Size of header block and payload together, as it was written.
    pub total_text: &'a [u8],
    /// Bytes of the header block; 0: none.
    pub header_len: usize,
    /// Header block and payload.
    pub body: &'a [u8],
    /// What follows `MSG <subject> <sid> ` on its way to a subscriber, if the input has it in one piece:
    /// `[<reply> ][<#header> ]<#total>`, line end, body, line end. Else [`Publish::write_tail`] makes it.
    pub tail: Option<&'a [u8]>,
}

impl Publish<'_> {
    /// Do subscribers get `HMSG`? (With an empty header block they do not.)
    #[inline]
    pub fn has_headers(&self) -> bool {
        self.header_len > 0
    }

    /// The operation's name, for traces.
    pub fn name(&self) -> &'static str {
        self.verb.name()
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

/// The usual message, straight through, and where it ends: no queue groups, one blank between arguments, CR LF, and the payload is there. The
/// arguments begin at `args_start`, the subject at `subject_start`.
///
/// `None` decides nothing, neither that it is wrong nor that it is unfinished: [`Announced`] does.
// Always: what it returns is large, and moving it costs as much as finding it.
#[inline(always)]
pub(super) fn usual<'a>(
    verb: Verb,
    input: &'a [u8],
    args_start: usize,
    subject_start: usize,
    max_args: usize,
    max_payload: Option<usize>,
) -> Option<(Publish<'a>, usize)> {
    let (subject, second) = usual_word(input, subject_start).filter(|(subject, _)| !subject.is_empty())?;
    let (reply, tail_start, sizes) = match usual_sizes(verb, input, second) {
        Some(sizes) => (None, second, sizes),
        None => {
            // Some clients write the blanks around a reply that they do not have.
            let (reply, third) = usual_word(input, second)?;
            let reply = Some(reply).filter(|reply| !reply.is_empty());
            let tail_start = if reply.is_some() { second } else { third };
            (reply, tail_start, usual_sizes(verb, input, third)?)
        }
    };
    let UsualSizes { header_text, header_len, total_text, total, end: args_end } = sizes;
    let args = input.get(args_start..args_end)?;
    if args.len() > max_args || header_len > total || max_payload.is_some_and(|max| total > max) {
        return None;
    }
    let body_start = args_end.checked_add(2)?;
    let body_end = body_start.checked_add(total)?;
    let end = body_end.checked_add(2)?;
    let tail = input.get(tail_start..end)?;
    if !tail.ends_with(b"\r\n") {
        return None;
    }
    let body = input.get(body_start..body_end)?;
    let publish = Publish { verb, args, subject, reply, header_text, total_text, header_len, body, tail: Some(tail) };
    Some((publish, end))
}

/// `[#header ]#total`
struct UsualSizes<'a> {
    header_text: Option<&'a [u8]>,
    header_len: usize,
    total_text: &'a [u8],
    total: usize,
    /// Where the line ends.
    end: usize,
}

/// The sizes that begin at `start`, if the line ends behind them. A header block of no bytes is unusual.
#[inline(always)]
fn usual_sizes<'a>(verb: Verb, input: &'a [u8], start: usize) -> Option<UsualSizes<'a>> {
    let (header_text, header_len, total_start) = if verb.has_header_size() {
        let (length, end) = size_and_blank(input, start).filter(|(length, _)| *length > 0)?;
        (Some(input.get(start..end)?), length, end.saturating_add(1))
    } else {
        (None, 0, start)
    };
    let (total, end) = size_and_line_end(input, total_start)?;
    Some(UsualSizes { header_text, header_len, total_text: input.get(total_start..end)?, total, end })
}

/// The word that begins at `start`, if one blank follows, and the offset behind that.
#[inline(always)]
pub(super) fn usual_word(input: &[u8], start: usize) -> Option<(&[u8], usize)> {
    let end = find_low(input, start);
    let word = input.get(start..end)?;
    (*input.get(end)? == b' ').then_some((word, end.saturating_add(1)))
}

/// A message's control line that was understood.
pub(super) struct Announced<'a> {
    verb: Verb,
    pub subject: &'a [u8],
    reply: Option<&'a [u8]>,
    /// Queue groups of which the receiver is to pick a member.
    pub queues: Words<'a>,
    header_text: Option<&'a [u8]>,
    total_text: &'a [u8],
    header_len: usize,
    size: usize,
}

/// Why there is no message behind its control line.
pub(super) enum NoPayload {
    /// The payload goes on behind the input's end.
    Incomplete {
        /// Total length of the operation from the input's beginning.
        needed: usize,
    },
    /// The payload does not end where its size says.
    Unterminated(ParseError),
}

impl<'a> Announced<'a> {
    /// Reads the `words` of the arguments from the subject on.
    pub(super) fn read(
        verb: Verb,
        args: &'a [u8],
        mut words: Words<'a>,
        max_payload: Option<usize>,
    ) -> Result<Announced<'a>, ParseError> {
        let few = || verb.too_few(args);
        let subject = words.next().ok_or_else(few)?;
        let total_text = words.next_back().ok_or_else(few)?;
        let header_text = if verb.has_header_size() { Some(words.next_back().ok_or_else(few)?) } else { None };
        let (reply, queues) = match words.next() {
            reply if words.is_empty() => (reply, Words::default()),
            _ if verb.is_a_clients() => return Err(few()),
            Some(b"|") => (None, words),
            Some(b"+") => (words.next(), words),
            other => {
                let shown = Shown::AsTheyCame(other.unwrap_or_default());
                let complaint = format_args!("{} Bad or Missing Reply Indicator", verb.function());
                return Err(ParseError::arguments(complaint, shown));
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
        if let Some(max) = max_payload.filter(|&max| size > max) {
            return Err(ParseError::PayloadExceeded { size, max });
        }
        let header_text = header_text.filter(|_| header_len > 0);
        Ok(Announced { verb, subject, reply, queues, header_text, total_text, header_len, size })
    }

    /// The message with the payload that follows `line`, and where it ends.
    #[inline(always)]
    pub(super) fn with_payload<O: Named>(
        &self,
        input: &'a [u8],
        line: &Line<'a>,
    ) -> Result<(Publish<'a>, usize), NoPayload> {
        let body_end = line.end.saturating_add(self.size);
        let end = body_end.saturating_add(2);
        match (input.get(body_end), input.get(body_end.saturating_add(1))) {
            (Some(b'\r'), Some(b'\n')) => {}
            (None, _) | (Some(b'\r'), None) => return Err(NoPayload::Incomplete { needed: end }),
            (Some(b'\r'), Some(_)) => return Err(unterminated::<O>(input, MSG_END_N, body_end.saturating_add(1))),
            (Some(_), _) => return Err(unterminated::<O>(input, MSG_END_R, body_end)),
        }
        let ends_with_crlf = line.end.wrapping_sub(line.args_end) == 2;
        let tail_length = if ends_with_crlf { self.tail_length(line.args) } else { None };
        let tail_start = tail_length.and_then(|length| line.args_end.checked_sub(length));
        let publish = Publish {
            verb: self.verb,
            args: line.args,
            subject: self.subject,
            reply: self.reply,
            header_text: self.header_text,
            total_text: self.total_text,
            header_len: self.header_len,
            body: input.get(line.end..body_end).unwrap_or_default(),
            tail: tail_start.and_then(|start| input.get(start..end)),
        };
        Ok((publish, end))
    }

    /// How much of the end of `args` belongs to the tail, if that is exactly what a subscriber is sent.
    fn tail_length(&self, args: &[u8]) -> Option<usize> {
        let mut before = args.strip_suffix(self.total_text)?;
        for part in self.header_text.into_iter().chain(self.reply) {
            before = before.strip_suffix(b" ")?.strip_suffix(part)?;
        }
        args.len().checked_sub(before.len())
    }
}

/// The reference's numbers of the two states behind a payload.
const MSG_END_R: u8 = 41;
const MSG_END_N: u8 = 42;

#[cold]
fn unterminated<O: Named>(input: &[u8], state: u8, offset: usize) -> NoPayload {
    NoPayload::Unterminated(ParseError::unknown::<O>(state, offset, input))
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Verb::Pub => "PUB",
            Verb::Hpub => "HPUB",
            Verb::Rmsg => "RMSG",
            Verb::Hmsg => "HMSG",
        }
    }

    pub(super) fn is_a_clients(self) -> bool {
        matches!(self, Verb::Pub | Verb::Hpub)
    }

    fn has_header_size(self) -> bool {
        matches!(self, Verb::Hpub | Verb::Hmsg)
    }

    /// The function of the reference that complains.
    fn function(self) -> &'static str {
        match self {
            Verb::Pub => "processPub",
            Verb::Hpub => "processHeaderPub",
            Verb::Rmsg => "processRoutedMsgArgs",
            Verb::Hmsg => "processRoutedHeaderMsgArgs",
        }
    }

    fn bad_size(self) -> &'static str {
        if self == Verb::Hpub { "Bad or Missing Total Size" } else { "Bad or Missing Size" }
    }

    #[cold]
    pub(super) fn too_few(self, args: &[u8]) -> ParseError {
        self.complaint("Parse Error", args)
    }

    #[cold]
    fn complaint(self, what: &str, args: &[u8]) -> ParseError {
        let complaint = format_args!("{} {what}", self.function());
        if self.is_a_clients() {
            ParseError::arguments(complaint, Shown::Quoted(args))
        } else {
            ParseError::message_arguments(complaint, args)
        }
    }

    #[cold]
    fn header_complaint(self, what: &str, args: &[u8]) -> ParseError {
        let shown = if self.is_a_clients() { Shown::Quoted(args) } else { Shown::AsTheyCame(args) };
        ParseError::arguments(format_args!("{} {what}", self.function()), shown)
    }
}
