//! Two servers that know each other dial at the same moment, again and again: one set of routes is left, and it is the
//! same at both ends.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use pinmesh_harness::cluster::{CLUSTER_NAME, Member, Seat};
use pinmesh_harness::witness::{wait_until_meshed, wait_until_wanted};
use pinmesh_harness::{Client, Cluster, DEADLINE, Kind, LineUp, eventually, line_ups, poll_until};

use crate::gate::Gate;

line_ups!(with_pools);
line_ups!(without_pools: reference = Reference, ours_3 = Ours(3), ours_first = OursFirst);

/// How many pairs play at the same time, and how often each.
const PAIRS: usize = 3;
const ROUNDS: usize = 3;

fn with_pools(line_up: LineUp) -> Result<()> {
    duel(&line_up.kinds(2), "")
}

fn without_pools(line_up: LineUp) -> Result<()> {
    duel(&line_up.kinds(2), "pool_size: -1")
}

fn duel(kinds: &[Kind], options: &str) -> Result<()> {
    let undisturbed = Cluster::start_with(kinds, |_, _| options.to_owned())?;
    wait_until_meshed(&undisturbed.members)?;
    let pairs = (0..PAIRS).map(|_| Pair::start(kinds, options)).collect::<Result<Vec<_>>>()?;
    for _ in 0..ROUNDS {
        for pair in &pairs {
            pair.gate.shut();
        }
        for pair in &pairs {
            pair.settle(&undisturbed)?;
        }
    }
    Ok(())
}

struct Pair {
    members: [Member; 2],
    gate: Gate,
}

impl Pair {
    fn start(kinds: &[Kind], options: &str) -> Result<Pair> {
        let seats = [Seat::take(), Seat::take()];
        let gate = Gate::new([seats[0].route, seats[1].route])?;
        let start = |number: usize| {
            let other = gate.entrance(1 - number);
            let cluster = format!("name: {CLUSTER_NAME}\n  routes: [\"nats://127.0.0.1:{other}\"]\n  {options}");
            Member::start(kinds[number], seats[number], &cluster, "")
        };
        Ok(Pair { members: [start(0), start(1)], gate })
    }

    /// Waits until there are as many routes as between servers that nobody disturbs, and plays over them.
    fn settle(&self, undisturbed: &Cluster) -> Result<()> {
        let mut seen = None;
        let what = format!("one set of routes between {} and {}", self.members[0], self.members[1]);
        let routes = poll_until(DEADLINE, || {
            let expected = undisturbed.members[0].routes().ok()?.len();
            let routes = seen.insert([self.routes(0).ok()?, self.routes(1).ok()?]);
            let complete =
                |routes: &Option<BTreeSet<u64>>| routes.as_ref().is_some_and(|routes| routes.len() == expected);
            routes.iter().all(complete).then(|| routes.clone())
        });
        let routes = routes.with_context(|| format!("no {what}: {seen:?}"))?;
        let mut clients = [self.members[0].client()?, self.members[1].client()?];
        for (client, subject) in clients.iter_mut().zip(["first", "second"]) {
            client.subscribe(subject, "", 1)?;
            client.flush()?;
        }
        let [first, second] = &mut clients;
        exchange(first, second, "second")?;
        exchange(second, first, "first")?;
        // One more that was late may come and go; these stay.
        eventually(&format!("{what}, as they were before"), || {
            let still = [self.routes(0).ok()?, self.routes(1).ok()?];
            (still == routes).then_some(())
        });
        Ok(())
    }

    /// The ids of the routes of one end, when they are exactly those that the gate has let through.
    fn routes(&self, end: usize) -> Result<Option<BTreeSet<u64>>> {
        let routes = self.members[end].routes()?;
        let port = |route: &serde_json::Value| route["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let (mut dialled, mut accepted) = (0, Vec::new());
        for route in &routes {
            let port = port(route).with_context(|| format!("no port in {route}"))?;
            if port == self.gate.entrance(1 - end) { dialled += 1 } else { accepted.push(port) }
        }
        accepted.sort_unstable();
        let same = accepted == self.gate.exits(end) && dialled == self.gate.exits(1 - end).len();
        Ok(same.then(|| routes.iter().filter_map(|route| route["rid"].as_u64()).collect()))
    }
}

/// Publishes from one to the other, who gets everything once.
fn exchange(from: &mut Client, to: &mut Client, subject: &str) -> Result<()> {
    wait_until_wanted(from, subject, true);
    for number in 0..100 {
        from.publish(subject, "", number.to_string().as_bytes());
    }
    from.publish(subject, "end", b"");
    from.flush()?;
    let mut got = Vec::new();
    loop {
        let message = to.message()?;
        if message.reply == "end" {
            break;
        }
        // Empty ones asked whether there is anybody.
        got.extend((!message.payload.is_empty()).then_some(message.payload));
    }
    let sent: Vec<Vec<u8>> = (0..100).map(|number| number.to_string().into_bytes()).collect();
    ensure!(got == sent, "{subject}: {} messages came instead of {}", got.len(), sent.len());
    ensure!(to.flush()?.is_empty(), "something came twice");
    Ok(())
}
