//! How a connection becomes a route of a remote server, and what follows when a route is gone.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::dialing::{Destination, Errand, Occasion, Purpose, Way};
use super::greeting::Then;
use super::handshake::Handshake;
use super::remotes::{Links, Place, Remote, remember_way};
use super::{Effect, MAX_PEERS, Mesh, PeerPath, RECONNECT_PAUSE, RemoteServer, Route, RouteKind, RouteStart};
use crate::config::Cluster;
use crate::connection::CloseReason;
use crate::protocol::quote::quoted;
use crate::protocol::route::{RouteInfo, account_index};
use crate::shard::mail::Control;

/// The account of this server's clients.
const GLOBAL_ACCOUNT: &str = "$G";
/// The account of servers, which has a connection of its own wherever there are pools.
const SYSTEM_ACCOUNT: &str = "$SYS";
/// Before a lost server without pools is dialled that has dialled this one, in milliseconds. It may come again by itself in less than that,
/// and of two that dial each other at the same time both may be closed.
const PATIENCE: u64 = 2 * RECONNECT_PAUSE;
/// Most connections of one pool, whatever the other side announces.
const LARGEST_POOL: u32 = 256;

impl Mesh {
    /// Connections to each other server; 0: pooling is off.
    pub(super) fn pool_size(&self) -> u32 {
        self.cluster.pool_size.map_or(0, |size| size.clamp(1, LARGEST_POOL))
    }

    /// Connections to the server that said this; `None`: one, without pooling.
    fn pool_size_with(&self, info: &RouteInfo) -> Option<u32> {
        let theirs = u32::try_from(info.route_pool_size).unwrap_or(LARGEST_POOL).min(LARGEST_POOL);
        let is_pooled = self.pool_size() > 0 && info.route_pool_size > 0;
        is_pooled.then(|| theirs.max(self.pool_size()))
    }

    fn dedicated_accounts(&self) -> impl Iterator<Item = &str> {
        let Cluster { accounts, system_account, .. } = &self.cluster;
        let configured = accounts.iter().map(String::as_str);
        let system =
            (*system_account && !configured.clone().any(|account| account == SYSTEM_ACCOUNT)).then_some(SYSTEM_ACCOUNT);
        configured.chain(system).take(if self.pool_size() > 0 { usize::MAX } else { 0 })
    }

    /// INFO of a server that this one has dialled.
    pub(super) fn meet_dialled(&mut self, now: u64, rid: u64, errand: &Errand, info: &RouteInfo) {
        if info.route_pool_idx != 0 {
            let complaint = format!("Route pool index should not be set but is set to {}", info.route_pool_idx);
            log::error!("{} - {complaint}", self.label(rid));
            return self.refuse(now, rid, &complaint, CloseReason::ProtocolViolation);
        }
        let is_pooled = self.pool_size_with(info).is_some();
        let links = self.remotes.get(&info.server_id).map(|remote| &remote.links);
        let place = match &errand.purpose {
            Purpose::Lane { .. } => return self.answer_on_lane(now, rid, errand, info),
            Purpose::Any if self.has_lanes_with(info) => return self.begin_lanes(now, rid, errand, info),
            // Lanes are for all accounts.
            Purpose::Account(_) if self.has_lanes_with(info) => None,
            Purpose::Account(account) if !is_pooled => return self.refuse_dedicated(now, rid, account),
            Purpose::Account(account) => Some(Place::Account(Arc::clone(account))),
            Purpose::Any => match links {
                None if is_pooled => Some(Place::Pool(0)),
                None => Some(Place::Only),
                Some(links) => links.free_slot().filter(|_| is_pooled).map(Place::Pool),
            },
        };
        let Some(place) = place.filter(|place| links.is_none_or(|links| links.is_free(place))) else {
            if let Some(Links::Pool { .. }) = links {
                let id = &info.server_id;
                log::debug!("{} - Route pool size reached, closing extra connection to {id:?}", self.label(rid));
            }
            return self.end_duplicate(now, rid, &info.server_id);
        };
        let mut answer = self.own_answer(rid);
        if let Place::Pool(index) = place {
            answer.route_pool_idx = i64::try_from(index).unwrap_or_default();
        }
        let mut output = Vec::new();
        answer.write(&mut output);
        self.register(now, rid, info, place, output);
    }

