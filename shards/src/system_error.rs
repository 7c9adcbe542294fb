//! System errors as the reference words them.

use std::io;

/// `no such file or directory`: without number, and beginning small.
pub fn text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error ").next().unwrap_or_default();
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => format!("{}{}", first.to_ascii_lowercase(), chars.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_system_errors_like_go() {
        assert_eq!(text(&io::Error::from_raw_os_error(2)), "no such file or directory");
        assert_eq!(text(&io::Error::from_raw_os_error(98)), "address already in use");
        assert_eq!(text(&io::Error::other("Odd")), "odd");
    }
}
