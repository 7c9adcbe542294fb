//! The port for routes, and dialling others: what happens before a connection is a route.

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, TcpStream};

use anyhow::Result;
use pinmesh_harness::cluster::{Cluster, Kind, Member, Seat, free_port, routes};
use pinmesh_harness::{Client, Signal, eventually, monitoring};
use serde_json::Value;

/// More connections than may shake hands at once.
const CROWD: usize = 1100;

/// A connection to the port for routes, which the reference opens a moment after it says that it is ready.
fn knock(seat: Seat) -> Result<TcpStream> {
    let connect = || TcpStream::connect((Ipv4Addr::LOCALHOST, seat.route)).ok();
    let stream = eventually("the port for routes", connect);
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Has the far end closed it?
fn is_closed(mut stream: &TcpStream) -> bool {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn strangers_who_say_nothing_make_room_for_servers() -> Result<()> {
    let seats = Seat::several(2);
    let first = Member::start(Kind::Ours(2), seats[0], "name: c", "");
    let crowd = (0..CROWD).map(|_| knock(seats[0])).collect::<Result<Vec<_>>>()?;
    eventually("the oldest to go", || is_closed(&crowd[0]).then_some(()));

    let second = Member::start(Kind::Ours(1), seats[1], &format!("name: c\n  {}", routes(&seats[..1])), "");
    let cluster = Cluster { members: vec![first, second] };
    cluster.wait_for_mesh()?;
    assert!(!is_closed(&crowd[CROWD - 1]), "a young one had to go");
    Ok(())
}

#[test]
fn a_server_ends_with_strangers_at_its_door() -> Result<()> {
    for kind in [Kind::Reference, Kind::Ours(2)] {
        let seat = Seat::take();
        let mut member = Member::with(kind, seat, "name: c", "", &["-D"]);
        let strangers = (0..3).map(|_| knock(seat)).collect::<Result<Vec<_>>>()?;
        eventually("a greeting", || strangers.iter().all(|stranger| stranger.peek(&mut [0]).is_ok()).then_some(()));
        member.server.signal(Signal::TERM);
        assert_eq!(member.server.wait().code(), Some(0), "{kind}");
        assert!(member.server.log().contains("Route accept loop exiting.."), "{kind}: {}", member.server.log());
        strangers.iter().for_each(|stranger| eventually("its end", || is_closed(stranger).then_some(())));
    }
    Ok(())
}

/// A name alone makes no port for routes, but clients are told it.
#[test]
fn a_name_without_a_port() -> Result<()> {
    for (config, arguments) in [
        ("cluster { name: c }", &[][..]),
        ("cluster { name: c, pool_size: 5 }", &[]),
        ("cluster {}", &[]),
        ("", &["--cluster_name", "d"]),
    ] {
        let told = |kind: Kind| -> Result<_> {
            let Seat { client, monitor, .. } = Seat::take();
            let config = format!("listen: \"127.0.0.1:{client}\"\nhttp: \"127.0.0.1:{monitor}\"\n{config}\n");
            let server = kind.server().without_listen_flags().config(config).args(arguments).start();
            let info: Value = serde_json::from_str(Client::open(server.address())?.info())?;
            let varz = monitoring::json((Ipv4Addr::LOCALHOST, monitor).into(), "/varz")?;
            let log = server.log();
            let lines = log.lines().filter(|line| line.to_lowercase().contains("cluster"));
            let lines: Vec<String> = lines.filter_map(|line| Some(line.split_once("] ")?.1[27..].to_owned())).collect();
            Ok((info.get("cluster").cloned(), varz["cluster"].clone(), lines))
        };
        assert_eq!(told(Kind::Ours(1))?, told(Kind::Reference)?, "{config} {arguments:?}");
    }
    Ok(())
}

#[test]
fn attempts_that_lead_nowhere_are_told_alike() {
    let tell = |kind: Kind, nobody: u16| {
        let cluster = format!("name: c\n  routes: [\"nats://127.0.0.1:{nobody}\", \"nats://localhost:{nobody}\"]");
        let member = Member::with(kind, Seat::take(), &cluster, "", &["-D"]);
        for wanted in [
            format!("[DBG] Trying to connect to route on 127.0.0.1:{nobody} (127.0.0.1:{nobody})"),
            format!("[DBG] Trying to connect to route on localhost:{nobody} ("),
            format!(
                "[ERR] Error trying to connect to route (attempt 1): dial tcp 127.0.0.1:{nobody}: \
                 connect: connection refused"
            ),
            "[DBG] Error trying to connect to route (attempt 2): dial tcp".to_owned(),
        ] {
            member.server.wait_for_log(&wanted);
        }
    };
    tell(Kind::Reference, free_port());
    tell(Kind::Ours(1), free_port());
}

#[test]
fn a_name_of_its_own_is_not_dialled() -> Result<()> {
    for kind in [Kind::Reference, Kind::Ours(1)] {
        let seats = Seat::several(2);
        let own = format!("\"nats://localhost:{}\"", seats[0].route);
        let first = Member::with(kind, seats[0], &format!("name: c\n  routes: [{own}]"), "", &["-D"]);
        // When another one is there, attempts were made.
        let second = Member::start(kind, seats[1], &format!("name: c\n  {}", routes(&seats[..1])), "");
        let cluster = Cluster { members: vec![first, second] };
        cluster.wait_for_mesh()?;
        let log = cluster.members[0].server.log();
        assert!(!log.contains("Trying to connect to route on localhost"), "{kind}: {log}");
        assert!(!log.contains("Error trying to connect"), "{kind}: {log}");
    }
    Ok(())
}

#[test]
fn routes_take_no_places_of_clients() -> Result<()> {
    for kind in [Kind::Reference, Kind::Ours(2)] {
        let seats = Seat::several(3);
        let start = |number: usize| {
            let cluster = format!("name: c\n  {}", routes(&seats[..number]));
            // Two clients find out whether there is a mesh.
            Member::start(kind, seats[number], &cluster, "max_connections: 2")
        };
        let cluster = Cluster { members: (0..3).map(start).collect() };
        cluster.wait_for_mesh()?;
        assert!(cluster.members[0].routes()?.len() > 2, "{kind}");
        // Those that found out may take a moment to be gone.
        let clients = eventually("two clients", || Some((cluster.client(0).ok()?, cluster.client(0).ok()?)));
        assert!(cluster.client(0).is_err(), "{kind}: a third client was let in");
        drop(clients);
    }
    Ok(())
}
