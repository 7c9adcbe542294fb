//! Invariant 1: what one connection publishes reaches each subscriber in the order of publishing, across subjects.

use std::thread;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use pinmesh_harness::{Client, Frame, Message};

use crate::arena::{Arena, any_size, expect_silence, identity, matches, payload};

on_every_server!(many_subjects, alternating_subjects);

/// Messages of all publishers together, per round.
const MESSAGES: usize = 800;

struct Post {
    subject: String,
    size: usize,
}

/// 1 to 16 publishers, several subscriptions a subscriber, all sizes, bursts and trickles.
pub fn many_subjects(arena: &mut Arena) -> Result<()> {
    for round in 0..arena.rounds(40) {
        one_round(arena, round).with_context(|| format!("round {round}"))?;
    }
    Ok(())
}

fn one_round(arena: &mut Arena, round: usize) -> Result<()> {
    let publishers = arena.rng.usize(1..=16);
    let subscribers = arena.rng.usize(1..=5);
    let mut publishing = arena.clients(publishers)?;
    let mut subscribing = arena.observers(subscribers)?;
    let posts: Vec<Vec<Post>> = (0..publishers)
        .map(|_| (0..MESSAGES / publishers).map(|index| post(round, index, &mut arena.rng)).collect())
        .collect();
    let mut expectations = Vec::new();
    for subscriber in &mut subscribing {
        let patterns: Vec<String> = (0..arena.rng.usize(1..=4)).map(|_| pattern(round, &mut arena.rng)).collect();
        for (sid, pattern) in patterns.iter().enumerate() {
            subscriber.subscribe(pattern, "", sid)?;
        }
        expectations.push(Expectation::new(&posts, &patterns));
    }
    expect_silence(&mut subscribing, "before anything was published")?;
    let seeds: Vec<u64> = publishing.iter().map(|_| arena.rng.u64(..)).collect();
    thread::scope(|scope| -> Result<()> {
        let mut work = Vec::new();
        for (publisher, ((client, posts), &seed)) in publishing.iter_mut().zip(&posts).zip(&seeds).enumerate() {
            work.push(scope.spawn(move || publish(client, publisher, posts, Rng::with_seed(seed))));
        }
        for (client, expectation) in subscribing.iter_mut().zip(&mut expectations) {
            work.push(scope.spawn(move || expectation.fulfil(client)));
        }
        work.into_iter().try_for_each(|work| work.join().expect("no panic in a client"))
    })?;
    expect_silence(&mut subscribing, "after everything had arrived")
}

fn post(round: usize, index: usize, rng: &mut Rng) -> Post {
    let topic = rng.u8(0..8);
    let subject = match rng.u8(0..4) {
        // Nobody has ever seen this one: no cache can know it.
        0 => format!("order{round}.t{topic}.new{index}x{}", rng.u32(..)),
        _ => format!("order{round}.t{topic}.l{}", rng.u8(0..3)),
    };
    Post { subject, size: any_size(rng) }
}

fn pattern(round: usize, rng: &mut Rng) -> String {
    let (topic, leaf) = (rng.u8(0..8), rng.u8(0..3));
    match rng.u8(0..6) {
        0 => format!("order{round}.>"),
        1 => format!("order{round}.t{topic}.*"),
        2 => format!("order{round}.*.l{leaf}"),
        3 => format!("*.t{topic}.>"),
        4 => ">".to_owned(),
        _ => format!("order{round}.t{topic}.l{leaf}"),
    }
}

fn publish(client: &mut Client, publisher: usize, posts: &[Post], mut rng: Rng) -> Result<()> {
    let mut stream = Vec::new();
    for (sequence, post) in posts.iter().enumerate() {
        let body = payload(publisher + sequence, post.size);
        pinmesh_harness::client::put_publish(&mut stream, &post.subject, &format!("{publisher}.{sequence}"), body);
        match rng.u8(0..8) {
            0 => {
                client.send(&stream)?;
                stream.clear();
            }
            1 => {
                // The rest of the operation comes in another read.
                let cut = rng.usize(0..stream.len());
                client.send(&stream[..cut])?;
                stream.drain(..cut);
            }
            _ => {}
        }
    }
    client.send(&stream)?;
    client.flush().map(drop)
}

/// A message that is to come, with the subscriptions that get a copy.
struct Due {
    sequence: usize,
    subject: String,
    size: usize,
    sids: Vec<usize>,
}

