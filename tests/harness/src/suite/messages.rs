//! Messages themselves: who gets them, how often, and what they look like on arrival.

use anyhow::{Context, Result, ensure};

use crate::client::PLAIN;
use crate::cluster::free_port;
use crate::{Cluster, DEADLINE, Peer, Received, poll_until};

use super::{Ear, finish, settle, text};

/// Plain subscriptions with and without wildcards, on every server; each publisher's messages come to each of them in
/// order, and once.
pub fn plain_and_wildcards(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "plain";
    const ROUNDS: usize = 30;
    let subjects = ["plain.a.b", "plain.a.c", "plain.x.b", "plain.a", "plain.a.b.c", "plain"];
    let patterns: [(&str, &[usize]); 7] = [
        ("plain.a.b", &[0]),
        ("plain.a.b", &[0]),
        ("plain.a.*", &[0, 1]),
        ("plain.*.b", &[0, 2]),
        ("*.a.b", &[0]),
        ("plain.>", &[0, 1, 2, 3, 4]),
        ("plain", &[5]),
    ];
    let mut ears = Ear::everywhere(cluster, SCENE)?;
    for ear in &mut ears {
        for (sid, (pattern, _)) in patterns.iter().enumerate() {
            ear.client.subscribe(pattern, "", sid)?;
        }
    }
    settle(cluster, &mut ears)?;
    let mut publishers = cluster.clients()?;
    for (name, publisher) in publishers.iter_mut().enumerate() {
        for round in 0..ROUNDS {
            for subject in subjects {
                publisher.publish(subject, "", format!("{name} {round}").as_bytes());
            }
        }
        finish(publisher, SCENE)?;
    }
    for (server, ear) in ears.iter_mut().enumerate() {
        let got = ear.hear(publishers.len())?;
        for (sid, (pattern, matching)) in patterns.iter().enumerate() {
            for name in 0..publishers.len() {
                let wanted: Vec<(&str, String)> = (0..ROUNDS)
                    .flat_map(|round| matching.iter().map(move |&index| (index, format!("{name} {round}"))))
                    .map(|(index, payload)| (subjects[index], payload))
                    .collect();
                let from_name = format!("{name} ");
                let came: Vec<(&str, String)> = got
                    .iter()
                    .filter(|message| message.sid == sid.to_string())
                    .map(|message| (message.subject.as_str(), text(message)))
                    .filter(|(_, payload)| payload.starts_with(&from_name))
                    .collect();
                ensure!(came == wanted, "from server {name} for {pattern} (sid {sid}) on {server} came {came:?}");
            }
        }
        let due: usize = patterns.iter().map(|(_, matching)| matching.len()).sum::<usize>() * ROUNDS * publishers.len();
        ensure!(got.len() == due, "{due} messages are due on {server}, {} came", got.len());
    }
    Ok(())
}

/// Payloads from nothing to a mebibyte, with protocol in them, arrive unchanged and in order.
pub fn payloads(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "payloads";
    let mut ears = Ear::everywhere(cluster, SCENE)?;
    for ear in &mut ears {
        ear.client.subscribe("payloads.*", "", 1)?;
    }
    settle(cluster, &mut ears)?;
    let mut draw = fastrand::Rng::with_seed(3);
    let mut payloads: Vec<Vec<u8>> =
        vec![Vec::new(), b"\r\n".to_vec(), b"RMSG $G payloads.1 2\r\nhi\r\n".to_vec(), (0..=255).collect()];
    for size in [1, 511, 4096, 32_767, 65_536, 65_537, 300_000, 1024 * 1024, 2, 1024 * 1024] {
        payloads.push((0..size).map(|_| draw.u8(..)).collect());
    }
    let mut publishers = cluster.clients()?;
    for (name, publisher) in publishers.iter_mut().enumerate() {
        for payload in &payloads {
            publisher.publish(&format!("payloads.{name}"), "reply", payload);
        }
        finish(publisher, SCENE)?;
        // One publisher after the other: nobody has to keep more than one's payloads.
        for (server, ear) in ears.iter_mut().enumerate() {
            let got = ear.hear(1)?;
            ensure!(got.len() == payloads.len(), "{} payloads came from {name} to {server}", got.len());
            for (message, payload) in got.iter().zip(&payloads) {
                ensure!(message.reply == "reply", "the reply subject is {:?}", message.reply);
                ensure!(message.payload == *payload, "{} bytes from {name} to {server} changed", payload.len());
            }
        }
    }
    Ok(())
}

const HEADERS: &str = "NATS/1.0\r\nOne: 1\r\nTwo:  two words \r\n\r\n";

/// Headers come as they were sent; to clients that cannot take them only the payload comes.
pub fn headers(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "headers";
    let mut ears = Ear::everywhere(cluster, SCENE)?;
    for member in &cluster.members {
        ears.push(Ear::over(member.client_with(PLAIN)?, SCENE)?);
    }
    for ear in &mut ears {
        ear.client.subscribe("headers", "", 1)?;
    }
    settle(cluster, &mut ears)?;
    let mut publishers = cluster.clients()?;
    let size = HEADERS.len();
    for publisher in &mut publishers {
        for (reply, payload) in [("", "with"), ("reply ", "with reply"), ("", "")] {
            let total = size + payload.len();
            publisher.queue(format!("HPUB headers {reply}{size} {total}\r\n{HEADERS}{payload}\r\n").as_bytes());
        }
        publisher.publish("headers", "", b"without");
        finish(publisher, SCENE)?;
    }
    let (with, without) = ears.split_at_mut(cluster.members.len());
    for (ears, block) in [(with, HEADERS), (without, "")] {
        let message = |reply: &str, headers: &str, payload: &str| Received {
            subject: "headers".into(),
            sid: "1".into(),
            reply: reply.into(),
            headers: headers.into(),
            payload: payload.into(),
        };
        let each = [
            message("", block, "with"),
            message("reply", block, "with reply"),
            message("", block, ""),
            message("", "", "without"),
        ];
        let mut wanted: Vec<Received> = publishers.iter().flat_map(|_| each.clone()).collect();
        wanted.sort_unstable();
        for (server, ear) in ears.iter_mut().enumerate() {
            let mut got = ear.hear(publishers.len())?;
            got.sort_unstable();
            ensure!(got == wanted, "to {server} came {got:?}");
        }
    }
    Ok(())
}

