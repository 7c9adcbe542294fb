//! How servers find each other and lose each other: every body runs on clusters of the reference, of ours, and of both.

#[macro_use]
mod line_ups;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};
use pinmesh_harness::Kind::{self, Reference};
use pinmesh_harness::cluster::{CLUSTER_NAME, connect_urls, free_port, routes};
use pinmesh_harness::{Client, Cluster, DEADLINE, Frame, Member, Peer, Seat, Signal, poll_until};

on_every_line_up!(
    a_chain_of_seeds,
    several_seeds_and_routes_to_oneself,
    seeds_that_come_last,
    a_route_to_oneself_alone,
    another_cluster_is_refused,
    dynamic_names_converge,
    a_configured_name_wins,
    a_server_leaves_for_good,
    servers_return_as_others,
    authorization,
    authorization_by_flag,
    no_advertise,
    advertised_addresses,
    retries_of_implicit_routes,
    lame_duck,
    permissions,
);

/// The inner part of the block `cluster`.
fn named(rest: &str) -> String {
    format!("name: {CLUSTER_NAME}\n  {rest}")
}

/// Waits until each server has routes to all others and to nobody else, as many as the other end of them says, and
/// until messages pass.
fn meshed(cluster: &Cluster) -> Result<()> {
    let mut seen = String::new();
    let mut looks = || -> Result<bool> {
        let mut counts = BTreeMap::new();
        let ids = cluster.members.iter().map(Member::id).collect::<Result<Vec<String>>>()?;
        for (member, id) in cluster.members.iter().zip(&ids) {
            for route in member.routes()? {
                let remote = route["remote_id"].as_str().context("no remote_id")?.to_owned();
                *counts.entry((id.clone(), remote)).or_insert(0) += 1;
            }
        }
        seen = format!("{counts:?}");
        let pairs = ids.iter().flat_map(|from| ids.iter().map(move |to| (from.clone(), to.clone())));
        let wanted: BTreeSet<_> = pairs.filter(|(from, to)| from != to).collect();
        let symmetric = counts.iter().all(|((from, to), count)| counts.get(&(to.clone(), from.clone())) == Some(count));
        Ok(symmetric && counts.keys().eq(wanted.iter()))
    };
    // While servers start, their monitoring may not answer yet.
    if poll_until(DEADLINE, || looks().unwrap_or(false).then_some(())).is_none() {
        bail!("no mesh; routes: {seen}");
    }
    cluster.wait_for_mesh()?;
    each_message_once(cluster)
}

/// A message from each server to each other one, once.
fn each_message_once(cluster: &Cluster) -> Result<()> {
    let mut clients = cluster.clients()?;
    for client in &mut clients {
        client.subscribe("hello.>", "", 1)?;
    }
    cluster.settle(&mut clients)?;
    for sender in 0..clients.len() {
        clients[sender].publish("hello.you", "", b"hello");
        clients[sender].publish("hello.end", "", b"");
        clients[sender].send_queued()?;
        for (receiver, client) in clients.iter_mut().enumerate() {
            for subject in ["hello.you", "hello.end"] {
                let message = client.message()?;
                ensure!(message.subject == subject, "from {sender} to {receiver} came {message:?} for {subject}");
            }
        }
    }
    Ok(())
}

/// Each server knows only the one before it.
fn a_chain_of_seeds(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(kinds.len());
    for (index, &kind) in kinds.iter().enumerate() {
        let before = &seats[index.saturating_sub(1)..index];
        cluster.members.push(Member::start(kind, seats[index], &named(&routes(before)), ""));
    }
    meshed(cluster)
}

/// All servers have the same list of all servers.
fn several_seeds_and_routes_to_oneself(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(kinds.len());
    for (&kind, &seat) in kinds.iter().zip(&seats) {
        cluster.members.push(Member::start(kind, seat, &named(&routes(&seats)), ""));
    }
    meshed(cluster)
}