/// What one subscriber must see: for each publisher, message by message, the subscriptions that get a copy.
struct Expectation {
    posts: Vec<Vec<Due>>,
    /// For each publisher, how many messages have come completely.
    done: Vec<usize>,
    copies: usize,
}

impl Expectation {
    fn new(posts: &[Vec<Post>], patterns: &[String]) -> Expectation {
        let mut copies = 0;
        let mut due = |(sequence, post): (usize, &Post)| {
            let sids: Vec<usize> = (0..patterns.len()).filter(|&sid| matches(&patterns[sid], &post.subject)).collect();
            copies += sids.len();
            (!sids.is_empty()).then(|| Due { sequence, subject: post.subject.clone(), size: post.size, sids })
        };
        let posts: Vec<Vec<Due>> =
            posts.iter().map(|posts| posts.iter().enumerate().filter_map(&mut due).collect()).collect();
        Expectation { done: vec![0; posts.len()], posts, copies }
    }

    fn fulfil(&mut self, client: &mut Client) -> Result<()> {
        for _ in 0..self.copies {
            match client.frame()? {
                Frame::Message(message) => self.accept(&message)?,
                other => bail!("{other:?} among the messages"),
            }
        }
        Ok(())
    }

    fn accept(&mut self, message: &Message<'_>) -> Result<()> {
        let (publisher, sequence) = identity(message.reply)?;
        let next = self.done.get(publisher).and_then(|&done| self.posts[publisher].get_mut(done));
        let Some(Due { sequence: expected, subject, size, sids }) = next else {
            bail!("message {sequence} of publisher {publisher} comes after all that was expected");
        };
        ensure!(
            *expected == sequence,
            "publisher {publisher}: message {sequence} came where {expected} was due (copies for {sids:?})"
        );
        let sid: usize = std::str::from_utf8(message.sid)?.parse()?;
        let copy = sids.iter().position(|&expected| expected == sid);
        let copy = copy.with_context(|| format!("publisher {publisher}, message {sequence}: no copy for {sid} due"))?;
        ensure!(message.subject == subject.as_bytes(), "message {sequence} came with another subject");
        ensure!(message.payload == payload(publisher + sequence, *size), "message {sequence} came damaged");
        sids.swap_remove(copy);
        if sids.is_empty() {
            self.done[publisher] += 1;
        }
        Ok(())
    }
}

/// One publisher, a small and a large message in turn on subjects that different shards know about, thousands of
/// times with the connections where they are and no pause: the shortest way to an overtaking.
pub fn alternating_subjects(arena: &mut Arena) -> Result<()> {
    let subjects: Vec<String> = (0..16).map(|index| format!("alternate{index}.x")).collect();
    let rounds = arena.rounds(800);
    for _ in 0..4 {
        let mut publisher = arena.clients(1)?.remove(0);
        let mut subscribers = arena.observers(3)?;
        for (subject, sid) in subjects.iter().zip(0..) {
            subscribers[0].subscribe(subject, "", sid)?;
        }
        subscribers[1].subscribe("*.x", "", "broad")?;
        subscribers[2].subscribe(&subjects[0], "", "one")?;
        subscribers[2].subscribe(">", "", "all")?;
        expect_silence(&mut subscribers, "before anything was published")?;
        for round in 0..rounds {
            let count = arena.rng.usize(2..12);
            for sequence in 0..count {
                let size = if arena.rng.u8(0..10) == 0 { 20_000 } else { arena.rng.usize(0..32) };
                let subject = arena.rng.choice(&subjects).expect("a subject");
                publisher.publish(subject, &format!("0.{sequence}"), payload(sequence, size));
                if arena.rng.u8(0..6) == 0 {
                    publisher.send_queued()?;
                }
            }
            publisher.flush()?;
            for (index, messages) in crate::arena::flush_all(&mut subscribers)?.iter().enumerate() {
                let mut sequences = Vec::new();
                for message in messages {
                    sequences.push(identity(message.reply.as_bytes())?.1);
                }
                ensure!(sequences.is_sorted(), "round {round}: subscriber {index} got {sequences:?}");
                sequences.dedup();
                ensure!(
                    sequences.len() == count,
                    "round {round}: subscriber {index} got {} of {count} messages: {sequences:?}",
                    sequences.len()
                );
            }
        }
    }
    Ok(())
}
