//! Characters of a configuration text, with the line and column book-keeping that messages need.
//!
//! Columns follow the reference to the letter: they are counted from the line's *preceding newline*, so the first line
//! counts from 0 and the others from 1, and the end of the text reads as a NUL character.

use super::error::ParseError;

/// What reading beyond the end gives.
pub(super) const END: char = '\0';

/// A cursor over the text.
pub(super) struct Scanner<'a> {
    input: &'a [u8],
    position: usize,
    line: usize,
    /// Offset of the newline before the cursor's line; 0 on the first line.
    line_start: usize,
    /// Where the current item begins.
    item_start: usize,
    /// `line_start` when the item began.
    item_line_start: usize,
}

/// Text of an item, and where it stands.
pub(super) struct Item {
    pub text: Vec<u8>,
    pub line: usize,
    pub column: usize,
}

/// A place to go back to. The column base is not part of it: looking ahead moves that for good, as in the reference.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    position: usize,
    line: usize,
}

impl<'a> Scanner<'a> {
    pub fn new(input: &'a [u8]) -> Self {
        Scanner { input, position: 0, line: 1, line_start: 0, item_start: 0, item_line_start: 0 }
    }

    /// Takes one character. Bytes that are not UTF-8 read as U+FFFD, one at a time.
    pub fn next(&mut self) -> char {
        let Some(rest) = self.input.get(self.position..).filter(|rest| !rest.is_empty()) else {
            return END;
        };
        let (character, width) = decode(rest);
        if character == '\n' {
            self.line += 1;
            self.line_start = self.position;
        }
        self.position += width;
        character
    }

    pub fn mark(&self) -> Mark {
        Mark { position: self.position, line: self.line }
    }

    pub fn reset(&mut self, mark: Mark) {
        self.position = mark.position;
        self.line = mark.line;
    }

    /// Looks at the next character.
    pub fn peek(&mut self) -> char {
        let mark = self.mark();
        let character = self.next();
        self.reset(mark);
        character
    }

    /// Takes the next character if it is this one.
    pub fn take(&mut self, wanted: char) -> bool {
        let mark = self.mark();
        let found = self.next() == wanted && self.position > mark.position;
        if !found {
            self.reset(mark);
        }
        found
    }

    /// Forgets what was read: the next item begins here.
    pub fn ignore(&mut self) {
        self.item_start = self.position;
        self.item_line_start = self.line_start;
    }

    /// Drops characters for as long as they are of this kind; the next item begins after them.
    pub fn skip_while(&mut self, kind: impl Fn(char) -> bool) {
        loop {
            let mark = self.mark();
            let character = self.next();
            if character == END || !kind(character) {
                self.reset(mark);
                return;
            }
            self.ignore();
        }
    }

    /// Takes up to the end of the line.
    pub fn skip_comment(&mut self) {
        while !matches!(self.peek(), '\n' | '\r' | END) {
            self.next();
        }
        self.ignore();
    }

    /// Bytes of the current item.
    pub fn pending(&self) -> &'a [u8] {
        self.input.get(self.item_start..self.position).unwrap_or_default()
    }

    /// The two bytes before the cursor.
    pub fn last_two_bytes(&self) -> &'a [u8] {
        self.input.get(self.position.saturating_sub(2)..self.position).unwrap_or_default()
    }

    /// The byte before the current item's last one.
    pub fn byte_before_last(&self) -> Option<u8> {
        self.input.get(self.position.checked_sub(2)?).copied()
    }

    /// Ends the current item; its text is the pending bytes.
    pub fn emit(&mut self) -> Item {
        let text = self.pending().to_vec();
        self.emit_text(text)
    }

    /// Ends the current item with a text that differs from its bytes. The column is the reference's: where the text
    /// would begin if it stood in the file as it is.
    pub fn emit_text(&mut self, text: Vec<u8>) -> Item {
        let column = self.position.saturating_sub(self.item_line_start).saturating_sub(text.len());
        let item = Item { text, line: self.line, column };
        self.ignore();
        item
    }

    /// Nothing was read since the current item began.
    pub fn item_is_empty(&self) -> bool {
        self.position <= self.item_start
    }

    /// A syntax error at the cursor.
    pub fn error(&self, text: impl Into<String>) -> ParseError {
        ParseError::Syntax { line: self.line, text: text.into() }
    }
}

fn decode(rest: &[u8]) -> (char, usize) {
    let width = match rest.first() {
        Some(0..=0x7f) | None => 1,
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        _ => 4,
    };
    let character =
        rest.get(..width).and_then(|bytes| std::str::from_utf8(bytes).ok()).and_then(|text| text.chars().next());
    match character {
        Some(character) => (character, width),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

/// Text of bytes that may not be UTF-8: each stray byte becomes one U+FFFD.
pub(super) fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while !rest.is_empty() {
        let (character, width) = decode(rest);
        text.push(character);
        rest = rest.get(width..).unwrap_or_default();
    }
    text
}

/// A character as messages show it.
pub(super) fn shown(character: char) -> String {
    if character == '\n' { "\\n".to_owned() } else { character.to_string() }
}
