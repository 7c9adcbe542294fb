//! What the tests of the command line and of the log share: our program under the reference's name, and log lines
//! without what differs from run to run.

use std::fs;
use std::path::{Path, PathBuf};

use pinmesh_harness::Side;
use tempfile::TempDir;

/// A directory in which our program has the name `nats-server`, and in which both programs run.
pub struct Place {
    directory: TempDir,
}

impl Place {
    pub fn new() -> Place {
        let directory = TempDir::new().expect("a directory");
        let place = Place { directory };
        place.link("nats-server");
        place
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Our program under another name.
    pub fn link(&self, name: &str) -> PathBuf {
        let link = self.path().join("bin").join(name);
        fs::create_dir_all(self.path().join("bin")).expect("a directory for links");
        std::os::unix::fs::symlink(Side::Ours.program(), &link).expect("a link to the program");
        link
    }

    /// The program that is called `nats-server` on this side.
    pub fn nats_server(&self, side: Side) -> PathBuf {
        match side {
            Side::Ours => self.path().join("bin/nats-server"),
            Side::Reference => side.program(),
        }
    }
}

/// Log lines without process id, time, ids and ports, and without the lines that only one of the programs has.
pub fn normalised(log: &str) -> String {
    let own = ["  Git:", "  Go build:", "  Build:", "Created system account", "SYSTEM - ", "The limit of "];
    let mut lines = String::new();
    for line in log.lines() {
        let (front, message) = match line.split_once("] ").filter(|(pid, _)| is_number_in_bracket(pid)) {
            Some((_, rest)) => split_front(rest),
            None => (String::new(), line.to_owned()),
        };
        let shards = message.split_once(" shard").is_some_and(|(count, _)| is_number(count));
        if !shards && !own.iter().any(|prefix| message.starts_with(prefix)) {
            lines.push_str(&front);
            lines.push_str(&without_ids(&message));
            lines.push('\n');
        }
    }
    lines
}

/// Splits `YYYY/MM/DD hh:mm:ss.uuuuuu [LVL] message`, with `0` for every digit of the front.
fn split_front(rest: &str) -> (String, String) {
    match rest.split_once('[') {
        Some((time, tail)) => {
            let time: String = time.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
            let (level, message) = tail.split_once("] ").unwrap_or((tail, ""));
            (format!("[PID] {time}[{level}] "), message.to_owned())
        }
        None => (String::new(), rest.to_owned()),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit())
}

fn is_number_in_bracket(text: &str) -> bool {
    text.strip_prefix('[').is_some_and(is_number)
}

/// `ID` for server ids, `PORT` for the port that a listener got, `NAME` for a cluster's generated name.
fn without_ids(message: &str) -> String {
    let words: Vec<String> = message
        .split(' ')
        .map(|word| match word.rsplit_once(':') {
            _ if word.len() == 56 && word.starts_with('N') => "ID".to_owned(),
            _ if word.len() == 22 && message.contains("Cluster") => "NAME".to_owned(),
            Some((host, port)) if message.starts_with("Listening ") && is_number(port) => format!("{host}:PORT"),
            _ => word.to_owned(),
        })
        .collect();
    words.join(" ")
}
