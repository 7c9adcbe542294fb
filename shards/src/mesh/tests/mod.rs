//! Several meshes in a little network that delays things: they find each other, whoever dials, starts or dies when.

mod net;
mod talk;

use std::ops::Range;

use net::{Net, Plan};

/// Seeds that each scenario is played with: `PINMESH_SEEDS` asks for more than usual.
fn seeds() -> Range<u64> {
    0..std::env::var("PINMESH_SEEDS").ok().and_then(|count| count.parse().ok()).unwrap_or(15)
}

/// Starts all servers within so many milliseconds, in random order.
fn started(seed: u64, plans: Vec<Plan>, within: u64) -> Net {
    let count = plans.len();
    let mut net = Net::new(seed, plans);
    for server in 0..count {
        let after = net.rng.u64(0..=within);
        net.start(server, after);
    }
    net
}

#[test]
fn two_of_our_kind() {
    for seed in seeds() {
        for shards in [(1, 1), (2, 2), (4, 3), (1, 8)] {
            let mut net = started(seed, vec![Plan::new(shards.0, &[]), Plan::new(shards.1, &[0])], 3000);
            net.run(10_000);
            net.check_full_mesh();
        }
    }
}

#[test]
fn two_that_dial_each_other() {
    for seed in 0..seeds().end * 10 {
        let mut net = started(seed, vec![Plan::new(3, &[1, 0]), Plan::new(3, &[0, 1])], 10);
        net.run(4000);
        net.check_full_mesh();
        // At the same moment: one of the two survives, without a second attempt.
        let mut net = started(seed, vec![Plan::new(3, &[1]), Plan::new(2, &[0])], 0);
        net.run(500);
        net.check_full_mesh();
    }
}

#[test]
fn others_pools() {
    for seed in seeds() {
        for (one, other) in [(3, 3), (1, 3), (5, 2), (0, 3), (0, 0)] {
            let mut net = started(seed, vec![Plan::go(one, &[]), Plan::go(other, &[0])], 3000);
            net.run(10_000);
            net.check_full_mesh();
            let mut net = started(seed, vec![Plan::new(2, &[]), Plan::go(other, &[0])], 3000);
            net.run(10_000);
            net.check_full_mesh();
            let mut net = started(seed, vec![Plan::new(2, &[1]), Plan::go(other, &[0])], 20);
            net.run(60_000);
            net.check_full_mesh();
        }
    }
}

#[test]
fn a_chain_becomes_a_mesh_by_gossip() {
    for seed in seeds() {
        for kind in [Plan::new(2, &[]), Plan::go(3, &[]), Plan::go(0, &[])] {
            let plan = |routes: &[usize]| Plan { cluster: Plan::new(1, routes).cluster, ..kind.clone() };
            let pool_size = kind.cluster.pool_size;
            let mut plans = vec![plan(&[]), plan(&[0]), plan(&[1]), plan(&[0])];
            for plan in &mut plans {
                plan.cluster.pool_size = pool_size;
            }
            let mut net = started(seed, plans, 5000);
            net.run(30_000);
            net.check_full_mesh();
        }
    }
}

#[test]
fn a_mixed_cluster() {
    for seed in seeds() {
        let plans =
            vec![Plan::new(2, &[1]), Plan::go(3, &[0]), Plan::go(0, &[0, 1]), Plan::new(4, &[0]), Plan::go(3, &[1])];
        let mut net = started(seed, plans, 5000);
        net.run(60_000);
        net.check_full_mesh();
    }
}

#[test]
fn forty_at_once() {
    for seed in 0..2 {
        let plans = (0..40).map(|server| Plan::new(2, if server == 0 { &[] } else { &[0] })).collect();
        let mut net = started(seed, plans, 500);
        net.run(30_000);
        net.check_full_mesh();
    }
}

