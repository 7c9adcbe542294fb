//! What a cluster does when the network fails: three servers on hosts of their own, between which paths are cut, lose
//! packets in one direction, or are slow.
//!
//! Every server is told about all of them, because a server that was only heard of is not dialled again for long.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use pinmesh_harness::client::RESPONDERS;
use pinmesh_harness::cluster::{CLUSTER_NAME, connect_urls};
use pinmesh_harness::load::{self, Dial, Load};
use pinmesh_harness::netns::Network;
use pinmesh_harness::witness::wait_until_wanted;
use pinmesh_harness::{Client, DEADLINE, Kind, LineUp, Server, line_ups, poll_until};

line_ups!(a_link_is_cut_for_long);
line_ups!(a_link_loses_one_direction);
line_ups!(a_short_cut_loses_nothing with old);
line_ups!(a_slow_link_is_slow_for_itself with old);
line_ups!(a_dead_server_comes_back_unseen);
line_ups!(one_end_alone_gives_up);

const CLIENTS: u16 = 4222;
const ROUTES: u16 = 6222;
/// Lets a server give up a route that is silent for two seconds, which is longer than a busy machine makes a process wait.
const IMPATIENT: &str = "ping_interval: \"600ms\"\n  ping_max: 3";

/// Three servers, each on a host of its own.
struct Lan {
    servers: Vec<Server>,
    kinds: Vec<Kind>,
    network: Arc<Network>,
}

impl Lan {
    /// Starts servers with something more in their blocks `cluster`; none when tests with namespaces are left out.
    fn start(line_up: LineUp, options: [&str; 3]) -> Option<Lan> {
        let network = Arc::new(Network::new(3)?);
        let mut lan = Lan { servers: Vec::new(), kinds: line_up.kinds(3), network };
        for (host, options) in (0..3).zip(options) {
            let server = lan.server(host, options);
            lan.servers.push(server);
        }
        lan.wait_until_known(&[(0, &[0, 1, 2]), (1, &[0, 1, 2]), (2, &[0, 1, 2])]);
        Some(lan)
    }

    fn server(&self, host: u8, options: &str) -> Server {
        let routes: Vec<String> =
            (0..3).map(|host| format!("\"nats://{}\"", SocketAddr::from((Network::address(host), ROUTES)))).collect();
        let address: IpAddr = Network::address(host);
        let config = format!(
            "listen: \"{address}:{CLIENTS}\"\ncluster {{\n  name: {CLUSTER_NAME}\n  listen: \"{address}:{ROUTES}\"\n  \
             routes: [{}]\n  {options}\n}}\n",
            routes.join(", ")
        );
        let builder = self.kinds[usize::from(host)].server().without_listen_flags().config(config);
        self.network.on(host, || builder.start())
    }

    fn client(&self, host: u8) -> Result<Client> {
        self.network.on(host, || Client::connect_with(address_of(host), RESPONDERS))
    }

    /// A client with a subscription to `subject`.
    fn subscriber(&self, host: u8, subject: &str) -> Result<Client> {
        let mut client = self.client(host)?;
        client.subscribe(subject, "", 1)?;
        client.flush()?;
        Ok(client)
    }

    /// Starts a load with a client on each of these hosts.
    fn load(&self, hosts: &[u8]) -> Load {
        Load::dialling(hosts.iter().map(|&host| -> (SocketAddr, Dial) {
            let network = Arc::clone(&self.network);
            (address_of(host), Box::new(move |server| network.on(host, || load::connect(server))))
        }))
    }

    /// Waits until each of these hosts knows exactly the servers of these others.
    fn wait_until_known(&self, known: &[(u8, &[u8])]) {
        for (host, others) in known {
            let wanted: BTreeSet<String> = others.iter().map(|&other| address_of(other).to_string()).collect();
            let mut seen = BTreeSet::new();
            let complete = poll_until(DEADLINE, || {
                let client = self.network.on(*host, || Client::open(address_of(*host))).ok()?;
                seen = connect_urls(client.info())?.into_iter().collect();
                (seen == wanted).then_some(())
            });
            assert!(complete.is_some(), "the server on host {host} knows {seen:?} instead of {wanted:?}");
        }
    }
}

