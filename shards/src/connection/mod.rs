//! One connection of a client or, with a [`Route`], of another server: its protocol state, what it has sent and not been acted on, what waits to be written to it.
//!
//! No sockets and no clock in here; the shard acts on it, the driver moves the bytes.

mod codec;
mod incoming;
pub mod out;
pub mod pool;
mod reason;
mod route;
mod sids;

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::AddAssign;
use std::sync::Arc;

pub use self::codec::Codec;
pub use self::incoming::Incoming;
pub use self::out::{Flushed, OutBuffer};
pub use self::pool::BufferPool;
pub use self::reason::CloseReason;
pub use self::route::{Coverage, Route};
pub use self::sids::Sids;
use crate::account::{self, AccountId};
use crate::protocol::client::ClientParser;
use crate::protocol::connect::ConnectOptions;

/// A connection of one shard. The generation tells it from an earlier one at the same index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Slab index.
    pub index: u32,
    /// Counts the connections of the shard.
    pub generation: u32,
}

/// Why a connection's input is not acted on for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pause {
    /// It made enough parcels for one turn.
    Turn,
    /// It feeds a connection that is behind; until that is not any more, or this time (ms).
    Stall {
        /// When it goes on in any case.
        until: u64,
    },
    /// It feeds a shard whose credit is used up.
    Credit {
        /// That shard.
        target: u16,
    },
    /// Its password is being compared with a hash by somebody who has the time.
    Verification,
}

/// How far a connection is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closing {
    /// What waits is still written, nothing more is read.
    Flush(CloseReason),
    /// At once.
    Now(CloseReason),
}

impl Closing {
    /// Why.
    pub fn reason(self) -> CloseReason {
        match self {
            Closing::Flush(reason) | Closing::Now(reason) => reason,
        }
    }
}

/// What was read and not acted on yet.
#[derive(Debug, Default)]
pub struct Input {
    /// An incomplete operation, or what a pause left over.
    pub rest: Vec<u8>,
    /// A large operation that is not complete.
    pub large: Option<Incoming>,
}

/// Messages and payload bytes of one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// Messages.
    pub messages: u64,
    /// Bytes of headers and payloads.
    pub bytes: u64,
}

impl Traffic {
    /// What came since it was `before`.
    pub fn since(self, before: Traffic) -> Traffic {
        Traffic {
            messages: self.messages.saturating_sub(before.messages),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Traffic) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }
}

/// A write that a socket did not take at once.
#[derive(Clone, Copy, Debug)]
pub struct Blocked {
    /// When it started or the batch before it was done (ms).
    pub since: u64,
    /// Bytes of the batch that are still to be written.
    pub batch: usize,
    /// Anything written within this batch?
    pub progress: bool,
}

/// A connection that is slower than its deadline, and alive.
#[derive(Clone, Copy, Debug)]
pub struct Slow {
    /// When the write began whose deadline went by first (ms).
    pub since: u64,
    /// Pieces that waited when it went by last.
    pub chunks: usize,
    /// Their bytes.
    pub bytes: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Connection {
    /// Its name on this shard.
    pub key: Key,
    /// Its name on this server (`client_id`, `cid`).
    pub cid: u64,
    /// Far end.
    pub peer: SocketAddr,
    /// Account it is bound to.
    pub account: AccountId,
    /// What CONNECT said, merged.
    pub options: Box<ConnectOptions>,
    /// Who it is, for the logs: ` - "v1.2:python3:app" - "$G/user:u"`, as its first CONNECT said.
    pub described: Box<str>,
    /// Parser state.
    pub parser: ClientParser,
    /// Bytes not acted on.
    pub input: Input,
    /// Bytes not written.
    pub out: OutBuffer,
    /// Its subscriptions, found by sid.
    pub subscriptions: Sids,
    /// Messages from the client.
    pub received: Traffic,
    /// Messages to the client.
    pub sent: Traffic,
    /// How much of it was in the shard's total when it was last written to.
    pub flushed: Traffic,
    /// Not acted on for now.
    pub pause: Option<Pause>,
    /// On its way out.
    pub closing: Option<Closing>,
    /// The socket did not take all.
    pub blocked: Option<Blocked>,
    /// It let a deadline go by, and was kept because it took something.
    pub slow: Option<Box<Slow>>,
    /// When it came (µs).
    pub opened: u64,
    /// When a message was last written to it (ms).
    pub last_served: u64,
    /// When it last sent PUB, SUB, UNSUB or PING (ms).
    pub last_active: u64,
    /// When a PING was last sent to it (ms); `None` before the first.
    pub last_ping: Option<u64>,
    /// Bumped whenever the ping timer is set anew, so that older ones do nothing.
    pub ping_epoch: u32,
    /// PINGs without a PONG.
    pub pings_out: u32,
    /// When the PING was sent that is not answered yet (µs).
    pub pinged: Option<u64>,
    /// Round-trip time (µs); 0 while unknown.
    pub rtt: u64,
    /// How often it was stalled.
    pub stalls: u64,
    /// Milliseconds that it was stalled for what was read last.
    pub stalled: u64,
    /// Which change of the cluster its last INFO told of.
    pub cluster_version: u32,
    /// What there is besides if it is a route to another server.
    pub route: Option<Box<Route>>,
    /// Facts that are yes or no.
    pub flags: Flags,
}

/// Facts about a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Flags {
    /// CONNECT was accepted.
    pub connected: bool,
    /// May act: no auth needed, or CONNECT accepted.
    pub admitted: bool,
    /// The first byte of the first operation was looked at.
    pub spoke: bool,
    /// A PING after CONNECT was answered.
    pub first_pong: bool,
    /// In the shard's list of connections with something to write.
    pub dirty: bool,
    /// More than three quarters of `max_pending` wait.
    pub gated: bool,
    /// Its socket is gone; it is here until its subscriptions are.
    pub gone: bool,
    /// A timer will look at its writes.
    pub watched: bool,
    /// The far end sends no more.
    pub end_of_input: bool,
    /// The control line of the publish that is incomplete was traced and checked already.
    pub announced: bool,
    /// Is told `+OK`.
    pub verbose: bool,
    /// Has its publish subjects checked.
    pub pedantic: bool,
    /// Messages with headers keep them.
    pub headers: bool,
    /// Messages reach its own subscriptions.
    pub echo: bool,
    /// Wants to know when nobody got a request.
    pub no_responders: bool,
}

