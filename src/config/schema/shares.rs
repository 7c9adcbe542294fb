//! `exports` and `imports` of accounts: what an account offers to others and takes from them.

use super::rules::{Field, Key, Report, read_map};
use crate::config::document::{Node, Value};
use crate::config::duration::parse_nanos;

/// A stream or a service.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Stream,
    Service,
}

impl Kind {
    /// As messages call it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Stream => "stream",
            Kind::Service => "service",
        }
    }
}

/// What an account offers.
pub(super) struct Export {
    pub kind: Kind,
    pub subject: String,
    /// Who may import it; `None`: everybody.
    pub accounts: Option<Vec<String>>,
    /// Token of the subject that must be the importer's name; 0: none.
    pub account_token: i64,
}

/// What an account takes.
pub(super) struct Import {
    pub kind: Kind,
    pub account: String,
    pub subject: String,
    /// The subject under which it appears here.
    pub local: String,
}

#[derive(Default)]
struct ExportKeys {
    stream: Option<String>,
    service: Option<String>,
    accounts: Option<Vec<String>>,
    account_token: i64,
}

const EXPORT: &[Key<ExportKeys>] = &[
    Key::custom(&["stream"], |export, field, report| export.stream = subject("stream", field, report)),
    Key::custom(&["service"], |export, field, report| export.service = subject("service", field, report)),
    Key::custom(&["accounts"], |export, field, report| {
        let Value::Array(names) = field.value() else {
            return report.wrong_type(field.node, "[]interface {}");
        };
        let mut accounts = Vec::new();
        for node in names {
            match &node.value {
                Value::String(name) => accounts.push(name.clone()),
                _ => report.wrong_type(node, "string"),
            }
        }
        export.accounts = Some(accounts);
    }),
    Key::check(&["response", "response_type"], response_type),
    Key::check(&["threshold", "response_threshold", "response_max_time", "response_time"], threshold),
    Key::check(&["latency"], latency),
    Key::integer(&["account_token_position"], |export, position| export.account_token = position),
    Key::is_boolean(&["allow_trace"]),
];

/// Keys that make sense for a service only, and what the reference calls them.
const SERVICE_ONLY: [(&str, &[&str]); 3] = [
    (
        "response",
        &["response", "response_type", "threshold", "response_threshold", "response_max_time", "response_time"],
    ),
    ("latency", &["latency"]),
    ("allow_trace", &["allow_trace"]),
];

/// Reads `exports`.
pub(super) fn exports(field: Field<'_>, report: &mut Report) -> Vec<Export> {
    let Value::Array(items) = field.value() else {
        report.error(field.at(), format!("Exports should be an array, got {}", field.value().type_name()));
        return Vec::new();
    };
    items.iter().filter_map(|item| export(item, report)).collect()
}

fn export(item: &Node, report: &mut Report) -> Option<Export> {
    let Value::Map(map) = &item.value else {
        let found = item.value.type_name();
        report.error(&item.position, format!("Export Items should be a map with type entry, got {found}"));
        return None;
    };
    let mut keys = ExportKeys::default();
    read_map(map, EXPORT, &mut keys, report);
    if let (Some(stream), Some(_)) = (&keys.stream, &keys.service) {
        report.error(&item.position, format!("Detected stream {stream:?} but already saw a service"));
        return None;
    }
    if keys.stream.is_some() {
        for (directive, names) in SERVICE_ONLY {
            let used = map.iter().find(|(key, _)| names.iter().any(|name| name.eq_ignore_ascii_case(key)));
            if let Some((_, node)) = used {
                report.error(&node.position, format!("Detected {directive} directive on non-service"));
            }
        }
    }
    let (kind, subject) = match (keys.stream, keys.service) {
        (Some(subject), _) => (Kind::Stream, subject),
        (None, Some(subject)) => (Kind::Service, subject),
        (None, None) => return None,
    };
    Some(Export { kind, subject, accounts: keys.accounts, account_token: keys.account_token })
}

fn subject(what: &str, field: Field<'_>, report: &mut Report) -> Option<String> {
    match field.value() {
        Value::String(subject) => Some(subject.clone()),
        other => {
            report.error(field.at(), format!("Expected {what} name to be string, got {}", other.type_name()));
            None
        }
    }
}

fn response_type(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::String(kind) => {
            let known = ["single", "singleton", "stream", "chunk", "chunked"];
            if !known.contains(&kind.to_lowercase().as_str()) {
                report.error(field.at(), format!("Unknown response type: {kind:?}"));
            }
        }
        other => {
            report.error(field.at(), format!("Expected response type to be string, got {}", other.type_name()));
        }
    }
}

