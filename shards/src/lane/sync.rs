//! The primitives that lanes are made of: the real ones, or loom's models of them under `--cfg loom`.
//!
//! The inbox is `crossbeam-channel`, which loom cannot look into. Its model is a locked queue with one deliberate
//! weakness: "empty" is answered from a counter without the lock, as the channel does, so that a reader whom nothing
//! told about a parcel may miss it for a while. A model that always knew would hide a missing ordering in the doorbell.

#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

#[cfg(not(loom))]
mod inbox {
    use crossbeam_channel::{Receiver, Sender};

    /// The end of an inbox into which all shards send.
    pub(in super::super) struct Slot<T>(Sender<T>);

    /// The end of an inbox from which its shard takes.
    pub(in super::super) struct Inbox<T>(Receiver<T>);

    pub(in super::super) fn inbox<T>() -> (Slot<T>, Inbox<T>) {
        let (sender, receiver) = crossbeam_channel::unbounded();
        (Slot(sender), Inbox(receiver))
    }

    impl<T> Slot<T> {
        pub(in super::super) fn push(&self, item: T) {
            // Fails only if the shard has gone: the server is shutting down, and nobody is left to act on the parcel.
            let _ = self.0.send(item);
        }
    }

    impl<T> Inbox<T> {
        pub(in super::super) fn pop(&mut self) -> Option<T> {
            self.0.try_recv().ok()
        }

        pub(in super::super) fn len(&self) -> usize {
            self.0.len()
        }
    }
}

#[cfg(loom)]
mod inbox {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use loom::sync::Mutex;
    use loom::sync::atomic::{AtomicUsize, Ordering};

    struct Queue<T> {
        items: Mutex<VecDeque<T>>,
        pushed: AtomicUsize,
    }

    pub(in super::super) struct Slot<T>(Arc<Queue<T>>);

    pub(in super::super) struct Inbox<T> {
        queue: Arc<Queue<T>>,
        popped: usize,
    }

    pub(in super::super) fn inbox<T>() -> (Slot<T>, Inbox<T>) {
        let queue = Arc::new(Queue { items: Mutex::new(VecDeque::new()), pushed: AtomicUsize::new(0) });
        (Slot(queue.clone()), Inbox { queue, popped: 0 })
    }

    impl<T> Slot<T> {
        pub(in super::super) fn push(&self, item: T) {
            let mut items = self.0.items.lock().unwrap();
            items.push_back(item);
            self.0.pushed.fetch_add(1, Ordering::Release);
        }
    }

    impl<T> Inbox<T> {
        pub(in super::super) fn pop(&mut self) -> Option<T> {
            if self.queue.pushed.load(Ordering::Relaxed) == self.popped {
                return None;
            }
            self.popped += 1;
            self.queue.items.lock().unwrap().pop_front()
        }

        pub(in super::super) fn len(&self) -> usize {
            self.queue.pushed.load(Ordering::Relaxed) - self.popped
        }
    }
}

pub(super) use inbox::{Inbox, Slot, inbox};