/// Each server knows only the one that is started after it.
fn seeds_that_come_last(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(kinds.len());
    for (index, &kind) in kinds.iter().enumerate() {
        let next = seats.get(index + 1);
        let member = Member::with(kind, seats[index], &named(&routes(next)), "", &["-D"]);
        if let Some(next) = next {
            member.server.wait_for_log(&format!(
                "Error trying to connect to route (attempt 1): dial tcp 127.0.0.1:{}: connect: connection refused",
                next.route
            ));
        }
        cluster.members.push(member);
    }
    meshed(cluster)
}

/// A server that is told to dial itself notices, and can be joined all the same.
fn a_route_to_oneself_alone(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(2);
    let own = Member::with(kinds[1], seats[0], &named(&routes(&seats[..1])), "", &["-D"]);
    own.server.wait_for_log("Detected route to self, ignoring \"nats://127.0.0.1:");
    own.server.wait_for_log("Router connection closed: Duplicate Route");
    cluster.members.push(own);
    cluster.members.push(Member::start(kinds[0], seats[1], &named(&routes(&seats[..1])), ""));
    meshed(cluster)
}

/// A server of another cluster does not get in, neither by dialling nor by being dialled; the others do not mind.
fn another_cluster_is_refused(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(3);
    cluster.members.push(Member::start(kinds[0], seats[0], &named(""), ""));
    let stranger = format!("name: strangers\n  {}", routes(&seats[..1]));
    let stranger = Member::start(kinds[1], seats[1], &stranger, "");
    let conflict = format!("Rejecting connection, cluster name \"strangers\" does not match \"{CLUSTER_NAME}\"");
    cluster.members[0].server.wait_for_log(&conflict);
    cluster.members[0].server.wait_for_log("cluster name from remote server conflicts");
    cluster.members[0].server.wait_for_log("Router connection closed: Cluster Name Conflict");
    cluster.members.push(Member::start(kinds[2], seats[2], &named(&routes(&seats[..2])), ""));
    let conflict = format!("Rejecting connection, cluster name \"{CLUSTER_NAME}\" does not match \"strangers\"");
    stranger.server.wait_for_log(&conflict);
    meshed(cluster)?;
    let remotes = stranger.remotes()?;
    ensure!(remotes.is_empty(), "the stranger has routes to {remotes:?}");
    Ok(())
}

/// Servers without a configured name agree on one.
fn dynamic_names_converge(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(3);
    for (index, &seat) in seats.iter().enumerate() {
        let seed = &seats[..index.min(1)];
        cluster.members.push(Member::start(kinds[index], seat, &routes(seed), ""));
    }
    for member in &cluster.members {
        member.server.wait_for_log("Cluster name was dynamically generated, consider setting one");
    }
    meshed(cluster)?;
    let names = names(cluster)?;
    ensure!(names.iter().all(|name| *name == names[0] && name.len() == 22), "they have the names {names:?}");
    Ok(())
}

/// A server without a name takes that of one that was given one, whichever of them dials.
fn a_configured_name_wins(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    // Less than any generated one: it is not its place in the order that wins.
    const CONFIGURED: &str = "name: \"!\"";
    for dials in [CONFIGURED, ""] {
        let seats = Seat::several(2);
        let is_dialled = if dials.is_empty() { CONFIGURED } else { "" };
        cluster.members = vec![Member::start(kinds[0], seats[0], is_dialled, "")];
        let dials = format!("{dials}\n  {}", routes(&seats[..1]));
        cluster.members.push(Member::start(kinds[1], seats[1], &dials, ""));
        meshed(cluster)?;
        let names = names(cluster)?;
        ensure!(names == ["!", "!"], "they have the names {names:?}");
    }
    Ok(())
}

