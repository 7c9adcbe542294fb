//! `websocket`: checked, recorded as unsupported. MQTT shares its `authorization`.

use super::rules::{Field, Key, Report, check_map, text_list};
use super::{authorization, tls};
use crate::config::document::Value;
use crate::config::duration::parse_nanos;

const KEYS: &[Key<()>] = &[
    Key::is_listen(&["listen"]),
    Key::is_integer(&["port"]),
    Key::is_text(&["host", "net"]),
    Key::is_text(&["advertise"]),
    Key::is_boolean(&["no_tls"]),
    Key::check(&["tls"], tls::check_for_clients),
    Key::is_boolean(&["same_origin"]),
    Key::check(
        &["allowed_origins", "allowed_origin", "allow_origins", "allow_origin", "origins", "origin"],
        |field, report| {
            text_list("allowed origins", field, report);
        },
    ),
    Key::check(&["handshake_timeout"], handshake_timeout),
    Key::is_boolean(&["compress", "compression"]),
    Key::check(&["authorization", "authentication"], simple_authorization),
    Key::is_text(&["jwt_cookie"]),
    Key::is_text(&["user_cookie"]),
    Key::is_text(&["pass_cookie"]),
    Key::is_text(&["token_cookie"]),
    Key::is_text(&["no_auth_user"]),
    Key::check(&["headers"], headers),
    Key::is_duration(&["ping_interval"], "ping_interval"),
];

/// The whole block.
pub(super) fn check(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Map(map) => check_map(map, KEYS, report),
        other => report.error(field.at(), format!("Expected websocket to be a map, got {}", other.type_name())),
    }
}

fn handshake_timeout(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Integer(_) => {}
        Value::String(text) => {
            if let Err(error) = parse_nanos(text) {
                report.error(field.at(), error.to_string());
            }
        }
        other => {
            let text = format!("error parsing handshake timeout: unsupported type {}", other.type_name());
            report.error(field.at(), text);
        }
    }
}

/// One user, or a token.
pub(super) fn simple_authorization(field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<()>] = &[
        Key::is_text(&["user", "username"]),
        Key::is_text(&["pass", "password"]),
        Key::is_text(&["token"]),
        Key::check(&["timeout"], |field, report| {
            authorization::timeout("authorization", field, report);
        }),
    ];
    if let Some(map) = field.map(report) {
        check_map(map, KEYS, report);
    }
}

fn headers(field: Field<'_>, report: &mut Report) {
    let Value::Map(map) = field.value() else {
        let found = field.value().type_name();
        return report.error(field.at(), format!("error parsing headers: unsupported type {found}"));
    };
    for (name, node) in map {
        if !matches!(node.value, Value::String(_)) {
            let found = node.value.type_name();
            report.error(&node.position, format!("error parsing header key {name}: unsupported type {found}"));
        }
    }
}
