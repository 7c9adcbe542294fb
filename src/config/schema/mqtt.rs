//! `mqtt`: checked, recorded as unsupported.

use super::rules::{Field, Key, Report, check_map};
use super::{tls, websocket};
use crate::config::document::Value;

const KEYS: &[Key<()>] = &[
    Key::is_listen(&["listen"]),
    Key::is_integer(&["port"]),
    Key::is_text(&["host", "net"]),
    Key::check(&["tls"], tls::check_for_clients),
    Key::check(&["authorization", "authentication"], websocket::simple_authorization),
    Key::is_text(&["no_auth_user"]),
    Key::is_duration(&["ack_wait", "ackwait"], "ack_wait"),
    Key::is_duration(&["js_api_timeout", "api_timeout"], "js_api_timeout"),
    Key::check(&["max_ack_pending", "max_pending", "max_inflight"], |field, report| match field.value() {
        Value::Integer(number) if u16::try_from(*number).is_ok() => {}
        Value::Integer(number) => {
            report.error(field.at(), format!("invalid value {number}, should in [0..65535] range"));
        }
        _ => report.wrong_type(field.node, "int64"),
    }),
    Key::is_text(&["js_domain"]),
    Key::is_integer(&["stream_replicas"]),
    Key::check(&["consumer_replicas"], |field, report| {
        report.warning(field.at(), field.name, "consumer replicas setting ignored in this server version");
    }),
    Key::is_boolean(&["consumer_memory_storage"]),
    Key::is_duration(&["consumer_inactive_threshold", "consumer_auto_cleanup"], "consumer_inactive_threshold"),
    Key::is_boolean(&["reject_qos2_publish"]),
    Key::is_boolean(&["downgrade_qos2_subscribe"]),
];

/// The whole block.
pub(super) fn check(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Map(map) => check_map(map, KEYS, report),
        other => report.error(field.at(), format!("Expected mqtt to be a map, got {}", other.type_name())),
    }
}
