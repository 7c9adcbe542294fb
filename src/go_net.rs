//! Addresses and URLs the way Go's packages `net` and `net/url` take them apart, with their words for what is wrong.

use std::net::IpAddr;

use crate::go_text::quote;

/// Why `host:port` cannot be split.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{problem}", if .address.is_empty() { String::new() } else { format!("address {address}: ") })]
pub struct AddressError {
    address: String,
    problem: AddressProblem,
}

/// What is wrong with an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressProblem {
    /// No colon behind the host.
    #[error("missing port in address")]
    MissingPort,
    /// A host with colons must stand in brackets.
    #[error("too many colons in address")]
    TooManyColons,
    /// `[` without its partner.
    #[error("missing ']' in address")]
    MissingBracket,
    /// `[` inside.
    #[error("unexpected '[' in address")]
    OpeningBracket,
    /// `]` inside.
    #[error("unexpected ']' in address")]
    ClosingBracket,
}

impl AddressError {
    /// What is wrong.
    pub fn problem(&self) -> AddressProblem {
        self.problem
    }
}

/// `host:port`, with brackets around a host that has colons.
pub fn split_host_port(address: &str) -> Result<(&str, &str), AddressError> {
    let fail = |problem| AddressError { address: address.to_owned(), problem };
    let (front, port) = address.rsplit_once(':').ok_or_else(|| fail(AddressProblem::MissingPort))?;
    let host = match front.strip_prefix('[') {
        Some(inner) => match inner.split_once(']') {
            Some((host, "")) => host,
            Some((_, tail)) if tail.starts_with(':') => return Err(fail(AddressProblem::TooManyColons)),
            Some(_) => return Err(fail(AddressProblem::MissingPort)),
            None if port.contains(']') => return Err(fail(AddressProblem::MissingPort)),
            None => return Err(fail(AddressProblem::MissingBracket)),
        },
        None if front.contains(':') => return Err(fail(AddressProblem::TooManyColons)),
        None => front,
    };
    if host.contains('[') || port.contains('[') {
        return Err(fail(AddressProblem::OpeningBracket));
    }
    if host.contains(']') || port.contains(']') {
        return Err(fail(AddressProblem::ClosingBracket));
    }
    Ok((host, port))
}

/// The parts of a URL that say whom to connect to, and as whom. Path, query and fragment mean nothing here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Url {
    /// `host:port`, or what stands in its place.
    pub host: String,
    /// Everything before the last `@` of the authority.
    pub user: Option<UserInfo>,
}

/// User and password of a URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserInfo {
    /// The name, without escapes.
    pub name: String,
    /// The password, without escapes.
    pub password: Option<String>,
}

/// Why a text is no URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("parse {}: {problem}", quote(.url))]
pub struct UrlError {
    url: String,
    problem: UrlProblem,
}

/// What is wrong with a URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
enum UrlProblem {
    #[error("net/url: invalid control character in URL")]
    ControlCharacter,
    #[error("missing protocol scheme")]
    MissingScheme,
    #[error("first path segment in URL cannot contain colon")]
    ColonInPath,
    #[error("net/url: invalid userinfo")]
    UserInfo,
    #[error("invalid URL escape {}", quote(.0))]
    Escape(String),
    #[error("invalid character {} in host name", quote(.0))]
    HostCharacter(String),
    #[error("missing ']' in host")]
    MissingBracket,
    #[error("invalid IP-literal")]
    Literal,
    #[error("invalid host: ParseAddr({}): unable to parse IP", quote(.0))]
    Address(String),
    #[error("invalid port {} after host", quote(.0))]
    Port(String),
}

impl Url {
    /// Takes a URL apart.
    pub fn parse(text: &str) -> Result<Url, UrlError> {
        parse(text).map_err(|problem| UrlError { url: text.to_owned(), problem })
    }
}

fn parse(text: &str) -> Result<Url, UrlProblem> {
    if text.bytes().any(|byte| byte < b' ' || byte == 0x7f) {
        return Err(UrlProblem::ControlCharacter);
    }
    let text = text.split('#').next().unwrap_or_default();
    let (scheme, rest) = split_scheme(text)?;
    let rest = rest.split('?').next().unwrap_or_default();
    let Some(authority) = rest.strip_prefix("//").filter(|_| scheme.is_some() || !rest.starts_with("///")) else {
        let segment = rest.split('/').next().unwrap_or_default();
        return match scheme {
            None if segment.contains(':') => Err(UrlProblem::ColonInPath),
            _ => Ok(Url::default()),
        };
    };
    parse_authority(authority.split('/').next().unwrap_or_default())
}

/// What stands in front of the first colon, if it can be a scheme.
fn split_scheme(text: &str) -> Result<(Option<&str>, &str), UrlProblem> {
    let Some((scheme, rest)) = text.split_once(':') else {
        return Ok((None, text));
    };
    if scheme.is_empty() {
        return Err(UrlProblem::MissingScheme);
    }
    let letters = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'-' | b'.'));
    Ok(if letters { (Some(scheme), rest) } else { (None, text) })
}

fn parse_authority(authority: &str) -> Result<Url, UrlProblem> {
    let Some((user, host)) = authority.rsplit_once('@') else {
        return Ok(Url { host: parse_host(authority)?, user: None });
    };
    let host = parse_host(host)?;
    if !user.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(&c)) {
        return Err(UrlProblem::UserInfo);
    }
    let (name, password) = match user.split_once(':') {
        Some((name, password)) => (name, Some(unescape(password)?)),
        None => (user, None),
    };
    Ok(Url { host, user: Some(UserInfo { name: unescape(name)?, password }) })
}

