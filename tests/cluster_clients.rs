//! Clients learn the cluster: INFO names the servers as they come and go, and applications whose server is killed move
//! on to another one.

#[macro_use]
mod line_ups;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use pinmesh_harness::Kind::{self, Old, Ours, Reference};
use pinmesh_harness::cluster::{CLUSTER_NAME, connect_urls, routes};
use pinmesh_harness::{Client, Cluster, Frame, Member, Seat, scenarios};
use regex::Regex;

on_every_line_up!(urls_come_and_go, news_is_for_those_who_understand_it);

/// What a client connects with that understands INFO at any time.
const UNDERSTANDS: &str = r#"{"verbose":false,"protocol":1}"#;

/// The block `cluster` of a server that knows these.
fn knows<'a>(seats: impl IntoIterator<Item = &'a Seat>) -> String {
    format!("name: {CLUSTER_NAME}\n  {}", routes(seats))
}

/// The next INFO that names servers, and the servers. There is another one that answers CONNECT, with or without them.
fn news(client: &mut Client) -> Result<(String, Vec<String>)> {
    loop {
        match client.frame().context("no news")? {
            Frame::Info(json) => {
                let info = String::from_utf8_lossy(json).into_owned();
                if let Some(urls) = connect_urls(&info) {
                    return Ok((info, urls));
                }
            }
            other => bail!("{other:?} in place of INFO"),
        }
    }
}

/// Reads INFOs until one names these servers: the client's own first, the others in any order.
fn expect(client: &mut Client, own: &Seat, others: &[Seat]) -> Result<()> {
    let mut wanted: Vec<String> = others.iter().map(Seat::connect_url).collect();
    wanted.sort();
    let mut seen = Vec::new();
    loop {
        let (_, mut urls) = news(client).with_context(|| format!("wanted {wanted:?}, but was told only {seen:?}"))?;
        ensure!(urls.first() == Some(&own.connect_url()), "its own server is not the first of {urls:?}");
        let mut rest = urls.split_off(1);
        rest.sort();
        if rest == wanted {
            return Ok(());
        }
        seen.push(rest);
    }
}

/// A client is told of servers that come and servers that go.
fn urls_come_and_go(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(3);
    cluster.members.push(Member::start(kinds[0], seats[0], &knows([]), ""));
    let mut client = cluster.members[0].client_with(UNDERSTANDS)?;
    ensure!(connect_urls(client.info()).is_none(), "alone, and yet there is a list: {}", client.info());

    cluster.members.push(Member::start(kinds[1], seats[1], &knows(&seats[..1]), ""));
    expect(&mut client, &seats[0], &seats[1..2])?;
    cluster.members.push(Member::start(kinds[2], seats[2], &knows(&seats[..1]), ""));
    expect(&mut client, &seats[0], &seats[1..])?;

    // Those who come now are told at once, whichever server they ask.
    let all: Vec<String> = seats.iter().map(Seat::connect_url).collect();
    for (member, own) in cluster.members.iter().zip(&all) {
        member.wait_for_urls(&all)?;
        let urls = connect_urls(Client::open(member.server.address())?.info()).unwrap_or_default();
        ensure!(urls.first() == Some(own), "{own} is not the first of {urls:?}");
    }

    cluster.members[1].server.kill();
    expect(&mut client, &seats[0], &seats[2..])?;
    cluster.members[1].server.restart();
    expect(&mut client, &seats[0], &seats[1..])?;
    cluster.members[2].server.terminate();
    expect(&mut client, &seats[0], &seats[1..2])?;
    cluster.members[1].server.terminate();
    expect(&mut client, &seats[0], &[])?;
    let alone = connect_urls(Client::open(cluster.members[0].server.address())?.info());
    ensure!(alone == Some(vec![seats[0].connect_url()]), "alone again, and the list is {alone:?}");
    Ok(())
}

