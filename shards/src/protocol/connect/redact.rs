//! Secrets of a CONNECT line, taken out before the line is logged.
//!
//! The line has not been parsed yet and may be no JSON at all. So this looks for names of secrets wherever they stand
//! before a `:` or `=`, and rather hides too much than too little.

const PLACEHOLDER: &[u8] = b"[REDACTED]";

/// A copy of the line's JSON in which the values of secrets read `[REDACTED]`.
pub fn redact(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len());
    let mut rest = json;
    while !rest.is_empty() {
        let word_length = rest.iter().take_while(|&&byte| is_word(byte)).count();
        let (word, behind) = rest.split_at(word_length);
        out.extend_from_slice(word);
        rest = match value_start(behind) {
            Some(start) if is_secret(word) => {
                let (separator, value) = behind.split_at(start);
                out.extend_from_slice(separator);
                out.extend_from_slice(PLACEHOLDER);
                value.split_at(value_length(separator, value)).1
            }
            _ => match behind.split_first() {
                Some((&byte, behind)) => {
                    out.push(byte);
                    behind
                }
                None => behind,
            },
        };
    }
    out
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn is_secret(word: &[u8]) -> bool {
    let word = word.to_ascii_lowercase();
    word.starts_with(b"pass")
        || word.starts_with(b"auth_token")
        || matches!(word.as_slice(), b"sig" | b"proxy_sig" | b"nkey")
}

/// If a name ends here, where its value begins: behind the name's quote, blanks, a separator, and the value's quote.
fn value_start(behind_name: &[u8]) -> Option<usize> {
    let rest = behind_name.strip_prefix(b"\"").unwrap_or(behind_name).trim_ascii_start();
    let rest = rest.strip_prefix(b":").or_else(|| rest.strip_prefix(b"="))?.trim_ascii_start();
    let value = rest.strip_prefix(b"\"").unwrap_or(rest);
    behind_name.len().checked_sub(value.len())
}

/// A quoted value goes to the next quote that is not escaped, any other to the next comma or brace.
fn value_length(separator: &[u8], value: &[u8]) -> usize {
    if !separator.ends_with(b"\"") {
        return value.iter().position(|byte| matches!(byte, b',' | b'}')).unwrap_or(value.len());
    }
    let mut escaped = false;
    let end = value.iter().position(|&byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    });
    end.unwrap_or(value.len())
}
