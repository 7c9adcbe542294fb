//! `CONNECT`: the options of a client, merged into those that its connection already has.
//!
//! The reader is as tolerant as the reference's: names match in any case, unknown ones are ignored, the last of
//! several wins, `null` changes nothing, and what is no UTF-8 is replaced. Wrong types are errors.

pub(super) mod mismatch;
mod redact;
#[cfg(test)]
mod tests;

pub use redact::redact;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, Unexpected, Visitor};

use super::quote::quoted;

/// What a client said about itself and wants; the initial values hold for one that never sends CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `+OK` for every accepted operation.
    pub verbose: bool,
    /// Check the subjects it publishes to.
    pub pedantic: bool,
    /// It wants its own messages, too.
    pub echo: bool,
    /// It understands headers.
    pub headers: bool,
    /// It wants to know when nobody gets its requests.
    pub no_responders: bool,
    /// Ignored.
    pub tls_required: bool,
    /// It asks for a new account, which is refused.
    pub new_account: bool,
    /// 0 or 1, else it is refused.
    pub protocol: i64,
    /// Language of its library.
    pub lang: Option<Box<str>>,
    /// Version of its library.
    pub version: Option<Box<str>>,
    /// Its own name.
    pub name: Option<Box<str>>,
    /// It asks for an account, which is refused.
    pub account: Option<Box<str>>,
    /// What it sent to prove who it is; few connections to an open server have any.
    pub credentials: Option<Box<Credentials>>,
}

/// Proofs of identity; an empty text is none.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User name, or a token in the user's place.
    pub user: Option<Box<str>>,
    /// Password.
    pub pass: Option<Box<str>>,
    /// Token.
    pub auth_token: Option<Box<str>>,
    /// Public nkey.
    pub nkey: Option<Box<str>>,
    /// Signature of the nonce.
    pub sig: Option<Box<str>>,
    /// User JWT.
    pub jwt: Option<Box<str>>,
}

/// Why the JSON of a CONNECT or INFO was not understood.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It ends too early.
    #[error("unexpected end of JSON input")]
    Unfinished,
    /// It is no JSON.
    #[error("invalid JSON: {0}")]
    Syntax(serde_json::Error),
    /// A value has the wrong type; in the reference's words.
    #[error("{0}")]
    Mismatch(String),
}

impl ConnectError {
    pub(super) fn syntax(error: serde_json::Error) -> Self {
        if error.is_eof() { ConnectError::Unfinished } else { ConnectError::Syntax(error) }
    }
}

impl Default for ConnectOptions {
    fn default() -> Self {
        ConnectOptions {
            verbose: true,
            pedantic: true,
            echo: true,
            headers: false,
            no_responders: false,
            tls_required: false,
            new_account: false,
            protocol: 0,
            lang: None,
            version: None,
            name: None,
            account: None,
            credentials: None,
        }
    }
}

impl ConnectOptions {
    /// Takes over what the JSON of a CONNECT names. After an error the options are to be thrown away.
    pub fn merge(&mut self, json: &[u8]) -> Result<(), ConnectError> {
        self.try_merge(json).map_err(|error| {
            // What is wrong is worth a second look.
            match mismatch::find(&mismatch::CLIENT_OPTIONS, &String::from_utf8_lossy(json)) {
                Ok(Some(complaint)) => ConnectError::Mismatch(complaint),
                _ => ConnectError::syntax(error),
            }
        })
    }