#[test]
fn a_server_returns_with_a_new_id() {
    for seed in seeds() {
        for kind in [Plan::new(2, &[]), Plan::go(3, &[])] {
            let plan = |routes: &[usize]| {
                let mut plan = kind.clone();
                plan.cluster.routes = Plan::new(1, routes).cluster.routes;
                plan
            };
            let mut net = started(seed, vec![plan(&[]), plan(&[0]), plan(&[0])], 1000);
            net.run(20_000);
            net.check_full_mesh();
            net.stop(0, 0);
            net.run(5000);
            net.check_full_mesh();
            net.start(0, 0);
            net.run(20_000);
            net.check_full_mesh();
            net.stop(1, 0);
            net.start(1, 3);
            net.run(20_000);
            net.check_full_mesh();
        }
    }
}

#[test]
fn compression_is_agreed_on_without_a_slip() {
    let modes = ["off", "accept", "s2_fast", "s2_better", "s2_auto"];
    for (seed, (one, other)) in (0..).zip(modes.iter().flat_map(|one| modes.iter().map(move |other| (one, other)))) {
        for [mut first, mut second] in [
            [Plan::new(2, &[]), Plan::new(3, &[0])],
            [Plan::go(3, &[]), Plan::go(3, &[0])],
            [Plan::go(3, &[1]), Plan::new(2, &[0])],
        ] {
            (first.cluster.compression, second.cluster.compression) = (one.to_string(), other.to_string());
            let mut net = started(seed, vec![first, second], 1000);
            net.run(20_000);
            net.check_full_mesh();
            let is_compressed = *one != "off" && *other != "off" && (one, other) != (&"accept", &"accept");
            for server in &net.servers {
                assert!(server.routes.values().all(|route| route.start.codec.is_some() == is_compressed));
            }
        }
    }
}

/// Servers of random kinds, the first one of the first kind, that know random others, but none is left out. Where all are of the other
/// kind, it may happen that two never hear of each other.
fn random_cluster(seed: u64, count: usize, kinds: &[Plan]) -> Vec<Plan> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let plan = |server: usize| {
        let kind = rng.usize(0..kinds.len());
        let mut plan = kinds[if server == 0 { 0 } else { kind }].clone();
        let mut routes: Vec<usize> = (0..rng.usize(0..3)).map(|_| rng.usize(0..count)).collect();
        if server > 0 {
            routes.push(rng.usize(0..server));
        }
        plan.cluster.routes = Plan::new(1, &routes).cluster.routes;
        plan
    };
    (0..count).map(plan).collect()
}

fn all_kinds() -> [Plan; 4] {
    [Plan::new(2, &[]), Plan::new(3, &[]), Plan::go(3, &[]), Plan::go(0, &[])]
}

#[test]
fn random_clusters() {
    for seed in seeds() {
        for kinds in [&all_kinds()[..], &all_kinds()[..2], &all_kinds()[2..3]] {
            let mut net = started(seed, random_cluster(seed, 8, kinds), 3000);
            net.delay = 1 << net.rng.u32(0..8);
            net.run(60_000);
            net.check_full_mesh();
        }
    }
}

#[test]
fn links_are_cut_and_healed() {
    for seed in seeds() {
        for kinds in [&all_kinds()[..], &all_kinds()[..2]] {
            let mut net = started(seed, random_cluster(seed, 6, kinds), 3000);
            net.run(60_000);
            net.check_full_mesh();
            for _ in 0..net.rng.usize(1..5) {
                let (one, other) = (net.rng.usize(0..6), net.rng.usize(0..6));
                let (after, length) = (net.rng.u64(0..60_000), net.rng.u64(0..300_000));
                if one != other {
                    net.cut(one, other, after, length);
                }
            }
            net.run(460_000);
            net.check_full_mesh();
        }
    }
}

#[test]
fn generated_names_become_one() {
    for seed in seeds() {
        for kinds in [&all_kinds()[..], &all_kinds()[..2]] {
            let mut plans = random_cluster(seed, 5, kinds);
            let mut rng = fastrand::Rng::with_seed(seed);
            for plan in &mut plans {
                plan.cluster.name = std::iter::repeat_with(|| rng.alphabetic()).take(8).collect();
                plan.cluster.name_is_dynamic = true;
            }
            let mut net = started(seed, plans, 3000);
            net.run(60_000);
            net.check_full_mesh();
        }
    }
}
