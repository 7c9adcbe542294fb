//! Credit: who waits is told, once there is enough.

use super::platform::{check, thread};
use super::{Shard, shards};
use crate::lane::Outgoing;

fn charge(shard: &mut Shard<()>, target: usize, bytes: u64) {
    shard.lanes.send_turn(&mut vec![Outgoing { target, bytes, payload: () }]);
}

/// The sender looks at credits first and at parcels afterwards, so that the ring which told of credit can be answered
/// by the wrong look; a third shard's parcel adds noise.
#[test]
fn a_sender_that_waits_is_told() {
    check(|| {
        let [mut sender, mut receiver, mut other] = shards::<(), 3>(4);
        let receiver = thread::spawn(move || {
            for _ in 0..2 {
                let parcel = receiver.next();
                receiver.lanes.settle(parcel.from, parcel.bytes);
            }
        });
        let other = thread::spawn(move || other.send([(0, ())]));
        charge(&mut sender, 1, 3);
        charge(&mut sender, 1, 2);
        if sender.lanes.exhausted(1) && sender.lanes.wait_for_credit(1) {
            let mut returned = Vec::new();
            loop {
                sender.lanes.credit_returned(&mut returned);
                if !returned.is_empty() {
                    break;
                }
                while sender.lanes.receive().is_some() {}
                sender.sleep();
            }
            assert_eq!(returned, [1]);
            assert!(sender.lanes.in_flight(1) <= 3);
        }
        receiver.join().unwrap();
        other.join().unwrap();
        assert_eq!(sender.lanes.in_flight(1), 0);
        assert!(!sender.lanes.exhausted(1));
    });
}

/// A second registration, with another sum, while the settlement of the first is under way.
#[test]
fn a_sender_that_waits_again_is_told_again() {
    check(|| {
        let [mut sender, mut receiver] = shards::<(), 2>(2);
        let receiver = thread::spawn(move || {
            for _ in 0..2 {
                let parcel = receiver.next();
                receiver.lanes.settle(parcel.from, parcel.bytes);
            }
        });
        for _ in 0..2 {
            charge(&mut sender, 1, 2);
            assert!(sender.lanes.in_flight(1) <= 2);
            while sender.lanes.exhausted(1) {
                if sender.lanes.wait_for_credit(1) {
                    sender.sleep();
                    while sender.lanes.receive().is_some() {}
                    sender.lanes.credit_returned(&mut Vec::new());
                }
            }
        }
        receiver.join().unwrap();
    });
}

/// Numbers, without a race.
#[test]
fn half_the_credit_is_enough_to_go_on() {
    check(|| {
        let [mut sender, mut receiver] = shards::<(), 2>(100);
        charge(&mut sender, 1, 99);
        assert!(!sender.lanes.exhausted(1));
        // One that is too large overshoots, and control parcels go for nothing.
        charge(&mut sender, 1, 71);
        charge(&mut sender, 1, 0);
        assert!(sender.lanes.exhausted(1));
        assert_eq!(sender.lanes.in_flight(1), 170);
        assert!(sender.lanes.wait_for_credit(1));
        assert!(sender.lanes.wait_for_credit(1));
        assert_eq!(sender.lanes.counters().credit_waits, 1);

        let mut returned = Vec::new();
        while receiver.lanes.receive().is_some() {}
        receiver.lanes.settle(0, 119);
        sender.lanes.credit_returned(&mut returned);
        assert!(returned.is_empty() && sender.lanes.prepare_sleep());
        receiver.lanes.settle(0, 1);
        sender.lanes.credit_returned(&mut returned);
        assert_eq!(returned, [1]);
        assert_eq!(receiver.lanes.counters().wakes_sent, 1);
        assert!(!sender.lanes.wait_for_credit(1));
    });
}