    fn try_merge(&mut self, json: &[u8]) -> Result<(), serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        deserializer.deserialize_option(ObjectOrNull(self))?;
        deserializer.end()
    }

    /// The user name, if one was sent.
    pub fn user(&self) -> Option<&str> {
        self.credentials.as_deref()?.user.as_deref()
    }

    /// The password, if one was sent.
    pub fn pass(&self) -> Option<&str> {
        self.credentials.as_deref()?.pass.as_deref()
    }

    /// The token, if one was sent.
    pub fn auth_token(&self) -> Option<&str> {
        self.credentials.as_deref()?.auth_token.as_deref()
    }

    fn merge_entry<'de, A: MapAccess<'de>>(&mut self, key: &[u8], map: &mut A) -> Result<(), A::Error> {
        match key {
            b"verbose" => set(&mut self.verbose, map.next_value()?),
            b"pedantic" => set(&mut self.pedantic, map.next_value()?),
            b"echo" => set(&mut self.echo, map.next_value()?),
            b"headers" => set(&mut self.headers, map.next_value()?),
            b"no_responders" => set(&mut self.no_responders, map.next_value()?),
            b"tls_required" => set(&mut self.tls_required, map.next_value()?),
            b"new_account" => set(&mut self.new_account, map.next_value()?),
            b"protocol" => set(&mut self.protocol, map.next_value::<Option<Whole>>()?.map(|Whole(value)| value)),
            b"lang" => set_text(&mut self.lang, map.next_value()?),
            b"version" => set_text(&mut self.version, map.next_value()?),
            b"name" => set_text(&mut self.name, map.next_value()?),
            b"account" => set_text(&mut self.account, map.next_value()?),
            b"user" | b"pass" | b"auth_token" | b"nkey" | b"sig" | b"jwt" => {
                if let Some(text) = map.next_value::<Option<Text<'de>>>()? {
                    let credentials = self.credentials.get_or_insert_default();
                    set_text(credentials.slot(key), Some(text));
                }
            }
            _ => {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

impl Credentials {
    fn slot(&mut self, key: &[u8]) -> &mut Option<Box<str>> {
        match key {
            b"user" => &mut self.user,
            b"pass" => &mut self.pass,
            b"auth_token" => &mut self.auth_token,
            b"nkey" => &mut self.nkey,
            b"sig" => &mut self.sig,
            _ => &mut self.jwt,
        }
    }
}

/// Behind the log's words about who may not be here: who it was, if that was said.
impl fmt::Display for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.nkey, &self.user, &self.auth_token) {
            (Some(nkey), ..) => write!(f, " - Nkey {}", quoted(nkey.as_bytes())),
            (None, Some(user), _) => write!(f, " - User {}", quoted(user.as_bytes())),
            (None, None, Some(_)) => f.write_str(" - Token \"[REDACTED]\""),
            (None, None, None) => Ok(()),
        }
    }
}

/// Shows who, but nothing that proves it.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Is this what a client may send as INFO: an object with fields of the right types, or `null`? It is not used for anything.
pub fn validate_info(json: &[u8]) -> Result<(), ConnectError> {
    match mismatch::find(&mismatch::INFO, &String::from_utf8_lossy(json)) {
        Ok(None) => Ok(()),
        Ok(Some(complaint)) => Err(ConnectError::Mismatch(complaint)),
        Err(error) => Err(ConnectError::syntax(error)),
    }
}

fn set<T>(slot: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *slot = value;
    }
}

fn set_text(slot: &mut Option<Box<str>>, text: Option<Text<'_>>) {
    if let Some(Text(text)) = text {
        *slot = (!text.is_empty()).then(|| String::from_utf8_lossy(&text).into());
    }
}

/// Merges a JSON object into the options it holds.
struct ObjectOrNull<'a>(&'a mut ConnectOptions);

impl<'de> Visitor<'de> for ObjectOrNull<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the options of a client")
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(key)) = map.next_key()? {
            self.0.merge_entry(&key.to_ascii_lowercase(), &mut map)?;
        }
        Ok(())
    }
}

/// A whole number. One of them looks like a float to the JSON parser: `-0`.
struct Whole(i64);

impl<'de> Deserialize<'de> for Whole {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(WholeVisitor)
    }
}

struct WholeVisitor;

impl Visitor<'_> for WholeVisitor {
    type Value = Whole;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Whole, E> {
        Ok(Whole(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Whole, E> {
        i64::try_from(value).map(Whole).map_err(|_| E::invalid_value(Unexpected::Unsigned(value), &self))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Whole, E> {
        let is_minus_zero = value == 0.0 && value.is_sign_negative();
        if is_minus_zero { Ok(Whole(0)) } else { Err(E::invalid_type(Unexpected::Float(value), &self)) }
    }
}

/// A JSON string as bytes: invalid UTF-8 and lone surrogates get through, to be replaced later.
struct Text<'de>(Cow<'de, [u8]>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    /// A string without escapes: a control character in it was there as such, which JSON does not allow.
    fn visit_borrowed_bytes<E: Error>(self, bytes: &'de [u8]) -> Result<Text<'de>, E> {
        if bytes.iter().any(|&byte| byte < b' ') {
            return Err(E::custom("control character in string"));
        }
        Ok(Text(Cow::Borrowed(bytes)))
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(bytes.to_vec())))
    }
}
