//! Servers that form a cluster: started on free ports, meshed, and accounted for one by one.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, bail};

use crate::cpu::{Account, Cores, Memory};
use crate::flow::Ends;
use crate::monitoring::Routes;
use crate::progress::patience;
use crate::rounds::{interleave, with_last_words};
use crate::sample::{Sample, Series};
use crate::server_process::{Door, Launch, Server};

/// Names of servers in reports, in the order in which they are started.
pub const LETTERS: [char; 16] = ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', 'I', 'J', 'K', 'L', 'M', 'N', 'O', 'P'];

const DOORS: [Door; 3] = [Door::Clients, Door::Routes, Door::Monitoring];
/// What every server of a cluster is told: free ports, and the name that all share.
const ARGUMENTS: [&str; 10] =
    ["-a", "127.0.0.1", "-p", "-1", "-m", "-1", "--cluster", "nats://127.0.0.1:-1", "--cluster_name", "bench"];
/// Between two looks at a server's routes.
const PAUSE: Duration = Duration::from_millis(2);

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<String>,
}

impl Command {
    fn name(&self) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str()).to_string_lossy();
        std::iter::once(name.as_ref()).chain(self.arguments.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    }
}

/// One of the clusters that are compared.
#[derive(Clone, Debug)]
pub struct ClusterSide {
    /// Its name in the report.
    pub name: String,
    /// Its servers, in the order in which they are started.
    pub servers: Vec<Launch>,
}

impl ClusterSide {
    /// The cluster of these servers; the cores are given out one after the other, over and over.
    pub fn new(commands: &[Command], cores: &[Cores]) -> Result<Self> {
        if commands.len() > LETTERS.len() {
            bail!("{} servers: at most {} can be told apart", commands.len(), LETTERS.len());
        }
        let mut servers = Vec::new();
        for (command, cores) in commands.iter().zip(cores.iter().cycle()) {
            let arguments = ARGUMENTS.iter().map(|word| word.to_string()).chain(command.arguments.iter().cloned());
            let program = command.program.canonicalize().unwrap_or_else(|_| command.program.clone());
            servers.push(Launch { program, arguments: arguments.collect(), cores: cores.clone(), doors: &DOORS });
        }
        Ok(ClusterSide { name: name_of(commands), servers })
    }

    /// The same cluster under another name.
    pub fn called(&self, name: &str) -> Self {
        ClusterSide { name: name.to_string(), ..self.clone() }
    }
}

/// `2 × nats-server`, or all the names.
fn name_of(commands: &[Command]) -> String {
    match commands {
        [first, others @ ..] if others.iter().all(|other| other == first) => {
            format!("{} × {}", commands.len(), first.name())
        }
        _ => commands.iter().map(Command::name).collect::<Vec<_>>().join(" + "),
    }
}

/// A cluster that is up, or as much of it as has been started.
#[derive(Debug, Default)]
pub struct Cluster {
    servers: Vec<Server>,
}

impl Cluster {
    /// Starts one more server with routes to all that are there, and waits until it listens.
    pub fn join(&mut self, launch: &Launch) -> Result<()> {
        let mut launch = launch.clone();
        let urls = self.servers.iter().map(|server| Ok(format!("nats://{}", server.door(Door::Routes)?)));
        let urls = urls.collect::<Result<Vec<_>>>()?;
        if !urls.is_empty() {
            launch.arguments.extend(["--routes".to_string(), urls.join(",")]);
        }
        self.servers.push(Server::start(&launch)?);
        Ok(())
    }

    /// Starts these servers and waits until each knows all others.
    pub fn join_all(&mut self, launches: &[Launch]) -> Result<()> {
        launches.iter().try_for_each(|launch| self.join(launch))?;
        self.await_mesh()
    }

    /// Stops the server that was started last.
    pub fn leave(&mut self) {
        self.servers.pop();
    }

