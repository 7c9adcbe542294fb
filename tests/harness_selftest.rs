//! The harness itself, on which every other black-box test leans: servers start on free ports, come back on the
//! same one, end, and leave nothing behind.

use std::collections::BTreeSet;
use std::net::TcpStream;

use pinmesh_harness::{Cluster, Kind, Side, Signal};

#[test]
fn a_server_restarts_on_its_port() {
    let mut server = Side::Reference.server().start();
    let port = server.port();
    TcpStream::connect(server.address()).expect("the server listens");
    server.restart();
    assert_eq!(server.port(), port);
    TcpStream::connect(server.address()).expect("the server listens again");
}

#[test]
fn configuration_and_arguments_reach_the_server() {
    let server = Side::Reference.server().arg("-D").args(["-m", "-1"]).config("max_payload: 12345").start();
    assert!(server.log().contains("Using configuration file: "), "{}", server.log());
    TcpStream::connect(server.monitor_address()).expect("the monitoring listens");
    TcpStream::connect(server.address()).expect("the server listens");
    server.wait_for_log("Client connection created");
}

#[test]
fn signals_end_a_server() {
    let mut server = Side::Reference.server().start();
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(0));
    assert!(TcpStream::connect(server.address()).is_err(), "nobody listens any more");
}

#[test]
fn a_dropped_server_leaves_nothing() {
    let server = Side::Reference.server().start();
    let (address, dir) = (server.address(), server.dir().to_owned());
    drop(server);
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    assert!(!dir.exists(), "its directory is gone");
}

#[test]
fn a_program_that_ends_is_told_apart_from_one_that_runs() {
    let version = Side::Reference.server().arg("--version").run();
    assert_eq!(version.status.code(), Some(0));
    assert_eq!(version.stdout, "nats-server: v2.15.1\n");
    let wrong = Side::Reference.server().args(["-c", "no-such.conf"]).run();
    assert_eq!(wrong.status.code(), Some(1));
    assert!(wrong.stderr.contains("no-such.conf"), "{}", wrong.stderr);
}

#[test]
#[should_panic(expected = "nats-server is not ready for clients")]
fn a_server_that_does_not_start_fails_the_test() {
    Side::Reference.server().config("no_such_key: 1").start();
}

#[test]
fn a_cluster_is_ready_when_all_servers_hear_each_other() {
    let mut cluster = Cluster::start(&[Kind::Reference, Kind::Old, Kind::Reference]).expect("a cluster");
    let ids: BTreeSet<String> = cluster.members.iter().map(|member| member.id().expect("an id")).collect();
    for member in &cluster.members {
        let mut known = member.remotes().expect("remote servers");
        known.insert(member.id().expect("an id"));
        assert_eq!(known, ids, "{member}");
    }
    cluster.members[1].server.restart();
    cluster.wait_for_mesh().expect("the mesh comes back");
}
