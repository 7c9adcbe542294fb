//! JSON as the reference writes it: safe within HTML and JavaScript, whatever names an operator has chosen.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// Appends a value as JSON. `value` must be made of maps with string keys, strings, numbers and the like.
pub fn append(out: &mut Vec<u8>, value: &impl Serialize) {
    let written = value.serialize(&mut Serializer::with_formatter(&mut *out, WebSafe));
    debug_assert!(written.is_ok(), "this goes into a Vec: {written:?}");
}

/// Escapes what would end a script or begin an entity, and the two line ends that JavaScript knows and JSON does not.
struct WebSafe;

impl Formatter for WebSafe {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        write_web_safe(out, fragment)
    }
}

/// Writes a piece of a JSON string that needs no escapes but those of web pages.
pub fn write_web_safe<W: ?Sized + Write>(out: &mut W, fragment: &str) -> io::Result<()> {
    const SPECIAL: [char; 5] = ['<', '>', '&', '\u{2028}', '\u{2029}'];
    let mut rest = fragment;
    while let Some((plain, special, behind)) = split_at_any(rest, SPECIAL) {
        write!(out, "{plain}\\u{:04x}", u32::from(special))?;
        rest = behind;
    }
    out.write_all(rest.as_bytes())
}

/// What lies before the first of these characters, the character, and what lies behind.
fn split_at_any(text: &str, wanted: [char; 5]) -> Option<(&str, char, &str)> {
    let (plain, behind) = text.split_at_checked(text.find(wanted)?)?;
    let mut behind = behind.chars();
    let special = behind.next()?;
    Some((plain, special, behind.as_str()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn strings_are_safe_in_web_pages() {
        for (text, json) in [
            ("", r#""""#),
            ("plain é😀 '\x7f", "\"plain é😀 '\x7f\""),
            ("<b>&\u{2028}\u{2029}<", r#""\u003cb\u003e\u0026\u2028\u2029\u003c""#),
            ("a\"\\\n\u{8}\u{1}<", r#""a\"\\\n\b\u0001\u003c""#),
        ] {
            let mut out = b"x".to_vec();
            super::append(&mut out, &text);
            assert_eq!(String::from_utf8_lossy(&out), format!("x{json}"));
        }
    }
}
