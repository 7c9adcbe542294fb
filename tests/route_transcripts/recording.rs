//! What was recorded: lines of the data file, put together to the steps of a conversation.

use std::fmt;

use anyhow::{Context, Result};
use pinmesh_harness::Heard;
use serde::Deserialize;
use shards::protocol::s2::Decoder;

const LINES: &str = include_str!("../data/route-transcripts.jsonl");

/// The recorder noticed a close at once; when it was the one who closed, it had paused before for longer than this.
const AT_ONCE_MS: f64 = 60.0;
/// What a close brought about may stand in front of it in the recording, by less than this.
const EFFECT_MS: f64 = 20.0;

/// Two servers were recorded each by itself: what one says can stand by so much before what it answers.
const SKEW_MS: f64 = 1.0;

/// In front of the data in a stream of S2 with one block that is not compressed: the identifier, a header, a checksum.
const FRAMING: usize = 10 + 4 + 4;

/// How the note about a line begins that is not there as a whole, in front of its length.
const TRUNCATED: &str = "raw truncated from ";

/// One line of the data file.
#[derive(Clone, Debug, Deserialize)]
struct Line {
    scenario: String,
    server: String,
    conn: String,
    kind: Kind,
    t_ms: f64,
    dir: String,
    op: String,
    raw: String,
    #[serde(default)]
    note: String,
}

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Route,
    Client,
}

/// What is done or expected on one connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// The script says this.
    Say(Vec<u8>),
    /// The script says this, a stream of S2.
    SayCompressed(Frames),
    /// The script closes the connection.
    HangUp,
    /// The server says this.
    Expect(Heard),
    /// The server says something that is compressed; what it is comes next.
    ExpectCompressed,
    /// The server closes the connection.
    ExpectClose,
}

/// A compressed stream as it was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Frames {
    /// Its bytes, or as many of them as were recorded.
    pub bytes: Vec<u8>,
    /// How many there were.
    pub length: usize,
}

impl Frames {
    /// Whether all of it was recorded.
    pub fn is_whole(&self) -> bool {
        self.bytes.len() == self.length
    }

    /// What it says. What was not recorded as a whole says the last INFO once more, as far as one can see: perhaps with the
    /// mode of compression that was chosen, perhaps with a PING behind it.
    pub fn plain(&self, introduction: Option<&str>) -> Result<String> {
        if self.is_whole() {
            let mut plain = Vec::new();
            Decoder::new().decode(&self.bytes, &mut plain)?;
            return Ok(String::from_utf8(plain)?);
        }
        let introduction = introduction.context("no INFO before")?;
        let beginning = self.bytes.get(FRAMING..).unwrap_or_default();
        let chosen = introduction.replace(r#""accept""#, r#""s2_fast""#);
        let with_ping = format!("{introduction}PING\r\n");
        let suits = |plain: &str| plain.len() + FRAMING == self.length && plain.as_bytes().starts_with(beginning);
        let found = [introduction.to_owned(), chosen, with_ping].into_iter().find(|plain| suits(plain));
        found.context("it is not the last INFO")
    }
}

/// One step of a conversation.
#[derive(Clone, Debug)]
pub struct Step {
    pub conn: String,
    pub kind: Kind,
    /// Milliseconds since the scenario began.
    pub at: f64,
    pub action: Action,
}

/// Which of two servers that were recorded together is the one under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The only one: the script plays all others.
    Alone,
    /// The one that accepts.
    Accepts,
    /// The one that solicits.
    Solicits,
}

/// One scenario with one server, or with one of two.
#[derive(Clone, Debug)]
pub struct Recording {
    pub scenario: String,
    /// What the data file says of the servers.
    pub servers: String,
    /// The version of the server under test.
    pub version: String,
    pub role: Role,
    pub steps: Vec<Step>,
}

impl fmt::Display for Recording {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.scenario, self.servers)?;
        match self.role {
            Role::Alone => Ok(()),
            Role::Accepts => f.write_str(" as A"),
            Role::Solicits => f.write_str(" as B"),
        }
    }
}

/// All that was recorded.
pub fn recordings() -> Vec<Recording> {
    let lines: Vec<Line> = LINES
        .lines()
        .skip(1) // It describes the others.
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}")))
        .collect();
    let mut recordings = Vec::new();
    for lines in lines.chunk_by(|a, b| a.scenario == b.scenario && a.server == b.server) {
        let [first, ..] = lines else { continue };
        let roles: &[Role] =
            if first.server.starts_with("A=") { &[Role::Accepts, Role::Solicits] } else { &[Role::Alone] };
        for &role in roles {
            recordings.push(Recording {
                scenario: first.scenario.clone(),
                servers: first.server.clone(),
                version: version(&first.server, role),
                role,
                steps: steps(lines, role),
            });
        }
    }
    recordings
}

