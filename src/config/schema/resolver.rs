//! Keys of operator mode (JWTs), the system account and trusted proxies: checked, recorded as unsupported.

use super::nkey::{self, Kind};
use super::rules::{Field, Key, Report, check_map};
use crate::config::document::{Node, Value};
use crate::config::duration::parse_nanos;
use crate::config::{DiskIncludes, IncludeReader};

/// How every JWT begins: the encoded form of `{"`.
const JWT_START: &str = "eyJ";

pub(super) fn system_account(field: Field<'_>, report: &mut Report) {
    if !matches!(field.value(), Value::String(_)) {
        report.error(field.at(), "system account name must be a string");
    }
}

/// A JWT, or the file that has one, or a list of these.
pub(super) fn operator(field: Field<'_>, report: &mut Report) {
    let one = |text: &str, report: &mut Report| {
        if !text.starts_with(JWT_START)
            && let Err(error) = DiskIncludes.read(text)
        {
            report.error(field.at(), format!("error parsing operator JWT: {error}"));
        }
    };
    match field.value() {
        Value::String(text) => one(text, report),
        Value::Array(elements) => {
            for node in elements {
                match &node.value {
                    Value::String(text) => one(text, report),
                    other => {
                        let found = other.type_name();
                        let text = format!("error parsing operators: unsupported type {found}");
                        report.error(&node.position, text);
                    }
                }
            }
        }
        other => {
            report.error(field.at(), format!("error parsing operators: unsupported type {}", other.type_name()));
        }
    }
}

/// `MEM`, `URL(…)`, or a map that describes a directory.
pub(super) fn resolver(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::String(text) => {
            let upper = text.to_uppercase();
            if !upper.contains("MEM") && !upper.contains("URL") {
                let text = "error parsing account resolver, should be MEM or  URL(\"url\") \
                            or a map containing dir and type state=[FULL|CACHE])";
                report.error(field.at(), text);
            }
        }
        Value::Map(map) => {
            check_map(map, DIRECTORY, report);
            let text = |name: &str| match map.get(name).map(|node| &node.value) {
                Some(Value::String(text)) => text.as_str(),
                _ => "",
            };
            if text("dir").is_empty() && !text("type").to_uppercase().starts_with("MEM") {
                report.error(field.at(), "dir has no value and needs to point to a directory");
            }
        }
        other => {
            let text = format!("error parsing operator resolver, wrong type {}", other.type_name());
            report.error(field.at(), text);
        }
    }
}

const DIRECTORY: &[Key<()>] = &[
    Key::is_text(&["dir"]),
    Key::is_text(&["type"]),
    Key::is_boolean(&["allow_delete"]),
    Key::is_boolean(&["hard_delete"]),
    Key::is_integer(&["limit"]),
    Key::check(&["ttl", "interval", "timeout"], |field, report| match field.value() {
        Value::String(text) => {
            if let Err(error) = parse_nanos(text) {
                report.error(field.at(), error.to_string());
            }
        }
        _ => report.wrong_type(field.node, "string"),
    }),
];

/// Account keys with their JWTs.
pub(super) fn preload(field: Field<'_>, report: &mut Report) {
    let Value::Map(map) = field.value() else {
        return report.error(field.at(), "preload should be a map of account_public_key:account_jwt");
    };
    for node in map.values() {
        match &node.value {
            Value::String(jwt) if jwt.starts_with(JWT_START) => {}
            Value::String(_) => report.error(&node.position, "invalid account JWT"),
            _ => report.error(&node.position, "preload map value should be a string JWT"),
        }
    }
}

/// One text or several; each is handed on with the node to point at.
fn each_text(what: &str, field: Field<'_>, report: &mut Report, check: fn(&str, &Node, &mut Report)) {
    match field.value() {
        Value::String(text) => check(text, field.node, report),
        Value::Array(elements) => {
            for node in elements {
                match &node.value {
                    Value::String(text) => check(text, node, report),
                    other => {
                        let found = other.type_name();
                        report
                            .error(&node.position, format!("error parsing {what}: unsupported type in array {found}"));
                    }
                }
            }
        }
        other => report.error(field.at(), format!("error parsing {what}: unsupported type {}", other.type_name())),
    }
}

pub(super) fn pinned_accounts(field: Field<'_>, report: &mut Report) {
    each_text("resolver_pinned_accounts", field, report, |_, _, _| {});
}

pub(super) fn trusted(field: Field<'_>, report: &mut Report) {
    each_text("trusted", field, report, |key, node, report| {
        if !nkey::is_public(Kind::Operator, key) {
            report.error(&node.position, format!("trust key {key:?} required to be a valid public operator nkey"));
        }
    });
}

pub(super) fn proxies(field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<()>] = &[Key::check(&["trusted"], |field, report| {
        let Value::Array(entries) = field.value() else {
            let found = field.value().type_name();
            let text = format!("expected proxies' trusted field to be an array, got {found}");
            return report.error(field.at(), text);
        };
        for entry in entries {
            match &entry.value {
                Value::Map(map) => check_map(map, &[Key::is_text(&["key", "public_key"])], report),
                other => {
                    let found = other.type_name();
                    let text = format!("expected proxies' trusted entry to be a map/struct, got {found}");
                    report.error(&entry.position, text);
                }
            }
        }
    })];
    match field.value() {
        Value::Map(map) => check_map(map, KEYS, report),
        other => report.error(field.at(), format!("expected proxies to be a map/struct, got {}", other.type_name())),
    }
}
