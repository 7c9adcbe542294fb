//! `$NAME`: keys of the file, else variables of the environment.

use super::super::document::{Node, Value};
use super::super::error::ParseError;
use super::super::scanner::{Item, to_text};
use super::{Parser, Result, parse};

/// What the key of an environment variable's value is called while it is parsed.
const ENVIRONMENT_KEY: &str = "pk";

impl Parser<'_, '_, '_> {
    /// `$NAME`: the open maps, innermost first, then the environment.
    pub(super) fn variable(&mut self, item: &Item) -> Result<Node> {
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
}
