//! What the documentation of clusters tells its readers to type, with free ports in place of the fixed ones: the
//! servers mesh, messages pass, and the logs say what the reference's logs say.

mod both_names;

use std::collections::BTreeSet;
use std::env;
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use both_names::{Place, normalised};
use pinmesh_harness::Kind::{self, Old, Ours, Reference};
use pinmesh_harness::{Cluster, DEADLINE, Member, Seat, Side, eventually, poll_until, scenarios};
use regex::Regex;

/// What is typed for one server.
struct Typed {
    arguments: String,
    config: Option<String>,
}

/// The commands for three servers in these seats.
type Guide = fn(&[Seat]) -> [Typed; 3];

fn flags(arguments: String) -> Typed {
    Typed { arguments, config: None }
}

/// "Basic three server cluster".
fn by_flags(seats: &[Seat]) -> [Typed; 3] {
    let [seed, second, third] = [0, 1, 2].map(|index| (seats[index].client, seats[index].route));
    let name = "--cluster_name test-cluster";
    [
        flags(format!("-p {} -cluster nats://localhost:{} {name}", seed.0, seed.1)),
        flags(format!(
            "-p {} -cluster nats://localhost:{} -routes nats://localhost:{} {name}",
            second.0, second.1, seed.1
        )),
        flags(format!(
            "-p {} -cluster nats://localhost:{} -routes nats://localhost:{} {name}",
            third.0, third.1, seed.1
        )),
    ]
}

/// The same with debug output.
fn by_flags_with_debug(seats: &[Seat]) -> [Typed; 3] {
    by_flags(seats).map(|typed| flags(typed.arguments + " -D"))
}

/// All servers are told of all others, in one list.
fn by_list(seats: &[Seat]) -> [Typed; 3] {
    let list = |others: [usize; 2]| others.map(|other| format!("nats://localhost:{}", seats[other].route)).join(",");
    [(0, [1, 2]), (1, [0, 2]), (2, [0, 1])].map(|(own, others)| {
        let Seat { client, route, .. } = seats[own];
        flags(format!(
            "-p {client} -cluster nats://localhost:{route} -routes {} --cluster_name test-cluster",
            list(others)
        ))
    })
}

/// The same with two dashes, blanks in the list, and the flag for the address of its own.
fn by_list_with_blanks(seats: &[Seat]) -> [Typed; 3] {
    let list = seats.iter().map(|seat| format!("nats-route://127.0.0.1:{}", seat.route)).collect::<Vec<_>>();
    [0, 1, 2].map(|own| {
        let Seat { client, route, .. } = seats[own];
        flags(format!(
            "--port {client} --cluster_listen nats://127.0.0.1:{route} --routes|{}| --cluster_name test-cluster",
            list.join(" , ")
        ))
    })
}

/// A seed with a configuration file.
fn by_seed_conf(seats: &[Seat]) -> [Typed; 3] {
    let [seed, ..] = seats else { unreachable!("three seats") };
    let config = format!(
        "# Cluster Seed Node\n\nlisten: 127.0.0.1:{}\nhttp: {}\n\ncluster {{\n  listen: 127.0.0.1:{}\n}}\n",
        seed.client, seed.monitor, seed.route
    );
    let [_, second, third] = by_flags_with_debug(seats);
    [Typed { arguments: "-D".to_owned(), config: Some(config) }, second, third]
        .map(|typed| Typed { arguments: typed.arguments.replace(" --cluster_name test-cluster", ""), ..typed })
}

/// Splits at blanks; `|` encloses an argument with blanks.
fn words(arguments: &str) -> Vec<String> {
    let parts = arguments.split('|').enumerate();
    parts
        .flat_map(|(index, part)| {
            let inside = index % 2 == 1;
            let words: Vec<&str> = if inside { vec![part] } else { part.split_whitespace().collect() };
            words.into_iter().map(str::to_owned).collect::<Vec<_>>()
        })
        .collect()
}

/// Three servers, started with what a guide says.
struct Scene {
    cluster: Cluster,
    seats: Vec<Seat>,
    _place: Place,
}

impl Scene {
    fn start(guide: Guide, kinds: &[Kind; 3]) -> Scene {
        let place = Place::new();
        let ours = place.nats_server(Side::Ours);
        let seats = Seat::several(3);
        let mut cluster = Cluster { members: Vec::new() };
        for ((typed, &kind), &seat) in guide(&seats).into_iter().zip(kinds).zip(&seats) {
            let server = kind.server().without_listen_flags().args(words(&typed.arguments));
            let server = if kind.is_ours() { server.program(&ours) } else { server };
            let server = if let Some(config) = typed.config { server.config(config) } else { server };
            cluster.members.push(Member { kind, seat, server: server.start() });
            // Whoever types looks before typing on: who joins first decides who hears of whom.
            cluster.wait_for_mesh().unwrap_or_else(|error| panic!("{kinds:?}: {error:#}"));
        }
        Scene { cluster, seats, _place: place }
    }

    /// Waits until references have all of the connections that they make by themselves.
    fn wait_for_routes(&self) {
        for member in &self.cluster.members {
            eventually("the eighth route connection in the log", || {
                let log = member.server.log();
                (log.matches("Route connection created").count() >= 8).then_some(())
            });
        }
    }

