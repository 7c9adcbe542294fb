//! The ways from this shard to other servers, and telling them of this shard's interest.
//!
//! A way is a route of this shard, or another shard that has one. Interest takes the same way as messages do, so a request never overtakes
//! the interest in its reply. Whoever has the route looks how things are when the news come, over all shards that the route covers, and
//! says that: so two changes on two shards cannot leave the peer with the wrong one.

use hashbrown::HashMap;

use super::{Core, Shard, mark_dirty};
use crate::account;
use crate::connection::{CloseReason, Closing, Coverage, Key};
use crate::interest::News;
use crate::mesh::PeerPath;
use crate::protocol::route::write;

/// Places of the table of subjects that are gone through in one turn to tell a peer of what there is.
const ANNOUNCED_IN_A_TURN: usize = 2048;
/// A route for which so much waits is told nothing more of what there was before it came.
const ANNOUNCE_BELOW: usize = 1024 * 1024;

/// A route for which so much waits is closed: it is more than ten million interests.
const MOST_PENDING: usize = 512 * 1024 * 1024;

/// This shard's way to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// A route of this shard.
    Own(Key),
    /// A shard that has a route.
    Via(u16),
}

#[derive(Clone, Copy, Debug)]
struct Peer {
    path: Path,
    /// Runs of messages can be written as they are.
    takes_runs: bool,
    /// It is a server of this kind.
    has_lanes: bool,
}

/// A peer that is still being told of the interest that was there before it.
#[derive(Clone, Copy, Debug)]
struct Announcing {
    peer: u16,
    next: usize,
    told: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Peers {
    ways: Vec<Option<Peer>>,
    /// Routes of this shard by number.
    pub routes: HashMap<u64, Key>,
    /// Those of them that tell peers of interest.
    carriers: Vec<Key>,
    /// Other shards that have routes for this one.
    owners: Vec<u16>,
    announcing: Vec<Announcing>,
}

impl Peers {
    /// The way to a peer, if there is one.
    #[inline]
    pub fn path(&self, peer: u16) -> Option<Path> {
        self.ways.get(usize::from(peer)).copied().flatten().map(|peer| peer.path)
    }

    /// Does the peer's route take runs as they are?
    pub fn takes_runs(&self, peer: u16) -> bool {
        self.ways.get(usize::from(peer)).copied().flatten().is_some_and(|peer| peer.takes_runs)
    }

    /// Is the peer a server of this kind?
    pub fn has_lanes(&self, peer: u16) -> bool {
        self.ways.get(usize::from(peer)).copied().flatten().is_some_and(|peer| peer.has_lanes)
    }

    /// A route came to this shard.
    pub fn open(&mut self, rid: u64, key: Key, carries: bool) {
        self.routes.insert(rid, key);
        if carries {
            self.carriers.push(key);
        }
    }

    /// It is gone.
    pub fn close(&mut self, rid: u64, key: Key) {
        self.routes.remove(&rid);
        self.carriers.retain(|carrier| *carrier != key);
        for way in &mut self.ways {
            if way.is_some_and(|peer| peer.path == Path::Own(key)) {
                *way = None;
            }
        }
    }

    fn set(&mut self, peer: u16, way: Option<Peer>) {
        let at = usize::from(peer);
        if self.ways.len() <= at {
            self.ways.resize(at + 1, None);
        }
        if let Some(place) = self.ways.get_mut(at) {
            *place = way;
        }
        self.owners.clear();
        for Peer { path, .. } in self.ways.iter().flatten() {
            if let Path::Via(shard) = path
                && !self.owners.contains(shard)
            {
                self.owners.push(*shard);
            }
        }
        self.announcing.retain(|announcing| announcing.peer != peer);
        if way.is_some() {
            self.announcing.push(Announcing { peer, next: 0, told: false });
        }
    }
}

impl Core {
    /// There is a way to a peer; it is told of all interest of this shard.
    pub(super) fn peer_up(&mut self, peer: u16, path: PeerPath) {
        let way = if path.shard == self.id {
            let Some(&key) = self.peers.routes.get(&path.rid) else { return };
            let dedicated = self.route(key).is_none_or(|route| route.is_dedicated());
            Peer { path: Path::Own(key), takes_runs: !dedicated, has_lanes: path.is_lane }
        } else {
            Peer { path: Path::Via(path.shard), takes_runs: false, has_lanes: path.is_lane }
        };
        self.peers.set(peer, Some(way));
    }

    /// There is no way to a peer any more.
    pub(super) fn peer_down(&mut self, peer: u16) {
        self.peers.set(peer, None);
    }

    /// Is there a peer to be told of interest that was there before it, and does its route take more?
    pub(super) fn can_announce(&self) -> bool {
        self.peers.announcing.iter().any(|announcing| self.takes_announcements(announcing.peer))
    }

    fn takes_announcements(&self, peer: u16) -> bool {
        match self.peers.path(peer) {
            Some(Path::Own(key)) => self
                .connections
                .get(key.index as usize)
                .is_some_and(|connection| connection.out.pending() < ANNOUNCE_BELOW),
            Some(Path::Via(shard)) => !self.outbox.is_exhausted(shard),
            None => false,
        }
    }

