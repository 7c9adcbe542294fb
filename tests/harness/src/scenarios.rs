//! The scenarios that every real client library plays, and the driver that runs a client's program through them.
//!
//! A client program is told the server's URL and names of scenarios. It prints `ok NAME` for each that holds, and
//! ends with a status other than 0 at the first that does not. Where it prints `restart`, the driver restarts the
//! server on the same port and answers `restarted`; where it prints `kill`, the server is killed for good and the
//! answer is `killed`.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::cluster::{Cluster, Kind};
use crate::server::Builder;

/// Configurations, and the scenarios that are played with each.
const GROUPS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "connection",
            "publish_subscribe",
            "payloads",
            "wildcards",
            "queue_groups",
            "request_reply",
            "request_reply_with_new_inboxes",
            "headers",
            "no_responders",
            "drain",
            "auto_unsubscribe",
            "echo_off",
            "verbose_and_pedantic",
            "many_connections",
            "reconnect",
        ],
    ),
    ("max_payload: 16MB", &["large_payloads"]),
    ("max_payload: 1000", &["max_payload"]),
    ("authorization { user: ann, password: s3cret }", &["user_and_password"]),
    ("authorization { token: t0ken }", &["token"]),
];

/// A client program that says nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(150);

/// Plays all scenarios, except those in `without`, with the client program that `command` starts; `server` makes
/// the server that it talks to.
///
/// # Panics
/// When a scenario fails.
pub fn play(command: impl Fn() -> Command, server: impl Fn() -> Builder, without: &[&str]) {
    for (config, names) in GROUPS {
        let names: Vec<&str> = names.iter().copied().filter(|name| !without.contains(name)).collect();
        play_group(command(), server().config(*config), &names);
    }
}

fn play_group(command: Command, server: Builder, names: &[&str]) {
    let mut server = server.start();
    let url = server.url();
    converse(command, &url, names, |wish| {
        (wish == "restart").then(|| {
            server.restart();
            "restarted"
        })
    });
}

/// Plays the scenario in which the client finds out about a cluster, its server is killed, and it moves on to another
/// one; the client program is told about the first of these servers alone.
///
/// # Panics
/// When the scenario fails.
pub fn play_move_on(command: Command, kinds: &[Kind]) {
    let mut cluster = Cluster::start(kinds).unwrap_or_else(|error| panic!("{error:#}"));
    let first = &mut cluster.members[0];
    let url = first.seat.client_url();
    converse(command, &url, &["move_on"], |wish| {
        (wish == "kill").then(|| {
            first.server.kill();
            "killed"
        })
    });
}

/// Plays one scenario with servers that are there; `urls` is one URL, or several with commas between them.
///
/// # Panics
/// When the scenario fails.
pub fn play_once(command: Command, urls: &str, name: &str) {
    converse(command, urls, &[name], |_| None);
}

/// Lets a client program play scenarios, and does what it wishes: `fulfil` gets a line and knows the answer to it.
///
/// # Panics
/// When a scenario fails.
pub fn converse(mut command: Command, url: &str, names: &[&str], mut fulfil: impl FnMut(&str) -> Option<&'static str>) {
    command.arg(url).args(names).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut program = match command.spawn() {
        Ok(program) => program,
        Err(error) => panic!("{command:?} cannot be started: {error}"),
    };
    let mut answers = program.stdin.take().expect("a pipe to the program");
    let output = BufReader::new(program.stdout.take().expect("a pipe from the program"));
    let (sender, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    let mut held = Vec::new();
    let hangs = loop {
        match lines.recv_timeout(SILENCE) {
            Ok(line) => match (line.strip_prefix("ok "), fulfil(&line)) {
                (Some(name), _) => held.push(name.to_owned()),
                (None, Some(answer)) => writeln!(answers, "{answer}").expect("the program listens"),
                (None, None) => println!("{line}"),
            },
            Err(mpsc::RecvTimeoutError::Disconnected) => break false,
            Err(mpsc::RecvTimeoutError::Timeout) => break true,
        }
    };
    if hangs {
        // It may end in this very moment: then there is nothing to kill.
        let _ = program.kill();
    }
    let status = program.wait().expect("the state of a child process");
    let _ = reader.join();
    assert!(!hangs, "{command:?} hangs after {held:?}");
    assert_eq!(held, names, "{command:?} ended with {status}");
    assert!(status.success(), "{command:?} ended with {status}");
}
