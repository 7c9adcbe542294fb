//! Quoting as `%q` of Go's formatter does it: error texts and log lines of the reference use it, and clients see it.

/// Appends `bytes` in double quotes; control bytes, quotes, invalid UTF-8 and unprintable characters are escaped.
pub fn quote_go(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            quote_char(character, out);
        }
        for &byte in chunk.invalid() {
            push_hex(b'x', u32::from(byte), 2, out);
        }
    }
    out.push(b'"');
}

/// [`quote_go`] as text: the result is valid UTF-8 whatever the input.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = Vec::with_capacity(bytes.len().saturating_add(2));
    quote_go(bytes, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// What a log line shows of input that was not understood: its beginning, quoted.
pub fn snippet(input: &[u8]) -> Box<str> {
    const SHOWN_BYTES: usize = 32;
    // The reference leaves out the last byte when less than a full snippet is there.
    let shown = if input.len() < SHOWN_BYTES { input.len().saturating_sub(1) } else { SHOWN_BYTES };
    quoted(input.get(..shown).unwrap_or_default()).into_boxed_str()
}

fn quote_char(character: char, out: &mut Vec<u8>) {
    let short = match character {
        '"' | '\\' => character,
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        '\0'..' ' | '\x7f' => return push_hex(b'x', u32::from(character), 2, out),
        _ if is_printable(character) => {
            return out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        }
        '\0'..='\u{ffff}' => return push_hex(b'u', u32::from(character), 4, out),
        _ => return push_hex(b'U', u32::from(character), 8, out),
    };
    out.push(b'\\');
    out.extend_from_slice(short.encode_utf8(&mut [0; 4]).as_bytes());
}

/// Letters, marks, numbers, punctuation, symbols and the ASCII space.
///
/// The standard library shows its table of printable characters only through `Debug`, and there a combining mark is
/// escaped at the beginning of a string alone: hence the letter in front.
fn is_printable(character: char) -> bool {
    if character.is_ascii() {
        return matches!(character, ' '..='~');
    }
    let mut buffer = [b'a'; 5];
    let Some(behind) = buffer.get_mut(1..) else { return false };
    let length = character.encode_utf8(behind).len().saturating_add(1);
    let text = buffer.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    text.is_some_and(|text| text.escape_debug().nth(1) == Some(character))
}

fn push_hex(kind: u8, value: u32, digits: u32, out: &mut Vec<u8>) {
    out.push(b'\\');
    out.push(kind);
    for position in (0..digits).rev() {
        let digit = value.checked_shr(position.saturating_mul(4)).unwrap_or(0) & 0xf;
        out.extend(char::from_digit(digit, 16).map(|digit| digit as u8));
    }
}

#[cfg(test)]
mod tests {
    use super::quoted;

    #[test]
    fn ascii_and_escapes() {
        assert_eq!(quoted(b"plain ' text"), r#""plain ' text""#);
        assert_eq!(quoted(b"\"\\"), r#""\"\\""#);
        assert_eq!(quoted(b"\x07\x08\x0c\n\r\t\x0b"), r#""\a\b\f\n\r\t\v""#);
        assert_eq!(quoted(b"\x00\x01\x1f\x7f"), r#""\x00\x01\x1f\x7f""#);
    }

    #[test]
    fn what_is_not_ascii() {
        assert_eq!(quoted("é€😀".as_bytes()), "\"é€😀\"");
        assert_eq!(quoted(b"\xff\xe2\x82A"), r#""\xff\xe2\x82A""#);
        assert_eq!(quoted("\u{a0}\u{200b}\u{feff}\u{e000}".as_bytes()), r#""\u00a0\u200b\ufeff\ue000""#);
        assert_eq!(quoted("\u{10ffff}".as_bytes()), r#""\U0010ffff""#);
        assert_eq!(quoted("\u{301}e\u{301}\u{fffd}".as_bytes()), "\"\u{301}e\u{301}\u{fffd}\"");
    }
}
