//! What a peer may say once it is known: every mistake costs it its own connection, or not even that, as with the
//! reference.

use std::env;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use pinmesh_harness::{Heard, Introduction, Kind, ScriptedRoute};
use serde_json::json;

use crate::scene::{NEIGHBOURS_INTEREST, Neighbours, OURS, Scene};

/// What came of a conversation.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub heard: Vec<String>,
    pub closed: bool,
    pub log: Vec<String>,
}

/// Sends bytes and looks what comes of it. Whether the connection is closed shows in the answer to a PING; where that
/// is expected, it is waited for.
pub fn outcome(
    scene: &Scene,
    connect: impl Fn(&Scene, &Introduction) -> Result<ScriptedRoute>,
    Case { peer, bytes, .. }: &Case,
    expected: Option<&Outcome>,
) -> Result<Outcome> {
    let before = scene.member.server.log().len();
    let mut route = connect(scene, peer)?;
    let address = route.local_address()?;
    // Who has been closed meanwhile hears what there is to hear all the same.
    let _ = route.send([bytes.as_slice(), b"PING\r\n"].concat());
    let (mut heard, mut closed, mut pongs) = (Vec::new(), false, 0);
    while pongs < 2 || expected.is_some_and(|expected| expected.closed) {
        match route.hear().with_context(|| format!("after {heard:?}"))? {
            None => {
                closed = true;
                break;
            }
            Some(Heard { line, .. }) if line == "PONG" => {
                pongs += 1;
                if pongs == 1 {
                    let _ = route.send("PING\r\n");
                }
            }
            Some(other) => heard.push(other),
        }
    }
    if !closed {
        route.leave()?;
    }
    drop(route);
    let log = scene.log_of(address, before, &[peer], |log| expected.is_none_or(|expected| expected.log == log));
    // When a server says who it is, and what its clients want, is its own affair; what it says is compared elsewhere.
    heard.retain(|heard| !scene.is_introduction(heard) && !heard.line.starts_with(NEIGHBOURS_INTEREST));
    Ok(Outcome { heard: scene.transcript(&heard, &[peer]), closed, log })
}

/// [`outcome`] for a peer that has introduced itself.
pub fn after_joining(scene: &Scene, case: &Case, expected: Option<&Outcome>) -> Result<Outcome> {
    outcome(scene, Scene::join, case, expected)
}

/// What comes of bytes behind which nothing more can come: what is incomplete is not waited for.
fn last_words(scene: &Scene, Case { peer, bytes, .. }: &Case, expected: Option<&Outcome>) -> Result<Outcome> {
    let before = scene.member.server.log().len();
    let mut route = scene.join(peer)?;
    let address = route.local_address()?;
    route.send([bytes.as_slice(), b"PING\r\n"].concat())?;
    let mut heard = route.leave()?;
    heard.retain(|heard| !heard.line.starts_with(NEIGHBOURS_INTEREST));
    let log = scene.log_of(address, before, &[peer], |log| expected.is_none_or(|expected| expected.log == log));
    Ok(Outcome { heard: scene.transcript(&heard, &[peer]), closed: true, log })
}

/// A case: what it is called, who says it, and what.
pub struct Case {
    pub name: String,
    pub peer: Introduction,
    pub bytes: Vec<u8>,
}

/// Plays the cases on both servers, beside neighbours, and reports all differences.
pub fn compare(
    start: impl Fn(Kind) -> Result<Scene>,
    cases: impl Fn(&Scene) -> Vec<Case>,
    play: impl Fn(&Scene, &Case, Option<&Outcome>) -> Result<Outcome>,
) -> Result<()> {
    let (theirs, ours) = (start(Kind::Reference)?, start(OURS)?);
    let (mut neighbours, _others) = (Neighbours::of(&ours)?, Neighbours::of(&theirs)?);
    let mut differences = Vec::new();
    let (their_cases, our_cases) = (cases(&theirs), cases(&ours));
    ensure!(!their_cases.is_empty() && their_cases.len() == our_cases.len(), "no cases");
    for (case, again) in their_cases.into_iter().zip(our_cases) {
        let expected = play(&theirs, &case, None).with_context(|| format!("{}: the reference", case.name))?;
        match play(&ours, &again, Some(&expected)) {
            Ok(got) if got == expected => {}
            other => differences.push(format!("{}:\n     ours: {other:?}\nreference: {expected:?}", case.name)),
        }
        neighbours.converse().with_context(|| format!("beside {}", case.name))?;
    }
    ensure!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}

