//! The NATS configuration language: text to [`Document`], document to [`crate::options::Options`].

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::go_text::os_error;
use crate::options::Options;

mod document;
pub mod duration;
mod error;
mod parser;
mod path;
mod scanner;
mod schema;
mod values;

#[cfg(test)]
mod tests;

pub use document::{Document, Map, Node, Position, Value, digest};
pub use error::ParseError;

/// Where `$NAME` is looked up when the file does not define it.
pub trait Environment {
    /// The variable's value, if it is set.
    fn get(&self, name: &str) -> Option<String>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    fn get(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }
}

/// Where the bytes of included files come from.
pub trait IncludeReader {
    /// Reads a whole file; the error is what [`FileError`] says about files on disk.
    fn read(&self, file: &str) -> Result<Vec<u8>, FileError>;
}

/// Files on disk.
#[derive(Clone, Copy, Debug, Default)]
pub struct DiskIncludes;

impl IncludeReader for DiskIncludes {
    fn read(&self, file: &str) -> Result<Vec<u8>, FileError> {
        let fail = |operation: &'static str| move |source| FileError { operation, file: file.to_owned(), source };
        let mut bytes = Vec::new();
        let mut opened = File::open(file).map_err(fail("open"))?;
        opened.read_to_end(&mut bytes).map_err(fail("read"))?;
        Ok(bytes)
    }
}

/// A file that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {file}: {}", os_error(.source))]
pub struct FileError {
    /// `open` or `read`.
    pub operation: &'static str,
    /// The file.
    pub file: String,
    /// What the system said.
    pub source: io::Error,
}

/// Parses a configuration text. `name` stands in messages and is the base of relative includes.
pub fn parse_bytes(
    name: &str,
    bytes: &[u8],
    environment: &dyn Environment,
    includes: &dyn IncludeReader,
) -> Result<Document, ParseError> {
    parser::parse(name, bytes, &mut parser::Context::new(environment, includes))
}

/// A key or block that is understood, but whose part this server does not have yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The key as the file spells it.
    pub key: String,
    /// The part that it belongs to, for people: `leafnodes`, `TLS`.
    pub part: &'static str,
    /// The file, as named on the command line or by `include`.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, as in the reference's messages.
    pub column: usize,
}

impl Unsupported {
    fn new(key: &str, part: &'static str, at: &Position) -> Unsupported {
        let Position { file, line, column } = at;
        Unsupported { key: key.to_owned(), part, file: file.to_string(), line: *line, column: *column }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unsupported { key, part, file, line, column } = self;
        write!(f, "{file}:{line}:{column}: \"{key}\" needs {part}, which this server does not support yet")
    }
}

/// A file that was read and found good.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The defaults with the file laid over them.
    pub options: Options,
    /// `sha256:…` of the file's meaning.
    pub digest: String,
    /// Complete lines (`file:line:col: …`) that a normal start prints to standard error before it goes on.
    pub warnings: Vec<String>,
}

/// Why a file cannot be used. `Display` is the text after `nats-server: `, final newlines as in the reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct ConfigError {
    text: String,
}

/// What `-t` answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Exit code: 0 when the file is good and drew no warning.
    pub exit_code: u8,
    /// Text after `nats-server: `, without the newline that ends the output.
    pub text: String,
}

/// Reads a file and lays it over the default options. Warnings do not stop a start.
pub fn load(path: &Path, environment: &dyn Environment) -> Result<Loaded, ConfigError> {
    let outcome = read(path, environment)?;
    match outcome.errors.is_empty() {
        true => Ok(Loaded { options: outcome.options, digest: outcome.digest, warnings: outcome.warnings }),
        false => Err(ConfigError { text: lines(&outcome) }),
    }
}

/// `-t`: like [`load`], but a warning is as bad as an error.
pub fn check(path: &Path, environment: &dyn Environment) -> Check {
    let outcome = match read(path, environment) {
        Ok(outcome) => outcome,
        Err(error) => return Check { exit_code: 1, text: error.to_string() },
    };
    if !outcome.errors.is_empty() || !outcome.warnings.is_empty() {
        return Check { exit_code: 1, text: lines(&outcome) };
    }
    let text = format!("configuration file {} is valid ({})", path.display(), outcome.digest);
    Check { exit_code: 0, text }
}

/// A file that is at least well-formed.
struct Outcome {
    options: Options,
    digest: String,
    warnings: Vec<String>,
    errors: Vec<String>,
}

/// Warnings, then errors, a line each.
fn lines(outcome: &Outcome) -> String {
    outcome.warnings.iter().chain(&outcome.errors).map(|line| format!("{line}\n")).collect()
}

fn read(path: &Path, environment: &dyn Environment) -> Result<Outcome, ConfigError> {
    let name = path.to_string_lossy();
    let fail = |error: &dyn fmt::Display| ConfigError { text: error.to_string() };
    let bytes = DiskIncludes.read(&name).map_err(|error| fail(&error))?;
    let document = parse_bytes(&name, &bytes, environment, &DiskIncludes).map_err(|error| fail(&error))?;
    let mut outcome = schema::read(&document);
    if document.is_empty() {
        outcome.warnings.push(format!("{name}: config has no values or is empty"));
    }
    outcome.options.config_file = Some(path.to_owned());
    let schema::Outcome { options, warnings, errors } = outcome;
    Ok(Outcome { options, digest: digest(&document), warnings, errors })
}
