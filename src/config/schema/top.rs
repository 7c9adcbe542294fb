//! The top level, as far as this server has the parts.

use std::path::PathBuf;
use std::time::Duration;

use super::rules::{Field, Key, Listen, Report};
use super::{Draft, authorization, cluster};
use crate::config::document::Value;
use crate::config::duration::{format, parse_nanos};
use crate::options::WriteTimeout;

/// Keys that have their effect.
pub(super) const KEYS: &[Key<Draft>] = &[
    Key::listen(&["listen"], set_listen),
    Key::text(&["host", "net"], |draft, text| text.clone_into(&mut draft.options.host)),
    Key::integer(&["port"], |draft, port| draft.options.port = port),
    Key::listen(&["http"], |draft, listen| {
        draft.options.http_host = listen.host;
        draft.options.http_port = listen.port;
    }),
    Key::integer(&["http_port", "monitor_port"], |draft, port| draft.options.http_port = port),
    Key::text(&["http_base_path"], |draft, text| text.clone_into(&mut draft.options.http_base_path)),
    Key::text(&["client_advertise"], |draft, text| draft.options.client_advertise = non_empty(text)),
    Key::custom(&["server_name"], server_name),
    Key::custom(&["server_tags"], server_tags),
    Key::custom(&["server_metadata"], server_metadata),
    Key::custom(&["feature_flags"], feature_flags),
    Key::custom(&["authorization"], authorization::read_top_level),
    Key::custom(&["cluster"], cluster::read),
    // Logging
    Key::boolean(&["debug"], |draft, on| draft.options.logging.debug = on),
    Key::boolean(&["trace"], |draft, on| draft.options.logging.trace = on),
    Key::boolean(&["trace_verbose"], |draft, on| {
        draft.options.logging.trace_verbose = on;
        draft.options.logging.trace = on;
    }),
    Key::boolean(&["trace_headers"], |draft, on| {
        draft.options.logging.trace_headers = on;
        draft.options.logging.trace = on;
    }),
    Key::boolean(&["logtime"], |draft, on| draft.options.logging.logtime = on),
    Key::boolean(&["logtime_utc"], |draft, on| draft.options.logging.logtime_utc = on),
    Key::text(&["log_file", "logfile"], |draft, text| draft.options.logging.log_file = path(text)),
    Key::integer(&["log_size_limit", "logfile_size_limit"], |draft, n| draft.options.logging.log_size_limit = n),
    Key::integer(&["log_max_num", "logfile_max_num"], |draft, n| draft.options.logging.log_max_num = n),
    Key::integer(&["max_traced_msg_len"], |draft, n| draft.options.logging.max_traced_msg_len = n),
    Key::integer(&["connect_error_reports"], |draft, n| draft.options.logging.connect_error_reports = n),
    Key::integer(&["reconnect_error_reports"], |draft, n| draft.options.logging.reconnect_error_reports = n),
    // Files and profiling
    Key::text(&["pid_file", "pidfile"], |draft, text| draft.options.pid_file = path(text)),
    Key::text(&["ports_file_dir"], |draft, text| draft.options.ports_file_dir = path(text)),
    Key::integer(&["prof_port"], |draft, n| draft.options.prof_port = n),
    Key::integer(&["prof_block_rate"], |draft, n| draft.options.prof_block_rate = n),
    // Limits
    // 0 is not "the default" here, as it is for the others: it admits nobody.
    Key::integer(&["max_connections", "max_conn"], |draft, n| {
        draft.options.limits.max_connections = if n == 0 { -1 } else { n };
    }),
    Key::integer(&["max_subscriptions", "max_subs"], |draft, n| draft.options.limits.max_subscriptions = n),
    Key::custom(&["max_sub_tokens", "max_subscription_tokens"], max_sub_tokens),
    Key::custom(&["max_payload"], |draft, field, report| {
        if let Some(bytes) = i32_bytes(field, report) {
            draft.options.limits.max_payload = bytes;
        }
    }),
    Key::custom(&["max_control_line"], |draft, field, report| {
        if let Some(bytes) = i32_bytes(field, report) {
            draft.options.limits.max_control_line = bytes;
        }
    }),
    Key::integer(&["max_pending"], |draft, n| draft.options.limits.max_pending = n),
    Key::integer(&["max_closed_clients"], |draft, n| draft.options.limits.max_closed_clients = n),
    // Timers
    Key::duration(&["ping_interval"], "ping_interval", |draft, span| draft.options.timers.ping_interval = span),
    Key::integer(&["ping_max"], |draft, n| draft.options.timers.ping_max = n),
    Key::duration(&["write_deadline"], "write_deadline", |draft, span| draft.options.timers.write_deadline = span),
    Key::custom(&["write_timeout"], |draft, field, report| {
        if let Some(policy) = write_timeout(field, report) {
            draft.options.timers.write_timeout = policy;
        }
    }),
    Key::custom(&["lame_duck_duration"], lame_duck_duration),
    Key::custom(&["lame_duck_grace_period"], lame_duck_grace_period),
    // Switches
    Key::boolean(&["no_fast_producer_stall"], |draft, on| draft.options.no_fast_producer_stall = on),
    Key::boolean(&["no_header_support"], |draft, on| draft.options.no_header_support = on),
    Key::boolean(&["no_system_account", "no_system", "no_sys_acc"], |draft, on| draft.options.no_system_account = on),
    Key::boolean(&["disable_sublist_cache", "no_sublist_cache"], |draft, on| {
        draft.options.disable_sublist_cache = on;
    }),
    // Keys that change something only together with a part that is recorded as unsupported itself.
    Key::is_boolean(&["allow_non_tls"]),
    Key::custom(&["store_dir", "storedir"], store_dir),
    Key::check(&["default_js_domain"], default_js_domain),
];

