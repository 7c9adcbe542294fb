//! CONNECT: who may be a route at all, and of which cluster. It may come again at any time, and counts each time.

use super::greeting::Then;
use super::handshake::Stage;
use super::name::Match;
use super::{Mesh, RouteLabel};
use crate::auth::{self, Decision};
use crate::config::Auth;
use crate::connection::CloseReason;
use crate::protocol::connect::{ConnectError, ConnectOptions, Credentials};
use crate::protocol::quote::quoted;
use crate::protocol::route::RouteConnect;

/// Why a CONNECT ends its connection. `Display` is what the other side is told, if anything.
#[derive(Debug, thiserror::Error)]
pub(super) enum Objection {
    #[error(transparent)]
    Nonsense(#[from] ConnectError),
    #[error("Authorization Violation")]
    Unauthorized(Credentials),
    #[error("attempted to connect to route port")]
    Client,
    #[error("Rejecting connection from gateway {} on the Route port", quoted(.0.as_bytes()))]
    Gateway(String),
    #[error("Rejecting connection, cluster name {theirs} does not match {mine}")]
    OtherCluster {
        theirs: String,
        mine: String,
        /// The other side would take over this server's name.
        gives_way: bool,
    },
}

impl Objection {
    pub fn log(&self, label: RouteLabel) {
        match self {
            Objection::Unauthorized(who) => log::error!("{label} - authentication error{who}"),
            _ => log::error!("{label} - {self}"),
        }
        match self {
            Objection::Gateway(_) => log::error!("{label} - wrong gateway"),
            Objection::OtherCluster { .. } => log::error!("{label} - cluster name from remote server conflicts"),
            _ => {}
        }
    }

    fn complaint(&self) -> Option<String> {
        (!matches!(self, Objection::Nonsense(_))).then(|| self.to_string())
    }

    fn reason(&self) -> CloseReason {
        match self {
            Objection::Nonsense(_) => CloseReason::ProtocolViolation,
            Objection::Unauthorized(_) => CloseReason::AuthenticationFailure,
            Objection::Client => CloseReason::IncorrectPort,
            Objection::Gateway(_) => CloseReason::WrongGateway,
            Objection::OtherCluster { .. } => CloseReason::ClusterNameConflict,
        }
    }
}

impl Mesh {
    /// CONNECT on a connection that is no route yet.
    pub(super) fn take_connect(&mut self, now: u64, rid: u64, json: &[u8]) {
        let Some(handshake) = self.handshakes.get(&rid) else { return };
        let is_first = handshake.stage == Stage::Connect;
        let connect = match self.examine(now, json, is_first) {
            Ok(connect) => connect,
            Err(objection) => {
                // Whose name can give way must hear the one to take over.
                let gives_way = matches!(objection, Objection::OtherCluster { gives_way: true, .. });
                if is_first && !self.greets_first() && gives_way {
                    self.send_info(rid, &self.own_info());
                }
                return self.object(now, rid, &objection);
            }
        };
        if !is_first {
            return;
        }
        let deadline = now + self.longest_silence();
        if let Some(handshake) = self.handshakes.get_mut(&rid) {
            handshake.stage = Stage::Info;
            handshake.deadline = deadline;
            handshake.verbose = connect.verbose;
        }
        if !self.greets_first() {
            self.send_info(rid, &self.own_info());
        }
    }

    /// CONNECT on a route.
    pub(super) fn later_connect(&mut self, now: u64, rid: u64, json: &[u8]) {
        let Some(label) = self.routes.get(&rid).map(|route| RouteLabel { address: route.address, rid }) else { return };
        if let Err(objection) = self.examine(now, json, false) {
            objection.log(label);
            self.close_route(rid, objection.complaint().map(Box::from), objection.reason());
        }
    }

    /// What came first is no CONNECT: whoever it is may not be here.
    pub(super) fn unauthorized(&mut self, now: u64, rid: u64) {
        self.object(now, rid, &Objection::Unauthorized(Credentials::default()));
    }

    /// Ends a connection that is no route yet.
    fn object(&mut self, now: u64, rid: u64, objection: &Objection) {
        let Some(handshake) = self.handshakes.get(&rid) else { return };
        objection.log(handshake.label());
        self.end_handshake(now, rid, objection.complaint().as_deref(), objection.reason(), Then::Retry);
    }

    fn examine(&mut self, now: u64, json: &[u8], is_first: bool) -> Result<RouteConnect, Objection> {
        let mut connect = RouteConnect::parse(json)?;
        if !self.is_authorized(&mut connect.credentials, is_first) || connect.new_account || !connect.account.is_empty()
        {
            return Err(Objection::Unauthorized(connect.credentials));
        }
        if !connect.lang.is_empty() {
            return Err(Objection::Client);
        }
        if !connect.gateway.is_empty() {
            return Err(Objection::Gateway(connect.gateway));
        }
        match self.name.meet(&connect.cluster, connect.cluster_dynamic) {
            Match::Same => Ok(connect),
            Match::Adopted => {
                self.renamed(now, &connect.name);
                Ok(connect)
            }
            Match::Conflict => Err(Objection::OtherCluster {
                theirs: quoted(connect.cluster.as_bytes()),
                mine: quoted(self.name.name.as_bytes()),
                gives_way: self.name.is_taken_over_by(&connect.cluster, connect.cluster_dynamic),
            }),
        }
    }

    /// What a later CONNECT leaves out is as it was, and so it is right.
    fn is_authorized(&self, credentials: &mut Credentials, is_first: bool) -> bool {
        let Some(own) = &self.cluster.authorization else { return true };
        if !is_first {
            let user = credentials.user.get_or_insert_with(|| own.user.as_str().into());
            if credentials.pass.is_none() {
                return **user == *own.user;
            }
        }
        let options = ConnectOptions { credentials: Some(Box::new(credentials.clone())), ..Default::default() };
        let auth = Auth::UserPassword { user: own.user.clone(), password: own.password.clone() };
        match auth::decide(&auth, &options) {
            Decision::Admit(_) => true,
            Decision::Refuse => false,
            Decision::Verify(verification) => verification.run(),
        }
    }
}
