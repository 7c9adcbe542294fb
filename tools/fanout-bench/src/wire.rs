//! What a server sends, operation by operation: the slow, general way to read it.

use memchr::memchr;

/// One operation of a server.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// `MSG`
    Message(Message<'a>),
    /// `PING`
    Ping,
    /// `PONG`
    Pong,
    /// `INFO` or `+OK`, which mean nothing to a load generator.
    Ignorable,
}

/// A delivered message.
#[derive(Debug, PartialEq, Eq)]
pub struct Message<'a> {
    /// The subject it was published to.
    pub subject: &'a [u8],
    /// The subscription it was delivered to.
    pub sid: &'a [u8],
    /// Where an answer goes.
    pub reply: Option<&'a [u8]>,
    /// Its content.
    pub payload: &'a [u8],
}

/// Why the bytes of a server are refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The server sent `-ERR`.
    #[error("the server answered: {0}")]
    Refused(String),
    /// Not an operation of the protocol.
    #[error("not an operation of a server: {0:?}")]
    Unknown(String),
}

/// Reads the first operation of `bytes` and tells its length, or `None` if it is not complete yet.
pub fn next(bytes: &[u8]) -> Result<Option<(Incoming<'_>, usize)>, WireError> {
    let Some(end) = memchr(b'\n', bytes) else { return Ok(None) };
    let (line, rest) = bytes.split_at(end + 1);
    let line = line.trim_ascii_end();
    if let Some(arguments) = line.strip_prefix(b"MSG ") {
        return message(arguments, rest)
            .ok_or_else(|| WireError::Unknown(excerpt(bytes)))
            .map(|found| found.map(|(message, length)| (Incoming::Message(message), end + 1 + length)));
    }
    let operation = match line {
        b"PING" => Incoming::Ping,
        b"PONG" => Incoming::Pong,
        b"+OK" => Incoming::Ignorable,
        _ if line.starts_with(b"INFO ") => Incoming::Ignorable,
        _ if line.starts_with(b"-ERR") => return Err(WireError::Refused(excerpt(line))),
        _ => return Err(WireError::Unknown(excerpt(bytes))),
    };
    Ok(Some((operation, end + 1)))
}

/// Outer `None`: malformed. Inner `None`: not complete yet.
fn message<'a>(arguments: &'a [u8], rest: &'a [u8]) -> Option<Option<(Message<'a>, usize)>> {
    let mut words = arguments.split(|byte| *byte == b' ');
    let (subject, sid, third) = (words.next()?, words.next()?, words.next()?);
    let (reply, size) = match words.next() {
        Some(size) => (Some(third), size),
        None => (None, third),
    };
    let size: usize = std::str::from_utf8(size).ok()?.parse().ok()?;
    let length = size.checked_add(2)?;
    let Some(body) = rest.get(..length) else { return Some(None) };
    let payload = body.strip_suffix(b"\r\n")?;
    Some(Some((Message { subject, sid, reply, payload }, length)))
}

/// The beginning of `bytes` as text, for an error message.
pub fn excerpt(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..80).unwrap_or(bytes)).trim_end().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_messages_with_and_without_reply() {
        let bytes = b"MSG a.b 7 2\r\nhi\r\nMSG a 8 back 0\r\n\r\nPING\r\n";
        let (first, length) = next(bytes).unwrap().unwrap();
        assert_eq!(first, Incoming::Message(Message { subject: b"a.b", sid: b"7", reply: None, payload: b"hi" }));
        let rest = &bytes[length..];
        let (second, length) = next(rest).unwrap().unwrap();
        assert_eq!(second, Incoming::Message(Message { subject: b"a", sid: b"8", reply: Some(b"back"), payload: b"" }));
        assert_eq!(next(&rest[length..]).unwrap().unwrap(), (Incoming::Ping, 6));
    }

    #[test]
    fn waits_for_the_rest() {
        for part in ["", "MSG", "MSG a 1 2\r", "MSG a 1 2\r\n", "MSG a 1 2\r\nhi\r", "PIN"] {
            assert_eq!(next(part.as_bytes()), Ok(None), "{part:?}");
        }
    }

    #[test]
    fn refuses_errors_and_nonsense() {
        assert_eq!(next(b"-ERR 'no'\r\n"), Err(WireError::Refused("-ERR 'no'".into())));
        for bad in ["HELLO\r\n", "MSG a 1\r\n", "MSG a 1 x\r\n", "MSG a 1 2\r\nhello\r\n"] {
            assert!(matches!(next(bad.as_bytes()), Err(WireError::Unknown(_))), "{bad:?}");
        }
    }
}
