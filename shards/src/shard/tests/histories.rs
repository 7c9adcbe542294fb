//! Random traffic, and what may have come of it.
//!
//! Clients publish, subscribe and unsubscribe at random, and each message carries who published it, its number, and the last message of every
//! publisher that its publisher had seen. What each client knew when is taken from the PONGs that it had read:
//!
//! * *sure*: the PONG to SUB + PING was read before the message was sent, and UNSUB was sent, if ever, after its publisher read a PONG to
//!   it: exactly one copy for a plain subscription, exactly one for all members of a queue group together;
//! * *open*: in between; at most one copy;
//! * *out*: SUB was sent after the message's publisher read its PONG, or UNSUB's PONG was read before the message was sent; none.

use std::collections::{BTreeMap, HashMap};

use super::{FULL, for_seeds};
use crate::subject;
use crate::testing::{Frame, Net, config};

const WORDS: [&str; 3] = ["a", "b", "c"];
const CLIENTS: usize = 6;
const ROUNDS: usize = 160;

struct Sub {
    client: usize,
    sid: String,
    pattern: String,
    queue: Option<&'static str>,
    /// Steps in which things happened, and the number of the PING behind them.
    sent: u64,
    sent_ping: usize,
    gone: Option<(u64, usize)>,
}

struct Sent {
    publisher: usize,
    subject: String,
    at: u64,
    ping: usize,
    size: usize,
}

/// What the clients did. Messages are numbered by publisher.
struct History {
    net: Net,
    subs: Vec<Sub>,
    sent: Vec<Vec<Sent>>,
    /// Steps in which each client sent its PINGs.
    pings: Vec<Vec<u64>>,
    /// Steps in which each client read its PONGs; filled at the end.
    pongs: Vec<Vec<u64>>,
    /// How many frames of each client were looked at for what it knows.
    seen: Vec<usize>,
    knows: Vec<BTreeMap<usize, usize>>,
    closed: Vec<bool>,
    next_sid: usize,
    /// Members of queue groups come and go, so that messages are passed on and may be late.
    queues_change: bool,
}

/// Publisher, number and knowledge from a payload.
fn read_payload(payload: &[u8]) -> (usize, usize, BTreeMap<usize, usize>) {
    let text = payload.split(|&byte| byte == b'#').next().expect("one part at least");
    let text = std::str::from_utf8(text).expect("text");
    let mut parts = text.split(' ').map(|part| {
        let (publisher, number) = part.split_once(':').expect("publisher:number");
        (publisher.parse().expect("a number"), number.parse().expect("a number"))
    });
    let (publisher, number) = parts.next().expect("its own number");
    (publisher, number, parts.collect())
}

