//! The command line.

use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::builder::ValueParser;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

use crate::cli_cluster;
use crate::cluster::{self, ClusterSide};
use crate::cpu::Cores;
use crate::fanout::Timing;
use crate::rounds::Side;

/// The whole command line.
pub fn command() -> Command {
    Command::new("fanout-bench")
        .version(env!("CARGO_PKG_VERSION"))
        .about("Loads NATS servers, checks every message, and compares what the servers spend on it")
        .after_help(
            "Every run counts and checks what arrives: a lost, doubled, reordered or altered message is an error (exit code 1).\n\
             Processor time is the kernel's account of the server process over the measured part of a run.",
        )
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(with_common(
            Command::new("fanout")
                .about("M publishers, N subscribers, K subjects: every subscriber gets every message")
                .args([publishers(), subscribers("1"), subjects(), payload()])
                .arg(flag("wildcard").help("Subscribe once, with a wildcard, instead of once a subject")),
        ))
        .subcommand(with_common(
            Command::new("unseen")
                .about("Every message goes to a subject that was never used before; subscribers use a wildcard")
                .args([publishers(), subscribers("1"), payload()]),
        ))
        .subcommand(with_common(
            Command::new("queue")
                .about("Queue groups: every message exactly once per group")
                .args([publishers(), subjects(), payload()])
                .arg(number("groups", "1").help("Queue groups"))
                .arg(number("members", "4").help("Members of each group")),
        ))
        .subcommand(with_common(
            Command::new("request")
                .about("Request and reply: percentiles of the round trip")
                .args([payload()])
                .args(dialogue()),
        ))
        .subcommand(with_common(
            Command::new("churn")
                .about("A steady publisher and its subscriber, alone and beside connections that SUB and UNSUB inboxes")
                .args([subscribers("1"), payload()])
                .arg(number("connections", "4").short('c').help("Connections that subscribe and unsubscribe"))
                .arg(
                    number("rate", "20000")
                        .value_parser(value_parser!(u32))
                        .help("Pairs of SUB and UNSUB a second, all connections together; 0 for as many as possible"),
                ),
        ))
        .subcommand(with_common(
            Command::new("idle")
                .about("Connections that do nothing: memory of the server for each")
                .arg(number("connections", "10000").short('c').help("Connections")),
        ))
        .subcommand(with_common(
            Command::new("subs")
                .about("A large subscription table (subjects of 25 bytes): memory and time for each")
                .arg(number("subscriptions", "1000000").short('s').help("Subscriptions"))
                .arg(number("connections", "4").short('c').help("Connections that hold them")),
        ))
        .subcommand(with_common(
            Command::new("suite")
                .about("All cases that the project holds itself to, with what is demanded and what was reached")
                .long_about(
                    "All cases that the project holds itself to, with what is demanded and what was reached.\n\n\
                     Needs --server and --versus; the floor takes part where a case asks for it. The cases with shards start \
                     the server with `--shards 1` and `--shards 2` (those of clusters with `--shards 4`) behind --server-args.",
                )
                .args([
                    flag("cluster").help("The cases of clusters instead: two servers of each kind"),
                    flag("quick").help("Short runs, two pairs, a tenth of the connections and subscriptions"),
                ]),
        ))
        .subcommands(cli_cluster::commands())
        .subcommand(
            Command::new("relay")
                .about("The relay that --floor starts: copies one publisher's bytes to every subscriber, parses nothing")
                .hide(true)
                .arg(number("subscribers", "1"))
                .arg(size("buffer", "64K")),
        )
}

fn with_common(command: Command) -> Command {
    command
        .args([
            path("server").help("Server to start for every run").conflicts_with("url"),
            text("server-args").help("Further arguments of the server, separated by spaces").requires("server"),
            path("versus").help("Second server; the two take turns"),
            text("versus-args").help("Further arguments of the second server").requires("versus"),
            flag("floor")
                .help("Third in turn: a relay that passes the same bytes on and parses nothing (one publisher only)"),
            size("floor-buffer", "64K").help("Bytes that the relay reads at a time"),
            text("url").help("Server that runs already, nats://HOST:PORT"),
            Arg::new("server-pid")
                .long("server-pid")
                .value_name("PID")
                .value_parser(value_parser!(u32))
                .requires("url")
                .help("Its process, for the account of processor time and memory"),
            cores("server-cores", "0").help("Cores of the servers that are started: 0 or 0,2 or 1-3, or any"),
        ])
        .args(run_arguments())
}

