//! What clients of a cluster do, and what may have come of it.
//!
//! Clients publish, subscribe, unsubscribe and request at random. Time is cut into *acts*, each of which ends when everything has settled.
//! A message is published in one act, a subscription begins in one and may end in one:
//!
//! * *sure*: it was there when the act of the message began and still at its end, and nothing went wrong in that act: exactly one copy for
//!   a plain subscription, exactly one for all members of a queue group together;
//! * *open*: it began or ended in that act, or something went wrong: at most one;
//! * *out*: it ended before, or began later: none.

use std::collections::{BTreeMap, HashMap};

use super::plan::{Plan, SeatPlan};
use crate::subject;
use crate::testing::Frame;
use crate::testing::world::World;

const CONNECT: &str =
    r#"CONNECT {"verbose":false,"pedantic":false,"headers":true,"no_responders":true,"protocol":1,"echo":true}"#;
const WORDS: [&str; 2] = ["a", "b"];
const QUEUES: [&str; 2] = ["q", "r"];
/// Where requests go: one member of the group answers.
const SERVICE: &str = "service";
/// That group.
const SERVERS: &str = "all";
/// Where their answers go.
const INBOXES: &str = "_INBOX";

#[derive(Debug)]
struct Sub {
    guest: usize,
    sid: String,
    pattern: String,
    queue: Option<&'static str>,
    since: usize,
    gone: Option<usize>,
}

struct Sent {
    subject: String,
    act: usize,
    seat: usize,
}

struct Request {
    guest: usize,
    sid: String,
    act: usize,
}

/// Copies of messages: by guest, sid, publisher and number.
type Copies<'a> = HashMap<(usize, &'a str, usize, usize), usize>;

/// Members by subject and queue group.
type Interest = BTreeMap<(String, Option<String>), u32>;

/// See the module.
pub(super) struct Story {
    pub world: World,
    pub plan: Plan,
    /// Number of the present act.
    act: usize,
    /// Acts in which nothing went wrong.
    calm: Vec<bool>,
    subs: Vec<Sub>,
    /// By publisher.
    sent: Vec<Vec<Sent>>,
    requests: Vec<Request>,
    /// How many frames of each guest were answered, if it is one that answers.
    services: BTreeMap<usize, usize>,
    next_sid: usize,
}

/// Subject, sid, publisher and number of a message that is not part of a request.
fn read(frame: &Frame) -> Option<(&str, &str, usize, usize)> {
    let Frame::Msg { subject, sid, payload, .. } = frame else { return None };
    if subject.starts_with(SERVICE) || subject.starts_with(INBOXES) {
        return None;
    }
    let text = std::str::from_utf8(payload).expect("text");
    let (publisher, rest) = text.split_once(':').expect("publisher:number");
    let number = rest.split('#').next().unwrap_or_default();
    Some((subject, sid, publisher.parse().expect("a number"), number.parse().expect("a number")))
}

impl Story {
    pub fn new(world: World, plan: Plan) -> Self {
        Story {
            world,
            plan,
            act: 0,
            calm: vec![false],
            subs: Vec::new(),
            sent: Vec::new(),
            requests: Vec::new(),
            services: BTreeMap::new(),
            next_sid: 1,
        }
    }

    /// A client of this server, or of any.
    pub fn join(&mut self, seat: usize) -> usize {
        let guest = self.world.connect(seat);
        self.world.send(guest, format!("{CONNECT}\r\n"));
        self.sent.push(Vec::new());
        guest
    }

    /// A client that answers requests.
    pub fn serve(&mut self, seat: usize) {
        let guest = self.join(seat);
        self.world.send(guest, format!("SUB {SERVICE} {SERVERS} 1\r\n"));
        self.services.insert(guest, 0);
    }

    /// Clients that do what they are told to.
    fn connected(&mut self) -> Vec<usize> {
        let all = 0..self.world.guests.len();
        all.filter(|guest| self.world.is_connected(*guest) && !self.services.contains_key(guest)).collect()
    }

    fn someone(&mut self) -> Option<usize> {
        let all = self.connected();
        self.world.rng.choice(all)
    }

