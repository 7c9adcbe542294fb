//! Clusters of ours and others in every role, with pools of every size and with every mode of compression: messages
//! pass as they should.
//!
//! Each body gets the kind of server that plays us, so that it can be played by references alone.

use std::collections::BTreeSet;
use std::thread;

use anyhow::{Context, Result, ensure};
use pinmesh_harness::Kind::{self, Old, Ours, Reference};
use pinmesh_harness::cluster::{CLUSTER_NAME, line_up, routes};
use pinmesh_harness::suite::{Suite, play};
use pinmesh_harness::{Client, Cluster, DEADLINE, Member, Seat, poll_until};

/// How many clusters play at the same time.
const AT_ONCE: usize = 3;

/// Does something with each, some at a time; all of them, even if one fails.
fn each<T: Sync>(items: &[T], body: impl Fn(&T) + Sync) {
    let body = &body;
    let failed = thread::scope(|scope| {
        let work: Vec<_> = (0..AT_ONCE)
            .map(|start| {
                scope.spawn(move || {
                    let mine = items.iter().skip(start).step_by(AT_ONCE);
                    let outcomes = mine.map(|item| thread::scope(|inner| inner.spawn(|| body(item)).join().is_err()));
                    outcomes.filter(|&failed| failed).count()
                })
            })
            .collect();
        work.into_iter().map(|work| work.join().expect("failures are counted")).sum::<usize>()
    });
    assert_eq!(failed, 0, "so many of {} clusters failed", items.len());
}

fn start(kinds: &[Kind], options: impl Fn(usize, Kind) -> String) -> Cluster {
    Cluster::start_with(kinds, options).unwrap_or_else(|error| panic!("{kinds:?}: {error:#}"))
}

/// Two, three and five servers; the first is the seed that all others dial.
fn roles(us: Kind) -> Vec<Vec<Kind>> {
    vec![
        vec![us, Reference],
        vec![Reference, us],
        vec![us, Old],
        vec![Old, us],
        vec![us, Reference, Old],
        vec![us, Old, Reference],
        vec![Reference, us, Old],
        vec![Old, us, Reference],
        vec![Reference, Old, us],
        vec![Old, Reference, us],
        vec![Reference, us, Old, us, Reference],
        vec![us, Old, Reference, us, us],
        vec![Old, Reference, us, Reference, us],
    ]
}

fn play_all_roles(us: Kind) {
    each(&roles(us), |kinds| play(&start(kinds, |_, _| String::new()), Suite::Short));
}

#[test]
fn references_in_every_role() {
    play_all_roles(Reference);
}

#[test]
fn ours_in_every_role() {
    play_all_roles(Ours(2));
}

/// The sizes of the pools of two servers; where they differ, a `nats-server` itself does not keep the order of interest
/// and messages.
const POOLS: &[(i32, i32)] = &[(1, 1), (3, 3), (5, 5), (-1, -1), (1, 3), (3, 1), (5, 3), (3, 5), (-1, 3), (3, -1)];

fn play_all_pools(us: Kind) {
    each(POOLS, |&(ours, theirs)| {
        for (kinds, sizes) in [([us, Reference], [ours, theirs]), ([Reference, us], [theirs, ours])] {
            let cluster = start(&kinds, |number, _| format!("pool_size: {}", sizes[number]));
            play(&cluster, if ours == theirs { Suite::Short } else { Suite::UnequalPools });
        }
    });
}

#[test]
fn references_with_every_pool() {
    play_all_pools(Reference);
}

#[test]
fn ours_with_every_pool() {
    play_all_pools(Ours(2));
}

const MODES: [&str; 6] = ["off", "accept", "s2_fast", "s2_better", "s2_best", "s2_auto"];

/// What a server with this mode sends to one with that mode.
fn agreed(own: &str, remote: &str) -> &'static str {
    match (own, remote) {
        ("off", _) | (_, "off") | ("accept", "accept") => "off",
        ("accept", "s2_auto") => "s2_fast",
        ("accept", mode) | (mode, _) => MODES.into_iter().find(|known| *known == mode).unwrap_or("?"),
    }
}

