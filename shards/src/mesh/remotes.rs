//! The other servers that this one has routes to, and which connections those are.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::RemoteServer;
use super::dialing::Way;
use crate::protocol::route::RouteInfo;

/// A server with at least one route.
#[derive(Debug)]
pub(super) struct Remote {
    pub server: Arc<RemoteServer>,
    /// Its number.
    pub peer: u16,
    /// Where it was reached, if this server dialled.
    pub dialled: Option<SocketAddr>,
    /// What led there; empty if only the other side dialled. The first one is used.
    pub ways: Vec<Way>,
    /// As it introduced itself. Its `connect_urls` are counted in the mesh's.
    pub info: RouteInfo,
    /// Where it is, as seen from here.
    pub host: IpAddr,
    /// When it was last helped to learn of others.
    pub helped: u64,
    /// Others were told of it once at most.
    pub is_news: bool,
    pub links: Links,
}

/// The connections to a remote. Those of a pool come and go one by one, lanes all together.
#[derive(Debug)]
pub(super) enum Links {
    /// The only one, to a server that knows no pools.
    Single(Option<u64>),
    Pool {
        slots: Vec<Option<u64>>,
        /// Of accounts.
        dedicated: BTreeMap<Arc<str>, u64>,
    },
    Lanes {
        rids: Vec<u64>,
        /// This server has dialled.
        dialled: bool,
        /// When all were there.
        since: u64,
    },
}

/// A place among the connections to a remote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Only,
    Pool(usize),
    Account(Arc<str>),
}

impl Remote {
    pub fn is_explicit(&self) -> bool {
        self.ways.iter().any(Way::is_explicit)
    }
}

/// Remembers another way; true if that changes what the server counts as: dialled, or configured.
pub(super) fn remember_way(ways: &mut Vec<Way>, way: Way) -> bool {
    if ways.iter().any(|known| known.to == way.to) {
        return false;
    }
    let changes = ways.is_empty() || way.is_explicit() && !ways.iter().any(Way::is_explicit);
    // The configured ones come first: they are tried for ever.
    let at = if way.is_explicit() { 0 } else { ways.len() };
    ways.insert(at, way);
    changes
}

impl Links {
    /// All routes.
    pub fn rids(&self) -> Vec<u64> {
        match self {
            Links::Single(rid) => rid.iter().copied().collect(),
            Links::Pool { slots, dedicated } => slots.iter().flatten().chain(dedicated.values()).copied().collect(),
            Links::Lanes { rids, .. } => rids.clone(),
        }
    }

    /// The route on which third servers are talked about; for an account with a connection of its own: that one.
    pub fn voice(&self, account: Option<&str>) -> Option<u64> {
        match (self, account) {
            (Links::Pool { dedicated, .. }, Some(account)) => dedicated.get(account).copied(),
            (_, Some(_)) => None,
            (Links::Single(rid), None) => *rid,
            (Links::Pool { slots, .. }, None) => slots.iter().flatten().next().copied(),
            (Links::Lanes { rids, .. }, None) => rids.first().copied(),
        }
    }

    /// First free place of a pool.
    pub fn free_slot(&self) -> Option<usize> {
        match self {
            Links::Pool { slots, .. } => slots.iter().position(Option::is_none),
            _ => None,
        }
    }

    /// Is there nobody in this place, and is it one?
    pub fn is_free(&self, place: &Place) -> bool {
        match (self, place) {
            (Links::Single(rid), Place::Only) => rid.is_none(),
            (Links::Pool { slots, .. }, Place::Pool(index)) => slots.get(*index).is_some_and(Option::is_none),
            (Links::Pool { dedicated, .. }, Place::Account(account)) => !dedicated.contains_key(account),
            _ => false,
        }
    }

    pub fn occupy(&mut self, place: &Place, rid: u64) {
        match (self, place) {
            (Links::Single(only), Place::Only) => *only = Some(rid),
            (Links::Pool { slots, .. }, Place::Pool(index)) => {
                if let Some(slot) = slots.get_mut(*index) {
                    *slot = Some(rid);
                }
            }
            (Links::Pool { dedicated, .. }, Place::Account(account)) => {
                dedicated.insert(Arc::clone(account), rid);
            }
            _ => {}
        }
    }

    /// Takes a route out; `None` if it is not one of these.
    pub fn vacate(&mut self, gone: u64) -> Option<Place> {
        match self {
            Links::Single(rid) => rid.take_if(|rid| *rid == gone).map(|_| Place::Only),
            Links::Pool { slots, dedicated } => {
                if let Some(index) = slots.iter().position(|slot| *slot == Some(gone)) {
                    slots[index] = None;
                    return Some(Place::Pool(index));
                }
                let account = dedicated.iter().find(|(_, rid)| **rid == gone)?.0.clone();
                dedicated.remove(&account);
                Some(Place::Account(account))
            }
            // These go together.
            Links::Lanes { .. } => None,
        }
    }
}