/// What every run needs to know, whatever it measures.
pub fn run_arguments() -> [Arg; 8] {
    [
        cores("load-cores", "1").help("Cores of the load generator"),
        number("pairs", "5").help("Runs of each side"),
        seconds("duration", "2").help("Seconds of a run that are measured"),
        seconds("warmup", "0.5").help("Seconds before that"),
        size("window", "1M").help("Bytes that may be published and not yet received by the slowest subscriber"),
        size("batch", "32K").help("Bytes that a publisher hands to the kernel in one write"),
        seconds("patience", "10").help("Seconds that a server may stand still before the run counts as failed"),
        path("json").value_name("FILE").help("Write all samples there"),
    ]
}

/// How many publish.
pub fn publishers() -> Arg {
    Arg::new("publishers")
        .long("publishers")
        .short('m')
        .value_name("N")
        .default_value("1")
        .value_parser(value_parser!(u16).range(1..))
        .help("Publishers")
}

/// How many subscribe.
pub fn subscribers(default: &'static str) -> Arg {
    number("subscribers", default).short('n').help("Subscribers")
}

/// How many subjects there are.
pub fn subjects() -> Arg {
    number("subjects", "1").short('k').help("Subjects; publishers use them one after the other")
}

/// How large messages are.
pub fn payload() -> Arg {
    size("payload", "16").short('p').help("Bytes of a message, at least 8: they say who published it as which message")
}

/// Who asks and who answers.
pub fn dialogue() -> [Arg; 5] {
    [
        number("requesters", "1").help("Connections that ask"),
        number("responders", "1").help("Connections that answer, in one queue group"),
        number("in-flight", "1").short('w').help("Requests that each requester has in flight"),
        flag("inbox-each").help("Subscribe for each request, instead of once with a wildcard for all"),
        flag("spin").help("Poll without sleeping: takes the load's own wake-up out of the times"),
    ]
}

/// Something that is wanted or not.
pub fn flag(name: &'static str) -> Arg {
    Arg::new(name).long(name).action(ArgAction::SetTrue)
}

fn text(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("TEXT").allow_hyphen_values(true)
}

fn path(name: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("PATH").value_parser(value_parser!(PathBuf))
}

/// A number above 0.
pub fn number(name: &'static str, default: &'static str) -> Arg {
    Arg::new(name).long(name).value_name("N").default_value(default).value_parser(value_parser!(u32).range(1..))
}

fn with_parser(name: &'static str, value: &'static str, default: &'static str, parser: impl Into<ValueParser>) -> Arg {
    Arg::new(name).long(name).value_name(value).default_value(default).value_parser(parser.into())
}

fn size(name: &'static str, default: &'static str) -> Arg {
    with_parser(name, "BYTES", default, ValueParser::new(parse_size))
}

fn cores(name: &'static str, default: &'static str) -> Arg {
    with_parser(name, "CORES", default, ValueParser::new(Cores::parse))
}

fn seconds(name: &'static str, default: &'static str) -> Arg {
    with_parser(name, "SECONDS", default, ValueParser::new(parse_seconds))
}

fn parse_size(text: &str) -> Result<usize, String> {
    let upper = text.to_ascii_uppercase();
    let (digits, factor) = match upper.strip_suffix('K') {
        Some(digits) => (digits, 1 << 10),
        None => upper.strip_suffix('M').map_or((upper.as_str(), 1), |digits| (digits, 1 << 20)),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(factor)).filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| format!("{text:?} is not a size: give a number above 0, with K or M if you like"))
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds =
        text.trim_end_matches('s').parse::<f64>().ok().and_then(|value| Duration::try_from_secs_f64(value).ok());
    seconds.ok_or_else(|| format!("{text:?} is not a number of seconds"))
}

