//! The HTTP server of the monitoring port: a thread that accepts, and one for each connection, far away from the shards.
//!
//! What bounds it: [`CONNECTIONS`] at once, the next ones wait in the kernel's backlog; [`HEAD_BYTES`] for a request's head (the reference
//! takes a mebibyte, which nobody needs and which many at once would make us keep); [`READ_TIMEOUT`] to send a head, and as long without
//! one; [`WRITE_TIMEOUT`] without progress for an answer.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use jiff::Timestamp;
use log::error;

use super::Monitor;
use super::request::{Refusal, Request, TOO_LARGE};

/// Connections at once.
const CONNECTIONS: usize = 64;
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;
/// For a head to come, and for the first byte of the next one.
const READ_TIMEOUT: Duration = Duration::from_secs(5);
/// For an answer's next bytes to be taken.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Nobody looks at bodies, but smaller ones are read, so that another request can follow.
const BODY_BYTES: u64 = 256 * 1024;
/// The last words are read by the other side before a reset can throw them away.
const LINGER: Duration = Duration::from_millis(500);
/// After accepting failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const STACK_BYTES: usize = 256 * 1024;

/// An answer; how much of it is sent depends on the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `200 OK`
    pub status: &'static str,
    /// Other headers than those about the connection and the body's length.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// An answer with a content type.
    pub fn new(status: &'static str, content_type: &str, body: Vec<u8>) -> Answer {
        Answer { status, headers: vec![("Content-Type", content_type.to_owned())], body }
    }

    /// JSON that web pages of other sites may read.
    pub fn json(status: &'static str, body: Vec<u8>) -> Answer {
        Answer::new(status, "application/json", body).with("Access-Control-Allow-Origin", "*")
    }

    /// Plain text, mostly about something that is wrong.
    pub fn text(status: &'static str, text: impl Into<String>) -> Answer {
        Answer::new(status, "text/plain; charset=utf-8", text.into().into_bytes())
    }

    /// With another header.
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Answer {
        self.headers.push((name, value.into()));
        self
    }
}

/// Serves until the process ends.
pub fn serve(listener: &TcpListener, monitor: &Arc<Monitor>) {
    let (taken, free) = bounded::<()>(CONNECTIONS);
    loop {
        // Cannot fail, the other end is here.
        let _ = taken.send(());
        match listener.accept() {
            Ok((stream, _)) => {
                let seat = Seat(free.clone());
                let monitor = Arc::clone(monitor);
                let work = move || {
                    let _seat = seat;
                    // What goes wrong here is between the two sockets; whoever asked has noticed.
                    let _ = Conversation::new(stream).run(&monitor);
                };
                let builder = thread::Builder::new().name("monitor-client".to_owned()).stack_size(STACK_BYTES);
                if let Err(error) = builder.spawn(work) {
                    error!("no thread for a monitoring client: {error}");
                }
            }
            Err(error) => {
                let _ = free.recv();
                if !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) {
                    error!("monitoring cannot accept: {error}");
                    thread::sleep(ACCEPT_PAUSE);
                }
            }
        }
    }
}

/// One of the connections that may be; given back however its thread ends.
struct Seat(Receiver<()>);

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = self.0.recv();
    }
}

struct Conversation {
    stream: TcpStream,
    /// Read and not used yet.
    buffer: Vec<u8>,
}

impl Conversation {
    fn new(stream: TcpStream) -> Self {
        Conversation { stream, buffer: Vec::new() }
    }

