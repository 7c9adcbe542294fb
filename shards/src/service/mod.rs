//! The service thread: what takes too long for a shard or concerns no shard alone.
//!
//! It has an end of the lanes like a shard, so answers come back on the same paths as everything else; and a poll of its own, which it
//! sleeps in. What comes from other threads (orders of the program, answers of threads that may take their time) comes to its [`Desk`].

mod verify;

use std::io::{self, ErrorKind};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::{Events, Poll};

use self::verify::{Job, Verifiers};
use crate::connection::Key;
use crate::driver::Freight;
use crate::lane::{Endpoint, Outgoing, Wake};
use crate::shard::Survey;
use crate::shard::mail::{Control, Mail};
use crate::snapshot::{Query, Snapshot};
use crate::sockets::Bell;

/// Events taken at a time.
const EVENTS: usize = 256;

/// What other threads want of the service thread.
#[derive(Debug)]
pub(crate) enum Order {
    /// Pass a question on to every shard.
    Ask(Arc<Query>, Sender<Snapshot>),
    /// Close everything and end.
    ShutDown,
    /// A password was compared with a hash.
    Verified {
        /// Shard of the connection that waits.
        shard: usize,
        /// That connection.
        connection: Key,
        /// Credential as logs name it, if it fits.
        credential: Option<Box<str>>,
    },
}

/// Where orders are left. The service thread is woken for each.
#[derive(Clone, Debug)]
pub(crate) struct Desk {
    orders: Sender<Order>,
    bell: Bell,
}

/// The service thread has ended, and everything with it.
#[derive(Debug)]
pub(crate) struct Closed;

impl Desk {
    /// With the service thread's bell, and the end that it takes orders from.
    pub fn new(bell: Bell) -> (Self, Receiver<Order>) {
        let (orders, received) = unbounded();
        (Desk { orders, bell }, received)
    }

    /// Leaves an order.
    pub fn leave(&self, order: Order) -> Result<(), Closed> {
        self.orders.send(order).map_err(|_| Closed)?;
        self.bell.wake();
        Ok(())
    }
}

/// See the module.
pub(crate) struct Service {
    endpoint: Endpoint<Freight, Bell>,
    poll: Poll,
    orders: Receiver<Order>,
    verifiers: Verifiers,
}

impl Service {
    pub fn new(endpoint: Endpoint<Freight, Bell>, poll: Poll, desk: Desk, orders: Receiver<Order>) -> Self {
        Service { endpoint, poll, orders, verifiers: Verifiers::new(desk) }
    }

    /// Works until the order to shut down came.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            self.wait(&mut events)?;
            while let Ok(order) = self.orders.try_recv() {
                match order {
                    Order::Ask(query, answers) => self.ask(&query, &answers),
                    Order::Verified { shard, connection, credential } => {
                        self.send(shard, Control::Verified { connection, credential });
                    }
                    Order::ShutDown => {
                        self.shut_down();
                        return Ok(());
                    }
                }
            }
            self.receive();
        }
    }

    /// Sleeps until somebody rings.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        if !self.endpoint.prepare_sleep() {
            return Ok(());
        }
        let result = self.poll.poll(events, None);
        self.endpoint.awake();
        match result {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    /// What shards have sent.
    fn receive(&mut self) {
        for _ in 0..=self.endpoint.backlog() {
            let Some(incoming) = self.endpoint.receive() else { return };
            if let Freight::Mail(Mail::Control(Control::Verify { connection, verification })) = incoming.payload
                && let Err(Job { shard, connection, .. }) =
                    self.verifiers.verify(Job { shard: incoming.from, connection, verification })
            {
                // More than can wait: refused like a wrong one.
                self.send(shard, Control::Verified { connection, credential: None });
            }
        }
    }

    fn ask(&mut self, query: &Arc<Query>, answers: &Sender<Snapshot>) {
        for shard in 0..self.shards() {
            let survey = Survey::new(Arc::clone(query), answers.clone());
            self.send(shard, Control::Survey(Box::new(survey)));
        }
    }

    fn shut_down(&mut self) {
        for shard in 0..self.shards() {
            self.send(shard, Control::Shutdown);
        }
    }

    /// How many shards there are; the service thread's own end of the lanes is the last.
    fn shards(&self) -> usize {
        self.endpoint.shards() - 1
    }

    fn send(&mut self, target: usize, control: Control) {
        let payload = Freight::Mail(Mail::Control(control));
        self.endpoint.send_turn(&mut vec![Outgoing { target, bytes: 0, payload }]);
    }
}
