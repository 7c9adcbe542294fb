//! The same bytes to our server and to the reference, and a comparison of all that comes back.

use std::env;

use anyhow::{Context, Result, ensure};
use pinmesh_harness::{Client, Server, Side};

/// The reference reads this much first from a connection; its answer to what lies across the border can depend on it.
pub const ONE_READ: usize = 500;

/// Both servers, with the same configuration.
pub struct Pair {
    pub ours: Server,
    pub reference: Server,
}

/// From `PINMESH_SEED`, to repeat a failure, or random.
pub fn seed() -> u64 {
    match env::var("PINMESH_SEED") {
        Ok(seed) => seed.parse().expect("PINMESH_SEED is a number"),
        Err(_) => fastrand::u64(..),
    }
}

impl Pair {
    /// Starts both.
    pub fn start(shards: usize, config: &str) -> Pair {
        let start = |side: Side| {
            let builder = side.server().shards(shards);
            if config.is_empty() { builder.start() } else { builder.config(config).start() }
        };
        Pair { ours: start(Side::Ours), reference: start(Side::Reference) }
    }

    /// Both answer `stream`, sent in one piece and followed by a half-close, alike.
    pub fn compare(&self, stream: &[u8]) -> Result<()> {
        self.both(stream, |client| {
            // A server that has already closed does not take all of it.
            let _ = client.send(stream);
            client.half_close()
        })
    }

    /// Both answer `stream`, sent in single bytes and followed by a half-close, alike.
    pub fn compare_dripped(&self, stream: &[u8]) -> Result<()> {
        self.both(stream, |client| {
            for byte in stream.chunks(1) {
                if client.send(byte).is_err() {
                    break;
                }
            }
            client.half_close()
        })
    }

    /// Both answer `stream` alike and close without being asked to.
    pub fn compare_until_closed(&self, stream: &[u8]) -> Result<()> {
        self.both(stream, |client| {
            let _ = client.send(stream);
            Ok(())
        })
    }

    fn both(&self, stream: &[u8], send: impl Fn(&mut Client) -> Result<()>) -> Result<()> {
        let answer = |server: &Server| -> Result<String> {
            let mut client = Client::dial(server.address())?;
            // The INFO comes first; what is sent before it is read must not depend on when it is.
            client = client.greeted()?;
            send(&mut client)?;
            let answer = client.read_to_close().with_context(|| format!("{} does not close", server.side()))?;
            Ok(normal(&answer))
        };
        let asked = || format!("stream: {}", printable(stream));
        let (ours, theirs) = (answer(&self.ours).with_context(asked)?, answer(&self.reference).with_context(asked)?);
        ensure!(ours == theirs, "{}\n     ours: {ours}\nreference: {theirs}", asked());
        Ok(())
    }
}

/// An answer with its INFO lines emptied: they name the server.
pub fn normal(answer: &[u8]) -> String {
    let mut lines = Vec::new();
    for line in answer.split_inclusive(|&byte| byte == b'\n') {
        lines.extend_from_slice(if line.starts_with(b"INFO {") { b"INFO ...\r\n" } else { line });
    }
    printable(&lines)
}

/// Bytes as they can be shown and pasted into a test.
pub fn printable(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}
