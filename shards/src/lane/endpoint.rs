//! One shard's end of all its lanes. The rules that it follows, and why they hold, are told in [`super`].

use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;

use crossbeam_utils::CachePadded;

use super::Wake;
use super::credit::Credit;
use super::doorbell::Doorbell;
use super::sync::{AtomicU64, Inbox, Ordering, Slot, inbox};

/// A parcel to be sent with its turn.
#[derive(Debug)]
pub struct Outgoing<T> {
    /// The shard that gets it.
    pub target: usize,
    /// What it keeps alive until it is settled; 0 for control parcels, which need no credit.
    pub bytes: u64,
    /// What is sent.
    pub payload: T,
}

/// A parcel that may be acted on.
#[derive(Debug)]
pub struct Incoming<T> {
    /// The shard that sent it.
    pub from: usize,
    /// What is to be [settled](Endpoint::settle) once the parcel keeps nothing alive any more.
    pub bytes: u64,
    /// What was sent.
    pub payload: T,
}

/// What an endpoint has done since the start.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LaneCounters {
    /// Parcels put into inboxes.
    pub parcels_sent: u64,
    /// Parcels handed to the shard.
    pub parcels_received: u64,
    /// Parcels that were held aside because their turn, or that of an older one that was held, was not released yet.
    pub parcels_held: u64,
    /// Turns and settlements that found the other shard asleep: one system call each.
    pub wakes_sent: u64,
    /// Those that found it running.
    pub wakes_skipped: u64,
    /// How often this shard began to wait for credit.
    pub credit_waits: u64,
}

/// A parcel on its lane.
struct Parcel<T> {
    from: usize,
    /// Number of the sender's turn; not to be acted on before that turn is released.
    turn: u64,
    bytes: u64,
    payload: T,
}

/// What all shards share.
struct Mesh<T, W> {
    inboxes: Vec<Slot<Parcel<T>>>,
    doorbells: Vec<CachePadded<Doorbell>>,
    /// By sender: its last turn that may be acted on.
    released: Vec<CachePadded<AtomicU64>>,
    /// By sender, then target.
    credits: Vec<CachePadded<Credit>>,
    wakers: Vec<W>,
    credit_bytes: u64,
}

impl<T, W> Mesh<T, W> {
    fn credit(&self, from: usize, to: usize) -> &Credit {
        &self.credits[from * self.wakers.len() + to]
    }

    fn is_released(&self, parcel: &Parcel<T>) -> bool {
        // Acquire: partner of the Release in `send_turn`; who acts on a parcel has seen the whole turn as sent.
        self.released[parcel.from].load(Ordering::Acquire) >= parcel.turn
    }
}

/// What the sender keeps about one target.
#[derive(Default)]
struct Target {
    /// Bytes charged since the start.
    sent: u64,
    /// Bytes known to be settled; looked up again only when they do not suffice.
    settled: u64,
    /// The last turn that had a parcel for this target.
    last_turn: u64,
}

/// A target of the turn that is being sent.
struct Touched {
    target: usize,
    /// It was found asleep, and must be woken after the release.
    asleep: bool,
}

/// A target whose credit is used up, and the settled sum with which it counts as returned.
struct Wait {
    target: usize,
    sum: u64,
}

/// One shard's end of all its lanes. It belongs to the shard's thread.
pub struct Endpoint<T, W> {
    mesh: Arc<Mesh<T, W>>,
    shard: usize,
    /// The turn that was sent last.
    turn: u64,
    targets: Vec<Target>,
    /// The targets of the turn that is being sent; kept for its memory.
    touched: Vec<Touched>,
    waits: Vec<Wait>,
    inbox: Inbox<Parcel<T>>,
    /// The doorbell was answered and the inbox has not been found empty since.
    draining: bool,
    /// Taken out, but of turns that were not released when looked at last; oldest first.
    held: VecDeque<Parcel<T>>,
    /// Taken out and released; to be acted on before anything else, oldest first.
    ready: VecDeque<Parcel<T>>,
    counters: LaneCounters,
    /// Kept in cells because `settle` does not change the endpoint otherwise.
    wakes_sent: Cell<u64>,
    wakes_skipped: Cell<u64>,
}

