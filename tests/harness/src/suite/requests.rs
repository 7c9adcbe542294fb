//! Requests whose responder is on another server, and requests without one.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::{Client, Cluster, DEADLINE, Frame, Received};

/// Asks once, with the inbox subscribed in the same breath, and returns the first answer.
pub fn ask(client: &mut Client, subject: &str, inbox: &str) -> Result<Received> {
    client.subscribe(inbox, "", "inbox")?;
    client.publish(subject, inbox, b"question");
    client.send_queued()?;
    let answer = client.message()?;
    client.unsubscribe("inbox")?;
    Ok(answer)
}

/// Whether this answer says that nobody listens.
pub fn is_refusal(answer: &Received) -> bool {
    answer.headers.starts_with(b"NATS/1.0 503")
}

/// Nobody anywhere: refused at once. Somebody on another server: answered. Gone again: refused.
pub fn answered_or_refused(cluster: &Cluster) -> Result<()> {
    let mut askers = cluster.clients()?;
    let everybody = 0..askers.len();
    for queue in ["", "workers"] {
        let mut service = cluster.client(1)?;
        for (asker, client) in askers.iter_mut().enumerate() {
            let answer = ask(client, "service", &format!("_INBOX.before.{asker}"))?;
            ensure!(is_refusal(&answer), "before anybody listens, {asker} got {answer:?}");
        }
        service.subscribe("service", queue, 1)?;
        cluster.settle([&mut service])?;
        for asker in everybody.clone() {
            let inbox = format!("_INBOX.there.{asker}");
            let client = &mut askers[asker];
            client.subscribe(&inbox, "", "inbox")?;
            cluster.settle([&mut *client])?;
            client.publish("service", &inbox, b"question");
            client.send_queued()?;
            let question = service.message()?;
            ensure!(question.reply == inbox && question.payload == b"question", "{question:?}");
            service.publish(&question.reply, "", b"answer");
            service.send_queued()?;
            let answer = client.message()?;
            ensure!(answer.payload == b"answer", "{asker} got {answer:?}");
            client.unsubscribe("inbox")?;
        }
        service.unsubscribe(1)?;
        cluster.settle([&mut service])?;
        for (asker, client) in askers.iter_mut().enumerate() {
            let answer = ask(client, "service", &format!("_INBOX.after.{asker}"))?;
            ensure!(is_refusal(&answer), "after the last one left, {asker} got {answer:?}");
        }
    }
    Ok(())
}

/// Thousands of requests, each with an inbox that was subscribed only just before: not one answer is lost, because the
/// interest in the inbox travels ahead of the request.
pub fn new_inboxes(cluster: &Cluster) -> Result<()> {
    const REQUESTS: usize = 6000;
    let servers = cluster.members.len();
    let pairs = (0..servers).flat_map(|from| (0..servers).map(move |to| (from, to)));
    let pairs: Vec<(usize, usize)> = pairs.filter(|(from, to)| from != to).collect();
    for &(from, to) in &pairs {
        let subject = format!("echo.{from}.{to}");
        let mut service = cluster.client(to)?;
        service.subscribe(&subject, "", 1)?;
        cluster.settle([&mut service])?;
        let mut client = cluster.client(from)?;
        ask_many(&mut client, &mut service, &subject, REQUESTS / pairs.len())
            .with_context(|| format!("requests from server {from} to server {to}"))?;
    }
    Ok(())
}

fn ask_many(client: &mut Client, service: &mut Client, subject: &str, requests: usize) -> Result<()> {
    const BURST: usize = 30;
    let (mut asked, mut answered) = (0, 0);
    let mut progress = Instant::now();
    while answered < requests {
        ensure!(progress.elapsed() < DEADLINE, "{asked} requests, {answered} answers, and nothing more comes");
        if asked < requests && asked - answered < 2 * BURST {
            for number in asked..(asked + BURST).min(requests) {
                let inbox = format!("_INBOX.new.{}.{number}", subject.replace('.', "-"));
                client.queue(format!("SUB {inbox} {number}\r\nUNSUB {number} 1\r\n").as_bytes());
                client.publish(subject, &inbox, number.to_string().as_bytes());
            }
            client.send_queued()?;
            asked = (asked + BURST).min(requests);
        }
        while let Some(frame) = service.try_frame()? {
            if let Frame::Message(message) = frame {
                let message = message.to_received();
                service.publish(&message.reply, "", &message.payload);
            }
        }
        service.send_queued()?;
        while let Some(frame) = client.try_frame()? {
            match frame {
                Frame::Message(message) if message.sid == message.payload => {
                    answered += 1;
                    progress = Instant::now();
                }
                Frame::Info(_) => {}
                other => bail!("in place of an answer came {other:?}"),
            }
        }
    }
    ensure!(client.flush()?.is_empty(), "more answers than requests");
    Ok(())
}
