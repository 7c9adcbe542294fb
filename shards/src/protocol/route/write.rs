//! Lines to other servers: every writer appends to an out-buffer.

/// Is the other server there?
pub const PING: &[u8] = b"PING\r\n";
/// Answer to `PING`.
pub const PONG: &[u8] = b"PONG\r\n";

/// Appends `RS+`: somebody here wants `subject`, or is a member of a queue group, which has so many here.
///
/// The account is left out (`None`) on a connection that is for one account; so everywhere below.
pub fn interest(out: &mut Vec<u8>, account: Option<&[u8]>, subject: &[u8], queue: Option<(&[u8], u32)>) {
    out.extend_from_slice(b"RS+ ");
    push_account(out, account);
    out.extend_from_slice(subject);
    if let Some((queue, weight)) = queue {
        push_word(out, queue);
        push_word(out, itoa::Buffer::new().format(weight).as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `RS-`: nobody here wants `subject` any more, or the queue group has no member left here.
pub fn no_interest(out: &mut Vec<u8>, account: Option<&[u8]>, subject: &[u8], queue: Option<&[u8]>) {
    out.extend_from_slice(b"RS- ");
    push_account(out, account);
    out.extend_from_slice(subject);
    if let Some(queue) = queue {
        push_word(out, queue);
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends what a message without queue groups begins with: `RMSG [account] <subject> ` or, with headers, `HMSG …`. What follows is the
/// tail of [`Publish`](crate::protocol::client::Publish).
#[inline]
pub fn message_head(out: &mut Vec<u8>, account: Option<&[u8]>, subject: &[u8], headers: bool) {
    out.extend_from_slice(if headers { b"HMSG " } else { b"RMSG " });
    push_account(out, account);
    out.extend_from_slice(subject);
    out.push(b' ');
}

/// Appends the whole control line of a message for these queue groups, of which there may be none. `header_len` is `None` for `RMSG`.
/// What follows is the body, and CR LF.
pub fn message<'a>(
    out: &mut Vec<u8>,
    account: Option<&[u8]>,
    subject: &[u8],
    reply: Option<&'a [u8]>,
    queues: impl IntoIterator<Item = &'a [u8]>,
    header_len: Option<usize>,
    body_len: usize,
) {
    message_head(out, account, subject, header_len.is_some());
    let mut queues = queues.into_iter().peekable();
    // `|` without groups would be taken for a reply subject.
    if queues.peek().is_some() {
        out.extend_from_slice(if reply.is_some() { b"+ " } else { b"| " });
    }
    for word in reply.into_iter().chain(queues) {
        out.extend_from_slice(word);
        out.push(b' ');
    }
    if let Some(length) = header_len {
        out.extend_from_slice(itoa::Buffer::new().format(length).as_bytes());
        out.push(b' ');
    }
    out.extend_from_slice(itoa::Buffer::new().format(body_len).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[inline]
fn push_account(out: &mut Vec<u8>, account: Option<&[u8]>) {
    if let Some(account) = account {
        out.extend_from_slice(account);
        out.push(b' ');
    }
}

fn push_word(out: &mut Vec<u8>, word: &[u8]) {
    out.push(b' ');
    out.extend_from_slice(word);
}
