//! Finding out who has missed what: servers of this kind tell each other, now and then, whom they know, and tell the others everything twice.
//!
//! News of a server is told once, and can be lost: where a connection breaks at the wrong moment, two servers may never hear of each
//! other. So each server tells one of its remotes at random which servers it has routes to, and that one speaks of those that are
//! missing. Soon after a change this happens often, then ever more rarely. Servers of another kind do not say whom they know, and take no notice
//! of news that they have heard before: to them, whoever is new is news a second time, some seconds later.

use std::collections::BTreeSet;

use super::remotes::{Links, Remote};
use super::{Effect, Mesh, Route};
use crate::protocol::route::{LanesOffer, RouteInfo};
use crate::shard::mail::Control;

/// After a change, in milliseconds; then twice as long each time.
const SHORTEST_PAUSE: u64 = 2000;
/// When nothing changes, in milliseconds.
const LONGEST_PAUSE: u64 = 30_000;
/// A remote is not helped more often than this, in milliseconds.
const REST: u64 = 1000;
/// `gossip_mode`: who is helped need not pass it on.
const KEEP_TO_YOURSELF: u8 = 1;

/// When this server speaks of its remotes next.
#[derive(Debug, Default)]
pub(super) struct Comparing {
    next: Option<u64>,
    pause: u64,
}

impl Comparing {
    pub fn next_timer(&self) -> Option<u64> {
        self.next
    }
}

impl Mesh {
    /// The remotes have changed.
    pub(super) fn compare_soon(&mut self, now: u64) {
        self.comparing.pause = SHORTEST_PAUSE;
        self.schedule_comparison(now);
    }

    fn schedule_comparison(&mut self, now: u64) {
        let is_alone = self.lanes == 0 || self.remotes.is_empty();
        let pause = self.comparing.pause;
        let at = now.saturating_add(pause).saturating_add(self.random.u64(0..=pause / 2));
        self.comparing.next = (!is_alone && !self.is_ending).then_some(at);
    }

    /// Tells one server whom this one knows, if it is time.
    pub(super) fn compare(&mut self, now: u64) {
        if self.comparing.next.is_none_or(|at| at > now) {
            return;
        }
        self.comparing.pause = (self.comparing.pause * 2).min(LONGEST_PAUSE);
        self.schedule_comparison(now);
        self.repeat_news();
        let lanes = |links: &Links| matches!(links, Links::Lanes { .. }).then(|| links.voice(None)).flatten();
        let voices: Vec<u64> = self.remotes.values().filter_map(|remote| lanes(&remote.links)).collect();
        let Some(rid) = self.random.choice(voices) else { return };
        let mut offer = LanesOffer::new(self.lanes, None, self.instance.clone());
        offer.knows = Some(self.remotes.keys().cloned().collect());
        let mut line = Vec::new();
        RouteInfo { lanes: Some(offer), ..self.own_info() }.write(&mut line);
        self.tell_route(rid, line);
    }

    /// Tells servers of another kind once more who has come.
    fn repeat_news(&mut self) {
        let is_news = |remote: &Remote| remote.is_news && remote.links.voice(None).is_some();
        // Each line is made once, however many hear it.
        let news: Vec<(String, Vec<u8>)> = self
            .remotes
            .iter()
            .filter(|(_, remote)| is_news(remote))
            .map(|(id, remote)| (id.clone(), self.line_about(remote)))
            .collect();
        let listeners: Vec<(String, u64)> = self
            .remotes
            .iter()
            .filter(|(_, remote)| !matches!(remote.links, Links::Lanes { .. }))
            .filter_map(|(id, remote)| Some((id.clone(), remote.links.voice(None)?)))
            .collect();
        for (listener, rid) in listeners {
            let others = news.iter().filter(|(id, _)| *id != listener);
            self.tell_route(rid, others.flat_map(|(_, line)| line).copied().collect());
        }
        for (id, _) in news {
            if let Some(remote) = self.remotes.get_mut(&id) {
                remote.is_news = false;
            }
        }
    }

    /// What somebody who has missed a remote is told of it.
    fn line_about(&self, remote: &Remote) -> Vec<u8> {
        let mut line = Vec::new();
        self.news_of(&remote.info, None).write_gossip(&mut line, remote.host, KEEP_TO_YOURSELF);
        line
    }

    /// A remote of this kind has told whom it knows.
    pub(super) fn help_to_learn(&mut self, now: u64, id: &str, known: &[String]) {
        let known: BTreeSet<&str> = known.iter().map(String::as_str).collect();
        let Some(remote) = self.remotes.get_mut(id) else { return };
        let Some(rid) = remote.links.voice(None).filter(|_| remote.helped == 0 || remote.helped + REST <= now) else {
            return;
        };
        let mut lines = Vec::new();
        for (missing, remote) in
            self.remotes.iter().filter(|(other, _)| *other != id && !known.contains(other.as_str()))
        {
            log::debug!("Telling {id} of {missing}");
            lines.append(&mut self.line_about(remote));
        }
        if let Some(remote) = self.remotes.get_mut(id).filter(|_| !lines.is_empty()) {
            remote.helped = now;
            self.tell_route(rid, lines);
        }
    }

    /// Sends lines on a route, if there are any.
    pub(super) fn tell_route(&mut self, rid: u64, lines: Vec<u8>) {
        if lines.is_empty() {
            return;
        }
        if let Some(Route { shard, .. }) = self.routes.get(&rid) {
            let control = Control::RouteTell { rid, bytes: lines.into() };
            self.effects.push(Effect::Tell { shard: *shard, control });
        }
    }
}