    fn run(mut self, monitor: &Monitor) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_write_timeout(Some(WRITE_TIMEOUT))?;
        loop {
            let Some(head) = self.head()? else { return Ok(()) };
            let request = match head.and_then(|head| Request::parse(&head)) {
                Ok(request) => request,
                Err(refusal) => {
                    self.refuse(refusal)?;
                    return self.linger();
                }
            };
            let answer = match request.unmet_expectation {
                true => Answer { status: "417 Expectation Failed", headers: Vec::new(), body: Vec::new() },
                false => monitor.answer(&request),
            };
            let body = request.body.filter(|bytes| *bytes <= BODY_BYTES);
            let keep =
                request.keep_alive && body.is_some() && !answer.headers.iter().any(|(name, _)| *name == "Connection");
            self.send(&request, &answer, keep)?;
            if !keep {
                return self.linger();
            }
            self.skip(body.unwrap_or(0))?;
        }
    }

    /// The next head, without its empty line; nothing if none comes.
    fn head(&mut self) -> io::Result<Option<Result<Vec<u8>, Refusal>>> {
        let mut deadline = Instant::now() + READ_TIMEOUT;
        let mut looked = 0;
        loop {
            if let Some((head, behind)) = end_of_head(&self.buffer, looked) {
                let head_bytes = self.buffer.get(..head).unwrap_or_default().to_vec();
                self.buffer.drain(..behind);
                return Ok(Some(Ok(head_bytes)));
            }
            if self.buffer.len() > HEAD_BYTES {
                return Ok(Some(Err(TOO_LARGE)));
            }
            looked = self.buffer.len().saturating_sub(3);
            let fresh = self.buffer.is_empty();
            if self.read(deadline)? == 0 {
                return Ok(None);
            }
            if fresh {
                deadline = Instant::now() + READ_TIMEOUT;
            }
        }
    }

    /// Reads more; 0 at the end or when time is over.
    fn read(&mut self, deadline: Instant) -> io::Result<usize> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(0);
        }
        self.stream.set_read_timeout(Some(left))?;
        let mut bytes = [0; 4096];
        match self.stream.read(&mut bytes) {
            Ok(read) => {
                self.buffer.extend_from_slice(bytes.get(..read).unwrap_or_default());
                Ok(read)
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Passes over a request's body.
    fn skip(&mut self, mut bytes: u64) -> io::Result<()> {
        let deadline = Instant::now() + READ_TIMEOUT;
        loop {
            let now = self.buffer.len().min(usize::try_from(bytes).unwrap_or(usize::MAX));
            self.buffer.drain(..now);
            bytes -= now as u64;
            if bytes == 0 {
                return Ok(());
            }
            if self.read(deadline)? == 0 {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        }
    }

    fn send(&mut self, request: &Request, answer: &Answer, keep: bool) -> io::Result<()> {
        let mut out = Vec::with_capacity(answer.body.len() + 256);
        let version = if request.old { "HTTP/1.0" } else { "HTTP/1.1" };
        write!(out, "{version} {}\r\n", answer.status)?;
        for (name, value) in &answer.headers {
            write!(out, "{name}: {value}\r\n")?;
        }
        let date = Timestamp::now().strftime("%a, %d %b %Y %H:%M:%S GMT");
        write!(out, "Date: {date}\r\nContent-Length: {}\r\n", answer.body.len())?;
        match (keep, request.old) {
            (true, true) => out.extend_from_slice(b"Connection: keep-alive\r\n"),
            (false, false) => out.extend_from_slice(b"Connection: close\r\n"),
            _ => {}
        }
        out.extend_from_slice(b"\r\n");
        if request.method != "HEAD" {
            out.extend_from_slice(&answer.body);
        }
        self.stream.write_all(&out)
    }

    fn refuse(&mut self, refusal: Refusal) -> io::Result<()> {
        let Refusal { status, text } = refusal;
        let head = "Content-Type: text/plain; charset=utf-8\r\nConnection: close";
        self.stream.write_all(format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n{text}").as_bytes())
    }

    /// Ends the conversation so that the answer is not lost when more had been sent than was read.
    fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        let deadline = Instant::now() + LINGER;
        while self.read(deadline)? > 0 {
            self.buffer.clear();
        }
        Ok(())
    }
}

/// Where a head ends and where its empty line does, looking from this byte on.
fn end_of_head(bytes: &[u8], from: usize) -> Option<(usize, usize)> {
    let newline = |at: &usize| bytes.get(*at) == Some(&b'\n');
    (from..bytes.len()).filter(newline).find_map(|at| match bytes.get(at + 1..)? {
        [b'\n', ..] => Some((at, at + 2)),
        [b'\r', b'\n', ..] => Some((at, at + 3)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_end_with_an_empty_line() {
        assert_eq!(end_of_head(b"GET / HTTP/1.0\r\n\r\nrest", 0), Some((15, 18)));
        assert_eq!(end_of_head(b"a\nb\n\nrest", 0), Some((3, 5)));
        assert_eq!(end_of_head(b"a\r\nb\r\n\r", 0), None);
        // Wherever the bytes were cut, looking again from three bytes before the cut finds the end.
        let whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        for cut in 0..whole.len() {
            assert_eq!(end_of_head(&whole[..cut], 0), None, "{cut}");
            assert_eq!(end_of_head(whole, cut.saturating_sub(3)), Some((24, 27)), "{cut}");
        }
    }
}
