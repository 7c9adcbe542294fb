//! What a suite demands of its cases, and what was reached.

use anyhow::Result;
use serde_json::{Value, json};

use crate::report::{Report, align};
use crate::sample::{Metric, Series, Spread};

/// What a case demands. Sides are numbered as they take turns.
#[derive(Clone, Copy, Debug)]
pub enum Demand {
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
#[derive(Default)]
pub struct Outcome {
    /// The results of the cases.
    pub reports: Vec<Report>,
    /// Cases that could not be run, and why.
    pub failures: Vec<String>,
    verdicts: Vec<Verdict>,
}

impl Outcome {
    /// Runs a case, shows its table, and judges it. A case that cannot be run does not keep the others from running.
    pub fn case(
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
    use crate::sample::{CPU_PER_MESSAGE, Sample};

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
