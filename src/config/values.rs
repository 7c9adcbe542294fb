//! From the text of a number, a truth value or a date to its meaning.

use super::error::ParseError;

/// `true yes on`, `false no off`, in any case.
pub(super) fn boolean(text: &[u8]) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    if is(["true", "yes", "on"]) {
        Some(true)
    } else if is(["false", "no", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// Digits with a suffix: `k` is a thousand, `kb`, `ki` and `kib` are 1024. A product that is too large wraps around,
/// as in the reference.
pub(super) fn integer(text: &str, line: usize) -> Result<i64, ParseError> {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(text.len());
    let (digits, suffix) = text.split_at(digits_end);
    let number: i64 = digits.parse().map_err(|_| ParseError::IntegerRange(text.to_owned()))?;
    let suffix = suffix.to_ascii_lowercase();
    let (letter, binary) = match suffix.as_bytes() {
        [] => return Ok(number),
        [letter] => (*letter, false),
        [letter, b'b'] | [letter, b'i'] | [letter, b'i', b'b'] => (*letter, true),
        _ => return Err(ParseError::IntegerSuffix { text: text.to_owned(), line }),
    };
    let power = match letter {
        b'k' => 1,
        b'm' => 2,
        b'g' => 3,
        b't' => 4,
        b'p' => 5,
        b'e' => 6,
        _ => return Err(ParseError::IntegerSuffix { text: text.to_owned(), line }),
    };
    let base: i64 = if binary { 1024 } else { 1000 };
    Ok(number.wrapping_mul(base.wrapping_pow(power)))
}

/// A date in the right form, if there is such a day and time.
pub(super) fn date(text: String) -> Result<String, ParseError> {
    let number = |range: std::ops::Range<usize>| text.get(range).and_then(|digits| digits.parse::<i16>().ok());
    let exists = || {
        let narrow = |range| number(range).and_then(|value| i8::try_from(value).ok());
        let (month, day) = (narrow(5..7)?, narrow(8..10)?);
        let (hour, minute, second) = (narrow(11..13)?, narrow(14..16)?, narrow(17..19)?);
        jiff::civil::DateTime::new(number(0..4)?, month, day, hour, minute, second, 0).ok()
    };
    match exists() {
        Some(_) => Ok(text),
        None => Err(ParseError::NoSuchDate(text)),
    }
}
