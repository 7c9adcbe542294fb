//! Invariant 7: while connections stay up and nobody is slow, nothing is dropped and nothing is doubled: exact counts.

use std::thread;

use anyhow::{Context, Result, bail, ensure};
use pinmesh_harness::client::RESPONDERS;
use pinmesh_harness::{Client, Frame, poll_until};

use crate::arena::{Arena, any_size, expect_silence, identity, payload};

on_every_server!(
    everything_arrives,
    auto_unsubscribe_is_exact,
    requests_to_nobody_are_refused,
    requests_are_delivered_or_refused
);

/// M publishers, N subscribers, K subjects, all at full speed; every subscriber gets every message once, intact.
pub fn everything_arrives(arena: &mut Arena) -> Result<()> {
    let each = arena.rounds(2000);
    for (publishers, subscribers, subjects) in [(1, 6, 1), (4, 4, 10), (6, 2, 40), (8, 1, 3)] {
        let mut publishing = arena.clients(publishers)?;
        let mut subscribing = arena.observers(subscribers)?;
        for (index, client) in subscribing.iter_mut().enumerate() {
            if index % 2 == 0 {
                client.subscribe("count.*", "", "all")?;
            } else {
                (0..subjects).try_for_each(|subject| client.subscribe(&format!("count.{subject}"), "", subject))?;
            }
        }
        expect_silence(&mut subscribing, "before anything was published")?;
        let sizes: Vec<usize> = (0..each).map(|_| any_size(&mut arena.rng) / 8).collect();
        thread::scope(|scope| -> Result<()> {
            let sizes = &sizes;
            let mut work = Vec::new();
            for (publisher, client) in publishing.iter_mut().enumerate() {
                work.push(scope.spawn(move || publish(client, publisher, subjects, sizes)));
            }
            for client in &mut subscribing {
                work.push(scope.spawn(move || receive(client, publishers, sizes)));
            }
            work.into_iter().try_for_each(|work| work.join().expect("no panic in a client"))
        })
        .with_context(|| format!("{publishers} publishers, {subscribers} subscribers, {subjects} subjects"))?;
        expect_silence(&mut subscribing, "after everything had arrived")?;
    }
    Ok(())
}

fn publish(client: &mut Client, publisher: usize, subjects: usize, sizes: &[usize]) -> Result<()> {
    for (sequence, &size) in sizes.iter().enumerate() {
        let subject = format!("count.{}", (publisher + sequence) % subjects);
        client.publish(&subject, &format!("{publisher}.{sequence}"), payload(publisher + sequence, size));
        if sequence % 50 == 0 {
            client.send_queued()?;
        }
    }
    client.flush().map(drop)
}

fn receive(client: &mut Client, publishers: usize, sizes: &[usize]) -> Result<()> {
    let mut next = vec![0; publishers];
    for _ in 0..publishers * sizes.len() {
        match client.frame()? {
            Frame::Message(message) => {
                let (publisher, sequence) = identity(message.reply)?;
                let expected = next[publisher];
                ensure!(sequence == expected, "publisher {publisher}: {sequence} came where {expected} was due");
                ensure!(message.payload == payload(publisher + sequence, sizes[sequence]), "{sequence} came damaged");
                next[publisher] += 1;
            }
            other => bail!("{other:?} among the messages"),
        }
    }
    Ok(())
}

/// `UNSUB sid n` gives exactly n in all of what two publishers send at the same time, and the sid is free again
/// afterwards.
pub fn auto_unsubscribe_is_exact(arena: &mut Arena) -> Result<()> {
    let mut publishers = arena.clients(2)?;
    let mut subscribers = arena.observers(3)?;
    for round in 0..arena.rounds(800) {
        let subscriber = arena.rng.usize(0..subscribers.len());
        let subscriber = &mut subscribers[subscriber];
        let limit = arena.rng.usize(1..30);
        let pattern = ["limit.a", "limit.*", ">"][round % 3];
        subscriber.subscribe(pattern, "", "s")?;
        // The limit counts from the SUB on, whenever it is set.
        let early = if arena.rng.bool() { arena.rng.usize(0..limit) } else { 0 };
        if early > 0 {
            subscriber.flush()?;
            (0..early).for_each(|_| publishers[0].publish("limit.a", "", b"early"));
            publishers[0].flush()?;
            let got = subscriber.flush()?.len();
            ensure!(got == early, "round {round}: {early} published before the limit, {got} came");
        }
        subscriber.send(format!("UNSUB s {limit}\r\n").as_bytes())?;
        ensure!(subscriber.flush()?.is_empty(), "round {round}: a message although nobody publishes");
        let limit = limit - early;
        let each = arena.rng.usize(limit / 2 + 1..limit + 10);
        for publisher in &mut publishers {
            for _ in 0..each {
                publisher.publish("limit.a", "", b"x");
            }
            publisher.queue(b"PING\r\n");
            publisher.send_queued()?;
        }
        for publisher in &mut publishers {
            publisher.until_pong()?;
        }
        let got = subscriber.flush()?.len();
        ensure!(got == limit.min(2 * each), "round {round}: limit {limit}, {} published, {got} came", 2 * each);
        if limit > 2 * each {
            subscriber.unsubscribe("s")?;
        }
    }
    Ok(())
}