fn threshold(field: Field<'_>, report: &mut Report) {
    let found = match field.value() {
        Value::String(text) if parse_nanos(text).is_ok() => return,
        Value::String(text) => format!("{text:?}"),
        other => other.type_name().to_owned(),
    };
    let text = format!("Expected response threshold to be a parseable time duration, got {found}");
    report.error(field.at(), text);
}

fn latency(field: Field<'_>, report: &mut Report) {
    let map = match field.value() {
        Value::String(_) => return,
        Value::Map(map) => map,
        other => {
            let found = other.type_name();
            let text = format!("Expected latency entry to be a map/struct or string, got {found}");
            return report.error(field.at(), text);
        }
    };
    if let Some(node) = map.get("sampling") {
        let percent = match &node.value {
            Value::Integer(number) => Ok(*number),
            Value::String(text) if text.trim().eq_ignore_ascii_case("headers") => Ok(1),
            Value::String(text) => {
                let digits = text.strip_suffix('%').unwrap_or(text);
                let problem =
                    format!("Failed to parse latency sample: strconv.Atoi: parsing {digits:?}: invalid syntax");
                digits.parse().map_err(|_| problem)
            }
            other => {
                let found = other.type_name();
                Err(format!("Expected latency sample to be a string or map/struct, got {found}"))
            }
        };
        match percent {
            Ok(1..=100) => {}
            Ok(_) => return report.error(&node.position, "bad sampling percentage, should be 1-100"),
            Err(problem) => return report.error(&node.position, problem),
        }
    }
    match map.get("subject") {
        None => report.error(field.at(), "Latency subject required, but missing"),
        Some(node) if !matches!(node.value, Value::String(_)) => {
            report.error(&node.position, "Expected latency subject to be a string, got string");
        }
        Some(_) => {}
    }
}

#[derive(Default)]
struct ImportKeys {
    source: Option<(Kind, String, String)>,
    failed: bool,
    prefix: String,
    to: String,
}

const IMPORT: &[Key<ImportKeys>] = &[
    Key::custom(&["stream"], |import, field, report| source(import, Kind::Stream, field, report)),
    Key::custom(&["service"], |import, field, report| source(import, Kind::Service, field, report)),
    Key::text(&["prefix"], |import, text| text.clone_into(&mut import.prefix)),
    Key::text(&["to"], |import, text| text.clone_into(&mut import.to)),
    Key::is_boolean(&["share"]),
    Key::is_boolean(&["allow_trace"]),
];

/// Reads `imports`.
pub(super) fn imports(field: Field<'_>, report: &mut Report) -> Vec<Import> {
    let Value::Array(items) = field.value() else {
        report.error(field.at(), format!("Imports should be an array, got {}", field.value().type_name()));
        return Vec::new();
    };
    items.iter().filter_map(|item| import(item, report)).collect()
}

fn import(item: &Node, report: &mut Report) -> Option<Import> {
    let Value::Map(map) = &item.value else {
        let found = item.value.type_name();
        report.error(&item.position, format!("Import Items should be a map with type entry, got {found}"));
        return None;
    };
    let mut keys = ImportKeys::default();
    read_map(map, IMPORT, &mut keys, report);
    let (kind, account, subject) = keys.source?;
    if kind == Kind::Stream && !keys.prefix.is_empty() && !keys.to.is_empty() {
        let place = map.get("to").map_or(&item.position, |node| &node.position);
        report.error(place, "Stream import can not have a 'prefix' and a 'to' property");
    }
    let local = if keys.to.is_empty() { subject.clone() } else { keys.to };
    Some(Import { kind, account, subject, local })
}

fn source(import: &mut ImportKeys, kind: Kind, field: Field<'_>, report: &mut Report) {
    const KEYS: &[Key<(String, String)>] = &[
        Key::text(&["account"], |source, text| text.clone_into(&mut source.0)),
        Key::text(&["subject"], |source, text| text.clone_into(&mut source.1)),
    ];
    let Value::Map(map) = field.value() else {
        let what = if kind == Kind::Stream { "Stream" } else { "Service" };
        let text = format!("{what} entry should be an account map, got {}", field.value().type_name());
        return report.error(field.at(), text);
    };
    if import.source.is_some() || import.failed {
        import.failed = true;
        return report.error(field.at(), "Detected stream but already saw a service");
    }
    let mut source = (String::new(), String::new());
    read_map(map, KEYS, &mut source, report);
    if source.0.is_empty() || source.1.is_empty() {
        import.failed = true;
        return report.error(field.at(), "Expect an account name and a subject");
    }
    import.source = Some((kind, source.0, source.1));
}
