//! Recorded conversations with the reference server, replayed against ours (and against the reference, which
//! shows that the recording still holds).
//!
//! `data/client-transcripts.jsonl` holds a case a line: a configuration and the steps of one or more raw
//! connections. A connection opens when it is first named; what is expected is a regular expression for the start
//! of the bytes not read so far; at the end of a case nothing may be left unread. Characters U+0000 to U+00FF
//! stand for bytes.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use pinmesh_harness::cases::{NotYet, run_all};
use pinmesh_harness::{Builder, Side};
use regex::bytes::Regex;
use serde::Deserialize;

const CASES: &str = include_str!("data/client-transcripts.jsonl");

/// Cases that our server cannot pass yet, and what each needs. One of them that passes fails the test: then it has
/// to go from this list.
const NOT_YET: NotYet<'_> = &[
    ("no_auth_user_later_connect_counts_as_second", "users with permissions"),
    ("no_auth_user_connect_without_credentials", "users with permissions"),
    ("perm_publish_and_subscribe", "users with permissions"),
    ("perm_deny_overlap_filtered_at_delivery", "users with permissions"),
    ("perm_publish_deny_wildcard_publish", "users with permissions"),
    ("perm_allow_responses_max_and_ttl", "users with permissions"),
    ("perm_error_text_quoting", "users with permissions"),
    ("perm_default_permissions", "users with permissions"),
    ("mapping_applies_before_publish_permission", "accounts"),
    ("account_isolation", "accounts"),
    ("account_stream_import_prefix", "accounts"),
    ("account_limits", "accounts"),
    ("account_subject_mapping", "accounts"),
    ("system_account_reply_has_double_space", "system account"),
];

/// How long a case waits for bytes that should come at once.
const PATIENCE: Duration = Duration::from_secs(10);
/// The same for a case that is expected to fail.
const SHORT_PATIENCE: Duration = Duration::from_secs(2);

#[test]
fn our_server_with_one_shard() {
    replay(|| Side::Ours.server().shards(1), NOT_YET);
}

#[test]
fn our_server_with_four_shards() {
    replay(|| Side::Ours.server().shards(4), NOT_YET);
}

#[test]
fn the_reference() {
    replay(|| Side::Reference.server(), &[]);
}

#[derive(Deserialize)]
struct Case {
    name: String,
    config: String,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Step {
    Send { conn: String, send: String },
    Expect { conn: String, expect: String },
    Close { conn: String, expect_close: bool },
    Silence { conn: String, expect_silence_ms: u64 },
    HalfClose { conn: String, half_close: bool },
    Sleep { sleep_ms: u64 },
}

/// Replays every case, each against a server of its own, and compares the failures with the list of those that are
/// allowed and required to fail.
fn replay(server: impl Fn() -> Builder + Sync, not_yet: NotYet<'_>) {
    let cases: Vec<Case> = CASES
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect();
    run_all(
        &cases,
        not_yet,
        |case, name| case.name == name,
        |case, is_expected_to_fail| {
            let patience = if is_expected_to_fail { SHORT_PATIENCE } else { PATIENCE };
            run(case, server(), patience).map_err(|failure| format!("{}: {failure}", case.name))
        },
    );
}

/// Runs one case; the error tells the step and what came instead.
fn run(case: &Case, server: Builder, patience: Duration) -> Result<(), String> {
    let server = server.config(case.config.as_str()).try_start().map_err(|failure| failure.to_string())?;
    let mut conversation = Conversation { address: server.address(), patience, connections: BTreeMap::new() };
    for (number, step) in case.steps.iter().enumerate() {
        conversation.step(step).map_err(|failure| format!("step {}: {failure}", number + 1))?;
    }
    conversation.nothing_left()
}

/// The connections of one case.
struct Conversation<'a> {
    address: SocketAddr,
    patience: Duration,
    connections: BTreeMap<&'a str, Connection>,
}

