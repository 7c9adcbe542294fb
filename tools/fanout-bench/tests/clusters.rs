//! The program against clusters of reference servers: what it counts is what was sent, and what does not arrive is named.

mod support;

use std::fs;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{positive, reference, results};

fn run(arguments: &[&str], servers: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fanout-bench"))
        .args(arguments)
        .args(["--server-cores", "any", "--load-cores", "any", "--servers", servers])
        .output()
        .unwrap()
}

/// Runs one short round of a mode on this many reference servers and returns what it found for them.
fn measure(arguments: &[&str], servers: usize) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("out.json");
    let reference = reference().display().to_string();
    let short = ["--pairs", "1", "--duration", "0.1", "--warmup", "0.05", "--json", json.to_str().unwrap()];
    let Output { status, stdout, stderr } = run(&[arguments, &short].concat(), &vec![reference; servers].join(","));
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{arguments:?}: {text}");
    results(&json)["sides"][0].clone()
}

/// What the program says when it fails.
fn failure(arguments: &[&str], servers: &str) -> String {
    let Output { status, stderr, .. } = run(arguments, servers);
    assert_eq!(status.code(), Some(1));
    String::from_utf8_lossy(&stderr).into_owned()
}

#[test]
fn messages_go_once_to_each_peer() {
    let side = measure(&["across", "-n", "5", "-m", "2", "-k", "3"], 3);
    for key in ["delivered_per_s", "server_cpu_ns_per_message", "anonymous_bytes"] {
        positive(&side, key);
    }
    for letter in ["A", "B", "C"] {
        positive(&side, &format!("server_cpu_ns_per_published_message_{letter}"));
    }
    assert_eq!(side["metrics"]["copies_per_peer"]["median"], 1.0, "{side}");
    // The reference sends what an account's clients publish over one of its routes to each peer.
    assert_eq!(side["metrics"]["carrying_routes"]["median"], 2.0, "{side}");
}

#[test]
fn requests_cross_the_route_and_their_replies_come_back() {
    let side = measure(&["across-request", "-w", "3", "--responders", "2", "--inbox-each"], 2);
    positive(&side, "requests_per_s");
    positive(&side, "p50_us");
}

#[test]
fn interest_is_announced_to_a_server_that_joins() {
    let side = measure(&["interest", "-s", "20000"], 2);
    for key in ["announced_us", "anonymous_bytes_per_interest", "server_cpu_ns_per_interest_B", "longest_wait_us_A"] {
        positive(&side, key);
    }
}

#[test]
fn messages_that_do_not_reach_the_other_server_are_lost() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("deaf.conf");
    // What its clients want of these subjects is kept from the other server.
    fs::write(&file, "cluster { permissions { import { allow: \">\", deny: \"bench.>\" } } }").unwrap();
    let reference = reference().display().to_string();
    let text = failure(&["across", "--patience", "1"], &format!("{reference},{reference} -c {}", file.display()));
    assert!(text.contains("lost: ") && text.contains("did not arrive at the slowest receiver"), "{text}");
}

#[test]
fn servers_that_find_no_way_to_each_other_are_named() {
    let reference = reference().display().to_string();
    let text = failure(&["across", "--patience", "1"], &format!("{reference},{reference} --cluster_name other"));
    assert!(text.contains("A has routes to 0 servers instead of 1") && text.contains("B logged last"), "{text}");
}

#[test]
fn the_suite_judges_every_case_of_clusters() {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("out.json");
    let output = Command::new(env!("CARGO_BIN_EXE_fanout-bench"))
        .args(["suite", "--cluster", "--quick", "--duration", "0.2", "--warmup", "0.1"])
        .args(["--server-cores", "any", "--load-cores", "any"])
        .arg("--server")
        .arg(reference())
        .arg("--versus")
        .arg(reference())
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    // The reference has no shards: that case is reported as such, and the others run all the same.
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("NOT REACHED"), "{text}");
    let json = results(&json);
    assert_eq!(json["failures"].as_array().unwrap().len(), 1, "{json}");
    assert_eq!(json["verdicts"].as_array().unwrap().len(), 8, "{json}");
    assert_eq!(json["cases"].as_array().unwrap().len(), 4, "{json}");
}
