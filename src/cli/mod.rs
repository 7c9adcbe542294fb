//! The command line: nats-server's flags, and a few of our own.
//!
//! [`parse`] tells what the operator asks for. [`Flags`] is what they typed and nothing else, so that
//! [`apply::over_config`] can lay it over a configuration file, explicit falsy values included.

use std::ffi::OsString;
use std::time::Duration;

use clap::ArgMatches;

use crate::options::Pin;
use crate::program::Program;

pub mod apply;
mod cluster;
mod rewrite;
mod spec;
pub mod unsupported;
mod usage;
mod values;

pub use cluster::ClusterFlagError;
pub use rewrite::SyntaxError;

/// What the operator typed. `None`: not a word about it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Flags {
    /// `-a`
    pub host: Option<String>,
    /// `-p`
    pub port: Option<i64>,
    /// `-n`
    pub server_name: Option<String>,
    /// `-P`
    pub pid_file: Option<String>,
    /// `-m`
    pub http_port: Option<i64>,
    /// `-ms`
    pub https_port: Option<i64>,
    /// `-c`
    pub config: Option<String>,
    /// `-t`
    pub test_config: bool,
    /// `-sl`
    pub signal: Option<String>,
    /// `--client_advertise`
    pub client_advertise: Option<String>,
    /// `--ports_file_dir`
    pub ports_file_dir: Option<String>,
    /// `-l`
    pub log_file: Option<String>,
    /// `-T`
    pub logtime: Option<bool>,
    /// `--logtime_utc`
    pub logtime_utc: Option<bool>,
    /// `-s`
    pub syslog: Option<bool>,
    /// `-r`
    pub remote_syslog: Option<String>,
    /// `-D`
    pub debug: Option<bool>,
    /// `-V`
    pub trace: Option<bool>,
    /// `-VV`
    pub verbose_trace: Option<bool>,
    /// `-DV`
    pub debug_and_trace: Option<bool>,
    /// `-DVV`
    pub debug_and_verbose_trace: Option<bool>,
    /// `--log_size_limit`
    pub log_size_limit: Option<i64>,
    /// `--max_traced_msg_len`
    pub max_traced_msg_len: Option<i64>,
    /// `-js`
    pub jetstream: Option<bool>,
    /// `--user`
    pub user: Option<String>,
    /// `--pass`
    pub password: Option<String>,
    /// `--auth`
    pub token: Option<String>,
    /// `--tls`
    pub tls: Option<bool>,
    /// `--tlsverify`
    pub tls_verify: Option<bool>,
    /// `--tlscert`
    pub tls_cert: Option<String>,
    /// `--tlskey`
    pub tls_key: Option<String>,
    /// `--tlscacert`
    pub tls_ca_cert: Option<String>,
    /// `--routes`
    pub routes: Option<String>,
    /// `--cluster`
    pub cluster: Option<String>,
    /// `--cluster_name`
    pub cluster_name: Option<String>,
    /// `--cluster_advertise`
    pub cluster_advertise: Option<String>,
    /// `--no_advertise`
    pub no_advertise: Option<bool>,
    /// `--connect_retries`
    pub connect_retries: Option<i64>,
    /// `--profile`
    pub profile: Option<i64>,
    /// `--shards`
    pub shards: Option<usize>,
    /// `--pin`
    pub pin: Option<Pin>,
    /// `--spin`
    pub spin: Option<Duration>,
    /// `--allow-unsupported`
    pub allow_unsupported: bool,
}

/// What the operator asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Request {
    /// Print this to standard output, and no more.
    Print(String),
    /// Go on: send a signal, test a configuration or start.
    Run(Box<Flags>),
}

/// Why the command line cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommandLineError {
    /// Something is wrong with a flag: the reference shows its usage then, and ends with exit code 0.
    #[error("{error}")]
    Flag {
        /// What is wrong.
        error: SyntaxError,
        /// The usage, for standard output.
        usage: String,
    },
    /// A word that is no flag must be `version` or `help`.
    #[error("unrecognized command: {}", crate::go_text::quote(.0))]
    Command(String),
    /// Arguments are text.
    #[error("argument {} is not valid UTF-8", crate::go_text::quote(.0))]
    NotUtf8(String),
}

