//! Why a configuration text cannot be understood. The texts are those of the reference.

/// What stopped the parser.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text breaks the grammar.
    #[error("Parse error on line {line}: '{text}'")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// What was expected, and what was there.
        text: String,
    },
    /// The text ends after a key.
    #[error("config is invalid ({file}:{line}:{column})")]
    KeyWithoutValue {
        /// File name.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column of the end.
        column: usize,
    },
    /// More digits than an integer has room for.
    #[error("integer '{0}' is out of the range")]
    IntegerRange(String),
    /// More digits than a float has room for.
    #[error("float '{0}' is out of the range")]
    FloatRange(String),
    /// A number with a tail that is no unit.
    #[error("integer '{text}' on line {line} has no known suffix: use k, m, g, t, p, e, kb, kib … or quote the value")]
    IntegerSuffix {
        /// The number as written.
        text: String,
        /// Line, from 1.
        line: usize,
    },
    /// Looks like a date, but there is no such day or time.
    #[error("expected Zulu formatted DateTime, but got '{0}'")]
    NoSuchDate(String),
    /// Neither the file nor the environment defines the name.
    #[error("variable reference for '{name}' on line {line} can not be found")]
    VariableMissing {
        /// Name after the `$`.
        name: String,
        /// Line of the reference.
        line: usize,
    },
    /// The environment's value is no configuration value.
    #[error("variable reference for '{name}' on line {line} could not be parsed: {source}")]
    VariableUnreadable {
        /// Name after the `$`.
        name: String,
        /// Line of the reference.
        line: usize,
        /// What is wrong with the value.
        source: Box<ParseError>,
    },
    /// Variables of the environment refer to each other in a circle.
    #[error("variable reference cycle for '{0}'")]
    VariableCycle(String),
    /// An included file could not be read or understood.
    #[error("error parsing include file '{path}', {source}")]
    Include {
        /// Path as written.
        path: String,
        /// What went wrong.
        source: Box<ParseError>,
    },
    /// Files that include each other.
    #[error("include cycle: {0} is being read already")]
    IncludeCycle(String),
    /// A file could not be read.
    #[error("{0}")]
    File(String),
    /// The limits of what is taken for a sane configuration.
    #[error("configuration is too large: more than {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The most that is taken.
        limit: usize,
    },
}