/// A value that has a default, or was checked to be there.
pub fn get<T: Clone + Send + Sync + 'static>(matches: &ArgMatches, name: &str) -> Result<T> {
    matches.get_one::<T>(name).cloned().with_context(|| format!("--{name} is missing"))
}

/// A number of things.
pub fn count(matches: &ArgMatches, name: &str) -> Result<usize> {
    Ok(usize::try_from(get::<u32>(matches, name)?)?)
}

/// What all modes have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// How long runs last.
    pub timing: Timing,
    /// Cores of the load generator.
    pub load_cores: Cores,
    /// Bytes in flight.
    pub window: usize,
    /// Bytes of a write.
    pub batch: usize,
    /// How long a server may stand still.
    pub patience: Duration,
    /// Where the samples go.
    pub json: Option<PathBuf>,
}

impl Common {
    /// Reads the arguments that all modes have in common.
    pub fn read(matches: &ArgMatches) -> Result<Self> {
        let timing = Timing {
            warmup: get(matches, "warmup")?,
            measured: get(matches, "duration")?,
            rounds: count(matches, "pairs")?,
        };
        Ok(Common {
            timing,
            load_cores: get(matches, "load-cores")?,
            window: get(matches, "window")?,
            batch: get(matches, "batch")?,
            patience: get(matches, "patience")?,
            json: matches.get_one::<PathBuf>("json").cloned(),
        })
    }
}

/// What is compared; the first is the server under test.
pub fn sides(matches: &ArgMatches) -> Result<Vec<Side>> {
    let mut sides = Vec::new();
    if let Some(url) = matches.get_one::<String>("url") {
        sides.push(Side::running(resolve(url)?, matches.get_one::<u32>("server-pid").copied()));
    }
    for (program, arguments) in [("server", "server-args"), ("versus", "versus-args")] {
        if matches.contains_id(program) {
            sides.push(started(matches, program, arguments, &[])?);
        }
    }
    if matches.get_flag("floor") {
        sides.push(floor(matches)?);
    }
    if sides.is_empty() {
        bail!("nothing to measure: give --server PATH, --url nats://HOST:PORT or --floor");
    }
    Ok(sides)
}

/// The side that the arguments `program` and `arguments` describe, with `more` arguments of ours.
pub fn started(matches: &ArgMatches, program: &str, arguments: &str, more: &[&str]) -> Result<Side> {
    let words = words(matches, arguments, more);
    Ok(Side::server(&get::<PathBuf>(matches, program)?, &words, &get(matches, "server-cores")?))
}

/// Two servers of that kind, as a cluster, with `more` arguments of ours.
pub fn started_twice(matches: &ArgMatches, program: &str, arguments: &str, more: &[&str]) -> Result<ClusterSide> {
    let command = cluster::Command { program: get(matches, program)?, arguments: words(matches, arguments, more) };
    ClusterSide::new(&[command.clone(), command], &[get(matches, "server-cores")?])
}

fn words(matches: &ArgMatches, arguments: &str, more: &[&str]) -> Vec<String> {
    let text = matches.get_one::<String>(arguments).map(String::as_str).unwrap_or_default();
    text.split_whitespace().chain(more.iter().copied()).map(String::from).collect()
}

/// The floor relay as a side.
pub fn floor(matches: &ArgMatches) -> Result<Side> {
    Ok(Side::floor(&get(matches, "server-cores")?, get(matches, "floor-buffer")?))
}

fn resolve(url: &str) -> Result<SocketAddr> {
    let host = url.strip_prefix("nats://").unwrap_or(url).trim_end_matches('/');
    let mut addresses = host.to_socket_addrs().with_context(|| format!("--url {url}: expected nats://HOST:PORT"))?;
    addresses.next().with_context(|| format!("--url {url}: the host has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn sizes_and_seconds() {
        assert_eq!(parse_size("64K"), Ok(65536));
        assert_eq!(parse_size("2m"), Ok(2 << 20));
        assert!(parse_size("0").is_err() && parse_size("x").is_err() && parse_size("99999999999999999999").is_err());
        assert_eq!(parse_seconds("0.5s"), Ok(Duration::from_millis(500)));
        assert!(parse_seconds("-1").is_err());
    }
}
