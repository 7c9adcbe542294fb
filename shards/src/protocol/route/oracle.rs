//! What the lines of other servers mean, for the oracle. The fuzz target includes this file, too.

use super::plain::{Event, Language, SILENT, message, size, words};

/// Limits of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub control_line: usize,
    pub payload: Option<usize>,
    pub dedicated: bool,
}

impl Language for Limits {
    const WITH_BLANK: &'static [&'static str] =
        &["RS+", "RS-", "RMSG", "HMSG", "PUB", "HPUB", "SUB", "UNSUB", "A+", "A-", "-ERR"];
    const NOT_UNDERSTOOD: &'static [&'static str] = &["LS+", "LS-", "LMSG"];

    fn control_line(self) -> usize {
        self.control_line
    }

    fn line(self, name: &'static str, args: Vec<u8>) -> (Event, usize) {
        let mut words = words(&args);
        let account = match name {
            "PUB" | "HPUB" => Some(Vec::new()),
            "RS+" | "RS-" | "UNSUB" | "RMSG" | "HMSG" if !self.dedicated => {
                if words.is_empty() {
                    return SILENT;
                }
                Some(words.remove(0))
            }
            _ => None,
        };
        let event = match (name, words.as_slice()) {
            ("RMSG" | "HMSG" | "PUB" | "HPUB", words) => return message(name, account, words, self.payload),
            ("RS+", [subject]) => Event::Words("RS+", vec![account, Some(subject.clone()), None, None]),
            ("RS+", [subject, queue, weight]) => {
                let weight = size(weight).map_or_else(|| "-1".to_owned(), |weight| weight.to_string()).into_bytes();
                Event::Words("RS+", vec![account, Some(subject.clone()), Some(queue.clone()), Some(weight)])
            }
            ("RS-" | "UNSUB", [subject, queue @ ..]) if queue.len() < 2 => {
                Event::Words("RS-", vec![account, Some(subject.clone()), queue.first().cloned()])
            }
            ("RS+" | "RS-" | "UNSUB", _) => return SILENT,
            ("SUB" | "A+" | "A-", _) => Event::Line("ignored", Vec::new()),
            _ => Event::Line(name, args),
        };
        (event, 0)
    }
}
