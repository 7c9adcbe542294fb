//! One connection before it is a route: its bytes, cut into what a handshake is made of.

use std::io::ErrorKind;
use std::net::SocketAddr;

use super::RouteLabel;
use super::dialing::Errand;
use crate::connection::Codec;
use crate::protocol::connect::redact;
use crate::protocol::route::{MAX_CONTROL_LINE, RouteLimits, RouteOp, RouteParseError, RouteParser, RouteStep};
use crate::protocol::s2::Compression;

/// More than this is never kept: the longest line, and its name.
const MOST_INPUT: usize = MAX_CONTROL_LINE + 64;

/// Decompressed at a time.
const PIECE: usize = 16 * 1024;

/// Why what the other side said makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Gibberish {
    #[error(transparent)]
    Protocol(#[from] RouteParseError),
    #[error("{0}")]
    Compression(String),
}

/// What a connection waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The other side's CONNECT, which comes before all else.
    Connect,
    /// The other side's INFO.
    Info,
    /// It is a lane of the server named in [`Handshake::remote`]; others are missing, or the word that they are all there.
    Lane,
    /// The same, and nothing more is read: what comes next is for the shard.
    Parked,
}

/// A connection that is not yet a route.
#[derive(Debug)]
pub(super) struct Handshake {
    pub rid: u64,
    pub address: SocketAddr,
    /// When the connection was made.
    pub opened: u64,
    /// Until when it must be a route.
    pub deadline: u64,
    /// What this server dialled for; `None`: the other one did.
    pub errand: Option<Errand>,
    /// The other side wants `+OK` for interest and messages.
    pub verbose: bool,
    /// This server has not said CONNECT yet, and does so at this time at the latest.
    pub connect_due: Option<u64>,
    pub stage: Stage,
    /// `server_id` and `server_name` of the other side, once they are known.
    pub remote: Option<(String, String)>,
    /// What came of both sides' wishes, once it is known.
    pub compression: Option<Compression>,
    codec: Option<Box<Codec>>,
    input: Vec<u8>,
    /// Interest and messages that came before the INFO, as they came.
    early: Vec<u8>,
}

/// What the other side says in a handshake.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Word {
    Connect(Vec<u8>),
    Info(Vec<u8>),
    Ping,
    Pong,
    /// `-ERR`, without quotes.
    Complaint(String),
    Nothing,
    /// Interest or a message: it is kept for the shard that gets the route.
    Early,
}

impl Handshake {
    pub fn new(rid: u64, address: SocketAddr, opened: u64, deadline: u64, errand: Option<Errand>) -> Handshake {
        let stage = if errand.is_some() { Stage::Info } else { Stage::Connect };
        Handshake {
            rid,
            address,
            opened,
            deadline,
            errand,
            verbose: false,
            connect_due: None,
            stage,
            remote: None,
            compression: None,
            codec: None,
            input: Vec::new(),
            early: Vec::new(),
        }
    }

    pub fn label(&self) -> RouteLabel {
        RouteLabel { address: self.address, rid: self.rid }
    }

    /// Takes bytes that were read.
    pub fn push(&mut self, bytes: &[u8]) {
        match &mut self.codec {
            Some(codec) => codec.feed(bytes),
            None => self.input.extend_from_slice(bytes),
        }
    }

    /// Takes the next word, if it is complete.
    pub fn next(&mut self) -> Result<Option<Word>, Gibberish> {
        self.decompress()?;
        let limits =
            RouteLimits { max_control_line: MAX_CONTROL_LINE, dedicated: false, max_payload: Some(MOST_INPUT) };
        // A new parser each time: whoever goes on behind the handshake must not miss what this one has begun.
        match RouteParser::new().next(&self.input, &limits) {
            RouteStep::Op { op, consumed } => {
                let word = Word::of(op);
                let bytes = self.input.drain(..consumed.min(self.input.len()));
                if word == Word::Early {
                    self.early.extend(bytes);
                }
                Ok(Some(word))
            }
            RouteStep::Skipped { .. } | RouteStep::Incomplete { .. } => self.check_size().map(|()| None),
            RouteStep::Error(error) => Err(error.into()),
        }
    }

    /// Is more kept than a handshake needs?
    pub fn check_size(&mut self) -> Result<(), Gibberish> {
        self.decompress()?;
        if self.input.len() + self.early.len() > MOST_INPUT {
            Err(RouteParseError::ControlLineExceeded.into())
        } else {
            Ok(())
        }
    }

