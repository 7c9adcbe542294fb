//! No wake-up is lost, whatever the receiver does between "nothing there" and sleep, and first in is first out.

use super::platform::{check, thread};
use super::shards;

/// Two senders, single targets: all parcels arrive, each sender's in order.
#[test]
fn two_senders_wake_one_receiver() {
    check(|| {
        let [mut receiver, first, second] = shards::<u32, 3>(0);
        let senders = [first, second].map(|mut sender| {
            thread::spawn(move || {
                sender.send([(0, 0)]);
                sender.send([(0, 1)]);
            })
        });
        let mut expected = [0; 3];
        for _ in 0..4 {
            let parcel = receiver.next();
            assert_eq!(parcel.payload, expected[parcel.from]);
            expected[parcel.from] += 1;
        }
        assert!(receiver.lanes.receive().is_none());
        for sender in senders {
            sender.join().unwrap();
        }
    });
}

/// Two senders whose turns have two targets each: the receiver may have to hold, and may fall asleep while it holds.
#[test]
fn who_sleeps_on_held_parcels_is_woken_by_their_release() {
    check(|| {
        let [mut receiver, mut first, mut second] = shards::<u32, 3>(0);
        let first = thread::spawn(move || first.send([(0, 0), (2, 0), (0, 1)]));
        let second = thread::spawn(move || second.send([(0, 0), (1, 0)]));
        let mut expected = [0; 3];
        for _ in 0..3 {
            let parcel = receiver.next();
            assert_eq!(parcel.payload, expected[parcel.from]);
            expected[parcel.from] += 1;
        }
        assert_eq!(expected, [0, 2, 1]);
        first.join().unwrap();
        second.join().unwrap();
    });
}

/// A shard that spins on the cheap look, as one does that has a core of its own, sees what was sent before.
#[test]
fn what_was_sent_before_is_seen_by_the_cheap_look() {
    check(|| {
        let [mut receiver, mut sender] = shards::<u32, 2>(0);
        // Joining a thread is knowing that it has sent.
        let racing = thread::spawn(move || {
            sender.send([(0, 0)]);
            sender
        });
        let early = receiver.lanes.receive().is_some();
        drop(racing.join().unwrap());
        assert_eq!(receiver.lanes.may_have_mail() && receiver.lanes.receive().is_some(), !early);
        assert!(receiver.lanes.receive().is_none());
        assert!(!receiver.lanes.may_have_mail());
    });
}

/// Only the ring that finds the shard asleep costs a wake.
#[test]
fn one_sleep_is_woken_once() {
    check(|| {
        let [mut receiver, mut sender] = shards::<u32, 2>(0);
        assert!(receiver.lanes.prepare_sleep());
        sender.send([(0, 0)]);
        sender.send([(0, 1)]);
        assert_eq!((sender.lanes.counters().wakes_sent, sender.lanes.counters().wakes_skipped), (1, 1));
        receiver.bell.poll();
        receiver.lanes.awake();
        assert!(!receiver.lanes.prepare_sleep());
        assert_eq!([receiver.next().payload, receiver.next().payload], [0, 1]);
        assert!(receiver.lanes.receive().is_none());
        assert!(receiver.lanes.prepare_sleep());
        receiver.lanes.awake();
        sender.send([(0, 2)]);
        assert_eq!((sender.lanes.counters().wakes_sent, sender.lanes.counters().wakes_skipped), (1, 2));
    });
}
