//! A cluster of five servers is replaced by another kind of servers, one server at a time and at the same addresses, and
//! back, while applications publish and listen on all of them. What they check stands in
//! `tests/clients/python/rolling.py`.

use std::env;
use std::path::Path;
use std::process::Command;

use pinmesh_harness::Kind::{self, Old, Ours, Reference};
use pinmesh_harness::cluster::{CLUSTER_NAME, routes};
use pinmesh_harness::{Cluster, Member, Seat, Signal, scenarios};

const SERVERS: usize = 5;

/// How a server goes.
#[derive(Clone, Copy, Debug)]
enum Farewell {
    /// It sends its clients away and then ends.
    LameDuck,
    /// It ends when it is asked to.
    Terminate,
    /// It ends without a word.
    Kill,
}

/// Replaces all servers of one kind by another kind, and back.
fn roll(from: Kind, to: Kind) {
    let seats = Seat::several(SERVERS);
    let start = |kind: Kind, seat: &Seat| {
        let cluster = format!("name: {CLUSTER_NAME}\n  {}", routes(&seats));
        Member::start(kind, *seat, &cluster, "lame_duck_duration: 30s\nlame_duck_grace_period: 100ms")
    };
    let mut cluster = Cluster { members: seats.iter().map(|seat| start(from, seat)).collect() };
    cluster.wait_for_mesh().unwrap_or_else(|error| panic!("{error:#}"));

    let python = env::var_os("PINMESH_PYTHON").expect("PINMESH_PYTHON is set; run tools/test, which sets it");
    let mut applications = Command::new(python);
    applications.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python/rolling.py"));
    let urls: Vec<String> = seats.iter().map(Seat::client_url).collect();
    let mut replaced = 0;
    scenarios::converse(applications, &urls.join(","), &["rolling"], |wish| {
        let server: usize = wish.strip_prefix("replace ")?.parse().ok()?;
        let member = &mut cluster.members[server];
        let farewell = match (replaced % 3, member.kind.is_ours()) {
            (0, false) => Farewell::LameDuck,
            (1, _) => Farewell::Kill,
            _ => Farewell::Terminate,
        };
        say_farewell(member, farewell);
        *member = start(if replaced < SERVERS { to } else { from }, &seats[server]);
        replaced += 1;
        cluster.wait_for_mesh().unwrap_or_else(|error| panic!("{} ({farewell:?}): {error:#}", cluster.line_up()));
        Some("replaced")
    });
    assert_eq!(replaced, 2 * SERVERS);
}

fn say_farewell(member: &mut Member, farewell: Farewell) {
    match farewell {
        Farewell::LameDuck => {
            member.server.signal(Signal::USR2);
            member.server.wait();
        }
        Farewell::Terminate => {
            member.server.terminate();
        }
        Farewell::Kill => {
            member.server.kill();
        }
    }
}

#[test]
fn references_by_older_ones() {
    roll(Reference, Old);
}

#[test]
fn references_by_ours() {
    roll(Reference, Ours(2));
}

#[test]
fn older_ones_by_ours() {
    roll(Old, Ours(1));
}
