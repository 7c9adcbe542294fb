//! Who we are: the name and version that messages, help, log and INFO show.

use std::ffi::OsStr;
use std::path::Path;

/// Release of nats-server whose behaviour this server has; what INFO's `version` says, because clients compare it.
pub const COMPATIBLE_VERSION: &str = "2.15.1";

/// The name under which people replace nats-server.
const REFERENCE_NAME: &str = "nats-server";
/// The name of this program.
const OWN_NAME: &str = "pinmesh";

/// The program as it was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Name in messages: `nats-server` when started as that, else `pinmesh`.
    pub name: &'static str,
    /// Version that goes with the name, without a leading `v`.
    pub version: &'static str,
    /// File name of the program as started: names the ports file, and the process for `--signal`.
    pub file_name: String,
}

impl Program {
    /// Tells from the first word of the command line who we are.
    pub fn from_argv0(argv0: Option<&OsStr>) -> Program {
        let file_name = argv0
            .and_then(|path| Path::new(path).file_name())
            .map_or_else(|| OWN_NAME.to_owned(), |name| name.to_string_lossy().into_owned());
        if file_name == REFERENCE_NAME {
            Program { name: REFERENCE_NAME, version: COMPATIBLE_VERSION, file_name }
        } else {
            Program { name: OWN_NAME, version: env!("CARGO_PKG_VERSION"), file_name }
        }
    }

    /// What `--version` prints.
    pub fn version_line(&self) -> String {
        format!("{}: v{}\n", self.name, self.version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn started_as(argv0: &str) -> Program {
        Program::from_argv0(Some(OsStr::new(argv0)))
    }

    #[test]
    fn takes_the_reference_name_only_when_started_under_it() {
        assert_eq!(started_as("/usr/bin/nats-server").version_line(), "nats-server: v2.15.1\n");
        assert_eq!(started_as("./pinmesh").name, "pinmesh");
        assert_eq!(started_as("nats-server-2").name, "pinmesh");
        assert_eq!(started_as("nats-server-2").file_name, "nats-server-2");
        assert_eq!(Program::from_argv0(None).file_name, "pinmesh");
    }
}
