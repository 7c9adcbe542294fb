//! Go's duration texts (`1h30m`, `2m0s`, `1.5ms`): the only form of time spans in configuration files.

use std::time::Duration;

const UNITS: [(&str, u64); 8] = [
    ("ns", 1),
    ("us", 1_000),
    ("\u{b5}s", 1_000),
    ("\u{3bc}s", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60 * 1_000_000_000),
    ("h", 3600 * 1_000_000_000),
];

/// Why a text is no duration; the texts are those that Go's parser gives.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Not a sequence of numbers with units, or out of range.
    #[error("time: invalid duration {0:?}")]
    Invalid(String),
    /// A number without unit.
    #[error("time: missing unit in duration {0:?}")]
    MissingUnit(String),
    /// A unit that does not exist.
    #[error("time: unknown unit {unit:?} in duration {text:?}")]
    UnknownUnit {
        /// What stood in the unit's place.
        unit: String,
        /// The whole text.
        text: String,
    },
}

/// Nanoseconds of a duration text; negative ones exist.
pub fn parse_nanos(text: &str) -> Result<i64, DurationError> {
    let invalid = || DurationError::Invalid(text.to_owned());
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after_whole) = split_digits(rest);
        let (fraction, after_number) = match after_whole.strip_prefix('.') {
            Some(tail) => split_digits(tail),
            None => ("", after_whole),
        };
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let unit_end = after_number.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after_number.len());
        let (unit, tail) = after_number.split_at(unit_end);
        if unit.is_empty() {
            return Err(DurationError::MissingUnit(text.to_owned()));
        }
        let Some(&(_, scale)) = UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(DurationError::UnknownUnit { unit: unit.to_owned(), text: text.to_owned() });
        };
        let nanos = if whole.is_empty() { 0 } else { whole.parse::<u64>().map_err(|_| invalid())? };
        let nanos = nanos.checked_mul(scale).ok_or_else(invalid)?;
        total = total
            .checked_add(nanos)
            .and_then(|sum| sum.checked_add(fraction_of(fraction, scale)))
            .ok_or_else(invalid)?;
        rest = tail;
    }
    match (negative, i64::try_from(total)) {
        (false, Ok(nanos)) => Ok(nanos),
        (true, Ok(nanos)) => Ok(-nanos),
        (true, Err(_)) if total == i64::MIN.unsigned_abs() => Ok(i64::MIN),
        _ => Err(invalid()),
    }
}

fn split_digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// `0.<digits>` of a unit, rounded down; digits beyond the eighteenth are less than a nanosecond of any unit.
fn fraction_of(digits: &str, scale: u64) -> u64 {
    let (mut value, mut denominator) = (0_u128, 1_u128);
    for digit in digits.bytes().take(18) {
        value = value * 10 + u128::from(digit.saturating_sub(b'0'));
        denominator *= 10;
    }
    u64::try_from(value * u128::from(scale) / denominator).unwrap_or(u64::MAX)
}

/// The text of a span as Go prints it: `2m0s`, `1.5ms`, `0s`.
pub fn format(span: Duration) -> String {
    let nanos = span.as_nanos();
    let fractional = |unit: u128, name: &str| {
        let digits = unit.ilog10() as usize;
        let text = format!("{}.{:0digits$}", nanos / unit, nanos % unit);
        format!("{}{name}", text.trim_end_matches('0').trim_end_matches('.'))
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => fractional(1_000, "\u{b5}s"),
        1_000_000..1_000_000_000 => fractional(1_000_000, "ms"),
        _ => {
            let seconds = nanos / 1_000_000_000;
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let text = format!("{}.{:09}", seconds % 60, nanos % 1_000_000_000);
            let text = text.trim_end_matches('0').trim_end_matches('.');
            match (hours, minutes) {
                (0, 0) => format!("{text}s"),
                (0, _) => format!("{minutes}m{text}s"),
                _ => format!("{hours}h{minutes}m{text}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{format, parse_nanos};
    use std::time::Duration;

    #[test]
    fn texts_and_spans_go_both_ways() {
        for text in ["0s", "1ns", "1.5\u{b5}s", "1.5ms", "300ms", "1s", "1.5s", "2m0s", "1h0m0s", "1h3m2.000000001s"] {
            let nanos = parse_nanos(text).expect(text);
            assert_eq!(format(Duration::from_nanos(nanos.unsigned_abs())), text);
        }
        assert_eq!(parse_nanos("-5s"), Ok(-5_000_000_000));
        assert_eq!(parse_nanos("1h30m"), parse_nanos("90m"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let error = |text: &str| parse_nanos(text).expect_err(text).to_string();
        assert_eq!(error("abc"), "time: invalid duration \"abc\"");
        assert_eq!(error("10"), "time: missing unit in duration \"10\"");
        assert_eq!(error("10x"), "time: unknown unit \"x\" in duration \"10x\"");
        assert_eq!(error("99999999999h"), "time: invalid duration \"99999999999h\"");
    }
}
