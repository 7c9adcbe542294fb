//! Many recorded cases, some of which a server cannot pass yet: several at the same time, and no failure unlisted.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// Cases at the same time: most of their time is waiting.
const THREADS: usize = 6;

/// Cases that are expected to fail, and what each needs.
pub type NotYet<'a> = &'a [(&'a str, &'a str)];

/// Runs all cases and compares the failures with the list of those that are allowed and required to fail. `is` tells
/// whether a case is the one with that name on the list; `run` also hears whether the case is expected to fail.
///
/// # Panics
/// When a case fails that is not on the list, when one passes that is, or when the list names one that is not there.
pub fn run_all<C: Sync>(
    cases: &[C],
    not_yet: NotYet<'_>,
    is: impl Fn(&C, &str) -> bool + Sync,
    run: impl Fn(&C, bool) -> Result<(), String> + Sync,
) {
    for (name, _) in not_yet {
        assert!(cases.iter().any(|case| is(case, name)), "{name} is on the list, but there is no such case");
    }
    let next = AtomicUsize::new(0);
    let complaints = Mutex::new(Vec::new());
    let worker = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            let listed = not_yet.iter().find(|(name, _)| is(case, name));
            let complaint = match (run(case, listed.is_some()), listed) {
                (Ok(()), None) | (Err(_), Some(_)) => continue,
                (Err(failure), None) => failure,
                (Ok(()), Some((name, reason))) => {
                    format!("{name}: passes, so it no longer needs {reason}: take it off the list")
                }
            };
            complaints.lock().unwrap_or_else(PoisonError::into_inner).push(complaint);
        }
    };
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(worker);
        }
    });
    let complaints = complaints.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (wrong, all) = (complaints.len(), cases.len());
    assert!(complaints.is_empty(), "{wrong} of {all} cases went wrong:\n\n{}", complaints.join("\n\n"));
}
