//! Telling the other servers of a new one, and hearing of new ones from them.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;

use super::dialing::{Destination, Errand, Occasion, Purpose, Way, host_and_port};
use super::name::Match;
use super::registration::permissions_of;
use super::remotes::{Links, Place};
use super::{Effect, Mesh, RouteLabel};
use crate::connection::CloseReason;
use crate::protocol::route::RouteInfo;
use crate::shard::mail::Control;

/// Values of `gossip_mode`.
mod mode {
    /// Pass on what you learn as usual.
    pub const USUAL: u8 = 0;
    /// Do not pass it on.
    pub const NEVER: u8 = 1;
    /// Pass it on even if it was learned by gossip.
    pub const ALWAYS: u8 = 2;
}

impl Mesh {
    /// Tells all other remotes of a new one (or of its connection for an account). `dialled`: the way that led there, if this server dialled.
    pub(super) fn spread(
        &mut self,
        id: &str,
        info: &RouteInfo,
        address: SocketAddr,
        dialled: Option<&Way>,
        account: Option<&str>,
    ) {
        let was_learned = dialled.is_some_and(|way| !way.is_explicit() && way.gossip_mode != mode::ALWAYS);
        if was_learned || info.gossip_mode == mode::NEVER {
            return;
        }
        let news = self.news_of(info, account);
        for (neighbour, remote) in &self.remotes {
            let Some(rid) = remote.links.voice(account).filter(|_| neighbour != id) else { continue };
            let gossip_mode = match dialled {
                None if remote.is_explicit() => mode::ALWAYS,
                None => mode::NEVER,
                Some(way) if way.is_explicit() => mode::ALWAYS,
                Some(_) => mode::USUAL,
            };
            let mut line = Vec::new();
            news.write_gossip(&mut line, address.ip(), gossip_mode);
            if let Some(route) = self.routes.get(&rid) {
                let control = Control::RouteTell { rid, bytes: line.into() };
                self.effects.push(Effect::Tell { shard: route.shard, control });
            }
        }
    }

    /// What others are told of a remote, or of its connection for an account. It may have given up the cluster's name that it came with.
    pub(super) fn news_of(&self, info: &RouteInfo, account: Option<&str>) -> RouteInfo {
        RouteInfo {
            cluster: self.name.name.to_string(),
            cluster_dynamic: self.name.is_dynamic,
            route_account: account.unwrap_or_default().to_owned(),
            route_pool_idx: 0,
            ..info.clone()
        }
    }

    /// Accounts that some remote has a connection for.
    pub(super) fn accounts_with_connections(&self) -> BTreeSet<Arc<str>> {
        let pools = self.remotes.values().filter_map(|remote| match &remote.links {
            Links::Pool { dedicated, .. } => Some(dedicated),
            _ => None,
        });
        pools.flat_map(|dedicated| dedicated.keys().cloned()).collect()
    }

    /// A route has got an INFO.
    pub(super) fn later_info(&mut self, now: u64, rid: u64, json: &[u8]) {
        let Some(route) = self.routes.get(&rid) else { return };
        let (server, address) = (route.server.clone(), route.address);
        let info = match RouteInfo::parse(json) {
            Ok(info) => info,
            Err(error) => {
                log::error!("{} - {error}", RouteLabel { address, rid });
                return self.close_route(rid, None, CloseReason::ProtocolViolation);
            }
        };
        if info.server_id == self.config.identity.server_id {
            return self.close_route(rid, None, CloseReason::DuplicateRoute);
        }
        if !info.cluster.is_empty() {
            match self.name.meet(&info.cluster, info.cluster_dynamic) {
                Match::Same => {}
                Match::Adopted => self.renamed(now, &info.server_id),
                Match::Conflict => return self.close_route(rid, None, CloseReason::ClusterNameConflict),
            }
        }
        if !info.route_acc_add_reqid.is_empty() {
            self.agree_to_dedicated(rid, &info);
        } else if !info.gateway.is_empty() {
            // About something this server has not.
        } else if info.server_id != server {
            self.hear_of(now, &info);
        } else if info.ldm {
            self.forget_urls(&server);
        } else {
            self.note_permissions(&server, &info);
            if let Some(known) = info.lanes.and_then(|lanes| lanes.knows) {
                self.help_to_learn(now, &server, &known);
            }
        }
    }

    /// What a remote lets in and out has changed. That is its own affair, but monitoring shows it.
    fn note_permissions(&mut self, id: &str, info: &RouteInfo) {
        let Some(remote) = self.remotes.get_mut(id) else { return };
        if remote.info.import == info.import && remote.info.export == info.export {
            return;
        }
        remote.info.import.clone_from(&info.import);
        remote.info.export.clone_from(&info.export);
        let permissions = permissions_of(info);
        for rid in remote.links.rids() {
            if let Some(route) = self.routes.get(&rid) {
                let control = Control::RoutePermissions { rid, permissions: permissions.clone() };
                self.effects.push(Effect::Tell { shard: route.shard, control });
            }
        }
    }

    /// The remote will give an account its own connection, and waits for our word.
    fn agree_to_dedicated(&mut self, rid: u64, info: &RouteInfo) {
        let answer = RouteInfo {
            server_id: String::new(),
            host: String::new(),
            port: 0,
            route_account: String::new(),
            ..info.clone()
        };
        let mut line = Vec::new();
        answer.write(&mut line);
        self.tell_route(rid, line);
    }

    /// A remote that is about to leave wants no more clients.
    fn forget_urls(&mut self, id: &str) {
        let Some(remote) = self.remotes.get_mut(id) else { return };
        let urls = std::mem::take(&mut remote.info.connect_urls);
        if self.urls.remove(&urls) {
            self.tell_clients();
        }
    }

    /// Gossip about a third server.
    fn hear_of(&mut self, now: u64, info: &RouteInfo) {
        let id = &info.server_id;
        let account = Some(info.route_account.as_str()).filter(|account| !account.is_empty());
        let is_known = match (self.remotes.get(id), account) {
            (Some(remote), Some(account)) => !remote.links.is_free(&Place::Account(account.into())),
            // Connections of its accounts may be there before any other.
            (Some(remote), None) => remote.links.voice(None).is_some(),
            (None, _) => self.sets.contains_key(id),
        };
        // A first connection brings those of its accounts along.
        if is_known || account.is_some() && !self.remotes.contains_key(id) {
            return;
        }
        let Some((host, port)) = host_and_port(&info.ip) else {
            return log::error!("Error trying to connect to route (attempt 1): missing port in address");
        };
        let is_configured = |(host, port): (&str, u16)| {
            self.cluster.routes.iter().any(|url| url.host == host && url.port == Some(port))
        };
        let described = u16::try_from(info.port).unwrap_or_default();
        if is_configured((&host, port)) || is_configured((&info.host, described)) {
            return;
        }
        let way = Way {
            to: Destination::Learned { host, port, authenticate: info.auth_required },
            gossip_mode: info.gossip_mode,
        };
        let purpose = account.map_or(Purpose::Any, |account| Purpose::Account(account.into()));
        self.set_out(Errand::new(way, purpose), Occasion::First, now);
    }
}
