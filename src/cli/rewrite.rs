//! Go's forms of flags, turned into `--name=value`.
//!
//! One dash or two, `=` or a second word, booleans that never take a second word, and an end at the first word that is
//! no flag: that is Go's flag package, and the messages for what is wrong are its messages too.

use super::spec::{self, Kind};
use super::values::ValueError;
use crate::go_text::quote;

/// What is wrong with a command line; shown with the usage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// Dashes that no name follows.
    #[error("bad flag syntax: {0}")]
    BadSyntax(String),
    /// A flag that does not exist.
    #[error("flag provided but not defined: -{0}")]
    Unknown(String),
    /// A flag at the end that wants a value.
    #[error("flag needs an argument: -{0}")]
    NeedsArgument(String),
    /// A truth that is none.
    #[error("invalid boolean value {} for -{name}: {reason}", quote(.value))]
    Bool {
        /// The flag, as typed.
        name: String,
        /// The value, as typed.
        value: String,
        /// What is wrong with it.
        reason: ValueError,
    },
    /// Any other value that does not fit.
    #[error("invalid value {} for flag -{name}: {reason}", quote(.value))]
    Value {
        /// The flag, as typed.
        name: String,
        /// The value, as typed.
        value: String,
        /// What is wrong with it.
        reason: ValueError,
    },
}

/// Arguments (without the program's name) in the one form that [`spec::command`] reads; what is not a flag, and
/// everything after it, comes after `--`.
pub fn rewrite(arguments: impl IntoIterator<Item = String>) -> Result<Vec<String>, SyntaxError> {
    let mut rewritten = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let body = match argument.strip_prefix('-') {
            None | Some("") => {
                rewritten.push("--".to_owned());
                rewritten.push(argument);
                break;
            }
            Some("-") => {
                rewritten.push("--".to_owned());
                break;
            }
            Some(body) => body.strip_prefix('-').unwrap_or(body),
        };
        if body.starts_with(['-', '=']) {
            return Err(SyntaxError::BadSyntax(argument));
        }
        let (name, value) = match body.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (body, None),
        };
        let flag = spec::find(name).ok_or_else(|| SyntaxError::Unknown(name.to_owned()))?;
        let value = match (flag.kind, value) {
            (_, Some(value)) => value,
            (Kind::Bool, None) => "true".to_owned(),
            (_, None) => arguments.next().ok_or_else(|| SyntaxError::NeedsArgument(name.to_owned()))?,
        };
        if let Err(reason) = flag.kind.check(&value) {
            let name = name.to_owned();
            return Err(match flag.kind {
                Kind::Bool => SyntaxError::Bool { name, value, reason },
                _ => SyntaxError::Value { name, value, reason },
            });
        }
        rewritten.push(format!("--{name}={value}"));
    }
    rewritten.extend(arguments);
    Ok(rewritten)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(line: &str) -> Result<String, String> {
        rewrite(line.split(' ').map(str::to_owned)).map(|words| words.join(" ")).map_err(|error| error.to_string())
    }

    #[test]
    fn takes_every_form_of_a_flag() {
        assert_eq!(rewritten("-p 1 --p 2 -p=3 --port=4"), Ok("--p=1 --p=2 --p=3 --port=4".to_owned()));
        assert_eq!(rewritten("-pass -x -a=b=c"), Ok("--pass=-x --a=b=c".to_owned()));
        assert_eq!(rewritten("-D -V=false -DV"), Ok("--D=true --V=false --DV=true".to_owned()));
    }

    #[test]
    fn ends_at_the_first_word_that_is_no_flag() {
        assert_eq!(rewritten("-D true -V"), Ok("--D=true -- true -V".to_owned()));
        assert_eq!(rewritten("-D -- -V"), Ok("--D=true -- -V".to_owned()));
        assert_eq!(rewritten("- -V"), Ok("-- - -V".to_owned()));
    }

    #[test]
    fn words_errors_like_go() {
        for (line, text) in [
            ("---", "bad flag syntax: ---"),
            ("-=x", "bad flag syntax: -=x"),
            ("--=x", "bad flag syntax: --=x"),
            ("--bogus=1", "flag provided but not defined: -bogus"),
            ("-p", "flag needs an argument: -p"),
            ("--port=x", "invalid value \"x\" for flag -port: parse error"),
            ("-p=", "invalid value \"\" for flag -p: parse error"),
            ("-D=maybe", "invalid boolean value \"maybe\" for -D: parse error"),
        ] {
            assert_eq!(rewritten(line), Err(text.to_owned()));
        }
    }
}