    fn subject(&mut self, wildcards: bool) -> String {
        let rng = &mut self.world.rng;
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

    fn new_sid(&mut self) -> String {
        let sid = self.next_sid.to_string();
        self.next_sid += 1;
        sid
    }

    pub fn subscribe(&mut self) {
        let Some(guest) = self.someone() else { return };
        let (pattern, sid) = (self.subject(true), self.new_sid());
        let queue = (self.world.rng.u8(..3) == 0).then(|| QUEUES[self.world.rng.usize(..QUEUES.len())]);
        self.world.send(guest, format!("SUB {pattern} {} {sid}\r\n", queue.unwrap_or_default()));
        self.subs.push(Sub { guest, sid, pattern, queue, since: self.act, gone: None });
    }

    pub fn unsubscribe(&mut self) {
        let present: Vec<usize> = (0..self.subs.len()).filter(|&sub| self.subs[sub].gone.is_none()).collect();
        if let Some(sub) = self.world.rng.choice(present) {
            self.end_subscription(sub);
        }
    }

    fn end_subscription(&mut self, sub: usize) {
        let Sub { guest, sid, gone, .. } = &mut self.subs[sub];
        *gone = Some(self.act);
        self.world.send(*guest, format!("UNSUB {sid}\r\n"));
    }

    /// Clients that are gone have no subscriptions.
    pub fn notice_losses(&mut self) {
        for sub in &mut self.subs {
            if sub.gone.is_none() && !self.world.is_connected(sub.guest) {
                sub.gone = Some(self.act);
            }
        }
    }

    /// A client leaves without a word.
    pub fn leave(&mut self) {
        if let Some(guest) = self.someone() {
            self.world.close(guest);
            self.notice_losses();
        }
    }

    pub fn publish_some(&mut self) {
        let Some(guest) = self.someone() else { return };
        let subject = self.subject(false);
        // Runs of one subject are written at a stroke.
        for _ in 0..[1, 1, 2, 5][self.world.rng.usize(..4)] {
            self.publish(guest, &subject);
        }
    }

    fn publish(&mut self, guest: usize, subject: &str) {
        let number = self.sent[guest].len();
        let mut payload = format!("{guest}:{number}#");
        if self.world.rng.u8(..30) == 0 {
            payload.push_str(&"x".repeat(40_000));
        }
        if self.world.rng.u8(..4) == 0 {
            let headers = "NATS/1.0\r\nK: v\r\n\r\n";
            let (header_len, total) = (headers.len(), headers.len() + payload.len());
            self.world.send(guest, format!("HPUB {subject} {header_len} {total}\r\n{headers}{payload}\r\n"));
        } else {
            self.world.send(guest, format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()));
        }
        let seat = self.world.guests[guest].seat;
        self.sent[guest].push(Sent { subject: subject.to_owned(), act: self.act, seat });
    }

    /// Subscribes to an inbox and asks at once: the answer must not come before the interest in it.
    pub fn request(&mut self) {
        let Some(guest) = self.someone() else { return };
        let (number, sid) = (self.requests.len(), self.new_sid());
        let inbox = format!("{INBOXES}.{number}.x");
        self.world.send(guest, format!("SUB {inbox} {sid}\r\nUNSUB {sid} 1\r\nPUB {SERVICE} {inbox} 0\r\n\r\n"));
        self.requests.push(Request { guest, sid, act: self.act });
    }

    /// Services answer what they have read.
    fn answer(&mut self) {
        for (&guest, answered) in &mut self.services {
            let frames = &self.world.guests[guest].client.frames;
            let replies: Vec<String> = frames[*answered..]
                .iter()
                .filter_map(|(_, frame)| match frame {
                    Frame::Msg { reply, .. } => reply.clone(),
                    _ => None,
                })
                .collect();
            *answered = frames.len();
            for reply in replies {
                self.world.send(guest, format!("PUB {reply} 2\r\nok\r\n"));
            }
        }
    }

    /// Some things happen.
    pub fn steps(&mut self, most: usize) {
        for _ in 0..self.world.rng.usize(..most) {
            self.world.step();
        }
        self.answer();
    }

    /// Everything settles, and another act begins.
    pub fn next_act(&mut self, calm: bool) {
        loop {
            self.world.settle();
            let before = self.world.tick;
            self.answer();
            if self.world.tick == before {
                break;
            }
        }
        self.notice_losses();
        self.act += 1;
        self.calm.push(calm);
    }

    /// Everybody publishes once to everything there is.
    pub fn publish_everything(&mut self) {
        let mut speakers: BTreeMap<usize, usize> = BTreeMap::new();
        for guest in self.connected() {
            speakers.entry(self.world.guests[guest].seat).or_insert(guest);
        }
        for guest in speakers.into_values() {
            for subject in all_subjects() {
                self.publish(guest, &subject);
            }
        }
    }