impl Connection {
    /// A connection that has said nothing yet, at this time (µs). `open`: it needs no credentials.
    pub fn new(key: Key, cid: u64, peer: SocketAddr, now: u64, open: bool) -> Self {
        Connection {
            key,
            cid,
            peer,
            account: account::GLOBAL,
            options: Box::new(ConnectOptions::default()),
            described: Box::default(),
            parser: ClientParser::new(),
            input: Input::default(),
            out: OutBuffer::default(),
            subscriptions: Sids::default(),
            received: Traffic::default(),
            sent: Traffic::default(),
            flushed: Traffic::default(),
            pause: None,
            closing: None,
            blocked: None,
            slow: None,
            opened: now,
            last_served: 0,
            last_active: now / 1000,
            last_ping: None,
            ping_epoch: 0,
            pings_out: 0,
            pinged: None,
            rtt: 0,
            stalls: 0,
            stalled: 0,
            cluster_version: 0,
            route: None,
            flags: Flags { admitted: open, spoke: open, echo: true, verbose: true, pedantic: true, ..Flags::default() },
        }
    }

    /// Reads plain bytes; `read` behaves like a socket. Answers how many, and whether there may be more.
    pub fn read(
        codec: Option<&mut Codec>,
        room: &mut [u8],
        read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> io::Result<(usize, bool)> {
        match codec {
            Some(codec) => codec.read(room, read),
            None => read(room).map(|count| (count, count == room.len())),
        }
    }

    /// What compresses it, if it is a route on which that was agreed on.
    pub fn codec(&mut self) -> Option<&mut Codec> {
        self.route.as_mut()?.codec.as_deref_mut()
    }

    /// Has all left that was to be written?
    pub fn is_written(&self) -> bool {
        let codec = self.route.as_ref().and_then(|route| route.codec.as_ref());
        self.out.is_empty() && codec.is_none_or(|codec| codec.is_written())
    }

    /// Writes what waits, as [`OutBuffer::flush`] does.
    pub fn write(
        &mut self,
        arena: &[u8],
        pool: &mut BufferPool,
        write: &mut dyn FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<(usize, Flushed)> {
        match self.route.as_mut().and_then(|route| route.codec.as_deref_mut()) {
            Some(codec) => codec.flush(&mut self.out, arena, pool, write),
            None => self.out.flush(arena, pool, write),
        }
    }

    /// Books a message of so many bytes to the client; answers how many bytes wait for it.
    #[inline]
    pub fn count_sent(&mut self, bytes: usize) -> usize {
        self.sent.messages += 1;
        self.sent.bytes += bytes as u64;
        self.out.pending()
    }

    /// CONNECT was accepted: from now on its log lines tell who it is. `credential`: `user:x` or `token`.
    pub fn describe(&mut self, credential: Option<&str>) {
        let ConnectOptions { version, lang, name, .. } = &*self.options;
        let version = version.as_deref().map(|version| format!("v{version}"));
        let known: Vec<&str> = [version.as_deref(), lang.as_deref(), name.as_deref()].into_iter().flatten().collect();
        let mut described = String::new();
        if !known.is_empty() {
            described.push_str(&format!(" - \"{}\"", known.join(":")));
        }
        if let Some(credential) = credential {
            described.push_str(&format!(" - \"{}/{credential}\"", self.account.name()));
        }
        self.described = described.into();
    }

    /// The beginning of its log lines.
    pub fn label(&self) -> Label<'_> {
        Label(self)
    }
}

/// `127.0.0.1:4711 - cid:5 - "v1.2:python3:app" - "$G/user:u"`; the quoted parts once CONNECT was accepted. Of a route: `rid:5`.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a>(&'a Connection);

impl fmt::Display for Label<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Connection { peer, cid, described, route, .. } = self.0;
        let kind = if route.is_some() { "rid" } else { "cid" };
        write!(f, "{peer} - {kind}:{cid}{described}")
    }
}

/// A large operation, kept where it was read so that many connections can be written from it.
pub type Large = Arc<Vec<u8>>;
