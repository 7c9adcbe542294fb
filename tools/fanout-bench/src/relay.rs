//! The floor: a relay that parses nothing.
//!
//! It takes N subscribers and one publisher, in the order in which they connect, reads what the publisher
//! sends into one buffer and writes it to every subscriber: the system calls and copies that no server can
//! do without, and nothing else. The publisher sends the frames as subscribers must get them (`MSG …`), so
//! the bytes that leave are exactly a server's, and those that come in are longer than a server's by the
//! sid and a space.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpListener;

use anyhow::{Context, Result};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

const PUBLISHER: Token = Token(usize::MAX - 1);

struct Subscriber {
    stream: TcpStream,
    /// Bytes of the buffer that it has been given.
    sent: usize,
}

/// Runs until the publisher leaves.
pub fn run(subscribers: usize, buffer: usize) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    eprintln!("Listening for client connections on {}", listener.local_addr()?);
    let mut poll = Poll::new()?;

    let accept = |token: Token, interest: Interest| -> Result<TcpStream> {
        let (stream, _) = listener.accept().context("accepting a connection")?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, token, interest)?;
        Ok(stream)
    };
    let mut outputs = Vec::with_capacity(subscribers);
    for number in 0..subscribers {
        outputs.push(Subscriber { stream: accept(Token(number), Interest::WRITABLE)?, sent: 0 });
    }
    let mut publisher = accept(PUBLISHER, Interest::READABLE)?;

    let mut buffer = vec![0; buffer];
    let mut events = Events::with_capacity(64);
    loop {
        poll_ready(&mut poll, &mut events)?;
        loop {
            let count = match publisher.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("reading from the publisher"),
            };
            let bytes = buffer.get(..count).unwrap_or_default();
            outputs.iter_mut().for_each(|output| output.sent = 0);
            while !deliver(&mut outputs, bytes)? {
                poll_ready(&mut poll, &mut events)?;
            }
            if count < buffer.len() {
                break;
            }
        }
    }
}

/// Writes `bytes` to everybody as far as the sockets take them; tells whether everybody has all.
fn deliver(outputs: &mut [Subscriber], bytes: &[u8]) -> Result<bool> {
    let mut complete = true;
    for output in outputs {
        while let Some(rest) = bytes.get(output.sent..).filter(|rest| !rest.is_empty()) {
            match output.stream.write(rest) {
                Ok(count) => output.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    complete = false;
                    break;
                }
                Err(error) => return Err(error).context("writing to a subscriber"),
            }
        }
    }
    Ok(complete)
}

fn poll_ready(poll: &mut Poll, events: &mut Events) -> Result<()> {
    match poll.poll(events, None) {
        Err(error) if error.kind() != ErrorKind::Interrupted => Err(error).context("waiting for sockets"),
        _ => Ok(()),
    }
}
