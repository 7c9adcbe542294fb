//! The first words on a connection, whether what they say fits together, and how a connection ends that is not wanted.

use std::fmt;

use super::dialing::{Errand, Occasion, Purpose};
use super::handshake::{Gibberish, Handshake, Stage, Word};
use super::name::Match;
use super::{Effect, Farewell, Mesh};
use crate::connection::{CloseReason, Codec};
use crate::protocol::quote::quoted;
use crate::protocol::route::{RouteInfo, RouteParseError};
use crate::protocol::s2;
use crate::shard::mail::Control;

/// Connections that did not become routes before a server is forgotten that was learned by gossip.
const MOST_REFUSALS: u32 = 10;

/// What becomes of the errand of a connection that ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Try again later.
    Retry,
    /// Try again at once.
    RetryNow,
    /// Nothing more is to be done.
    Done,
}

impl Mesh {
    /// Works off what a connection has said.
    pub(super) fn proceed(&mut self, now: u64, rid: u64) {
        while let Some(handshake) = self.handshakes.get_mut(&rid) {
            let next = match handshake.stage {
                Stage::Parked => handshake.check_size().map(|()| None),
                _ => handshake.next(),
            };
            match next {
                Ok(Some(word)) => self.take_word(now, rid, word),
                Ok(None) => return,
                Err(error) => self.misunderstood(now, rid, &error),
            }
        }
    }

    fn take_word(&mut self, now: u64, rid: u64, word: Word) {
        let Some(handshake) = self.handshakes.get_mut(&rid) else { return };
        if self.config.trace.enabled {
            word.trace(handshake.label());
        }
        match (handshake.stage, word) {
            (_, Word::Connect(json)) => self.take_connect(now, rid, &json),
            (Stage::Connect, _) => self.unauthorized(now, rid),
            (Stage::Info, Word::Info(json)) => self.take_info(now, rid, &json),
            (Stage::Info, Word::Early) => {}
            (stage, Word::Ping) => {
                self.say_connect(rid);
                let Some(handshake) = self.handshakes.get_mut(&rid) else { return };
                if stage == Stage::Lane && handshake.errand.is_none() {
                    handshake.stage = Stage::Parked;
                }
                self.trace_sent(rid, format_args!("PONG"));
                self.send(rid, b"PONG\r\n".to_vec());
            }
            (Stage::Lane, Word::Pong) => self.lane_confirmed(now, rid),
            (_, Word::Complaint(text)) => {
                log::error!("{} - Route Error '{text}'", handshake.label());
                self.end_handshake(now, rid, None, CloseReason::ParseError, Then::Retry);
            }
            (_, Word::Pong | Word::Nothing) => {}
            (_, Word::Info(_) | Word::Early) => {
                self.refuse(now, rid, "Unknown Protocol Operation", CloseReason::ProtocolViolation);
            }
        }
    }

    fn misunderstood(&mut self, now: u64, rid: u64, error: &Gibberish) {
        let Some(handshake) = self.handshakes.get(&rid) else { return };
        if handshake.stage == Stage::Connect && !handshake.begins_with_connect() {
            return self.unauthorized(now, rid);
        }
        log::error!("{} - {error}", handshake.label());
        let (complaint, reason) = match error {
            Gibberish::Protocol(error @ RouteParseError::ControlLineExceeded) => {
                (error.wire_text(), CloseReason::MaxControlLineExceeded)
            }
            Gibberish::Protocol(error) => (error.wire_text(), CloseReason::ProtocolViolation),
            Gibberish::Compression(_) => (None, CloseReason::ReadError),
        };
        self.end_handshake(now, rid, complaint, reason, Then::Retry);
    }

    /// Says CONNECT on a connection that was dialled, unless that is done.
    pub(super) fn say_connect(&mut self, rid: u64) {
        let Some(handshake) = self.handshakes.get_mut(&rid) else { return };
        let (Some(_), Some(errand)) = (handshake.connect_due.take(), &handshake.errand) else { return };
        let (label, way) = (handshake.label(), errand.way.clone());
        self.send(rid, self.own_connect(&way));
        log::debug!("{label} - Route connect msg sent");
    }

    /// INFO is sent before CONNECT has come. Without pools it waits: Go servers that are refused after it come again without a pause.
    pub(super) fn greets_first(&self) -> bool {
        self.pool_size() > 0
    }

