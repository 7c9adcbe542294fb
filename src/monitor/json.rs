//! JSON in the reference's shape: two spaces of indentation, numbers without a needless `.0`, strings that are safe in web pages.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};
use shards::protocol::json::write_web_safe;

/// A value in lines.
pub fn pretty(value: &impl Serialize) -> Vec<u8> {
    let mut out = Vec::new();
    let written = value.serialize(&mut Serializer::with_formatter(&mut out, Lines(PrettyFormatter::new())));
    debug_assert!(written.is_ok(), "this goes into a Vec: {written:?}");
    out
}

struct Lines(PrettyFormatter<'static>);

impl Formatter for Lines {
    fn write_f64<W: ?Sized + Write>(&mut self, out: &mut W, value: f64) -> io::Result<()> {
        write!(out, "{value}")
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        write_web_safe(out, fragment)
    }

    fn begin_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_array(out)
    }

    fn end_array<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array(out)
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(out, first)
    }

    fn end_array_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_array_value(out)
    }

    fn begin_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object(out)
    }

    fn end_object<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object(out)
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(out, first)
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.begin_object_value(out)
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        self.0.end_object_value(out)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    #[test]
    fn looks_like_the_references() {
        let empty: BTreeMap<&str, u8> = BTreeMap::new();
        let value = (2.0, 0.5, 0.0, "<a&b>\u{2028}\u{8}", [0; 0], empty, BTreeMap::from([("k", None::<u8>)]));
        let expected = "[\n  2,\n  0.5,\n  0,\n  \"\\u003ca\\u0026b\\u003e\\u2028\\b\",\n  [],\n  {},\n  {\n    \"k\": null\n  }\n]";
        assert_eq!(String::from_utf8(super::pretty(&value)).unwrap(), expected);
    }
}
