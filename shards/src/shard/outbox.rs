//! What a shard has for the others, gathered until the turn ends.

use crate::connection::Pause;

use super::mail::{Control, Deliveries, Mail};
use crate::interest::News;

/// Bytes that one turn gathers for one shard before the publishers that cause them wait for the next turn.
const TURN_BYTES: u64 = 256 * 1024;
/// Empty batches kept for reuse, and the largest kept.
const SPARE_BATCHES: usize = 16;
const SPARE_CAPACITY: usize = 1024 * 1024;

/// See the module.
#[derive(Debug)]
pub struct Outbox {
    batches: Vec<Deliveries>,
    touched: Vec<u16>,
    controls: Vec<(u16, Control)>,
    news: Vec<(u16, Option<u16>, News)>,
    exhausted: Vec<bool>,
    spare: Vec<Deliveries>,
}

/// Why a publisher must wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// This turn's batch is large enough.
    Turn,
    /// The target's credit is used up.
    Credit(u16),
}

impl From<Pressure> for Pause {
    fn from(pressure: Pressure) -> Self {
        match pressure {
            Pressure::Turn => Pause::Turn,
            Pressure::Credit(target) => Pause::Credit { target },
        }
    }
}

impl Outbox {
    /// For a server of `shards` shards.
    pub fn new(shards: usize) -> Self {
        Outbox {
            batches: (0..shards).map(|_| Deliveries::default()).collect(),
            touched: Vec::new(),
            controls: Vec::new(),
            news: Vec::new(),
            exhausted: vec![false; shards],
            spare: Vec::new(),
        }
    }

    /// The batch for a shard, and what its publisher must be told.
    pub fn batch(&mut self, target: u16) -> Option<&mut Deliveries> {
        let batch = self.batches.get_mut(usize::from(target))?;
        if batch.is_empty() {
            self.touched.push(target);
            if batch.capacity() == 0
                && let Some(spare) = self.spare.pop()
            {
                *batch = spare;
            }
        }
        Some(batch)
    }

    /// Is the credit towards a target used up?
    pub fn is_exhausted(&self, target: u16) -> bool {
        self.exhausted.get(usize::from(target)).copied().unwrap_or(false)
    }

    /// Must who feeds this target wait?
    pub fn pressure(&self, target: u16) -> Option<Pressure> {
        let at = usize::from(target);
        if self.is_exhausted(target) {
            return Some(Pressure::Credit(target));
        }
        self.batches.get(at).is_some_and(|batch| batch.weight() > TURN_BYTES).then_some(Pressure::Turn)
    }

    /// The news for the routes of a shard, or for its routes to one peer.
    pub fn news(&mut self, target: u16, peer: Option<u16>) -> &mut News {
        let at = self.news.iter().position(|(to, about, _)| (*to, *about) == (target, peer));
        let at = at.unwrap_or_else(|| {
            self.news.push((target, peer, News::default()));
            self.news.len() - 1
        });
        // Found, or just pushed.
        &mut self.news[at].2
    }

    /// Leaves a small matter for a shard.
    pub fn control(&mut self, target: u16, control: Control) {
        self.controls.push((target, control));
    }

    /// Leaves a stall for a publisher, unless this turn has one for it already.
    pub fn control_once(&mut self, target: u16, control: Control) {
        let same = |other: &Control| match (other, &control) {
            (Control::Stall { publisher: a, .. }, Control::Stall { publisher: b, .. }) => a == b,
            _ => false,
        };
        if !self.controls.iter().any(|(to, other)| *to == target && same(other)) {
            self.controls.push((target, control));
        }
    }

    /// The driver's word on a target's credit.
    pub fn set_exhausted(&mut self, target: usize, exhausted: bool) {
        if let Some(state) = self.exhausted.get_mut(target) {
            *state = exhausted;
        }
    }

    /// Nothing to send?
    pub fn is_empty(&self) -> bool {
        self.touched.is_empty() && self.controls.is_empty() && self.news.is_empty()
    }

