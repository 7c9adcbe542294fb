//! What stands between two servers that dial each other: it lets nobody through until both have come, and can throw
//! everybody out again.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::Result;

/// Two ways, one to each server.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    entrances: [u16; 2],
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How often everybody was thrown out.
    round: usize,
    /// How many have come for each way in this round.
    arrived: [usize; 2],
    /// Those that were let through: the way, and both sockets, by a number of their own.
    through: BTreeMap<u64, (usize, TcpStream, TcpStream)>,
    next: u64,
    over: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gate {
    /// A gate to the servers at these route ports.
    pub fn new(targets: [u16; 2]) -> Result<Gate> {
        let shared = Arc::new(Shared::default());
        let mut entrances = [0; 2];
        for (way, target) in targets.into_iter().enumerate() {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            entrances[way] = listener.local_addr()?.port();
            let shared = Arc::clone(&shared);
            thread::spawn(move || {
                for stream in listener.incoming() {
                    if shared.state().over {
                        return;
                    }
                    let Ok(stream) = stream else { return };
                    let shared = Arc::clone(&shared);
                    thread::spawn(move || pass(&shared, way, stream, target));
                }
            });
        }
        Ok(Gate { shared, entrances })
    }

    /// The port that leads to a server.
    pub fn entrance(&self, way: usize) -> u16 {
        self.entrances[way]
    }

    /// The ports from which the gate has connected to a server, one for each connection that is through.
    pub fn exits(&self, way: usize) -> Vec<u16> {
        let state = self.shared.state();
        let connections = state.through.values().filter(|(to, ..)| *to == way);
        let mut ports: Vec<u16> =
            connections.filter_map(|(_, _, exit)| exit.local_addr().ok()).map(|address| address.port()).collect();
        ports.sort_unstable();
        ports
    }

    /// Throws everybody out, and waits for both again.
    pub fn shut(&self) {
        let mut state = self.shared.state();
        state.round += 1;
        state.arrived = [0; 2];
        for (_, entered, left) in state.through.values() {
            for stream in [entered, left] {
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
        state.through.clear();
        self.shared.changed.notify_all();
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.state().over = true;
        self.shut();
        for port in self.entrances {
            let _ = TcpStream::connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        }
    }
}

/// Lets one connection through when somebody has come for the other way too.
fn pass(shared: &Shared, way: usize, entered: TcpStream, target: u16) -> Option<()> {
    let mut state = shared.state();
    let round = state.round;
    state.arrived[way] += 1;
    shared.changed.notify_all();
    while state.arrived.contains(&0) && state.round == round && !state.over {
        state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    if state.round != round || state.over {
        return None;
    }
    let left = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).ok()?;
    for stream in [&entered, &left] {
        stream.set_nodelay(true).ok()?;
    }
    let number = state.next;
    state.next += 1;
    state.through.insert(number, (way, entered.try_clone().ok()?, left.try_clone().ok()?));
    drop(state);
    thread::scope(|scope| {
        scope.spawn(|| carry(&entered, &left));
        carry(&left, &entered);
    });
    shared.state().through.remove(&number);
    Some(())
}

/// Carries bytes to their end, and then says that no more will come.
fn carry(mut from: &TcpStream, mut to: &TcpStream) {
    let _ = io::copy(&mut from, &mut to);
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