    /// INFO of a server that has dialled this one.
    pub(super) fn meet_dialler(&mut self, now: u64, rid: u64, info: &RouteInfo) {
        let pool_size = self.pool_size_with(info);
        let place = if let Some((offer, lane)) = self.lane_of(info) {
            return self.attach_lane(now, rid, info, offer, lane);
        } else if !info.route_account.is_empty() {
            match self.account_place(&info.route_account, pool_size) {
                Ok(place) => place,
                Err((complaint, reason)) => {
                    log::error!("{} - {complaint}", self.label(rid));
                    return self.refuse(now, rid, &complaint, reason);
                }
            }
        } else if let Some(size) = pool_size {
            match usize::try_from(info.route_pool_idx) {
                Ok(index) if index < size as usize => Place::Pool(index),
                _ => {
                    let (index, size) = (info.route_pool_idx, info.route_pool_size);
                    let complaint = format!("Invalid route pool index: {index} - pool size is {size}");
                    log::error!("{} - {complaint}", self.label(rid));
                    return self.refuse(now, rid, &complaint, CloseReason::ProtocolViolation);
                }
            }
        } else {
            Place::Only
        };
        match self.remotes.get(&info.server_id) {
            Some(remote) if !remote.links.is_free(&place) => self.end_duplicate(now, rid, &info.server_id),
            _ => self.register(now, rid, info, place, Vec::new()),
        }
    }

    fn account_place(&self, account: &str, pool_size: Option<u32>) -> Result<Place, (String, CloseReason)> {
        if pool_size.is_none() {
            Err((impossible_dedicated(account), CloseReason::ProtocolViolation))
        } else if self.dedicated_accounts().any(|dedicated| dedicated == account) {
            Ok(Place::Account(account.into()))
        } else if account == GLOBAL_ACCOUNT {
            Err((format!("No route for account {}", quoted(account.as_bytes())), CloseReason::ProtocolViolation))
        } else {
            let complaint = format!("Unable to lookup account {}: account missing", quoted(account.as_bytes()));
            Err((complaint, CloseReason::MissingAccount))
        }
    }

    fn refuse_dedicated(&mut self, now: u64, rid: u64, account: &str) {
        let complaint = impossible_dedicated(account);
        log::error!("{} - {complaint}", self.label(rid));
        self.end_handshake(now, rid, Some(&complaint), CloseReason::ProtocolViolation, Then::Done);
    }

    /// There is such a connection already. What led to this one is remembered, for when that is lost.
    pub(super) fn end_duplicate(&mut self, now: u64, rid: u64, id: &str) {
        log::debug!("{} - Detected duplicate remote route {id:?}", self.label(rid));
        let errand = self.handshakes.get(&rid).and_then(|handshake| handshake.errand.clone());
        self.end_handshake(now, rid, None, CloseReason::DuplicateRoute, Then::Done);
        if let Some(Errand { way, purpose: Purpose::Any, .. }) = errand {
            self.remember(id, way);
        }
    }

    fn remember(&mut self, id: &str, way: Way) {
        if let Some(set) = self.sets.get_mut(id) {
            remember_way(&mut set.ways, way);
        } else if let Some(remote) = self.remotes.get_mut(id)
            && remember_way(&mut remote.ways, way)
        {
            let (rids, explicit) = (remote.links.rids(), remote.is_explicit());
            for rid in rids {
                if let Some(route) = self.routes.get(&rid) {
                    let control = Control::RouteUpgrade { rid, explicit };
                    self.effects.push(Effect::Tell { shard: route.shard, control });
                }
            }
        }
    }

    /// Makes a route of a connection that its place is free for.
    fn register(&mut self, now: u64, rid: u64, info: &RouteInfo, place: Place, output: Vec<u8>) {
        let id = &info.server_id;
        let label = self.label(rid);
        if !self.remotes.contains_key(id) {
            let links = match self.pool_size_with(info) {
                Some(size) => Links::Pool { slots: vec![None; size as usize], dedicated: BTreeMap::new() },
                None => Links::Single(None),
            };
            if !self.add_remote(now, rid, info, links) {
                return;
            }
        }
        let Some(handshake) = self.handshakes.remove(&rid) else { return };
        let way = handshake.errand.as_ref().map(|errand| errand.way.clone());
        let Some(remote) = self.remotes.get_mut(id) else { return };
        let is_first = !matches!(place, Place::Account(_)) && remote.links.voice(None).is_none();
        remote.links.occupy(&place, rid);
        let report_pong = way.is_some() && matches!(place, Place::Pool(_)) && remote.links.free_slot().is_some();
        let (address, shard) = (handshake.address, remote.peer % self.shards);
        if way.is_some() {
            remote.dialled = Some(address);
        }
        if let Some(way) = way.clone() {
            self.remember(id, way);
        }
        match &place {
            Place::Account(account) => log::debug!("{label} - Registering remote route {id:?} for account {account:?}"),
            _ => log::debug!("{label} - Registering remote route {id:?}"),
        }
        let kind = self.kind_of(&place);
        let carries =
            matches!(kind, RouteKind::Pool { carries: true, .. } | RouteKind::Dedicated { carries: true, .. });
        self.establish(shard, handshake, id, kind, (output, report_pong));
        if let Some(route) = self.routes.get_mut(&rid) {
            route.carries = carries;
        }
        if carries {
            self.announce_peer(id, |_| PeerPath { shard, rid, is_lane: false });
        }
        match &place {
            Place::Account(account) => self.spread(id, info, address, way.as_ref(), Some(account)),
            _ if is_first => self.spread(id, info, address, way.as_ref(), None),
            _ => {}
        }
        if let (Some(way), Place::Pool(_)) = (way, place) {
            self.dial_dedicated(now, id, &way, address);
        }
    }

