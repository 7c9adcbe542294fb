//! `mappings` of the default account or of a configured one: checked, recorded as unsupported.

use super::rules::{Field, Key, Report, is_subject, read_map_with};
use crate::config::document::{Node, Position, Value};

/// A whole block.
pub(super) fn check(field: Field<'_>, report: &mut Report) {
    let Some(map) = field.map(report) else {
        return;
    };
    for (source, node) in map {
        if !is_subject(source) {
            report.error(field.at(), format!("Subject {source:?} is not a valid subject"));
            continue;
        }
        check_source(source, node, report);
    }
}

fn check_source(source: &str, node: &Node, report: &mut Report) {
    let at = &node.position;
    let destinations = match &node.value {
        Value::String(destination) => {
            if let Some(problem) = wrong_destination(source, destination) {
                let text = format!("Error adding mapping for {source:?} to {destination:?} : {problem}");
                report.error(at, text);
            }
            return;
        }
        Value::Array(elements) => elements.iter().filter_map(|element| destination(element, report)).collect(),
        _ => destination(node, report).into_iter().collect::<Vec<_>>(),
    };
    // Weights add up per cluster, and those without one are on their own.
    let total = |cluster: &Option<String>| -> i64 {
        destinations.iter().filter(|found| found.cluster == *cluster).map(|found| found.weight).sum()
    };
    if destinations.iter().any(|found| total(&found.cluster) > 100) {
        report.error(at, format!("Error adding mapping for {source:?} : total weight needs to be <= 100"));
        return;
    }
    if let Some(problem) = destinations.iter().find_map(|found| wrong_destination(source, &found.subject)) {
        report.error(at, format!("Error adding mapping for {source:?} : {problem}"));
    }
}

/// One of several weighted destinations.
#[derive(Default)]
struct Destination {
    subject: String,
    weight: i64,
    cluster: Option<String>,
    has_weight: bool,
}

fn destination(node: &Node, report: &mut Report) -> Option<Destination> {
    const KEYS: &[Key<Destination>] = &[
        Key::text(&["destination", "dest"], |found, text| text.clone_into(&mut found.subject)),
        Key::custom(&["weight"], |found, field, report| {
            found.has_weight = true;
            if let Some(weight) = weight(field, report) {
                found.weight = weight;
            }
        }),
        Key::text(&["cluster"], |found, text| found.cluster = Some(text.to_owned())),
    ];
    let Value::Map(map) = &node.value else {
        report.error(&node.position, "Expected an entry for the mapping destination");
        return None;
    };
    let mut found = Destination::default();
    read_map_with(map, KEYS, &mut found, report, |name| format!("Unknown field {name:?} for mapping destination"));
    if !found.has_weight {
        let place: &Position = map.values().last().map_or(&node.position, |node| &node.position);
        let place = if map.len() == 1 { &node.position } else { place };
        report.error(place, format!("Missing weight for mapping destination {:?}", found.subject));
        return None;
    }
    Some(found)
}

/// Percent, as a number or a text with or without the sign.
fn weight(field: Field<'_>, report: &mut Report) -> Option<i64> {
    let number = match field.value() {
        Value::Integer(number) => *number,
        Value::String(text) => {
            let digits = text.strip_suffix('%').unwrap_or(text);
            match digits.parse() {
                Ok(number) => number,
                Err(_) => {
                    report.error(field.at(), format!("Invalid weight {digits:?} for mapping destination"));
                    return None;
                }
            }
        }
        other => {
            report.error(field.at(), format!("Unknown entry type for weight of {}\n", super::rules::shown(other)));
            return None;
        }
    };
    if !(0..=100).contains(&number) {
        report.error(field.at(), format!("Invalid weight {number} for mapping destination"));
        return None;
    }
    Some(number)
}

/// What is wrong with a destination: its form, or a wildcard that the source does not have.
fn wrong_destination(source: &str, destination: &str) -> Option<String> {
    if !is_subject(destination) {
        return Some("invalid mapping destination: invalid transform".to_owned());
    }
    let wildcards = source.split('.').filter(|token| *token == "*").count();
    destination.split('.').find_map(|token| {
        let index = match token.strip_prefix('$') {
            Some(digits) => digits.parse::<usize>().ok()?,
            None => {
                let inner = token.strip_prefix("{{")?.strip_suffix("}}")?.trim();
                let argument = inner.to_lowercase().strip_prefix("wildcard(")?.strip_suffix(')')?.trim().to_owned();
                argument.parse::<usize>().ok()?
            }
        };
        (index == 0 || index > wildcards)
            .then(|| format!("invalid mapping destination: wildcard index out of range in {token}: [{index}]"))
    })
}
