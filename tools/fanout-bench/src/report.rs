//! The results for people (a table) and for machines (JSON).

use std::fmt::Write;

use serde_json::{Map, Value, json};

use crate::sample::{Metric, Series, Spread};

/// The results of one case.
#[derive(Clone, Debug)]
pub struct Report {
    /// What was run.
    pub title: String,
    /// The sides; the first one is the server under test.
    pub series: Vec<Series>,
}

impl Report {
    /// All metrics that any side has, in the order of the first that has them.
    fn metrics(&self) -> Vec<Metric> {
        let mut metrics: Vec<Metric> = Vec::new();
        for metric in self.series.iter().flat_map(Series::metrics) {
            if !metrics.contains(&metric) {
                metrics.push(metric);
            }
        }
        metrics
    }

    /// What is divided by what: the other sides by the first, but the first by the floor.
    fn ratios(&self) -> Vec<(&Series, &Series)> {
        let Some((first, others)) = self.series.split_first() else { return Vec::new() };
        others.iter().map(|other| if other.is_floor { (first, other) } else { (other, first) }).collect()
    }

    /// A table for people: medians with their spread, and the sides in relation to each other.
    pub fn table(&self) -> String {
        let Some((first, others)) = self.series.split_first() else { return String::new() };
        let ratios = self.ratios();
        let mut header = vec![String::new(), first.name.clone()];
        for (other, (above, below)) in others.iter().zip(&ratios) {
            header.push(other.name.clone());
            header.push(format!("{} ÷ {}", above.name, below.name));
        }
        let mut rows = vec![header];
        for metric in self.metrics() {
            let show =
                |series: &Series| series.spread(metric).map(|spread| spread.show(metric.unit)).unwrap_or_default();
            let mut row = vec![metric.title.to_string(), show(first)];
            for (other, (above, below)) in others.iter().zip(&ratios) {
                row.push(show(other));
                row.push(above.ratio(below, metric).as_ref().map(Spread::to_string).unwrap_or_default());
            }
            rows.push(row);
        }
        format!("{}\n{}", self.title, align(&rows))
    }

    /// Everything, for machines.
    pub fn json(&self) -> Value {
        let side = |series: &Series| {
            let metrics: Map<String, Value> = series
                .metrics()
                .into_iter()
                .filter_map(|metric| {
                    let spread = series.spread(metric)?;
                    let value = json!({
                        "unit": metric.unit.name(), "median": spread.median, "min": spread.min, "max": spread.max,
                        "samples": series.values(metric),
                    });
                    Some((metric.key.to_string(), value))
                })
                .collect();
            json!({ "name": series.name, "metrics": metrics })
        };
        let ratio = |(above, below): (&Series, &Series)| {
            let values: Map<String, Value> = self
                .metrics()
                .into_iter()
                .filter_map(|metric| {
                    let ratio = above.ratio(below, metric)?;
                    let value = json!({ "median": ratio.median, "min": ratio.min, "max": ratio.max });
                    Some((metric.key.to_string(), value))
                })
                .collect();
            json!({ "of": above.name, "to": below.name, "metrics": values })
        };
        let ratios: Vec<Value> = self.ratios().into_iter().map(ratio).collect();
        json!({ "title": self.title, "sides": self.series.iter().map(side).collect::<Vec<_>>(), "ratios": ratios })
    }
}

/// Lays rows out in columns.
pub fn align(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            // Writing to a string cannot fail.
            let _ = write!(line, "{cell:<width$}   ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{CPU_PER_MESSAGE, Sample};

    fn report() -> Report {
        let series = |name: &str, values: &[f64]| {
            let samples = values
                .iter()
                .map(|value| {
                    let mut sample = Sample::default();
                    sample.push(CPU_PER_MESSAGE, *value);
                    sample
                })
                .collect();
            Series { name: name.into(), is_floor: name == "floor", samples }
        };
        Report {
            title: "case".into(),
            series: vec![series("a", &[100.0, 110.0]), series("b", &[500.0, 550.0]), series("floor", &[25.0, 27.5])],
        }
    }

    #[test]
    fn table_has_medians_and_ratios() {
        let table = report().table();
        assert!(table.contains("105.0 ns (100.0 ns – 110.0 ns)"), "{table}");
        assert!(table.contains("b ÷ a") && table.contains("5.00 × (5.00 – 5.00)"), "{table}");
        assert!(table.contains("a ÷ floor") && table.contains("4.00 × (4.00 – 4.00)"), "{table}");
    }

    #[test]
    fn json_has_every_sample() {
        let json = report().json();
        assert_eq!(json["sides"][1]["metrics"]["server_cpu_ns_per_message"]["samples"], json!([500.0, 550.0]));
        assert_eq!(json["ratios"][0]["metrics"]["server_cpu_ns_per_message"]["median"], json!(5.0));
    }
}
