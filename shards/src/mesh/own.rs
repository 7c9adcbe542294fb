//! What this server says of itself to others.

use super::Mesh;
use super::dialing::{Destination, Purpose, Way, joined};
use crate::config::{BUILT_WITH, Secret, SubjectRules};
use crate::protocol::connect::Credentials;
use crate::protocol::route::{RouteConnect, RouteInfo, SubjectPermission};

/// Of the protocol between servers: knows accounts, but does not trace messages.
const PROTOCOL: i64 = 2;

impl Mesh {
    /// INFO as the side that was dialled sends it; the other side adds what it decides.
    pub(super) fn own_info(&self) -> RouteInfo {
        let (config, cluster) = (&self.config, &self.cluster);
        let (host, port, ip) = match &cluster.advertise {
            Some((host, port)) => (host, *port, format!("nats-route://{}/", joined(host, *port))),
            None => (&cluster.host, cluster.port, String::new()),
        };
        let permission = |rules: &SubjectRules| SubjectPermission {
            allow: rules.allow.clone().unwrap_or_default(),
            deny: rules.deny.clone(),
        };
        let is_limited = |rules: &&SubjectRules| **rules != SubjectRules::default();
        let permissions = cluster.permissions.as_ref();
        RouteInfo {
            server_id: config.identity.server_id.clone(),
            server_name: config.identity.server_name.clone(),
            version: config.identity.version.clone(),
            proto: PROTOCOL,
            go: BUILT_WITH.to_owned(),
            host: host.clone(),
            port: port.into(),
            headers: config.limits.headers,
            auth_required: cluster.authorization.is_some(),
            max_payload: config.limits.max_payload.and_then(|bytes| i64::try_from(bytes).ok()).unwrap_or(-1),
            ip,
            cluster: self.name.name.to_string(),
            cluster_dynamic: self.name.is_dynamic,
            connect_urls: if cluster.no_advertise { Vec::new() } else { cluster.client_urls.clone() },
            compression: self.compression.as_str().to_owned(),
            import: permissions.map(|both| &both.import).filter(is_limited).map(permission),
            export: permissions.map(|both| &both.export).filter(is_limited).map(permission),
            route_pool_size: self.pool_size().into(),
            lanes: self.lanes_offer(),
            ..RouteInfo::default()
        }
    }

    /// INFO as an answer to the other side's: it says which compression comes of both wishes.
    pub(super) fn own_answer(&self, rid: u64) -> RouteInfo {
        let handshake = self.handshakes.get(&rid);
        let compression = handshake.and_then(|handshake| handshake.compression).unwrap_or(self.compression);
        let info = RouteInfo { compression: compression.as_str().to_owned(), ..self.own_info() };
        match handshake.and_then(|handshake| handshake.errand.as_ref()) {
            Some(errand) => {
                let route_account = match &errand.purpose {
                    Purpose::Account(account) => account.to_string(),
                    Purpose::Any | Purpose::Lane { .. } => String::new(),
                };
                RouteInfo { gossip_mode: errand.way.gossip_mode, lanes: None, route_account, ..info }
            }
            None => info,
        }
    }

    /// The first line for a server that this one has dialled.
    pub(super) fn own_connect(&self, way: &Way) -> Vec<u8> {
        let mut line = Vec::new();
        let connect = RouteConnect {
            credentials: self.credentials(way),
            headers: self.config.limits.headers,
            name: self.config.identity.server_id.clone(),
            cluster: self.name.name.to_string(),
            cluster_dynamic: self.name.is_dynamic,
            ..RouteConnect::default()
        };
        connect.write(&mut line);
        line
    }

    fn credentials(&self, way: &Way) -> Credentials {
        let named = |user: &str, password: &Secret| Credentials {
            user: Some(user.into()),
            pass: Some((*password.0).into()),
            ..Credentials::default()
        };
        let credentials = match &way.to {
            Destination::Configured(index) => self
                .cluster
                .routes
                .get(*index)
                .and_then(|url| url.credentials.as_ref())
                .map(|(user, pass)| named(user, pass)),
            Destination::Learned { authenticate: true, .. } => {
                self.cluster.authorization.as_ref().map(|own| named(&own.user, &own.password))
            }
            Destination::Learned { .. } => None,
        };
        credentials.unwrap_or_default()
    }
}