    fn take_info(&mut self, now: u64, rid: u64, json: &[u8]) {
        let Some(handshake) = self.handshakes.get_mut(&rid) else { return };
        let (label, errand) = (handshake.label(), handshake.errand.clone());
        let info = match RouteInfo::parse(json) {
            Ok(info) if !info.server_id.is_empty() => info,
            other => {
                let error = other.map_or_else(|error| error.to_string(), |_| "INFO without server_id".to_owned());
                log::error!("{label} - {error}");
                return self.end_handshake(now, rid, None, CloseReason::ProtocolViolation, Then::Retry);
            }
        };
        if info.server_id == self.config.identity.server_id {
            self.end_handshake(now, rid, None, CloseReason::DuplicateRoute, Then::Done);
            if let Some(errand) = errand {
                log::debug!("Detected route to self, ignoring {:?}", errand.way.shown(&self.cluster.routes));
            }
            return;
        }
        if !self.agrees_on_name(now, rid, &info, errand.is_some()) {
            return;
        }
        self.say_connect(rid);
        if errand.is_none() && info.server_name == self.config.identity.server_name {
            log::error!("{label} - Remote server has a duplicate name: {}", quoted(info.server_name.as_bytes()));
            return self.end_handshake(now, rid, None, CloseReason::DuplicateServerName, Then::Done);
        }
        if !self.agrees_on_compression(now, rid, &info) {
            return;
        }
        if let Some(handshake) = self.handshakes.get_mut(&rid) {
            handshake.remote = Some((info.server_id.clone(), info.server_name.clone()));
        }
        match errand {
            Some(errand) => self.meet_dialled(now, rid, &errand, &info),
            None => self.meet_dialler(now, rid, &info),
        }
    }

    /// After an INFO. False: the connection has ended, or another INFO is to come, compressed.
    fn agrees_on_compression(&mut self, now: u64, rid: u64, info: &RouteInfo) -> bool {
        let Some(handshake) = self.handshakes.get_mut(&rid) else { return false };
        if handshake.compression.is_some() {
            return true;
        }
        let (label, dialled) = (handshake.label(), handshake.errand.is_some());
        let mode = match s2::negotiate(self.compression, Some(&info.compression)) {
            Ok(mode) => mode,
            Err(error) => {
                log::error!("{label} - {error}");
                self.refuse(now, rid, &error.to_string(), CloseReason::ProtocolViolation);
                return false;
            }
        };
        handshake.compression = Some(mode);
        let Some(level) = mode.level() else { return true };
        let codec = Codec::new(mode, level, self.cluster.rtt_thresholds.clone());
        // The side that dialled still says in plain text how it goes on.
        if dialled {
            self.send_info(rid, &self.own_answer(rid));
        }
        if let Some(handshake) = self.handshakes.get_mut(&rid) {
            handshake.switch_to(codec);
        }
        if !dialled {
            self.send_info(rid, &self.own_answer(rid));
        }
        false
    }

    /// After an INFO. False: the connection has ended.
    fn agrees_on_name(&mut self, now: u64, rid: u64, info: &RouteInfo, dialled: bool) -> bool {
        let has_said_ours = self.handshakes.get(&rid).is_some_and(|handshake| handshake.connect_due.is_none());
        if !has_said_ours && !info.cluster.is_empty() && self.name.join(&info.cluster) {
            self.tell_clients();
        }
        if info.cluster.is_empty() || dialled && self.name.is_taken_over_by(&info.cluster, info.cluster_dynamic) {
            return true;
        }
        match self.name.meet(&info.cluster, info.cluster_dynamic) {
            Match::Same => true,
            Match::Adopted => {
                self.renamed(now, &info.server_id);
                let will_have_us = !dialled || !has_said_ours;
                // It has been told the old name, and will not have it.
                if !will_have_us {
                    self.end_handshake(now, rid, None, CloseReason::ClusterNameConflict, Then::RetryNow);
                }
                will_have_us
            }
            Match::Conflict => {
                self.end_handshake(now, rid, None, CloseReason::ClusterNameConflict, Then::Retry);
                false
            }
        }
    }

