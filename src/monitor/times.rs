//! Times as monitoring shows them: RFC 3339 in UTC, and spans in whole seconds.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;

/// `2026-11-22T09:52:57.421198339Z`, as many decimals as needed.
pub fn timestamp(time: SystemTime) -> String {
    Timestamp::try_from(time).unwrap_or_default().to_string()
}

/// `5s`, `3m2s`, `1d1h3m2s`, `1y2d0h0m1s`: from the largest unit that there is down to seconds.
pub fn uptime(span: Duration) -> String {
    const UNITS: [(u64, char); 4] = [(365 * 86_400, 'y'), (86_400, 'd'), (3600, 'h'), (60, 'm')];
    let mut seconds = span.as_secs();
    let mut text = String::new();
    for (unit, name) in UNITS {
        if seconds >= unit || !text.is_empty() {
            let wrapped = seconds / unit;
            text.push_str(&format!("{wrapped}{name}"));
            seconds %= unit;
        }
    }
    text.push_str(&format!("{seconds}s"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_keep_inner_zeros() {
        let text = |seconds| uptime(Duration::from_secs(seconds));
        assert_eq!([text(0), text(5), text(182), text(3600)], ["0s", "5s", "3m2s", "1h0m0s"]);
        assert_eq!(text(86_400 + 3600 + 182), "1d1h3m2s");
        assert_eq!(text(367 * 86_400 + 1), "1y2d0h0m1s");
    }

    #[test]
    fn timestamps_have_the_decimals_they_need() {
        let at = |nanos| timestamp(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos));
        assert_eq!(at(1_500_000_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(at(1_000_000_001), "1970-01-01T00:00:01.000000001Z");
        assert_eq!(at(1_120_000_000), "1970-01-01T00:00:01.12Z");
        assert_eq!(at(2_000_000_000), "1970-01-01T00:00:02Z");
    }
}
