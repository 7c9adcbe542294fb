//! Waiting for something that another process does: by looking again and again until a deadline, never by
//! sleeping for as long as it usually takes.

use std::thread;
use std::time::{Duration, Instant};

/// How long a test waits for something that should happen at once. Generous, because a loaded machine is slow
/// and a test that passes never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Pause behind the first look; each further one is longer, so that many tests that wait leave the machine to those that do not.
const PAUSE: Duration = Duration::from_millis(3);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` finds something or `limit` has passed.
pub fn poll_until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    let mut pause = PAUSE;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(pause);
        pause = LONGEST_PAUSE.min(pause * 3 / 2);
    }
}

/// Like [`poll_until`] with the usual [`DEADLINE`].
///
/// # Panics
/// When the deadline passes; `what` says what was waited for.
pub fn eventually<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    match poll_until(DEADLINE, look) {
        Some(found) => found,
        None => panic!("waited {DEADLINE:?} for this: {what}"),
    }
}