impl<'a> Conversation<'a> {
    fn step(&mut self, step: &'a Step) -> Result<(), String> {
        let patience = self.patience;
        match step {
            Step::Send { conn, send } => self.connection(conn)?.send(&latin1(send)),
            Step::Expect { conn, expect } => self.connection(conn)?.expect(expect, patience),
            Step::Close { conn, expect_close: true } => self.connection(conn)?.expect_close(patience),
            Step::Silence { conn, expect_silence_ms } => {
                self.connection(conn)?.expect_silence(Duration::from_millis(*expect_silence_ms))
            }
            Step::HalfClose { conn, half_close: true } => {
                self.connection(conn)?.stream.shutdown(Shutdown::Write).map_err(|error| error.to_string())
            }
            Step::Sleep { sleep_ms } => {
                thread::sleep(Duration::from_millis(*sleep_ms));
                Ok(())
            }
            Step::Close { .. } | Step::HalfClose { .. } => Err("the step says false, which means nothing".to_owned()),
        }
    }

    fn connection(&mut self, name: &'a str) -> Result<&mut Connection, String> {
        if !self.connections.contains_key(name) {
            let stream = TcpStream::connect(self.address).map_err(|error| format!("no connection: {error}"))?;
            stream.set_nodelay(true).map_err(|error| error.to_string())?;
            self.connections.insert(name, Connection { stream, unread: Vec::new(), closed: false });
        }
        self.connections.get_mut(name).ok_or_else(|| "no such connection".to_owned())
    }

    fn nothing_left(&mut self) -> Result<(), String> {
        for (name, connection) in &mut self.connections {
            connection.read(Duration::from_millis(1))?;
            if !connection.unread.is_empty() {
                return Err(format!("left unread at the end of {name}: {}", connection.shown()));
            }
        }
        Ok(())
    }
}

/// One raw connection, and what came in on it and was not expected yet.
struct Connection {
    stream: TcpStream,
    unread: Vec<u8>,
    closed: bool,
}

impl Connection {
    fn send(&mut self, bytes: &[u8]) -> Result<(), String> {
        // A server that has already closed the connection may refuse the rest; what it said before is still there to
        // be read, and the next step judges it.
        match self.stream.write_all(bytes) {
            Err(error) if !matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset) => {
                Err(format!("cannot send: {error}"))
            }
            _ => Ok(()),
        }
    }

    fn expect(&mut self, pattern: &str, patience: Duration) -> Result<(), String> {
        let regex = compile(pattern)?;
        let end = Instant::now() + patience;
        loop {
            if let Some(found) = regex.find(&self.unread) {
                self.unread.drain(..found.end());
                return Ok(());
            }
            let left = end.saturating_duration_since(Instant::now());
            if self.closed || left.is_zero() {
                return Err(format!("expected {pattern:?}, got {}", self.shown()));
            }
            self.read(left)?;
        }
    }

    fn expect_close(&mut self, patience: Duration) -> Result<(), String> {
        let end = Instant::now() + patience;
        while !self.closed && self.unread.is_empty() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            self.read(left)?;
        }
        if self.closed && self.unread.is_empty() {
            Ok(())
        } else {
            Err(format!("expected the server to close, got {}", self.shown()))
        }
    }

    fn expect_silence(&mut self, length: Duration) -> Result<(), String> {
        if self.unread.is_empty() {
            self.read(length)?;
        }
        if self.unread.is_empty() && !self.closed {
            Ok(())
        } else {
            Err(format!("expected silence, got {}", self.shown()))
        }
    }

    /// Takes in what comes next, waiting `longest` for it.
    fn read(&mut self, longest: Duration) -> Result<(), String> {
        let mut buffer = [0; 4096];
        self.stream.set_read_timeout(Some(longest)).map_err(|error| error.to_string())?;
        match self.stream.read(&mut buffer) {
            Ok(0) => self.closed = true,
            Ok(length) => self.unread.extend_from_slice(&buffer[..length]),
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                ErrorKind::ConnectionReset => self.closed = true,
                _ => return Err(format!("cannot read: {error}")),
            },
        }
        Ok(())
    }

    fn shown(&self) -> String {
        let end = if self.closed { ", then the connection was closed" } else { "" };
        format!("\"{}\"{end}", self.unread.escape_ascii())
    }
}

/// A pattern that matches at the start only, and bytes rather than characters.
fn compile(pattern: &str) -> Result<Regex, String> {
    let mut bytes = String::from(r"(?s-u)\A(?:");
    for character in pattern.chars() {
        if character.is_ascii() {
            bytes.push(character);
        } else {
            bytes.push_str(&format!(r"\x{:02X}", u32::from(character)));
        }
    }
    bytes.push(')');
    Regex::new(&bytes).map_err(|error| error.to_string())
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|character| u8::try_from(u32::from(character)).expect("characters up to U+00FF")).collect()
}
