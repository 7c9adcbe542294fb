//! The grammar of the configuration language, by recursive descent.
//!
//! The reference reads this language with a state machine that has accidents; where files in use can depend on them
//! (what ends a bare string, which newline may stand where) they are kept, and a comment says so.

use std::sync::Arc;

use super::document::{Document, Map, Node, Position, Value};
use super::error::ParseError;
use super::scanner::{END, Item, Scanner, shown, to_text};
use super::values::{boolean, date, integer};
use super::{Environment, IncludeReader, path};

/// How deep maps, arrays and outer braces may nest.
const MAX_DEPTH: usize = 200;
/// How many files may include one another in a row.
const MAX_INCLUDES: usize = 64;
/// Values in a document, variables expanded.
const MAX_VALUES: usize = 1_000_000;
/// What the key of an environment variable's value is called while it is parsed.
const ENVIRONMENT_KEY: &str = "pk";

type Result<T> = std::result::Result<T, ParseError>;

/// What a parse and the parses that it starts (includes, environment values) share.
pub(super) struct Context<'a> {
    environment: &'a dyn Environment,
    includes: &'a dyn IncludeReader,
    /// Files being read, outermost first.
    open_files: Vec<String>,
    /// Environment variables being read.
    open_variables: Vec<String>,
    values: usize,
}

impl<'a> Context<'a> {
    pub fn new(environment: &'a dyn Environment, includes: &'a dyn IncludeReader) -> Self {
        Context { environment, includes, open_files: Vec::new(), open_variables: Vec::new(), values: 0 }
    }

    fn count(&mut self, values: usize) -> Result<()> {
        self.values = self.values.saturating_add(values);
        match self.values > MAX_VALUES {
            true => Err(ParseError::TooLarge { what: "values", limit: MAX_VALUES }),
            false => Ok(()),
        }
    }
}

/// Parses one text. `file` is its name in messages and the base of its includes.
pub(super) fn parse(file: &str, input: &[u8], context: &mut Context<'_>) -> Result<Document> {
    let mut parser =
        Parser { scanner: Scanner::new(input), context, file: Arc::from(file), scopes: vec![Map::new()], depth: 0 };
    parser.top_level()?;
    Ok(parser.scopes.pop().unwrap_or_default())
}

struct Parser<'a, 'b, 'c> {
    scanner: Scanner<'a>,
    context: &'b mut Context<'c>,
    file: Arc<str>,
    /// Maps being filled, the top level first: where variables are looked up.
    scopes: Vec<Map>,
    depth: usize,
}

/// What follows a key.
enum KeyItem {
    Key(Item),
    Include(Item),
}

/// What follows an item at the top level.
#[derive(PartialEq)]
enum Ended {
    /// The next item.
    Item,
    /// A brace around items was closed.
    Brace,
}

