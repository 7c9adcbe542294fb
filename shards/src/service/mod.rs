//! The service thread: what takes too long for a shard or concerns no shard alone.
//!
//! It has an end of the lanes like a shard, so answers come back on the same paths as everything else; and a poll of its own, which it
//! sleeps in. What comes from other threads (orders of the program, answers of threads that may take their time) comes to its [`Desk`].

mod dial;
mod routes;
mod verify;

use std::io::{self, ErrorKind};
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use mio::{Events, Poll};

use self::dial::Dialed;
use self::routes::Routes;
use self::verify::{Job, Verifiers};
use crate::config::Config;
use crate::connection::Key;
use crate::driver::{Freight, Shared};
use crate::lane::{Endpoint, Outgoing, Wake};
use crate::mesh::MeshStatus;
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
    /// Tell how the cluster looks; without one there is no answer.
    AskMesh(Sender<MeshStatus>),
    /// Close everything and end.
    ShutDown,
    /// What came of dialling.
    Dialed {
        /// Number of the attempt.
        attempt: u64,
        /// A connection, or why not.
        result: Dialed,
    },
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

/// The service thread's end of the lanes.
type Lanes = Endpoint<Freight, Bell>;

/// See the module.
pub(crate) struct Service {
    lanes: Lanes,
    poll: Poll,
    shared: Arc<Shared>,
    orders: Receiver<Order>,
    verifiers: Verifiers,
    routes: Option<Routes>,
}

impl Service {
    /// `desk` is its own.
    pub fn new(lanes: Lanes, poll: Poll, shared: Arc<Shared>, desk: Desk, orders: Receiver<Order>) -> Self {
        Service { lanes, poll, shared, orders, verifiers: Verifiers::new(desk), routes: None }
    }

    /// Has it host a cluster's mesh, which others reach with this listener.
    pub fn with_routes(
        mut self,
        config: Arc<Config>,
        seed: u64,
        desk: Desk,
        listener: TcpListener,
    ) -> io::Result<Self> {
        let registry = self.poll.registry().try_clone()?;
        self.routes = Some(Routes::new(config, seed, listener, registry, Arc::clone(&self.shared), desk)?);
        Ok(self)
    }

    /// Works until the order to shut down came.
    pub fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        let now = self.now();
        if let Some(routes) = &mut self.routes {
            routes.start(now, &mut self.lanes);
        }
        loop {
            self.wait(&mut events)?;
            let now = self.now();
            if let Some(routes) = &mut self.routes {
                routes.begin_turn(now, &events);
            }
            events.clear();
            while let Ok(order) = self.orders.try_recv() {
                if let Order::ShutDown = order {
                    self.shut_down();
                    return Ok(());
                }
                self.obey(order);
            }
            self.receive();
            if let Some(routes) = &mut self.routes {
                routes.turn(&mut self.lanes);
            }
        }
    }

    fn now(&self) -> u64 {
        self.shared.start.elapsed().as_millis() as u64
    }

    /// Waits for something to do; not at all if there is something already.
    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let busy = self.routes.as_ref().is_some_and(Routes::is_busy);
        if busy || !self.lanes.prepare_sleep() {
            return self.poll_once(events, Some(Duration::ZERO));
        }
        let next = self.routes.as_ref().and_then(Routes::next_timer);
        // One more, because the poll's milliseconds and ours begin at different moments.
        let timeout = next.map(|at| Duration::from_millis(at.saturating_sub(self.now()).saturating_add(1)));
        let result = self.poll_once(events, timeout);
        self.lanes.awake();
        result
    }

    fn poll_once(&mut self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            result => result,
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Ask(query, answers) => self.ask(&query, &answers),
            Order::AskMesh(answer) => {
                if let Some(routes) = &self.routes {
                    // Nobody may wait for it any more.
                    let _ = answer.send(routes.status());
                }
            }
            Order::Dialed { attempt, result } => {
                if let Some(routes) = &mut self.routes {
                    routes.dialed(attempt, result, &mut self.lanes);
                }
            }
            Order::Verified { shard, connection, credential } => {
                self.send(shard, Control::Verified { connection, credential });
            }
            Order::ShutDown => {}
        }
    }

    /// What shards have sent. What comes in behind is for the next turn.
    fn receive(&mut self) {
        for _ in 0..=self.lanes.backlog() {
            let Some(incoming) = self.lanes.receive() else { return };
            self.lanes.settle(incoming.from, incoming.bytes);
            let Freight::Mail(Mail::Control(control)) = incoming.payload else { continue };
            if let Control::Verify { connection, verification } = control {
                self.verify(Job { shard: incoming.from, connection, verification });
            } else if let Some(routes) = &mut self.routes {
                routes.report(incoming.from, control, &mut self.lanes);
            }
        }
    }

    fn verify(&mut self, job: Job) {
        if let Err(Job { shard, connection, .. }) = self.verifiers.verify(job) {
            // More than can wait: refused like a wrong one.
            self.send(shard, Control::Verified { connection, credential: None });
        }
    }

    fn ask(&mut self, query: &Arc<Query>, answers: &Sender<Snapshot>) {
        for shard in 0..self.shards() {
            let survey = Survey::new(Arc::clone(query), answers.clone());
            self.send(shard, Control::Survey(Box::new(survey)));
        }
    }

    fn shut_down(&mut self) {
        if let Some(routes) = &mut self.routes {
            routes.shut_down(&mut self.lanes);
        }
        for shard in 0..self.shards() {
            self.send(shard, Control::Shutdown);
        }
    }

    /// How many shards there are; the service thread's own end of the lanes is the last.
    fn shards(&self) -> usize {
        self.lanes.shards() - 1
    }

    fn send(&mut self, target: usize, control: Control) {
        let payload = Freight::Mail(Mail::Control(control));
        self.lanes.send_turn(&mut vec![Outgoing { target, bytes: 0, payload }]);
    }
}