/// Lines from a peer that has introduced itself.
const STREAMS: &[&str] = &[
    "RS+ $G",
    "RS+ $G foo",
    "RS+ $G foo q",
    "RS+ $G foo q 1",
    "RS+ $G foo q 0",
    "RS+ $G foo q -1",
    "RS+ $G foo q many",
    "RS+ $G foo q 99999999999",
    "RS+ $G foo q 1 x",
    "RS+ $G foo q 1 x y",
    "RS+\t$G \t foo  ",
    "rs+ $G foo\nRS+ $G bar",
    "RS+ $G foo.",
    "RS+ $G foo..bar",
    "RS+ $G .",
    "RS+ $G foo\r\nRS+ $G foo\r\nRS- $G foo\r\nRS- $G foo",
    "RS+ NOPE foo",
    "RS+ NOPE foo q 1",
    "RS- $G",
    "RS- $G foo",
    "RS- $G foo q",
    "RS- $G foo q 1",
    "RS- NOPE foo",
    "RS- $G foo.",
    "RMSG $G",
    "RMSG $G foo",
    "RMSG $G foo x y 3\r\nabc",
    "RMSG $G foo || q 3\r\nabc",
    "RMSG $G foo | 3\r\nabc",
    "RMSG $G foo + 3\r\nabc",
    "RMSG $G foo | q 3\r\nabc",
    "RMSG $G foo + r q1 q2 3\r\nabc",
    "RMSG $G foo -1",
    "RMSG $G foo three",
    "RMSG $G foo | q three",
    "RMSG $G foo 1234567890",
    "RMSG $G foo 3\r\nabcd",
    "RMSG $G foo 3\r\nabc\nPING",
    "RMSG $G foo 3\r\nabc\rPING",
    "RMSG $G foo.* 3\r\nabc",
    "RMSG $G foo..bar 3\r\nabc",
    "RMSG NOPE foo 3\r\nabc",
    "RMSG $G foo 0\r\n",
    "HMSG $G foo 3\r\nabc",
    "HMSG $G foo 3 2\r\nab",
    "HMSG $G foo x 2\r\nab",
    "HMSG $G foo 2 x\r\nab",
    "HMSG $G foo x q r 0 2\r\nab",
    "HMSG $G foo 0 2\r\nab",
    "HMSG $G foo 12 14\r\nNATS/1.0\r\n\r\nab",
    "FOO",
    "MSG foo 1 3\r\nabc",
    "R",
    "RSx",
    "RS+",
    "RMSG",
    "HMSG",
    "L",
    "LSx",
    "LS+",
    "LS-x",
    "LMSG",
    "SUB foo 1",
    "UNSUB $G foo",
    "UNSUB $G",
    "PUB foo 3\r\nabc",
    "PUB foo r 3\r\nabc",
    "PUB foo",
    "PUB foo x",
    "HPUB foo 0 3\r\nabc",
    "A+ $G",
    "A- $G",
    "A+",
    "+OK",
    "-ERR 'boom'",
    "-ERR boom",
    "-ERR",
    "INFO",
    "INFO {",
    "INFO []",
    "INFO {\"port\":\"x\"}",
    "INFO {\"import\":7}",
    "CONNECT {",
    "CONNECT {\"version\":1}",
    "\0\u{1}\u{2}",
    "GET / HTTP/1.1\r\nHost: example.com\r\n",
    "PONG\r\nPONG",
];

#[test]
fn lines_from_a_known_peer() -> Result<()> {
    let cases = |_: &Scene| {
        let case = |stream: &&str| Case {
            name: stream.escape_default().to_string(),
            peer: Introduction::new(),
            bytes: format!("{stream}\r\n").into_bytes(),
        };
        STREAMS.iter().map(case).collect()
    };
    compare(|kind| Scene::start(kind, "", ""), cases, after_joining)
}