    /// Nobody wants anything any more.
    pub fn unsubscribe_all(&mut self) {
        for sub in 0..self.subs.len() {
            if self.subs[sub].gone.is_none() {
                self.end_subscription(sub);
            }
        }
    }

    /// What the clients of a server want: members of each queue group, and one for any number of plain subscriptions to a subject.
    pub fn interest(&self, seat: usize) -> Interest {
        let mut interest = Interest::new();
        for sub in self.subs.iter().filter(|sub| sub.gone.is_none() && self.world.guests[sub.guest].seat == seat) {
            let members = interest.entry((sub.pattern.clone(), sub.queue.map(str::to_owned))).or_default();
            *members = if sub.queue.is_some() { *members + 1 } else { 1 };
        }
        for _ in self.services.keys().filter(|guest| self.world.guests[**guest].seat == seat) {
            *interest.entry((SERVICE.to_owned(), Some(SERVERS.to_owned()))).or_default() += 1;
        }
        interest
    }

    /// What one server believes that another one's clients want. Inboxes are not compared: who was not answered still waits.
    pub fn learned(&self, seat: usize, of: usize) -> Interest {
        let mut interest = Interest::new();
        let [server, other] = [seat, of].map(|seat| self.world.seats[seat].server.as_ref().expect("a server"));
        for (id, subject, queue, members) in server.sites.iter().flat_map(|site| site.shard.learned()) {
            if id == other.id && !subject.starts_with(INBOXES) {
                let all = interest.entry((subject, queue.clone())).or_default();
                *all = if queue.is_some() { *all + members } else { 1 };
            }
        }
        interest
    }

    /// What of the present act's messages should have come to each server over routes, by who has got them.
    pub fn expected_over_routes(&self) -> Vec<u64> {
        let copies = self.copies();
        let mut expected = vec![0; self.world.seats.len()];
        for (publisher, sent) in self.sent.iter().enumerate() {
            for (number, message) in sent.iter().enumerate().filter(|(_, message)| message.act == self.act) {
                for (seat, expected) in expected.iter_mut().enumerate().filter(|(seat, _)| *seat != message.seat) {
                    let came = self.subs.iter().any(|sub| {
                        self.world.guests[sub.guest].seat == seat
                            && copies.contains_key(&(sub.guest, sub.sid.as_str(), publisher, number))
                    });
                    *expected += u64::from(came);
                }
            }
        }
        expected
    }

