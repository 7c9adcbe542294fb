//! The server under test: started on a free port, pinned, in a directory of its own, and stopped again.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cpu::{self, Account, Cores, Memory};

const START_TIMEOUT: Duration = Duration::from_secs(20);
const STOP_TIMEOUT: Duration = Duration::from_secs(10);
const KEPT_LOG_LINES: usize = 20;

/// Something that a server listens for, and says so in its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// Clients.
    Clients,
    /// Other servers of its cluster.
    Routes,
    /// Monitoring requests.
    Monitoring,
}

/// The doors, with the words in front of the address.
const DOORS: [(Door, &str); 3] = [
    (Door::Clients, "Listening for client connections on "),
    (Door::Routes, "Listening for route connections on "),
    (Door::Monitoring, "Starting http monitor on "),
];

/// How to start a program that listens.
#[derive(Clone, Debug)]
pub struct Launch {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
    /// The cores it may use.
    pub cores: Cores,
    /// What it must listen for before it counts as started.
    pub doors: &'static [Door],
}

/// A server that is up: where it listens, and which process to account for.
#[derive(Debug)]
pub struct Server {
    /// Where clients connect.
    pub address: SocketAddr,
    doors: Vec<(Door, SocketAddr)>,
    pid: Option<u32>,
    process: Option<ServerProcess>,
}

impl Server {
    /// A server that somebody else started; without `pid` there is no account of processor time and memory.
    pub fn running(address: SocketAddr, pid: Option<u32>) -> Self {
        Server { address, doors: vec![(Door::Clients, address)], pid, process: None }
    }

    /// Starts a server and waits until it listens.
    pub fn start(launch: &Launch) -> Result<Self> {
        let (process, doors) = ServerProcess::start(launch)?;
        let pid = Some(process.child.id());
        let address = address_of(&doors, Door::Clients)?;
        Ok(Server { address, doors, pid, process: Some(process) })
    }

    /// Where it listens for something other than clients.
    pub fn door(&self, door: Door) -> Result<SocketAddr> {
        address_of(&self.doors, door)
    }

    /// The last lines that a started server logged.
    pub fn log_tail(&self) -> String {
        self.process.as_ref().map(|process| process.log.tail()).unwrap_or_default()
    }
}

impl Account for Server {
    fn processor_time(&self) -> Result<Option<Duration>> {
        self.pid.map(cpu::processor_time).transpose()
    }

    fn memory(&self) -> Result<Option<Memory>> {
        self.pid.map(cpu::memory).transpose()
    }
}

fn address_of(doors: &[(Door, SocketAddr)], door: Door) -> Result<SocketAddr> {
    let found = doors.iter().find(|(known, _)| *known == door);
    found.map(|(_, address)| *address).with_context(|| format!("the server does not listen for {door:?}"))
}

/// The last lines of a log.
#[derive(Clone, Debug, Default)]
struct LogTail(Arc<Mutex<VecDeque<String>>>);

impl LogTail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT_LOG_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    fn tail(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| format!("    {line}\n")).collect()
    }
}

#[derive(Debug)]
struct ServerProcess {
    child: Child,
    log: LogTail,
    /// Working directory; goes away with the process.
    _directory: TempDir,
}

impl ServerProcess {
    fn start(launch: &Launch) -> Result<(Self, Vec<(Door, SocketAddr)>)> {
        let program = launch.program.display();
        let directory = tempfile::tempdir()?;
        let mut command = Command::new(&launch.program);
        command.args(&launch.arguments).current_dir(directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());

        // A process inherits the cores of the thread that starts it, so a thread of its own starts it.
        let cores = launch.cores.clone();
        let spawned = thread::spawn(move || {
            cores.pin_current_thread()?;
            anyhow::Ok(command.spawn()?)
        });
        let spawned = spawned.join().map_err(|_| anyhow::anyhow!("the thread that starts the server panicked"))?;
        let mut child = spawned.with_context(|| format!("cannot start {program}"))?;

        let log = LogTail::default();
        let (sender, listening) = mpsc::channel();
        if let Some(stdout) = child.stdout.take() {
            follow(stdout, log.clone(), sender.clone());
        }
        if let Some(stderr) = child.stderr.take() {
            follow(stderr, log.clone(), sender);
        }
        let process = ServerProcess { child, log, _directory: directory };
        let deadline = Instant::now() + START_TIMEOUT;
        let mut open = Vec::new();
        for (door, words) in DOORS.iter().filter(|(door, _)| launch.doors.contains(door)) {
            while address_of(&open, *door).is_err() {
                match listening.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                    Ok(opened) => open.push(opened),
                    Err(reason) => {
                        let what = match reason {
                            RecvTimeoutError::Timeout => format!("was silent for {START_TIMEOUT:?}"),
                            RecvTimeoutError::Disconnected => "ended".to_string(),
                        };
                        bail!(
                            "{program} {} {what} before it logged `{words}HOST:PORT`; it said last:\n{}",
                            launch.arguments.join(" "),
                            process.log.tail()
                        )
                    }
                }
            }
        }
        Ok((process, open))
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        if let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            // It may be gone already; then there is nothing to stop.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + STOP_TIMEOUT;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Reads a log to its end, so that the server never waits for us; reports where it listens.
fn follow(output: impl Read + Send + 'static, log: LogTail, listening: Sender<(Door, SocketAddr)>) {
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if let Some(opened) = opened_door(&line) {
                // Nobody may be waiting for it.
                let _ = listening.send(opened);
            }
            log.push(line);
        }
    });
}

fn opened_door(line: &str) -> Option<(Door, SocketAddr)> {
    let (door, address) =
        DOORS.iter().find_map(|(door, words)| line.split_once(words).map(|(_, address)| (*door, address)))?;
    let address: SocketAddr = address.trim().parse().ok()?;
    let address = if address.ip().is_unspecified() { ([127, 0, 0, 1], address.port()).into() } else { address };
    Some((door, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_addresses_in_log_lines() {
        let line = "[1] 2026/01/02 03:04:05.678901 [INF] Listening for client connections on 0.0.0.0:4333";
        assert_eq!(opened_door(line), Some((Door::Clients, ([127, 0, 0, 1], 4333).into())));
        let line = "[INF] Listening for route connections on 127.0.0.1:6222";
        assert_eq!(opened_door(line), Some((Door::Routes, ([127, 0, 0, 1], 6222).into())));
        assert_eq!(opened_door("[INF] Server is ready"), None);
    }

    #[test]
    fn a_program_that_ends_at_once_is_an_error_with_its_words() {
        let launch = Launch {
            program: "/bin/sh".into(),
            arguments: vec!["-c".into(), "echo no such luck >&2".into()],
            cores: Cores::parse("any").unwrap(),
            doors: &[Door::Clients],
        };
        let error = Server::start(&launch).unwrap_err().to_string();
        assert!(error.contains("ended before") && error.contains("no such luck"), "{error}");
    }
}
