//! The service thread: what takes too long for a shard (comparing passwords with bcrypt hashes), and orders and questions of the program.
//!
//! It has an end of the lanes like a shard, so answers come back on the same paths as everything else.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded, select, unbounded};

use crate::auth::Verification;
use crate::connection::Key;
use crate::driver::{Bell, Freight};
use crate::lane::{Endpoint, Outgoing};
use crate::shard::Survey;
use crate::shard::mail::{Control, Mail};
use crate::snapshot::{Query, Snapshot};

/// Threads that compare passwords; started when the first one comes.
const VERIFIERS: usize = 2;
/// Passwords that may wait for a thread, per shard and connection storm: more are refused like wrong ones.
const WAITING: usize = 65_536;

/// What the program may order.
#[derive(Debug)]
pub(crate) enum Order {
    /// Pass a question on to every shard.
    Ask(Arc<Query>, Sender<Snapshot>),
    /// Close everything and end.
    ShutDown,
}

struct Job {
    shard: usize,
    connection: Key,
    verification: Verification,
}

type Answer = (usize, Key, Option<Box<str>>);

/// See the module.
pub(crate) struct Service {
    endpoint: Endpoint<Freight, Bell>,
    bell: Receiver<()>,
    orders: Receiver<Order>,
    jobs: Option<Sender<Job>>,
    answers: (Sender<Answer>, Receiver<Answer>),
}

impl Service {
    pub fn new(endpoint: Endpoint<Freight, Bell>, bell: Receiver<()>, orders: Receiver<Order>) -> Self {
        Service { endpoint, bell, orders, jobs: None, answers: unbounded() }
    }

    /// Works until the order to shut down came.
    pub fn run(mut self) {
        loop {
            if self.endpoint.prepare_sleep() {
                select! {
                    recv(self.bell) -> _ => {}
                    recv(self.orders) -> order => match order {
                        Ok(Order::Ask(query, answers)) => self.ask(&query, &answers),
                        Ok(Order::ShutDown) | Err(_) => return self.shut_down(),
                    },
                    recv(self.answers.1) -> answer => {
                        if let Ok(answer) = answer {
                            self.answer(answer);
                        }
                    }
                }
                self.endpoint.awake();
            }
            while let Some(incoming) = self.endpoint.receive() {
                if let Freight::Mail(Mail::Control(Control::Verify { connection, verification })) = incoming.payload {
                    self.verify(Job { shard: incoming.from, connection, verification });
                }
            }
        }
    }

    fn verify(&mut self, job: Job) {
        let jobs = self.jobs.get_or_insert_with(|| {
            let (sender, receiver) = bounded::<Job>(WAITING);
            for number in 0..VERIFIERS {
                let (receiver, answers) = (receiver.clone(), self.answers.0.clone());
                let work = move || {
                    for Job { shard, connection, verification } in receiver {
                        let credential = verification.run().then_some(verification.credential);
                        if answers.send((shard, connection, credential)).is_err() {
                            return;
                        }
                    }
                };
                if let Err(error) = thread::Builder::new().name(format!("verifier-{number}")).spawn(work) {
                    log::error!("no thread to compare passwords with: {error}");
                }
            }
            sender
        });
        if let Err(refused) = jobs.try_send(job) {
            let Job { shard, connection, .. } = refused.into_inner();
            self.answer((shard, connection, None));
        }
    }

    fn answer(&mut self, (shard, connection, credential): Answer) {
        self.send(shard, Control::Verified { connection, credential });
    }

    fn ask(&mut self, query: &Arc<Query>, answers: &Sender<Snapshot>) {
        for shard in 0..self.endpoint.shards() - 1 {
            let survey = Survey::new(Arc::clone(query), answers.clone());
            self.send(shard, Control::Survey(Box::new(survey)));
        }
    }

    fn shut_down(mut self) {
        // The service thread's own end is the last.
        for shard in 0..self.endpoint.shards() - 1 {
            self.send(shard, Control::Shutdown);
        }
    }

    fn send(&mut self, target: usize, control: Control) {
        let payload = Freight::Mail(Mail::Control(control));
        self.endpoint.send_turn(&mut vec![Outgoing { target, bytes: 0, payload }]);
    }
}