fn parse_host(host: &str) -> Result<String, UrlProblem> {
    let (name, port) = match host.find('[') {
        Some(0) => {
            let end = host.rfind(']').ok_or(UrlProblem::MissingBracket)?;
            host.split_at(end.saturating_add(1))
        }
        Some(_) => return Err(UrlProblem::Literal),
        None => host.split_at(host.rfind(':').unwrap_or(host.len())),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(UrlProblem::Port(port.to_owned()));
    }
    let Some(literal) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) else {
        return Ok(format!("{}{port}", checked_name(name)?));
    };
    let (address, zone) = match literal.split_once("%25") {
        Some((address, zone)) => (address, Some(unescape(zone)?)),
        None => (checked_name(literal)?, None),
    };
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => {}
        Ok(IpAddr::V4(_)) => return Err(UrlProblem::Literal),
        Err(_) => return Err(UrlProblem::Address(literal.to_owned())),
    }
    let zone = zone.map_or_else(String::new, |zone| format!("%{zone}"));
    Ok(format!("[{address}{zone}]{port}"))
}

/// A host name, which may have escapes only for what is not ASCII, and no other odd characters.
fn checked_name(name: &str) -> Result<&str, UrlProblem> {
    if let Some((_, tail)) = name.split_once('%') {
        let shown: String = tail.chars().take(2).collect();
        return Err(UrlProblem::Escape(format!("%{shown}")));
    }
    let odd = |c: char| matches!(c, ' ' | '"' | '<' | '>' | '\\' | '^' | '`' | '{' | '|' | '}');
    match name.find(odd) {
        Some(at) => Err(UrlProblem::HostCharacter(name.get(at..).unwrap_or_default().chars().take(1).collect())),
        None => Ok(name),
    }
}

/// Replaces `%41` by `A`.
fn unescape(text: &str) -> Result<String, UrlProblem> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((front, tail)) = rest.split_once('%') {
        bytes.extend_from_slice(front.as_bytes());
        let escape = tail.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let value = escape.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let Some(value) = value else {
            let shown: String = tail.chars().take(2).collect();
            return Err(UrlProblem::Escape(format!("%{shown}")));
        };
        bytes.push(value);
        rest = tail.get(2..).unwrap_or_default();
    }
    bytes.extend_from_slice(rest.as_bytes());
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).expect(text)
    }

    fn refusal(text: &str) -> String {
        Url::parse(text).expect_err(text).to_string()
    }

    #[test]
    fn splits_addresses() {
        assert_eq!(split_host_port("a:1"), Ok(("a", "1")));
        assert_eq!(split_host_port("[::1]:1"), Ok(("::1", "1")));
        assert_eq!(split_host_port(":"), Ok(("", "")));
        let text = |address| split_host_port(address).map_err(|error| error.to_string());
        assert_eq!(text(""), Err("missing port in address".to_owned()));
        assert_eq!(text("a"), Err("address a: missing port in address".to_owned()));
        assert_eq!(text("::1"), Err("address ::1: too many colons in address".to_owned()));
        assert_eq!(text("[::1]"), Err("address [::1]: missing port in address".to_owned()));
        assert_eq!(text("[::1"), Err("address [::1: missing ']' in address".to_owned()));
        assert_eq!(text("a]:1"), Err("address a]:1: unexpected ']' in address".to_owned()));
        assert_eq!(text("a[:1"), Err("address a[:1: unexpected '[' in address".to_owned()));
    }

    #[test]
    fn takes_urls_apart() {
        assert_eq!(url("nats://h:4248"), Url { host: "h:4248".to_owned(), user: None });
        assert_eq!(url("//h:1/path?a:b").host, "h:1");
        assert_eq!(url("localhost:1").host, "");
        assert_eq!(url("").host, "");
        assert_eq!(url("nats://[::1%25lo]:1").host, "[::1%lo]:1");
        let info = |name: &str, password: Option<&str>| {
            Some(UserInfo { name: name.to_owned(), password: password.map(str::to_owned) })
        };
        assert_eq!(url("nats://u:p%40x@h:1").user, info("u", Some("p@x")));
        assert_eq!(url("nats://u@h:1").user, info("u", None));
        assert_eq!(url("nats://a:b@c:d@h:1").user, info("a", Some("b@c:d")));
        assert_eq!(url("nats://:@h:1").user, info("", Some("")));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!(refusal(":4248"), "parse \":4248\": missing protocol scheme");
        assert_eq!(refusal("1:4248"), "parse \"1:4248\": first path segment in URL cannot contain colon");
        assert_eq!(refusal("a://h:x"), "parse \"a://h:x\": invalid port \":x\" after host");
        assert_eq!(refusal("a://[x]:1"), "parse \"a://[x]:1\": invalid host: ParseAddr(\"x\"): unable to parse IP");
        assert_eq!(refusal("a://u<@h:1"), "parse \"a://u<@h:1\": net/url: invalid userinfo");
        assert_eq!(refusal("a://u%2@h:1"), "parse \"a://u%2@h:1\": invalid URL escape \"%2\"");
        assert_eq!(refusal("a://b c:1"), "parse \"a://b c:1\": invalid character \" \" in host name");
    }
}
