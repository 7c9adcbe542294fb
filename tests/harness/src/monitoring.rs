//! What a server's monitoring says, as JSON: just enough of HTTP for that.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::poll::DEADLINE;

/// The JSON that the monitoring at `address` gives for `path`.
pub fn json(address: SocketAddr, path: &str) -> Result<Value> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("no monitoring at {address}"))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    // HTTP/1.0: the answer ends with the connection and comes in one piece.
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("no answer about {path}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").with_context(|| format!("no HTTP: {answer:?}"))?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(status.contains(" 200 "), "{path} is answered with {status:?}: {body}");
    serde_json::from_str(body).with_context(|| format!("{path} is answered with {body:?}"))
}
