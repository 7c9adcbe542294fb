//! The same bytes to our server and to the reference, and a comparison of all that comes back.

use std::borrow::Cow;
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};
use pinmesh_harness::{Client, Server, Side};

/// The first token of every subject that a test uses beside the comparison.
pub const NEXT_DOOR: &str = "nextdoor";

const INVALID_SUBJECT: &[u8] = b"-ERR 'Invalid Publish Subject'\r\n";
/// How often the reference may try to answer like ours.
const CHANCES: usize = 64;

/// Both servers, with the same configuration.
pub struct Pair {
    pub ours: Server,
    pub reference: Server,
    /// Whoever publishes below [`NEXT_DOOR`] holds this meanwhile.
    pub next_door: Mutex<()>,
}

impl Pair {
    /// Starts both.
    pub fn start(shards: usize, config: &str) -> Pair {
        let start = |side: Side| {
            let builder = side.server().shards(shards);
            if config.is_empty() { builder.start() } else { builder.config(config).start() }
        };
        Pair { ours: start(Side::Ours), reference: start(Side::Reference), next_door: Mutex::new(()) }
    }

    /// Both answer `stream`, followed by a half-close, alike.
    pub fn compare(&self, stream: &[u8]) -> Result<()> {
        self.compare_in_pieces(stream.chunks(stream.len().max(1)))
    }

    /// Both answer a stream sent piece by piece, followed by a half-close, alike.
    pub fn compare_in_pieces<'a>(&self, pieces: impl Iterator<Item = &'a [u8]> + Clone) -> Result<()> {
        let stream: Vec<u8> = pieces.clone().flatten().copied().collect();
        self.both(&stream, |client| {
            for piece in pieces.clone() {
                // A server that has already closed does not take all of it.
                if client.send(piece).is_err() {
                    break;
                }
            }
            client.half_close()
        })
    }

    /// Both answer `stream` alike and close without being asked to.
    pub fn compare_until_closed(&self, stream: &[u8]) -> Result<()> {
        self.both(stream, |client| {
            let _ = client.send(stream);
            Ok(())
        })
    }

    fn both(&self, stream: &[u8], send: impl Fn(&mut Client) -> Result<()>) -> Result<()> {
        let answer = |server: &Server| -> Result<String> {
            let mut client = Client::dial(server.address())?;
            // The INFO comes first; what is sent before it is read must not depend on when it is.
            client = client.greeted()?;
            send(&mut client)?;
            let answer = client.read_to_close().with_context(|| format!("{} does not close", server.side()))?;
            Ok(normal(&answer))
        };
        let asked = || format!("stream: {}", printable(stream));
        let mut theirs = answer(&self.reference).with_context(asked)?;
        let mut ours = answer(&self.ours).with_context(asked)?;
        if ours.contains(NEXT_DOOR) {
            // A subscription to everything has overheard the neighbours: once more, without them.
            let _silence = self.next_door.lock();
            ours = answer(&self.ours).with_context(asked)?;
        }
        // Which member of a queue group gets a message is chance: the reference must be able to answer like this.
        for _ in 0..CHANCES {
            if ours != theirs {
                theirs = answer(&self.reference).with_context(asked)?;
            }
        }
        ensure!(ours == theirs, "{}\n     ours: {ours:.3000}\nreference: {theirs:.3000}", asked());
        Ok(())
    }
}

/// An answer that can be compared: INFO lines emptied, since they name the server; messages that follow each other
/// sorted, since the order among the subscriptions that get the same message is open; and one error of a kind, since
/// the reference repeats it when the payload comes late or never.
pub fn normal(mut answer: &[u8]) -> String {
    let (mut all, mut messages) = (Vec::new(), Vec::new());
    while !answer.is_empty() {
        let line = answer.iter().position(|&byte| byte == b'\n').map_or(answer.len(), |end| end + 1);
        let text = &answer[..line];
        let end = if text.starts_with(b"MSG ") || text.starts_with(b"HMSG ") {
            let size = String::from_utf8_lossy(text).trim_end().rsplit(' ').next().and_then(|size| size.parse().ok());
            let end = size.map_or(line, |size: usize| line + size + 2).min(answer.len());
            messages.push(without_arbitrary_sid(&answer[..end]));
            end
        } else {
            messages.sort_unstable();
            all.extend(messages.drain(..).flat_map(Cow::into_owned));
            let again = text == INVALID_SUBJECT && all.ends_with(INVALID_SUBJECT);
            match text {
                _ if again => {}
                [b'I', b'N', b'F', b'O', ..] => all.extend_from_slice(b"INFO ...\r\n"),
                _ => all.extend_from_slice(text),
            }
            line
        };
        answer = &answer[end..];
    }
    messages.sort_unstable();
    all.extend(messages.into_iter().flat_map(Cow::into_owned));
    printable(&all)
}

/// Of several subscriptions to its reply subject, any one tells a requester that nobody listens.
fn without_arbitrary_sid(message: &[u8]) -> Cow<'_, [u8]> {
    let words: Vec<&[u8]> = message.splitn(4, |&byte| byte == b' ').collect();
    match words[..] {
        [name, subject, _, rest] if rest.windows(16).any(|window| window == b"\r\nNATS/1.0 503\r\n") => {
            Cow::Owned([name, subject, b"*", rest].join(&b' '))
        }
        _ => Cow::Borrowed(message),
    }
}

/// Bytes as they can be shown and pasted into a test.
pub fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
