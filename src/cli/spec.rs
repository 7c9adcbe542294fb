//! The list of flags, and the clap command made from it.
//!
//! clap knows every flag, single letters included, as a long option: Go's flags have one dash or two, and clap's short
//! options would bundle. [`super::rewrite`] turns Go's forms into the one form that this command reads.

use clap::{Arg, ArgAction, Command};

use super::values;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing, or a truth after `=`.
    Bool,
    /// A 64-bit number.
    Int,
    /// Any text.
    Text,
    /// `--shards`
    Shards,
    /// `--pin`
    Pin,
    /// `--spin`
    Spin,
}

impl Kind {
    /// Whether `text` is a value of this kind.
    pub fn check(self, text: &str) -> Result<(), values::ValueError> {
        match self {
            Kind::Bool => values::bool(text).map(drop),
            Kind::Int => values::int(text).map(drop),
            Kind::Text => Ok(()),
            Kind::Shards => values::shards(text).map(drop),
            Kind::Pin => values::pin(text).map(drop),
            Kind::Spin => values::spin(text).map(drop),
        }
    }
}

/// One flag: its names, of which the first is the key in [`super::Flags`], and what it takes.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Synonyms.
    pub names: &'static [&'static str],
    /// What it takes.
    pub kind: Kind,
}

const fn flag(names: &'static [&'static str], kind: Kind) -> Spec {
    Spec { names, kind }
}

/// Every flag there is.
pub const FLAGS: &[Spec] = &[
    flag(&["addr", "a", "net"], Kind::Text),
    flag(&["port", "p"], Kind::Int),
    flag(&["server_name", "n", "name"], Kind::Text),
    flag(&["pid", "P"], Kind::Text),
    flag(&["http_port", "m"], Kind::Int),
    flag(&["https_port", "ms"], Kind::Int),
    flag(&["config", "c"], Kind::Text),
    flag(&["t"], Kind::Bool),
    flag(&["signal", "sl"], Kind::Text),
    flag(&["client_advertise"], Kind::Text),
    flag(&["ports_file_dir"], Kind::Text),
    flag(&["log", "l"], Kind::Text),
    flag(&["logtime", "T"], Kind::Bool),
    flag(&["logtime_utc"], Kind::Bool),
    flag(&["syslog", "s"], Kind::Bool),
    flag(&["remote_syslog", "r"], Kind::Text),
    flag(&["debug", "D"], Kind::Bool),
    flag(&["trace", "V"], Kind::Bool),
    flag(&["VV"], Kind::Bool),
    flag(&["DV"], Kind::Bool),
    flag(&["DVV"], Kind::Bool),
    flag(&["log_size_limit"], Kind::Int),
    flag(&["max_traced_msg_len"], Kind::Int),
    flag(&["jetstream", "js"], Kind::Bool),
    flag(&["store_dir", "sd"], Kind::Text),
    flag(&["user"], Kind::Text),
    flag(&["pass"], Kind::Text),
    flag(&["auth"], Kind::Text),
    flag(&["tls"], Kind::Bool),
    flag(&["tlsverify"], Kind::Bool),
    flag(&["tlscert"], Kind::Text),
    flag(&["tlskey"], Kind::Text),
    flag(&["tlscacert"], Kind::Text),
    flag(&["routes"], Kind::Text),
    flag(&["cluster", "cluster_listen"], Kind::Text),
    flag(&["cluster_name"], Kind::Text),
    flag(&["cluster_advertise"], Kind::Text),
    flag(&["no_advertise"], Kind::Bool),
    flag(&["connect_retries"], Kind::Int),
    flag(&["profile"], Kind::Int),
    flag(&["help", "h"], Kind::Bool),
    flag(&["version", "v"], Kind::Bool),
    flag(&["help_tls"], Kind::Bool),
    flag(&["shards"], Kind::Shards),
    flag(&["pin"], Kind::Pin),
    flag(&["spin"], Kind::Spin),
    flag(&["allow-unsupported"], Kind::Bool),
];

/// The key under which clap keeps what is not a flag.
pub const POSITIONAL: &str = "command";

/// The flag of this name.
pub fn find(name: &str) -> Option<&'static Spec> {
    FLAGS.iter().find(|spec| spec.names.contains(&name))
}

/// The clap command that reads rewritten arguments. Help and version are ours: clap's cannot have Go's layout.
pub fn command() -> Command {
    let command = Command::new("pinmesh")
        .disable_help_flag(true)
        .disable_version_flag(true)
        .args_override_self(true)
        .arg(Arg::new(POSITIONAL).last(true).num_args(0..));
    FLAGS.iter().filter_map(arg).fold(command, Command::arg)
}

fn arg(spec: &Spec) -> Option<Arg> {
    let (&name, aliases) = spec.names.split_first()?;
    let arg = Arg::new(name).long(name).aliases(aliases).action(ArgAction::Set).allow_hyphen_values(true);
    Some(match spec.kind {
        Kind::Bool => arg.num_args(0..=1).require_equals(true).default_missing_value("true").value_parser(values::bool),
        Kind::Int => arg.value_parser(values::int),
        Kind::Text => arg,
        Kind::Shards => arg.value_parser(values::shards),
        Kind::Pin => arg.value_parser(values::pin),
        Kind::Spin => arg.value_parser(values::spin),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_is_sound_and_names_are_unique() {
        command().debug_assert();
        let mut names: Vec<&str> = FLAGS.iter().flat_map(|spec| spec.names).copied().collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
