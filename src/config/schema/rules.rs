//! How a block of the schema is written down: a table of keys, each with the type that its value must have and what
//! becomes of it. [`read_map`] walks a map with such a table and collects what is wrong.

use std::time::Duration;

use crate::config::document::{Map, Node, Position, Value};
use crate::config::duration::parse_nanos;
use crate::go_net::split_host_port;

/// What was found wrong, in the reference's words.
#[derive(Default)]
pub(super) struct Report {
    warnings: Vec<(Option<Position>, String)>,
    errors: Vec<(Option<Position>, String)>,
}

impl Report {
    /// Something that makes the file unusable.
    pub fn error(&mut self, at: &Position, text: impl Into<String>) {
        self.errors.push((Some(at.clone()), text.into()));
    }

    /// An error that the reference reports without saying where.
    pub fn error_without_place(&mut self, text: impl Into<String>) {
        self.errors.push((None, text.into()));
    }

    /// A field that works, but not as it should be written.
    pub fn warning(&mut self, at: &Position, field: &str, text: impl std::fmt::Display) {
        self.warnings.push((Some(at.clone()), format!("invalid use of field {field:?}: {text}")));
    }

    /// A warning in its own words.
    pub fn plain_warning(&mut self, at: &Position, text: impl Into<String>) {
        self.warnings.push((Some(at.clone()), text.into()));
    }

    /// A value of the wrong type.
    pub fn wrong_type(&mut self, node: &Node, wanted: &str) {
        let text = format!("interface conversion: interface {{}} is {}, not {wanted}", node.value.type_name());
        self.error(&node.position, text);
    }

    pub fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The lines to show, in the order of the file: warnings, errors.
    pub fn into_lines(self) -> (Vec<String>, Vec<String>) {
        (lines(self.warnings), lines(self.errors))
    }
}

fn lines(mut found: Vec<(Option<Position>, String)>) -> Vec<String> {
    let place = |at: &Option<Position>| at.as_ref().map(|at| (at.file.clone(), at.line, at.column));
    found.sort_by_key(|(at, _)| place(at));
    found
        .into_iter()
        .map(|(at, text)| match at {
            Some(Position { file, line, column }) => format!("{file}:{line}:{column}: {text}"),
            None => text,
        })
        .collect()
}

/// A key as it stands in the file, with its value.
#[derive(Clone, Copy)]
pub(super) struct Field<'a> {
    /// As the file spells it.
    pub name: &'a str,
    /// Value and place.
    pub node: &'a Node,
}

impl<'a> Field<'a> {
    pub fn at(&self) -> &'a Position {
        &self.node.position
    }

    pub fn value(&self) -> &'a Value {
        &self.node.value
    }

    /// The value as a map, or an error about its type.
    pub fn map(&self, report: &mut Report) -> Option<&'a Map> {
        match &self.node.value {
            Value::Map(map) => Some(map),
            _ => {
                report.wrong_type(self.node, "map[string]interface {}");
                None
            }
        }
    }
}

