//! Flags over configuration: what was typed beats what a file says.

use std::path::PathBuf;

use super::{ClusterFlagError, Flags, cluster};
use crate::options::Options;

/// Lays the flags over options that come from a file or are the defaults.
pub fn over_config(flags: &Flags, options: &mut Options) -> Result<(), ClusterFlagError> {
    let Options { logging, auth, shards, .. } = options;

    set(&mut options.host, flags.host.clone());
    set(&mut options.port, flags.port);
    set(&mut options.http_port, flags.http_port);
    set(&mut options.server_name, flags.server_name.clone().map(non_empty));
    set(&mut options.pid_file, flags.pid_file.clone().map(path));
    set(&mut options.client_advertise, flags.client_advertise.clone().map(non_empty));
    set(&mut options.ports_file_dir, flags.ports_file_dir.clone().map(path));
    set(&mut options.config_file, flags.config.clone().map(path));

    set(&mut logging.log_file, flags.log_file.clone().map(path));
    set(&mut logging.logtime, flags.logtime);
    set(&mut logging.logtime_utc, flags.logtime_utc);
    set(&mut logging.debug, flags.debug);
    set(&mut logging.trace, flags.trace);
    set(&mut logging.log_size_limit, flags.log_size_limit);
    set(&mut logging.max_traced_msg_len, flags.max_traced_msg_len);
    // The combined flags come last, in this order, wherever they stand.
    set(&mut logging.debug, flags.debug_and_trace);
    set(&mut logging.trace, flags.debug_and_trace);
    set(&mut logging.debug, flags.debug_and_verbose_trace);
    set(&mut logging.trace, flags.debug_and_verbose_trace);
    set(&mut logging.trace_verbose, flags.debug_and_verbose_trace);
    set(&mut logging.trace, flags.verbose_trace);
    set(&mut logging.trace_verbose, flags.verbose_trace);

    set(&mut auth.user, flags.user.clone().map(non_empty));
    set(&mut auth.password, flags.password.clone().map(non_empty));
    set(&mut auth.token, flags.token.clone().map(non_empty));

    set(&mut shards.count, flags.shards.map(Some));
    set(&mut shards.pin, flags.pin.clone());
    set(&mut shards.spin, flags.spin.map(Some));

    cluster::over_config(flags, &mut options.cluster)
}

pub(super) fn set<T>(option: &mut T, typed: Option<T>) {
    if let Some(value) = typed {
        *option = value;
    }
}

/// An empty text takes back what the file says.
pub(super) fn non_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn path(text: String) -> Option<PathBuf> {
    non_empty(text).map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(change: impl FnOnce(&mut Flags)) -> Options {
        let mut options = Options::default();
        options.logging.debug = true;
        options.logging.log_file = Some(PathBuf::from("server.log"));
        options.port = 5222;
        let mut flags = Flags::default();
        change(&mut flags);
        over_config(&flags, &mut options).expect("nothing about a cluster");
        options
    }

    #[test]
    fn silence_changes_nothing() {
        let options = applied(|_| {});
        assert!(options.logging.debug);
        assert_eq!(options.port, 5222);
        assert!(options.logging.log_file.is_some());
    }

    #[test]
    fn falsy_values_count() {
        let options = applied(|flags| {
            flags.debug = Some(false);
            flags.log_file = Some(String::new());
            flags.port = Some(0);
        });
        assert!(!options.logging.debug);
        assert_eq!(options.logging.log_file, None);
        assert_eq!(options.port, 0);
    }

    #[test]
    fn combined_flags_beat_plain_ones() {
        let logging = applied(|flags| {
            flags.debug = Some(false);
            flags.debug_and_trace = Some(true);
        })
        .logging;
        assert!(logging.debug && logging.trace && !logging.trace_verbose);

        let logging = applied(|flags| flags.debug_and_trace = Some(false)).logging;
        assert!(!logging.debug && !logging.trace);

        let logging = applied(|flags| {
            flags.debug_and_verbose_trace = Some(true);
            flags.verbose_trace = Some(false);
        })
        .logging;
        assert!(logging.debug && !logging.trace && !logging.trace_verbose);
    }
}
