//! Hostile bytes: whatever a client sends, our server answers what the reference answers, byte for byte, and nobody
//! else notices.
//!
//! Every stream goes to both servers. The sender then half-closes, which makes the end of the answer certain without
//! waiting: a server answers all it has received and closes. While that goes on, a pair of connections next door
//! checks that its own messages arrive intact.

mod differential;

use std::env;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use differential::{NEXT_DOOR, Pair, printable};
use fastrand::Rng;
use pinmesh_harness::client::put_publish;
use pinmesh_harness::{Client, Frame};

/// What most streams begin with; a stream without it is verbose and pedantic.
const GREETING: &str = "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n";

/// The reference reads a little more than this first from a connection; its answer to what lies across the border can
/// depend on it.
const ONE_READ: usize = 500;

/// Ends the conversation next door when it is dropped, however that comes: a test that panics must not wait for it for ever.
struct EndOfTalk<'a>(&'a AtomicBool);

impl Drop for EndOfTalk<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Runs `body` with a pair of servers and a conversation next door on ours.
fn beside_a_conversation(shards: usize, body: impl FnOnce(&Pair, &mut Rng) -> Result<()>) {
    let pair = Pair::start(shards, "");
    let seed = match env::var("PINMESH_SEED") {
        Ok(seed) => seed.parse().expect("PINMESH_SEED is a number"),
        Err(_) => fastrand::u64(..),
    };
    let done = AtomicBool::new(false);
    let outcome = thread::scope(|scope| {
        let talk = scope.spawn(|| converse(&pair, &done));
        let end = EndOfTalk(&done);
        let outcome = body(&pair, &mut Rng::with_seed(seed));
        drop(end);
        let talked = talk.join().expect("no panic next door");
        outcome.and(talked.context("next door"))
    });
    if let Err(error) = outcome {
        panic!("{shards} shards, PINMESH_SEED={seed}: {error:#}");
    }
}

/// Compares the answers to all streams, and reports every difference, not just the first: they explain each other.
fn compare_all(pair: &Pair, streams: impl IntoIterator<Item = Vec<u8>>, piece: usize) -> Result<()> {
    const ENOUGH: usize = 10;
    let differences = streams.into_iter().filter_map(|stream| pair.compare_in_pieces(stream.chunks(piece)).err());
    let differences: Vec<String> = differences.take(ENOUGH).map(|difference| format!("{difference:#}")).collect();
    ensure!(differences.is_empty(), "{} or more differences:\n{}", differences.len(), differences.join("\n"));
    Ok(())
}

/// Two connections that have nothing to do with the hostile one.
fn converse(pair: &Pair, done: &AtomicBool) -> Result<()> {
    let mut publisher = Client::connect(pair.ours.address())?;
    let mut subscriber = Client::connect(pair.ours.address())?;
    subscriber.subscribe(&format!("{NEXT_DOOR}.*"), "", 1)?;
    subscriber.flush()?;
    let mut round = 0;
    while !done.load(Ordering::Acquire) || round == 0 {
        let publishing = pair.next_door.lock().expect("no panic next door");
        let body = vec![b'a' + (round % 26) as u8; round * 37 % 5000];
        for number in 0..5 {
            publisher.publish(&format!("{NEXT_DOOR}.{number}"), "", &body);
        }
        publisher.flush()?;
        let got = subscriber.flush()?;
        drop(publishing);
        ensure!(got.len() == 5, "round {round}: {} of 5 messages arrived", got.len());
        for (number, message) in got.iter().enumerate() {
            ensure!(message.subject == format!("{NEXT_DOOR}.{number}"), "round {round}: out of order");
            ensure!(message.payload == body, "round {round}: damaged");
        }
        round += 1;
    }
    Ok(())
}

