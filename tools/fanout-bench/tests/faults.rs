//! The program against a server that does not keep its promises: every fault must be found and named.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};
use std::thread;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    Lose,
    Double,
    Swap,
    Alter,
    Hang,
}

/// The message that the fault hits.
const VICTIM: usize = 500;

/// A server for one subject that breaks one promise once.
struct FaultyServer {
    fault: Fault,
    subscribers: Mutex<Vec<(String, TcpStream)>>,
    published: Mutex<Published>,
}

#[derive(Default)]
struct Published {
    count: usize,
    held_back: Option<Vec<u8>>,
}

impl FaultyServer {
    fn start(fault: Fault) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = Arc::new(FaultyServer { fault, subscribers: Mutex::default(), published: Mutex::default() });
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let server = server.clone();
                // A connection that the program cuts ends its thread with an error: that is its end.
                thread::spawn(move || server.serve(stream));
            }
        });
        address
    }

    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        stream.write_all(b"INFO {}\r\n")?;
        let mut input = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        while input.read_line(&mut line)? > 0 {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                ["PING"] => stream.write_all(b"PONG\r\n")?,
                ["SUB", _, sid] => self.subscribers.lock().unwrap().push((sid.to_string(), stream.try_clone()?)),
                ["PUB", subject, size] => {
                    let mut payload = vec![0; size.parse::<usize>().unwrap() + 2];
                    input.read_exact(&mut payload)?;
                    self.publish(subject, payload)?;
                }
                _ => {}
            }
            line.clear();
        }
        Ok(())
    }

    fn publish(&self, subject: &str, mut payload: Vec<u8>) -> std::io::Result<()> {
        let mut published = self.published.lock().unwrap();
        published.count += 1;
        let hit = published.count == VICTIM;
        match self.fault {
            Fault::Lose if hit => return Ok(()),
            Fault::Hang if published.count >= VICTIM => return Ok(()),
            Fault::Double if hit => self.deliver(subject, &payload)?,
            Fault::Alter if hit => payload[12] ^= 1,
            Fault::Swap if hit => {
                published.held_back = Some(payload);
                return Ok(());
            }
            _ => {}
        }
        self.deliver(subject, &payload)?;
        match published.held_back.take() {
            Some(late) => self.deliver(subject, &late),
            None => Ok(()),
        }
    }

    fn deliver(&self, subject: &str, payload: &[u8]) -> std::io::Result<()> {
        for (sid, stream) in self.subscribers.lock().unwrap().iter_mut() {
            let mut frame = format!("MSG {subject} {sid} {}\r\n", payload.len() - 2).into_bytes();
            frame.extend_from_slice(payload);
            stream.write_all(&frame)?;
        }
        Ok(())
    }
}

/// Exit code and standard error of a run against a server with this fault.
fn run_against(fault: Fault) -> (Option<i32>, String) {
    let address = FaultyServer::start(fault);
    let Output { status, stderr, .. } = Command::new(env!("CARGO_BIN_EXE_fanout-bench"))
        .args(["fanout", "-n", "2", "--pairs", "1", "--duration", "0.2", "--warmup", "0.1", "--load-cores", "any"])
        .args(["--patience", if fault == Fault::Hang { "0.5" } else { "10" }])
        .args(["--url", &format!("nats://{address}")])
        .output()
        .unwrap();
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

fn must_report(fault: Fault, words: &str) {
    let (code, text) = run_against(fault);
    assert_eq!(code, Some(1), "{fault:?}: {text}");
    assert!(text.contains(words), "{fault:?} must be reported as {words:?}: {text}");
}

#[test]
fn a_server_without_faults_passes() {
    assert_eq!(run_against(Fault::None), (Some(0), String::new()));
}

#[test]
fn a_lost_message() {
    must_report(Fault::Lose, "message 500 came where 499 was due: 1 lost or overtaken");
}

#[test]
fn a_doubled_message() {
    must_report(Fault::Double, "message 499 came again or late");
}

#[test]
fn two_messages_in_the_wrong_order() {
    must_report(Fault::Swap, "message 500 came where 499 was due");
}

#[test]
fn an_altered_message() {
    must_report(Fault::Alter, "a message that nobody published, or with other content");
}

#[test]
fn messages_that_never_come() {
    must_report(Fault::Hang, "lost: ");
}
