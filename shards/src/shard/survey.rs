//! Questions of the monitoring, answered between turns and in small steps, so that nobody's messages wait for them.
//!
//! A step looks at [`SLOTS`] places of a table or describes [`FACTS`] connections: some hundred microseconds at most, and a shard makes one
//! step a turn. So a question about a million subscriptions takes some hundred turns, in which clients are served as ever. The price is
//! that an answer is no picture of one moment: what comes or goes meanwhile may be in it or not. The counters need no walk at all. What is
//! remembered of closed connections is gone through in one step; `max_closed_clients` bounds it.
//!
//! A page of connections costs a look at the numbers of all of them and a heap of as many as come before the end of the page; only those
//! are described. Subscriptions of connections are found by a walk over all subscriptions of the shard, because a walk over one
//! connection's own table could not be interrupted. What other servers want is gone through a part of a route's table at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::Sender;
use hashbrown::HashMap;

use super::history::user_of;
use super::{Core, Shard};
use crate::connection::Key;
use crate::interest::{LearnedInterest, SubId};
use crate::snapshot::{ConnectionFacts, ConnectionQuery, InterestFacts, Numbers, Query, Snapshot};
use crate::subject;

/// Places of a table that one step looks at.
const SLOTS: usize = 4096;
/// Connections that one step describes.
const FACTS: usize = 512;

/// See the module.
#[derive(Debug)]
pub struct Survey {
    query: Arc<Query>,
    answers: Sender<Snapshot>,
    stage: Stage,
    /// The first so far, by rank and number.
    chosen: BTreeMap<(u64, u64), Whose>,
    described: Vec<Described>,
    /// Where in that list those are that may get subscriptions, by number.
    places: HashMap<u64, usize>,
    /// The routes that there were when this question came to them.
    routes: Vec<Key>,
    snapshot: Snapshot,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// Rank connections, from this place of the table on.
    Rank(usize),
    /// Describe those that were chosen.
    Describe,
    /// Look at subscriptions, from this one on.
    Subscriptions(usize),
    /// Describe all routes.
    Routes,
    /// Look at what the last one's server wants, from this part on.
    Interests(usize),
    Done,
}

/// A connection that may be in the answer.
#[derive(Debug)]
enum Whose {
    Open(Key),
    Closed(Arc<ConnectionFacts>),
}

#[derive(Debug)]
enum Described {
    /// Connected when it was described; it may still get subscriptions.
    Open(Box<ConnectionFacts>),
    Closed(Arc<ConnectionFacts>),
}

impl Survey {
    /// A question, and where the answer goes.
    pub fn new(query: Arc<Query>, answers: Sender<Snapshot>) -> Self {
        Survey {
            query,
            answers,
            stage: Stage::Rank(0),
            chosen: BTreeMap::new(),
            described: Vec::new(),
            places: HashMap::new(),
            routes: Vec::new(),
            snapshot: Snapshot::default(),
        }
    }

    fn offer(&mut self, query: &ConnectionQuery, numbers: &Numbers, now: Duration, whose: impl FnOnce() -> Whose) {
        let place = (query.sort.rank(numbers, now), numbers.cid);
        if self.chosen.len() >= query.first {
            if self.chosen.last_key_value().is_none_or(|(last, _)| *last <= place) {
                return;
            }
            self.chosen.pop_last();
        }
        self.chosen.insert(place, whose());
    }

    /// One step; the next stage.
    fn step(&mut self, core: &Core) -> Stage {
        match self.stage {
            Stage::Rank(from) => self.rank(core, from),
            Stage::Describe => self.describe(core),
            Stage::Subscriptions(from) => self.look_at_subscriptions(core, from),
            Stage::Routes => self.describe_route(core),
            Stage::Interests(part) => self.look_at_interests(core, part),
            Stage::Done => Stage::Done,
        }
    }

    fn rank(&mut self, core: &Core, from: usize) -> Stage {
        let query = Arc::clone(&self.query);
        let Some(query) = &query.connections else { return Stage::Subscriptions(0) };
        let now = Duration::from_micros(core.now_micros);
        if from == 0 && query.closed {
            for facts in &core.history.closed {
                if wanted(query, facts.numbers.cid, || facts.user.clone()) {
                    self.offer(query, &facts.numbers, now, || Whose::Closed(Arc::clone(facts)));
                }
            }
        }
        let end = core.connections.capacity();
        let until = end.min(from.saturating_add(SLOTS));
        for connection in (from..until).filter_map(|index| core.connections.get(index)) {
            let asked = if connection.closing.is_some() { query.closed } else { query.open };
            if asked && connection.route.is_none() && wanted(query, connection.cid, || user_of(connection)) {
                self.offer(query, &core.numbers(connection), now, || Whose::Open(connection.key));
            }
        }
        if until < end { Stage::Rank(until) } else { Stage::Describe }
    }

