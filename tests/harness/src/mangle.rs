//! A relay that spoils the stream of a server on purpose, to prove that a test notices.
//!
//! It passes on what clients send and damages what they receive: every n-th message is lost, doubled, exchanged with
//! the one behind it, or held back until the next PONG has passed.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result};

use crate::frame::{Frame, Span};

/// What happens to every n-th message of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is lost.
    Drop,
    /// It comes twice.
    Double,
    /// It changes places with the message after it.
    Swap,
    /// It comes after the next PONG.
    Late,
}

/// A relay in front of a server. Dropping it ends it; connections through it end with their client.
#[derive(Debug)]
pub struct Mangler {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    acceptor: Option<JoinHandle<()>>,
}

impl Mangler {
    /// Listens on a free port and relays to `upstream`, with `fault` in every `nth` message of each connection.
    pub fn start(upstream: SocketAddr, fault: Fault, nth: usize) -> Result<Mangler> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no port for the relay")?;
        let address = listener.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let acceptor = thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                // A relay that cannot reach its server drops the client, which the client reports.
                if let Ok(server) = TcpStream::connect(upstream) {
                    let _ = relay(client, server, Spoiler { fault, nth, seen: 0, held: Vec::new() });
                }
            }
        });
        Ok(Mangler { address, stop, acceptor: Some(acceptor) })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Mangler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the acceptor, which then sees the flag.
        let _ = TcpStream::connect(self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn relay(client: TcpStream, server: TcpStream, spoiler: Spoiler) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        let _ = to_server.shutdown(Shutdown::Write);
    });
    thread::spawn(move || {
        let _ = spoil(server, &client, spoiler);
        let _ = client.shutdown(Shutdown::Both);
    });
    Ok(())
}

fn spoil(mut server: TcpStream, mut client: &TcpStream, mut spoiler: Spoiler) -> Result<()> {
    let mut unread = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    loop {
        let read = server.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        unread.extend_from_slice(&chunk[..read]);
        let (mut start, mut out) = (0, Vec::new());
        while let Some(span) = Span::of(&unread, start, unread.len())? {
            spoiler.pass(&span, &unread[start..span.end()], &unread, &mut out);
            start = span.end();
        }
        unread.drain(..start);
        client.write_all(&out)?;
    }
}

struct Spoiler {
    fault: Fault,
    nth: usize,
    seen: usize,
    held: Vec<u8>,
}

impl Spoiler {
    fn pass(&mut self, span: &Span, frame: &[u8], buffer: &[u8], out: &mut Vec<u8>) {
        if !span.is_message() {
            out.extend_from_slice(frame);
            if span.frame(buffer) == Frame::Pong {
                out.append(&mut self.held);
            }
            return;
        }
        self.seen += 1;
        let chosen = self.seen.is_multiple_of(self.nth);
        match self.fault {
            Fault::Drop if chosen => {}
            Fault::Double if chosen => {
                out.extend_from_slice(frame);
                out.extend_from_slice(frame);
            }
            Fault::Swap | Fault::Late if chosen => self.held.extend_from_slice(frame),
            Fault::Swap => {
                out.extend_from_slice(frame);
                out.append(&mut self.held);
            }
            _ => out.extend_from_slice(frame),
        }
    }
}
