//! The sides of a comparison and their turns: A B A B …, a fresh process each time.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, anyhow};
use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::cpu::Cores;
use crate::flow::Peer;
use crate::sample::{Sample, Series};
use crate::server_process::{Door, Launch, Server};

/// One of the things that are compared.
#[derive(Clone, Debug)]
pub struct Side {
    /// Its name in the report.
    pub name: String,
    target: Target,
}

#[derive(Clone, Debug)]
enum Target {
    Launch(Launch),
    Running { address: SocketAddr, pid: Option<u32> },
    Relay { cores: Cores, buffer: usize },
}

impl Side {
    /// A server that is started for every run; `more` goes behind the arguments that give it a free port.
    pub fn server(program: &Path, more: &[String], cores: &Cores) -> Self {
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        let name = std::iter::once(name.into_owned()).chain(more.iter().cloned()).collect::<Vec<_>>().join(" ");
        let mut arguments: Vec<String> = ["-a", "127.0.0.1", "-p", "-1"].map(String::from).to_vec();
        arguments.extend_from_slice(more);
        let program = program.canonicalize().unwrap_or_else(|_| program.to_path_buf());
        Side {
            name,
            target: Target::Launch(Launch { program, arguments, cores: cores.clone(), doors: &[Door::Clients] }),
        }
    }

    /// A server that runs already.
    pub fn running(address: SocketAddr, pid: Option<u32>) -> Self {
        Side { name: address.to_string(), target: Target::Running { address, pid } }
    }

    /// The relay that parses nothing.
    pub fn floor(cores: &Cores, buffer: usize) -> Self {
        Side { name: "floor".into(), target: Target::Relay { cores: cores.clone(), buffer } }
    }

    /// Whether this is the relay.
    pub fn is_floor(&self) -> bool {
        matches!(self.target, Target::Relay { .. })
    }

    fn up(&self, receivers: usize) -> Result<(Server, Peer)> {
        match &self.target {
            Target::Launch(launch) => Ok((Server::start(launch)?, Peer::Nats)),
            Target::Running { address, pid } => Ok((Server::running(*address, *pid), Peer::Nats)),
            Target::Relay { cores, buffer } => {
                let program: PathBuf = std::env::current_exe()?;
                let arguments = ["relay", "--subscribers", &receivers.to_string(), "--buffer", &buffer.to_string()];
                let arguments = arguments.map(String::from).to_vec();
                let launch = Launch { program, arguments, cores: cores.clone(), doors: &[Door::Clients] };
                Ok((Server::start(&launch)?, Peer::Relay))
            }
        }
    }
}

/// Gives every side its turn, `rounds` times; `receivers` is the number of connections that a relay has to feed.
pub fn take_turns(
    title: &str,
    sides: &[Side],
    rounds: usize,
    receivers: usize,
    mut run: impl FnMut(&Server, Peer) -> Result<Sample>,
) -> Result<Vec<Series>> {
    let named = sides.iter().map(|side| (side.name.as_str(), side.is_floor())).collect::<Vec<_>>();
    interleave(title, &named, rounds, |number| {
        let side = sides.get(number).context("no such side")?;
        let (server, peer) = side.up(receivers)?;
        run(&server, peer).map_err(|error| with_last_words(error, "the server", &server))
    })
}

/// An error together with what a server logged last.
pub fn with_last_words(error: Error, name: &str, server: &Server) -> Error {
    match server.log_tail() {
        tail if tail.is_empty() => error,
        tail => anyhow!("{error:#}; {name} logged last:\n{tail}"),
    }
}

/// Calls `run` for every side in turn (each a name, and whether it is the floor), `rounds` times.
pub fn interleave(
    title: &str,
    sides: &[(&str, bool)],
    rounds: usize,
    mut run: impl FnMut(usize) -> Result<Sample>,
) -> Result<Vec<Series>> {
    let series =
        |(name, is_floor): &(&str, bool)| Series { name: name.to_string(), is_floor: *is_floor, samples: Vec::new() };
    let mut series: Vec<Series> = sides.iter().map(series).collect();
    // Draws on a terminal only.
    let bar = ProgressBar::new((rounds * sides.len()) as u64).with_style(
        ProgressStyle::with_template("{prefix} {bar:30} {pos}/{len} {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar()),
    );
    let bar = bar.with_finish(ProgressFinish::AndClear);
    bar.set_prefix(title.to_string());
    for _ in 0..rounds {
        for (number, series) in series.iter_mut().enumerate() {
            bar.set_message(series.name.clone());
            series.samples.push(run(number).with_context(|| series.name.clone())?);
            bar.inc(1);
        }
    }
    Ok(series)
}
