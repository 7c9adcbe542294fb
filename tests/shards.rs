//! Any number of shards, fewer or more than there are cores: connections are spread evenly, and messages pass from
//! each shard to each other.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result, ensure};
use pinmesh_harness::{Client, Server, Side, eventually};

/// Every connection gets a message from every other one.
fn everybody_hears_everybody(server: &Server, connections: usize) -> Result<()> {
    let mut clients = (0..connections).map(|_| Client::connect(server.address())).collect::<Result<Vec<_>>>()?;
    for client in &mut clients {
        client.subscribe("all.*", "", 1)?;
        client.flush()?;
    }
    let mut got = vec![0; connections];
    for (index, client) in clients.iter_mut().enumerate() {
        client.publish(&format!("all.{index}"), "", b"here");
        got[index] += client.flush()?.len();
    }
    for (index, client) in clients.iter_mut().enumerate() {
        got[index] += client.flush()?.len();
    }
    ensure!(got.iter().all(|&got| got == connections), "{connections} messages due to each, {got:?} came");
    Ok(())
}

#[test]
fn every_number_of_shards_works() {
    for shards in [1, 2, 3, 5, 16, 64, 255, 256] {
        let mut server = Side::Ours.server().shards(shards).start();
        if let Err(error) = everybody_hears_everybody(&server, shards.clamp(4, 100)) {
            panic!("{shards} shards: {error:#}");
        }
        assert!(server.terminate().code().is_some(), "{shards} shards end in order");
    }
}

#[test]
fn connections_are_spread_evenly() {
    for shards in [2, 4, 8] {
        let server = Side::Ours.server().shards(shards).start();
        let listeners = polled_sockets(&server).expect("the polls of the server");
        let connections = || -> Option<Vec<usize>> {
            let polled = polled_sockets(&server).ok()?;
            let count = |(poll, sockets): (&String, &usize)| sockets - listeners.get(poll).copied().unwrap_or(0);
            Some(polled.iter().map(count).collect())
        };
        let expect_even = |total: usize| {
            eventually("connections spread evenly", || {
                let counts = connections()?;
                let (least, most) = (counts.iter().min()?, counts.iter().max()?);
                (counts.len() == shards && counts.iter().sum::<usize>() == total && most - least <= 1).then_some(())
            });
        };
        let connect = || Client::connect(server.address()).expect("a connection");
        let mut clients: Vec<Client> = (0..40).map(|_| connect()).collect();
        expect_even(40);
        // Those that stay share a few shards; those that come must make up for it.
        clients = clients.into_iter().step_by(shards).collect();
        let staying = clients.len();
        eventually("the closed connections are gone", || {
            (connections()?.iter().sum::<usize>() == staying).then_some(())
        });
        clients.extend((staying..80).map(|_| connect()));
        expect_even(80);
    }
}

/// By epoll instance, the number of sockets in it: what each shard polls, as the kernel tells it.
fn polled_sockets(server: &Server) -> Result<BTreeMap<String, usize>> {
    let dir = format!("/proc/{}", server.pid());
    let mut polled = BTreeMap::new();
    for entry in fs::read_dir(format!("{dir}/fdinfo")).with_context(|| format!("cannot list {dir}/fdinfo"))? {
        let entry = entry?;
        // A connection's descriptor may be closed by now.
        let Ok(info) = fs::read_to_string(entry.path()) else { continue };
        let watched = info.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next());
        let is_socket = |fd: &&str| {
            fs::read_link(format!("{dir}/fd/{fd}")).is_ok_and(|target| target.to_string_lossy().starts_with("socket:"))
        };
        let sockets = watched.filter(is_socket).count();
        if sockets > 0 {
            polled.insert(entry.file_name().to_string_lossy().into_owned(), sockets);
        }
    }
    Ok(polled)
}
