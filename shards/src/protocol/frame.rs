//! Frames to clients: every writer appends to an out-buffer, and says the whole thing in one reservation.
//!
//! Subscribers of one message differ in the `sid` alone. So the head (`MSG <subject> `) is made once per message, the
//! tail comes from the publisher's own bytes, and a frame is `head`, `sid`, a blank, `tail`.

pub use super::quote::quote_go;

/// Answer to `PING`.
pub const PONG: &[u8] = b"PONG\r\n";
/// Is the client there?
pub const PING: &[u8] = b"PING\r\n";
/// What a verbose client gets for each accepted operation.
pub const OK: &[u8] = b"+OK\r\n";

/// Appends what a frame begins with: `MSG <subject> <sid> ` or, with headers, `HMSG <subject> <sid> `. What follows is the tail of
/// [`Publish`](super::client::Publish).
#[inline]
pub fn message_head(out: &mut Vec<u8>, subject: &[u8], sid: &[u8], headers: bool) {
    let name: &[u8] = if headers { b"HMSG " } else { b"MSG " };
    append(out, [name, subject, b" ", sid, b" "]);
}

/// Appends a frame for a subscriber without headers to a message that has some: `payload` is what follows them.
pub fn write_stripped(out: &mut Vec<u8>, subject: &[u8], sid: &[u8], reply: Option<&[u8]>, payload: &[u8]) {
    let (reply, blank): (&[u8], &[u8]) = reply.map_or((b"", b""), |reply| (reply, b" "));
    let mut size = itoa::Buffer::new();
    let size = size.format(payload.len()).as_bytes();
    append(out, [b"MSG ", subject, b" ", sid, b" ", reply, blank, size, b"\r\n", payload, b"\r\n"]);
}

/// Appends what a requester is told when nobody gets its request to `subject`.
pub fn write_no_responders(out: &mut Vec<u8>, reply: &[u8], sid: &[u8], subject: &[u8]) {
    const STATUS: &[u8] = b"NATS/1.0 503\r\nNats-Subject: ";
    const END: &[u8] = b"\r\n\r\n";
    let mut size = itoa::Buffer::new();
    let length = STATUS.len().saturating_add(subject.len()).saturating_add(END.len());
    let size = size.format(length).as_bytes();
    append(out, [b"HMSG ", reply, b" ", sid, b" ", size, b" ", size, b"\r\n", STATUS, subject, END, b"\r\n"]);
}

/// Appends `-ERR '<text>'`.
pub fn write_error(out: &mut Vec<u8>, text: impl AsRef<[u8]>) {
    append(out, [b"-ERR '", text.as_ref(), b"'\r\n"]);
}

#[inline]
fn append<const N: usize>(out: &mut Vec<u8>, parts: [&[u8]; N]) {
    out.reserve(parts.iter().fold(0, |sum, part| sum.saturating_add(part.len())));
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = b"before ".to_vec();
        write(&mut out);
        String::from_utf8(out.split_off(7)).expect("frames of text are text")
    }

    #[test]
    fn messages() {
        assert_eq!(written(|out| message_head(out, b"a.b", b"7", false)), "MSG a.b 7 ");
        assert_eq!(written(|out| message_head(out, b"a.b", b"7", true)), "HMSG a.b 7 ");
    }

    #[test]
    fn stripped_messages() {
        assert_eq!(written(|out| write_stripped(out, b"a", b"7", None, b"hi")), "MSG a 7 2\r\nhi\r\n");
        assert_eq!(written(|out| write_stripped(out, b"a", b"7", Some(b"r"), b"")), "MSG a 7 r 0\r\n\r\n");
    }

    #[test]
    fn no_responders() {
        assert_eq!(
            written(|out| write_no_responders(out, b"inbox", b"7", b"nobody")),
            "HMSG inbox 7 38 38\r\nNATS/1.0 503\r\nNats-Subject: nobody\r\n\r\n\r\n"
        );
    }

    #[test]
    fn errors() {
        assert_eq!(written(|out| write_error(out, "Invalid Subject")), "-ERR 'Invalid Subject'\r\n");
    }
}