/// Builds the ends of all lanes at once: one endpoint per waker, in order.
///
/// `credit_bytes` is what each ordered pair of shards may have in flight before the sender should stop causing more.
pub fn mesh<T, W: Wake>(wakers: Vec<W>, credit_bytes: u64) -> Vec<Endpoint<T, W>> {
    let shards = wakers.len();
    let (slots, inboxes): (Vec<_>, Vec<_>) = (0..shards).map(|_| inbox()).unzip();
    let mesh = Arc::new(Mesh {
        inboxes: slots,
        doorbells: (0..shards).map(|_| CachePadded::new(Doorbell::new())).collect(),
        released: (0..shards).map(|_| CachePadded::new(AtomicU64::new(0))).collect(),
        credits: (0..shards * shards).map(|_| CachePadded::new(Credit::new())).collect(),
        wakers,
        credit_bytes,
    });
    let endpoint = |(shard, inbox)| Endpoint {
        mesh: mesh.clone(),
        shard,
        turn: 0,
        targets: (0..shards).map(|_| Target::default()).collect(),
        touched: Vec::with_capacity(shards),
        waits: Vec::new(),
        inbox,
        draining: false,
        held: VecDeque::new(),
        ready: VecDeque::new(),
        counters: LaneCounters::default(),
        wakes_sent: Cell::new(0),
        wakes_skipped: Cell::new(0),
    };
    inboxes.into_iter().enumerate().map(endpoint).collect()
}

impl<T, W: Wake> Endpoint<T, W> {
    /// The number of this shard.
    pub fn shard(&self) -> usize {
        self.shard
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.targets.len()
    }

    /// Sends one turn's parcels, which become visible together, and wakes those of their targets that sleep.
    ///
    /// Parcels to the same target arrive in the order of the batch. The batch is left empty. When this returns, who is
    /// told of the turn by other means (over a socket) finds its parcels: so write sockets afterwards.
    ///
    /// # Panics
    /// If a target is not the number of a shard.
    pub fn send_turn(&mut self, batch: &mut Vec<Outgoing<T>>) {
        let Some(first) = batch.first().map(|parcel| parcel.target) else { return };
        let single = batch.iter().all(|parcel| parcel.target == first);
        self.turn += 1;
        if single {
            self.release();
        }
        for parcel in batch.drain(..) {
            self.push(parcel);
        }
        if !single {
            // Who learns of the turn, by whatever way, learns of it after the release: then all targets must look.
            for touched in &mut self.touched {
                touched.asleep = self.mesh.doorbells[touched.target].ring();
            }
            self.release();
        }
        // And again after the release: who answered the first ring may hold the parcel, and sleep.
        while let Some(touched) = self.touched.pop() {
            let asleep = self.mesh.doorbells[touched.target].ring() || touched.asleep;
            self.wake(touched.target, asleep);
        }
    }

    fn push(&mut self, parcel: Outgoing<T>) {
        let Outgoing { target, bytes, payload } = parcel;
        let state = &mut self.targets[target];
        state.sent += bytes;
        if state.last_turn != self.turn {
            state.last_turn = self.turn;
            self.touched.push(Touched { target, asleep: false });
        }
        self.counters.parcels_sent += 1;
        self.mesh.inboxes[target].push(Parcel { from: self.shard, turn: self.turn, bytes, payload });
    }

    fn release(&self) {
        // Release: partner of the Acquire in `is_released`; the parcels sent so far come before it.
        self.mesh.released[self.shard].store(self.turn, Ordering::Release);
    }

    /// Wakes a shard whose doorbell we rang, if it was asleep.
    fn wake(&self, target: usize, asleep: bool) {
        let counter = if asleep {
            self.mesh.wakers[target].wake();
            &self.wakes_sent
        } else {
            &self.wakes_skipped
        };
        counter.set(counter.get() + 1);
    }

    /// May [`Endpoint::receive`] have something? One load without a fence: this is what to spin on.
    ///
    /// A parcel that is held does not count; its sender rings when it may be acted on.
    pub fn may_have_mail(&self) -> bool {
        self.draining || !self.ready.is_empty() || self.mesh.doorbells[self.shard].is_rung()
    }

    /// The parcels that are there at this moment. After so many calls of [`Endpoint::receive`] those of them that may be acted on were
    /// handed out, whatever came in behind them.
    pub fn backlog(&self) -> usize {
        self.ready.len() + self.held.len() + self.inbox.len()
    }

    /// The next parcel that may be acted on. `None`: nothing now; ask again when [`Endpoint::may_have_mail`] says so.
    pub fn receive(&mut self) -> Option<Incoming<T>> {
        let parcel = match self.ready.pop_front() {
            Some(parcel) => parcel,
            None => self.take()?,
        };
        self.counters.parcels_received += 1;
        Some(Incoming { from: parcel.from, bytes: parcel.bytes, payload: parcel.payload })
    }