impl Parser<'_, '_, '_> {
    /// Items up to the end of the text, inside any number of bare braces (which is how JSON comes in).
    fn top_level(&mut self) -> Result<()> {
        let mut braces: usize = 0;
        loop {
            self.scanner.skip_while(char::is_whitespace);
            let mark = self.scanner.mark();
            match self.scanner.next() {
                '{' => {
                    braces = braces.saturating_add(1);
                    self.scanner.ignore();
                }
                '}' if braces > 0 => {
                    self.scanner.ignore();
                    braces = self.after_brace(braces - 1)?;
                }
                '#' => self.scanner.skip_comment(),
                '/' if self.scanner.take('/') => self.scanner.skip_comment(),
                '/' => return Err(self.scanner.error("Unexpected EOF.")),
                END if self.scanner.item_is_empty() => return Ok(()),
                END => return Err(self.scanner.error("Unexpected EOF.")),
                _ => {
                    self.scanner.reset(mark);
                    if !self.top_level_item()? {
                        return Ok(());
                    }
                    if self.after_top_level_item(braces > 0)? == Ended::Brace {
                        braces = self.after_brace(braces.saturating_sub(1))?;
                    }
                }
            }
        }
    }

    /// One key with its value, or an include. False: the text ended after a stray brace.
    fn top_level_item(&mut self) -> Result<bool> {
        let key = match self.key()? {
            KeyItem::Include(path) => {
                self.include(&path)?;
                return Ok(true);
            }
            KeyItem::Key(key) => key,
        };
        self.scanner.skip_while(char::is_whitespace);
        let mark = self.scanner.mark();
        match self.scanner.next() {
            '=' | ':' => self.scanner.ignore(),
            END => {
                let end = self.scanner.emit();
                // Documents may end in one closing brace too many.
                if key.text == b"}" {
                    return Ok(false);
                }
                let file = self.file.to_string();
                return Err(ParseError::KeyWithoutValue { file, line: end.line, column: end.column });
            }
            _ => self.scanner.reset(mark),
        }
        let value = self.value()?;
        self.set(key, value.value);
        Ok(true)
    }

    fn after_top_level_item(&mut self, in_braces: bool) -> Result<Ended> {
        loop {
            match self.scanner.next() {
                '#' => self.scanner.skip_comment(),
                '/' if self.scanner.take('/') => self.scanner.skip_comment(),
                ' ' | '\t' | '/' => {}
                '\n' | '\r' | ';' | ',' => break,
                END if !in_braces => break,
                '}' if in_braces => {
                    self.scanner.ignore();
                    return Ok(Ended::Brace);
                }
                '}' => break,
                other => {
                    let level = if in_braces { "block-level" } else { "top-level" };
                    return Err(self.scanner.error(format!(
                        "Expected a {level} value to end with a new line, comment or EOF, but got '{}' instead.",
                        shown(other)
                    )));
                }
            }
        }
        self.scanner.ignore();
        Ok(Ended::Item)
    }

    /// After a closing outer brace. `open` of them are still open; the result is how many are afterwards.
    fn after_brace(&mut self, mut open: usize) -> Result<usize> {
        while open > 0 {
            match self.scanner.next() {
                '#' => {
                    self.scanner.skip_comment();
                    break;
                }
                '/' if self.scanner.take('/') => {
                    self.scanner.skip_comment();
                    break;
                }
                ' ' | '\t' | '\n' | '\r' | '/' => {}
                ';' | ',' => break,
                '}' => open -= 1,
                other => {
                    return Err(self.scanner.error(format!(
                        "Expected a block-level to end with a '}}', but got '{}' instead.",
                        shown(other)
                    )));
                }
            }
        }
        self.scanner.ignore();
        Ok(open)
    }

    /// A key of the top level, up to what ends it.
    fn key(&mut self) -> Result<KeyItem> {
        match self.scanner.peek() {
            separator @ ('=' | ':') => {
                Err(self.scanner.error(format!("Unexpected key separator '{}'", shown(separator))))
            }
            quote @ ('"' | '\'') => self.quoted_key(quote, "Unexpected EOF."),
            _ => self.bare_key(None),
        }
    }

    fn quoted_key(&mut self, quote: char, at_end: &str) -> Result<KeyItem> {
        self.scanner.next();
        self.scanner.ignore();
        loop {
            match self.scanner.peek() {
                END => return Err(self.scanner.error(at_end)),
                found if found == quote => break,
                _ => {
                    self.scanner.next();
                }
            }
        }
        let key = self.scanner.emit();
        self.scanner.next();
        self.scanner.ignore();
        Ok(KeyItem::Key(key))
    }

    /// A key without quotes: its first character may be anything. `at_end`: a key that the text ends in is an error.
    fn bare_key(&mut self, at_end: Option<&str>) -> Result<KeyItem> {
        self.scanner.ignore();
        self.scanner.next();
        loop {
            match self.scanner.peek() {
                '=' | ':' => return Ok(KeyItem::Key(self.scanner.emit())),
                END => match at_end {
                    Some(text) => return Err(self.scanner.error(text)),
                    None => return Ok(KeyItem::Key(self.scanner.emit())),
                },
                space if space.is_whitespace() => {
                    if self.scanner.pending().eq_ignore_ascii_case(b"include") {
                        self.scanner.ignore();
                        return self.include_path().map(KeyItem::Include);
                    }
                    return Ok(KeyItem::Key(self.scanner.emit()));
                }
                _ => {
                    self.scanner.next();
                }
            }
        }
    }

    fn include_path(&mut self) -> Result<Item> {
        self.scanner.skip_while(is_blank);
        let mark = self.scanner.mark();
        let refuse =
            |parser: &Self, what: &str| Err(parser.scanner.error(format!("Expected include value but found {what}")));
        match self.scanner.next() {
            quote @ ('\'' | '"') => {
                self.scanner.ignore();
                while self.scanner.peek() != quote {
                    if self.scanner.next() == END {
                        let kind = if quote == '"' { "double quoted" } else { "quoted" };
                        return Err(self.scanner.error(format!("Unexpected EOF in {kind} include")));
                    }
                }
                let path = self.scanner.emit();
                self.scanner.next();
                self.scanner.ignore();
                return Ok(path);
            }
            '[' => return refuse(self, "start of an array"),
            '{' => return refuse(self, "start of a map"),
            '(' => return refuse(self, "start of a block"),
            '-' | '0'..='9' => return refuse(self, "start of a number"),
            '\\' => return refuse(self, "escape sequence"),
            '\n' | '\r' => return refuse(self, "new line"),
            _ => self.scanner.reset(mark),
        }
        loop {
            match self.scanner.peek() {
                '\n' | '\r' | END | ';' | '}' | ' ' | '\t' => return Ok(self.scanner.emit()),
                '\'' => {
                    let path = self.scanner.emit();
                    self.scanner.next();
                    self.scanner.ignore();
                    return Ok(path);
                }
                _ => {
                    self.scanner.next();
                }
            }
        }
    }

    /// Puts the top-level keys of another file into the innermost open map.
    fn include(&mut self, item: &Item) -> Result<()> {
        let written = to_text(&item.text);
        let wrap = |source| ParseError::Include { path: written.clone(), source: Box::new(source) };
        let file = path::join(path::parent(&self.file), &written);
        let included = self.read_include(&file).map_err(wrap)?;
        if let Some(scope) = self.scopes.last_mut() {
            scope.extend(included);
        }
        Ok(())
    }

    fn read_include(&mut self, file: &str) -> Result<Document> {
        if *file == *self.file || self.context.open_files.iter().any(|open| open == file) {
            return Err(ParseError::IncludeCycle(file.to_owned()));
        }
        if self.context.open_files.len() >= MAX_INCLUDES {
            return Err(ParseError::TooLarge { what: "nested includes", limit: MAX_INCLUDES });
        }
        let bytes = self.context.includes.read(file).map_err(|error| ParseError::File(error.to_string()))?;
        self.context.open_files.push(self.file.to_string());
        let document = parse(file, &bytes, self.context);
        self.context.open_files.pop();
        document
    }

    /// A value anywhere; in front of it no newline.
    fn value(&mut self) -> Result<Node> {
        self.scanner.skip_while(is_blank);
        let mark = self.scanner.mark();
        match self.scanner.next() {
            '[' => self.nested(Self::array),
            '{' => self.nested(Self::map),
            '\'' => self.single_quoted(),
            '"' => {
                self.scanner.ignore();
                self.text_with_escapes(Some('"'))
            }
            '(' => self.block(),
            '-' => self.negative_number(),
            '0'..='9' => self.number_or_date_or_address(),
            '.' => Err(self.scanner.error("Floats must start with a digit")),
            '\n' | '\r' => Err(self.scanner.error("Expected value but found new line")),
            _ => {
                self.scanner.reset(mark);
                self.text_with_escapes(None)
            }
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Value>) -> Result<Node> {
        if self.depth >= MAX_DEPTH {
            return Err(ParseError::TooLarge { what: "nested maps and arrays", limit: MAX_DEPTH });
        }
        self.depth += 1;
        self.scanner.ignore();
        let value = read(self)?;
        self.depth -= 1;
        self.scanner.ignore();
        let end = self.scanner.emit();
        self.node(&end, value)
    }

    fn array(&mut self) -> Result<Value> {
        let mut elements = Vec::new();
        loop {
            self.scanner.skip_while(char::is_whitespace);
            let mark = self.scanner.mark();
            match self.scanner.next() {
                '#' => self.scanner.skip_comment(),
                '/' if self.scanner.take('/') => self.scanner.skip_comment(),
                '/' | ',' => return Err(self.scanner.error("Unexpected array value terminator ','.")),
                ']' => return Ok(Value::Array(elements)),
                _ => {
                    self.scanner.reset(mark);
                    let element = self.value()?;
                    elements.push(element);
                    if self.after_element()? {
                        return Ok(Value::Array(elements));
                    }
                }
            }
        }
    }

    /// What separates elements. True: the array ends.
    fn after_element(&mut self) -> Result<bool> {
        loop {
            self.scanner.skip_while(is_blank);
            match self.scanner.next() {
                '#' => self.scanner.skip_comment(),
                '/' if self.scanner.take('/') => self.scanner.skip_comment(),
                '/' | ',' | '\n' | '\r' => break,
                ']' => return Ok(true),
                other => {
                    return Err(self.scanner.error(format!(
                        "Expected an array value terminator \",\" or an array terminator \"]\", but got '{}' instead.",
                        shown(other)
                    )));
                }
            }
        }
        self.scanner.ignore();
        Ok(false)
    }

    fn map(&mut self) -> Result<Value> {
        self.scopes.push(Map::new());
        while self.map_item()? {}
        Ok(Value::Map(self.scopes.pop().unwrap_or_default()))
    }

    /// One item of a map, with what separates it from the next. False: the map ends.
    fn map_item(&mut self) -> Result<bool> {
        loop {
            self.scanner.skip_while(char::is_whitespace);
            let mark = self.scanner.mark();
            match self.scanner.next() {
                separator @ ('=' | ':') => {
                    self.scanner.reset(mark);
                    return Err(self.scanner.error(format!("Unexpected key separator '{separator}'.")));
                }
                ']' => {
                    self.scanner.reset(mark);
                    return Err(self.scanner.error("Unexpected array end ']' processing map."));
                }
                '}' => return Ok(false),
                END => return Err(self.scanner.error("Unexpected EOF processing map.")),
                '#' => self.scanner.skip_comment(),
                '/' if self.scanner.take('/') => self.scanner.skip_comment(),
                // A lone slash is dropped.
                '/' => break,
                _ => {
                    self.scanner.reset(mark);
                    break;
                }
            }
        }
        let key = match self.scanner.peek() {
            '"' => self.quoted_key('"', "Unexpected EOF processing double quoted map key.")?,
            '\'' => self.quoted_key('\'', "Unexpected EOF processing quoted map key.")?,
            _ => self.bare_key(Some("Unexpected EOF processing map key."))?,
        };
        match key {
            KeyItem::Include(path) => self.include(&path)?,
            KeyItem::Key(key) => {
                let value = self.map_value()?;
                self.set(key, value.value);
            }
        }
        self.after_map_item()
    }

    /// Inside of maps, newlines may surround the separator.
    fn map_value(&mut self) -> Result<Node> {
        self.scanner.skip_while(char::is_whitespace);
        if self.scanner.take('=') || self.scanner.take(':') {
            self.scanner.ignore();
            self.scanner.skip_while(char::is_whitespace);
        }
        match self.scanner.peek() {
            ',' => {
                self.scanner.next();
                Err(self.scanner.error("Unexpected map value terminator \",\"."))
            }
            '}' => Err(self.scanner.error("Expected value but found the end of the map")),
            _ => self.value(),
        }
    }

    /// True: another item may follow.
    fn after_map_item(&mut self) -> Result<bool> {
        loop {
            self.scanner.skip_while(is_blank);
            match self.scanner.next() {
                '#' => self.scanner.skip_comment(),
                '/' if self.scanner.take('/') => self.scanner.skip_comment(),
                '/' | ';' | ',' | '\n' | '\r' => break,
                '}' => return Ok(false),
                other => {
                    return Err(self.scanner.error(format!(
                        "Expected a map value terminator \",\" or a map terminator \"}}\", but got '{}' instead.",
                        shown(other)
                    )));
                }
            }
        }
        self.scanner.ignore();
        Ok(true)
    }

    fn single_quoted(&mut self) -> Result<Node> {
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
    fn text_with_escapes(&mut self, quote: Option<char>) -> Result<Node> {
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
    fn block(&mut self) -> Result<Node> {
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
    fn negative_number(&mut self) -> Result<Node> {
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
    fn number_or_date_or_address(&mut self) -> Result<Node> {
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

    /// `$NAME`: the open maps, innermost first, then the environment.
    fn variable(&mut self, item: &Item) -> Result<Node> {
        let name = to_text(&item.text);
        // The beginning of a bcrypt hash, which needs no quotes.
        if name.starts_with("2a$") {
            return self.node(item, Value::String(format!("${name}")));
        }
        if let Some(definition) = self.scopes.iter_mut().rev().find_map(|scope| scope.get_mut(&name)) {
            definition.used_as_variable = true;
            let value = definition.value.clone();
            self.context.count(value.count())?;
            return self.node(item, value);
        }
        let line = item.line;
        match self.environment_value(&name) {
            Ok(Some(mut value)) => {
                self.place(&mut value, item);
                self.node(item, value)
            }
            Ok(None) => Err(ParseError::VariableMissing { name, line }),
            Err(source) => Err(ParseError::VariableUnreadable { name, line, source: Box::new(source) }),
        }
    }

    /// An environment variable's text, read as a value.
    fn environment_value(&mut self, name: &str) -> Result<Option<Value>> {
        if self.context.open_variables.iter().any(|open| open == name) {
            return Err(ParseError::VariableCycle(name.to_owned()));
        }
        let Some(text) = self.context.environment.get(name) else {
            return Ok(None);
        };
        self.context.open_variables.push(name.to_owned());
        let parsed = parse("", format!("{ENVIRONMENT_KEY}={text}").as_bytes(), self.context);
        self.context.open_variables.pop();
        Ok(parsed?.remove(ENVIRONMENT_KEY).map(|node| node.value))
    }

    /// Values that came from the environment stand where they were referred to.
    fn place(&self, value: &mut Value, item: &Item) {
        let children: Box<dyn Iterator<Item = &mut Node>> = match value {
            Value::Array(elements) => Box::new(elements.iter_mut()),
            Value::Map(map) => Box::new(map.values_mut()),
            _ => return,
        };
        for child in children {
            child.position = self.position(item);
            self.place(&mut child.value, item);
        }
    }

    fn position(&self, item: &Item) -> Position {
        Position { file: Arc::clone(&self.file), line: item.line, column: item.column }
    }

    fn node(&mut self, item: &Item, value: Value) -> Result<Node> {
        self.context.count(1)?;
        Ok(Node { value, position: self.position(item), used_as_variable: false })
    }

    fn text(&mut self, item: Item) -> Result<Node> {
        let text = to_text(&item.text);
        self.node(&item, Value::String(text))
    }

    fn set(&mut self, key: Item, value: Value) {
        let node = Node { value, position: self.position(&key), used_as_variable: false };
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(to_text(&key.text), node);
        }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

fn is_number_suffix(character: char) -> bool {
    matches!(character.to_ascii_lowercase(), 'k' | 'm' | 'g' | 't' | 'p' | 'e')
}

fn ends_number(character: char) -> bool {
    matches!(character, '\n' | '\r' | END | '}' | ';' | ',' | ' ' | '\t')
}