    /// Subscribes on the first server, and publishes on each and with a list of all.
    fn say_hello(&self) -> Result<()> {
        let mut subscriber = self.cluster.client(0)?;
        subscriber.subscribe("hello", "", 1)?;
        self.cluster.settle([&mut subscriber])?;
        for server in 0..3 {
            let mut publisher = self.cluster.client(server)?;
            publisher.publish("hello", "", format!("from {server}").as_bytes());
            publisher.flush()?;
            let message = subscriber.message().with_context(|| format!("published on server {server}"))?;
            ensure!(message.payload == format!("from {server}").as_bytes(), "{message:?}");
        }
        let python = env::var_os("PINMESH_PYTHON").context("PINMESH_PYTHON is not set; run tools/test")?;
        let mut application = Command::new(python);
        application.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/python/scenarios.py"));
        let urls: Vec<String> = self.seats.iter().map(Seat::client_url).collect();
        scenarios::play_once(application, &urls.join(","), "say_hello");
        let message = subscriber.message().context("published with a list of servers")?;
        ensure!(message.payload == b"from the list", "{message:?}");
        ensure!(subscriber.flush()?.is_empty(), "more messages than were sent");
        Ok(())
    }

    /// What each server has logged so far, as kinds of lines: without what differs from start to start, and without
    /// what comes with time or with clients.
    fn kinds_of_lines(&self) -> [BTreeSet<String>; 3] {
        let patterns = [
            (r"127\.0\.0\.1:[0-9]+ - rid:[0-9]+", "ADDRESS - rid:N"),
            (r"127\.0\.0\.1:[0-9]+", "ADDRESS"),
            ("N[A-Z2-7]{55}", "ID"),
            ("Removing [0-9]+ subscriptions", "Removing N subscriptions"),
        ]
        .map(|(pattern, shown)| (Regex::new(pattern).expect("a pattern"), shown));
        [0, 1, 2].map(|index| {
            let mut log = normalised(&self.cluster.members[index].server.log());
            for (number, seat) in self.seats.iter().enumerate() {
                log = log.replace(&format!("localhost:{}", seat.route), &format!("localhost:ROUTE{number}"));
            }
            let log = patterns.iter().fold(log, |log, (pattern, shown)| pattern.replace_all(&log, *shown).into_owned());
            // Only servers with a system account have connections for it.
            let left_out = ["Ping Timer", "Delaying PING", " - cid:", "\"$SYS\""];
            let lines = log.lines().filter(|line| !left_out.iter().any(|text| line.contains(text)));
            lines.map(str::to_owned).collect()
        })
    }
}

/// Follows all guides with each line-up of servers, all of them at once.
fn follow_all(line_ups: &[[Kind; 3]]) {
    let guides: [Guide; 4] = [by_flags, by_list, by_list_with_blanks, by_seed_conf];
    thread::scope(|scope| {
        for (guide, kinds) in guides.iter().flat_map(|guide| line_ups.iter().map(move |kinds| (guide, kinds))) {
            scope.spawn(move || {
                let scene = Scene::start(*guide, kinds);
                scene.say_hello().unwrap_or_else(|error| panic!("{kinds:?}: {error:#}"));
            });
        }
    });
}

#[test]
fn references_do_what_the_documentation_says() {
    follow_all(&[[Reference; 3], [Old; 3]]);
}

#[test]
fn ours_do_what_the_documentation_says() {
    follow_all(&[[Ours(1); 3], [Ours(3), Ours(2), Ours(2)]]);
}

#[test]
fn both_together_do_what_the_documentation_says() {
    follow_all(&[[Reference, Ours(2), Old], [Ours(2), Reference, Ours(1)], [Old, Ours(2), Ours(1)]]);
}

/// Ours logs each kind of line that the reference always logs in the same place, and no kind that the reference never
/// logs: who dials whom is chance, and so some lines are.
#[test]
fn logs_are_like_the_references() {
    const RUNS: usize = 4;
    const MORE_RUNS: usize = 8;
    for guide in [by_flags as Guide, by_flags_with_debug] {
        let reference = || {
            let scene = Scene::start(guide, &[Reference; 3]);
            scene.wait_for_routes();
            scene.kinds_of_lines()
        };
        let runs: Vec<_> = (0..RUNS).map(|_| reference()).collect();
        let always = [0, 1, 2].map(|index| {
            let first = runs[0][index].clone();
            let mut common = runs.iter().fold(first, |common, run| &common & &run[index]);
            // The reference always has interest of its system account to send.
            common.retain(|line| !line.ends_with("Sent local subscriptions to route"));
            common
        });
        let mut ever: BTreeSet<String> = runs.into_iter().flatten().flatten().collect();
        let line_ups = [[Ours(1); 3], [Ours(2); 3], [Reference, Ours(2), Reference], [Ours(2), Reference, Ours(1)]];
        for kinds in line_ups {
            let scene = Scene::start(guide, &kinds);
            for index in (0..3).filter(|&index| kinds[index].is_ours()) {
                let mut missing = BTreeSet::new();
                let complete = poll_until(DEADLINE, || {
                    missing = &always[index] - &scene.kinds_of_lines()[index];
                    missing.is_empty().then_some(())
                });
                assert!(complete.is_some(), "server {index} of {kinds:?} does not log {missing:#?}");
                let ours = &scene.kinds_of_lines()[index];
                for _ in 0..MORE_RUNS {
                    if !ours.is_subset(&ever) {
                        ever.extend(reference().into_iter().flatten());
                    }
                }
                let mut strange = ours - &ever;
                // Two servers that dial each other at the same moment: it happens to references, too, but seldom.
                let duplicates = ["Duplicate Route", "Detected duplicate remote route", "Route pool size reached"];
                strange.retain(|line| !duplicates.iter().any(|text| line.contains(text)));
                assert!(strange.is_empty(), "only server {index} of {kinds:?} logs {strange:#?}");
            }
        }
    }
}
