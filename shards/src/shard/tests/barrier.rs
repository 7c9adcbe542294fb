//! The flush barrier under the worst timing: the subscriber's shard is busy with the subscriber at the moment when its publisher is told
//! that everything is on its way.

use super::{QUIET, publish};
use crate::testing::{Frame, Net, config};

const ROUNDS: usize = 40;

fn pongs(net: &Net, client: usize) -> usize {
    net.clients[client].frames.iter().filter(|(_, frame)| *frame == Frame::Pong).count()
}

/// Steps until `done`; the subscriber talks all the time, so its shard is in the middle of a turn more often than not.
fn step_until(net: &mut Net, subscriber: usize, pings: &mut usize, done: impl Fn(&Net) -> bool) {
    while !done(net) {
        if net.rng.u8(..6) == 0 {
            net.send(subscriber, "PING\r\n");
            *pings += 1;
        }
        net.step();
    }
}

#[test]
fn what_was_flushed_comes_before_the_answer_to_a_later_ping() {
    super::for_seeds(0..40, |seed| {
        let mut net = Net::new(seed, config(2));
        let publisher = net.join(0, QUIET);
        let subscriber = net.join(1, QUIET);
        net.ask(subscriber, "SUB a 1\r\nPING\r\n");
        let mut pings = 0;
        for round in 0..ROUNDS {
            net.send(publisher, [publish("a", "x"), b"PING\r\n".to_vec()].concat());
            step_until(&mut net, subscriber, &mut pings, |net| pongs(net, publisher) > round);
            net.send(subscriber, "PING\r\n");
            pings += 1;
            let last = pings;
            step_until(&mut net, subscriber, &mut pings, |net| pongs(net, subscriber) >= last);
            let frames = &net.clients[subscriber].frames;
            let mut seen = 0;
            let is_last = |(_, frame): &(u64, Frame)| {
                seen += usize::from(*frame == Frame::Pong);
                seen == last
            };
            let end = frames.iter().position(is_last).expect("it was waited for");
            let got = frames[..end].iter().filter(|(_, frame)| frame.is_msg()).count();
            assert_eq!(got, round + 1, "the message of round {round} came late");
        }
    });
}

/// `UNSUB` after the publisher's PONG cuts nothing off.
#[test]
fn what_was_flushed_comes_in_spite_of_a_later_unsub() {
    super::for_seeds(0..40, |seed| {
        let mut net = Net::new(seed, config(2));
        let publisher = net.join(0, QUIET);
        let subscriber = net.join(1, QUIET);
        let mut pings = 0;
        for round in 0..ROUNDS {
            net.send(subscriber, format!("SUB a {round}\r\nPING\r\n"));
            pings += 1;
            let last = pings;
            step_until(&mut net, subscriber, &mut pings, |net| pongs(net, subscriber) >= last);
            net.send(publisher, [publish("a", "x"), b"PING\r\n".to_vec()].concat());
            step_until(&mut net, subscriber, &mut pings, |net| pongs(net, publisher) > round);
            net.send(subscriber, format!("UNSUB {round}\r\n"));
        }
        net.settle();
        let got = super::messages(&mut net, subscriber);
        let expected: Vec<Frame> = (0..ROUNDS).map(|round| Frame::msg("a", &round.to_string(), "x")).collect();
        assert_eq!(got, expected);
    });
}
