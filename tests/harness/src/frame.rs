//! The frames a server sends to a client, found in a buffer without copying.

use std::fmt;
use std::ops::Range;
use std::str;

use anyhow::{Context, Result, bail};
use memchr::memchr;

/// One frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// `INFO`, its JSON.
    Info(&'a [u8]),
    /// `MSG` or `HMSG`.
    Message(Message<'a>),
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `+OK`
    Ok,
    /// `-ERR`, its text without the quotes.
    Err(&'a [u8]),
}

/// A message, still in the client's buffer.
#[derive(PartialEq, Eq)]
pub struct Message<'a> {
    /// The subject it was published on.
    pub subject: &'a [u8],
    /// The subscription that gets it.
    pub sid: &'a [u8],
    /// The reply subject, empty if there is none.
    pub reply: &'a [u8],
    /// The header block, empty if there is none.
    pub headers: &'a [u8],
    /// The payload without the headers.
    pub payload: &'a [u8],
}

/// A message to keep.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Received {
    /// The subject it was published on.
    pub subject: String,
    /// The subscription that got it.
    pub sid: String,
    /// The reply subject, empty if there is none.
    pub reply: String,
    /// The header block, empty if there is none.
    pub headers: Vec<u8>,
    /// The payload without the headers.
    pub payload: Vec<u8>,
}

impl Message<'_> {
    /// Copies it out of the buffer.
    pub fn to_received(&self) -> Received {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Received {
            subject: text(self.subject),
            sid: text(self.sid),
            reply: text(self.reply),
            headers: self.headers.to_vec(),
            payload: self.payload.to_vec(),
        }
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes| String::from_utf8_lossy(bytes);
        write!(f, "message on {:?}, sid {:?}, reply {:?}, ", text(self.subject), text(self.sid), text(self.reply))?;
        let (headers, payload) = (self.headers.len(), self.payload.len());
        let beginning = text(&self.payload[..payload.min(40)]);
        write!(f, "{headers} bytes of headers, {payload} of payload: {beginning:?}")
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Received { subject, sid, reply, headers, payload } = self;
        let (subject, sid, reply) = (subject.as_bytes(), sid.as_bytes(), reply.as_bytes());
        Message { subject, sid, reply, headers, payload }.fmt(f)
    }
}

/// Where a complete frame lies in a buffer.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    line: Range<usize>,
    kind: Kind,
    body: Range<usize>,
    end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Info,
    Message,
    HeaderMessage { headers: usize },
    Ping,
    Pong,
    Ok,
    Err,
}

impl Span {
    /// The first frame of `buffer[start..end]`, if it is complete.
    pub(crate) fn of(buffer: &[u8], start: usize, end: usize) -> Result<Option<Span>> {
        let Some(length) = memchr(b'\n', &buffer[start..end]) else { return Ok(None) };
        let line = start..start + length - usize::from(length > 0 && buffer[start + length - 1] == b'\r');
        let body = start + length + 1;
        let text = &buffer[line.clone()];
        let kind = kind_of(text).with_context(|| format!("not a frame: {:?}", String::from_utf8_lossy(text)))?;
        let size = match kind {
            Kind::Message | Kind::HeaderMessage { .. } => number(text.rsplit(|&byte| byte == b' ').next())?,
            _ => return Ok(Some(Span { line, kind, body: body..body, end: body })),
        };
        let after = body + size + 2;
        if after > end {
            return Ok(None);
        }
        if &buffer[after - 2..after] != b"\r\n" {
            bail!("no line end behind the payload of {:?}", String::from_utf8_lossy(text));
        }
        Ok(Some(Span { line, kind, body: body..body + size, end: after }))
    }

    /// Where the next frame begins.
    pub(crate) fn end(&self) -> usize {
        self.end
    }

    /// Whether it is a message.
    pub(crate) fn is_message(&self) -> bool {
        matches!(self.kind, Kind::Message | Kind::HeaderMessage { .. })
    }

    /// Whether it is a PING.
    pub(crate) fn is_ping(&self) -> bool {
        self.kind == Kind::Ping
    }

