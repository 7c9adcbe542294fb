//! Flags of parts that this server does not have yet: an error that names the part, or a warning on request.

use std::fmt;

use super::Flags;

/// A flag that asks for a missing part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsupportedFlag {
    /// The flag as the usage shows it.
    pub flag: &'static str,
    /// The part, for people.
    pub part: &'static str,
    /// Whether `--allow-unsupported` may start a server without it. Not where the server would then be open to more
    /// than the operator asked for.
    pub may_be_ignored: bool,
}

impl fmt::Display for UnsupportedFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} needs {}, which this server does not support yet", self.flag, self.part)
    }
}

/// Flags of missing parts, one a line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", lines(.0))]
pub struct UnsupportedFlags(pub Vec<UnsupportedFlag>);

fn lines(flags: &[UnsupportedFlag]) -> String {
    let lines: Vec<String> = flags
        .iter()
        .map(|flag| {
            let hint = if flag.may_be_ignored { " (--allow-unsupported starts without it)" } else { "" };
            format!("{flag}{hint}")
        })
        .collect();
    lines.join("\n")
}

/// Refuses flags of missing parts; what `--allow-unsupported` lets pass comes back, to warn of.
pub fn check(flags: &Flags) -> Result<Vec<UnsupportedFlag>, UnsupportedFlags> {
    let typed = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
    let on = |truth: Option<bool>| truth.unwrap_or(false);
    let port = |port: Option<i64>| port.is_some_and(|port| port != 0);
    let candidates = [
        (port(flags.https_port), "-ms, --https_port", "TLS", true),
        (on(flags.syslog), "-s, --syslog", "logging to syslog", true),
        (typed(&flags.remote_syslog), "-r, --remote_syslog", "logging to syslog", true),
        (on(flags.jetstream), "-js, --jetstream", "JetStream", true),
        (port(flags.profile), "--profile", "a profiling port", true),
        (on(flags.tls), "--tls", "TLS", false),
        (on(flags.tls_verify), "--tlsverify", "TLS", false),
        (typed(&flags.tls_cert), "--tlscert", "TLS", false),
        (typed(&flags.tls_key), "--tlskey", "TLS", false),
        (typed(&flags.tls_ca_cert), "--tlscacert", "TLS", false),
    ];
    let unsupported: Vec<UnsupportedFlag> = candidates
        .into_iter()
        .filter(|(asked, ..)| *asked)
        .map(|(_, flag, part, may_be_ignored)| UnsupportedFlag { flag, part, may_be_ignored })
        .collect();
    if unsupported.iter().all(|flag| flag.may_be_ignored && flags.allow_unsupported) {
        Ok(unsupported)
    } else {
        Err(UnsupportedFlags(unsupported))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_part_unless_allowed() {
        let mut flags = Flags { https_port: Some(8222), jetstream: Some(true), ..Flags::default() };
        let text = check(&flags).map_err(|error| error.to_string());
        assert_eq!(
            text,
            Err("-ms, --https_port needs TLS, which this server does not support yet \
                 (--allow-unsupported starts without it)\n\
                 -js, --jetstream needs JetStream, which this server does not support yet \
                 (--allow-unsupported starts without it)"
                .to_owned())
        );
        flags.allow_unsupported = true;
        assert_eq!(check(&flags).map(|warnings| warnings.len()), Ok(2));
    }

    #[test]
    fn never_starts_in_clear_text_when_tls_was_asked_for() {
        let flags = Flags { tls_cert: Some("cert.pem".to_owned()), allow_unsupported: true, ..Flags::default() };
        assert!(matches!(check(&flags), Err(UnsupportedFlags(_))));
    }

    #[test]
    fn off_is_fine() {
        let flags = Flags {
            http_port: Some(0),
            https_port: Some(0),
            syslog: Some(false),
            jetstream: Some(false),
            tls: Some(false),
            ..Flags::default()
        };
        assert_eq!(check(&flags), Ok(Vec::new()));
    }
}