fn address_of(host: u8) -> SocketAddr {
    SocketAddr::from((Network::address(host), CLIENTS))
}

fn a_link_is_cut_for_long(line_up: LineUp) -> Result<()> {
    broken_for_long(line_up, |network| network.cut(1, 2))
}

fn a_link_loses_one_direction(line_up: LineUp) -> Result<()> {
    broken_for_long(line_up, |network| network.lose(1, 2))
}

/// Breaks the link between 1 and 2, so that they give each other up and stay friends with 0.
fn broken_for_long(line_up: LineUp, break_link: impl Fn(&Network)) -> Result<()> {
    let Some(lan) = Lan::start(line_up, [IMPATIENT; 3]) else { return Ok(()) };
    let mut ends = [lan.subscriber(1, "of.one")?, lan.subscriber(2, "of.two")?];
    wait_until_wanted(&mut ends[0], "of.two", true);
    wait_until_wanted(&mut ends[1], "of.one", true);
    let load = lan.load(&[0, 1, 2]);
    load.wait_for_progress(&[0, 1, 2]);

    break_link(&lan.network);
    lan.wait_until_known(&[(0, &[0, 1, 2]), (1, &[0, 1]), (2, &[0, 2])]);
    wait_until_wanted(&mut ends[0], "of.two", false);
    wait_until_wanted(&mut ends[1], "of.one", false);
    load.wait_for_progress(&[0, 1]);
    load.wait_for_progress(&[0, 2]);

    lan.network.heal(1, 2);
    lan.wait_until_known(&[(0, &[0, 1, 2]), (1, &[0, 1, 2]), (2, &[0, 1, 2])]);
    wait_until_wanted(&mut ends[0], "of.two", true);
    wait_until_wanted(&mut ends[1], "of.one", true);
    load.wait_for_progress(&[0, 1, 2]);
    let outcome = load.finish(&[0, 1, 2]);
    outcome.nothing_lost_between(&[0, 1]);
    outcome.nothing_lost_between(&[0, 2]);
    Ok(())
}

/// How many messages wait for a link to heal.
const WAITING: usize = 2000;

fn a_short_cut_loses_nothing(line_up: LineUp) -> Result<()> {
    let Some(lan) = Lan::start(line_up, [""; 3]) else { return Ok(()) };
    let mut subscriber = lan.subscriber(2, "waiting")?;
    let mut publisher = lan.client(1)?;
    wait_until_wanted(&mut publisher, "waiting", true);
    let load = lan.load(&[0, 1, 2]);
    load.wait_for_progress(&[0, 1, 2]);

    lan.network.cut(1, 2);
    for number in 0..WAITING {
        publisher.publish("waiting", "", number.to_string().as_bytes());
    }
    publisher.flush()?;
    load.wait_for_progress(&[0, 1]);
    load.wait_for_progress(&[0, 2]);
    lan.network.heal(1, 2);

    let got = numbers(&mut subscriber, WAITING)?;
    ensure!(got == (0..WAITING).collect::<Vec<_>>(), "after the cut came {got:?}");
    load.wait_for_progress(&[0, 1, 2]);
    load.finish(&[0, 1, 2]).nothing_lost_between(&[0, 1, 2]);
    Ok(())
}

/// The numbers that so many messages carry; empty ones asked whether there is anybody.
fn numbers(subscriber: &mut Client, count: usize) -> Result<Vec<usize>> {
    let mut numbers = Vec::new();
    while numbers.len() < count {
        let message = subscriber.message().with_context(|| format!("after {} messages", numbers.len()))?;
        if let Some(number) = message.payload.split(|&byte| byte == b' ').next().filter(|number| !number.is_empty()) {
            numbers.push(std::str::from_utf8(number)?.parse()?);
        }
    }
    Ok(numbers)
}

/// What goes over the slow link: some seconds' worth.
const BULK: usize = 1000;
const BULKY: usize = 4000;
const MEGABITS: u32 = 8;

