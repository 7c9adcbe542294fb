//! `PUB` and `HPUB`: from the control line to a message that can be written to subscribers with three copies.

use super::error::ParseError;
use super::line::{Line, Span};
use super::{ClientOp, ParserLimits, Step};

/// Longest size that is understood; longer ones are mistakes even if they are all zeros.
const MAX_SIZE_DIGITS: usize = 9;

/// A complete `PUB` or `HPUB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// The arguments as they came, for traces and logs.
    pub args: &'a [u8],
    /// Subject as published; nothing has been checked.
    pub subject: &'a [u8],
    /// Subject for replies; nothing has been checked.
    pub reply: Option<&'a [u8]>,
    /// Size of the header block as it was written; `None` for `PUB` and for `HPUB` with size 0.
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

/// Reads a size: 1 to 9 digits and nothing else.
#[inline]
pub(super) fn parse_size(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > MAX_SIZE_DIGITS {
        return None;
    }
    text.iter().try_fold(0usize, |size, byte| {
        let digit = byte.wrapping_sub(b'0');
        (digit < 10).then(|| size.wrapping_mul(10).wrapping_add(usize::from(digit)))
    })
}

/// `PUB <subject> [reply] <#total>`
#[inline]
pub(super) fn publish<'a>(input: &'a [u8], line: &Line, limits: &ParserLimits) -> Step<'a> {
    let [subject, second, third, _] = line.args;
    let (reply, total) = match line.count {
        2 => (None, second),
        3 => (Some(second), third),
        _ => return Step::Error(ParseError::arguments("processPub Parse Error", args_of(input, line))),
    };
    let Some(size) = parse_size(total.of(input)) else {
        return Step::Error(ParseError::arguments("processPub Bad or Missing Size", args_of(input, line)));
    };
    with_body(input, line, limits, Sizes { subject, reply, header: None, total, header_len: 0, size })
}

/// `HPUB <subject> [reply] <#header> <#total>`
pub(super) fn publish_with_headers<'a>(input: &'a [u8], line: &Line, limits: &ParserLimits) -> Step<'a> {
    let wrong = |complaint| Step::Error(ParseError::arguments(complaint, args_of(input, line)));
    if !limits.headers {
        return Step::Error(ParseError::HeadersNotSupported);
    }
    let [subject, second, third, fourth] = line.args;
    let (reply, header, total) = match line.count {
        3 => (None, second, third),
        4 => (Some(second), third, fourth),
        _ => return wrong("processHeaderPub Parse Error"),
    };
    let Some(header_len) = parse_size(header.of(input)) else {
        return wrong("processHeaderPub Bad or Missing Header Size");
    };
    let Some(size) = parse_size(total.of(input)) else {
        return wrong("processHeaderPub Bad or Missing Total Size");
    };
    if header_len > size {
        return wrong("processHeaderPub Header Size larger then TotalSize");
    }
    let header = (header_len > 0).then_some(header);
    with_body(input, line, limits, Sizes { subject, reply, header, total, header_len, size })
}

/// A control line that was understood.
struct Sizes {
    subject: Span,
    reply: Option<Span>,
    header: Option<Span>,
    total: Span,
    header_len: usize,
    size: usize,
}

#[inline]
fn with_body<'a>(input: &'a [u8], line: &Line, limits: &ParserLimits, sizes: Sizes) -> Step<'a> {
    if let Some(max) = limits.max_payload.filter(|&max| sizes.size > max) {
        return Step::Error(ParseError::PayloadExceeded { size: sizes.size as u64, max });
    }
    let subject = sizes.subject.of(input);
    let body_end = line.end.saturating_add(sizes.size);
    let end = body_end.saturating_add(2);
    match (input.get(body_end), input.get(body_end.saturating_add(1))) {
        (Some(b'\r'), Some(b'\n')) => {}
        (None, _) | (Some(b'\r'), None) => {
            return Step::Incomplete { needed: Some(end), publish_subject: Some(subject) };
        }
        (Some(b'\r'), Some(_)) => return unterminated(input, MSG_END_N, body_end.saturating_add(1)),
        (Some(_), _) => return unterminated(input, MSG_END_R, body_end),
    }
    let tail = tail_start(input, line, &sizes).and_then(|start| input.get(start..end));
    let op = ClientOp::Pub(Publish {
        args: args_of(input, line),
        subject,
        reply: sizes.reply.map(|reply| reply.of(input)),
        header_text: sizes.header.map(|header| header.of(input)),
        total_text: sizes.total.of(input),
        header_len: sizes.header_len,
        body: Span { start: line.end, end: body_end }.of(input),
        tail,
    });
    Step::Op { op, consumed: end }
}

/// The reference's numbers of the two states behind a payload.
const MSG_END_R: u8 = 41;
const MSG_END_N: u8 = 42;

fn unterminated(input: &[u8], state: u8, offset: usize) -> Step<'static> {
    Step::Error(ParseError::unknown(state, offset, input))
}

/// Where the tail begins, if the control line is from there on exactly what a subscriber is sent.
#[inline]
fn tail_start(input: &[u8], line: &Line, sizes: &Sizes) -> Option<usize> {
    let ends_with_crlf = line.end.wrapping_sub(line.text_end) == 2;
    let mut canonical = ends_with_crlf && sizes.total.end == line.text_end;
    let mut start = sizes.total.start;
    for part in sizes.header.into_iter().chain(sizes.reply) {
        canonical &= start.wrapping_sub(part.end) == 1 && input.get(part.end) == Some(&b' ');
        start = part.start;
    }
    canonical.then_some(start)
}

#[inline]
fn args_of<'a>(input: &'a [u8], line: &Line) -> &'a [u8] {
    let [first, ..] = line.args;
    Span { start: first.start, end: line.text_end }.of(input)
}
