//! The two servers a test can talk to, and where their programs are found.

use std::env;
use std::fmt;
use std::path::PathBuf;

use crate::server::Builder;

/// Which server a test talks to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The server of this project.
    Ours,
    /// The `nats-server` whose behaviour is the measure.
    Reference,
}

impl Side {
    /// Both sides, for tests that compare them.
    pub const BOTH: [Side; 2] = [Side::Ours, Side::Reference];

    /// The program of this side: for ours `PINMESH_BIN`, or else the one that cargo built for the running test;
    /// for the reference `NATS_SERVER`.
    ///
    /// # Panics
    /// When there is none, with what to do about it.
    pub fn program(self) -> PathBuf {
        match self {
            Side::Ours => match env::var_os("PINMESH_BIN").or_else(|| env::var_os("CARGO_BIN_EXE_pinmesh")) {
                Some(path) => path.into(),
                None => panic!(
                    "no pinmesh program to test: set PINMESH_BIN, or run this as an integration test of the package \
                     pinmesh through cargo"
                ),
            },
            Side::Reference => match env::var_os("NATS_SERVER") {
                Some(path) => path.into(),
                None => {
                    panic!("no reference nats-server: NATS_SERVER is not set; run tools/test, which installs it")
                }
            },
        }
    }

    /// A server of this side, to be configured and started.
    pub fn server(self) -> Builder {
        Builder::new(self)
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Ours => "pinmesh",
            Side::Reference => "nats-server",
        })
    }
}