    fn describe(&mut self, core: &Core) -> Stage {
        for _ in 0..FACTS {
            let Some((_, whose)) = self.chosen.pop_first() else { return Stage::Subscriptions(0) };
            match whose {
                Whose::Closed(facts) => self.described.push(Described::Closed(facts)),
                Whose::Open(key) => {
                    let connection = core.connections.get(key.index as usize).filter(|found| found.key == key);
                    if let Some(connection) = connection {
                        if connection.closing.is_none() {
                            self.places.insert(connection.cid, self.described.len());
                        }
                        self.described.push(Described::Open(Box::new(core.facts(connection))));
                    }
                }
            }
        }
        Stage::Describe
    }

    fn look_at_subscriptions(&mut self, core: &Core, from: usize) -> Stage {
        let query = Arc::clone(&self.query);
        let of_connections = query.connections.as_ref().is_some_and(|query| query.subscriptions);
        if !of_connections && query.subscriptions.is_none() {
            return self.routes_next(core);
        }
        let end = core.local.slots();
        let until = end.min(from.saturating_add(SLOTS));
        for index in from..until {
            let id = SubId(index as u32);
            let Some(subscription) = core.local.get(id) else { continue };
            let connection = core.connections.get(subscription.connection as usize);
            let Some(connection) = connection.filter(|found| found.closing.is_none()) else { continue };
            if of_connections
                && let Some(&place) = self.places.get(&connection.cid)
                && let Some(Described::Open(facts)) = self.described.get_mut(place)
            {
                facts.subscriptions.extend(core.subscription_facts(connection, id));
            }
            if let Some(wanted) = &query.subscriptions {
                let pattern = core.local.subject_of(subscription);
                if wanted.test.as_deref().is_none_or(|test| subject::matches(pattern, test)) {
                    self.snapshot.matching += 1;
                    if self.snapshot.subscriptions.len() < wanted.first {
                        self.snapshot.subscriptions.extend(core.subscription_facts(connection, id));
                    }
                }
            }
        }
        if until < end { Stage::Subscriptions(until) } else { self.routes_next(core) }
    }

    fn routes_next(&mut self, core: &Core) -> Stage {
        if self.query.routes.is_none() {
            return Stage::Done;
        }
        self.routes = core.peers.routes.values().copied().collect();
        Stage::Routes
    }

    /// One route; there are not many.
    fn describe_route(&mut self, core: &Core) -> Stage {
        let Some(key) = self.routes.last() else { return Stage::Done };
        let connection = core.connections.get(key.index as usize).filter(|found| found.key == *key);
        if let Some(connection) = connection
            && let Some(route) = &connection.route
        {
            self.snapshot.routes.push(core.route_facts(connection, route));
            if self.query.routes.is_some_and(|wanted| wanted.interest) {
                return Stage::Interests(0);
            }
        }
        self.routes.pop();
        Stage::Routes
    }

    /// One part of what the server at the other end of a route wants, of the last one that was described.
    fn look_at_interests(&mut self, core: &Core, part: usize) -> Stage {
        let key = self.routes.last().filter(|_| part < LearnedInterest::PARTS);
        let connection = key.and_then(|key| core.connections.get(key.index as usize).filter(|found| found.key == *key));
        let route = connection.and_then(|connection| connection.route.as_ref());
        if let (Some(route), Some(facts)) = (route, self.snapshot.routes.last_mut()) {
            facts.interests.extend(route.learned.part(part).map(|interest| InterestFacts {
                subject: interest.subject.into(),
                queue: interest.queue.map(Box::from),
            }));
            return Stage::Interests(part + 1);
        }
        self.routes.pop();
        Stage::Routes
    }

    /// The answer leaves. Nobody may wait for it any more, which is no reason to do anything.
    fn answer(mut self, core: &Core) {
        self.snapshot.shard = usize::from(core.id);
        self.snapshot.now = Duration::from_micros(core.now_micros);
        self.snapshot.totals = core.totals();
        self.snapshot.connections.extend(self.described.into_iter().map(|described| match described {
            Described::Open(facts) => Arc::from(facts),
            Described::Closed(facts) => facts,
        }));
        let _ = self.answers.try_send(self.snapshot);
    }
}

fn wanted(query: &ConnectionQuery, cid: u64, user: impl FnOnce() -> Option<Box<str>>) -> bool {
    query.cid.is_none_or(|wanted| wanted == cid)
        && query.user.as_deref().is_none_or(|wanted| user().is_some_and(|user| *user == *wanted))
}

impl Shard {
    /// Between turns: one step towards the answer to the oldest question.
    pub fn answer_some(&mut self) {
        let Some(mut survey) = self.core.surveys.pop_front() else { return };
        survey.stage = survey.step(&self.core);
        match survey.stage {
            Stage::Done => survey.answer(&self.core),
            _ => self.core.surveys.push_front(survey),
        }
    }
}
