//! `include`: the path, and the other file's keys.

use super::super::document::Document;
use super::super::error::ParseError;
use super::super::path;
use super::super::scanner::{END, Item, to_text};
use super::{Parser, Result, is_blank, parse};

/// How many files may include one another in a row.
const MAX_INCLUDES: usize = 64;

impl Parser<'_, '_, '_> {
    pub(super) fn include_path(&mut self) -> Result<Item> {
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
    pub(super) fn include(&mut self, item: &Item) -> Result<()> {
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
}
