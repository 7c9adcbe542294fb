//! Servers are killed, stopped and brought back at random under load; when all of them are well again, the cluster is as if
//! nothing had happened.

use std::env;
use std::thread;
use std::time::Duration;

use anyhow::Result;
use pinmesh_harness::cluster::{CLUSTER_NAME, Member, Seat, routes};
use pinmesh_harness::load::Load;
use pinmesh_harness::witness::wait_until_meshed;
use pinmesh_harness::{LineUp, Signal, line_ups};

use crate::crowd::{Listener, everybody_hears_everybody};

line_ups!(whatever_happens);

const SERVERS: usize = 5;
const EVENTS: usize = 16;
/// Longest time between two events, in milliseconds: some stops are long enough to be noticed, and some are not.
const LONGEST_CALM: u64 = 500;
const SETTINGS: &str = "ping_interval: \"300ms\"\n  ping_max: 2";
/// Repeats a storm.
const SEED: &str = "PINMESH_SEED";

#[derive(Clone, Copy, PartialEq)]
enum State {
    Well,
    Stopped,
    Dead,
}

fn whatever_happens(line_up: LineUp) -> Result<()> {
    let seed = env::var(SEED).map_or_else(|_| Ok(fastrand::u64(..)), |seed| seed.parse())?;
    eprintln!("{SEED}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let seats = Seat::several(SERVERS);
    let cluster = format!("name: {CLUSTER_NAME}\n  {}\n  {SETTINGS}", routes(&seats));
    let start = |(kind, &seat)| Member::start(kind, seat, &cluster, "");
    let mut members: Vec<Member> = line_up.kinds(SERVERS).into_iter().zip(&seats).map(start).collect();
    wait_until_meshed(&members)?;
    let all: Vec<usize> = (0..SERVERS).collect();
    let load = Load::start(members.iter().map(|member| member.server.address()));
    load.wait_for_progress(&all);

    let mut states = [State::Well; SERVERS];
    for _ in 0..EVENTS {
        let number = random.usize(0..SERVERS);
        let others = states.iter().enumerate().filter(|&(other, &state)| other != number && state == State::Well);
        // Somebody must be there for the clients of a server that dies.
        let state = match states[number] {
            State::Well if others.count() == 0 => State::Well,
            State::Well if random.bool() => State::Stopped,
            State::Well => State::Dead,
            State::Stopped | State::Dead => State::Well,
        };
        change(&mut members[number], states[number], state);
        states[number] = state;
        thread::sleep(Duration::from_millis(random.u64(0..LONGEST_CALM)));
    }
    for (member, state) in members.iter_mut().zip(states) {
        change(member, state, State::Well);
    }

    wait_until_meshed(&members)?;
    let mut listeners = members.iter().map(Listener::new).collect::<Result<Vec<_>>>()?;
    everybody_hears_everybody(&mut listeners)?;
    load.wait_for_progress(&all);
    load.finish(&all);
    Ok(())
}

fn change(member: &mut Member, from: State, to: State) {
    match (from, to) {
        (State::Well, State::Stopped) => member.server.signal(Signal::STOP),
        (State::Stopped, State::Well) => member.server.signal(Signal::CONT),
        (State::Dead, State::Well) => member.server.restart(),
        (_, State::Dead) => drop(member.server.kill()),
        _ => {}
    }
}