pub(super) fn non_empty(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn path(text: &str) -> Option<PathBuf> {
    non_empty(text).map(PathBuf::from)
}

fn set_listen(draft: &mut Draft, listen: Listen) {
    draft.options.host = listen.host;
    draft.options.port = listen.port;
}

/// A name of this server or its cluster: no blanks.
pub(super) fn name_without_spaces<'a>(what: &str, field: Field<'a>, report: &mut Report) -> Option<&'a str> {
    match field.value() {
        Value::String(name) if name.contains(' ') => {
            report.error(field.at(), format!("{what} name cannot contain spaces"));
            None
        }
        Value::String(name) => Some(name),
        _ => {
            report.wrong_type(field.node, "string");
            None
        }
    }
}

fn server_name(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    if let Some(name) = name_without_spaces("server", field, report) {
        draft.options.server_name = non_empty(name);
    }
}

fn server_tags(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    let mut add = |tag: &str| {
        let tag = tag.trim().to_lowercase();
        if !tag.is_empty() && !draft.options.server_tags.contains(&tag) {
            draft.options.server_tags.push(tag);
        }
    };
    match field.value() {
        Value::String(tag) => add(tag),
        Value::Array(tags) => {
            for tag in tags {
                match &tag.value {
                    Value::String(tag) => add(tag),
                    other => {
                        let found = other.type_name();
                        let text = format!("error parsing tags: unsupported type {found} where string is expected");
                        report.error(field.at(), text);
                        break;
                    }
                }
            }
        }
        other => report.error(field.at(), format!("error parsing tags: unsupported type {}", other.type_name())),
    }
}

fn server_metadata(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    let Value::Map(map) = field.value() else {
        let text = format!("error parsing metadata: unsupported type {}", field.value().type_name());
        return report.error(field.at(), text);
    };
    for (key, node) in map {
        match &node.value {
            Value::String(text) => {
                draft.options.server_metadata.insert(key.clone(), text.clone());
            }
            _ => report.wrong_type(node, "string"),
        }
    }
}