    /// Hands over everything: target, bytes that count against credit, mail. News first: a request must not overtake the interest in its
    /// reply.
    pub fn drain(&mut self, mut send: impl FnMut(usize, u64, Mail)) {
        for (target, peer, news) in self.news.drain(..) {
            // What changes must be told; what a joining peer is told of all that there is can wait.
            let bytes = if peer.is_some() { news.weight() } else { 0 };
            send(usize::from(target), bytes, Mail::Interest { news, peer });
        }
        for target in self.touched.drain(..) {
            if let Some(batch) = self.batches.get_mut(usize::from(target)) {
                let batch = std::mem::take(batch);
                send(usize::from(target), batch.weight(), Mail::Deliveries(batch));
            }
        }
        for (target, control) in self.controls.drain(..) {
            send(usize::from(target), control.weight(), Mail::Control(control));
        }
    }

    /// Keeps the buffers of a batch that was acted on.
    pub fn recycle(&mut self, mut batch: Deliveries) {
        batch.clear();
        if self.spare.len() < SPARE_BATCHES && batch.capacity() <= SPARE_CAPACITY {
            self.spare.push(batch);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::mail::{Addressing, Message, Origin};
    use super::*;
    use crate::account::GLOBAL;
    use crate::connection::Key;

    const PUBLISHER: Key = Key { index: 1, generation: 2 };

    fn push(outbox: &mut Outbox, target: u16, payload: usize) {
        let tail = vec![b'x'; payload];
        let message = Message {
            account: GLOBAL,
            subject: b"a",
            tail: &tail,
            reply_len: 0,
            header_len: 0,
            body_len: payload,
            wide: None,
            large: None,
        };
        let origin = Origin { shard: 0, connection: PUBLISHER, echo: true, peer: None };
        outbox.batch(target).expect("a shard").push(&message, origin, Addressing::PLAIN);
    }

    fn drained(outbox: &mut Outbox) -> Vec<(usize, u64, Mail)> {
        let mut mail = Vec::new();
        outbox.drain(|target, bytes, what| mail.push((target, bytes, what)));
        mail
    }

    #[test]
    fn one_parcel_for_each_target_and_nothing_twice() {
        let mut outbox = Outbox::new(3);
        for _ in 0..5 {
            assert!(outbox.is_empty());
            push(&mut outbox, 2, 10);
            push(&mut outbox, 0, 10);
            push(&mut outbox, 2, 20);
            let mail = drained(&mut outbox);
            let counts: Vec<(usize, usize)> = mail
                .iter()
                .map(|(target, bytes, what)| {
                    let Mail::Deliveries(batch) = what else { panic!("{what:?}") };
                    assert_eq!(*bytes, batch.weight());
                    (*target, batch.entries().len())
                })
                .collect();
            assert_eq!(counts, [(2, 2), (0, 1)]);
            for (.., what) in mail {
                if let Mail::Deliveries(batch) = what {
                    outbox.recycle(batch);
                }
            }
        }
        assert!(outbox.batch(3).is_none());
    }

    #[test]
    fn pressure_by_bytes_and_by_credit() {
        let mut outbox = Outbox::new(2);
        push(&mut outbox, 1, TURN_BYTES as usize / 2);
        assert_eq!(outbox.pressure(1), None);
        push(&mut outbox, 1, TURN_BYTES as usize / 2);
        assert_eq!((outbox.pressure(0), outbox.pressure(1)), (None, Some(Pressure::Turn)));
        outbox.set_exhausted(1, true);
        assert_eq!(outbox.pressure(1), Some(Pressure::Credit(1)), "which lasts longer");
        drained(&mut outbox);
        assert_eq!(outbox.pressure(1), Some(Pressure::Credit(1)));
        outbox.set_exhausted(1, false);
        assert_eq!(outbox.pressure(1), None);
    }

    #[test]
    fn a_publisher_is_stalled_once_a_turn() {
        let mut outbox = Outbox::new(2);
        let stall = |milliseconds| Control::Stall { publisher: PUBLISHER, milliseconds, slow: 7 };
        outbox.control_once(1, stall(2));
        outbox.control_once(1, stall(5));
        outbox.control_once(0, stall(2));
        assert_eq!(drained(&mut outbox).len(), 2);
        outbox.control_once(1, stall(2));
        assert_eq!(drained(&mut outbox).len(), 1);
    }
}