fn a_slow_link_is_slow_for_itself(line_up: LineUp) -> Result<()> {
    let Some(lan) = Lan::start(line_up, [""; 3]) else { return Ok(()) };
    let mut subscribers = [lan.subscriber(1, "bulk")?, lan.subscriber(2, "bulk")?];
    let mut witness = lan.subscriber(2, "slow")?;
    let mut publisher = lan.client(0)?;
    wait_until_wanted(&mut publisher, "slow", true);
    let load = lan.load(&[0, 1]);
    load.wait_for_progress(&[0, 1]);

    let logged: Vec<usize> = lan.servers.iter().map(|server| server.log().len()).collect();
    lan.network.slow_down(2, MEGABITS);
    for number in 0..BULK {
        publisher.publish("bulk", "", format!("{number:<BULKY$}").as_bytes());
    }
    publisher.flush()?;
    let expected: Vec<usize> = (0..BULK).collect();
    for subscriber in &mut subscribers {
        let got = numbers(subscriber, BULK)?;
        ensure!(got == expected, "{got:?}");
        load.wait_for_progress(&[0, 1]);
    }
    // What is published behind it still finds its way.
    publisher.publish("slow", "", b"1");
    publisher.flush()?;
    ensure!(numbers(&mut witness, 1)? == [1], "a message over the slow link");
    load.finish(&[0, 1]).nothing_lost_between(&[0, 1]);
    for (server, logged) in lan.servers.iter().zip(logged) {
        let log = server.log().split_off(logged);
        let given_up = log.lines().find(|line| line.contains("Stale Connection") || line.contains("(Write Deadline)"));
        ensure!(given_up.is_none(), "{}: {given_up:?}", server.side());
    }
    Ok(())
}

/// Server 1 dies while nobody can hear of it, and is back with another id before the network is well.
fn a_dead_server_comes_back_unseen(line_up: LineUp) -> Result<()> {
    let Some(mut lan) = Lan::start(line_up, [IMPATIENT; 3]) else { return Ok(()) };
    let old = lan.subscriber(1, "of.the.old")?;
    let mut witnesses = [lan.client(0)?, lan.client(2)?];
    for witness in &mut witnesses {
        wait_until_wanted(witness, "of.the.old", true);
    }
    let load = lan.load(&[0, 2]);
    load.wait_for_progress(&[0, 1]);

    lan.network.cut(1, 0);
    lan.network.cut(1, 2);
    lan.servers[1].kill();
    drop(old);
    lan.servers[1] = lan.server(1, IMPATIENT);
    let _new = lan.subscriber(1, "of.the.new")?;
    lan.network.heal(1, 0);
    lan.network.heal(1, 2);
    for witness in &mut witnesses {
        wait_until_wanted(witness, "of.the.new", true);
        wait_until_wanted(witness, "of.the.old", false);
    }
    lan.wait_until_known(&[(0, &[0, 1, 2]), (1, &[0, 1, 2]), (2, &[0, 1, 2])]);
    load.wait_for_progress(&[0, 1]);
    load.finish(&[0, 1]).nothing_lost_between(&[0, 1]);
    Ok(())
}

/// Server 0 gives the others up, who have not noticed anything when the network is well again.
fn one_end_alone_gives_up(line_up: LineUp) -> Result<()> {
    let Some(lan) = Lan::start(line_up, [IMPATIENT, "", ""]) else { return Ok(()) };
    let mut ends = [lan.subscriber(0, "of.zero")?, lan.subscriber(1, "of.one")?];
    wait_until_wanted(&mut ends[0], "of.one", true);
    let load = lan.load(&[1, 2]);
    load.wait_for_progress(&[0, 1]);

    lan.network.cut(0, 1);
    lan.network.cut(0, 2);
    lan.wait_until_known(&[(0, &[0])]);
    lan.servers[0].wait_for_log("Router connection closed: Stale Connection");
    lan.network.heal(0, 1);
    lan.network.heal(0, 2);
    lan.wait_until_known(&[(0, &[0, 1, 2]), (1, &[0, 1, 2]), (2, &[0, 1, 2])]);
    wait_until_wanted(&mut ends[0], "of.one", true);
    wait_until_wanted(&mut ends[1], "of.zero", true);
    load.finish(&[0, 1]).nothing_lost_between(&[0, 1]);
    Ok(())
}