    fn kind_of(&self, place: &Place) -> RouteKind {
        let is_pinned = self.cluster.accounts.iter().any(|account| account == GLOBAL_ACCOUNT);
        match place {
            Place::Only => RouteKind::Pool { index: 0, carries: true },
            Place::Pool(index) => {
                let index = u32::try_from(*index).unwrap_or_default();
                let own = account_index(GLOBAL_ACCOUNT.as_bytes(), self.pool_size());
                RouteKind::Pool { index, carries: !is_pinned && index == own }
            }
            Place::Account(account) => {
                RouteKind::Dedicated { account: Arc::clone(account), carries: **account == *GLOBAL_ACCOUNT }
            }
        }
    }

    /// The accounts that want connections of their own to a server that this one has dialled.
    fn dial_dedicated(&mut self, now: u64, id: &str, way: &Way, address: SocketAddr) {
        let Some(remote) = self.remotes.get(id) else { return };
        let accounts: Vec<Arc<str>> = self.dedicated_accounts().map(Arc::from).collect();
        let missing = |account: &Arc<str>| remote.links.is_free(&Place::Account(Arc::clone(account)));
        for account in accounts.into_iter().filter(missing).collect::<Vec<_>>() {
            let errand = Errand { address: Some(address), ..Errand::new(way.clone(), Purpose::Account(account)) };
            self.set_out(errand, Occasion::First, now);
        }
    }

    /// Enters a new server in the table. False: there is no room, and the connection has ended.
    pub(super) fn add_remote(&mut self, now: u64, rid: u64, info: &RouteInfo, links: Links) -> bool {
        let Some(handshake) = self.handshakes.get(&rid) else { return false };
        let host = handshake.address.ip();
        let Some(peer) = self.numbers.take() else {
            log::error!("{} - There are {MAX_PEERS} remote servers, which is the most", self.label(rid));
            self.end_handshake(now, rid, None, CloseReason::MaxConnectionsExceeded, Then::Retry);
            return false;
        };
        let (id, name) = (info.server_id.clone(), info.server_name.clone());
        let remote = Remote {
            server: Arc::new(RemoteServer {
                id: id.clone(),
                name,
                headers: info.headers,
                compresses: !matches!(info.compression.as_str(), "" | "not supported"),
            }),
            peer,
            dialled: None,
            ways: Vec::new(),
            info: info.clone(),
            host,
            helped: 0,
            is_news: true,
            links,
        };
        if let Some(way) = way_back(&remote) {
            self.dialing.cancel(|errand| errand.way == way);
        }
        self.remotes.insert(id, remote);
        self.name.is_shared = true;
        self.compare_soon(now);
        if self.urls.add(&info.connect_urls) {
            self.tell_clients();
        }
        true
    }

    /// Gives a connection to a shard.
    pub(super) fn establish(
        &mut self,
        shard: u16,
        handshake: Handshake,
        id: &str,
        kind: RouteKind,
        (output, report_pong): (Vec<u8>, bool),
    ) {
        let Some(remote) = self.remotes.get(id) else { return };
        let (rid, address) = (handshake.rid, handshake.address);
        let (opened, verbose) = (handshake.opened.saturating_mul(1000), handshake.verbose);
        let (input, codec) = handshake.into_rest();
        let start = RouteStart {
            rid,
            address,
            remote: Arc::clone(&remote.server),
            peer: remote.peer,
            kind,
            solicited: !remote.ways.is_empty(),
            explicit: remote.is_explicit(),
            opened,
            remote_permissions: permissions_of(&remote.info),
            codec,
            verbose,
            input,
            output,
            report_pong,
        };
        self.numbers.keep(rid, remote.peer);
        self.routes.insert(rid, Route { server: id.to_owned(), address, shard, carries: false });
        self.effects.push(Effect::Establish { shard, start: Box::new(start) });
    }

    /// Tells every shard its way to a remote.
    pub(super) fn announce_peer(&mut self, id: &str, path: impl Fn(u16) -> PeerPath) {
        let Some(remote) = self.remotes.get(id) else { return };
        for shard in 0..self.shards {
            let control = Control::PeerUp { peer: remote.peer, path: path(shard) };
            self.effects.push(Effect::Tell { shard, control });
        }
    }