    /// Goes on telling joining peers of the interest that there is.
    pub(super) fn announce_some(&mut self) {
        let mut all = std::mem::take(&mut self.peers.announcing);
        let mut news = News::default();
        let slots = self.local.interest_slots();
        all.retain_mut(|announcing| {
            let Announcing { peer, next, told } = announcing;
            if !self.takes_announcements(*peer) {
                return true;
            }
            let until = slots.min(*next + ANNOUNCED_IN_A_TURN);
            match self.peers.path(*peer) {
                Some(Path::Via(shard)) => {
                    let news = self.outbox.news(shard, Some(*peer));
                    self.local.for_each_interest(*next..until, |subject, queue| news.push(subject, queue));
                }
                Some(Path::Own(key)) => {
                    news.clear();
                    self.local.for_each_interest(*next..until, |subject, queue| news.push(subject, queue));
                    *told |= !news.is_empty();
                    for (subject, queue) in news.iter() {
                        self.tell_route(key, self.id, subject, queue);
                    }
                    if until == slots
                        && *told
                        && let Some(connection) = self.connection(key)
                    {
                        log::debug!("{} - Sent local subscriptions to route", connection.label());
                    }
                }
                None => return false,
            }
            *next = until;
            until < slots
        });
        self.peers.announcing.append(&mut all);
    }

    /// Tells peers what changed here since the last time.
    #[inline]
    pub(super) fn spread_news(&mut self) {
        if !self.local.news().is_empty() {
            self.spread_all_news();
        }
    }

    fn spread_all_news(&mut self) {
        let mut news = std::mem::take(self.local.news());
        news.merge_groups();
        if !self.peers.carriers.is_empty() {
            self.tell_routes(self.id, &news, None);
        }
        for &target in &self.peers.owners {
            let pending = self.outbox.news(target, None);
            news.iter().for_each(|(subject, queue)| pending.push(subject, queue));
        }
        news.clear();
        *self.local.news() = news;
    }

    /// Tells the routes of this shard, or those of one peer, of interest that changed on some shard.
    pub(super) fn tell_routes(&mut self, from: u16, news: &News, peer: Option<u16>) {
        for at in 0..self.peers.carriers.len() {
            let Some(&key) = self.peers.carriers.get(at) else { return };
            if peer.is_none_or(|peer| self.route(key).is_some_and(|route| route.peer == peer)) {
                for (subject, queue) in news.iter() {
                    self.tell_route(key, from, subject, queue);
                }
            }
        }
    }

    fn tell_route(&mut self, key: Key, from: u16, subject: &[u8], queue: Option<&[u8]>) {
        let Some(coverage) = self.route(key).and_then(|route| route.coverage()) else { return };
        let permitted = self.config.cluster.as_ref().and_then(|cluster| cluster.permissions.as_ref());
        if !coverage.covers(from) || permitted.is_some_and(|rules| !rules.announces(subject)) {
            return;
        }
        let members = self.covered_members(coverage, subject, queue);
        let Some(connection) = self.connections.get_mut(key.index as usize) else { return };
        let Some(route) = connection.route.as_ref().filter(|_| connection.closing.is_none()) else { return };
        let account = route.account_token(account::GLOBAL).map(str::as_bytes);
        self.scratch.clear();
        match members {
            0 => write::no_interest(&mut self.scratch, account, subject, queue),
            _ => write::interest(&mut self.scratch, account, subject, queue.map(|name| (name, members))),
        }
        connection.out.append(&mut self.pool, &self.scratch);
        mark_dirty(&mut self.dirty, connection);
        if connection.out.pending() > MOST_PENDING {
            // Messages can be dropped, but a peer that misses interest is wrong for ever.
            self.too_slow(key);
            return;
        }
        if self.tracing {
            let line = String::from_utf8_lossy(&self.scratch).trim_end().to_owned();
            self.trace_line(key, "->>", &line);
        }
    }

    #[cold]
    fn too_slow(&mut self, key: Key) {
        if let Some(connection) = self.connection(key) {
            log::info!("{} - Slow Consumer Detected: MaxPending of {MOST_PENDING} Exceeded", connection.label());
            self.counters.slow_consumers += 1;
            self.close(key, Closing::Now(CloseReason::SlowConsumerPendingBytes));
        }
    }

    /// How many members the shards that a route covers have in a queue group; of plain subscriptions it is only known whether there are any.
    fn covered_members(&self, coverage: Coverage, subject: &[u8], queue: Option<&[u8]>) -> u32 {
        let key = self.hasher.interest_key(account::GLOBAL, subject);
        let mut members = 0;
        if coverage.covers(self.id) {
            members = self.local.members(account::GLOBAL, key, subject, queue) as u32;
        }
        let others = |shard: u16| shard != self.id && coverage.covers(shard);
        match queue {
            None if members == 0 => u32::from(self.directory.is_wanted(key, subject, others)),
            None => members,
            Some(name) => members.saturating_add(self.directory.members(key, subject, name, others)),
        }
    }
}

impl Shard {
    /// Interest of another shard changed.
    pub(super) fn hear_news(&mut self, from: usize, news: &News, peer: Option<u16>) {
        // Shards have 16-bit numbers.
        self.core.tell_routes(from as u16, news, peer);
    }
}