/// JetStream pushes messages with a reply that says, behind an `@`, on which subject the client expects them; the
/// server with the client takes it apart. Clients may not publish with such replies, so a peer made up here does.
pub fn acknowledgement_replies(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "ack";
    let reply = "$JS.ACK.stream.consumer.1.2.3.1700000000000000000.0";
    let mut ear = Ear::new(cluster, 0, SCENE)?;
    ear.client.subscribe("ack.deliver", "", 1)?;
    cluster.settle([&mut ear.client])?;
    let mut peer = Peer::join(cluster.members[0].seat.route, free_port())?;
    peer.wait_for("RS+ $G ack.deliver")?;
    for (reply, payload) in [
        (&format!("{reply}@orders.new"), "rewritten"),
        (&reply.to_owned(), "an ordinary acknowledgement"),
        (&"not.an.ack@orders.new".to_owned(), "an ordinary reply"),
    ] {
        peer.send(&format!("RMSG $G ack.deliver {reply} {}\r\n{payload}", payload.len()))?;
    }
    peer.send("RMSG $G end.ack 0\r\n")?;
    let got: Vec<[String; 3]> =
        ear.hear(1)?.into_iter().map(|message| [text(&message), message.subject, message.reply]).collect();
    let wanted = [
        ["rewritten", "orders.new", reply],
        ["an ordinary acknowledgement", "ack.deliver", reply],
        ["an ordinary reply", "ack.deliver", "not.an.ack@orders.new"],
    ];
    ensure!(got == wanted, "{got:?}");
    Ok(())
}

/// A client that wants no echo hears others of all servers, who hear it.
pub fn no_echo(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "echo";
    let mut ears = Ear::everywhere(cluster, SCENE)?;
    ears.push(Ear::over(cluster.members[0].client_with(r#"{"verbose":false,"echo":false}"#)?, SCENE)?);
    for ear in &mut ears {
        ear.client.subscribe("echo.*", "", 1)?;
    }
    settle(cluster, &mut ears)?;
    let mut speakers = cluster.clients()?;
    let silent = ears.len() - 1;
    ears[silent].client.publish("echo.silent", "", b"");
    ears[silent].client.send_queued()?;
    let mut wanted = vec!["echo.silent".to_owned()];
    for (name, speaker) in speakers.iter_mut().enumerate() {
        speaker.publish(&format!("echo.{name}"), "", b"");
        wanted.push(format!("echo.{name}"));
        speaker.flush()?;
    }
    // Only then the ends, the silent client's among them, which it does not hear itself.
    for publisher in &mut speakers {
        finish(publisher, SCENE)?;
    }
    ears[silent].client.publish("end.echo", "", b"");
    ears[silent].client.send_queued()?;
    wanted.sort_unstable();
    for (index, ear) in ears.iter_mut().enumerate() {
        let own = usize::from(index != silent);
        let mut got: Vec<String> = ear.hear(speakers.len() + own)?.into_iter().map(|message| message.subject).collect();
        got.sort_unstable();
        let wanted: Vec<&String> = wanted.iter().filter(|name| index != silent || *name != "echo.silent").collect();
        ensure!(got.iter().eq(wanted.iter().copied()), "ear {index} heard {got:?}");
    }
    Ok(())
}

/// However many subscriptions a server has for it, a message comes to it once.
pub fn crosses_once(cluster: &Cluster) -> Result<()> {
    const SCENE: &str = "once";
    const MESSAGES: u64 = 1000;
    let target = &cluster.members[1];
    let mut ears = (0..8).map(|_| Ear::new(cluster, 1, SCENE)).collect::<Result<Vec<_>>>()?;
    for (number, ear) in ears.iter_mut().enumerate() {
        ear.client.subscribe(["once.a", "once.*", "once.>", "*.a"][number % 4], "", 1)?;
        ear.client.subscribe("once.a", ["red", "blue"][number % 2], 2)?;
    }
    settle(cluster, &mut ears)?;
    let arrived = || -> Result<u64> {
        Ok(target.routes()?.iter().map(|route| route["in_msgs"].as_u64().unwrap_or_default()).sum())
    };
    let before = arrived().context("the messages before")?;
    let mut publisher = cluster.client(0)?;
    for _ in 0..MESSAGES {
        publisher.publish("once.a", "", b"x");
    }
    finish(&mut publisher, SCENE)?;
    let mut got = 0;
    for ear in &mut ears {
        got += ear.hear(1)?.len() as u64;
    }
    ensure!(got == 10 * MESSAGES, "{got} messages at eight plain subscriptions and two groups");
    // Servers tell each other a little about themselves, too.
    let crossed = poll_until(DEADLINE, || arrived().ok().map(|now| now - before).filter(|&crossed| crossed > MESSAGES))
        .with_context(|| format!("the routes count {:?} messages, {before} of them before", arrived()))?;
    ensure!(crossed < MESSAGES + 200, "{MESSAGES} messages crossed the route {crossed} times");
    Ok(())
}
