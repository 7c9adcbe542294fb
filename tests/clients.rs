//! Applications that use today's client libraries work with our server, with one shard and with several, and the
//! same programs work with the reference.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use pinmesh_harness::{Side, scenarios};

/// What `tools/test` installed, by the environment variable that names it.
fn installed(variable: &str) -> PathBuf {
    match env::var_os(variable) {
        Some(path) => path.into(),
        None => panic!("{variable} is not set; run tools/test, which installs the client libraries"),
    }
}

fn script(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path)
}

fn python() -> Command {
    let mut command = Command::new(installed("PINMESH_PYTHON"));
    command.arg(script("python/scenarios.py"));
    command
}

fn node() -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", installed("PINMESH_NODE_MODULES")).arg(script("node/scenarios.js"));
    command
}

#[test]
fn nats_py_with_one_shard() {
    scenarios::play(python, || Side::Ours.server().shards(1), &[]);
}

#[test]
fn nats_py_with_four_shards() {
    scenarios::play(python, || Side::Ours.server().shards(4), &[]);
}

#[test]
fn nats_py_with_the_reference() {
    scenarios::play(python, || Side::Reference.server(), &[]);
}

#[test]
fn nats_js_with_one_shard() {
    scenarios::play(node, || Side::Ours.server().shards(1), &[]);
}

#[test]
fn nats_js_with_four_shards() {
    scenarios::play(node, || Side::Ours.server().shards(4), &[]);
}

#[test]
fn nats_js_with_the_reference() {
    scenarios::play(node, || Side::Reference.server(), &[]);
}
