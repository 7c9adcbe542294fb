//! The parameters of a request, and the reference's words for those that cannot be understood.

use std::num::IntErrorKind;

use shards::protocol::quote::quoted;

/// A parameter that is not what it should be; the text is the answer's body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Wrong syntax, or out of range.
    #[error("Error decoding {what} for '{name}': strconv.{function}: parsing {value}: {problem}")]
    Value {
        /// `boolean`, `int`, `uint64`
        what: &'static str,
        /// Name of the parameter.
        name: &'static str,
        /// The function that would have parsed it in the reference.
        function: &'static str,
        /// As it came, in quotes.
        value: String,
        /// `invalid syntax` or `value out of range`
        problem: &'static str,
    },
    /// Right in itself, but not for this endpoint.
    #[error("{0}")]
    Meaning(String),
}

/// Names and values, decoded; of several with a name the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameters(Vec<(Vec<u8>, Vec<u8>)>);

impl Parameters {
    /// Takes a query apart. Pairs that are not well-formed are left out, as the reference does.
    pub fn parse(query: &[u8]) -> Self {
        let pairs = query.split(|&byte| byte == b'&').filter(|pair| !pair.is_empty() && !pair.contains(&b';'));
        let pair = |pair: &[u8]| {
            let at = pair.iter().position(|&byte| byte == b'=').unwrap_or(pair.len());
            let (name, value) = pair.split_at_checked(at)?;
            Some((decode(name, true)?, decode(value.get(1..).unwrap_or(&[]), true)?))
        };
        Parameters(pairs.filter_map(pair).collect())
    }

    /// The value of this name; an empty one is none.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        let (_, value) = self.0.iter().find(|(known, _)| known == name.as_bytes())?;
        Some(value.as_slice()).filter(|value| !value.is_empty())
    }

    /// The same as text.
    pub fn text(&self, name: &str) -> Option<String> {
        self.bytes(name).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// A truth value; false if absent.
    pub fn boolean(&self, name: &'static str) -> Result<bool, QueryError> {
        match self.bytes(name) {
            None | Some(b"0" | b"f" | b"F" | b"false" | b"FALSE" | b"False") => Ok(false),
            Some(b"1" | b"t" | b"T" | b"true" | b"TRUE" | b"True") => Ok(true),
            Some(value) => {
                let (value, problem) = (quoted(value), "invalid syntax");
                Err(QueryError::Value { what: "boolean", name, function: "ParseBool", value, problem })
            }
        }
    }

    /// A number; 0 if absent.
    pub fn integer(&self, name: &'static str) -> Result<i64, QueryError> {
        self.number(name, "int", "Atoi")
    }

    /// A number without sign; 0 if absent.
    pub fn unsigned(&self, name: &'static str) -> Result<u64, QueryError> {
        match self.bytes(name) {
            Some(value) if value.first() == Some(&b'+') => {
                let (value, problem) = (quoted(value), "invalid syntax");
                Err(QueryError::Value { what: "uint64", name, function: "ParseUint", value, problem })
            }
            _ => self.number(name, "uint64", "ParseUint"),
        }
    }

    fn number<T>(&self, name: &'static str, what: &'static str, function: &'static str) -> Result<T, QueryError>
    where
        T: std::str::FromStr<Err = std::num::ParseIntError> + Default,
    {
        let Some(value) = self.bytes(name) else { return Ok(T::default()) };
        let parsed = str::from_utf8(value).unwrap_or_default().parse::<T>();
        parsed.map_err(|error| {
            let out_of_range = matches!(error.kind(), IntErrorKind::PosOverflow | IntErrorKind::NegOverflow);
            let problem = if out_of_range { "value out of range" } else { "invalid syntax" };
            QueryError::Value { what, name, function, value: quoted(value), problem }
        })
    }
}

/// Undoes percent escapes, and in queries the plus for a blank; `None` for an escape that is none.
pub fn decode(text: &[u8], query: bool) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(&byte) = rest.next() {
        out.push(match byte {
            b'%' => {
                let digit = |byte: Option<&u8>| char::from(*byte?).to_digit(16);
                u8::try_from(digit(rest.next())? * 16 + digit(rest.next())?).ok()?
            }
            b'+' if query => b' ',
            other => other,
        });
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: QueryError) -> String {
        error.to_string()
    }

    #[test]
    fn pairs_are_decoded_and_odd_ones_left_out() {
        let parameters = Parameters::parse(b"a=1&b=x%20y+z&&c&d=%zz&e=1;f=2&a=3&%67=%ff");
        assert_eq!(parameters.text("a").as_deref(), Some("1"));
        assert_eq!(parameters.text("b").as_deref(), Some("x y z"));
        assert_eq!(parameters.bytes("g"), Some(&[0xff][..]));
        for absent in ["c", "d", "e", "f", "z"] {
            assert_eq!(parameters.bytes(absent), None, "{absent}");
        }
    }

    #[test]
    fn errors_have_the_references_words() {
        let of = |query: &str| Parameters::parse(query.as_bytes());
        assert_eq!(of("limit=-7").integer("limit"), Ok(-7));
        assert_eq!(of("limit=%2b7").integer("limit"), Ok(7));
        assert_eq!(of("").unsigned("cid"), Ok(0));
        assert_eq!(
            of("subs=2").boolean("subs").map_err(text),
            Err("Error decoding boolean for 'subs': strconv.ParseBool: parsing \"2\": invalid syntax".to_owned())
        );
        assert_eq!(
            of("limit=99999999999999999999").integer("limit").map_err(text),
            Err("Error decoding int for 'limit': strconv.Atoi: parsing \"99999999999999999999\": value out of range"
                .to_owned())
        );
        assert_eq!(
            of("cid=-1").unsigned("cid").map_err(text),
            Err("Error decoding uint64 for 'cid': strconv.ParseUint: parsing \"-1\": invalid syntax".to_owned())
        );
        assert!(of("cid=%2b1").unsigned("cid").is_err() && of("limit=%ff").integer("limit").is_err());
    }
}