/// `2.15.1`, or one of two as in `A=2.15.1 (accepts) B=2.9.10 (solicits)`.
fn version(servers: &str, role: Role) -> String {
    let mark = match role {
        Role::Alone => return servers.to_owned(),
        Role::Accepts => "A=",
        Role::Solicits => "B=",
    };
    let word = servers.split(' ').find_map(|word| word.strip_prefix(mark));
    word.unwrap_or_else(|| panic!("{servers:?} does not name {mark}")).to_owned()
}

impl Line {
    fn is_close(&self) -> bool {
        self.op == "EOF"
    }

    fn is_from_server(&self, role: Role) -> bool {
        match role {
            Role::Alone => self.dir.starts_with("server->"),
            Role::Accepts => self.dir == "A->B",
            Role::Solicits => self.dir == "B->A",
        }
    }
}

fn steps(lines: &[Line], role: Role) -> Vec<Step> {
    let mut lines: Vec<&Line> = lines.iter().collect();
    if role != Role::Alone {
        let at = |line: &&Line| line.t_ms + if line.is_from_server(role) || line.is_close() { SKEW_MS } else { 0.0 };
        lines.sort_by(|a, b| at(a).total_cmp(&at(b)));
    }
    let mut steps: Vec<Step> = Vec::new();
    let mut gone: Vec<&str> = Vec::new();
    for line in lines {
        let is_from_server = line.is_from_server(role);
        let is_gone = gone.contains(&line.conn.as_str());
        if is_gone && is_from_server && matches!(line.op.as_str(), "INFO" | "CONNECT") {
            // The label is used again.
            gone.retain(|conn| *conn != line.conn);
        } else if is_gone {
            // What is said to one that is away, and the other end's notice of the close.
            continue;
        }
        let step = |action| Step { conn: line.conn.clone(), kind: line.kind, at: line.t_ms, action };
        match (line.is_close(), is_from_server) {
            (true, _) => {
                gone.push(&line.conn);
                if is_from_server && is_servers_close(&steps, line) {
                    steps.push(step(Action::ExpectClose));
                } else {
                    hang_up(&mut steps, line);
                }
            }
            (false, true) if line.op == "S2-FRAME" => steps.push(step(Action::ExpectCompressed)),
            (false, true) => {
                let mut bytes = latin1(&line.raw);
                while let Some(heard) = Heard::take_from(&mut bytes) {
                    steps.push(step(Action::Expect(heard)));
                }
                assert!(bytes.is_empty(), "half a line in {}: {:?}", line.scenario, line.raw);
            }
            (false, false) if line.raw.is_empty() => {}
            (false, false) if line.op == "S2-FRAME" => steps.push(step(Action::SayCompressed(frames(line)))),
            (false, false) => steps.push(step(Action::Say(whole(line)))),
        }
    }
    steps
}

/// Whether it was the server that closed: at once behind what was said on the connection. Pings do not count, which come
/// whenever they come.
fn is_servers_close(steps: &[Step], line: &Line) -> bool {
    let is_ping = |step: &&Step| matches!(&step.action, Action::Expect(heard) if heard.line == "PING");
    let last = steps.iter().rev().filter(|step| !is_ping(step)).find(|step| step.conn == line.conn);
    last.is_some_and(|last| line.t_ms - last.at < AT_ONCE_MS)
}

/// The script's own close, in front of what it brought about on other connections.
fn hang_up(steps: &mut Vec<Step>, line: &Line) {
    let is_effect = |step: &&Step| {
        step.conn != line.conn
            && line.t_ms - step.at < EFFECT_MS
            && matches!(step.action, Action::Expect(_) | Action::ExpectClose)
    };
    let effects = steps.iter().rev().take_while(is_effect).count();
    let step = Step { conn: line.conn.clone(), kind: line.kind, at: line.t_ms, action: Action::HangUp };
    steps.insert(steps.len() - effects, step);
}

/// A line that the script says, with what the recorder left out of long ones: more of the same up to the end.
fn whole(line: &Line) -> Vec<u8> {
    let mut bytes = latin1(&line.raw);
    if let Some(length) = line.note.strip_prefix(TRUNCATED) {
        let length: usize = length.trim_end_matches(" chars").parse().expect("a length");
        let end: &[u8] = if line.op == "INFO" { b"\"}\r\n" } else { b"\r\n" };
        let filler = *bytes.last().expect("the beginning of a line");
        bytes.resize(length - end.len(), filler);
        bytes.extend_from_slice(end);
    }
    bytes
}

fn frames(line: &Line) -> Frames {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let byte = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    let bytes: Option<Vec<u8>> = line.raw.as_bytes().chunks(2).map(byte).collect();
    let length = line.note.split(' ').rev().nth(4).and_then(|length| length.parse().ok());
    Frames { bytes: bytes.expect("hexadecimal digits"), length: length.expect("a length") }
}

/// Characters U+0000 to U+00FF stand for bytes.
pub fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|char| u8::try_from(char).expect("a byte")).collect()
}
