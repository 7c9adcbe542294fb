//! Messages between clients of different servers: the same scenarios on clusters of the reference, of ours with one
//! shard and with several, and of both.

use pinmesh_harness::Cluster;
use pinmesh_harness::Kind::{self, Old, Ours, Reference};
use pinmesh_harness::suite::{Suite, play};

fn play_all(kinds: &[Kind]) {
    let cluster = Cluster::start(kinds).unwrap_or_else(|error| panic!("{error:#}"));
    play(&cluster, Suite::Whole);
}

#[test]
fn between_references() {
    play_all(&[Reference; 3]);
}

#[test]
fn between_old_servers() {
    play_all(&[Old; 2]);
}

#[test]
fn between_ours_with_one_shard() {
    play_all(&[Ours(1); 3]);
}

#[test]
fn between_ours_with_several_shards() {
    play_all(&[Ours(2), Ours(3), Ours(2)]);
}

#[test]
fn between_ours_with_different_shards() {
    play_all(&[Ours(1), Ours(4)]);
}

#[test]
fn from_a_reference_to_ours_and_back() {
    play_all(&[Reference, Ours(2), Reference]);
}

#[test]
fn from_ours_to_old_and_new() {
    play_all(&[Ours(2), Reference, Old]);
}