/// The name of the cluster, as each server tells its clients.
fn names(cluster: &Cluster) -> Result<Vec<String>> {
    let name = |member: &Member| -> Result<String> {
        let client = Client::open(member.server.address())?;
        let name = client.info().split("\"cluster\":\"").nth(1).and_then(|rest| rest.split('"').next());
        Ok(name.with_context(|| format!("no name of the cluster in INFO {}", client.info()))?.to_owned())
    };
    cluster.members.iter().map(name).collect()
}

/// Three servers that know the first, and all know it under the name of [`CLUSTER_NAME`].
fn star(kinds: &[Kind], cluster: &mut Cluster, options: &str, other: &str) -> Result<Vec<Seat>> {
    let seats = Seat::several(3);
    for (index, &seat) in seats.iter().enumerate() {
        let seed = &seats[..index.min(1)];
        let inner = named(&format!("{}\n  {options}", routes(seed)));
        cluster.members.push(Member::start(kinds[index], seat, &inner, other));
    }
    Ok(seats)
}

/// Servers that are gone are forgotten, whether they end in order or not.
fn a_server_leaves_for_good(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    star(kinds, cluster, "", "")?;
    meshed(cluster)?;
    let mut gone = cluster.members.remove(1);
    gone.server.kill();
    meshed(cluster)?;
    let mut gone = cluster.members.remove(1);
    gone.server.terminate();
    meshed(cluster)
}

/// Servers that come back have new ids and are welcome: one that dials and the seed, which is dialled.
fn servers_return_as_others(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    star(kinds, cluster, "", "")?;
    meshed(cluster)?;
    for index in [1, 0] {
        let before = cluster.members[index].id()?;
        cluster.members[index].server.restart();
        meshed(cluster)?;
        ensure!(cluster.members[index].id()? != before, "the server still has the id {before}");
    }
    Ok(())
}

/// Who has the password gets in, by the block for those that dial and by the URL; others are refused, and told so.
fn authorization(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    const GUARD: &str = "authorization { user: ann, password: s3cret }";
    let seats = Seat::several(5);
    let seed = |login: &str| format!("routes: [\"nats://{login}127.0.0.1:{}\"]", seats[0].route);
    let own = |login: &str| named(&format!("{}\n  {GUARD}", seed(login)));
    cluster.members.push(Member::start(kinds[0], seats[0], &named(GUARD), ""));
    let wrong = Member::start(kinds[1], seats[1], &own("ann:wrong@"), "");
    cluster.members[0].server.wait_for_log("authentication error");
    wrong.server.wait_for_log("Route Error 'Authorization Violation'");
    let missing = Member::start(kinds[1], seats[2], &own(""), "");
    missing.server.wait_for_log("Route Error 'Authorization Violation'");
    // These two find each other through the seed: then what they expect of others is what they show.
    cluster.members.push(Member::start(kinds[2], seats[3], &own("ann:s3cret@"), ""));
    cluster.members.push(Member::start(kinds[3], seats[4], &own("ann:s3cret@"), ""));
    meshed(cluster)?;
    for outside in [wrong, missing] {
        let remotes = outside.remotes()?;
        ensure!(remotes.is_empty(), "{outside} has routes to {remotes:?}");
    }
    Ok(())
}

/// The flag for the cluster's address takes user and password, too.
fn authorization_by_flag(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(3);
    for (index, &seat) in seats.iter().enumerate() {
        let listen = format!("nats://ann:s3cret@127.0.0.1:{}", seat.route);
        let seed = format!("nats://ann:s3cret@127.0.0.1:{}", seats[0].route);
        let mut arguments = vec!["--cluster", &listen, "--cluster_name", CLUSTER_NAME];
        if index > 0 {
            arguments.extend(["--routes", &seed]);
        }
        cluster.members.push(Member::with(kinds[index], seat, "", "", &arguments));
    }
    meshed(cluster)?;
    let Err(error) = Peer::join(seats[1].route, free_port())?.wait_for("RS+") else { bail!("a peer without password") };
    ensure!(format!("{error}").contains("-ERR 'Authorization Violation'"), "{error}");
    Ok(())
}