/// Streams somebody has thought of: other protocols, wrong sizes, wrong line ends, wrong names.
fn known_streams() -> Vec<Vec<u8>> {
    let after_connect: &[&str] = &[
        "",
        "\r\n",
        "\n",
        " PING\r\n",
        "PING\r\n",
        "PING",
        "PIN",
        "pInG\r\nPONG\r\nPoNg\n",
        "PING some text\r\nPINGx\r\n",
        "PINX\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "POST /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc",
        "QUIT\r\n",
        "EHLO example.org\r\n",
        "PUB\r\n",
        "PUB \r\n",
        "PUB a\r\n",
        "PUB a b c d\r\n",
        "PUB a -1\r\n",
        "PUB a +1\r\nx\r\n",
        "PUB a 1x\r\n",
        "PUB a 999999999\r\n",
        "PUB a 1048577\r\n",
        "PUB a 9999999999\r\n",
        "PUB a 18446744073709551617\r\n",
        "PUB a 00000000000001\r\nx\r\n",
        "PUB a 2\r\nx\r\n",
        "PUB a 2\r\nxyz\r\n",
        "PUB a 2\r\nxy",
        "PUB a 2\r\nxy\r",
        "PUB a 2\r\nxy\n",
        "PUB a 2\r\nxy\rz",
        "PUB a 2\r\nxyPING\r\n",
        "PUB a 0\r\n",
        "PUB a 0\r\n\r\nPING\r\n",
        "PUB a 0\r\n\n",
        "PUB  a\t r  2 \r\nxy\r\nPING\r\n",
        "PUB\ta\t0\r\n\r\nPING\r\n",
        "PUBa 0\r\n\r\n",
        "SUB\r\n",
        "SUB a\r\n",
        "SUB a b c d\r\n",
        "SUB a 1\r\nPUB a 2\r\nhi\r\nPING\r\n",
        "SUB a 1\r\nPUB a 02\r\nhi\r\nPING\r\n",
        "SUB a q 1\r\nPUB a r 2\r\nhi\r\nPING\r\n",
        "SUB a.. 1\r\nSUB > 2\r\nSUB a.>.b 3\r\nSUB .a 4\r\nSUB * 5\r\nPING\r\n",
        "SUB a _sys_ 1\r\nPING\r\n",
        "SUB a 1\r\nSUB b 1\r\nPUB b 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n",
        "SUB \u{e9}\u{fffd} 1\r\nPUB \u{e9}\u{fffd} 1\r\n\0\r\nPING\r\n",
        "SUB a\0b 1\r\nPUB a\0b 0\r\n\r\nPING\r\n",
        "SUB a 1\r\nUNSUB 1 -1\r\nPUB a 0\r\n\r\nPING\r\n",
        "SUB a 1\r\nUNSUB 1 0\r\nPUB a 0\r\n\r\nPING\r\n",
        "SUB a 1\r\nUNSUB 1 x\r\nPUB a 0\r\n\r\nPING\r\n",
        "SUB a 1\r\nUNSUB 1 99999999999\r\nPUB a 0\r\n\r\nPING\r\n",
        "SUB a 1\r\nUNSUB 1 1\r\nPUB a 0\r\n\r\nPUB a 0\r\n\r\nPING\r\n",
        "UNSUB\r\n",
        "UNSUB \r\n",
        "UNSUB 1 2 3\r\n",
        "UNSUB nosuch\r\nPING\r\n",
        "HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\n",
        "SUB a 1\r\nHPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n",
        "SUB a 1\r\nHPUB a 0 2\r\nhi\r\nPING\r\n",
        "HPUB a 14 12\r\nNATS/1.0\r\n\r\n\r\n",
        "HPUB a 12\r\n",
        "HPUB a b c 12 12\r\n",
        "HPUB a -1 12\r\n",
        "HPUB a 12 1048577\r\n",
        "SUB r 1\r\nPUB nobody r 0\r\n\r\nPING\r\n",
        "PUB _R_.x 0\r\n\r\nPUB a _R_.x 0\r\n\r\nPUB $GR.x 0\r\n\r\nPUB _GR_.x 0\r\n\r\nPUB $NRG.x 0\r\n\r\nPING\r\n",
        "PUB a $JS.ACK.x 0\r\n\r\nPUB a $GR.x 0\r\n\r\nPUB a _GR_.x 0\r\n\r\nPING\r\n",
        "MSG a 1 0\r\n\r\n",
        // The reference takes a whole HMSG from a client for an operation; it is none, and this is where both say so.
        "HMSG a 1 x\r\n",
        "RMSG $G a 0\r\n\r\n",
        "RS+ $G a\r\n",
        "LS+ a\r\n",
        "A+ x\r\n",
        "INFO {}\r\nPING\r\n",
        "INFO {\r\nPING\r\n",
        "INFO\r\nPING\r\n",
        "+OK\r\n+OKAY\r\nPING\r\n",
        "-ERR 'x'\r\nPING\r\n",
        "-ERR\r\nPING\r\n",
        "CONNECT {}\r\nPING\r\n",
        "CONNECT null\r\nPING\r\n",
        "CONNECT []\r\nPING\r\n",
        "CONNECT {\"verbose\":1}\r\nPING\r\n",
        "CONNECT {\"protocol\":2}\r\nPING\r\n",
        "CONNECT {\"protocol\":-1}\r\nPING\r\n",
        "CONNECT {\"account\":\"x\"}\r\nPING\r\n",
        "CONNECT {\"headers\":false}\r\nPING\r\n",
        "CONNECT {\"a\":{\"b\":[[[[[[[[[[1]]]]]]]]]]}}\r\nPING\r\n",
        "CONNECT {\"name\":\"\\u0000\\ud800\"}\r\nPING\r\n",
        "CONNECT\r\nPING\r\n",
        "CONNECT{\"verbose\":false}\r\nPING\r\n",
        "CONNECT {\"verbose\":false}{}\r\nPING\r\n",
        "SUB a 1\r\nCONNECT {\"verbose\":true}\r\nPUB a 0\r\n\r\nPING\r\n",
        "CONNEXT {}\r\n",
        "PING\r\nPING\r\nZZZ",
        "PUB a 3\r\nabc\r\nZ",
    ];
    let mut streams: Vec<Vec<u8>> =
        after_connect.iter().map(|stream| [GREETING.as_bytes(), stream.as_bytes()].concat()).collect();
    streams.extend(after_connect.iter().map(|stream| stream.as_bytes().to_vec()));
    // A TLS hello, bytes of every value, much of one.
    streams.push(b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03".to_vec());
    streams.push((0..=255).collect());
    streams.push(vec![0; 400]);
    streams.push(vec![b'P'; 400]);
    streams.push([GREETING.as_bytes(), b"SUB a 1\r\nPUB a 4\r\n\x00\xff\r\n\r\nPING\r\n"].concat());
    streams
}

/// Whole operations, of which a stream is made before it is damaged.
fn some_operation(rng: &mut Rng) -> Vec<u8> {
    let subjects = ["a", "a.b", "a.*", "a.>", "*", ">", "a..b", "b", "in.box"];
    let subject = subjects[rng.usize(0..subjects.len())];
    let sid = rng.u8(1..5);
    let mut out = Vec::new();
    match rng.u8(0..12) {
        0 | 1 => out.extend(format!("SUB {subject} {sid}\r\n").bytes()),
        2 => out.extend(format!("SUB {subject} q{} {sid}\r\n", rng.u8(0..2)).bytes()),
        3 => out.extend(format!("UNSUB {sid}\r\n").bytes()),
        4 => out.extend(format!("UNSUB {sid} {}\r\n", rng.u8(0..4)).bytes()),
        5 | 6 => put_publish(&mut out, subject, "", &vec![b'x'; rng.usize(0..20)]),
        7 => put_publish(&mut out, subject, "in.box", b"PING\r\n"),
        8 => out.extend(format!("HPUB {subject} 16 18\r\nNATS/1.0\r\nA:b\r\n\r\nhi\r\n").bytes()),
        9 => out.extend(b"PONG\r\n"),
        10 => out.extend(GREETING.bytes()),
        _ => out.extend(b"PING\r\n"),
    }
    out
}

/// At most [`ONE_READ`] bytes, so that both servers see them in one read: some answers of the
/// reference depend on where its reads end.
fn damaged_stream(rng: &mut Rng) -> Vec<u8> {
    let mut stream = if rng.u8(0..5) == 0 { Vec::new() } else { GREETING.as_bytes().to_vec() };
    let whole = stream.len();
    while stream.len() < ONE_READ / 2 || rng.bool() {
        let operation = some_operation(rng);
        if stream.len() + operation.len() > ONE_READ - 40 {
            break;
        }
        stream.extend(operation);
    }
    for _ in 0..rng.usize(0..4) {
        // What was taken away before may have been all.
        let Some(last) = stream.len().checked_sub(1) else { break };
        let at = rng.usize(whole.min(last)..=last);
        match rng.u8(0..6) {
            0 => drop(stream.remove(at)),
            1 => stream.insert(at, rng.u8(..)),
            2 => stream[at] = rng.u8(..),
            3 => stream[at] = b" \t\r\n0.*>"[rng.usize(0..8)],
            4 => stream.truncate(at + 1),
            _ => {
                let end = (at + rng.usize(1..12)).min(stream.len());
                let part = stream[at..end].to_vec();
                stream.splice(at..at, part);
            }
        }
    }
    stream
}

/// Where the reference's answer is an accident there is nothing to compare: a CR inside a line ends an argument, is
/// part of it or vanishes, as its reads fall, and an LF in place of an argument begins one.
fn is_comparable(stream: &[u8]) -> bool {
    let stream = stream.to_ascii_lowercase();
    let has = |part: &[u8]| stream.windows(part.len()).any(|window| window == part);
    stream.windows(2).all(|pair| pair[0] != b'\r' || pair[1] == b'\n')
        && ![&b" \n"[..], b"\t\n", b"connect\n", b"info\n"].into_iter().any(has)
}

#[test]
fn known_bad_streams_are_answered_alike() {
    beside_a_conversation(2, |pair, _| compare_all(pair, known_streams(), usize::MAX));
}

#[test]
fn known_bad_streams_are_answered_alike_byte_by_byte() {
    beside_a_conversation(4, |pair, _| {
        // Where the reference's answer depends on where its reads end (a pedantic check is repeated when the payload
        // comes later) there is nothing to compare: these streams are not pedantic.
        let streams = known_streams().into_iter().filter(|stream| stream.starts_with(GREETING.as_bytes()));
        compare_all(pair, streams, 1)
    });
}

#[test]
fn damaged_streams_are_answered_alike() {
    for shards in [1, 4] {
        beside_a_conversation(shards, |pair, rng| {
            let streams =
                std::iter::repeat_with(|| damaged_stream(rng)).filter(|stream| is_comparable(stream)).take(1500);
            compare_all(pair, streams, usize::MAX)
        });
    }
}

#[test]
fn random_bytes_are_answered_alike() {
    beside_a_conversation(2, |pair, rng| {
        (0..500).try_for_each(|round| {
            let length = rng.usize(1..200);
            let bytes = (0..length).map(|_| rng.u8(..));
            let start = if round % 2 == 0 { GREETING.as_bytes() } else { b"" };
            pair.compare(&start.iter().copied().chain(bytes).collect::<Vec<u8>>())
        })
    });
}

/// An endless line, an endless subject, an endless CONNECT: refused when the limit is passed, not when they end.
#[test]
fn endless_arguments_are_cut_off() {
    beside_a_conversation(2, |pair, _| {
        for beginning in ["SUB ", "PUB ", "UNSUB ", "CONNECT ", "INFO ", "HPUB "] {
            let stream = [GREETING.as_bytes(), beginning.as_bytes(), &[b'a'; 20_000]].concat();
            pair.compare_until_closed(&stream)?;
        }
        Ok(())
    });
}

/// Connections that come and go in every state, by the hundred, with nobody else the worse for it.
#[test]
fn connections_dropped_in_every_state_leave_no_trace() {
    for shards in [1, 4] {
        beside_a_conversation(shards, |pair, rng| {
            let address = pair.ours.address();
            for _ in 0..400 {
                let mut client = match rng.u8(0..3) {
                    0 => Client::dial(address)?,
                    1 => Client::open(address)?,
                    _ => Client::connect(address)?,
                };
                let mut stream =
                    [GREETING.as_bytes(), b"SUB drop.> 1\r\nSUB drop.* q 2\r\nPUB drop.a 5\r\nhello\r\n"].concat();
                stream.truncate(rng.usize(0..=stream.len()));
                client.send(&stream)?;
                match rng.u8(0..4) {
                    0 => client.abort()?,
                    1 => client.half_close()?,
                    2 => {
                        client.half_close()?;
                        client.wait_for_close()?;
                    }
                    _ => drop(client),
                }
            }
            nobody_wants(pair, "drop.a")
        });
    }
}

/// Fifty thousand subscriptions, then a reset: the interest goes with the connection.
#[test]
fn a_connection_with_many_subscriptions_can_vanish() {
    for shards in [1, 4] {
        beside_a_conversation(shards, |pair, _| {
            for round in 0..2 {
                let mut client = Client::connect(pair.ours.address())?;
                for sid in 0..50_000 {
                    let pattern = ["many.{}.>", "many.{}", "many.*.{}"][sid % 3].replace("{}", &sid.to_string());
                    client.queue(format!("SUB {pattern} {sid}\r\n").as_bytes());
                }
                client.flush()?;
                if round == 0 {
                    client.abort()?
                } else {
                    drop(client)
                }
                nobody_wants(pair, "many.1")?;
                nobody_wants(pair, "many.0.x")?;
            }
            Ok(())
        });
    }
}

/// Waits until a request on `subject` is refused because nobody is subscribed any more.
fn nobody_wants(pair: &Pair, subject: &str) -> Result<()> {
    let options = r#"{"verbose":false,"pedantic":false,"headers":true,"no_responders":true}"#;
    let mut client = Client::connect_with(pair.ours.address(), options)?;
    client.subscribe("refusals", "", 1)?;
    let gone = pinmesh_harness::poll_until(pinmesh_harness::DEADLINE, || {
        client.publish(subject, "refusals", b"");
        client.flush().ok().filter(|answers| !answers.is_empty())
    });
    gone.map(drop).with_context(|| format!("somebody is still subscribed to {subject}"))
}

/// Half an operation, for as long as it takes others to do thousands: nobody waits for it.
#[test]
fn a_slow_writer_holds_nobody_up() {
    beside_a_conversation(1, |pair, _| {
        let mut slow = Vec::new();
        for stream in ["PUB a 100\r\nabc", "CONNECT {\"verb", "SUB a", "P", "PUB a 2\r\nhi\r"] {
            let mut client = Client::open(pair.ours.address())?;
            client.send(stream.as_bytes())?;
            slow.push(client);
        }
        let mut quick = Client::connect(pair.ours.address())?;
        quick.subscribe("quick", "", 1)?;
        for round in 0..2000 {
            quick.publish("quick", "", b"x");
            ensure!(quick.flush()?.len() == 1, "round {round}: the message has not come");
        }
        slow[0].send(&[b'x'; 97])?;
        slow[0].send(b"\r\nPING\r\n")?;
        loop {
            match slow[0].frame()? {
                Frame::Pong => return Ok(()),
                Frame::Ok => {}
                other => bail!("{} after a slow PUB", printable(format!("{other:?}").as_bytes())),
            }
        }
    });
}
