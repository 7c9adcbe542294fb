//! What a connection knows besides if the far end is another server.

use std::sync::Arc;

use crate::account::{self, AccountId};
use crate::connection::{Codec, Traffic};
use crate::interest::LearnedInterest;
use crate::mesh::{RemoteServer, RouteKind, RouteStart};
use crate::protocol::route::{MAX_CONTROL_LINE, RouteLimits, RouteParser};

/// The shards whose interest a route tells of, and whose messages it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Coverage {
    lane: u16,
    lanes: u16,
}

impl Coverage {
    /// Is the shard one of them?
    pub fn covers(self, shard: u16) -> bool {
        shard % self.lanes.max(1) == self.lane
    }
}

/// See the module.
#[derive(Debug)]
pub struct Route {
    /// The server at the far end.
    pub remote: Arc<RemoteServer>,
    /// Its number.
    pub peer: u16,
    /// What the route is good for.
    pub kind: RouteKind,
    /// This server dialled.
    pub solicited: bool,
    /// Its address is configured.
    pub explicit: bool,
    /// Permissions that the remote told of, for monitoring.
    pub remote_permissions: Option<Arc<str>>,
    /// Parser state.
    pub parser: RouteParser,
    /// What the remote wants, as far as it said so here.
    pub learned: LearnedInterest,
    /// A PONG is waited for, and its coming reported.
    pub report_pong: bool,
    /// Compresses what is written and decompresses what is read, if that was agreed on.
    pub codec: Option<Box<Codec>>,
    /// Messages that were not written because too much waits already.
    pub dropped: Traffic,
}

impl Route {
    /// A route that begins like this.
    pub fn new(start: &mut RouteStart) -> Self {
        Route {
            remote: Arc::clone(&start.remote),
            peer: start.peer,
            kind: start.kind.clone(),
            solicited: start.solicited,
            explicit: start.explicit,
            remote_permissions: start.remote_permissions.clone(),
            parser: RouteParser::new(),
            learned: LearnedInterest::new(start.peer, account::GLOBAL),
            report_pong: start.report_pong,
            codec: start.codec.take(),
            dropped: Traffic::default(),
        }
    }

    /// Does this server's own interest go this way, and whose?
    pub fn coverage(&self) -> Option<Coverage> {
        match self.kind {
            RouteKind::Pool { carries, .. } | RouteKind::Dedicated { carries, .. } => {
                carries.then_some(Coverage { lane: 0, lanes: 1 })
            }
            RouteKind::Lane { lane, lanes } => Some(Coverage { lane, lanes }),
        }
    }

    /// The far end is a server of this kind.
    pub fn is_lane(&self) -> bool {
        matches!(self.kind, RouteKind::Lane { .. })
    }

    /// No line names the account.
    pub fn is_dedicated(&self) -> bool {
        matches!(self.kind, RouteKind::Dedicated { .. })
    }

    /// The account's name in a line to the remote, if it is there.
    pub fn account_token(&self, account: AccountId) -> Option<&'static str> {
        (!self.is_dedicated()).then(|| account.name())
    }

    /// The account that a line of the remote is about, if this server has it.
    pub fn account_of(&self, token: Option<&[u8]>) -> Option<AccountId> {
        let name = match (&self.kind, token) {
            (RouteKind::Dedicated { account, .. }, None) => account.as_bytes(),
            (_, Some(token)) => token,
            (_, None) => return None,
        };
        account::find(name)
    }

    /// What its parser must be told.
    pub fn limits(&self) -> RouteLimits {
        RouteLimits { max_control_line: MAX_CONTROL_LINE, dedicated: self.is_dedicated(), max_payload: None }
    }
}
