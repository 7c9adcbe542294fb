//! What the bodies share: a running server, connections on random shards, a seed to repeat a failure with.

use std::env;
use std::net::SocketAddr;
use std::sync::LazyLock;

use anyhow::{Context, Result, ensure};
use fastrand::Rng;
use pinmesh_harness::client::PLAIN;
use pinmesh_harness::{Client, Server, Side};

/// Fixes the seed of every body, to repeat a failure.
const SEED: &str = "PINMESH_SEED";
/// Multiplies the rounds of every body, to look for what happens once in a million.
const EFFORT: &str = "PINMESH_EFFORT";
/// The largest payload that [`payload`] hands out.
pub const LARGEST: usize = 1024 * 1024;
/// The reference runs this part of the rounds: there they test the body, not the server.
const REFERENCE_PART: usize = 4;
const DECOYS: usize = 24;

/// A server under test and the means to be unpredictable to it.
pub struct Arena {
    /// The server.
    pub server: Server,
    /// Where the connections go whose received messages are checked: the server, or a relay in front of it.
    pub observed: SocketAddr,
    /// Every random decision comes from here.
    pub rng: Rng,
    decoys: Vec<Client>,
}

/// Runs `body` against a fresh server.
pub fn run(side: Side, shards: usize, config: &str, body: impl Fn(&mut Arena) -> Result<()>) {
    let seed = match env::var(SEED) {
        Ok(seed) => seed.parse().expect("PINMESH_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    let mut arena = Arena::new(side, shards, config, seed);
    if let Err(error) = body(&mut arena) {
        panic!("{side}, {shards} shards, {SEED}={seed}: {error:#}");
    }
}

impl Arena {
    /// Starts a server.
    pub fn new(side: Side, shards: usize, config: &str, seed: u64) -> Arena {
        let mut builder = side.server().shards(shards);
        if !config.is_empty() {
            builder = builder.config(config);
        }
        let server = builder.start();
        let observed = server.address();
        Arena { server, observed, rng: Rng::with_seed(seed), decoys: Vec::new() }
    }

    /// How many rounds to run of a body that wants `full`.
    pub fn rounds(&self, full: usize) -> usize {
        let effort: usize = env::var(EFFORT).map_or(1, |effort| effort.parse().expect("PINMESH_EFFORT is a number"));
        match self.server.side() {
            Side::Ours => full * effort,
            Side::Reference => full * effort / REFERENCE_PART,
        }
    }

    /// Connections that publish, or whose answers are of no interest, on random shards.
    pub fn clients(&mut self, count: usize) -> Result<Vec<Client>> {
        self.scatter(count, self.server.address(), PLAIN)
    }

    /// Connections whose messages are checked, on random shards.
    pub fn observers(&mut self, count: usize) -> Result<Vec<Client>> {
        self.scatter(count, self.observed, PLAIN)
    }

    /// One connection with CONNECT options of its own, whose messages are checked.
    pub fn observer_with(&mut self, options: &str) -> Result<Client> {
        Ok(self.scatter(1, self.observed, options)?.remove(0))
    }

    /// The server places a connection where the load is least: decoys that come and go in between make that a
    /// matter of chance.
    fn scatter(&mut self, count: usize, address: SocketAddr, options: &str) -> Result<Vec<Client>> {
        let mut clients = Vec::with_capacity(count);
        while clients.len() < count {
            match self.rng.u8(0..10) {
                0..3 if self.decoys.len() < DECOYS => self.decoys.push(Client::connect(self.server.address())?),
                3..6 if !self.decoys.is_empty() => {
                    let leaving = self.rng.usize(0..self.decoys.len());
                    self.decoys.swap_remove(leaving);
                }
                _ => clients.push(Client::connect_with(address, options).context("a connection of the test")?),
            }
        }
        self.rng.shuffle(&mut clients);
        Ok(clients)
    }
}

/// Some bytes that differ from key to key, at most [`LARGEST`].
pub fn payload(key: usize, length: usize) -> &'static [u8] {
    const KEYS: usize = 4099;
    static BYTES: LazyLock<Vec<u8>> = LazyLock::new(|| {
        let mut rng = Rng::with_seed(1);
        (0..LARGEST + KEYS).map(|_| rng.u8(..)).collect()
    });
    let start = key.wrapping_mul(31) % KEYS;
    &BYTES[start..start + length]
}

/// Mostly small, now and then large enough for another way through the server.
pub fn any_size(rng: &mut Rng) -> usize {
    match rng.u8(0..100) {
        0..15 => 0,
        15..55 => rng.usize(1..64),
        55..80 => rng.usize(64..1024),
        80..94 => rng.usize(1024..16 * 1024),
        94..99 => rng.usize(16 * 1024..64 * 1024),
        _ => rng.usize(64 * 1024..=200 * 1024),
    }
}

/// Whether a subscription to `pattern` gets what is published on `subject`, which has no wildcards and no empty tokens.
pub fn matches(pattern: &str, subject: &str) -> bool {
    let mut tokens = subject.split('.');
    for wanted in pattern.split('.') {
        let token = tokens.next();
        match (wanted, token) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(token)) if wanted == token => {}
            _ => return false,
        }
    }
    tokens.next().is_none()
}

/// Two numbers in a reply subject: who published a message, and which of theirs it is. A reply is passed on as it
/// is, so even an empty payload has an identity.
pub fn identity(reply: &[u8]) -> Result<(usize, usize)> {
    let text = std::str::from_utf8(reply)?;
    let (publisher, sequence) = text.split_once('.').with_context(|| format!("no identity in reply {text:?}"))?;
    Ok((publisher.parse()?, sequence.parse()?))
}

/// Sends a PING on every connection and returns what each got before its PONG.
pub fn flush_all(clients: &mut [Client]) -> Result<Vec<Vec<pinmesh_harness::Received>>> {
    for client in clients.iter_mut() {
        client.send(b"PING\r\n")?;
    }
    clients.iter_mut().map(Client::until_pong).collect()
}

/// An error if a connection got anything before the PONG to a PING sent now.
pub fn expect_silence(clients: &mut [Client], why: &str) -> Result<()> {
    for (index, messages) in flush_all(clients)?.iter().enumerate() {
        ensure!(messages.is_empty(), "{why}: connection {index} got {} more, first {:?}", messages.len(), messages[0]);
    }
    Ok(())
}