    /// Takes parcels out of the inbox until one of those taken out may be acted on.
    fn take(&mut self) -> Option<Parcel<T>> {
        if !self.draining {
            // Answered first, drained afterwards: what comes in behind the last look rings again.
            self.draining = self.mesh.doorbells[self.shard].answer();
        }
        while self.draining {
            match self.inbox.pop() {
                Some(parcel) if self.held.is_empty() && self.mesh.is_released(&parcel) => return Some(parcel),
                Some(parcel) => self.hold(parcel),
                None => self.draining = false,
            }
            // Only now, with the new parcel in hand: see the receiving rule.
            self.sift();
            if let Some(parcel) = self.ready.pop_front() {
                return Some(parcel);
            }
        }
        None
    }

    fn hold(&mut self, parcel: Parcel<T>) {
        self.counters.parcels_held += 1;
        self.held.push_back(parcel);
    }

    /// Moves what is released from `held` to `ready` (which is empty), newest first so that nothing overtakes its past.
    fn sift(&mut self) {
        for index in (0..self.held.len()).rev() {
            if self.mesh.is_released(&self.held[index]) {
                self.ready.extend(self.held.remove(index));
            }
        }
        self.ready.make_contiguous().reverse();
    }

    /// The receiver: `bytes` of parcels from that shard are no longer kept alive. Tells the sender if it waits for this.
    pub fn settle(&self, from: usize, bytes: u64) {
        if self.mesh.credit(from, self.shard).settle(bytes) {
            self.wake(from, self.mesh.doorbells[from].ring());
        }
    }

    /// The sender: bytes sent to that shard and not settled yet.
    pub fn in_flight(&self, target: usize) -> u64 {
        self.targets[target].sent.saturating_sub(self.mesh.credit(self.shard, target).settled())
    }

    /// The sender: is the credit to that shard used up? Costs two loads of our own memory while it is not.
    ///
    /// Sending goes on regardless; it is the shard's duty to stop causing more, and to [wait](Endpoint::wait_for_credit).
    pub fn exhausted(&mut self, target: usize) -> bool {
        let state = &mut self.targets[target];
        if state.sent.saturating_sub(state.settled) < self.mesh.credit_bytes {
            return false;
        }
        state.settled = self.mesh.credit(self.shard, target).settled();
        state.sent.saturating_sub(state.settled) >= self.mesh.credit_bytes
    }

    /// The sender: asks to be told when no more than half the credit is used of what is in flight now. `false`: this is so already.
    ///
    /// Until [`Endpoint::credit_returned`] names the target, more calls change nothing.
    pub fn wait_for_credit(&mut self, target: usize) -> bool {
        if self.waits.iter().any(|wait| wait.target == target) {
            return true;
        }
        let sum = self.targets[target].sent.saturating_sub(self.mesh.credit_bytes / 2);
        let waiting = self.mesh.credit(self.shard, target).tell_at(sum);
        if waiting {
            self.counters.credit_waits += 1;
            self.waits.push(Wait { target, sum });
        }
        waiting
    }

    /// The sender: moves the targets whose credit has come back to `targets`. Costs nothing while it waits for none.
    pub fn credit_returned(&mut self, targets: &mut Vec<usize>) {
        let (mesh, shard) = (&self.mesh, self.shard);
        self.waits.retain(|wait| {
            let waiting = mesh.credit(shard, wait.target).settled() < wait.sum;
            if !waiting {
                targets.push(wait.target);
            }
            waiting
        });
    }

    /// Announces that the shard is about to poll, and looks once more. `false`: something is there (parcels or credit), do not sleep.
    ///
    /// After `true` and the poll, whatever ended it, call [`Endpoint::awake`].
    pub fn prepare_sleep(&mut self) -> bool {
        if self.draining || !self.ready.is_empty() || !self.mesh.doorbells[self.shard].announce_sleep() {
            return false;
        }
        // The ring that told of credit may have been answered by `receive`, after the last look at credits.
        let credit = |wait: &Wait| self.mesh.credit(self.shard, wait.target).settled() >= wait.sum;
        if self.waits.iter().any(credit) {
            self.awake();
            return false;
        }
        true
    }

    /// The shard no longer sleeps: from here on nobody needs to wake it.
    pub fn awake(&mut self) {
        self.mesh.doorbells[self.shard].awake();
    }

    /// What this endpoint has done so far.
    pub fn counters(&self) -> LaneCounters {
        LaneCounters { wakes_sent: self.wakes_sent.get(), wakes_skipped: self.wakes_skipped.get(), ..self.counters }
    }
}
