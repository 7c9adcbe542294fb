//! Just enough of an HTTP client to see everything that a server answers.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use pinmesh_harness::{DEADLINE, Server};
use serde_json::Value;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: String,
    /// Names in lower case, without `date` and `content-length`, sorted.
    pub headers: BTreeSet<String>,
    pub body: Vec<u8>,
    /// The server ended the connection.
    pub closed: bool,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

pub fn connect(address: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_write_timeout(Some(DEADLINE))?;
    Ok(stream)
}

/// Sends bytes and reads one answer.
pub fn exchange(address: SocketAddr, request: &[u8]) -> Result<Answer> {
    let mut stream = connect(address)?;
    stream.write_all(request)?;
    read_answer(&mut stream, !request.starts_with(b"HEAD "))
}

pub fn read_answer(stream: &mut TcpStream, with_body: bool) -> Result<Answer> {
    let mut got = Vec::new();
    let mut more = |got: &mut Vec<u8>| -> Result<bool> {
        let mut bytes = [0; 4096];
        let read = stream.read(&mut bytes).context("no answer")?;
        got.extend_from_slice(&bytes[..read]);
        Ok(read > 0)
    };
    let end = loop {
        if let Some(at) = got.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        ensure!(more(&mut got)?, "the answer ends in its head: {:?}", String::from_utf8_lossy(&got));
    };
    let head = String::from_utf8_lossy(&got[..end]).into_owned();
    let mut body = got.split_off(end + 4);
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default().to_owned();
    let mut headers: BTreeSet<String> = lines
        .map(|line| {
            line.split_once(": ").map_or(line.to_owned(), |(name, value)| format!("{}: {value}", name.to_lowercase()))
        })
        .collect();
    let length = headers.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    let chunked = headers.remove("transfer-encoding: chunked");
    let mut closed = false;
    if with_body {
        let done = |body: &[u8]| match length {
            Some(length) => body.len() >= length,
            None => chunked && body.ends_with(b"0\r\n\r\n"),
        };
        while !done(&body) && !closed {
            closed = !more(&mut body)?;
        }
    }
    if headers.contains("connection: close") && !closed {
        closed = !more(&mut body)?;
    }
    if chunked {
        body = dechunk(&body);
    }
    headers.retain(|line| !line.starts_with("date: ") && !line.starts_with("content-length: "));
    Ok(Answer { status, headers, body, closed })
}

pub fn dechunk(mut rest: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(at) = rest.windows(2).position(|window| window == b"\r\n") {
        let length = usize::from_str_radix(&String::from_utf8_lossy(&rest[..at]), 16).unwrap_or(0);
        let Some(chunk) = rest.get(at + 2..at + 2 + length).filter(|chunk| !chunk.is_empty()) else { break };
        out.extend_from_slice(chunk);
        rest = &rest[at + 2 + length + 2..];
    }
    out
}

pub fn get(server: &Server, path: &str) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    exchange(server.monitor_address(), request.as_bytes()).unwrap_or_else(|error| panic!("{path}: {error:#}"))
}

pub fn get_json(server: &Server, path: &str) -> Value {
    let answer = get(server, path);
    assert_eq!(answer.status, "HTTP/1.1 200 OK", "{path}: {}", answer.text());
    answer.json()
}
