//! A run that gets stuck ends with a sentence, not with a hanging program.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

static PATIENCE: OnceLock<Duration> = OnceLock::new();

/// Sets, once and before any connection is opened, how long a server may stand still.
pub fn set_patience(duration: Duration) {
    PATIENCE.get_or_init(|| duration);
}

/// How long a server may take to answer before it counts as stuck.
pub fn patience() -> Duration {
    *PATIENCE.get_or_init(|| Duration::from_secs(10))
}

/// Watches a number that must change.
#[derive(Debug)]
pub struct Progress {
    last: u64,
    since: Instant,
}

impl Progress {
    /// Starts to watch.
    pub fn start() -> Self {
        Progress { last: 0, since: Instant::now() }
    }

    /// Fails with `problem` if `now` has been the same for too long.
    pub fn expect(&mut self, now: u64, problem: impl FnOnce() -> String) -> Result<()> {
        if now != self.last {
            *self = Progress { last: now, since: Instant::now() };
        } else if self.since.elapsed() > patience() {
            bail!("{} (waited {:?})", problem(), patience());
        }
        Ok(())
    }
}