impl History {
    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let shards = rng.usize(1..=8);
        // Little credit makes publishers wait for it.
        let credit = if rng.bool() { 2048 } else { 1024 * 1024 };
        let mut net = Net::with_credit(seed, config(shards), credit);
        for _ in 0..CLIENTS {
            let client = net.connect();
            net.send(client, format!("CONNECT {FULL}\r\n"));
        }
        History {
            net,
            subs: Vec::new(),
            sent: (0..CLIENTS).map(|_| Vec::new()).collect(),
            pings: vec![Vec::new(); CLIENTS],
            pongs: Vec::new(),
            seen: vec![0; CLIENTS],
            knows: vec![BTreeMap::new(); CLIENTS],
            closed: vec![false; CLIENTS],
            next_sid: 1,
            queues_change: rng.bool(),
        }
    }

    fn subject(&mut self, wildcards: bool) -> String {
        let rng = &mut self.net.rng;
        let length = rng.usize(1..=3);
        let mut tokens: Vec<&str> = (0..length).map(|_| WORDS[rng.usize(..WORDS.len())]).collect();
        if wildcards && rng.bool() {
            tokens[rng.usize(..length)] = "*";
        }
        if wildcards && rng.u8(..4) == 0 {
            tokens[length - 1] = ">";
        }
        tokens.join(".")
    }

    fn ping(&mut self, client: usize) {
        self.net.send(client, "PING\r\n");
        self.pings[client].push(self.net.tick);
    }

    fn subscribe(&mut self, client: usize, queue: Option<&'static str>) {
        let pattern = self.subject(true);
        // Many clients number alike, and frames are shared between those that do.
        let sid = self.next_sid.to_string();
        self.next_sid += usize::from(self.net.rng.bool());
        if self.subs.iter().any(|sub| sub.client == client && sub.sid == sid) {
            return;
        }
        self.net.send(client, format!("SUB {pattern} {} {sid}\r\n", queue.unwrap_or_default()));
        let (sent, sent_ping) = (self.net.tick, self.pings[client].len());
        self.subs.push(Sub { client, sid, pattern, queue, sent, sent_ping, gone: None });
    }

    fn unsubscribe(&mut self) {
        if self.subs.is_empty() {
            return;
        }
        let number = self.net.rng.usize(..self.subs.len());
        let sub = &mut self.subs[number];
        if sub.gone.is_none() && !self.closed[sub.client] && (sub.queue.is_none() || self.queues_change) {
            self.net.send(sub.client, format!("UNSUB {}\r\n", sub.sid));
            sub.gone = Some((self.net.tick, self.pings[sub.client].len()));
        }
    }

    fn publish(&mut self, publisher: usize, subject: String) {
        self.learn(publisher);
        let number = self.sent[publisher].len();
        let mut payload = format!("{publisher}:{number}");
        for (other, last) in &self.knows[publisher] {
            payload.push_str(&format!(" {other}:{last}"));
        }
        payload.push('#');
        if self.net.rng.u8(..30) == 0 {
            payload.push_str(&"x".repeat(40_000));
        }
        if self.net.rng.u8(..4) == 0 {
            let headers = "NATS/1.0\r\nK: v\r\n\r\n";
            let (header_len, total) = (headers.len(), headers.len() + payload.len());
            self.net.send(publisher, format!("HPUB {subject} {header_len} {total}\r\n{headers}{payload}\r\n"));
        } else {
            self.net.send(publisher, format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()));
        }
        let (at, ping) = (self.net.tick, self.pings[publisher].len());
        self.sent[publisher].push(Sent { publisher, subject, at, ping, size: payload.len() });
        self.knows[publisher].insert(publisher, number);
    }

    /// What a client has read becomes what it knows.
    fn learn(&mut self, client: usize) {
        let frames = &self.net.clients[client].frames;
        for (_, frame) in frames.get(self.seen[client]..).unwrap_or(&[]) {
            if let Frame::Msg { payload, .. } = frame {
                let (publisher, number, knew) = read_payload(payload);
                for (other, last) in knew.into_iter().chain([(publisher, number)]) {
                    let known = self.knows[client].entry(other).or_insert(last);
                    *known = last.max(*known);
                }
            }
        }
        self.seen[client] = frames.len();
    }

    fn run(&mut self) {
        for round in 0..ROUNDS {
            let client = self.net.rng.usize(..CLIENTS);
            if self.closed[client] {
                continue;
            }
            let calm = round > ROUNDS - 10;
            match self.net.rng.u8(..16) {
                0..3 if !calm => self.subscribe(client, None),
                3 if !calm && (self.queues_change || round < ROUNDS / 3) => {
                    let queue = ["q", "r"][self.net.rng.usize(..2)];
                    self.subscribe(client, Some(queue));
                }
                4 if !calm => self.unsubscribe(),
                5 if self.net.rng.u8(..30) == 0 => {
                    self.net.close(client);
                    self.closed[client] = true;
                }
                5..7 => self.ping(client),
                _ => {
                    let subject = self.subject(false);
                    // Runs of one subject are written at a stroke.
                    for _ in 0..[1, 1, 2, 5][self.net.rng.usize(..4)] {
                        self.publish(client, subject.clone());
                    }
                }
            }
            for _ in 0..self.net.rng.usize(..40) {
                self.net.step();
            }
        }
        (0..CLIENTS)
            .filter(|&client| !self.closed[client])
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|client| self.ping(client));
        self.net.settle();
        let is_pong = |(at, frame): &(u64, Frame)| (*frame == Frame::Pong).then_some(*at);
        self.pongs = self.net.clients.iter().map(|client| client.frames.iter().filter_map(is_pong).collect()).collect();
    }

    /// When a client read the PONG to its PING of this number; who closed may not have sent one.
    fn pong(&self, client: usize, ping: usize) -> Option<u64> {
        self.pongs[client].get(ping).copied()
    }

    fn flushed(&self, message: &Sent) -> u64 {
        self.pong(message.publisher, message.ping).unwrap_or(u64::MAX)
    }

    /// Must the subscription get the message, may it?
    fn standing(&self, sub: &Sub, message: &Sent) -> (bool, bool) {
        let confirmed = self.pong(sub.client, sub.sent_ping).unwrap_or(u64::MAX);
        let flushed = self.flushed(message);
        let sure = !self.closed[sub.client] && confirmed < message.at && sub.gone.is_none_or(|(at, _)| flushed < at);
        let ended = sub.gone.and_then(|(_, ping)| self.pong(sub.client, ping));
        let out = sub.sent > flushed || ended.is_some_and(|ended| ended < message.at);
        (sure, !out)
    }

    fn check(&self) {
        let mut copies: HashMap<(usize, &str, usize, usize), usize> = HashMap::new();
        for (client, got) in self.net.clients.iter().enumerate() {
            assert_eq!(self.net.wires[client].closed, self.closed[client], "client {client} was closed");
            self.check_order(client);
            for (_, frame) in &got.frames {
                match frame {
                    Frame::Msg { subject, sid, payload, .. } => {
                        let (publisher, number, _) = read_payload(payload);
                        let message = &self.sent[publisher][number];
                        assert_eq!((subject, payload.len()), (&message.subject, message.size), "a message was changed");
                        *copies.entry((client, sid, publisher, number)).or_default() += 1;
                    }
                    Frame::Err(text) => panic!("client {client} was told {text}"),
                    _ => {}
                }
            }
        }
        for sent in &self.sent {
            for (number, message) in sent.iter().enumerate() {
                self.check_copies(number, message, &copies);
            }
        }
    }

    fn check_copies(&self, number: usize, message: &Sent, copies: &HashMap<(usize, &str, usize, usize), usize>) {
        let mut groups: BTreeMap<&str, (usize, bool, bool, bool)> = BTreeMap::new();
        for sub in &self.subs {
            let count = copies.get(&(sub.client, &sub.sid, message.publisher, number)).copied().unwrap_or(0);
            let what =
                || format!("{}:{number} on {} to {} sid {}", message.publisher, message.subject, sub.client, sub.sid);
            if !subject::matches(sub.pattern.as_bytes(), message.subject.as_bytes()) {
                assert_eq!(count, 0, "{} does not match {}", what(), sub.pattern);
                continue;
            }
            let (must, may) = self.standing(sub, message);
            assert!(count <= usize::from(may), "{} came {count} times, allowed: {may}", what());
            match sub.queue {
                None => assert!(count == 1 || !must, "{} is lost", what()),
                Some(queue) => {
                    let (all, any_must, any_may, may_be_lost) = groups.entry(queue).or_default();
                    *all += count;
                    *any_must |= must;
                    *any_may |= may;
                    // What it was given last may have stayed on its way.
                    *may_be_lost |= self.closed[sub.client];
                }
            }
        }
        for (queue, (count, must, may, may_be_lost)) in groups {
            let what = format!("{}:{number} on {} to group {queue}", message.publisher, message.subject);
            assert!(count <= usize::from(may), "{what} came {count} times");
            assert!(count == 1 || !must || may_be_lost, "{what} is lost");
        }
    }

    /// Order of each publisher, causes before effects, and the flush barrier, on one connection.
    fn check_order(&self, client: usize) {
        let is_queue =
            |sid: &str| self.subs.iter().any(|sub| sub.client == client && sub.sid == sid && sub.queue.is_some());
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        let mut causes: BTreeMap<usize, usize> = BTreeMap::new();
        let mut pongs = 0;
        for (_, frame) in &self.net.clients[client].frames {
            pongs += usize::from(*frame == Frame::Pong);
            let Frame::Msg { sid, payload, .. } = frame else { continue };
            if self.queues_change && is_queue(sid) {
                continue;
            }
            let (publisher, number, knew) = read_payload(payload);
            let what = format!("{publisher}:{number} at {client}");
            assert!(last.get(&publisher).is_none_or(|&last| last <= number), "{what} was overtaken by {last:?}");
            assert!(
                causes.get(&publisher).is_none_or(|&cause| cause <= number),
                "{what} came after its effect {causes:?}"
            );
            last.insert(publisher, number);
            for (other, cause) in knew {
                // A publisher's own earlier messages are in `last`.
                let floor = causes.entry(other).or_insert(cause);
                *floor = cause.max(*floor);
            }
            let flushed = self.flushed(&self.sent[publisher][number]);
            let late = self.pings[client].get(..pongs).unwrap_or(&[]).iter().any(|&ping| ping > flushed);
            assert!(!late, "{what} came behind the PONG to a PING that was sent after its publisher's PONG");
        }
    }
}

#[test]
fn every_history_is_one_that_the_invariants_allow() {
    for_seeds(0..200, |seed| {
        let mut history = History::new(seed);
        history.run();
        history.check();
    });
}
