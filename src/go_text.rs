//! Texts as Go programs print them: quoted strings and system errors.

use std::io;

use shards::protocol::quote::quoted;

/// A string the way `%q` shows it: in double quotes, with escapes for what cannot be printed.
pub fn quote(text: &str) -> String {
    quoted(text.as_bytes())
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
