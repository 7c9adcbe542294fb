//! A parsed configuration: values that know where they stand, and the digest of their meaning.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest as hash};

/// The top-level map of a configuration file.
pub type Document = Map;

/// Keys (exact case) with their values.
pub type Map = BTreeMap<String, Node>;

/// Where something stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// File, as named on the command line, or the path that `include` gave.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: usize,
    /// Byte offset within the line: from 0 on the first line, from 1 on all others, as the reference counts.
    pub column: usize,
}

/// A value, and where it stands. The position is that of the key, for array elements that of the value itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where to point when something is wrong with it.
    pub position: Position,
    /// `$name` referred to this key, so the key is a definition and need not be one that the schema knows.
    pub used_as_variable: bool,
}

/// What a value can be.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text, quoted or not. Bytes that are not UTF-8 have become U+FFFD.
    String(String),
    /// A whole number, its suffix (`k`, `MiB`) multiplied out.
    Integer(i64),
    /// A number with a decimal point.
    Float(f64),
    /// `true yes on`, `false no off`.
    Boolean(bool),
    /// `YYYY-MM-DDThh:mm:ssZ`, checked.
    DateTime(String),
    /// `[…]`
    Array(Vec<Node>),
    /// `{…}`
    Map(Map),
}

impl Value {
    /// The type's name in the reference's messages.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::Integer(_) => "int64",
            Value::Float(_) => "float64",
            Value::Boolean(_) => "bool",
            Value::DateTime(_) => "time.Time",
            Value::Array(_) => "[]interface {}",
            Value::Map(_) => "map[string]interface {}",
        }
    }

    /// How many values this one consists of, itself included.
    pub(super) fn count(&self) -> usize {
        match self {
            Value::Array(elements) => 1 + elements.iter().map(|node| node.value.count()).sum::<usize>(),
            Value::Map(map) => 1 + map.values().map(|node| node.value.count()).sum::<usize>(),
            _ => 1,
        }
    }
}

/// `sha256:` and the hash of the document's canonical JSON: equal for files that say the same.
pub fn digest(document: &Document) -> String {
    let mut json = String::new();
    write_map(&mut json, document);
    json.push('\n');
    format!("sha256:{}", HEXLOWER.encode(hash(&SHA256, json.as_bytes()).as_ref()))
}

fn write_map(json: &mut String, map: &Map) {
    json.push('{');
    for (index, (key, node)) in map.iter().enumerate() {
        if index > 0 {
            json.push(',');
        }
        write_string(json, key);
        json.push(':');
        write_value(json, &node.value);
    }
    json.push('}');
}

fn write_value(json: &mut String, value: &Value) {
    match value {
        Value::String(text) | Value::DateTime(text) => write_string(json, text),
        Value::Integer(number) => json.push_str(&number.to_string()),
        Value::Float(number) => json.push_str(&float_text(*number)),
        Value::Boolean(truth) => json.push_str(if *truth { "true" } else { "false" }),
        Value::Array(elements) => {
            json.push('[');
            for (index, node) in elements.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                write_value(json, &node.value);
            }
            json.push(']');
        }
        Value::Map(map) => write_map(json, map),
    }
}

/// Shortest form; with an exponent where Go's JSON encoder uses one.
fn float_text(number: f64) -> String {
    let size = number.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        let text = format!("{number:e}");
        return if size < 1.0 { text } else { text.replace('e', "e+") };
    }
    number.to_string()
}

fn write_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            '\u{8}' => json.push_str("\\b"),
            '\u{c}' => json.push_str("\\f"),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                // Writing to a String cannot fail.
                let _ = write!(json, "\\u{:04x}", u32::from(character));
            }
            _ => json.push(character),
        }
    }
    json.push('"');
}
