//! The program against the reference server: what it counts is what was sent.

mod support;

use std::process::{Command, Output};

use serde_json::Value;

use crate::support::{positive, reference, results};

/// Runs one short round of a mode and returns its JSON.
fn measure(arguments: &[&str]) -> Value {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("out.json");
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_fanout-bench"))
        .args(arguments)
        .args(["--pairs", "1", "--duration", "0.1", "--warmup", "0.05"])
        .args(["--server-cores", "any", "--load-cores", "any", "--json"])
        .arg(&json)
        .arg("--server")
        .arg(reference())
        .output()
        .unwrap();
    let text = format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{arguments:?}: {text}");
    results(&json)
}

#[test]
fn fanout_over_several_subjects_beside_the_floor() {
    let json = measure(&["fanout", "-n", "3", "-k", "11", "-p", "100", "--floor"]);
    let sides = json["sides"].as_array().unwrap();
    assert_eq!(sides.len(), 2);
    for side in sides {
        positive(side, "delivered_per_s");
        positive(side, "server_cpu_ns_per_message");
        positive(side, "anonymous_bytes");
    }
    assert!(json["ratios"][0]["metrics"]["server_cpu_ns_per_message"]["median"].is_number());
}

#[test]
fn several_publishers_and_a_wildcard() {
    let json = measure(&["fanout", "-m", "3", "-n", "2", "-k", "5", "--wildcard", "-p", "8"]);
    positive(&json["sides"][0], "delivered_per_s");
}

#[test]
fn subjects_never_seen_before() {
    positive(&measure(&["unseen"])["sides"][0], "delivered_per_s");
}

#[test]
fn queue_groups() {
    positive(&measure(&["queue", "--groups", "2", "--members", "3", "-m", "2"])["sides"][0], "delivered_per_s");
}

#[test]
fn requests_have_percentiles() {
    for more in [&["-w", "1"][..], &["-w", "20", "--requesters", "2", "--responders", "3", "--inbox-each"]] {
        let json = measure(&[&["request"], more].concat());
        let side = &json["sides"][0];
        let of = |key: &str| side["metrics"][key]["median"].as_f64().unwrap();
        positive(side, "requests_per_s");
        positive(side, "p50_us");
        assert!(of("p50_us") <= of("p99_us") && of("p99_us") <= of("max_us"), "{side}");
    }
}

#[test]
fn churn_beside_a_publisher() {
    let json = measure(&["churn", "--rate", "2000"]);
    for key in ["churn_per_s", "server_cpu_ns_per_churn", "kept_gross", "kept_net"] {
        positive(&json["sides"][0], key);
    }
}

#[test]
fn memory_of_connections_and_subscriptions() {
    positive(&measure(&["idle", "-c", "200"])["sides"][0], "anonymous_bytes_per_connection");
    positive(&measure(&["subs", "-s", "20000"])["sides"][0], "anonymous_bytes_per_subscription");
}

#[test]
fn the_suite_judges_every_case() {
    let directory = tempfile::tempdir().unwrap();
    let json = directory.path().join("out.json");
    let output = Command::new(env!("CARGO_BIN_EXE_fanout-bench"))
        .args([
            "suite",
            "--quick",
            "--duration",
            "0.2",
            "--warmup",
            "0.1",
            "--server-cores",
            "any",
            "--load-cores",
            "any",
        ])
        .arg("--server")
        .arg(reference())
        .arg("--versus")
        .arg(reference())
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    // The reference has no shards: those cases are reported as such, and the others run all the same.
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("NOT REACHED"), "{text}");
    let json = results(&json);
    assert_eq!(json["failures"].as_array().unwrap().len(), 3, "{json}");
    assert_eq!(json["verdicts"].as_array().unwrap().len(), 9, "{json}");
    assert_eq!(json["cases"].as_array().unwrap().len(), 7, "{json}");
}
