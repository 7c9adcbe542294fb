//! `permissions { publish, subscribe, allow_responses }` of users, accounts and clusters.

use shards::config::SubjectRules;

use super::rules::{Field, Key, Report, is_subject, read_map_with, shown};
use crate::config::document::{Node, Position, Value};
use crate::config::duration::parse_nanos;

/// What the callers ask about checked permissions.
#[derive(Default)]
pub(super) struct Permissions {
    /// `allow_responses` is in force.
    pub responses: bool,
    /// `publish`, which routes call `import`.
    pub publish: SubjectRules,
    /// `subscribe`, which routes call `export`.
    pub subscribe: SubjectRules,
}

/// How the reference points at a value: some of its checks lose the place.
#[derive(Clone, Copy)]
enum Place<'a> {
    At(&'a Position),
    Lost,
}

impl Place<'_> {
    fn error(self, report: &mut Report, text: String) {
        match self {
            Place::At(position) => report.error(position, text),
            Place::Lost => report.error_without_place(text),
        }
    }
}

const KEYS: &[Key<Permissions>] = &[
    Key::custom(&["publish", "pub", "import"], |permissions, field, report| {
        permissions.publish = subjects_or_lists(field, Queues::Forbidden, report);
    }),
    Key::custom(&["subscribe", "sub", "export"], |permissions, field, report| {
        permissions.subscribe = subjects_or_lists(field, Queues::Allowed, report);
    }),
    Key::custom(&["allow_responses", "publish_allow_responses"], allow_responses),
];

/// Checks a permissions block.
pub(super) fn check(field: Field<'_>, report: &mut Report) -> Option<Permissions> {
    check_placed(field, report, Place::At(field.at()))
}

/// The same for a cluster's, where the reference does not say where the block stands.
pub(super) fn check_without_place(field: Field<'_>, report: &mut Report) -> Option<Permissions> {
    check_placed(field, report, Place::Lost)
}

fn check_placed(field: Field<'_>, report: &mut Report, place: Place<'_>) -> Option<Permissions> {
    let Value::Map(map) = field.value() else {
        let text = format!("Expected permissions to be a map/struct, got {}", shown(field.value()));
        place.error(report, text);
        return None;
    };
    let mut permissions = Permissions::default();
    read_map_with(map, KEYS, &mut permissions, report, |name| format!("Unknown field {name:?} parsing permissions"));
    Some(permissions)
}

/// Whether a queue group may stand behind a subject.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queues {
    Allowed,
    Forbidden,
}

/// Rules while they are being read.
struct Rules {
    queues: Queues,
    rules: SubjectRules,
}

/// `{allow, deny}`, or the allowed subjects alone.
fn subjects_or_lists(field: Field<'_>, queues: Queues, report: &mut Report) -> SubjectRules {
    const LISTS: &[Key<Rules>] = &[
        Key::custom(&["allow"], |draft, field, report| {
            draft.rules.allow = some(read_subjects(field.node, Place::At(field.at()), draft.queues, report));
        }),
        Key::custom(&["deny"], |draft, field, report| {
            draft.rules.deny = read_subjects(field.node, Place::At(field.at()), draft.queues, report);
        }),
    ];
    let mut draft = Rules { queues, rules: SubjectRules::default() };
    match field.value() {
        Value::Map(map) => read_map_with(map, LISTS, &mut draft, report, |name| {
            format!("Unknown field name {name:?} parsing subject permissions, only 'allow' or 'deny' are permitted")
        }),
        _ => draft.rules.allow = some(read_subjects(field.node, Place::Lost, queues, report)),
    }
    draft.rules
}

/// An empty list of allowed subjects forbids nothing.
fn some(subjects: Vec<String>) -> Option<Vec<String>> {
    Some(subjects).filter(|subjects| !subjects.is_empty())
}

/// A subject or a list of them.
pub(super) fn subjects(field: Field<'_>, report: &mut Report) {
    read_subjects(field.node, Place::At(field.at()), Queues::Allowed, report);
}

fn read_subjects(node: &Node, place: Place<'_>, queues: Queues, report: &mut Report) -> Vec<String> {
    let mut subjects = Vec::new();
    match &node.value {
        Value::String(subject) => subjects.push(subject.clone()),
        Value::Array(elements) => {
            for element in elements {
                match &element.value {
                    Value::String(subject) => subjects.push(subject.clone()),
                    _ => {
                        let text = "Subject in permissions array cannot be cast to string";
                        report.error(&element.position, text);
                        return Vec::new();
                    }
                }
            }
        }
        other => {
            let found = other.type_name();
            let text = format!("Expected subject permissions to be a subject, or array of subjects, got {found}");
            place.error(report, text);
        }
    }
    if let Some(wrong) = subjects.iter().find_map(|subject| wrong_subject(subject, queues)) {
        place.error(report, format!("subject {wrong:?} is not a valid subject"));
        return Vec::new();
    }
    subjects
}

/// The part that is no subject, of a subject or of `subject queue`.
fn wrong_subject(text: &str, queues: Queues) -> Option<&str> {
    if is_subject(text) {
        return None;
    }
    let words: Vec<&str> = text.split_whitespace().collect();
    match words.as_slice() {
        [subject, _queue] if queues == Queues::Allowed => (!is_subject(subject)).then_some(*subject),
        _ => Some(text),
    }
}

fn allow_responses(permissions: &mut Permissions, field: Field<'_>, report: &mut Report) {
    const LIMITS: &[Key<()>] = &[
        Key::is_integer(&["max", "max_msgs", "max_messages", "max_responses"]),
        Key::check(&["expires", "expiration", "ttl"], expires),
    ];
    match field.value() {
        Value::Boolean(on) => permissions.responses = *on,
        Value::Map(map) => {
            permissions.responses = true;
            read_map_with(map, LIMITS, &mut (), report, |name| format!("Unknown field {name:?} parsing permissions"));
        }
        _ => {
            let text = "error parsing response permissions, expected a boolean or a map";
            report.error(field.at(), text);
        }
    }
}

fn expires(field: Field<'_>, report: &mut Report) {
    match field.value() {
        Value::String(text) => {
            if let Err(error) = parse_nanos(text) {
                report.error(field.at(), format!("error parsing expires: {error}"));
            }
        }
        _ => report.error(field.at(), "error parsing expires, not a duration string"),
    }
}
