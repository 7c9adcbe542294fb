//! What the lines of clients mean, for the oracle. The fuzz target includes this file, too.

use super::plain::{Event, Language, SILENT, message, size, words};

/// Limits of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub control_line: usize,
    pub payload: Option<usize>,
    pub headers: bool,
}

impl Language for Limits {
    const WITH_BLANK: &'static [&'static str] = &["PUB", "HPUB", "SUB", "UNSUB", "-ERR"];

    fn control_line(self) -> usize {
        self.control_line
    }

    fn line(self, name: &'static str, args: Vec<u8>) -> (Event, usize) {
        let words = words(&args);
        let event = match (name, words.as_slice()) {
            ("HPUB", _) if !self.headers => return SILENT,
            ("PUB" | "HPUB", words) => return message(name, None, words, self.payload),
            ("UNSUB", [sid]) => Event::Words("UNSUB", vec![Some(sid.clone()), None]),
            ("UNSUB", [sid, max]) => {
                let max = size(max).filter(|&max| max > 0).map(|max| max.to_string().into_bytes());
                Event::Words("UNSUB", vec![Some(sid.clone()), max])
            }
            ("SUB", [_, _] | [_, _, _]) | ("CONNECT" | "INFO" | "-ERR", _) => Event::Line(name, args),
            _ => return SILENT,
        };
        (event, 0)
    }
}
