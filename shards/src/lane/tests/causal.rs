//! Causal order: what made somebody send is acted on before what he sent.

use std::sync::Arc;

use super::platform::{check, thread};
use super::shards;
use crate::lane::sync::{AtomicU32, Ordering};

/// A sends to B and C in one turn (B first, so that it may be quick); B, on receipt, sends to C. Noise has made B and C
/// look at their inboxes before A rings.
#[test]
fn a_reaction_does_not_overtake_its_cause() {
    check(|| {
        let [mut a, mut b, mut c] = shards::<&str, 3>(0);
        c.send([(1, "noise"), (2, "noise")]);
        let a = thread::spawn(move || a.send([(1, "cause"), (2, "cause")]));
        let b = thread::spawn(move || {
            assert_eq!([b.next().payload, b.next().payload], ["noise", "cause"]);
            b.send([(2, "reaction")]);
        });
        assert_eq!([c.next().payload, c.next().payload, c.next().payload], ["noise", "cause", "reaction"]);
        a.join().unwrap();
        b.join().unwrap();
    });
}

/// The same, but C gets the cause early and may have to hold it, and the reaction too.
#[test]
fn a_reaction_does_not_overtake_a_held_cause() {
    check(|| {
        let [mut a, mut b, mut c] = shards::<&str, 3>(0);
        c.send([(2, "noise")]);
        let a = thread::spawn(move || a.send([(2, "cause"), (1, "cause")]));
        let b = thread::spawn(move || {
            b.next();
            b.send([(2, "reaction"), (0, "reaction")]);
        });
        assert_eq!([c.next().payload, c.next().payload, c.next().payload], ["noise", "cause", "reaction"]);
        a.join().unwrap();
        b.join().unwrap();
    });
}

/// B tells C not over a lane but as a client would that is connected to both: C's inbox has the cause at once.
#[test]
fn a_reaction_by_other_means_finds_the_cause_in_the_inbox() {
    check(|| {
        let [mut a, mut b, mut c] = shards::<&str, 3>(0);
        c.send([(1, "noise")]);
        let socket = Arc::new(AtomicU32::new(0));
        let a = thread::spawn(move || a.send([(1, "cause"), (2, "cause")]));
        let b = {
            let socket = socket.clone();
            thread::spawn(move || {
                assert_eq!([b.next().payload, b.next().payload], ["noise", "cause"]);
                socket.store(1, Ordering::Release);
            })
        };
        let told = socket.load(Ordering::Acquire) == 1;
        let cause = c.lanes.receive();
        assert!(cause.is_some() || !told);
        a.join().unwrap();
        b.join().unwrap();
    });
}
