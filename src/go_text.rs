//! Texts as Go programs print them: quoted strings and system errors.

use shards::protocol::quote::quoted;
pub use shards::system_error::text as os_error;

/// A string the way `%q` shows it: in double quotes, with escapes for what cannot be printed.
pub fn quote(text: &str) -> String {
    quoted(text.as_bytes())
}

/// `host:port`, the host in brackets when it has colons of its own.
pub fn join_host_port(host: &str, port: i64) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brackets_ipv6() {
        assert_eq!(join_host_port("::1", 4222), "[::1]:4222");
        assert_eq!(join_host_port("localhost", -2), "localhost:-2");
    }
}