    fn withdraw_peer(&mut self, peer: u16) {
        for shard in 0..self.shards {
            self.effects.push(Effect::Tell { shard, control: Control::PeerDown { peer } });
        }
    }

    /// A shard has answered the PING of a pool's connection: time for the next one.
    pub(super) fn pool_confirmed(&mut self, now: u64, rid: u64) {
        let Some(remote) = self.routes.get(&rid).and_then(|route| self.remotes.get(&route.server)) else { return };
        if let (Some(_), Some(way)) = (remote.links.free_slot(), remote.ways.first()) {
            let errand = Errand { address: remote.dialled, ..Errand::new(way.clone(), Purpose::Any) };
            self.set_out(errand, Occasion::First, now);
        }
    }

    /// A shard has closed a route.
    pub(super) fn route_closed(&mut self, now: u64, rid: u64, reason: CloseReason) {
        let Some(Route { server, carries, .. }) = self.routes.remove(&rid) else { return };
        let Some(remote) = self.remotes.get_mut(&server) else { return };
        if let Links::Lanes { rids, .. } = &remote.links {
            // Otherwise these are lanes that have taken the place of the one that is closed.
            if rids.contains(&rid) {
                let ways = self.drop_lanes(now, &server, reason);
                self.redial(now, ways);
            }
            return;
        }
        let Some(place) = remote.links.vacate(rid) else { return };
        let (peer, way, is_last) = (remote.peer, remote.ways.first().cloned(), remote.links.rids().is_empty());
        let way_back = way_back(remote).filter(|_| way.is_none());
        if carries {
            self.withdraw_peer(peer);
        }
        if is_last {
            let ways = self.remove_remote(now, &server);
            self.redial(now, ways);
            if let Some(way) = way_back {
                let at = now + PATIENCE + self.jitter();
                self.set_out(Errand::new(way, Purpose::Any), Occasion::Again, at);
            }
        } else if let Some(way) = way {
            let at = now + self.pause_before(&way);
            let purpose = match place {
                Place::Account(account) => Purpose::Account(account),
                Place::Only | Place::Pool(_) => Purpose::Any,
            };
            self.set_out_again(Errand::new(way, purpose), at);
        }
    }

    /// Lanes that are lost, or replaced: the rest of them is closed, and nothing is left of the remote. The ways to it.
    pub(super) fn drop_lanes(&mut self, now: u64, id: &str, reason: CloseReason) -> Vec<Way> {
        let Some(remote) = self.remotes.get(id) else { return Vec::new() };
        let (peer, rids) = (remote.peer, remote.links.rids());
        for rid in rids {
            self.close_route(rid, None, reason);
        }
        self.withdraw_peer(peer);
        self.remove_remote(now, id)
    }

    fn remove_remote(&mut self, now: u64, id: &str) -> Vec<Way> {
        let Some(remote) = self.remotes.remove(id) else { return Vec::new() };
        self.numbers.give_back(remote.peer);
        self.compare_soon(now);
        if self.urls.remove(&remote.info.connect_urls) {
            self.tell_clients();
        }
        remote.ways
    }

    /// Goes all the ways again that led to a server.
    pub(super) fn redial(&mut self, now: u64, ways: Vec<Way>) {
        for way in ways {
            let at = now + self.pause_before(&way);
            self.set_out_again(Errand::new(way, Purpose::Any), at);
        }
    }

    fn pause_before(&mut self, way: &Way) -> u64 {
        self.jitter() + if way.is_explicit() { RECONNECT_PAUSE } else { 0 }
    }
}

/// Where a server without pools can be reached that has dialled this one. If it only did so because others spoke of this one, it does
/// not try for long when the connection is lost.
fn way_back(remote: &Remote) -> Option<Way> {
    let Remote { info, host, links: Links::Single(_), .. } = remote else { return None };
    let port = u16::try_from(info.port).ok().filter(|port| *port > 0)?;
    let says_nothing = info.host.is_empty() || info.host.parse().is_ok_and(|host: IpAddr| host.is_unspecified());
    let host = if says_nothing { host.to_string() } else { info.host.clone() };
    let to = Destination::Learned { host, port, authenticate: info.auth_required };
    Some(Way { to, gossip_mode: 0 })
}

/// `import` and `export`, for monitoring.
pub(super) fn permissions_of(info: &RouteInfo) -> Option<Arc<str>> {
    let both = serde_json::json!({ "import": info.import, "export": info.export });
    (info.import.is_some() || info.export.is_some()).then(|| both.to_string().into())
}

fn impossible_dedicated(account: &str) -> String {
    let account = quoted(account.as_bytes());
    format!("Not possible to have a dedicated route for account {account} between those servers")
}