/// Clients of the first protocol version are told when they connect, and never again.
fn news_is_for_those_who_understand_it(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(2);
    cluster.members.push(Member::start(kinds[0], seats[0], &knows([]), ""));
    let mut old = cluster.members[0].client_with(r#"{"verbose":false}"#)?;
    let mut new = cluster.members[0].client_with(UNDERSTANDS)?;
    // One that has not said yet what it understands.
    let mut silent = Client::open(cluster.members[0].server.address())?;
    cluster.members.push(Member::start(kinds[1], seats[1], &knows(&seats[..1]), ""));
    expect(&mut new, &seats[0], &seats[1..])?;
    old.send(b"PING\r\n")?;
    ensure!(old.frame()? == Frame::Pong, "an old client got something else than a PONG");
    silent.send(format!("CONNECT {UNDERSTANDS}\r\nPING\r\n").as_bytes())?;
    ensure!(silent.frame()? == Frame::Pong, "the answer to PING is not the first that a new client gets");
    expect(&mut silent, &seats[0], &seats[1..])
}

/// The INFO that brings news has the fields of the reference, in the same order, written the same way.
#[test]
fn news_is_written_like_the_references() {
    let texts = [Reference, Ours(2)].map(|kind| {
        let seats = Seat::several(2);
        let first = Member::start(kind, seats[0], &knows([]), "");
        let mut client = first.client_with(UNDERSTANDS).expect("a client");
        let greeting = client.info().to_owned();
        let _second = Member::start(Reference, seats[1], &knows(&seats[..1]), "");
        let (news, _) = news(&mut client).expect("an INFO");
        let again = Client::open(first.server.address()).expect("a client");
        [greeting, news, again.info().to_owned()].map(|text| normal(&text))
    });
    let [theirs, ours] = texts;
    assert_eq!(ours, theirs);
}

/// The text without what differs from server to server and from connection to connection.
fn normal(info: &str) -> String {
    let patterns = [
        (r#""(server_id|server_name)":"N[A-Z2-7]{55}""#, r#""$1":"ID""#),
        (r#""(git_commit|go|nonce)":"[^"]+""#, r#""$1":"TEXT""#),
        (r#""(port|client_id)":\d+"#, r#""$1":0"#),
        (r#"127\.0\.0\.1:\d+"#, "127.0.0.1:0"),
        // These belong to JetStream and to auth callouts, which this server does not have.
        (r#","feature_flags":\{[^}]*\}"#, ""),
        (r#","api_lvl":\d+"#, ""),
        (r#","xkey":"[^"]+""#, ""),
    ];
    patterns.iter().fold(info.to_owned(), |text, (pattern, shown)| {
        Regex::new(pattern).expect("a pattern").replace_all(&text, *shown).into_owned()
    })
}

/// What `tools/test` installed, by the environment variable that names it.
fn installed(variable: &str) -> PathBuf {
    match env::var_os(variable) {
        Some(path) => path.into(),
        None => panic!("{variable} is not set; run tools/test, which installs the client libraries"),
    }
}

fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path)
}

fn python() -> Command {
    let mut command = Command::new(installed("PINMESH_PYTHON"));
    command.arg(script("python/scenarios.py"));
    command
}

fn node() -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", installed("PINMESH_NODE_MODULES")).arg(script("node/scenarios.js"));
    command
}

/// Both applications, at the same time, each with a cluster of its own.
fn move_on(kinds: &'static [Kind]) {
    let plays = [python(), node()].map(|program| std::thread::spawn(move || scenarios::play_move_on(program, kinds)));
    for play in plays.map(std::thread::JoinHandle::join) {
        play.unwrap_or_else(|failure| std::panic::resume_unwind(failure));
    }
}

#[test]
fn applications_move_on_in_a_cluster_of_references() {
    move_on(&[Reference; 3]);
}

#[test]
fn applications_move_on_in_a_cluster_of_ours() {
    move_on(&[Ours(1), Ours(2), Ours(3)]);
}

#[test]
fn applications_move_from_ours_to_others() {
    move_on(&[Ours(2), Reference, Old]);
}

#[test]
fn applications_move_from_the_reference_to_ours() {
    move_on(&[Reference, Ours(2), Ours(1)]);
}
