//! Random histories of subscribing, leaving and publishing, compared step by step with a model that knows exactly
//! who must get what: invariants 2, 3, 6 and 7 at once, with auto-unsubscribe, echo:false and 503 replies.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use fastrand::Rng;
use pinmesh_harness::client::RESPONDERS;
use pinmesh_harness::{Client, Received};

use crate::arena::{Arena, matches};

on_every_server!(random_histories_match_the_model);

const SUBJECTS: [&str; 8] =
    ["hist.a", "hist.b", "hist.a.x", "hist.b.x", "hist.a.y", "hist.a.x.deep", "else.a", "else.a.x"];
const PATTERNS: [&str; 14] = [
    "hist.a", "hist.b", "hist.a.x", "else.a", "hist.*", "hist.>", "*.a", "*.*", "hist.a.*", "hist.*.x", "*.a.x", ">",
    "hist.a.>", "*.*.x",
];
const SILENT: &str = r#"{"verbose":false,"pedantic":false,"echo":false,"headers":true,"no_responders":true}"#;
/// The subscription on which a publisher gets 503 replies.
const INBOX: usize = usize::MAX;

struct Member {
    client: Client,
    echo: bool,
    subscriptions: BTreeMap<usize, Subscription>,
}

struct Subscription {
    pattern: &'static str,
    queue: &'static str,
    /// How many messages it still takes, if that is limited.
    left: Option<usize>,
}

/// Thousands of steps; every answer is checked before the next step.
pub fn random_histories_match_the_model(arena: &mut Arena) -> Result<()> {
    let steps = arena.rounds(600);
    for history in 0..4 {
        let mut members = Vec::new();
        for name in 0..7 {
            members.push(Member::join(arena, name)?);
        }
        for step in 0..steps {
            let who = arena.rng.usize(0..members.len());
            let what = match arena.rng.u8(0..10) {
                0..3 => members[who].subscribe(&mut arena.rng),
                3..5 => members[who].leave(&mut arena.rng),
                5 if arena.rng.u8(0..8) == 0 => replace(arena, &mut members, who),
                _ => publish(&mut arena.rng, &mut members, who),
            };
            what.with_context(|| format!("history {history}, step {step}, connection {who}"))?;
        }
        // Nobody knows when a server notices that a connection is gone.
        for member in &mut members {
            member.leave_everything(&mut arena.rng)?;
        }
    }
    Ok(())
}

impl Member {
    fn join(arena: &mut Arena, name: usize) -> Result<Member> {
        let echo = arena.rng.bool();
        let mut client = arena.observer_with(if echo { RESPONDERS } else { SILENT })?;
        client.subscribe(&format!("inbox{name}.*"), "", INBOX)?;
        client.flush()?;
        Ok(Member { client, echo, subscriptions: BTreeMap::new() })
    }

    fn subscribe(&mut self, rng: &mut Rng) -> Result<()> {
        // Few sids, so that they are used again and again.
        let Some(sid) = (0..6).find(|sid| !self.subscriptions.contains_key(sid)) else { return self.leave(rng) };
        let pattern = PATTERNS[rng.usize(0..PATTERNS.len())];
        let queue = ["", "", "red", "blue"][rng.usize(0..4)];
        self.client.subscribe(pattern, queue, sid)?;
        let left = (rng.u8(0..3) == 0).then(|| rng.usize(1..6));
        if let Some(left) = left {
            self.client.send(format!("UNSUB {sid} {left}\r\n").as_bytes())?;
        }
        self.subscriptions.insert(sid, Subscription { pattern, queue, left });
        self.expect_nothing()
    }

    fn leave(&mut self, rng: &mut Rng) -> Result<()> {
        let Some(sid) = rng.choice(self.subscriptions.keys()).copied() else { return Ok(()) };
        self.client.unsubscribe(sid)?;
        self.subscriptions.remove(&sid);
        self.expect_nothing()
    }

    fn leave_everything(&mut self, rng: &mut Rng) -> Result<()> {
        while !self.subscriptions.is_empty() {
            self.leave(rng)?;
        }
        Ok(())
    }

    fn expect_nothing(&mut self) -> Result<()> {
        let messages = self.client.flush()?;
        ensure!(messages.is_empty(), "a message although nobody publishes: {:?}", messages[0]);
        Ok(())
    }
}

