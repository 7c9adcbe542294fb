//! Values that are neither maps nor arrays: texts, blocks, numbers, dates.

use super::super::document::{Node, Value};
use super::super::error::ParseError;
use super::super::scanner::{END, shown, to_text};
use super::super::values::{boolean, date, integer};
use super::{Parser, Result};

impl Parser<'_, '_, '_> {
    pub(super) fn single_quoted(&mut self) -> Result<Node> {
        self.scanner.ignore();
        loop {
            match self.scanner.peek() {
                END => {
                    self.scanner.next();
                    return Err(self.scanner.error("Unexpected EOF."));
                }
                '\'' => break,
                _ => {
                    self.scanner.next();
                }
            }
        }
        let item = self.scanner.emit();
        self.scanner.next();
        self.scanner.ignore();
        self.text(item)
    }

    /// Text up to its quote, or, without one, up to what ends a bare string. Only a bare string without escapes can be
    /// a truth value or refer to a variable.
    pub(super) fn text_with_escapes(&mut self, quote: Option<char>) -> Result<Node> {
        let mut text: Option<Vec<u8>> = None;
        loop {
            let mark = self.scanner.mark();
            let character = self.scanner.next();
            let closes = match quote {
                Some(quote) => character == quote,
                None => matches!(character, '\n' | '\r' | END | ';' | ',' | ']' | '}' | ' ' | '\t' | '\''),
            };
            if closes {
                self.scanner.reset(mark);
                return self.end_text(text, quote.is_some(), character);
            }
            match character {
                '\\' => {
                    self.scanner.reset(mark);
                    let text = text.get_or_insert_default();
                    text.extend_from_slice(self.scanner.pending());
                    self.scanner.next();
                    text.push(self.escape()?);
                    self.scanner.ignore();
                }
                END => return Err(self.scanner.error("Unexpected EOF.")),
                _ => {}
            }
        }
    }

    fn end_text(&mut self, escaped: Option<Vec<u8>>, quoted: bool, end: char) -> Result<Node> {
        let plain = escaped.is_none() && !quoted && end != '\'';
        let item = match escaped {
            Some(mut text) => {
                text.extend_from_slice(self.scanner.pending());
                self.scanner.emit_text(text)
            }
            None if plain && boolean(self.scanner.pending()).is_some() => {
                let truth = boolean(self.scanner.pending()).unwrap_or_default();
                let item = self.scanner.emit();
                return self.node(&item, Value::Boolean(truth));
            }
            None if plain && self.scanner.pending().starts_with(b"$") => {
                let name = self.scanner.pending().get(1..).unwrap_or_default().to_vec();
                let item = self.scanner.emit_text(name);
                return self.variable(&item);
            }
            None => self.scanner.emit(),
        };
        if quoted || end == '\'' {
            self.scanner.next();
            self.scanner.ignore();
        }
        self.text(item)
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<u8> {
        match self.scanner.next() {
            'x' => {
                for _ in 0..2 {
                    if matches!(self.scanner.next(), '\n' | '\r') {
                        let text = "Expected two hexadecimal digits after '\\x', but hit end of line";
                        return Err(self.scanner.error(text));
                    }
                }
                let digits = self.scanner.last_two_bytes();
                let byte = std::str::from_utf8(digits).ok().filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit()));
                byte.and_then(|text| u8::from_str_radix(text, 16).ok()).ok_or_else(|| {
                    self.scanner
                        .error(format!("Expected two hexadecimal digits after '\\x', but got '{}'", to_text(digits)))
                })
            }
            't' => Ok(b'\t'),
            'n' => Ok(b'\n'),
            'r' => Ok(b'\r'),
            '"' => Ok(b'"'),
            '\\' => Ok(b'\\'),
            other => Err(self.scanner.error(format!(
                "Invalid escape character '{}'. Only the following escape characters are allowed: \
                 \\xXX, \\t, \\n, \\r, \\\", \\\\.",
                shown(other)
            ))),
        }
    }

    /// `(` … `)`: up to a closing parenthesis that is alone on its line.
    pub(super) fn block(&mut self) -> Result<Node> {
        self.scanner.ignore();
        loop {
            let mark = self.scanner.mark();
            match self.scanner.next() {
                END => return Err(self.scanner.error("Unexpected EOF processing block.")),
                ')' if self.scanner.byte_before_last() == Some(b'\n') => {
                    if matches!(self.scanner.peek(), '\n' | END) {
                        self.scanner.reset(mark);
                        let item = self.scanner.emit();
                        self.scanner.next();
                        self.scanner.ignore();
                        return self.text(item);
                    }
                }
                _ => {}
            }
        }
    }

    /// After a minus sign.
    pub(super) fn negative_number(&mut self) -> Result<Node> {
        match self.scanner.next() {
            '0'..='9' => {}
            '.' => return Err(self.scanner.error("Floats must start with a digit, not '.'.")),
            other => return Err(self.scanner.error(format!("Expected a digit but got '{}'.", shown(other)))),
        }
        loop {
            let mark = self.scanner.mark();
            match self.scanner.next() {
                '0'..='9' => {}
                '.' => return self.fraction(),
                suffix if is_number_suffix(suffix) => return self.number_suffix(),
                _ => {
                    self.scanner.reset(mark);
                    return self.integer();
                }
            }
        }
    }

    /// After the first digit.
    pub(super) fn number_or_date_or_address(&mut self) -> Result<Node> {
        loop {
            let mark = self.scanner.mark();
            match self.scanner.next() {
                '0'..='9' => {}
                '-' => return self.date(),
                '.' => return self.fraction(),
                suffix if is_number_suffix(suffix) => return self.number_suffix(),
                end if ends_number(end) => {
                    self.scanner.reset(mark);
                    return self.integer();
                }
                // Any other character makes it a bare string and belongs to it, even one that ends others (`1]`).
                _ => return self.text_with_escapes(None),
            }
        }
    }

    /// After the first letter of a suffix.
    fn number_suffix(&mut self) -> Result<Node> {
        loop {
            let mark = self.scanner.mark();
            let character = self.scanner.next();
            if matches!(character, 'b' | 'B' | 'i' | 'I') {
                continue;
            }
            self.scanner.reset(mark);
            return match ends_number(character) {
                true => self.integer(),
                false => self.text_with_escapes(None),
            };
        }
    }

    fn integer(&mut self) -> Result<Node> {
        let item = self.scanner.emit();
        let value = integer(&to_text(&item.text), item.line)?;
        self.node(&item, Value::Integer(value))
    }

    /// After a number's decimal point. A second point makes it an address.
    fn fraction(&mut self) -> Result<Node> {
        let first = self.scanner.next();
        if !first.is_ascii_digit() {
            let text = format!("Floats must have a digit after the '.', but got '{}' instead.", shown(first));
            return Err(self.scanner.error(text));
        }
        self.skip_digits();
        if !self.scanner.take('.') {
            let item = self.scanner.emit();
            let number = to_text(&item.text).parse().unwrap_or(f64::INFINITY);
            return match f64::is_finite(number) {
                true => self.node(&item, Value::Float(number)),
                false => Err(ParseError::FloatRange(to_text(&item.text))),
            };
        }
        while matches!(self.scanner.peek(), '0'..='9' | '.' | ':' | '-') {
            self.scanner.next();
        }
        let item = self.scanner.emit();
        self.text(item)
    }

    fn skip_digits(&mut self) {
        while self.scanner.peek().is_ascii_digit() {
            self.scanner.next();
        }
    }

    /// After `YYYY-`.
    fn date(&mut self) -> Result<Node> {
        if self.scanner.pending().len() != "YYYY-".len() {
            return Err(self.scanner.error("All ISO8601 dates must be in full Zulu form."));
        }
        for wanted in "00-00T00:00:00Z".chars() {
            let found = self.scanner.next();
            if wanted == '0' && !found.is_ascii_digit() {
                let text = format!("Expected digit in ISO8601 datetime, but found '{}' instead.", shown(found));
                return Err(self.scanner.error(text));
            }
            if wanted != '0' && wanted != found {
                let text = format!("Expected '{wanted}' in ISO8601 datetime, but found '{}' instead.", shown(found));
                return Err(self.scanner.error(text));
            }
        }
        let item = self.scanner.emit();
        let text = date(to_text(&item.text))?;
        self.node(&item, Value::DateTime(text))
    }
}

fn is_number_suffix(character: char) -> bool {
    matches!(character.to_ascii_lowercase(), 'k' | 'm' | 'g' | 't' | 'p' | 'e')
}

fn ends_number(character: char) -> bool {
    matches!(character, '\n' | '\r' | END | '}' | ';' | ',' | ' ' | '\t')
}
