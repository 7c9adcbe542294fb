//! Flag values: Go's spellings of numbers, truths and durations, and our own shapes.

use std::time::Duration;

use shards::config::MAX_SHARDS;

use crate::config::duration;
use crate::options::Pin;

/// Why a value does not fit its flag; the texts follow `invalid value "x" for flag -f: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Not a value of this type.
    #[error("parse error")]
    Parse,
    /// A number, but too large.
    #[error("value out of range")]
    Range,
    /// `--shards` outside of its limits.
    #[error("must be a number from 1 to {MAX_SHARDS}")]
    Shards,
    /// `--pin` with something else.
    #[error("must be auto, off, or a list of cores like 0,2,4-7")]
    Pin,
    /// `--spin` with something else.
    #[error("must be a duration like 20us, or 0 for never")]
    Spin,
}

/// The twelve spellings of a truth.
pub fn bool(text: &str) -> Result<bool, ValueError> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(ValueError::Parse),
    }
}

/// A 64-bit number: decimal, `0x`, `0b`, `0o` or octal by a leading zero, `_` between digits.
pub fn int(text: &str) -> Result<i64, ValueError> {
    let (negative, unsigned) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..).unwrap_or_default()),
        Some(b'+') => (false, text.get(1..).unwrap_or_default()),
        _ => (false, text),
    };
    let magnitude = magnitude(unsigned)?;
    if negative {
        0_i64.checked_sub_unsigned(magnitude).ok_or(ValueError::Range)
    } else {
        i64::try_from(magnitude).map_err(|_| ValueError::Range)
    }
}

fn magnitude(text: &str) -> Result<u64, ValueError> {
    let prefix = text.get(..2).unwrap_or_default().to_ascii_lowercase();
    let (base, digits) = match prefix.as_str() {
        "0x" => (16, text.get(2..)),
        "0b" => (2, text.get(2..)),
        "0o" => (8, text.get(2..)),
        _ if text.starts_with('0') && text.len() > 1 => (8, text.get(1..)),
        _ => (10, Some(text)),
    };
    let digits = digits.unwrap_or_default();
    if digits.is_empty() {
        return Err(ValueError::Parse);
    }
    let mut value = 0_u64;
    for c in digits.chars().filter(|c| *c != '_') {
        let digit = c.to_digit(base).ok_or(ValueError::Parse)?;
        // Like the reference, the first thing wrong from the left decides between the two errors.
        value = value
            .checked_mul(u64::from(base))
            .and_then(|value| value.checked_add(u64::from(digit)))
            .ok_or(ValueError::Range)?;
    }
    if underscores_between_digits(digits, base != 10) { Ok(value) } else { Err(ValueError::Parse) }
}

/// `_` must stand between digits; a base prefix counts as a digit.
fn underscores_between_digits(digits: &str, after_prefix: bool) -> bool {
    let mut after_digit = after_prefix;
    for c in digits.chars() {
        if c == '_' && !after_digit {
            return false;
        }
        after_digit = c != '_';
    }
    after_digit
}

/// `--shards`
pub fn shards(text: &str) -> Result<usize, ValueError> {
    let count = int(text)?;
    usize::try_from(count).ok().filter(|count| (1..=MAX_SHARDS).contains(count)).ok_or(ValueError::Shards)
}

/// `--pin`
pub fn pin(text: &str) -> Result<Pin, ValueError> {
    match text {
        "auto" => Ok(Pin::Auto),
        "off" => Ok(Pin::Off),
        list => core_list(list).map(Pin::Cores),
    }
}

/// Cores like `0,2,4-7`: kernel CPU numbers in the order of the shards, each at most once.
fn core_list(text: &str) -> Result<Vec<usize>, ValueError> {
    /// The kernel's own limit of CPU numbers that an affinity mask can name.
    const MAX_CORE: usize = 1023;
    let number = |text: &str| text.parse::<usize>().ok().filter(|core| *core <= MAX_CORE).ok_or(ValueError::Pin);
    let mut cores = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once('-') {
            Some((first, last)) => (number(first)?, number(last)?),
            None => (number(part)?, number(part)?),
        };
        if first > last || (first..=last).any(|core| cores.contains(&core)) {
            return Err(ValueError::Pin);
        }
        cores.extend(first..=last);
    }
    Ok(cores)
}

/// `--spin`
pub fn spin(text: &str) -> Result<Duration, ValueError> {
    let nanos = duration::parse_nanos(text).map_err(|_| ValueError::Spin)?;
    u64::try_from(nanos).map(Duration::from_nanos).map_err(|_| ValueError::Spin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_numbers_in_every_base() {
        for (text, value) in [
            ("0", 0),
            ("-1", -1),
            ("+5", 5),
            ("010", 8),
            ("0x1F", 31),
            ("0X1f", 31),
            ("0b101", 5),
            ("0o17", 15),
            ("1_000", 1000),
            ("0_7", 7),
            ("0x_ff", 255),
            ("9223372036854775807", i64::MAX),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(int(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_number() {
        for text in ["", "-", "+", "abc", "1.5", "1e3", "08", "0x", "0b2", "_1", "1_", "1__0", "0x1_", "--1", " 1"] {
            assert_eq!(int(text), Err(ValueError::Parse), "{text}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999x", "0xffffffffffffffffff"] {
            assert_eq!(int(text), Err(ValueError::Range), "{text}");
        }
    }

    #[test]
    fn reads_lists_of_cores() {
        assert_eq!(pin("auto"), Ok(Pin::Auto));
        assert_eq!(pin("off"), Ok(Pin::Off));
        assert_eq!(pin("3"), Ok(Pin::Cores(vec![3])));
        assert_eq!(pin("4,0-2"), Ok(Pin::Cores(vec![4, 0, 1, 2])));
        for text in ["", "a", "1,", "2-1", "0,0", "0-2,1", "1-", "-1", "0-99999999999"] {
            assert_eq!(pin(text), Err(ValueError::Pin), "{text}");
        }
    }

    #[test]
    fn limits_shards_and_spin() {
        assert_eq!(shards("256"), Ok(256));
        assert_eq!(shards("0"), Err(ValueError::Shards));
        assert_eq!(shards("257"), Err(ValueError::Shards));
        assert_eq!(shards("two"), Err(ValueError::Parse));
        assert_eq!(spin("20us"), Ok(Duration::from_micros(20)));
        assert_eq!(spin("0"), Ok(Duration::ZERO));
        assert_eq!(spin("-1us"), Err(ValueError::Spin));
        assert_eq!(spin("20"), Err(ValueError::Spin));
    }
}
