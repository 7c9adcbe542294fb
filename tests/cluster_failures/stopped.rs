//! A server is stopped (SIGSTOP) and goes on later: too early for anybody to notice, or after the others have given it up.

use anyhow::{Context, Result};
use pinmesh_harness::load::Load;
use pinmesh_harness::witness::{wait_until_meshed, wait_until_wanted};
use pinmesh_harness::{Cluster, LineUp, Signal, line_ups};

line_ups!(a_short_stop_goes_unnoticed with old);
line_ups!(the_seed_stops_for_long);
line_ups!(another_stops_for_long);

/// Lets a server give up a route that is silent for two seconds, which is longer than a busy machine makes a process wait.
const IMPATIENT: &str = "ping_interval: \"600ms\"\n  ping_max: 3";
/// How many messages wait for the stopped server.
const WAITING: usize = 2000;

fn a_short_stop_goes_unnoticed(line_up: LineUp) -> Result<()> {
    let cluster = Cluster::start(&line_up.kinds(3))?;
    wait_until_meshed(&cluster.members)?;
    let mut subscriber = cluster.client(1)?;
    subscriber.subscribe("waiting", "", 1)?;
    let mut publisher = cluster.client(2)?;
    cluster.settle([&mut subscriber])?;
    let load = Load::start([0, 2].map(|member: usize| cluster.members[member].server.address()));
    load.wait_for_progress(&[0, 1]);

    cluster.members[1].server.signal(Signal::STOP);
    for number in 0..WAITING {
        publisher.publish("waiting", "", number.to_string().as_bytes());
    }
    publisher.flush()?;
    load.wait_for_progress(&[0, 1]);
    cluster.members[1].server.signal(Signal::CONT);

    for number in 0..WAITING {
        let message = subscriber.message().with_context(|| format!("message {number}"))?;
        assert_eq!(String::from_utf8(message.payload)?, number.to_string());
    }
    load.finish(&[0, 1]).nothing_lost_between(&[0, 1]);
    for member in &cluster.members {
        let log = member.server.log();
        assert!(!log.contains("Router connection closed: Stale Connection"), "{member}: {log}");
    }
    Ok(())
}

fn the_seed_stops_for_long(line_up: LineUp) -> Result<()> {
    stopped_for_long(line_up, 0)
}

fn another_stops_for_long(line_up: LineUp) -> Result<()> {
    stopped_for_long(line_up, 1)
}

fn stopped_for_long(line_up: LineUp, stopped: usize) -> Result<()> {
    let cluster = Cluster::start_with(&line_up.kinds(3), |_, _| IMPATIENT.to_owned())?;
    wait_until_meshed(&cluster.members)?;
    let others = [(stopped + 1) % 3, (stopped + 2) % 3].map(|member| &cluster.members[member]);
    let mut of_stopped = cluster.client(stopped)?;
    of_stopped.subscribe("only.the.stopped", "", 1)?;
    of_stopped.flush()?;
    let mut witnesses = [others[0].client()?, others[1].client()?];
    for witness in &mut witnesses {
        wait_until_wanted(witness, "only.the.stopped", true);
    }
    let load = Load::start(others.map(|member| member.server.address()));
    load.wait_for_progress(&[0, 1]);

    cluster.members[stopped].server.signal(Signal::STOP);
    wait_until_meshed(others)?;
    for witness in &mut witnesses {
        wait_until_wanted(witness, "only.the.stopped", false);
    }
    load.wait_for_progress(&[0, 1]);
    for member in others {
        member.server.wait_for_log("Router connection closed: Stale Connection");
    }
    cluster.members[stopped].server.signal(Signal::CONT);

    wait_until_meshed(&cluster.members)?;
    for witness in &mut witnesses {
        wait_until_wanted(witness, "only.the.stopped", true);
    }
    load.finish(&[0, 1]).nothing_lost_between(&[0, 1]);
    Ok(())
}
