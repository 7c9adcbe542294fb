//! Applications that use async-nats work with our server, with one shard and with several, and the same program
//! works with the reference.

use std::process::Command;

use pinmesh_harness::{Side, scenarios};

/// async-nats decides itself about `verbose` and `pedantic`.
const WITHOUT: &[&str] = &["verbose_and_pedantic"];

fn program() -> Command {
    Command::new(env!("CARGO_BIN_EXE_pinmesh-client-async-nats"))
}

#[test]
fn with_one_shard() {
    scenarios::play(program, || Side::Ours.server().shards(1), WITHOUT);
}

#[test]
fn with_four_shards() {
    scenarios::play(program, || Side::Ours.server().shards(4), WITHOUT);
}

#[test]
fn with_the_reference() {
    scenarios::play(program, || Side::Reference.server(), WITHOUT);
}
