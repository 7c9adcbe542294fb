//! Applications that use async-nats work with our server, with one shard and with several, and the same program
//! works with the reference.

use std::process::Command;

use pinmesh_harness::Kind::{Old, Ours, Reference};
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

#[test]
fn moves_on_in_a_cluster_of_references() {
    scenarios::play_move_on(program(), &[Reference; 3]);
}

#[test]
fn moves_on_in_a_cluster_of_ours() {
    scenarios::play_move_on(program(), &[Ours(1), Ours(2), Ours(3)]);
}

#[test]
fn moves_from_ours_to_others_and_back() {
    scenarios::play_move_on(program(), &[Ours(2), Reference, Old]);
    scenarios::play_move_on(program(), &[Reference, Ours(2), Ours(1)]);
}
