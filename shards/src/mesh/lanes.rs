//! Lanes between two servers of this kind: as many connections as the smaller one has shards, which come and go together.
//!
//! Who dials says in its INFO which lane a connection is, and under which random name the lanes belong together. Lane 0 goes ahead: when
//! its PING is answered, the others follow. Who was dialled hands the connections to its shards when the last one is there, with a PONG to
//! be said before anything else; the first of these tells the dialler that it can do the same.
//!
//! Two servers may dial each other at the same moment. Of the two lanes 0 the server with the smaller id chooses, alone: by saying its INFO
//! as the one that dialled, or PONG as the other. So exactly one set survives, whatever the order in which things arrive.

use super::dialing::{Errand, Occasion, Purpose, Way};
use super::greeting::Then;
use super::handshake::Stage;
use super::remotes::Links;
use super::{Mesh, PeerPath, RECONNECT_PAUSE, RouteKind};
use crate::connection::CloseReason;
use crate::protocol::route::{LanesOffer, RouteInfo};

/// Time for all lanes to come up, in milliseconds.
const PATIENCE: u64 = 10_000;

/// Lanes that are not all there yet.
#[derive(Debug)]
pub(super) struct LaneSet {
    /// This server dials.
    dialled: Option<Way>,
    /// Random name that they have in common.
    pub instance: String,
    /// What led, or would have led, to the server there.
    pub ways: Vec<Way>,
    info: RouteInfo,
    lanes: Vec<Option<u64>>,
    /// The other side has chosen this set: lane 0 was answered.
    is_chosen: bool,
    pub deadline: u64,
}

impl LaneSet {
    pub fn has(&self, rid: u64) -> bool {
        self.lanes.contains(&Some(rid))
    }
}

impl Mesh {
    /// What INFO offers to servers of this kind.
    pub(super) fn lanes_offer(&self) -> Option<LanesOffer> {
        (self.lanes > 0).then(|| LanesOffer::new(self.lanes, None, self.instance.clone()))
    }

    /// Is the server that said this one of our kind?
    pub(super) fn has_lanes_with(&self, info: &RouteInfo) -> bool {
        self.lanes > 0 && info.lanes.is_some()
    }