/// A server that does not advertise tells others nothing of its clients' address, and its clients nothing of others.
fn no_advertise(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(3);
    let seed = named(&routes(&seats[..1]));
    cluster.members.push(Member::start(kinds[0], seats[0], &named(""), ""));
    cluster.members.push(Member::with(kinds[1], seats[1], &seed, "", &["--no_advertise"]));
    cluster.members.push(Member::start(kinds[2], seats[2], &seed, ""));
    meshed(cluster)?;
    let told = [seats[0].connect_url(), seats[2].connect_url()];
    cluster.members[0].wait_for_urls(&told)?;
    cluster.members[2].wait_for_urls(&told)?;
    cluster.members[1].wait_for_urls(&[])
}

/// What a server says of its addresses is what others dial and what their clients are told.
fn advertised_addresses(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(3);
    let seed = named(&routes(&seats[..1]));
    cluster.members.push(Member::start(kinds[0], seats[0], &named(""), ""));
    cluster.members.push(Member::with(kinds[1], seats[1], &seed, "", &["-D"]));
    // Of two servers that the seed knows, the first hears of the second.
    cluster.wait_for_mesh()?;
    let address = format!("localhost:{}", seats[2].route);
    let arguments = ["--cluster_advertise", &address, "--client_advertise", "clients.example.org:4333"];
    cluster.members.push(Member::with(kinds[2], seats[2], &seed, "", &arguments));
    meshed(cluster)?;
    cluster.members[1].server.wait_for_log(&format!("Trying to connect to route on {address}"));
    let told = [seats[0].connect_url(), seats[1].connect_url(), "clients.example.org:4333".to_owned()];
    cluster.members.iter().try_for_each(|member| member.wait_for_urls(&told))
}

/// Servers learn of a peer that cannot be reached: one dials once, another one as often as it was told.
fn retries_of_implicit_routes(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let seats = Seat::several(3);
    let seed = named(&routes(&seats[..1]));
    cluster.members.push(Member::start(kinds[0], seats[0], &named(""), ""));
    cluster.members.push(Member::with(kinds[1], seats[1], &seed, "", &["-D"]));
    cluster.members.push(Member::with(kinds[2], seats[2], &seed, "", &["-D", "--connect_retries", "2"]));
    meshed(cluster)?;
    let nobody = free_port();
    let _peer = Peer::join(seats[0].route, nobody)?;
    let refused = |attempt: usize| {
        format!("connect to route (attempt {attempt}): dial tcp 127.0.0.1:{nobody}: connect: connection refused")
    };
    let [once, thrice] = [1, 2].map(|index| &cluster.members[index].server);
    once.wait_for_log(&refused(1));
    for attempt in 1..=3 {
        thrice.wait_for_log(&refused(attempt));
    }
    ensure!(!once.log().contains(&refused(2)), "it was told to dial once");
    Ok(())
}