/// Reads the arguments that follow the program's name.
pub fn parse(program: &Program, arguments: impl IntoIterator<Item = OsString>) -> Result<Request, CommandLineError> {
    let arguments = arguments
        .into_iter()
        .map(|argument| {
            argument.into_string().map_err(|raw| CommandLineError::NotUtf8(raw.to_string_lossy().into_owned()))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let rewritten =
        rewrite::rewrite(arguments).map_err(|error| CommandLineError::Flag { error, usage: usage::usage(program) })?;
    let matches = spec::command().no_binary_name(true).get_matches_from(rewritten);

    if is_on(&matches, "version") {
        return Ok(Request::Print(program.version_line()));
    }
    if is_on(&matches, "help") {
        return Ok(Request::Print(usage::usage(program)));
    }
    if is_on(&matches, "help_tls") {
        return Ok(Request::Print(usage::TLS_HELP.to_owned()));
    }
    if let Some(command) = matches.get_many::<String>(spec::POSITIONAL).and_then(|mut words| words.next()) {
        return match command.to_lowercase().as_str() {
            "version" => Ok(Request::Print(program.version_line())),
            "help" => Ok(Request::Print(usage::usage(program))),
            _ => Err(CommandLineError::Command(command.clone())),
        };
    }
    Ok(Request::Run(Box::new(flags(&matches))))
}

fn is_on(matches: &ArgMatches, name: &str) -> bool {
    matches.get_one::<bool>(name).copied().unwrap_or(false)
}

fn flags(matches: &ArgMatches) -> Flags {
    let text = |name: &str| matches.get_one::<String>(name).cloned();
    let int = |name: &str| matches.get_one::<i64>(name).copied();
    let truth = |name: &str| matches.get_one::<bool>(name).copied();
    Flags {
        host: text("addr"),
        port: int("port"),
        server_name: text("server_name"),
        pid_file: text("pid"),
        http_port: int("http_port"),
        https_port: int("https_port"),
        config: text("config"),
        test_config: is_on(matches, "t"),
        signal: text("signal"),
        client_advertise: text("client_advertise"),
        ports_file_dir: text("ports_file_dir"),
        log_file: text("log"),
        logtime: truth("logtime"),
        logtime_utc: truth("logtime_utc"),
        syslog: truth("syslog"),
        remote_syslog: text("remote_syslog"),
        debug: truth("debug"),
        trace: truth("trace"),
        verbose_trace: truth("VV"),
        debug_and_trace: truth("DV"),
        debug_and_verbose_trace: truth("DVV"),
        log_size_limit: int("log_size_limit"),
        max_traced_msg_len: int("max_traced_msg_len"),
        jetstream: truth("jetstream"),
        user: text("user"),
        password: text("pass"),
        token: text("auth"),
        tls: truth("tls"),
        tls_verify: truth("tlsverify"),
        tls_cert: text("tlscert"),
        tls_key: text("tlskey"),
        tls_ca_cert: text("tlscacert"),
        routes: text("routes"),
        cluster: text("cluster"),
        cluster_name: text("cluster_name"),
        cluster_advertise: text("cluster_advertise"),
        no_advertise: truth("no_advertise"),
        connect_retries: int("connect_retries"),
        profile: int("profile"),
        shards: matches.get_one::<usize>("shards").copied(),
        pin: matches.get_one::<Pin>("pin").cloned(),
        spin: matches.get_one::<Duration>("spin").copied(),
        allow_unsupported: is_on(matches, "allow-unsupported"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Request, CommandLineError> {
        parse(&Program::from_argv0(None), line.split_whitespace().map(OsString::from))
    }

    fn run(line: &str) -> Flags {
        match parsed(line) {
            Ok(Request::Run(flags)) => *flags,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_last_of_a_flag_and_its_synonyms_wins() {
        assert_eq!(run("-p 1 --port 2").port, Some(2));
        assert_eq!(run("-a x -net y --addr z -a w").host.as_deref(), Some("w"));
        assert_eq!(run("-D -D=false").debug, Some(false));
    }

    #[test]
    fn tells_absent_from_falsy() {
        let flags = run("-D=false -l= -p 0");
        assert_eq!(flags.debug, Some(false));
        assert_eq!(flags.log_file.as_deref(), Some(""));
        assert_eq!(flags.port, Some(0));
        assert_eq!(run(""), Flags::default());
    }

    #[test]
    fn values_may_look_like_flags() {
        let flags = run("-pass --user -p -1");
        assert_eq!(flags.password.as_deref(), Some("--user"));
        assert_eq!(flags.port, Some(-1));
    }

    #[test]
    fn our_own_flags_have_types() {
        let flags = run("--shards 4 --pin 0,2-3 --spin 30us --allow-unsupported");
        assert_eq!(flags.shards, Some(4));
        assert_eq!(flags.pin, Some(Pin::Cores(vec![0, 2, 3])));
        assert_eq!(flags.spin, Some(Duration::from_micros(30)));
        assert!(flags.allow_unsupported);
    }

    #[test]
    fn commands_come_after_version_and_help() {
        assert_eq!(parsed("-v foo"), Ok(Request::Print(format!("pinmesh: v{}\n", env!("CARGO_PKG_VERSION")))));
        assert_eq!(parsed("VERSION -bogus"), parsed("-v"));
        assert_eq!(parsed("foo"), Err(CommandLineError::Command("foo".to_owned())));
        assert!(matches!(parsed("Help"), Ok(Request::Print(_))));
    }
}