    /// The lane that a server which dialled says this connection is.
    pub(super) fn lane_of<'a>(&self, info: &'a RouteInfo) -> Option<(&'a LanesOffer, u16)> {
        let offer = info.lanes.as_ref().filter(|_| self.lanes > 0)?;
        Some((offer, offer.lane?))
    }

    /// This server has dialled another of its kind: lane 0.
    pub(super) fn begin_lanes(&mut self, now: u64, rid: u64, errand: &Errand, info: &RouteInfo) {
        let id = &info.server_id;
        if self.remotes.contains_key(id) || self.sets.contains_key(id) {
            return self.end_duplicate(now, rid, id);
        }
        let Some(offer) = &info.lanes else { return };
        let lanes = offer.lanes.min(self.lanes);
        let instance = self.random_name();
        let set = LaneSet {
            dialled: Some(errand.way.clone()),
            instance,
            ways: vec![errand.way.clone()],
            info: info.clone(),
            lanes: vec![None; usize::from(lanes)],
            is_chosen: false,
            deadline: now + PATIENCE,
        };
        self.sets.insert(id.clone(), set);
        self.say_lane(rid, id, 0);
    }

    /// A further lane that this server has dialled.
    pub(super) fn answer_on_lane(&mut self, now: u64, rid: u64, errand: &Errand, info: &RouteInfo) {
        let Purpose::Lane { server, instance, lane } = &errand.purpose else { return };
        let is_expected = |set: &LaneSet| info.server_id == *server && set.instance == *instance;
        if self.sets.get(server).is_some_and(is_expected) {
            self.say_lane(rid, server, *lane);
        } else {
            self.end_handshake(now, rid, None, CloseReason::DuplicateRoute, Then::Retry);
        }
    }

    /// Says which lane this is, and asks whether that is all right.
    fn say_lane(&mut self, rid: u64, id: &str, lane: u16) {
        let Some(set) = self.sets.get_mut(id) else { return };
        let lanes = u16::try_from(set.lanes.len()).unwrap_or(u16::MAX);
        if let (Some(place), Some(handshake)) = (set.lanes.get_mut(usize::from(lane)), self.handshakes.get_mut(&rid)) {
            *place = Some(rid);
            handshake.stage = Stage::Lane;
        }
        let offer = LanesOffer::new(lanes, Some(lane), set.instance.clone());
        let mut line = Vec::new();
        RouteInfo { lanes: Some(offer), ..self.own_answer(rid) }.write(&mut line);
        line.extend_from_slice(b"PING\r\n");
        self.send(rid, line);
    }

    /// PONG on a lane that this server has dialled.
    pub(super) fn lane_confirmed(&mut self, now: u64, rid: u64) {
        let Some(handshake) = self.handshakes.get(&rid) else { return };
        let Some((id, _)) = handshake.remote.clone() else { return };
        let Some(set) = self.sets.get_mut(&id) else { return };
        let Some(way) = set.dialled.clone() else { return };
        if set.is_chosen || set.lanes.len() == 1 {
            return self.complete_lanes(now, &id);
        }
        set.is_chosen = true;
        let (instance, lanes) = (set.instance.clone(), set.lanes.len());
        let address = Some(handshake.address);
        // Answered like those of the other lanes when all are there.
        self.send(rid, b"PING\r\n".to_vec());
        for lane in (1..lanes).filter_map(|lane| u16::try_from(lane).ok()) {
            let purpose = Purpose::Lane { server: id.clone(), instance: instance.clone(), lane };
            let errand = Errand { address, ..Errand::new(way.clone(), purpose) };
            self.set_out(errand, Occasion::First, now);
        }
    }

    /// A server that has dialled this one says which lane this is.
    pub(super) fn attach_lane(&mut self, now: u64, rid: u64, info: &RouteInfo, offer: &LanesOffer, lane: u16) {
        let id = &info.server_id;
        let Some(handshake) = self.handshakes.get(&rid) else { return };
        if offer.lanes > self.lanes {
            let complaint = format!("Too many lanes: {} were offered", self.lanes);
            log::error!("{} - {complaint}", self.label(rid));
            return self.refuse(now, rid, &complaint, CloseReason::ProtocolViolation);
        }
        if lane == 0 {
            if !self.gives_way(id, handshake.opened) {
                return self.end_duplicate(now, rid, id);
            }
            let set = LaneSet {
                dialled: None,
                instance: offer.inst.clone(),
                ways: self.drop_former(now, id),
                info: info.clone(),
                lanes: vec![None; usize::from(offer.lanes)],
                is_chosen: true,
                deadline: now + PATIENCE,
            };
            self.sets.insert(id.clone(), set);
        }
        let set = self.sets.get_mut(id).filter(|set| set.dialled.is_none() && set.instance == offer.inst);
        let place = set.filter(|set| set.lanes.len() == usize::from(offer.lanes));
        let Some(place) = place.and_then(|set| set.lanes.get_mut(usize::from(lane))).filter(|place| place.is_none())
        else {
            return self.end_handshake(now, rid, None, CloseReason::DuplicateRoute, Then::Done);
        };
        *place = Some(rid);
        if let Some(handshake) = self.handshakes.get_mut(&rid) {
            // The first PING on lane 0 is answered before the others are there.
            handshake.stage = if lane == 0 { Stage::Lane } else { Stage::Parked };
        }
        if self.sets.get(id).is_some_and(|set| set.lanes.iter().all(Option::is_some)) {
            self.complete_lanes(now, id);
        }
    }

    /// A server has dialled this one: does that count more than what there is already?
    ///
    /// Who says lane 0 knows of no other set at that moment. So what it has dialled before, it has given up; and what we dialled is lost
    /// there, too, if all of it was up before this connection was made.
    fn gives_way(&self, id: &str, opened: u64) -> bool {
        if *id < *self.config.identity.server_id {
            return true;
        }
        match (self.sets.get(id), self.remotes.get(id).map(|remote| &remote.links)) {
            (Some(set), _) => set.dialled.is_none(),
            (None, Some(Links::Lanes { dialled, since, .. })) => !dialled || *since < opened,
            (None, Some(_)) => false,
            (None, None) => true,
        }
    }

    /// Ends what a new set takes the place of, and says what led there.
    fn drop_former(&mut self, now: u64, id: &str) -> Vec<Way> {
        let mut ways = self.drop_lanes(now, id, CloseReason::DuplicateRoute);
        if let Some(set) = self.sets.get_mut(id) {
            ways.append(&mut set.ways);
            self.abandon_lanes(now, id, CloseReason::DuplicateRoute, Then::Done);
        }
        ways
    }

    /// All lanes are there.
    fn complete_lanes(&mut self, now: u64, id: &str) {
        let Some(set) = self.sets.remove(id) else { return };
        let rids: Vec<u64> = set.lanes.iter().copied().flatten().collect();
        let Some(&first) = rids.first().filter(|_| rids.len() == set.lanes.len()) else {
            // A server that answers before it has all lanes; wait for them.
            self.sets.insert(id.to_owned(), set);
            return;
        };
        let lanes = u16::try_from(rids.len()).unwrap_or(u16::MAX);
        let links = Links::Lanes { rids: rids.clone(), dialled: set.dialled.is_some(), since: now };
        if !self.add_remote(now, first, &set.info, links) {
            self.sets.insert(id.to_owned(), set);
            return self.abandon_lanes(now, id, CloseReason::MaxConnectionsExceeded, Then::Retry);
        }
        if let Some(remote) = self.remotes.get_mut(id) {
            remote.ways = set.ways;
        }
        let Some(address) = self.handshakes.get(&first).map(|handshake| handshake.address) else { return };
        // A shard may have much to say before it comes to the PING that waits, and the dialler is not ready for that.
        let confirmation = if set.dialled.is_none() { &b"PONG\r\n"[..] } else { &[] };
        for (lane, &rid) in (0..lanes).zip(&rids) {
            let Some(handshake) = self.handshakes.remove(&rid) else { continue };
            log::debug!("{} - Registering remote route {id:?}", handshake.label());
            self.establish(lane, handshake, id, RouteKind::Lane { lane, lanes }, (confirmation.to_vec(), false));
        }
        self.announce_peer(id, |shard| {
            let lane = shard % lanes;
            PeerPath { shard: lane, rid: rids.get(usize::from(lane)).copied().unwrap_or(first), is_lane: true }
        });
        self.spread(id, &set.info, address, set.dialled.as_ref(), None);
        for account in self.accounts_with_connections() {
            self.spread(id, &set.info, address, set.dialled.as_ref(), Some(&account));
        }
    }

    /// Ends all connections of a set that will not be complete.
    pub(super) fn abandon_lanes(&mut self, now: u64, id: &str, reason: CloseReason, then: Then) {
        let Some(set) = self.sets.remove(id) else { return };
        let is_of_set = |errand: &Errand| matches!(&errand.purpose, Purpose::Lane { server, instance, .. } if server == id && *instance == set.instance);
        self.dialing.cancel(is_of_set);
        let dialled = self.handshakes.values().filter(|handshake| handshake.errand.as_ref().is_some_and(is_of_set));
        let mut rids: Vec<u64> = dialled.map(|handshake| handshake.rid).collect();
        rids.extend(set.lanes.iter().flatten().filter(|rid| !rids.contains(rid)).copied().collect::<Vec<_>>());
        for rid in rids {
            self.end_handshake(now, rid, None, reason, Then::Done);
        }
        if then != Then::Done {
            for way in set.ways {
                let at = now + RECONNECT_PAUSE + self.jitter();
                self.set_out_again(Errand::new(way, Purpose::Any), at);
            }
        }
    }
}