/// A `nats-server` that is about to go says so, and from then on no client is sent to it.
fn lame_duck(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    let going = kinds.iter().copied().find(|kind| !kind.is_ours()).unwrap_or(Reference);
    let seats = star(&[kinds[0], kinds[1], going], cluster, "", "lame_duck_duration: 30s")?;
    meshed(cluster)?;
    let [stays, other, goes] = [0, 1, 2].map(|index| &cluster.members[index]);
    let all: Vec<String> = seats.iter().map(Seat::connect_url).collect();
    stays.wait_for_urls(&all)?;
    other.wait_for_urls(&all)?;
    let mut client = stays.client_with(r#"{"verbose":false,"protocol":1}"#)?;
    // Without clients it would end at once.
    let _its_client = goes.client()?;
    goes.server.signal(Signal::USR2);
    loop {
        match client.frame().context("no INFO without the lame duck")? {
            Frame::Info(json) => {
                let urls = connect_urls(&String::from_utf8_lossy(json)).unwrap_or_default();
                if !urls.contains(&all[2]) {
                    ensure!(urls.contains(&all[0]) && urls.contains(&all[1]), "{urls:?} are left");
                    break;
                }
            }
            other => bail!("{other:?} in place of INFO"),
        }
    }
    stays.wait_for_urls(&all[..2])?;
    other.wait_for_urls(&all[..2])?;
    // It still passes messages on until it ends.
    let remotes = stays.remotes()?;
    ensure!(remotes.contains(&goes.id()?), "the route to the lame duck is gone: {remotes:?}");
    Ok(())
}

/// What a server lets in and out: interest that it does not tell others of, and interest of others that it does not
/// hear. It costs nobody a connection.
fn permissions(kinds: &[Kind], cluster: &mut Cluster) -> Result<()> {
    const PERMISSIONS: &str = r#"permissions {
        import: { allow: ["in.>", "_FENCE.>", "_INBOX.>"], deny: "in.secret" }
        export: { allow: ["out.>", "_FENCE.>", "_INBOX.>"], deny: "out.secret" }
    }"#;
    let seats = Seat::several(3);
    cluster.members.push(Member::start(kinds[0], seats[0], &named(""), ""));
    let guarded = named(&format!("{}\n{PERMISSIONS}", routes(&seats[..1])));
    cluster.members.push(Member::start(kinds[1], seats[1], &guarded, ""));
    cluster.members.push(Member::start(kinds[2], seats[2], &named(&routes(&seats[..1])), ""));
    cluster.wait_for_mesh()?;
    let mut clients = cluster.clients()?;
    let subjects = ["in.x", "in.secret", "out.x", "out.secret", "other"];
    for from in 0..clients.len() {
        for to in (0..clients.len()).filter(|&to| to != from) {
            let mut listener = cluster.client(to)?;
            for subject in subjects {
                listener.subscribe(subject, "", subject)?;
            }
            cluster.settle([&mut listener])?;
            let asking = &mut clients[from];
            asking.subscribe("_INBOX.permissions.>", "", "inbox")?;
            for subject in subjects {
                asking.publish(subject, &format!("_INBOX.permissions.{subject}"), b"?");
            }
            let refused: Vec<String> = asking.flush()?.into_iter().map(|refusal| refusal.subject).collect();
            asking.unsubscribe("inbox")?;
            let let_in = |subject: &str| to != 1 || subject == "in.x";
            let let_out = |subject: &str| from != 1 || subject == "out.x";
            let (passed, stopped): (Vec<&str>, Vec<&str>) =
                subjects.iter().partition(|subject| let_in(subject) && let_out(subject));
            let stopped: Vec<String> = stopped.iter().map(|subject| format!("_INBOX.permissions.{subject}")).collect();
            ensure!(refused == stopped, "from {from} to {to} these were refused: {refused:?}");
            for subject in passed {
                let message = listener.message()?;
                ensure!(message.subject == subject, "from {from} to {to} came {message:?} in place of {subject}");
            }
            drop(listener);
            // Its interest goes, so that the next one is alone.
            for subject in subjects {
                gone(asking, subject)?;
            }
        }
    }
    Ok(())
}

/// Waits until nobody listens any more.
fn gone(asking: &mut Client, subject: &str) -> Result<()> {
    let mut refused = || -> Result<bool> {
        asking.subscribe("_INBOX.gone", "", "gone")?;
        asking.publish(subject, "_INBOX.gone", b"?");
        let refused = asking.flush()?.iter().any(|answer| answer.sid == "gone");
        asking.unsubscribe("gone")?;
        Ok(refused)
    };
    poll_until(DEADLINE, || refused().unwrap_or(false).then_some(()))
        .with_context(|| format!("somebody listens on {subject}"))
}