/// What a key's value must be, and what becomes of it.
pub(super) enum Rule<T> {
    Text(fn(&mut T, &str)),
    Integer(fn(&mut T, i64)),
    Boolean(fn(&mut T, bool)),
    /// A duration text. A bare number counts as seconds, and draws a warning that names the field so.
    Duration(&'static str, fn(&mut T, Duration)),
    /// Port, or host and port.
    Listen(fn(&mut T, Listen)),
    /// Reads the value itself.
    Custom(fn(&mut T, Field<'_>, &mut Report)),
    /// Looks at the value and keeps nothing.
    Check(fn(Field<'_>, &mut Report)),
}

/// A key of a block, with its other names.
pub(super) struct Key<T> {
    pub names: &'static [&'static str],
    pub rule: Rule<T>,
}

type Names = &'static [&'static str];

impl<T> Key<T> {
    pub const fn text(names: Names, set: fn(&mut T, &str)) -> Self {
        Key { names, rule: Rule::Text(set) }
    }

    pub const fn integer(names: Names, set: fn(&mut T, i64)) -> Self {
        Key { names, rule: Rule::Integer(set) }
    }

    pub const fn boolean(names: Names, set: fn(&mut T, bool)) -> Self {
        Key { names, rule: Rule::Boolean(set) }
    }

    pub const fn duration(names: Names, field: &'static str, set: fn(&mut T, Duration)) -> Self {
        Key { names, rule: Rule::Duration(field, set) }
    }

    pub const fn listen(names: Names, set: fn(&mut T, Listen)) -> Self {
        Key { names, rule: Rule::Listen(set) }
    }

    pub const fn custom(names: Names, read: fn(&mut T, Field<'_>, &mut Report)) -> Self {
        Key { names, rule: Rule::Custom(read) }
    }

    pub const fn check(names: Names, look: fn(Field<'_>, &mut Report)) -> Self {
        Key { names, rule: Rule::Check(look) }
    }

    /// Any text; it is not kept.
    pub const fn is_text(names: Names) -> Self {
        Self::text(names, |_, _| {})
    }

    /// Any whole number; it is not kept.
    pub const fn is_integer(names: Names) -> Self {
        Self::integer(names, |_, _| {})
    }

    /// A truth value; it is not kept.
    pub const fn is_boolean(names: Names) -> Self {
        Self::boolean(names, |_, _| {})
    }

    /// A duration; it is not kept.
    pub const fn is_duration(names: Names, field: &'static str) -> Self {
        Self::duration(names, field, |_, _| {})
    }

    /// Port, or host and port; they are not kept.
    pub const fn is_listen(names: Names) -> Self {
        Self::listen(names, |_, _| {})
    }

    /// Anything at all.
    pub const fn is_anything(names: Names) -> Self {
        Self::check(names, |_, _| {})
    }

    pub fn has_name(&self, name: &str) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Applies the rule to a value.
    pub fn read(&self, target: &mut T, field: Field<'_>, report: &mut Report) {
        match (&self.rule, field.value()) {
            (Rule::Text(set), Value::String(text)) => set(target, text),
            (Rule::Text(_), _) => report.wrong_type(field.node, "string"),
            (Rule::Integer(set), Value::Integer(number)) => set(target, *number),
            (Rule::Integer(_), _) => report.wrong_type(field.node, "int64"),
            (Rule::Boolean(set), Value::Boolean(truth)) => set(target, *truth),
            (Rule::Boolean(_), _) => report.wrong_type(field.node, "bool"),
            (Rule::Duration(name, set), _) => {
                if let Some(span) = duration(name, field, report) {
                    set(target, span);
                }
            }
            (Rule::Listen(set), value) => match Listen::parse(value) {
                Ok(listen) => set(target, listen),
                Err(text) => report.error(field.at(), text),
            },
            (Rule::Custom(read), _) => read(target, field, report),
            (Rule::Check(look), _) => look(field, report),
        }
    }
}

/// Walks a block: every key by its rule, unknown ones become errors in the given words. A key that was used as a
/// variable is a definition and may have any name.
pub(super) fn read_map_with<T>(
    map: &Map,
    keys: &[Key<T>],
    target: &mut T,
    report: &mut Report,
    unknown: fn(&str) -> String,
) {
    for (name, node) in map {
        match keys.iter().find(|key| key.has_name(name)) {
            Some(key) => key.read(target, Field { name, node }, report),
            None if node.used_as_variable => {}
            None => report.error(&node.position, unknown(name)),
        }
    }
}

/// [`read_map_with`], with the usual words for an unknown key.
pub(super) fn read_map<T>(map: &Map, keys: &[Key<T>], target: &mut T, report: &mut Report) {
    read_map_with(map, keys, target, report, unknown_field);
}

/// [`read_map`] for blocks of which nothing is kept.
pub(super) fn check_map(map: &Map, keys: &[Key<()>], report: &mut Report) {
    read_map(map, keys, &mut (), report);
}

pub(super) fn unknown_field(name: &str) -> String {
    format!("unknown field {name:?}")
}

/// Where to listen.
pub(super) struct Listen {
    pub host: String,
    pub port: i64,
}

impl Listen {
    fn parse(value: &Value) -> Result<Listen, String> {
        match value {
            Value::Integer(port) => Ok(Listen { host: String::new(), port: *port }),
            Value::String(text) => {
                let (host, port) =
                    split_host_port(text).map_err(|_| format!("could not parse address string {text:?}"))?;
                let port = parse_port(port).ok_or(format!("could not parse port {port:?}"))?;
                Ok(Listen { host: host.to_owned(), port })
            }
            other => Err(format!("expected port or host:port, got {}", other.type_name())),
        }
    }
}

/// A number as Go's `Atoi` takes it.
pub(super) fn parse_port(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// A duration text, or a whole number of seconds with a warning. Negative spans count as none.
fn duration(name: &str, field: Field<'_>, report: &mut Report) -> Option<Duration> {
    match field.value() {
        Value::String(text) => match parse_nanos(text) {
            Ok(nanos) => Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))),
            Err(error) => {
                report.error(field.at(), format!("error parsing {name}: {error}"));
                None
            }
        },
        value => {
            report.warning(field.at(), name, format_args!("{name} should be converted to a duration"));
            match value {
                Value::Integer(seconds) => Some(Duration::from_secs(u64::try_from(*seconds).unwrap_or(0))),
                _ => {
                    report.wrong_type(field.node, "int64");
                    None
                }
            }
        }
    }
}

/// One text or a list of them; wrong elements are reported and left out.
pub(super) fn text_list(what: &str, field: Field<'_>, report: &mut Report) -> Vec<String> {
    match field.value() {
        Value::String(text) => vec![text.clone()],
        Value::Array(elements) => elements
            .iter()
            .filter_map(|node| match &node.value {
                Value::String(text) => Some(text.clone()),
                other => {
                    let text = format!("error parsing {what}: unsupported type in array {}", other.type_name());
                    report.error(&node.position, text);
                    None
                }
            })
            .collect(),
        other => {
            report.error(field.at(), format!("error parsing {what}: unsupported type {}", other.type_name()));
            Vec::new()
        }
    }
}

/// A value inside of a message.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(text) | Value::DateTime(text) => text.clone(),
        Value::Integer(number) => number.to_string(),
        Value::Float(number) => number.to_string(),
        Value::Boolean(truth) => truth.to_string(),
        Value::Array(elements) => {
            let texts: Vec<String> = elements.iter().map(|node| shown(&node.value)).collect();
            format!("[{}]", texts.join(" "))
        }
        Value::Map(map) => {
            let texts: Vec<String> = map.iter().map(|(key, node)| format!("{key}:{}", shown(&node.value))).collect();
            format!("map[{}]", texts.join(" "))
        }
    }
}

/// Whether the text may be used as a subject to subscribe to.
pub(super) fn is_subject(text: &str) -> bool {
    let mut tokens = text.split('.').peekable();
    while let Some(token) = tokens.next() {
        if token.is_empty() || token.contains([' ', '\t', '\n', '\r', '\u{c}']) {
            return false;
        }
        if token == ">" && tokens.peek().is_some() {
            return false;
        }
    }
    true
}

/// Whether a subject has no wildcards.
pub(super) fn is_literal_subject(text: &str) -> bool {
    is_subject(text) && !text.split('.').any(|token| matches!(token, "*" | ">"))
}
