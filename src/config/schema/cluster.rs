//! `cluster`: checked in full, recorded as unsupported. Leafnodes share `compression` with it.

use std::time::Duration;

use super::authorization;
use super::permissions;
use super::rules::{Field, Key, Report, check_map, text_list};
use super::top::{name_without_spaces, write_timeout};
use super::{tls, urls};
use crate::config::document::Value;
use crate::config::duration::parse_nanos;

const KEYS: &[Key<()>] = &[
    Key::check(&["name"], |field, report| {
        name_without_spaces("cluster", field, report);
    }),
    Key::is_listen(&["listen"]),
    Key::is_integer(&["port"]),
    Key::is_text(&["host", "net"]),
    Key::check(&["authorization"], check_authorization),
    Key::check(&["routes"], |field, report| urls::check_list("route", field, report)),
    Key::check(&["tls"], tls::check_for_servers),
    Key::is_text(&["cluster_advertise", "advertise"]),
    Key::is_boolean(&["no_advertise"]),
    Key::is_integer(&["connect_retries"]),
    Key::is_boolean(&["connect_backoff"]),
    Key::check(&["permissions"], |field, report| {
        if permissions::check_without_place(field, report).is_some_and(|permissions| permissions.responses) {
            report.error(field.at(), "Cluster permissions do not support dynamic responses");
        }
    }),
    Key::is_integer(&["pool_size"]),
    Key::check(&["accounts"], |field, report| {
        text_list("accounts", field, report);
    }),
    Key::check(&["compression"], compression),
    Key::check(&["ping_interval"], ping_interval),
    Key::is_integer(&["ping_max"]),
    Key::is_duration(&["write_deadline"], "write_deadline"),
    Key::check(&["write_timeout"], |field, report| {
        write_timeout(field, report);
    }),
];

/// The whole block.
pub(super) fn check(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Map(map) => check_map(map, KEYS, report),
        other => report.error(field.at(), format!("Expected map to define cluster, got {}", other.type_name())),
    }
}

fn check_authorization(field: Field<'_>, report: &mut Report) {
    let Some(auth) = authorization::read(field, report) else {
        return;
    };
    if auth.users.is_some() {
        report.error(field.at(), "Cluster authorization does not allow multiple users");
    } else if !auth.token.is_empty() {
        report.error(field.at(), "Cluster authorization does not support tokens");
    } else if auth.has_callout {
        report.error(field.at(), "Cluster authorization does not support callouts");
    } else if auth.has_permissions {
        let text = "setting \"permissions\" within cluster authorization block is deprecated";
        report.warning(field.at(), field.name, text);
    }
}

/// A mode, a switch, or `{mode, rtt_thresholds}`. Names of modes are looked at when the server starts.
pub(super) fn compression(field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<()>] = &[
        Key::is_text(&["mode"]),
        Key::check(&["rtt_thresholds", "thresholds", "rtts", "rtt"], |field, report| {
            let Value::Array(spans) = field.value() else {
                return report.wrong_type(field.node, "[]interface {}");
            };
            for node in spans {
                match &node.value {
                    Value::String(text) => {
                        if let Err(error) = parse_nanos(text) {
                            report.error(field.at(), error.to_string());
                        }
                    }
                    _ => report.wrong_type(node, "string"),
                }
            }
        }),
    ];
    match field.value() {
        Value::String(_) | Value::Boolean(_) => {}
        Value::Map(map) => check_map(map, KEYS, report),
        other => {
            let (name, found) = (field.name, other.type_name());
            let text = format!("field {name:?} should be a boolean or a structure, got {found}");
            report.error(field.at(), text);
        }
    }
}

fn ping_interval(field: Field<'_>, report: &mut Report) {
    const LONGEST: Duration = Duration::from_secs(30);
    const KEY: Key<Duration> =
        Key::duration(&["ping_interval"], "ping_interval", |found: &mut Duration, span| *found = span);
    let mut span = Duration::ZERO;
    KEY.read(&mut span, field, report);
    if span > LONGEST {
        report.plain_warning(field.at(), "Cluster 'ping_interval' will reset to 30s which is the max for routes");
    }
}