/// One member gives its place to a new connection, after it has left everything it was subscribed to.
fn replace(arena: &mut Arena, members: &mut [Member], who: usize) -> Result<()> {
    members[who].leave_everything(&mut arena.rng)?;
    members[who] = Member::join(arena, who)?;
    Ok(())
}

fn publish(rng: &mut Rng, members: &mut [Member], who: usize) -> Result<()> {
    let with_reply = rng.bool();
    let used_up = |subscription: &Subscription| subscription.left.is_some() && !subscription.queue.is_empty();
    let may_be_used_up = members.iter().any(|member| member.subscriptions.values().any(used_up));
    // One at a time with a reply, so that "nobody got it" is a settled matter when the next message comes; also when
    // a queue member may get its last one, for the next one may need a second try to find another member.
    let count = if with_reply || may_be_used_up { 1 } else { rng.usize(1..6) };
    let reply = if with_reply { format!("inbox{who}.r") } else { String::new() };
    let subjects: Vec<&str> = (0..count).map(|_| SUBJECTS[rng.usize(0..SUBJECTS.len())]).collect();
    for (number, subject) in subjects.iter().enumerate() {
        members[who].client.publish(subject, &reply, number.to_string().as_bytes());
    }
    let mut got = Vec::new();
    members[who].client.queue(b"PING\r\n");
    members[who].client.send_queued()?;
    let own = members[who].client.until_pong()?;
    let mut clients: Vec<&mut Client> = members.iter_mut().map(|member| &mut member.client).collect();
    for client in &mut clients {
        client.send(b"PING\r\n")?;
    }
    for client in clients {
        got.push(client.until_pong()?);
    }
    got[who].splice(0..0, own);
    for (number, subject) in subjects.iter().enumerate() {
        settle(members, who, number, subject, &mut got, with_reply)
            .with_context(|| format!("message {number} of {count} on {subject}, reply {reply:?}"))?;
    }
    match got.iter().flatten().next() {
        Some(message) => bail!("more than was due: {message:?}"),
        None => Ok(()),
    }
}

/// Takes the copies of one message out of `got` and checks that they are exactly the right ones.
fn settle(
    members: &mut [Member],
    who: usize,
    number: usize,
    subject: &str,
    got: &mut [Vec<Received>],
    with_reply: bool,
) -> Result<()> {
    let mut groups: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut delivered = false;
    for (index, (member, got)) in members.iter_mut().zip(got.iter_mut()).enumerate() {
        let mut copies = take_copies(got, subject, number);
        let mut used_up = Vec::new();
        for (&sid, subscription) in &mut member.subscriptions {
            let due = matches(subscription.pattern, subject) && (member.echo || index != who);
            let copy = copies.iter().position(|&copy| copy == sid);
            if let Some(copy) = copy {
                copies.swap_remove(copy);
                delivered = true;
                if let Some(left) = &mut subscription.left {
                    *left -= 1;
                    if *left == 0 {
                        used_up.push(sid);
                    }
                }
            }
            if subscription.queue.is_empty() {
                ensure!(copy.is_some() == due, "connection {index}, sid {sid}: due {due}, came {}", copy.is_some());
            } else if due || copy.is_some() {
                ensure!(due, "connection {index}, sid {sid}: not due to this member");
                let (eligible, chosen) = groups.entry(subscription.queue).or_default();
                *eligible += 1;
                *chosen += usize::from(copy.is_some());
            }
        }
        ensure!(copies.is_empty(), "connection {index}: copies for {copies:?}, which it does not have");
        member.subscriptions.retain(|sid, _| !used_up.contains(sid));
    }
    for (queue, (eligible, chosen)) in groups {
        ensure!(chosen == 1, "queue {queue}: {chosen} of {eligible} members got it");
    }
    let refusals = got[who].iter().filter(|message| message.headers.starts_with(b"NATS/1.0 503")).count();
    let due = usize::from(with_reply && !delivered);
    ensure!(refusals == due, "{due} 503 replies due, {refusals} came");
    got[who].retain(|message| !message.headers.starts_with(b"NATS/1.0 503"));
    Ok(())
}

fn take_copies(got: &mut Vec<Received>, subject: &str, number: usize) -> Vec<usize> {
    let payload = number.to_string().into_bytes();
    let mut sids = Vec::new();
    got.retain(|message| {
        let ours = message.headers.is_empty() && message.subject == subject && message.payload == payload;
        if ours {
            sids.push(message.sid.parse().unwrap_or(INBOX));
        }
        !ours
    });
    sids
}