fn feature_flags(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    let Value::Map(map) = field.value() else {
        let text = format!("error parsing feature flags: unsupported type {}", field.value().type_name());
        return report.error(field.at(), text);
    };
    for (name, node) in map {
        match &node.value {
            Value::Boolean(on) => {
                draft.options.feature_flags.insert(name.clone(), *on);
            }
            other => {
                let found = other.type_name();
                report
                    .error(&node.position, format!("error parsing feature flag {name:?}: expected bool, got {found}"));
            }
        }
    }
}

fn integer(field: Field<'_>, report: &mut Report) -> Option<i64> {
    match field.value() {
        Value::Integer(number) => Some(*number),
        _ => {
            report.wrong_type(field.node, "int64");
            None
        }
    }
}

fn i32_bytes(field: Field<'_>, report: &mut Report) -> Option<i64> {
    let bytes = integer(field, report)?;
    if bytes > i64::from(i32::MAX) {
        report.error(field.at(), format!("{} value is too big", field.name));
        return None;
    }
    Some(bytes)
}

fn max_sub_tokens(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    match integer(field, report).map(|number| (number, u8::try_from(number))) {
        None => {}
        Some((1.., Ok(tokens))) => draft.options.limits.max_sub_tokens = tokens,
        Some((1.., Err(_))) => report.error(field.at(), format!("{} value is too big", field.name)),
        Some(_) => report.error(field.at(), format!("{} value can not be negative", field.name)),
    }
}

/// `write_timeout` of the server, a cluster, leafnodes or a gateway.
pub(super) fn write_timeout(field: Field<'_>, report: &mut Report) -> Option<WriteTimeout> {
    let Value::String(policy) = field.value() else {
        report.wrong_type(field.node, "string");
        return None;
    };
    match policy.as_str() {
        "default" => Some(WriteTimeout::Default),
        "close" => Some(WriteTimeout::Close),
        "retry" => Some(WriteTimeout::Retry),
        _ => {
            report.error(field.at(), "write_timeout must be 'default', 'close' or 'retry'");
            None
        }
    }
}

/// A duration that must be a text, in nanoseconds.
fn strict_duration(key: &str, field: Field<'_>, report: &mut Report) -> Option<i64> {
    let Value::String(text) = field.value() else {
        report.wrong_type(field.node, "string");
        return None;
    };
    parse_nanos(text).map_err(|error| report.error(field.at(), format!("error parsing {key}: {error}"))).ok()
}

fn lame_duck_duration(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    const MINIMUM: Duration = Duration::from_secs(30);
    let Some(nanos) = strict_duration("lame_duck_duration", field, report) else {
        return;
    };
    let span = Duration::from_nanos(nanos.unsigned_abs());
    if nanos < 0 || span < MINIMUM {
        let sign = if nanos < 0 { "-" } else { "" };
        let text = format!("invalid lame_duck_duration of {sign}{}, minimum is 30 seconds", format(span));
        return report.error(field.at(), text);
    }
    draft.options.timers.lame_duck_duration = span;
}

fn lame_duck_grace_period(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    match strict_duration("lame_duck_grace_period", field, report).map(u64::try_from) {
        None => {}
        Some(Ok(nanos)) => draft.options.timers.lame_duck_grace_period = Duration::from_nanos(nanos),
        Some(Err(_)) => report.error(field.at(), "invalid lame_duck_grace_period, needs to be positive"),
    }
}

/// Where JetStream would keep its files: without JetStream it has no effect.
fn store_dir(draft: &mut Draft, field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::String(_) if draft.store_dir_seen => {
            report.error(field.at(), "Duplicate 'store_dir' configuration");
        }
        Value::String(directory) => draft.store_dir_seen = !directory.is_empty(),
        _ => report.wrong_type(field.node, "string"),
    }
}

fn default_js_domain(field: Field<'_>, report: &mut Report) {
    let Value::Map(map) = field.value() else {
        let text = format!("error default_js_domain config: unsupported type {}", field.value().type_name());
        return report.error(field.at(), text);
    };
    for node in map.values().filter(|node| !matches!(node.value, Value::String(_))) {
        report.wrong_type(node, "string");
    }
}