    /// Decompresses what was read, but not more than could be used.
    fn decompress(&mut self) -> Result<(), Gibberish> {
        let Some(codec) = &mut self.codec else { return Ok(()) };
        while self.input.len() <= MOST_INPUT {
            let length = self.input.len();
            self.input.resize(length + PIECE, 0);
            let room = self.input.get_mut(length..).unwrap_or_default();
            let result = codec.read(room, &mut |_| Err(ErrorKind::WouldBlock.into()));
            self.input.truncate(length + result.as_ref().map_or(0, |&(count, _)| count));
            match result {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(Gibberish::Compression(error.to_string())),
            }
        }
        Ok(())
    }

    /// From here on, both sides compress.
    pub fn switch_to(&mut self, codec: Codec) {
        let rest = std::mem::take(&mut self.input);
        self.codec = Some(Box::new(codec));
        self.push(&rest);
    }

    /// Bytes as they go on the wire.
    pub fn encode(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        match &mut self.codec {
            Some(codec) => codec.compress(&bytes),
            None => bytes,
        }
    }

    /// Does what is there begin as a CONNECT would?
    pub fn begins_with_connect(&self) -> bool {
        matches!(self.input.first(), None | Some(b'C' | b'c'))
    }

    /// What is for the shard that gets the route: what was kept for it, what comes behind the words taken, and what makes
    /// sense of the bytes that follow.
    pub fn into_rest(self) -> (Vec<u8>, Option<Box<Codec>>) {
        let mut rest = self.early;
        rest.extend(self.input);
        (rest, self.codec)
    }
}

impl Word {
    /// Logs what was said, but no secrets; INFO is not logged.
    pub fn trace(&self, label: RouteLabel) {
        match self {
            Word::Connect(json) => {
                log::trace!("{label} - <<- [CONNECT {}]", String::from_utf8_lossy(&redact(json)));
            }
            Word::Ping => log::trace!("{label} - <<- [PING]"),
            Word::Pong => log::trace!("{label} - <<- [PONG]"),
            Word::Complaint(text) => log::trace!("{label} - <<- [-ERR '{text}']"),
            Word::Info(_) | Word::Nothing | Word::Early => {}
        }
    }

    fn of(op: RouteOp<'_>) -> Word {
        match op {
            RouteOp::Connect { json } => Word::Connect(json.to_vec()),
            RouteOp::Info { json } => Word::Info(json.to_vec()),
            RouteOp::Ping => Word::Ping,
            RouteOp::Pong => Word::Pong,
            RouteOp::Err { text } => Word::Complaint(String::from_utf8_lossy(text).trim_matches('\'').to_owned()),
            RouteOp::Ok | RouteOp::Ignored => Word::Nothing,
            RouteOp::Interest(_) | RouteOp::NoInterest { .. } | RouteOp::Msg(_) => Word::Early,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake() -> Handshake {
        Handshake::new(1, ([127, 0, 0, 1], 1).into(), 0, 0, None)
    }

    #[test]
    fn words_one_by_one() {
        let mut handshake = handshake();
        let mut seen = Vec::new();
        for byte in b"connect {}\r\nPING\r\npong\nRS+ $G a\r\nINFO {\"a\":1} \r\n-ERR 'x y'\r\n+OK\r\nPI" {
            handshake.push(&[*byte]);
            while let Some(word) = handshake.next().unwrap() {
                seen.push(word);
            }
        }
        let (connect, info) = (b"{}".to_vec(), br#"{"a":1} "#.to_vec());
        let complaint = Word::Complaint("x y".to_owned());
        assert_eq!(
            seen,
            [Word::Connect(connect), Word::Ping, Word::Pong, Word::Early, Word::Info(info), complaint, Word::Nothing]
        );
        assert_eq!(handshake.into_rest().0, b"RS+ $G a\r\nPI");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut handshake = handshake();
        handshake.push(b"INFO ");
        handshake.push(&vec![b'{'; MAX_CONTROL_LINE]);
        assert_eq!(handshake.next(), Ok(None));
        handshake.push(b"{");
        assert_eq!(handshake.next(), Err(RouteParseError::ControlLineExceeded.into()));
        let mut handshake = self::handshake();
        handshake.push(&[b"RMSG $G a 65600\r\n".to_vec(), vec![0; MOST_INPUT]].concat());
        assert_eq!(handshake.next(), Err(RouteParseError::ControlLineExceeded.into()));
        let mut handshake = self::handshake();
        for _ in 0..MOST_INPUT / 10 {
            handshake.push(b"RS+ $G a\r\n");
            assert_eq!(handshake.next(), Ok(Some(Word::Early)));
        }
        handshake.push(b"RS+ $G a\r\n");
        assert_eq!(
            (handshake.next(), handshake.next()),
            (Ok(Some(Word::Early)), Err(RouteParseError::ControlLineExceeded.into()))
        );
    }
}
