//! The grammar of the configuration language, by recursive descent.
//!
//! The reference reads this language with a state machine that has accidents; where files in use can depend on them
//! (what ends a bare string, which newline may stand where) they are kept, and a comment says so.

use std::sync::Arc;

use super::document::{Document, Map, Node, Position, Value};
use super::error::ParseError;
use super::scanner::{END, Item, Scanner, shown, to_text};
use super::{Environment, IncludeReader};

mod includes;
mod scalars;
mod variables;

/// How deep maps, arrays and outer braces may nest.
const MAX_DEPTH: usize = 200;
/// Values in a document, variables expanded.
const MAX_VALUES: usize = 1_000_000;
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
