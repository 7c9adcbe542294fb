//! `gateway`: checked, recorded as unsupported, but for its name.

use super::rules::{Field, Key, Report, check_map, read_map, shown};
use super::top::{name_without_spaces, non_empty, write_timeout};
use super::{Draft, authorization, tls, urls};
use crate::config::document::Value;

const KEYS: &[Key<Option<String>>] = &[
    Key::custom(&["name"], |found, field, report| {
        *found = name_without_spaces("gateway", field, report).and_then(non_empty);
    }),
    Key::is_listen(&["listen"]),
    Key::is_integer(&["port"]),
    Key::is_text(&["host", "net"]),
    Key::check(&["authorization"], |field, report| {
        let Some(auth) = authorization::read(field, report) else {
            return;
        };
        if auth.users.is_some() {
            report.error(field.at(), "Gateway authorization does not allow multiple users");
        } else if !auth.token.is_empty() {
            report.error(field.at(), "Gateway authorization does not support tokens");
        } else if auth.has_callout {
            report.error(field.at(), "Gateway authorization does not support callouts");
        }
    }),
    Key::check(&["tls"], tls::check_for_servers),
    Key::is_text(&["advertise"]),
    Key::is_integer(&["connect_retries"]),
    Key::is_boolean(&["connect_backoff"]),
    Key::check(&["gateways"], remotes),
    Key::is_boolean(&["reject_unknown", "reject_unknown_cluster"]),
    Key::is_duration(&["write_deadline"], "write_deadline"),
    Key::check(&["write_timeout"], |field, report| {
        write_timeout(field, report);
    }),
];

/// The whole block. The name matters to the cluster.
pub(super) fn read(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Map(map) => read_map(map, KEYS, &mut draft.options.gateway_name, report),
        other => report.error(field.at(), format!("Expected gateway to be a map, got {}", other.type_name())),
    }
}

fn remotes(field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<()>] = &[
        Key::is_text(&["name"]),
        Key::check(&["tls"], tls::check_for_servers),
        Key::check(&["url"], |field, report| urls::check("gateway", field.node, report)),
        Key::check(&["urls"], |field, report| urls::check_list("gateway", field, report)),
    ];
    let Value::Array(entries) = field.value() else {
        let found = field.value().type_name();
        return report.error_without_place(format!("Expected gateways field to be an array, got {found}"));
    };
    for entry in entries {
        match &entry.value {
            Value::Map(map) => check_map(map, KEYS, report),
            other => {
                let text = format!("Expected gateway entry to be a map/struct, got {}", shown(other));
                report.error(&entry.position, text);
            }
        }
    }
}
