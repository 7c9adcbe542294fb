//! URLs of routes, leafnodes and gateways: parsed as far as the reference's check goes.

use std::collections::BTreeSet;

use super::rules::{Field, Report};
use crate::config::document::{Node, Value};

/// One URL.
pub(super) fn check(kind: &str, node: &Node, report: &mut Report) {
    match &node.value {
        Value::String(url) if is_url(url.trim()) => {}
        Value::String(url) => report.error(&node.position, format!("error parsing {kind} url [{:?}]", url.trim())),
        _ => report.wrong_type(node, "string"),
    }
}

/// A list of URLs; a repeated one draws a warning.
pub(super) fn check_list(kind: &str, field: Field<'_>, report: &mut Report) {
    let Value::Array(urls) = field.value() else {
        return report.wrong_type(field.node, "[]interface {}");
    };
    let mut seen = BTreeSet::new();
    for node in urls {
        match &node.value {
            Value::String(url) if !seen.insert(url) => {
                report.warning(&node.position, url, format_args!("Duplicate {kind} entry detected"));
            }
            _ => check(kind, node, report),
        }
    }
}

/// Whether Go's URL parser would take it.
fn is_url(text: &str) -> bool {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) || text.starts_with(':') {
        return false;
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        // Without a scheme, the first path segment must not look like one.
        let segment = text.split(['/', '?', '#']).next().unwrap_or_default();
        return !segment.contains(':') || segment.starts_with(|c: char| c.is_ascii_alphabetic());
    };
    let scheme_ok = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let (name, port) = match host.rfind(']') {
        Some(end) => host.split_at(end + 1),
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    let port_ok = match port.strip_prefix(':') {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => port.is_empty(),
    };
    scheme_ok && port_ok && !name.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '|', '}'])
}
