//! Mode `suite`: the cases that the project holds itself to, each with its demand and what was reached.

use anyhow::Result;
use serde_json::{Value, json};

use crate::churn::{self, Churn};
use crate::fanout::{self, Timing};
use crate::flow::Layout;
use crate::frame::{Interest, Plan, Subjects};
use crate::report::{Report, align};
use crate::rounds::Side;
use crate::sample::{CPU_PER_MESSAGE, Metric, Series, Spread};
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

/// What a case demands. Sides are numbered as they take turns.
#[derive(Clone, Copy, Debug)]
enum Demand {
    /// The median itself is at most this.
    AtMost(f64),
    /// The median itself is at least this.
    AtLeast(f64),
    /// The first side needs at most this many times what side `of` needs.
    TimesSide { of: usize, at_most: f64 },
    /// Side `of` needs at least this many times what the first side needs.
    LessThanSide { of: usize, at_least: f64 },
}

/// One demand and how the server did.
struct Verdict {
    case: &'static str,
    metric: Metric,
    demand: String,
    reached: String,
    passed: bool,
}

/// All that the suite found.
pub struct Outcome {
    /// The results of the cases.
    pub reports: Vec<Report>,
    /// Cases that could not be run, and why.
    pub failures: Vec<String>,
    verdicts: Vec<Verdict>,
}

impl Suite {
    /// Runs all cases. A case that cannot be run does not keep the others from running.
    pub fn run(&self) -> Outcome {
        let mut outcome = Outcome { reports: Vec::new(), failures: Vec::new(), verdicts: Vec::new() };
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

impl Outcome {
    fn case(
        &mut self,
        case: &'static str,
        demands: &[(Metric, Demand)],
        run: impl FnOnce(&str) -> Result<Vec<Series>>,
    ) {
        match run(case) {
            Ok(series) => {
                self.verdicts.extend(demands.iter().map(|(metric, demand)| demand.judge(case, *metric, &series)));
                let report = Report { title: case.to_string(), series };
                println!("{}", report.table());
                self.reports.push(report);
            }
            Err(error) => {
                let failure = format!("{case}: {error:#}");
                println!("{failure}\n");
                self.failures.push(failure);
            }
        }
    }

    /// What was demanded and what was reached.
    pub fn summary(&self) -> String {
        let mut rows = vec![["case", "metric", "demanded", "reached", ""].map(String::from).to_vec()];
        for verdict in &self.verdicts {
            let word = if verdict.passed { "pass" } else { "NOT REACHED" };
            rows.push(vec![
                verdict.case.to_string(),
                verdict.metric.title.to_string(),
                verdict.demand.clone(),
                verdict.reached.clone(),
                word.to_string(),
            ]);
        }
        // The whole text, with what the server logged, stands where the case was run.
        let first_lines = self.failures.iter().filter_map(|failure| failure.lines().next());
        align(&rows) + &first_lines.map(|line| format!("could not be run: {line}\n")).collect::<String>()
    }

    /// Everything, for machines.
    pub fn json(&self) -> Value {
        let verdicts: Vec<Value> = self
            .verdicts
            .iter()
            .map(|verdict| {
                json!({
                    "case": verdict.case, "metric": verdict.metric.key, "demanded": verdict.demand,
                    "reached": verdict.reached, "passed": verdict.passed,
                })
            })
            .collect();
        let cases: Vec<Value> = self.reports.iter().map(Report::json).collect();
        json!({ "verdicts": verdicts, "failures": self.failures, "cases": cases })
    }
}

impl Demand {
    fn judge(self, case: &'static str, metric: Metric, series: &[Series]) -> Verdict {
        let name = |side: usize| series.get(side).map(|series| series.name.as_str()).unwrap_or("?");
        let ratio = |above: usize, below: usize| series.get(above)?.ratio(series.get(below)?, metric);
        let own = || series.first()?.spread(metric);
        let show = |value| metric.unit.show(value);
        let (demand, spread, is_ratio) = match self {
            Demand::AtMost(limit) => (format!("≤ {}", show(limit)), own(), false),
            Demand::AtLeast(limit) => (format!("≥ {}", show(limit)), own(), false),
            Demand::TimesSide { of, at_most } => (format!("≤ {at_most} × {}", name(of)), ratio(0, of), true),
            Demand::LessThanSide { of, at_least } => {
                (format!("{at_least} × less than {}", name(of)), ratio(of, 0), true)
            }
        };
        let passes = |reached: Spread| match self {
            Demand::AtMost(limit) | Demand::TimesSide { at_most: limit, .. } => reached.median <= limit,
            Demand::AtLeast(limit) | Demand::LessThanSide { at_least: limit, .. } => reached.median >= limit,
        };
        let reached = match spread {
            Some(spread) if is_ratio => spread.to_string(),
            Some(spread) => spread.show(metric.unit),
            None => "not measured".to_string(),
        };
        Verdict { case, metric, demand, reached, passed: spread.is_some_and(passes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::Sample;

    fn series(values: &[f64]) -> Series {
        let sample = |value: &f64| {
            let mut sample = Sample::default();
            sample.push(CPU_PER_MESSAGE, *value);
            sample
        };
        let samples = values.iter().map(sample).collect();
        Series { name: "side".into(), is_floor: false, samples }
    }

    fn passes(demand: Demand, values: [f64; 2]) -> bool {
        demand.judge("case", CPU_PER_MESSAGE, &values.map(|value| series(&[value]))).passed
    }

    #[test]
    fn demands() {
        assert!(passes(Demand::AtMost(200.0), [200.0, 1.0]));
        assert!(!passes(Demand::AtMost(200.0), [201.0, 1.0]));
        assert!(passes(Demand::AtLeast(0.9), [0.95, 1.0]));
        assert!(!passes(Demand::AtLeast(0.9), [0.89, 1.0]));
        let less = Demand::LessThanSide { of: 1, at_least: 5.0 };
        assert!(passes(less, [60.0, 300.0]));
        assert!(!passes(less, [61.0, 300.0]));
        let times = Demand::TimesSide { of: 1, at_most: 2.0 };
        assert!(passes(times, [40.0, 20.0]));
        assert!(!passes(times, [41.0, 20.0]));
        assert!(!passes(Demand::TimesSide { of: 7, at_most: 2.0 }, [1.0, 1.0]));
    }
}
