//! The compression of a route, between its buffers and its socket: what is written becomes S2 streams, what is read comes out of them.

use std::io::{self, ErrorKind, IoSlice};
use std::time::Duration;

use super::{BufferPool, Flushed, OutBuffer};
use crate::protocol::s2::{Compression, Decoder, Encoder, Level, level_for_rtt};

/// Most bytes compressed at a time: what does not fit in the socket then waits compressed, and the rest as it is.
const PIECE: usize = 128 * 1024;
/// Most bytes taken in one read.
const READ_BYTES: usize = 64 * 1024;

/// See the module.
pub struct Codec {
    mode: Compression,
    /// Of [`Compression::Auto`].
    thresholds: Vec<Duration>,
    encoder: Encoder,
    decoder: Decoder,
    plain: Vec<u8>,
    /// Compressed, and written up to `sent`.
    compressed: Vec<u8>,
    sent: usize,
    /// Read, and decompressed up to `used`.
    raw: Vec<u8>,
    used: usize,
    /// Decompressed, and taken up to `taken`.
    decompressed: Vec<u8>,
    taken: usize,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Codec").field("mode", &self.mode).finish_non_exhaustive()
    }
}

impl Codec {
    /// For both directions of a connection on which both sides agreed to speak S2; `level` is that of what is sent.
    pub fn new(mode: Compression, level: Level, thresholds: Vec<Duration>) -> Self {
        Codec {
            mode,
            thresholds,
            encoder: Encoder::new(level),
            decoder: Decoder::new(),
            plain: Vec::new(),
            compressed: Vec::new(),
            sent: 0,
            raw: Vec::new(),
            used: 0,
            decompressed: Vec::new(),
            taken: 0,
        }
    }

    /// How what is sent is compressed at the moment.
    pub fn in_use(&self) -> Compression {
        match self.encoder.level() {
            Level::Uncompressed => Compression::Uncompressed,
            Level::Fast => Compression::Fast,
            Level::Better => Compression::Better,
            Level::Best => Compression::Best,
        }
    }

    /// Compresses bytes of the handshake at once.
    pub fn compress(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::new();
        self.encoder.encode(plain, &mut compressed);
        compressed
    }

    /// Takes bytes that were read elsewhere: the next [`read`](Self::read) begins with them.
    pub fn feed(&mut self, raw: &[u8]) {
        self.raw.extend_from_slice(raw);
    }

    /// The round-trip time was measured anew.
    pub fn measured(&mut self, rtt: Duration) {
        if self.mode == Compression::Auto {
            self.encoder.set_level(level_for_rtt(&self.thresholds, rtt));
        }
    }

    /// Reads plain bytes; `read` behaves like a socket. Answers how many, and whether there may be more: 0 bytes are the end.
    pub fn read(
        &mut self,
        room: &mut [u8],
        read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<(usize, bool)> {
        loop {
            if self.taken < self.decompressed.len() {
                let there = self.decompressed.get(self.taken..).unwrap_or(&[]);
                let count = there.len().min(room.len());
                if let (Some(from), Some(to)) = (there.get(..count), room.get_mut(..count)) {
                    to.copy_from_slice(from);
                }
                self.taken += count;
                return Ok((count, true));
            }
            self.decompressed.clear();
            self.taken = 0;
            if self.used < self.raw.len() {
                let unused = self.raw.get(self.used..).unwrap_or(&[]);
                let used = self.decoder.decode(unused, &mut self.decompressed);
                self.used += used.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
                continue;
            }
            self.raw.resize(READ_BYTES, 0);
            let result = read(&mut self.raw);
            self.raw.truncate(result.as_ref().copied().unwrap_or(0));
            self.used = 0;
            if result? == 0 {
                return Ok((0, false));
            }
        }
    }

    /// Is all that was compressed written?
    pub fn is_written(&self) -> bool {
        self.sent == self.compressed.len()
    }

    /// Compresses and writes what waits in `out`, as [`OutBuffer::flush`] does.
    pub fn flush(
        &mut self,
        out: &mut OutBuffer,
        arena: &[u8],
        pool: &mut BufferPool,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<(usize, Flushed)> {
        let mut total = 0;
        loop {
            while let Some(rest) = self.compressed.get(self.sent..).filter(|rest| !rest.is_empty()) {
                match write(&[IoSlice::new(rest)]) {
                    Ok(0) => return Err(ErrorKind::WriteZero.into()),
                    Ok(written) => {
                        self.sent += written;
                        total += written;
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((total, Flushed::Blocked)),
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            self.compressed.clear();
            self.sent = 0;
            if out.is_empty() {
                return Ok((total, Flushed::Done));
            }
            let plain = &mut self.plain;
            plain.clear();
            out.flush(arena, pool, &mut |slices| gather(plain, slices))?;
            self.encoder.encode(&self.plain, &mut self.compressed);
        }
    }
}

/// Appends what still fits in a piece.
fn gather(plain: &mut Vec<u8>, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    let before = plain.len();
    for slice in slices {
        let room = PIECE.saturating_sub(plain.len());
        plain.extend_from_slice(slice.get(..slice.len().min(room)).unwrap_or(&[]));
    }
    match plain.len() - before {
        0 => Err(ErrorKind::WouldBlock.into()),
        taken => Ok(taken),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    #[test]
    fn what_is_written_is_read_however_the_socket_takes_it() {
        let mut rng = fastrand::Rng::with_seed(5);
        let (mut near, mut far) = (codec(), codec());
        let (mut pool, mut out) = (BufferPool::default(), OutBuffer::default());
        let mut socket = VecDeque::new();
        let (mut sent, mut got) = (Vec::new(), Vec::new());
        for _ in 0..300 {
            let message: Vec<u8> = (0..rng.usize(..4000)).map(|at| (at / 7) as u8).collect();
            out.append(&mut pool, &message);
            sent.extend_from_slice(&message);
            let mut room = rng.usize(..3000);
            let flushed = near.flush(&mut out, &[], &mut pool, &mut |slices| {
                let taken = slices[0].len().min(room);
                room -= taken;
                socket.extend(&slices[0][..taken]);
                if taken == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(taken) }
            });
            let done = matches!(flushed.expect("the socket is good"), (_, Flushed::Done));
            assert_eq!(done, out.is_empty() && near.is_written());
            read_all(&mut far, &mut socket, &mut got, rng.usize(1..5000));
        }
        let flushed = near.flush(&mut out, &[], &mut pool, &mut |slices| {
            socket.extend(&slices[0][..]);
            Ok(slices[0].len())
        });
        assert!(matches!(flushed, Ok((_, Flushed::Done))));
        read_all(&mut far, &mut socket, &mut got, 1000);
        assert!(got == sent);
    }

    fn codec() -> Codec {
        Codec::new(Compression::Fast, Level::Fast, Vec::new())
    }

    fn read_all(codec: &mut Codec, socket: &mut VecDeque<u8>, got: &mut Vec<u8>, piece: usize) {
        let mut room = vec![0; piece];
        loop {
            let result = codec.read(&mut room, &mut |buffer| {
                let count = socket.len().min(buffer.len()).min(piece);
                for (to, from) in buffer.iter_mut().zip(socket.drain(..count)) {
                    *to = from;
                }
                if count == 0 { Err(ErrorKind::WouldBlock.into()) } else { Ok(count) }
            });
            match result {
                Ok((count, _)) => got.extend_from_slice(&room[..count]),
                Err(_) => return,
            }
        }
    }
}
