//! Causal order: what made somebody send is acted on before what he sent.

use super::platform::{check, thread};
use super::shards;

/// A sends to B and C in one turn (B first, so that it may be quick); B, on receipt, sends to C.
#[test]
fn a_reaction_does_not_overtake_its_cause() {
    check(|| {
        let [mut a, mut b, mut c] = shards::<&str, 3>(0);
        let a = thread::spawn(move || a.send([(1, "cause"), (2, "cause")]));
        let b = thread::spawn(move || {
            b.next();
            b.send([(2, "reaction")]);
        });
        assert_eq!([c.next().payload, c.next().payload], ["cause", "reaction"]);
        a.join().unwrap();
        b.join().unwrap();
    });
}

/// The same, but C gets the cause early and is the one that has to hold it.
#[test]
fn a_reaction_does_not_overtake_a_held_cause() {
    check(|| {
        let [mut a, mut b, mut c] = shards::<&str, 3>(0);
        let a = thread::spawn(move || a.send([(2, "cause"), (1, "cause")]));
        let b = thread::spawn(move || {
            b.next();
            b.send([(2, "reaction"), (0, "reaction")]);
        });
        assert_eq!([c.next().payload, c.next().payload], ["cause", "reaction"]);
        a.join().unwrap();
        b.join().unwrap();
    });
}
