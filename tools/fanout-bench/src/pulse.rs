//! A pulse: one message at a time through a server, which shows for how long it leaves its clients waiting.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use crate::client;
use crate::request::random_token;
use crate::wire::{self, Incoming};

/// Between the arrival of a message and the next one.
const PACE: Duration = Duration::from_millis(1);

/// A publisher and its subscriber on one server, run by a thread.
pub struct Pulse {
    thread: JoinHandle<Result<Duration>>,
    subscribed: Receiver<()>,
    stop: Arc<AtomicBool>,
}

impl Pulse {
    /// Starts it. Its two connections are made by the thread, so that a server which is slow to greet holds up nobody else.
    pub fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let thread_stop = stop.clone();
        let (sender, subscribed) = mpsc::channel();
        let thread = thread::spawn(move || beat(address, &sender, &thread_stop));
        Pulse { thread, subscribed, stop }
    }

    /// Waits until its one subscription is in force.
    pub fn await_subscription(&mut self) -> Result<()> {
        self.subscribed.recv().context("a pulse did not start")
    }

    /// Ends it and tells the longest time that a message, or the greeting of its connections, took.
    pub fn stop(self) -> Result<Duration> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| anyhow!("the thread of a pulse panicked"))?
    }
}

fn beat(address: SocketAddr, subscribed: &Sender<()>, stop: &AtomicBool) -> Result<Duration> {
    let start = Instant::now();
    let subject = format!("_PULSE.{}", random_token(16));
    let stream = client::open(address, format!("SUB {subject} 1\r\n").as_bytes())?;
    let mut subscriber = Subscriber { stream, unread: Vec::new() };
    let mut publisher = client::open(address, b"")?;
    let mut longest = start.elapsed();
    // Not everybody waits for it.
    let _ = subscribed.send(());
    for number in 0.. {
        let payload = format!("{number:08}");
        let sent = Instant::now();
        publisher.write_all(format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()).as_bytes())?;
        let content = subscriber.next_message()?;
        if content != payload.as_bytes() {
            bail!("message {number} of a pulse was due, and {:?} came", String::from_utf8_lossy(&content));
        }
        longest = longest.max(sent.elapsed());
        if stop.load(Ordering::Relaxed) {
            break;
        }
        thread::sleep(PACE);
    }
    Ok(longest)
}

struct Subscriber {
    stream: TcpStream,
    unread: Vec<u8>,
}

impl Subscriber {
    /// The content of the next message.
    fn next_message(&mut self) -> Result<Vec<u8>> {
        let mut chunk = [0; 4096];
        loop {
            while let Some((incoming, length)) = wire::next(&self.unread)? {
                let content = match incoming {
                    Incoming::Message(message) => Some(message.payload.to_vec()),
                    Incoming::Ping => {
                        self.stream.write_all(b"PONG\r\n")?;
                        None
                    }
                    Incoming::Pong | Incoming::Ignorable => None,
                };
                self.unread.drain(..length);
                if let Some(content) = content {
                    return Ok(content);
                }
            }
            match self.stream.read(&mut chunk).context("a message of a pulse did not come")? {
                0 => bail!("the server closed the connection of a pulse"),
                count => self.unread.extend_from_slice(chunk.get(..count).unwrap_or_default()),
            }
        }
    }
}