    /// This server has taken over the name of another one; the rest must agree first.
    pub(super) fn renamed(&mut self, now: u64, because_of: &str) {
        self.tell_clients();
        let reason = CloseReason::ClusterNameConflict;
        let strangers: Vec<String> = self.sets.keys().filter(|id| *id != because_of).cloned().collect();
        for id in strangers {
            self.abandon_lanes(now, &id, reason, Then::Retry);
        }
        let strangers = self.remotes.iter().filter(|(id, _)| *id != because_of);
        let routes: Vec<u64> = strangers.flat_map(|(_, remote)| remote.links.rids()).collect();
        for rid in routes {
            self.close_route(rid, None, reason);
        }
    }

    /// Says why, and ends the connection.
    pub(super) fn refuse(&mut self, now: u64, rid: u64, complaint: &str, reason: CloseReason) {
        self.end_handshake(now, rid, Some(complaint), reason, Then::Retry);
    }

    /// Ends a connection that will not be a route.
    pub(super) fn end_handshake(
        &mut self,
        now: u64,
        rid: u64,
        complaint: Option<&str>,
        reason: CloseReason,
        then: Then,
    ) {
        if let Some(complaint) = complaint {
            self.trace_sent(rid, format_args!("-ERR {complaint}"));
            self.send(rid, format!("-ERR '{complaint}'\r\n").into_bytes());
        }
        let Some(handshake) = self.handshakes.remove(&rid) else { return };
        self.effects.push(Effect::Close { rid });
        self.after_handshake(now, handshake, reason, then);
    }

    /// The connection is closed, or about to be.
    pub(super) fn after_handshake(&mut self, now: u64, handshake: Handshake, reason: CloseReason, then: Then) {
        let name = handshake.remote.as_ref().map_or("", |(_, name)| name);
        log::info!("{} - {}", handshake.label(), Farewell { reason, name });
        let id = handshake.remote.as_ref().map(|(id, _)| id.as_str());
        if let Some(id) = id.filter(|id| self.sets.get(*id).is_some_and(|set| set.has(handshake.rid))) {
            return self.abandon_lanes(now, id, reason, then);
        }
        let Some(mut errand) = handshake.errand.filter(|_| !self.is_ending) else { return };
        if let Purpose::Lane { server, instance, .. } = &errand.purpose {
            if self.sets.get(server).is_some_and(|set| set.instance == *instance) {
                self.abandon_lanes(now, server, reason, then);
            }
            return;
        }
        errand.refusals += 1;
        if then == Then::Done {
            return;
        }
        if !errand.way.is_explicit() && errand.refusals > MOST_REFUSALS {
            return self.given_up(now, errand);
        }
        let pause = if then == Then::RetryNow { self.jitter() } else { super::RECONNECT_PAUSE + self.jitter() };
        self.set_out_again(errand, now + pause);
    }

    /// Begins an errand that has led somewhere before.
    pub(super) fn set_out_again(&mut self, errand: Errand, at: u64) {
        log::debug!("Attempting reconnect for solicited route {:?}", errand.way.shown(&self.cluster.routes));
        self.set_out(errand, Occasion::Again, at);
    }

    /// Begins an errand, unless it is under way.
    pub(super) fn set_out(&mut self, errand: Errand, occasion: Occasion, at: u64) {
        let is_under_way = |other: &Handshake| other.errand.as_ref().is_some_and(|other| other.is_like(&errand));
        if !self.is_ending && !self.handshakes.values().any(is_under_way) {
            self.dialing.begin(errand, occasion, at);
        }
    }

    pub(super) fn send(&mut self, rid: u64, bytes: Vec<u8>) {
        if let Some(handshake) = self.handshakes.get_mut(&rid) {
            let bytes = handshake.encode(bytes);
            self.effects.push(Effect::Send { rid, bytes });
        }
    }

    fn trace_sent(&self, rid: u64, line: fmt::Arguments<'_>) {
        if self.config.trace.enabled {
            log::trace!("{} - ->> [{line}]", self.label(rid));
        }
    }

    pub(super) fn send_info(&mut self, rid: u64, info: &RouteInfo) {
        let mut line = Vec::new();
        info.write(&mut line);
        self.send(rid, line);
    }

    pub(super) fn close_route(&mut self, rid: u64, error: Option<Box<str>>, reason: CloseReason) {
        if let Some(route) = self.routes.get(&rid) {
            self.effects.push(Effect::Tell { shard: route.shard, control: Control::RouteClose { rid, error, reason } });
        }
    }
}
