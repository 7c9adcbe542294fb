//! Mode `suite --cluster`: the cases of clusters that the project holds itself to.

use anyhow::Result;

use crate::across::{self, CARRIERS, COPIES};
use crate::cluster::ClusterSide;
use crate::fanout::Timing;
use crate::flow::Layout;
use crate::frame::{Interest, Plan, Subjects};
use crate::sample::{CPU_PER_MESSAGE, Series};
use crate::verdict::{Demand, Outcome};
use crate::{interest, request};

/// A client counts as served while it waits no longer than this (in microseconds) for a message.
const SERVED_US: f64 = 50_000.0;

/// What the suite compares, and at what size.
#[derive(Clone, Debug)]
pub struct ClusterSuite {
    /// Two of the servers under test.
    pub servers: ClusterSide,
    /// The same with four shards each.
    pub four_shards: ClusterSide,
    /// Two of the other servers.
    pub versus: ClusterSide,
    /// How long runs last.
    pub timing: Timing,
    /// Bytes in flight.
    pub window: usize,
    /// Bytes of a write.
    pub batch: usize,
    /// Subscriptions that are announced.
    pub interests: usize,
}

impl ClusterSuite {
    /// Runs all cases.
    pub fn run(&self) -> Outcome {
        let mut outcome = Outcome::default();
        let two = [self.servers.clone(), self.versus.clone()];
        let less = |at_least| Demand::LessThanSide { of: 1, at_least };
        let versus = |at_most| Demand::TimesSide { of: 1, at_most };

        outcome.case("A → B, 1 subscriber, 16 B", &[(CPU_PER_MESSAGE, less(4.0))], |title| self.flow(title, &two, 1));
        let demands = [(CPU_PER_MESSAGE, less(4.0)), (COPIES, Demand::AtMost(1.0))];
        outcome.case("A → B, 8 subscribers, 16 B", &demands, |title| self.flow(title, &two, 8));
        // One route lane for each shard that publishes shows that the publishers are on four.
        let demands = [(CPU_PER_MESSAGE, versus(1.3)), (CARRIERS, Demand::AtLeast(4.0))];
        outcome.case("4 publishers on 4 shards of A ÷ 1 on 1", &demands, |title| {
            let side = |name, publishers| (self.four_shards.called(name), self.layout(publishers, 1));
            across::run(title, &[side("4 publishers", 4), side("1 publisher", 1)], &self.timing)
        });
        outcome.case("request on A, reply from B, one at a time", &[(request::MEDIAN, versus(1.0))], |title| {
            let inbox = request::Inbox::Shared;
            let layout =
                request::Layout { requesters: 1, responders: 1, in_flight: 1, payload: 16, inbox, spin: false };
            across::run_requests(title, &two, &self.timing, &layout)
        });
        let demands = [
            (interest::TIME, less(3.0)),
            (interest::WAIT_AT_TELLER, Demand::AtMost(SERVED_US)),
            (interest::WAIT_AT_LISTENER, Demand::AtMost(SERVED_US)),
            (interest::USER_MEMORY, Demand::AtMost(150.0)),
        ];
        outcome.case("interest announced to a joining peer", &demands, |title| {
            let layout = interest::Layout { interests: self.interests, connections: 4 };
            interest::run(title, &two, self.timing.rounds, layout)
        });
        outcome
    }

    fn layout(&self, publishers: u16, subscribers: usize) -> Layout {
        let plan = Plan { subjects: Subjects::Cycle(1), interest: Interest::Literal, publishers, payload: 16 };
        Layout { plan, subscribers, groups: 0, members: 0, window: self.window, batch: self.batch }
    }

    fn flow(&self, title: &str, sides: &[ClusterSide], subscribers: usize) -> Result<Vec<Series>> {
        let with_layout = |side: &ClusterSide| (side.clone(), self.layout(1, subscribers));
        across::run(title, &sides.iter().map(with_layout).collect::<Vec<_>>(), &self.timing)
    }
}
