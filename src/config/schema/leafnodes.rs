//! `leafnodes`: checked, recorded as unsupported.

use super::rules::{Field, Key, Report, check_map, read_map, shown};
use super::top::write_timeout;
use super::{authorization, cluster, permissions, tls, urls};
use crate::config::document::Value;

const KEYS: &[Key<()>] = &[
    Key::is_listen(&["listen"]),
    Key::is_integer(&["port"]),
    Key::is_text(&["host", "net"]),
    Key::check(&["authorization"], check_authorization),
    Key::check(&["remotes"], remotes),
    Key::is_duration(&["reconnect", "reconnect_delay", "reconnect_interval"], "reconnect"),
    Key::is_duration(&["dial_timeout"], "dial_timeout"),
    Key::check(&["tls"], tls::check_for_clients),
    Key::is_text(&["leafnode_advertise", "advertise"]),
    Key::is_boolean(&["no_advertise"]),
    Key::check(&["min_version", "minimum_version"], min_version),
    Key::check(&["compression"], |field, report| {
        cluster::compression(field, report);
    }),
    Key::is_boolean(&["isolate_leafnode_interest", "isolate"]),
    Key::is_duration(&["write_deadline"], "write_deadline"),
    Key::check(&["write_timeout"], |field, report| {
        write_timeout(field, report);
    }),
];

/// The whole block.
pub(super) fn check(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Map(map) => check_map(map, KEYS, report),
        other => report.error(field.at(), format!("Expected map to define a leafnode, got {}", other.type_name())),
    }
}

fn check_authorization(field: Field<'_>, report: &mut Report) {
    #[derive(Default)]
    struct Auth {
        user: bool,
        users: bool,
    }
    const USER: &[Key<()>] =
        &[Key::is_text(&["user", "username"]), Key::is_text(&["pass", "password"]), Key::is_text(&["account"])];
    const KEYS: &[Key<Auth>] = &[
        Key::text(&["user", "username"], |auth, text| auth.user = !text.is_empty()),
        Key::is_text(&["pass", "password"]),
        Key::is_text(&["nkey"]),
        Key::is_text(&["account"]),
        Key::is_boolean(&["proxy_required"]),
        Key::check(&["timeout"], |field, report| {
            authorization::timeout("leafnode authorization", field, report);
        }),
        Key::custom(&["users"], |auth, field, report| {
            let Value::Array(entries) = field.value() else {
                let text = format!("Expected users field to be an array, got {}", shown(field.value()));
                return report.error(field.at(), text);
            };
            auth.users = !entries.is_empty();
            for entry in entries {
                match &entry.value {
                    Value::Map(map) => check_map(map, USER, report),
                    other => {
                        let text = format!("Expected user entry to be a map/struct, got {}", shown(other));
                        report.error(&entry.position, text);
                    }
                }
            }
        }),
    ];
    let mut auth = Auth::default();
    if let Some(map) = field.map(report) {
        read_map(map, KEYS, &mut auth, report);
    }
    if auth.user && auth.users {
        report.error(field.at(), "can not have a single user/pass and a users array");
    }
}

/// Leafnodes below this version could not tell theirs.
const OLDEST: [u64; 3] = [2, 8, 0];

fn min_version(field: Field<'_>, report: &mut Report) {
    let Value::String(text) = field.value() else {
        return report.wrong_type(field.node, "string");
    };
    let numbers: Option<Vec<u64>> = text
        .trim_start_matches('v')
        .split(['-', '+'])
        .next()
        .map(|version| version.split('.').map(|number| number.parse().ok()).collect::<Option<Vec<u64>>>())
        .unwrap_or_default();
    match numbers.as_deref() {
        Some(version @ [_, _, _]) if version < OLDEST.as_slice() => {
            report.error(field.at(), "the minimum version should be at least 2.8.0");
        }
        Some([_, _, _]) => {}
        _ => report.error(field.at(), "invalid leafnode's minimum version: invalid semver"),
    }
}

fn remotes(field: Field<'_>, report: &mut Report) {
    let Value::Array(entries) = field.value() else {
        let text = format!("Expected remotes field to be an array, got {}", field.value().type_name());
        return report.error(field.at(), text);
    };
    for entry in entries {
        match &entry.value {
            Value::Map(map) => check_map(map, REMOTE, report),
            other => {
                let text = format!("Expected remote leafnode entry to be a map/struct, got {}", shown(other));
                report.error(&entry.position, text);
            }
        }
    }
}

const REMOTE: &[Key<()>] = &[
    Key::is_boolean(&["no_randomize", "dont_randomize"]),
    Key::check(&["url", "urls"], |field, report| match field.value() {
        Value::String(_) => urls::check("leafnode", field.node, report),
        Value::Array(_) => urls::check_list("leafnode", field, report),
        other => {
            let text = format!("Expected remote leafnode url to be an array or string, got {}", shown(other));
            report.error(field.at(), text);
        }
    }),
    Key::is_text(&["account", "local"]),
    Key::is_text(&["creds", "credentials"]),
    Key::is_text(&["nkey", "seed"]),
    Key::check(&["tls"], tls::check_for_clients),
    Key::is_boolean(&["hub"]),
    Key::check(&["deny_imports", "deny_import"], permissions::subjects),
    Key::check(&["deny_exports", "deny_export"], permissions::subjects),
    Key::is_boolean(&["ws_compress", "ws_compression", "websocket_compress", "websocket_compression"]),
    Key::is_boolean(&["ws_no_masking", "websocket_no_masking"]),
    Key::check(&["jetstream_cluster_migrate", "js_cluster_migrate"], |field, report| {
        if !matches!(field.value(), Value::Boolean(_) | Value::Map(_)) {
            let found = field.value().type_name();
            let text = format!("Expected boolean or map for jetstream_cluster_migrate, got {found}");
            report.error_without_place(text);
        }
    }),
    Key::is_boolean(&["isolate_leafnode_interest", "isolate", "request_isolation"]),
    Key::check(&["compression"], |field, report| {
        cluster::compression(field, report);
    }),
    Key::is_duration(&["first_info_timeout"], "first_info_timeout"),
    Key::is_boolean(&["disabled"]),
    Key::check(&["proxy"], |field, report| {
        field.map(report);
    }),
    Key::is_duration(&["write_deadline"], "write_deadline"),
    Key::check(&["write_timeout"], |field, report| {
        write_timeout(field, report);
    }),
];