/// With the only responder on another connection: requests reach it while it is there; when it has gone they get a 503.
pub fn requests_to_nobody_are_refused(arena: &mut Arena) -> Result<()> {
    let mut requesters = Vec::new();
    for index in 0..4 {
        let mut client = arena.observer_with(RESPONDERS)?;
        client.subscribe(&format!("answers{index}.*"), "", "answers")?;
        client.flush()?;
        requesters.push(client);
    }
    let mut responders = arena.clients(4)?;
    for round in 0..arena.rounds(1200) {
        let chosen = arena.rng.usize(0..requesters.len());
        let requester = &mut requesters[chosen];
        let responder = arena.rng.usize(0..responders.len());
        let subject = if arena.rng.bool() { "ask.me".to_owned() } else { format!("ask.{round}") };
        let queue = ["", "workers"][arena.rng.usize(0..2)];
        let responder_client = &mut responders[responder];
        responder_client.subscribe("ask.*", queue, "r")?;
        responder_client.flush()?;
        let reply = format!("answers{chosen}.{round}");
        requester.publish(&subject, &reply, b"?");
        let answers = requester.flush()?;
        ensure!(answers.is_empty(), "round {round}: {:?} although there is a responder", answers[0]);
        ensure!(responder_client.flush()?.len() == 1, "round {round}: the request has not come");
        let closing = arena.rng.u8(0..16) == 0;
        if closing {
            responders[responder] = arena.clients(1)?.remove(0);
        } else {
            responder_client.unsubscribe("r")?;
            responder_client.flush()?;
        }
        let mut ask = || -> Result<bool> {
            requester.publish(&subject, &reply, b"?");
            let answers = requester.flush()?;
            Ok(answers.iter().any(|answer| answer.headers.starts_with(b"NATS/1.0 503") && answer.subject == reply))
        };
        // A close is noticed when the server reads it; an UNSUB has been answered.
        let refused = if closing {
            poll_until(pinmesh_harness::DEADLINE, || ask().ok()?.then_some(())).is_some()
        } else {
            ask()?
        };
        ensure!(refused, "round {round}: no 503 although the responder is gone (closed: {closing})");
    }
    Ok(())
}

/// The only responder comes and goes while requests are on their way to it: each of them reaches it or is refused.
pub fn requests_are_delivered_or_refused(arena: &mut Arena) -> Result<()> {
    let mut requesters = Vec::new();
    for index in 0..2 {
        let mut client = arena.observer_with(RESPONDERS)?;
        client.subscribe(&format!("refused{index}.*"), "", "refused")?;
        client.flush()?;
        requesters.push(client);
    }
    for round in 0..arena.rounds(1500) {
        let queue = ["", "workers"][round % 2];
        let mut responder = arena.observers(1)?.remove(0);
        responder.subscribe("work.*", queue, "r")?;
        responder.flush()?;
        let each = arena.rng.usize(1..100);
        for (index, requester) in requesters.iter_mut().enumerate() {
            (0..each).for_each(|number| requester.publish("work.a", &format!("refused{index}.{number}"), b"?"));
            requester.queue(b"PING\r\n");
            requester.send_queued()?;
        }
        responder.unsubscribe("r")?;
        let delivered = responder.flush()?.len();
        let mut refused = 0;
        for requester in &mut requesters {
            refused += requester.until_pong()?.len();
        }
        // A refusal from another shard comes behind the PONG.
        let settled = poll_until(pinmesh_harness::DEADLINE, || {
            for requester in &mut requesters {
                refused += requester.flush().ok()?.len();
            }
            (delivered + refused >= 2 * each).then_some(())
        });
        ensure!(
            settled.is_some() && delivered + refused == 2 * each,
            "round {round}, queue {queue:?}: {} requests, {delivered} delivered, {refused} refused",
            2 * each
        );
    }
    Ok(())
}
