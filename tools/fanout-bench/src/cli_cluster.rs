//! The command line of the modes that measure clusters.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};

use crate::cli::{self, flag, get, number};
use crate::cluster::{self, ClusterSide};
use crate::cpu::Cores;

/// The modes.
pub fn commands() -> [Command; 3] {
    [
        with_servers(
            Command::new("across")
                .about("Publishers on the first server of a cluster, subscribers on the others: processor time of each server")
                .args([cli::publishers(), cli::subscribers("1"), cli::subjects(), cli::payload()])
                .arg(flag("wildcard").help("Subscribe once, with a wildcard, instead of once a subject")),
        ),
        with_servers(
            Command::new("across-request")
                .about("Requesters on the first server of a cluster, responders on the others: percentiles of the round trip")
                .args([cli::payload()])
                .args(cli::dialogue()),
        ),
        with_servers(
            Command::new("interest")
                .about("A server with many subscriptions (subjects of 25 bytes) announces them to the last one, which joins: time, processor time, memory")
                .arg(number("subscriptions", "1000000").short('s').help("Subscriptions on the first server"))
                .arg(number("connections", "4").short('c').help("Connections that hold them")),
        ),
    ]
}

fn with_servers(command: Command) -> Command {
    command
        .args([
            servers("servers").required(true).help(
                "Servers of the cluster, in the order in which they start: programs, with arguments behind spaces, separated by \
                 commas; of any kind, mixed if you like",
            ),
            servers("versus").help("Servers of a second cluster; the two take turns"),
            Arg::new("server-cores")
                .long("server-cores")
                .value_name("CORES")
                .default_value("0")
                .value_parser(ValueParser::new(parse_core_lists))
                .help("Cores of the servers: 0 or 0,2 or 1-3, or any; with slashes (0/1) for one after the other"),
        ])
        .args(cli::run_arguments())
}

fn servers(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("SERVERS").value_parser(ValueParser::new(parse_servers))
}

fn parse_servers(text: &str) -> Result<Vec<cluster::Command>, String> {
    let command = |line: &str| {
        let mut words = line.split_whitespace();
        let program = PathBuf::from(words.next()?);
        Some(cluster::Command { program, arguments: words.map(String::from).collect() })
    };
    let commands: Option<Vec<_>> = text.split(',').map(command).collect();
    commands.ok_or_else(|| format!("{text:?} has a server without a name: give programs, separated by commas"))
}

fn parse_core_lists(text: &str) -> Result<Vec<Cores>, String> {
    text.split('/').map(Cores::parse).collect()
}

/// The clusters that are compared.
pub fn sides(matches: &ArgMatches) -> Result<Vec<ClusterSide>> {
    let cores: Vec<Cores> = get(matches, "server-cores")?;
    let mut sides = Vec::new();
    for name in ["servers", "versus"] {
        if let Some(commands) = matches.get_one::<Vec<cluster::Command>>(name) {
            if commands.len() < 2 {
                bail!("--{name}: one server is no cluster; give at least two, separated by a comma");
            }
            sides.push(ClusterSide::new(commands, &cores)?);
        }
    }
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_have_arguments() {
        let commands = parse_servers("a/ours --shards 2,nats-server").unwrap();
        assert_eq!(commands.len(), 2);
        assert_eq!(commands[0].program, PathBuf::from("a/ours"));
        assert_eq!(commands[0].arguments, ["--shards", "2"]);
        assert!(commands[1].arguments.is_empty());
        assert!(parse_servers("a,,b").is_err() && parse_servers("").is_err());
    }

    #[test]
    fn cores_by_server() {
        let cores = |text| Cores::parse(text).unwrap();
        assert_eq!(parse_core_lists("0/1-2"), Ok(vec![cores("0"), cores("1-2")]));
        assert_eq!(parse_core_lists("any"), Ok(vec![cores("any")]));
        assert!(parse_core_lists("0/x").is_err());
    }
}