    fn copies(&self) -> Copies<'_> {
        let mut copies = Copies::new();
        for (guest, got) in self.world.guests.iter().enumerate() {
            if self.services.contains_key(&guest) {
                continue;
            }
            for (subject, sid, publisher, number) in got.client.frames.iter().filter_map(|(_, frame)| read(frame)) {
                assert_eq!(*subject, self.sent[publisher][number].subject, "{publisher}:{number} was changed");
                *copies.entry((guest, sid, publisher, number)).or_default() += 1;
            }
        }
        copies
    }

    /// Everything that ever happened was allowed.
    pub fn check(&mut self) {
        for guest in 0..self.world.guests.len() {
            self.check_guest(guest);
        }
        let copies = self.copies();
        for (publisher, sent) in self.sent.iter().enumerate() {
            for (number, message) in sent.iter().enumerate() {
                self.check_copies(publisher, number, message, &copies);
            }
        }
        for request in &self.requests {
            self.check_request(request);
        }
    }

    fn check_guest(&mut self, guest: usize) {
        let expected = !self.world.guests[guest].has_left && self.world.has_server(guest);
        assert_eq!(self.world.is_connected(guest), expected, "client {guest} was closed");
        if self.services.contains_key(&guest) {
            return;
        }
        // Members of queue groups may get what another member left behind, so order is for the others.
        let subs = self.subs.iter().filter(|sub| sub.guest == guest && sub.queue.is_none());
        let plain: HashMap<&str, usize> = subs.map(|sub| (sub.sid.as_str(), sub.since)).collect();
        let mut last: BTreeMap<usize, usize> = BTreeMap::new();
        for (_, frame) in &self.world.guests[guest].client.frames {
            if let Frame::Err(text) = frame {
                panic!("client {guest} was told {text}");
            }
            if let Some((_, sid, publisher, number)) = read(frame)
                && let Some(&since) = plain.get(sid)
            {
                let act = self.sent[publisher][number].act;
                if act == since && self.is_troubled(act) {
                    continue;
                }
                let before = last.insert(publisher, number);
                assert!(
                    before.is_none_or(|last| last <= number),
                    "{publisher}:{number} of {} came behind {before:?} to {} (act {}, {:?})",
                    self.describe(publisher),
                    self.describe(guest),
                    act,
                    self.world
                );
            }
        }
    }

    fn members(&self, queue: &str) -> Vec<(usize, &Sub)> {
        let members = self.subs.iter().filter(|sub| sub.queue == Some(queue));
        members.map(|sub| (self.world.guests[sub.guest].seat, sub)).collect()
    }

    /// Did a queue group lose a member in this act, in a cluster with servers to which it cannot be said that a message is for the group
    /// alone? Then the group may not get it, or a plain subscription that has just begun may get it twice.
    fn is_troubled(&self, act: usize) -> bool {
        let has_others = self.plan.seats.iter().any(|seat| !seat.lanes);
        has_others && self.subs.iter().any(|sub| sub.queue.is_some() && sub.gone == Some(act))
    }

    /// A client and its server, as it is now.
    fn describe(&self, guest: usize) -> String {
        let seat = self.world.guests[guest].seat;
        let SeatPlan { shards, lanes, pool_size, .. } = &self.plan.seats[seat];
        format!("client {guest} on seat {seat} ({shards} shards, lanes {lanes}, pool {pool_size:?})")
    }

    /// Must the subscription get the message, may it?
    fn standing(&self, sub: &Sub, message: &Sent) -> (bool, bool) {
        let act = message.act;
        let must = self.calm[act] && sub.since < act && sub.gone.is_none_or(|gone| gone > act);
        (must, sub.since <= act && sub.gone.is_none_or(|gone| gone >= act))
    }

    fn check_copies(&self, publisher: usize, number: usize, message: &Sent, copies: &Copies<'_>) {
        let mut groups: BTreeMap<&str, (usize, bool, bool)> = BTreeMap::new();
        let is_troubled = self.is_troubled(message.act);
        for sub in &self.subs {
            let count = copies.get(&(sub.guest, &sub.sid, publisher, number)).copied().unwrap_or(0);
            let what = || {
                let (from, to) = (self.describe(publisher), self.describe(sub.guest));
                format!(
                    "{publisher}:{number} on {} (act {}) from {from} to {to} for {sub:?}",
                    message.subject, message.act
                )
            };
            if !subject::matches(sub.pattern.as_bytes(), message.subject.as_bytes()) {
                assert_eq!(count, 0, "{} does not match", what());
                continue;
            }
            let (must, may) = self.standing(sub, message);
            let most = usize::from(may) + usize::from(is_troubled && sub.queue.is_none() && sub.since == message.act);
            assert!(count <= most, "{} came {count} times, allowed: {most}", what());
            match sub.queue {
                None => assert!(count == 1 || !must, "{} is lost", what()),
                Some(queue) => {
                    let (all, any_must, any_may) = groups.entry(queue).or_default();
                    *all += count;
                    *any_must |= must;
                    *any_may |= may;
                }
            }
        }
        for (queue, (count, must, may)) in groups {
            let from = || self.describe(publisher);
            let what = || {
                let Sent { subject, act, .. } = message;
                format!("{publisher}:{number} on {subject} (act {act}) from {} for group {queue}", from())
            };
            assert!(count <= usize::from(may), "{} came {count} times: {:?}", what(), self.members(queue));
            assert!(count == 1 || !must || is_troubled, "{} is lost: {:?}", what(), self.members(queue));
        }
    }

    fn check_request(&self, request: &Request) {
        let frames = self.world.guests[request.guest].client.frames.iter();
        let answers = frames.filter_map(|(_, frame)| match frame {
            Frame::Msg { sid, headers, .. } if *sid == request.sid => Some(!headers.is_empty()),
            _ => None,
        });
        let answers: Vec<bool> = answers.collect();
        let (count, refused) = (answers.len(), answers.contains(&true));
        let what = || format!("the answer to the request with sid {} of client {}", request.sid, request.guest);
        assert!(count <= 1, "{} came {count} times", what());
        assert!(count == 1 || !self.calm[request.act], "{} is lost", what());
        assert!(!refused || !self.calm[request.act], "{} is that nobody is there", what());
    }
}

fn all_subjects() -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut last = vec![String::new()];
    for _ in 0..3 {
        let longer = last.iter().flat_map(|start| WORDS.map(|word| format!("{start}.{word}")));
        last = longer.map(|subject| subject.trim_start_matches('.').to_owned()).collect();
        all.extend(last.iter().cloned());
    }
    all
}
