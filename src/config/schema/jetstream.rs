//! `jetstream`, of the server and of an account: checked, recorded as unsupported.

use super::Draft;
use super::rules::{Field, Key, Report, check_map, read_map, shown};
use crate::config::document::Value;
use crate::config::duration::parse_nanos;

const KEYS: &[Key<Draft>] = &[
    Key::is_boolean(&["strict"]),
    Key::custom(&["store_dir", "storedir", "store"], |draft, field, report| match field.value() {
        Value::String(_) if draft.store_dir_seen => report.error(field.at(), "Duplicate 'store_dir' configuration"),
        Value::String(directory) => draft.store_dir_seen = !directory.is_empty(),
        _ => report.wrong_type(field.node, "string"),
    }),
    Key::check(&["sync_interval", "sync"], |field, report| {
        if !matches!(field.value(), Value::String(text) if text.eq_ignore_ascii_case("always")) {
            Key::<()>::is_duration(&["sync_interval"], "sync_interval").read(&mut (), field, report);
        }
    }),
    Key::check(&["max_memory_store", "max_mem_store", "max_mem"], |field, report| size("max_mem_store", field, report)),
    Key::check(&["max_file_store", "max_file"], |field, report| size("max_file_store", field, report)),
    Key::is_text(&["domain"]),
    Key::is_boolean(&["enable", "enabled"]),
    Key::is_text(&["key", "ek", "encryption_key"]),
    Key::is_text(&["prev_key", "prev_ek", "prev_encryption_key"]),
    Key::check(&["cipher"], |field, report| match field.value() {
        Value::String(name) if matches!(name.to_lowercase().as_str(), "chacha" | "chachapoly" | "aes") => {}
        Value::String(name) => report.error(field.at(), format!("Unknown cipher type: {name:?}")),
        _ => report.wrong_type(field.node, "string"),
    }),
    Key::is_text(&["extension_hint"]),
    Key::check(&["limits"], limits),
    Key::check(&["tpm"], |field, report| {
        field.map(report);
    }),
    Key::is_text(&["unique_tag"]),
    Key::check(&["max_outstanding_catchup"], |field, report| size("max_outstanding_catchup", field, report)),
    Key::check(&["max_buffered_size"], |field, report| size("max_buffered_size", field, report)),
    Key::is_integer(&["max_buffered_msgs"]),
    Key::is_integer(&["request_queue_limit"]),
    Key::is_integer(&["info_queue_limit"]),
    Key::is_anything(&["meta_compact"]),
    Key::is_anything(&["meta_compact_size"]),
    Key::is_boolean(&["meta_compact_sync"]),
    Key::is_integer(&["max_concurrent_io"]),
];

/// The server's block, or a switch.
pub(super) fn read(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::Map(map) => read_map(map, KEYS, draft, report),
        other => {
            if let Some(text) = wrong_switch(other) {
                report.error(field.at(), text);
            }
        }
    }
}

fn wrong_switch(value: &Value) -> Option<String> {
    match value {
        Value::Boolean(_) => None,
        Value::String(text) => match text.to_lowercase().as_str() {
            "enabled" | "enable" | "disabled" | "disable" => None,
            _ => Some(format!("Expected 'enabled' or 'disabled' for string value, got '{text}'")),
        },
        other => Some(format!("Expected map, bool or string to define JetStream, got {}", other.type_name())),
    }
}

/// A number of bytes, or a text that ends in K, M, G or T.
fn size(what: &str, field: Field<'_>, report: &mut Report) {
    let problem = match field.value() {
        Value::Integer(_) => return,
        Value::String(text) => {
            let Some((last, _)) = text.char_indices().next_back() else {
                return;
            };
            let (digits, unit) = text.split_at(last);
            if digits.parse::<i64>().is_err() {
                format!("strconv.ParseInt: parsing {digits:?}: invalid syntax")
            } else if matches!(unit, "K" | "M" | "G" | "T") {
                return;
            } else {
                "sizes defined as strings must end in K, M, G, T".to_owned()
            }
        }
        _ => "must be int64 or string".to_owned(),
    };
    report.error(field.at(), format!("{what} {problem}"));
}

fn limits(field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<()>] = &[
        Key::is_integer(&["max_ack_pending"]),
        Key::is_integer(&["max_ha_assets"]),
        Key::is_integer(&["max_request_batch"]),
        Key::check(&["duplicate_window"], |field, report| match field.value() {
            Value::String(text) => {
                if let Err(error) = parse_nanos(text) {
                    report.error_without_place(error.to_string());
                }
            }
            _ => report.wrong_type(field.node, "string"),
        }),
        Key::check(&["batch"], |field, report| {
            field.map(report);
        }),
    ];
    match field.value() {
        Value::Map(map) => check_map(map, KEYS, report),
        other => {
            let text = format!("Expected a map to define JetStreamLimits, got {}", other.type_name());
            report.error(field.at(), text);
        }
    }
}

/// An account's block, or a switch.
pub(super) fn check_for_account(field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<()>] = &[
        Key::check(&["max_memory", "max_mem", "mem", "memory"], count),
        Key::check(&["max_store", "max_file", "max_disk", "store", "disk"], count),
        Key::check(&["max_streams", "streams"], count),
        Key::check(&["max_consumers", "consumers"], count),
        Key::check(&["max_bytes_required", "max_stream_bytes", "max_bytes"], |field, report| {
            if !matches!(field.value(), Value::Boolean(_)) {
                let (name, found) = (field.name, shown(field.value()));
                report.error(field.at(), format!("Expected a parseable bool for {name:?}, got {found}"));
            }
        }),
        Key::check(&["mem_max_stream_bytes", "memory_max_stream_bytes"], count),
        Key::check(&["disk_max_stream_bytes", "store_max_stream_bytes"], count),
        Key::check(&["max_ack_pending"], count),
        Key::is_anything(&["cluster_traffic"]),
    ];
    fn count(field: Field<'_>, report: &mut Report) {
        if !matches!(field.value(), Value::Integer(_)) {
            let (name, found) = (field.name, shown(field.value()));
            report.error(field.at(), format!("Expected a parseable size for {name:?}, got {found}"));
        }
    }
    match field.value() {
        Value::Map(map) => check_map(map, KEYS, report),
        other => {
            if let Some(text) = wrong_switch(other) {
                report.error_without_place(text);
            }
        }
    }
}
