//! Mode `suite`: the cases that the project holds itself to, each with its demand and what was reached.

use anyhow::Result;

use crate::churn::{self, Churn};
use crate::fanout::{self, Timing};
use crate::flow::Layout;
use crate::frame::{Interest, Plan, Subjects};
use crate::rounds::Side;
use crate::sample::{CPU_PER_MESSAGE, Series};
use crate::verdict::{Demand, Outcome};
use crate::{idle, request, subs};

/// Pairs of SUB and UNSUB per second beside the steady publisher.
const CHURN_RATE: u32 = 20_000;

/// What the suite compares, and at what size.
#[derive(Clone, Debug)]
pub struct Suite {
    /// The server under test.
    pub server: Side,
    /// The same with one shard and with two.
    pub shards: [Side; 2],
    /// The other server.
    pub versus: Side,
    /// The relay.
    pub floor: Side,
    /// How long runs last.
    pub timing: Timing,
    /// Bytes in flight.
    pub window: usize,
    /// Bytes of a write.
    pub batch: usize,
    /// Idle connections.
    pub connections: usize,
    /// Subscriptions in the table.
    pub subscriptions: usize,
}

impl Suite {
    /// Runs all cases.
    pub fn run(&self) -> Outcome {
        let mut outcome = Outcome::default();
        let three = [self.server.clone(), self.versus.clone(), self.floor.clone()];
        let two = [self.server.clone(), self.versus.clone()];
        let [one_shard, two_shards] = &self.shards;
        let shards = [two_shards.clone(), one_shard.clone()];
        let two_shards = [two_shards.clone(), self.versus.clone()];
        let less = |at_least| Demand::LessThanSide { of: 1, at_least };
        let floor = |at_most| Demand::TimesSide { of: 2, at_most };
        let versus = |at_most| Demand::TimesSide { of: 1, at_most };
        let cpu = |demand| (CPU_PER_MESSAGE, demand);

        outcome.case("1 → 1, 16 B", &[cpu(less(5.0)), cpu(floor(2.0))], |title| self.flow(title, &three, 1, 16));
        outcome.case("1 → 8, 16 B", &[cpu(less(5.0)), cpu(floor(2.0))], |title| self.flow(title, &three, 8, 16));
        outcome.case("1 → 8, 1 KiB", &[cpu(floor(1.2))], |title| self.flow(title, &three, 8, 1024));
        outcome.case("never-seen subjects, 16 B", &[cpu(less(6.0))], |title| self.unseen(title, &two));
        outcome.case("SUB/UNSUB churn beside a publisher", &[(churn::KEPT, Demand::AtLeast(0.9))], |title| {
            let churn = Churn { connections: 4, rate: Some(CHURN_RATE) };
            churn::run(title, &two, &self.timing, &self.layout(1, 16), churn)
        });
        outcome.case("two shards ÷ one, 1 → 1, 16 B", &[cpu(versus(1.3))], |title| self.flow(title, &shards, 1, 16));
        outcome.case("two shards ÷ one, 1 → 8, 16 B", &[cpu(versus(1.3))], |title| self.flow(title, &shards, 8, 16));
        outcome.case("request/reply one at a time, two shards", &[(request::MEDIAN, versus(1.0))], |title| {
            let inbox = request::Inbox::Shared;
            let layout =
                request::Layout { requesters: 1, responders: 1, in_flight: 1, payload: 16, inbox, spin: false };
            request::run(title, &two_shards, &self.timing, &layout)
        });
        outcome.case("idle connections", &[(idle::USER_MEMORY, Demand::AtMost(2048.0))], |title| {
            idle::run(title, &two, self.timing.rounds, self.connections)
        });
        outcome.case("subscriptions of 25 bytes", &[(subs::USER_MEMORY, Demand::AtMost(200.0))], |title| {
            subs::run(title, &two, self.timing.rounds, self.subscriptions, 4)
        });
        outcome
    }

    fn layout(&self, subscribers: usize, payload: usize) -> Layout {
        let plan = Plan { subjects: Subjects::Cycle(1), interest: Interest::Literal, publishers: 1, payload };
        Layout { plan, subscribers, groups: 0, members: 0, window: self.window, batch: self.batch }
    }

    fn flow(&self, title: &str, sides: &[Side], subscribers: usize, payload: usize) -> Result<Vec<Series>> {
        fanout::run(title, sides, &self.timing, &self.layout(subscribers, payload))
    }

    fn unseen(&self, title: &str, sides: &[Side]) -> Result<Vec<Series>> {
        let mut layout = self.layout(1, 16);
        layout.plan.subjects = Subjects::Unseen;
        layout.plan.interest = Interest::Wildcard;
        fanout::run(title, sides, &self.timing, &layout)
    }
}