/// Each mode against itself, against the usual one, and some against each other; a reference says what it does, and that
/// is what was agreed.
fn play_all_modes(us: Kind) {
    let pairs: Vec<(&str, &str)> = MODES
        .into_iter()
        .flat_map(|mode| [(mode, mode), (mode, "accept"), ("accept", mode)])
        .chain([("s2_fast", "s2_best"), ("s2_auto", "s2_better"), ("off", "s2_fast"), ("s2_best", "off")])
        .collect();
    each(&pairs, |&(ours, theirs)| {
        let kinds = [us, Reference];
        let cluster = start(&kinds, |number, _| format!("compression: {}", [ours, theirs][number]));
        if let Err(error) = says_what_it_sends(&cluster, agreed(theirs, ours)) {
            panic!("{ours} and {theirs}: {error:#}");
        }
        play(&cluster, Suite::Short);
    });
}

fn says_what_it_sends(cluster: &Cluster, wanted: &str) -> Result<()> {
    let mut said = Vec::new();
    let agrees = |mode: &str| mode == wanted || wanted == "s2_auto" && mode.starts_with("s2_");
    poll_until(DEADLINE, || {
        let routes = cluster.members[1].routes().unwrap_or_default();
        said = routes.iter().map(|route| route["compression"].as_str().unwrap_or_default().to_owned()).collect();
        (!said.is_empty() && said.iter().all(|mode| agrees(mode))).then_some(())
    })
    .with_context(|| format!("the reference says that it sends {said:?}, not {wanted}"))?;
    ensure!(cluster.members[1].kind == Reference, "only the reference is asked");
    Ok(())
}

#[test]
fn references_with_every_compression() {
    play_all_modes(Reference);
}

#[test]
fn ours_with_every_compression() {
    play_all_modes(Ours(2));
}

/// Other servers have accounts of their own, with routes of their own or without: those pass messages among themselves,
/// and we neither mind nor disturb.
fn play_with_accounts(us: Kind) {
    const ACCOUNTS: &str = "accounts { A { users: [{ user: a, password: a }] } }\n\
                            authorization { users: [{ user: g, password: g }] }";
    let plain = r#"{"verbose":false,"headers":true,"no_responders":true,"user":"g","pass":"g"}"#;
    let of_account = r#"{"verbose":false,"headers":true,"no_responders":true,"user":"a","pass":"a"}"#;
    let line_ups = [[Reference, us, Reference], [us, Reference, Reference], [Reference, Reference, us]];
    let mut cases: Vec<([Kind; 3], &str)> =
        line_ups.into_iter().flat_map(|kinds| [(kinds, ""), (kinds, "accounts: [A]")]).collect();
    // A seed without the account tells nobody who else has it, whoever is the seed.
    cases.retain(|(kinds, pinned)| kinds[0] != us || pinned.is_empty());
    each(&cases, |&(kinds, pinned)| {
        let seats = Seat::several(3);
        let members = (0..3).map(|number| {
            let ours = kinds[number] == us;
            let seed = routes(&seats[..number.min(1)]);
            let pinned = if ours { "" } else { pinned };
            let accounts = if ours { "authorization { user: g, password: g }" } else { ACCOUNTS };
            Member::start(kinds[number], seats[number], &format!("name: {CLUSTER_NAME}\n{seed}\n{pinned}"), accounts)
        });
        let members: Vec<Member> = members.collect();
        let outcome = (|| -> Result<()> {
            let mut of_all = members.iter().map(|member| member.client_with(plain)).collect::<Result<Vec<_>>>()?;
            let others = members.iter().filter(|member| member.kind != us);
            let mut of_others = others.map(|member| member.client_with(of_account)).collect::<Result<Vec<_>>>()?;
            everybody_hears(&mut of_all).context("in the account that all have")?;
            everybody_hears(&mut of_others).context("in the account that others have")?;
            everybody_hears(&mut of_all).context("in the account that all have, again")
        })();
        outcome.unwrap_or_else(|error| panic!("{} {pinned}: {error:#}", line_up(kinds)));
    });
}

/// Publishes on each until all have heard each other.
fn everybody_hears(clients: &mut [Client]) -> Result<()> {
    let mut heard = vec![BTreeSet::new(); clients.len()];
    for client in clients.iter_mut() {
        client.subscribe("account.*", "", "account")?;
        client.flush()?;
    }
    let complete = poll_until(DEADLINE, || {
        for (index, client) in clients.iter_mut().enumerate() {
            client.publish(&format!("account.{index}"), "", b"");
            heard[index].extend(client.flush().ok()?.into_iter().map(|message| message.subject));
        }
        heard.iter().all(|heard| heard.len() == clients.len()).then_some(())
    });
    complete.with_context(|| format!("they hear {heard:?}"))
}

#[test]
fn references_with_accounts() {
    play_with_accounts(Old);
}

#[test]
fn ours_among_accounts() {
    play_with_accounts(Ours(2));
}