    /// Waits until each server has a route to each other server, and to no other.
    pub fn await_mesh(&self) -> Result<()> {
        let deadline = Instant::now() + patience();
        let others = self.servers.len().saturating_sub(1);
        for (server, letter) in self.servers.iter().zip(LETTERS) {
            loop {
                let known = routes(server)?.remotes();
                if known == others {
                    break;
                }
                if Instant::now() > deadline {
                    bail!("{letter} has routes to {known} servers instead of {others} after {:?}", patience());
                }
                thread::sleep(PAUSE);
            }
        }
        Ok(())
    }

    /// The server that was started first.
    pub fn first(&self) -> Result<&Server> {
        self.servers.first().context("a cluster without servers")
    }

    /// The server that was started last.
    pub fn last(&self) -> Result<&Server> {
        self.servers.last().context("a cluster without servers")
    }

    /// How many servers there are.
    pub fn len(&self) -> usize {
        self.servers.len()
    }

    /// Publishers on the first server, subscribers spread over the others.
    pub fn ends(&self) -> Result<Ends> {
        let far = self.servers.iter().skip(1).map(|server| server.address).collect();
        Ok(Ends { near: self.first()?.address, far })
    }

    /// Processor time of each server.
    pub fn processor_times(&self) -> Result<Vec<Duration>> {
        self.servers.iter().map(|server| server.processor_time()?.context("a server without a process")).collect()
    }

    fn with_last_words(&self, error: Error) -> Error {
        let named = self.servers.iter().zip(LETTERS);
        named.fold(error, |error, (server, letter)| with_last_words(error, &letter.to_string(), server))
    }
}

impl Account for Cluster {
    fn processor_time(&self) -> Result<Option<Duration>> {
        Ok(Some(self.processor_times()?.into_iter().sum()))
    }

    fn memory(&self) -> Result<Option<Memory>> {
        let mut sum = Memory::default();
        for server in &self.servers {
            let memory = server.memory()?.context("a server without a process")?;
            sum.resident += memory.resident;
            sum.anonymous += memory.anonymous;
        }
        Ok(Some(sum))
    }
}

/// The routes of a server of a cluster.
pub fn routes(server: &Server) -> Result<Routes> {
    Routes::of(server.door(Door::Monitoring)?)
}

/// Gives every cluster its turn, `rounds` times; `run` starts the servers of the side with the number it gets.
pub fn take_turns(
    title: &str,
    sides: &[&ClusterSide],
    rounds: usize,
    mut run: impl FnMut(usize, &[Launch], &mut Cluster) -> Result<Sample>,
) -> Result<Vec<Series>> {
    let named: Vec<_> = sides.iter().map(|side| (side.name.as_str(), false)).collect();
    interleave(title, &named, rounds, |number| {
        let mut cluster = Cluster::default();
        let launches = sides.get(number).map(|side| side.servers.as_slice()).unwrap_or_default();
        run(number, launches, &mut cluster).map_err(|error| cluster.with_last_words(error))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str, arguments: &[&str]) -> Command {
        Command { program: program.into(), arguments: arguments.iter().map(|word| word.to_string()).collect() }
    }

    #[test]
    fn names_of_clusters() {
        let (ours, go) = (command("/bin/ours", &["--shards", "2"]), command("/usr/bin/go", &[]));
        assert_eq!(name_of(&[go.clone(), go.clone()]), "2 × go");
        assert_eq!(name_of(&[ours, go]), "ours --shards 2 + go");
    }

    #[test]
    fn cores_are_given_out_in_turn() {
        let cores = [Cores::parse("0").unwrap(), Cores::parse("1").unwrap()];
        let side = ClusterSide::new(&[command("a", &[]), command("b", &[]), command("c", &["-D"])], &cores).unwrap();
        let of = |number: usize| side.servers[number].cores.clone();
        assert_eq!((of(0), of(1), of(2)), (cores[0].clone(), cores[1].clone(), cores[0].clone()));
        assert_eq!(side.servers[2].arguments.last().map(String::as_str), Some("-D"));
    }
}
