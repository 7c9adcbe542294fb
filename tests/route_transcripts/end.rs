//! The script's end of one connection: plain or compressed, with what was heard and not looked at yet.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;

use anyhow::{Context, Result};
use pinmesh_harness::Heard;
use shards::protocol::s2::{Decoder, Encoder, Level};

/// What stands among the things heard for the end of a connection.
pub const CLOSED: &str = "<closed>";

/// One connection of the script.
pub struct End {
    stream: TcpStream,
    codec: Option<(Encoder, Decoder)>,
    unread: Vec<u8>,
    answers_pings: bool,
    is_closed: bool,
    /// What was heard, PINGs left out where they are answered.
    pub heard: Vec<Heard>,
    /// Whether the server has ever answered a PING here.
    pub has_ponged: bool,
}

impl End {
    pub fn new(stream: TcpStream, answers_pings: bool) -> Result<End> {
        stream.set_nodelay(true)?;
        Ok(End {
            stream,
            codec: None,
            unread: Vec::new(),
            answers_pings,
            is_closed: false,
            heard: Vec::new(),
            has_ponged: false,
        })
    }

    /// The port at this end.
    pub fn port(&self) -> Result<u16> {
        Ok(self.stream.local_addr()?.port())
    }

    /// From now on both ends speak S2.
    pub fn compress(&mut self) {
        self.codec.get_or_insert_with(|| (Encoder::new(Level::Uncompressed), Decoder::new()));
    }

    /// Says something, compressed where that was agreed on.
    pub fn say(&mut self, plain: &[u8]) {
        match &mut self.codec {
            Some((encoder, _)) => {
                let mut bytes = Vec::new();
                encoder.encode(plain, &mut bytes);
                self.say_as_it_is(&bytes);
            }
            None => self.say_as_it_is(plain),
        }
    }

    /// Puts these bytes on the wire. Where the server has closed, that is noticed when it is listened to.
    pub fn say_as_it_is(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes);
    }

    /// Hears what has come, without waiting for more.
    pub fn listen(&mut self) -> Result<()> {
        self.stream.set_nonblocking(true)?;
        let read = self.read();
        self.stream.set_nonblocking(false)?;
        read?;
        while let Some(heard) = Heard::take_from(&mut self.unread) {
            match heard.line.as_str() {
                "PING" if self.answers_pings => self.say(b"PONG\r\n"),
                line => {
                    self.has_ponged |= line == "PONG";
                    self.heard.push(heard);
                }
            }
        }
        Ok(())
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; 16 * 1024];
        while !self.is_closed {
            match self.stream.read(&mut buffer) {
                Ok(0) => self.close(),
                Ok(count) => self.take(&buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => self.close(),
            }
        }
        Ok(())
    }

    fn take(&mut self, mut bytes: &[u8]) -> Result<()> {
        let Some((_, decoder)) = &mut self.codec else {
            self.unread.extend_from_slice(bytes);
            return Ok(());
        };
        while !bytes.is_empty() {
            let used = decoder.decode(bytes, &mut self.unread).context("what came is no S2")?;
            bytes = &bytes[used..];
        }
        Ok(())
    }

    fn close(&mut self) {
        self.is_closed = true;
        while let Some(heard) = Heard::take_from(&mut self.unread) {
            self.heard.push(heard);
        }
        self.heard.push(Heard { line: CLOSED.to_owned(), body: Vec::new() });
    }
}