#[test]
fn lines_as_long_as_can_be() -> Result<()> {
    let cases = |_: &Scene| {
        let mut cases = Vec::new();
        for length in [65_536, 65_537, 70_000] {
            let fill = |begin: &str, end: &str| [begin, &"x".repeat(length - begin.len() - end.len()), end].concat();
            let lines = [
                format!("RS+ {}", fill("$G ", "")),
                format!("RS- {}", fill("$G ", "")),
                format!("RMSG {}\r\nx", fill("$G ", " 1")),
                format!("INFO {}", fill("{\"server_id\":\"", "\"}")),
                format!("A+ {}", fill("", "")),
                format!("PING {}", fill("", "")),
            ];
            cases.extend(lines.map(|line| Case {
                name: format!("{} with {length} bytes", line.split(' ').next().unwrap_or_default()),
                peer: Introduction::new(),
                bytes: format!("{line}\r\n").into_bytes(),
            }));
        }
        cases
    };
    compare(|kind| Scene::start(kind, "", ""), cases, after_joining)
}

/// Where a connection is for one account, the name of the account is in no line.
#[test]
fn lines_on_a_connection_for_one_account() -> Result<()> {
    let cases = |_: &Scene| {
        let case = |stream: &&str| Case {
            name: stream.escape_default().to_string(),
            peer: Introduction::new().info("route_pool_size", json!(3)).info("route_account", json!("$SYS")),
            bytes: format!("{stream}\r\n").into_bytes(),
        };
        [
            "RS+ foo",
            "RS+ foo q 2",
            "RS+ foo q",
            "RS+",
            "RS- foo q",
            "RS- foo q 2",
            "RMSG foo 3\r\nabc",
            "RMSG A foo 3\r\nabc",
            "RMSG foo",
            "RMSG \t foo   -1",
            "RMSG foo x y 3\r\nabc",
            "RMSG foo | q three",
            "HMSG foo 3\r\nabc",
            "HMSG foo 3 2\r\nab",
            "HMSG foo x 2\r\nab",
            "HMSG foo x q r 0 2\r\nab",
            "HMSG foo 2 x\r\nab",
            "FOO",
            "RMSG foo | q 3\r\nabc",
            "HMSG foo 12 14\r\nNATS/1.0\r\n\r\nab",
        ]
        .iter()
        .map(case)
        .collect()
    };
    compare(|kind| Scene::start(kind, "", ""), cases, after_joining)
}

/// Lines of [`STREAMS`] that were damaged on the way.
#[test]
fn damaged_lines() -> Result<()> {
    const CASES: usize = 300;
    let seed = match env::var("PINMESH_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => fastrand::u64(..),
    };
    let cases = |_: &Scene| {
        let mut rng = Rng::with_seed(seed);
        let mut cases = Vec::new();
        while cases.len() < CASES {
            let stream = damaged(STREAMS[rng.usize(..STREAMS.len())].as_bytes(), &mut rng);
            if is_alike(&stream) {
                let name = stream.escape_ascii().to_string();
                cases.push(Case { name, peer: Introduction::new(), bytes: [stream.as_slice(), b"\r\n"].concat() });
            }
        }
        cases
    };
    compare(|kind| Scene::start(kind, "", ""), cases, last_words).with_context(|| format!("PINMESH_SEED={seed}"))
}

/// A few bytes are lost, doubled or others.
fn damaged(stream: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut damaged = stream.to_vec();
    for _ in 0..=rng.usize(..3) {
        let at = rng.usize(..=damaged.len());
        match rng.usize(..4) {
            0 if at < damaged.len() => drop(damaged.remove(at)),
            1 if at < damaged.len() => damaged[at] = *rng.choice(b" \tRSMGH+-|0129ax.*>").unwrap_or(&b'a'),
            2 => damaged.insert(at, *rng.choice(b" \tRSMGH+-|0129ax.*>").unwrap_or(&b'a')),
            _ => damaged.truncate(at),
        }
    }
    damaged
}

/// Whether both servers should do the same. Not so where the reference does by accident what it does (with a CR that ends no
/// line, with a name and nothing behind it, and with what clients publish), where ours knows less (operations of leaf nodes),
/// and with CONNECT and INFO, which ours looks at while it already goes on with what follows.
fn is_alike(stream: &[u8]) -> bool {
    let mut lines = [stream, b"\r\n"].concat();
    lines.truncate(lines.len() - 1);
    lines.split(|&byte| byte == b'\n').all(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let has_arguments = line.trim_ascii_end().iter().any(|byte| matches!(byte, b' ' | b'\t'));
        let publishes = |name: &[u8]| line.get(..name.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(name));
        !publishes(b"PUB")
            && !publishes(b"HPUB")
            && !matches!(line.first(), Some(b'L' | b'l' | b'C' | b'c' | b'I' | b'i'))
            && !line.contains(&b'\r')
            && (has_arguments || line.trim_ascii_end() == line)
    })
}
