//! What `--help` and `--help_tls` print: the reference's layout, and one further group for our own flags.

use crate::program::Program;

const USAGE: &str = "
Usage: NAME [options]

Server Options:
    -a, --addr, --net <host>         Bind to host address (default: 0.0.0.0)
    -p, --port <port>                Use port for clients (default: 4222)
    -n, --name
        --server_name <server_name>  Server name (default: auto)
    -P, --pid <file>                 File to store PID
    -m, --http_port <port>           Use port for http monitoring
    -ms,--https_port <port>          Use port for https monitoring
    -c, --config <file>              Configuration file
    -t                               Test configuration and exit
    -sl,--signal <signal>[=<pid>]    Send signal to NAME process (ldm, stop, quit, term, reopen, reload)
                                     <pid> can be either a PID (e.g. 1) or the path to a PID file (e.g. /var/run/NAME.pid)
        --client_advertise <string>  Client URL to advertise to other servers
        --ports_file_dir <dir>       Creates a ports file in the specified directory (<executable_name>_<pid>.ports).

Logging Options:
    -l, --log <file>                 File to redirect log output
    -T, --logtime                    Timestamp log entries (default: true)
        --logtime_utc                Timestamps in UTC instead of local timezone (default: false)
    -s, --syslog                     Log to syslog or windows event log
    -r, --remote_syslog <addr>       Syslog server addr (udp://localhost:514)
    -D, --debug                      Enable debugging output
    -V, --trace                      Trace the raw protocol
    -VV                              Verbose trace (traces system account as well)
    -DV                              Debug and trace
    -DVV                             Debug and verbose trace (traces system account as well)
        --log_size_limit <limit>     Logfile size limit (default: auto)
        --max_traced_msg_len <len>   Maximum printable length for traced messages (default: unlimited)

JetStream Options:
    -js, --jetstream                 Enable JetStream functionality
    -sd, --store_dir <dir>           Set the storage directory

Authorization Options:
        --user <user>                User required for connections
        --pass <password>            Password required for connections
        --auth <token>               Authorization token required for connections

TLS Options:
        --tls                        Enable TLS, do not verify clients (default: false)
        --tlscert <file>             Server certificate file
        --tlskey <file>              Private key for server certificate
        --tlsverify                  Enable TLS, verify client certificates
        --tlscacert <file>           Client certificate CA for verification

Cluster Options:
        --routes <rurl-1, rurl-2>    Routes to solicit and connect
        --cluster <cluster-url>      Cluster URL for solicited routes
        --cluster_name <string>      Cluster Name, if not set one will be dynamically generated
        --no_advertise <bool>        Do not advertise known cluster information to clients
        --cluster_advertise <string> Cluster URL to advertise to other servers
        --connect_retries <number>   For implicit routes, number of connect retries
        --cluster_listen <url>       Cluster url from which members can solicit routes

Profiling Options:
        --profile <port>             Profiling HTTP port

Shard Options:
        --shards <number>            Number of shards, 1 to 256 (default: one for each usable CPU)
        --pin <auto|off|cores>       Pin shards to cores, e.g. 0,2,4-7 (default: auto)
        --spin <duration>            Look for work before sleeping, e.g. 20us; 0 is never (default: auto)
        --allow-unsupported          Start with a warning where the configuration needs parts not yet supported

Common Options:
    -h, --help                       Show this message
    -v, --version                    Show version
        --help_tls                   TLS help

";

/// What `--help` prints, and what follows every error in the flags.
pub fn usage(program: &Program) -> String {
    USAGE.replace("NAME", program.name)
}

/// What `--help_tls` prints.
pub const TLS_HELP: &str = "\nTLS is not supported yet: there are no options to explain.\n\n";

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;
    use crate::cli::spec::FLAGS;

    #[test]
    fn every_flag_is_explained() {
        let usage = usage(&Program::from_argv0(Some(OsStr::new("pinmesh"))));
        for name in FLAGS.iter().flat_map(|spec| spec.names) {
            let found = usage.split([' ', ',', '\n']).any(|word| word.trim_start_matches('-') == *name);
            assert!(found, "--{name} is missing in the usage");
        }
        assert!(!usage.contains("NAME"));
    }
}
