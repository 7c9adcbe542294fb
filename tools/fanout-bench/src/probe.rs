//! Probes: messages that show that interest has come from one server to another.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::client;
use crate::progress::patience;
use crate::request::random_token;

/// Far from the sids that the subscriptions of a run use.
const SID: &str = "9000000000";
/// Between two probes.
const PAUSE: Duration = Duration::from_millis(1);

/// Waits until messages of everybody in `from` reach everybody in `to`.
///
/// Each receiver subscribes to a subject of its own, behind everything it subscribed to before. Servers announce the
/// interest of a connection in order, so where a probe finds its way, all that came before is known as well.
pub fn reach(from: &mut [TcpStream], to: &mut [TcpStream]) -> Result<()> {
    let token = random_token(16);
    for (receiver_number, receiver) in to.iter_mut().enumerate() {
        let subject = format!("_PROBE.{token}.{receiver_number}");
        receiver.write_all(format!("SUB {subject} {SID}\r\n").as_bytes())?;
        for (number, publisher) in from.iter_mut().enumerate() {
            // A late probe of the publisher before this one says nothing about this one.
            let payload = format!("{number:04}");
            let deadline = Instant::now() + patience();
            let mut arrived = false;
            while !arrived {
                if Instant::now() > deadline {
                    bail!("interest did not come from server to server within {:?}", patience());
                }
                publisher.write_all(format!("PUB {subject} {}\r\n{payload}\r\n", payload.len()).as_bytes())?;
                client::barrier(publisher)?;
                thread::sleep(PAUSE);
                client::collect(receiver, |message| {
                    arrived |= message.payload == payload.as_bytes();
                    Ok(())
                })?;
            }
        }
        receiver.write_all(format!("UNSUB {SID}\r\n").as_bytes())?;
        client::collect(receiver, |_| Ok(()))?;
    }
    Ok(())
}
