//! Whether the bodies of this directory notice what they are there for: they run behind a relay that spoils what
//! subscribers receive, and must fail.

use anyhow::Result;
use pinmesh_harness::Side;
use pinmesh_harness::mangle::{Fault, Mangler};

use crate::arena::Arena;
use crate::{
    causality, flush_barrier, histories, no_deadlock, no_loss, order, queue_groups, slow_consumer, visibility,
};

type Body = fn(&mut Arena) -> Result<()>;

/// The reference does everything right; the relay does not. A body that passes all the same is blind.
fn must_fail(fault: Fault, nth: usize, bodies: &[(&str, Body)]) {
    for (name, body) in bodies {
        let mut arena = Arena::new(Side::Reference, 1, "", 1);
        let relay = Mangler::start(arena.server.address(), fault, nth).expect("a relay");
        arena.observed = relay.address();
        assert!(body(&mut arena).is_err(), "{name} has not noticed {fault:?} in every {nth}th message");
    }
}

#[test]
fn an_honest_relay_is_fine() {
    let mut arena = Arena::new(Side::Reference, 1, "", 1);
    let relay = Mangler::start(arena.server.address(), Fault::Drop, usize::MAX).expect("a relay");
    arena.observed = relay.address();
    no_loss::everything_arrives(&mut arena).expect("nothing is spoilt");
    flush_barrier::messages_are_there_after_the_flush(&mut arena).expect("nothing is spoilt");
}

#[test]
fn a_lost_message_is_noticed() {
    must_fail(
        Fault::Drop,
        7,
        &[
            ("order::many_subjects", order::many_subjects),
            ("order::alternating_subjects", order::alternating_subjects),
            ("visibility::a_subscription_is_seen_at_once", visibility::a_subscription_is_seen_at_once),
            ("flush_barrier", flush_barrier::messages_are_there_after_the_flush),
            ("histories", histories::random_histories_match_the_model),
            ("no_loss::everything_arrives", no_loss::everything_arrives),
            ("no_loss::auto_unsubscribe_is_exact", no_loss::auto_unsubscribe_is_exact),
            ("no_loss::requests_to_nobody_are_refused", no_loss::requests_to_nobody_are_refused),
            ("no_deadlock::all_to_all", no_deadlock::all_to_all),
            ("queue_groups::members_share_evenly", queue_groups::members_share_evenly),
        ],
    );
}

#[test]
fn a_doubled_message_is_noticed() {
    must_fail(
        Fault::Double,
        7,
        &[
            ("order::many_subjects", order::many_subjects),
            ("visibility::a_subscription_is_seen_at_once", visibility::a_subscription_is_seen_at_once),
            ("histories", histories::random_histories_match_the_model),
            ("no_loss::everything_arrives", no_loss::everything_arrives),
            ("no_loss::auto_unsubscribe_is_exact", no_loss::auto_unsubscribe_is_exact),
            ("queue_groups::members_share_evenly", queue_groups::members_share_evenly),
            ("queue_groups::leaving_loses_nothing", queue_groups::leaving_loses_nothing),
        ],
    );
}

#[test]
fn exchanged_messages_are_noticed() {
    must_fail(
        Fault::Swap,
        7,
        &[
            ("order::many_subjects", order::many_subjects),
            ("order::alternating_subjects", order::alternating_subjects),
            ("flush_barrier", flush_barrier::messages_are_there_after_the_flush),
            ("no_loss::everything_arrives", no_loss::everything_arrives),
            ("no_deadlock::all_to_all", no_deadlock::all_to_all),
        ],
    );
}

#[test]
fn a_consequence_before_its_cause_is_noticed() {
    // Every second message of the watcher changes places with the next: with a chain of one that is cause and effect.
    must_fail(Fault::Swap, 2, &[("causality", causality::answers_never_overtake)]);
}

#[test]
fn a_message_behind_the_pong_is_noticed() {
    must_fail(
        Fault::Late,
        7,
        &[
            ("visibility::a_subscription_is_seen_at_once", visibility::a_subscription_is_seen_at_once),
            ("visibility::nothing_comes_after_unsubscribing", visibility::nothing_comes_after_unsubscribing),
            ("flush_barrier", flush_barrier::messages_are_there_after_the_flush),
            ("histories", histories::random_histories_match_the_model),
        ],
    );
}

#[test]
fn a_queue_without_a_bound_is_noticed() {
    let mut arena = Arena::new(Side::Reference, 1, "max_pending: 1GB", 1);
    assert!(slow_consumer::a_reader_that_stopped_is_closed(&mut arena).is_err());
}

#[test]
fn an_uneven_share_is_noticed() {
    // Nine members of twelve behind one of four equally treated connections.
    let mut counts = vec![5000 / 9; 9];
    counts.extend([5000; 3]);
    assert!(queue_groups::ensure_even(&counts).is_err());
    assert!(queue_groups::ensure_even(&[0; 5]).is_ok(), "nothing published, nothing uneven");
    assert!(queue_groups::ensure_even(&[1700, 1650, 1660, 1690]).is_ok());
}
