//! `PUB` and `HPUB`: from the control line to a message that can be written to subscribers with three copies.

use super::error::ParseError;
use super::line::{Line, Span};
use super::{ClientOp, ControlLine, ParserLimits, Step, wrong_arguments};
use crate::protocol::scan::{find_low, parse_size, size_and_line_end};

const PUB: &str = "PUB";
const HPUB: &str = "HPUB";

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

    /// The operation's name, for traces. What tells them apart if there are no headers is how many arguments came.
    pub fn name(&self) -> &'static str {
        let count = self.args.split(|byte| matches!(byte, b' ' | b'\t')).filter(|arg| !arg.is_empty()).count();
        let of_pub = if self.reply.is_some() { 3 } else { 2 };
        if count == of_pub { PUB } else { HPUB }
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

/// The usual `PUB`, straight through: one blank between arguments, CR LF, and the payload is there.
///
/// `None` decides nothing, neither that it is wrong nor that it is unfinished: [`publish`] does.
// Always: what it returns is large, and moving it costs as much as finding it.
#[inline(always)]
pub(super) fn usual<'a>(input: &'a [u8], limits: &ParserLimits) -> Option<Step<'a>> {
    const NAME: u32 = u32::from_le_bytes(*b"PUB ");
    const SUBJECT: usize = 4;
    if u32::from_le_bytes(*input.first_chunk()?) != NAME {
        return None;
    }
    let subject_end = find_low(input, SUBJECT);
    let subject = input.get(SUBJECT..subject_end).filter(|subject| !subject.is_empty())?;
    let second = subject_end.checked_add(1)?;
    if *input.get(subject_end)? != b' ' {
        return None;
    }
    let (reply, tail_start, total_start, (size, total_end)) = match size_and_line_end(input, second) {
        Some(total) => (None, second, second, total),
        None => {
            let reply_end = find_low(input, second);
            let third = reply_end.checked_add(1)?;
            if *input.get(reply_end)? != b' ' {
                return None;
            }
            // Some clients write the blanks around a reply that they do not have.
            let reply = input.get(second..reply_end).filter(|reply| !reply.is_empty());
            let tail_start = if reply.is_some() { second } else { third };
            (reply, tail_start, third, size_and_line_end(input, third)?)
        }
    };
    if total_end.checked_sub(SUBJECT)? > limits.max_control_line || limits.max_payload.is_some_and(|max| size > max) {
        return None;
    }
    let body_start = total_end.checked_add(2)?;
    let body_end = body_start.checked_add(size)?;
    let end = body_end.checked_add(2)?;
    let tail = input.get(tail_start..end)?;
    if !tail.ends_with(b"\r\n") {
        return None;
    }
    let op = ClientOp::Pub(Publish {
        args: input.get(SUBJECT..total_end)?,
        subject,
        reply,
        header_text: None,
        total_text: input.get(total_start..total_end)?,
        header_len: 0,
        body: input.get(body_start..body_end)?,
        tail: Some(tail),
    });
    Some(Step::Op { op, consumed: end })
}

/// `PUB <subject> [reply] <#total>`
#[inline]
pub(super) fn publish<'a>(input: &'a [u8], line: &Line, limits: &ParserLimits) -> Step<'a> {
    let [subject, second, third, _] = line.args;
    let (reply, total) = match line.count {
        2 => (None, second),
        3 => (Some(second), third),
        _ => return wrong_arguments(PUB, args_of(input, line), "processPub Parse Error"),
    };
    let Some(size) = parse_size(total.of(input)) else {
        return wrong_arguments(PUB, args_of(input, line), "processPub Bad or Missing Size");
    };
    with_body(input, line, limits, Sizes { name: PUB, subject, reply, header: None, total, header_len: 0, size })
}

/// `HPUB <subject> [reply] <#header> <#total>`
pub(super) fn publish_with_headers<'a>(input: &'a [u8], line: &Line, limits: &ParserLimits) -> Step<'a> {
    let args = args_of(input, line);
    let wrong = |complaint| wrong_arguments(HPUB, args, complaint);
    if !limits.headers {
        let line = ControlLine { name: HPUB, args, subject: None };
        return Step::Error { error: ParseError::HeadersNotSupported, line: Some(line) };
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
    with_body(input, line, limits, Sizes { name: HPUB, subject, reply, header, total, header_len, size })
}

/// A control line that was understood.
struct Sizes {
    name: &'static str,
    subject: Span,
    reply: Option<Span>,
    header: Option<Span>,
    total: Span,
    header_len: usize,
    size: usize,
}

#[inline]
fn with_body<'a>(input: &'a [u8], line: &Line, limits: &ParserLimits, sizes: Sizes) -> Step<'a> {
    let subject = sizes.subject.of(input);
    let control_line = ControlLine { name: sizes.name, args: args_of(input, line), subject: Some(subject) };
    if let Some(max) = limits.max_payload.filter(|&max| sizes.size > max) {
        let error = ParseError::PayloadExceeded { size: sizes.size as u64, max };
        return Step::Error { error, line: Some(ControlLine { subject: None, ..control_line }) };
    }
    let body_end = line.end.saturating_add(sizes.size);
    let end = body_end.saturating_add(2);
    match (input.get(body_end), input.get(body_end.saturating_add(1))) {
        (Some(b'\r'), Some(b'\n')) => {}
        (None, _) | (Some(b'\r'), None) => {
            return Step::Incomplete { needed: Some(end), line: Some(control_line) };
        }
        (Some(b'\r'), Some(_)) => return unterminated(input, control_line, MSG_END_N, body_end.saturating_add(1)),
        (Some(_), _) => return unterminated(input, control_line, MSG_END_R, body_end),
    }
    let tail = tail_start(input, line, &sizes).and_then(|start| input.get(start..end));
    let op = ClientOp::Pub(Publish {
        args: control_line.args,
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

#[cold]
fn unterminated<'a>(input: &[u8], line: ControlLine<'a>, state: u8, offset: usize) -> Step<'a> {
    Step::Error { error: ParseError::unknown(state, offset, input), line: Some(line) }
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
    let start = if line.count == 0 { line.text_end } else { first.start };
    Span { start, end: line.text_end }.of(input)
}