    /// The frame itself.
    pub(crate) fn frame<'a>(&self, buffer: &'a [u8]) -> Frame<'a> {
        let line = &buffer[self.line.clone()];
        let body = &buffer[self.body.clone()];
        match self.kind {
            Kind::Info => Frame::Info(line.get(5..).unwrap_or_default().trim_ascii()),
            Kind::Ping => Frame::Ping,
            Kind::Pong => Frame::Pong,
            Kind::Ok => Frame::Ok,
            Kind::Err => {
                let text = line.get(5..).unwrap_or_default();
                Frame::Err(text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text))
            }
            Kind::Message => Frame::Message(message(line, 1, &[], body)),
            Kind::HeaderMessage { headers } => {
                let (headers, payload) = body.split_at(headers.min(body.len()));
                Frame::Message(message(line, 2, headers, payload))
            }
        }
    }
}

fn kind_of(line: &[u8]) -> Result<Kind> {
    Ok(match line {
        b"PING" => Kind::Ping,
        b"PONG" => Kind::Pong,
        b"+OK" => Kind::Ok,
        _ if line.starts_with(b"MSG ") => Kind::Message,
        _ if line.starts_with(b"HMSG ") => {
            Kind::HeaderMessage { headers: number(line.rsplit(|&byte| byte == b' ').nth(1))? }
        }
        _ if line.starts_with(b"-ERR") => Kind::Err,
        _ if line.starts_with(b"INFO ") => Kind::Info,
        _ => bail!("unknown operation"),
    })
}

/// The arguments are subject, sid, perhaps a reply, and `sizes` numbers.
fn message<'a>(line: &'a [u8], sizes: usize, headers: &'a [u8], payload: &'a [u8]) -> Message<'a> {
    let mut arguments = line.split(|&byte| byte == b' ').skip(1);
    let subject = arguments.next().unwrap_or_default();
    let sid = arguments.next().unwrap_or_default();
    let reply = arguments.next().unwrap_or_default();
    let has_reply = arguments.count() == sizes;
    Message { subject, sid, reply: if has_reply { reply } else { &[] }, headers, payload }
}

fn number(text: Option<&[u8]>) -> Result<usize> {
    let text = str::from_utf8(text.unwrap_or_default())?;
    text.parse().with_context(|| format!("{text:?} is no size"))
}

#[cfg(test)]
mod tests {
    use super::{Frame, Message, Span};

    fn first(bytes: &[u8]) -> Option<Frame<'_>> {
        Span::of(bytes, 0, bytes.len()).expect("a valid stream").map(|span| span.frame(bytes))
    }

    #[test]
    fn frames_are_taken_apart() {
        assert_eq!(first(b"INFO {\"a\":1} \r\n"), Some(Frame::Info(b"{\"a\":1}")));
        assert_eq!(first(b"-ERR 'it's'\r\nPONG\r\n"), Some(Frame::Err(b"it's")));
        let plain = Message { subject: b"a.b", sid: b"7", reply: b"", headers: b"", payload: b"hi" };
        assert_eq!(first(b"MSG a.b 7 2\r\nhi\r\n"), Some(Frame::Message(plain)));
        let reply = Message { subject: b"a", sid: b"7", reply: b"r", headers: b"NATS/1.0\r\n\r\n", payload: b"x" };
        assert_eq!(first(b"HMSG a 7 r 12 13\r\nNATS/1.0\r\n\r\nx\r\n"), Some(Frame::Message(reply)));
    }

    #[test]
    fn an_incomplete_frame_is_none() {
        let whole = b"MSG a 1 3\r\nx\r\n\r\n";
        for length in 0..whole.len() {
            assert_eq!(first(&whole[..length]), None);
        }
        assert!(first(whole).is_some());
    }

    #[test]
    fn a_wrong_stream_is_an_error() {
        for bytes in [b"MSG a 1 1\r\nxyz".as_slice(), b"HELLO\r\n", b"MSG a 1 z\r\n"] {
            assert!(Span::of(bytes, 0, bytes.len()).is_err());
        }
    }
}
