//! URLs of routes, leafnodes and gateways.

use std::collections::BTreeSet;

use shards::config::RouteUrl;

use super::rules::{Field, Report};
use crate::config::document::{Node, Value};
use crate::go_net::Url;
use crate::options::{RouteUrlError, route_url};

/// One URL.
pub(super) fn check(kind: &str, node: &Node, report: &mut Report) {
    match &node.value {
        Value::String(url) if Url::parse(url.trim()).is_ok() => {}
        Value::String(url) => report.error(&node.position, format!("error parsing {kind} url [{:?}]", url.trim())),
        _ => report.wrong_type(node, "string"),
    }
}

/// A list of URLs; a repeated one draws a warning.
pub(super) fn check_list(kind: &str, field: Field<'_>, report: &mut Report) {
    for node in distinct(kind, field, report) {
        check(kind, node, report);
    }
}

/// The servers to connect to in a cluster.
pub(super) fn routes(field: Field<'_>, report: &mut Report) -> Vec<RouteUrl> {
    let mut routes = Vec::new();
    for node in distinct("route", field, report) {
        check("route", node, report);
        let Value::String(url) = &node.value else { continue };
        match route_url(url.trim()) {
            Ok(route) => routes.push(route),
            Err(RouteUrlError::Url(_)) => {}
            Err(error @ RouteUrlError::Port { .. }) => report.error(&node.position, error.to_string()),
        }
    }
    routes
}

/// The elements of a list, without those that were there before: they draw a warning.
fn distinct<'a>(kind: &str, field: Field<'a>, report: &mut Report) -> Vec<&'a Node> {
    let Value::Array(urls) = field.value() else {
        report.wrong_type(field.node, "[]interface {}");
        return Vec::new();
    };
    let mut seen = BTreeSet::new();
    let mut distinct = Vec::new();
    for node in urls {
        match &node.value {
            Value::String(url) if !seen.insert(url) => {
                report.warning(&node.position, url, format_args!("Duplicate {kind} entry detected"));
            }
            _ => distinct.push(node),
        }
    }
    distinct
}
