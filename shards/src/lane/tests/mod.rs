//! Tests of the lanes. Each body runs on real threads, many rounds, and under loom, on all interleavings that differ.

mod causal;
mod credit;
mod oracle;
mod versions;
mod wakeup;

use std::sync::Arc;

use self::platform::{Condvar, Mutex};
use super::{Endpoint, Incoming, Wake, mesh};

#[cfg(not(loom))]
mod platform {
    pub(super) use std::sync::{Condvar, Mutex};
    pub(super) use std::thread;

    /// Real threads seldom meet in the worst way, so they meet often.
    pub(super) fn check(body: impl Fn() + Sync + Send + 'static) {
        for _ in 0..500 {
            body();
        }
    }
}

#[cfg(loom)]
mod platform {
    pub(super) use loom::sync::{Condvar, Mutex};
    pub(super) use loom::thread;

    /// Explores the interleavings; `LOOM_MAX_PREEMPTIONS` bounds them (see `tools/loom`).
    pub(super) fn check(body: impl Fn() + Sync + Send + 'static) {
        loom::model(body);
    }
}

/// What a shard sleeps on here, in place of a poll with a waker. A wake-up that never comes is a deadlock: loom reports it;
/// a real thread gives up and panics.
struct Bell {
    rung: Mutex<bool>,
    changed: Condvar,
}

impl Bell {
    fn new() -> Arc<Self> {
        Arc::new(Bell { rung: Mutex::new(false), changed: Condvar::new() })
    }

    fn poll(&self) {
        let mut rung = self.rung.lock().unwrap();
        while !*rung {
            #[cfg(loom)]
            {
                rung = self.changed.wait(rung).unwrap();
            }
            #[cfg(not(loom))]
            {
                let (guard, timeout) = self.changed.wait_timeout(rung, std::time::Duration::from_secs(30)).unwrap();
                assert!(!timeout.timed_out(), "lost wake-up");
                rung = guard;
            }
        }
        *rung = false;
    }
}

impl Wake for Bell {
    fn wake(&self) {
        *self.rung.lock().unwrap() = true;
        self.changed.notify_one();
    }
}

/// An endpoint with what it sleeps on.
struct Shard<T> {
    lanes: Endpoint<T, Arc<Bell>>,
    bell: Arc<Bell>,
}

/// A mesh of `N` shards.
fn shards<T, const N: usize>(credit_bytes: u64) -> [Shard<T>; N] {
    let bells: Vec<_> = (0..N).map(|_| Bell::new()).collect();
    let mut ends = mesh(bells.clone(), credit_bytes).into_iter().zip(bells);
    std::array::from_fn(|_| {
        let (lanes, bell) = ends.next().unwrap();
        Shard { lanes, bell }
    })
}

impl<T> Shard<T> {
    /// Sends a turn of parcels without bytes.
    fn send<const N: usize>(&mut self, parcels: [(usize, T); N]) {
        let parcel = |(target, payload)| super::Outgoing { target, bytes: 0, payload };
        self.lanes.send_turn(&mut parcels.into_iter().map(parcel).collect());
    }

    /// Receives, and sleeps while there is nothing.
    fn next(&mut self) -> Incoming<T> {
        loop {
            if let Some(parcel) = self.lanes.receive() {
                return parcel;
            }
            self.sleep();
        }
    }

    /// Sleeps unless there is something to do.
    fn sleep(&mut self) {
        if self.lanes.prepare_sleep() {
            self.bell.poll();
            self.lanes.awake();
        }
    }
}
