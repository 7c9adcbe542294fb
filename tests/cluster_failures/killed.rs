//! A server is killed in the middle of a load and comes back.

use anyhow::{Context, Result};
use pinmesh_harness::load::Load;
use pinmesh_harness::witness::{wait_until_meshed, wait_until_wanted};
use pinmesh_harness::{Cluster, LineUp, line_ups};

line_ups!(the_seed_is_killed with old);
line_ups!(one_of_the_others_is_killed with old);

fn the_seed_is_killed(line_up: LineUp) -> Result<()> {
    killed(line_up, 0)
}

fn one_of_the_others_is_killed(line_up: LineUp) -> Result<()> {
    killed(line_up, 1)?;
    killed(line_up, 2)
}

fn killed(line_up: LineUp, victim: usize) -> Result<()> {
    let mut cluster = Cluster::start(&line_up.kinds(3))?;
    wait_until_meshed(&cluster.members)?;
    let survivors: Vec<usize> = (0..3).filter(|&member| member != victim).collect();
    let mut witness = cluster.client(survivors[1])?;
    witness.subscribe("only.the.witness", "", 1)?;
    let mut of_victim = cluster.client(victim)?;
    of_victim.subscribe("only.the.victim", "", 1)?;
    of_victim.flush()?;
    wait_until_wanted(&mut witness, "only.the.victim", true);
    let load = Load::start(cluster.members.iter().map(|member| member.server.address()));
    load.wait_for_progress(&[0, 1, 2]);

    let address = cluster.members[victim].server.address();
    cluster.members[victim].server.kill();
    let moved_to = load.wait_for_move(victim, address);
    let is_survivor = |&&member: &&usize| cluster.members[member].server.address() == moved_to;
    survivors.iter().find(is_survivor).with_context(|| format!("{moved_to} is no survivor"))?;
    load.wait_for_progress(&[0, 1, 2]);
    wait_until_meshed(survivors.iter().map(|&survivor| &cluster.members[survivor]))?;
    wait_until_wanted(&mut witness, "only.the.victim", false);

    cluster.members[victim].server.restart();
    wait_until_meshed(&cluster.members)?;
    of_victim = cluster.client(victim)?;
    of_victim.subscribe("only.the.victim", "", 1)?;
    of_victim.flush()?;
    wait_until_wanted(&mut witness, "only.the.victim", true);
    wait_until_wanted(&mut of_victim, "only.the.witness", true);
    load.wait_for_progress(&[0, 1, 2]);
    load.finish(&[0, 1, 2]).nothing_lost_between(&survivors);
    Ok(())
}
