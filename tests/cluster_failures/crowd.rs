//! Many servers start at once, know only the seed and form a full mesh; then some of them die at once.

use std::collections::BTreeSet;
use std::thread;

use anyhow::{Result, ensure};
use pinmesh_harness::cluster::{CLUSTER_NAME, Member, Seat, routes};
use pinmesh_harness::witness::{wait_until_meshed, wait_until_wanted};
use pinmesh_harness::{Client, Kind, LineUp, eventually, line_ups};

line_ups!(ten_start_at_once with old);
line_ups!(forty_start_at_once: ours_1 = Ours(1), ours_2 = Ours(2));

fn ten_start_at_once(line_up: LineUp) -> Result<()> {
    start_at_once(&line_up.kinds(10), 3)
}

fn forty_start_at_once(line_up: LineUp) -> Result<()> {
    start_at_once(&line_up.kinds(40), 10)
}

/// The last `doomed` ones are killed later.
fn start_at_once(kinds: &[Kind], doomed: usize) -> Result<()> {
    let seats = Seat::several(kinds.len());
    let mut members: Vec<Member> = thread::scope(|scope| {
        let start = |(number, &kind): (usize, &Kind)| {
            let seats = &seats;
            scope.spawn(move || {
                // The seed does not know that it is the seed; a route to itself is no harm.
                let cluster = format!("name: {CLUSTER_NAME}\n  {}", routes(&seats[..1]));
                Member::start(kind, seats[number], &cluster, "")
            })
        };
        let threads: Vec<_> = kinds.iter().enumerate().map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("a server that starts")).collect()
    });
    wait_until_meshed(&members)?;
    let mut clients = members.iter().map(Listener::new).collect::<Result<Vec<_>>>()?;
    everybody_hears_everybody(&mut clients)?;

    let survivors = members.len() - doomed;
    clients.truncate(survivors);
    thread::scope(|scope| {
        for member in &mut members[survivors..] {
            scope.spawn(|| member.server.kill());
        }
    });
    members.truncate(survivors);
    wait_until_meshed(&members)?;
    everybody_hears_everybody(&mut clients)
}

/// A client that hears what is published for all, and what is published for it alone.
pub struct Listener {
    client: Client,
    own_subject: String,
}

impl Listener {
    pub fn new(member: &Member) -> Result<Listener> {
        let mut client = member.client()?;
        let own_subject = format!("to.{}", member.seat.client);
        client.subscribe("to.all", "", "all")?;
        client.subscribe(&own_subject, "", "own")?;
        client.flush()?;
        Ok(Listener { client, own_subject })
    }
}

/// Waits until every server knows the interest of every other one, lets everybody publish one message for all, and
/// insists that each comes to each exactly once.
pub fn everybody_hears_everybody(listeners: &mut [Listener]) -> Result<()> {
    let subjects: Vec<String> = listeners.iter().map(|listener| listener.own_subject.clone()).collect();
    for listener in &mut *listeners {
        for subject in &subjects {
            wait_until_wanted(&mut listener.client, subject, true);
        }
    }
    let mut heard = vec![Vec::new(); listeners.len()];
    for listener in &mut *listeners {
        listener.client.publish("to.all", "", listener.own_subject.as_bytes());
        listener.client.send_queued()?;
    }
    let mut listen = |heard: &mut [Vec<String>]| -> Result<()> {
        for (listener, heard) in listeners.iter_mut().zip(heard) {
            let messages = listener.client.flush()?.into_iter().filter(|message| message.sid == "all");
            heard.extend(messages.map(|message| String::from_utf8_lossy(&message.payload).into_owned()));
        }
        Ok(())
    };
    eventually("everybody's message at everybody", || {
        let listened = listen(&mut heard);
        (listened.is_err() || heard.iter().all(|heard| heard.len() >= subjects.len())).then_some(listened)
    })?;
    listen(&mut heard)?;
    let all: BTreeSet<&String> = subjects.iter().collect();
    for (heard, subject) in heard.iter().zip(&subjects) {
        ensure!(heard.len() == all.len(), "{subject} has heard {} messages: {heard:?}", heard.len());
        ensure!(heard.iter().collect::<BTreeSet<_>>() == all, "{subject} has heard {heard:?}");
    }
    Ok(())
}
