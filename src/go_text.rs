//! Texts as Go programs print them: quoted strings and system errors.

use std::fmt::Write as _;
use std::io;

/// A string the way `%q` shows it: in double quotes, with escapes for what cannot be printed.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len().saturating_add(2));
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            c if c.is_ascii_control() => {
                let _ = write!(quoted, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A system error the way Go words it: `no such file or directory`.
pub fn os_error(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => format!("{}{}", first.to_ascii_lowercase(), chars.as_str()),
        None => String::new(),
    }
}

/// `host:port`, the host in brackets when it has colons of its own.
pub fn join_host_port(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_like_go() {
        assert_eq!(quote("a\"b\\\t\u{1}\u{85}ä"), "\"a\\\"b\\\\\\t\\x01\\u0085ä\"");
    }

    #[test]
    fn words_system_errors_like_go() {
        assert_eq!(os_error(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(os_error(&io::Error::from_raw_os_error(98)), "address already in use");
        assert_eq!(os_error(&io::Error::other("Odd")), "odd");
    }

    #[test]
    fn brackets_ipv6() {
        assert_eq!(join_host_port("::1", 4222), "[::1]:4222");
        assert_eq!(join_host_port("localhost", -2), "localhost:-2");
    }
}
