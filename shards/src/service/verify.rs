//! Threads that compare passwords with bcrypt hashes: each comparison takes as long as a shard takes for ten thousands of messages.

use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::{Desk, Order};
use crate::auth::Verification;
use crate::connection::Key;

/// How many; started when the first password comes.
const THREADS: usize = 2;
/// Passwords that may wait for a thread.
const WAITING: usize = 65_536;

/// A password to compare.
pub(super) struct Job {
    /// Shard of the connection that waits.
    pub shard: usize,
    /// That connection.
    pub connection: Key,
    /// What to compare.
    pub verification: Verification,
}

/// See the module. The threads end when this is dropped.
pub(super) struct Verifiers {
    desk: Desk,
    jobs: Option<Sender<Job>>,
}

impl Verifiers {
    /// No threads yet. Answers are left on the desk.
    pub fn new(desk: Desk) -> Self {
        Verifiers { desk, jobs: None }
    }

    /// Has a password compared, unless too many wait already.
    pub fn verify(&mut self, job: Job) -> Result<(), Job> {
        let desk = &self.desk;
        let jobs = self.jobs.get_or_insert_with(|| {
            let (sender, receiver) = bounded(WAITING);
            for number in 0..THREADS {
                let (receiver, desk) = (receiver.clone(), desk.clone());
                let name = format!("verifier-{number}");
                if let Err(error) = thread::Builder::new().name(name).spawn(move || compare(&receiver, &desk)) {
                    log::error!("no thread to compare passwords with: {error}");
                }
            }
            sender
        });
        jobs.try_send(job).map_err(|refused| refused.into_inner())
    }
}

fn compare(jobs: &Receiver<Job>, desk: &Desk) {
    for Job { shard, connection, verification } in jobs {
        let credential = verification.run().then_some(verification.credential);
        if desk.leave(Order::Verified { shard, connection, credential }).is_err() {
            return;
        }
    }
}
