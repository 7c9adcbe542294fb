//! What a seed makes of a cluster: how many servers of which kind, who is told of whom, and what may happen to them.

use std::time::Duration;

use crate::config::{Cluster, Config, Identity, RouteUrl};
use crate::testing::world::FIRST_PORT;
use crate::testing::{cluster, config};

/// One server, as it is started.
#[derive(Clone, Debug)]
pub(super) struct SeatPlan {
    pub shards: usize,
    /// Lanes to others that have them; without, it is like a server of another kind.
    pub lanes: bool,
    pub pool_size: Option<u32>,
    /// Bytes between two shards.
    pub credit: u64,
    /// Seats of its configured routes.
    pub routes: Vec<usize>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub seats: Vec<SeatPlan>,
    /// What they have in common.
    pub kinds: Kinds,
    /// The order in which they are started.
    pub order: Vec<usize>,
    /// Cluster names are generated, and servers must agree on one.
    pub dynamic_names: bool,
    /// Attempts after the first towards servers learned by gossip.
    pub retries: u32,
    pub faults: Faults,
    /// Longest time from server to server, in milliseconds.
    pub delay: u64,
}

/// Which servers have lanes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kinds {
    Lanes,
    Mixed,
    Pools,
}

impl Kinds {
    const ALL: [Kinds; 3] = [Kinds::Lanes, Kinds::Mixed, Kinds::Pools];
}

/// What goes wrong.
#[derive(Clone, Copy, Debug)]
pub(super) struct Faults {
    /// Between some servers nothing passes for a while.
    pub cuts: bool,
    /// Connections break.
    pub breaks: bool,
    /// Servers are killed, and others take their seats.
    pub restarts: bool,
}

impl Plan {
    pub fn new(rng: &mut fastrand::Rng) -> Plan {
        let count = rng.usize(2..=5);
        let faults = Faults { cuts: rng.bool(), breaks: rng.bool(), restarts: rng.bool() };
        let (routes, everybody) = routes(count, rng);
        // Who was learned by gossip is forgotten when it cannot be reached, so only with retries does everything heal.
        let heals = everybody || !(faults.cuts || faults.breaks);
        let retries = if heals { [0, 3][rng.usize(..2)] } else { u32::MAX };
        // News that a cut swallowed are told again only by servers that have lanes.
        let kinds = if faults.cuts && !everybody { Kinds::Lanes } else { Kinds::ALL[rng.usize(..Kinds::ALL.len())] };
        let seats = routes.into_iter().map(|routes| SeatPlan { routes, ..SeatPlan::new(rng, kinds) }).collect();
        let mut order: Vec<usize> = (0..count).collect();
        rng.shuffle(&mut order);
        let delay = [0, 2, 30][rng.usize(..3)];
        // A server that has taken another name drops its routes, and may then be refused for longer than it tries.
        let dynamic_names = rng.u8(..4) == 0 && !(faults.cuts || faults.breaks);
        Plan { seats, kinds, order, dynamic_names, retries, faults, delay }
    }

    /// What a server on a seat is configured with.
    pub fn config(&self, seat: usize, life: u64) -> Config {
        let plan = &self.seats[seat];
        let url = |&to: &usize| RouteUrl {
            host: "127.0.0.1".to_owned(),
            port: Some(port(to)),
            credentials: None,
            shown: format!("nats://127.0.0.1:{}", port(to)),
        };
        let id = format!("N{seat}L{life}");
        let single = config(plan.shards);
        let cluster = Cluster {
            name: if self.dynamic_names { format!("generated-{seat}-{life}") } else { "simulated".to_owned() },
            name_is_dynamic: self.dynamic_names,
            host: "127.0.0.1".to_owned(),
            port: port(seat),
            client_urls: vec![format!("127.0.0.1:{}", 4000 + seat)],
            routes: plan.routes.iter().map(url).collect(),
            connect_retries: self.retries,
            pool_size: plan.pool_size,
            compression: "off".to_owned(),
            // So that the end of what only one side knows of is not far.
            ping_interval: Duration::from_secs(2),
            ..cluster()
        };
        let identity = Identity { server_name: id.clone(), server_id: id, ..single.identity };
        Config { identity, cluster: Some(cluster), ..single }
    }
}

impl SeatPlan {
    pub fn new(rng: &mut fastrand::Rng, kinds: Kinds) -> SeatPlan {
        let pools = [None, Some(1), Some(3), Some(3), Some(5)];
        SeatPlan {
            shards: rng.usize(1..=4),
            lanes: kinds == Kinds::Lanes || (kinds == Kinds::Mixed && rng.bool()),
            pool_size: pools[rng.usize(..pools.len())],
            credit: if rng.bool() { 2048 } else { 1024 * 1024 },
            routes: Vec::new(),
        }
    }
}

fn port(seat: usize) -> u16 {
    FIRST_PORT + seat as u16
}

/// Configured routes of each seat, which hold all of them together; and whether everybody is told of everybody.
fn routes(count: usize, rng: &mut fastrand::Rng) -> (Vec<Vec<usize>>, bool) {
    let kind = rng.u8(..5);
    let routes = (0..count).map(|seat| match kind {
        // One seed, which is itself told of nobody.
        0 => (0..seat.min(1)).collect(),
        1 => (0..seat).rev().take(1).collect(),
        // Everybody has the same list, as it is often done, with itself in it.
        2 => (0..count).collect(),
        3 => (0..count).filter(|other| *other != seat).collect(),
        _ => {
            let some: Vec<usize> = (0..seat).filter(|_| rng.bool()).collect();
            if some.is_empty() && seat > 0 { vec![rng.usize(..seat)] } else { some }
        }
    });
    (routes.collect(), kind == 2 || kind == 3)
}
